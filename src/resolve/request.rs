//! What a spec asks of the distribution's package manager, layer by layer.

use super::ISO_BOOT_FILES;
use super::lookup::{Found, Lookup};
use crate::configure;
use crate::model::lock::{LayerRequest, LockRequest};
use crate::model::name::PackageName;
use crate::model::packaging::{MissingPackage, PackageSettings};
use crate::model::spec::{OsImage, Output};
use crate::model::{ErrorCode, Failure, FailureClass};
use crate::tables::Distribution;
use std::collections::BTreeSet;

/// Something about one field that the tables know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field: `spec.packages.servers[0]`.
    pub field: String,
    /// Stable code.
    pub code: ErrorCode,
    /// Whether it stops the image from being built; else it is only worth knowing.
    pub fatal: bool,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Problem {
    /// The problem as a failure.
    pub fn failure(&self) -> Failure {
        Failure::new(self.code, FailureClass::Spec, format!("{}: {}", self.field, self.message))
            .hint(&self.hint)
    }
}

/// What a spec asks for.
///
/// # Errors
/// With everything that stops it from being asked.
pub fn request(image: &OsImage, settings: &PackageSettings) -> Result<LockRequest, Vec<Problem>> {
    let (request, mut problems) = check(image, settings);
    problems.retain(|p| p.fatal);
    match request {
        Some(request) if problems.is_empty() => Ok(request),
        _ => Err(problems),
    }
}

/// What a spec asks for, and everything worth knowing about the names in it.
pub fn check(image: &OsImage, settings: &PackageSettings) -> (Option<LockRequest>, Vec<Problem>) {
    let spec = &image.spec;
    let lookup = Lookup::new(spec, settings);
    let table = lookup.distribution;
    if table.builds.is_empty() {
        let problem = Problem {
            field: "spec.base".to_owned(),
            code: ErrorCode::Compat,
            fatal: true,
            message: format!("images of {} cannot be built yet", spec.base.as_str()),
            hint: "What can be built now: debian, ubuntu, arch, alpine, fedora, opensuse, gentoo.".to_owned(),
        };
        let mut problems = super::packages(image, settings).warnings;
        problems.insert(0, problem);
        return (None, problems);
    }
    let missing = settings.missing;
    let mut asked =
        Asked { lookup, missing, table, seen: BTreeSet::new(), layers: Vec::new(), problems: Vec::new() };
    if asked.lookup.suite.is_none() {
        let suites: Vec<&str> = table.suites().collect();
        asked.note(
            "spec.suite",
            format!("the package names were checked against {} only", suites.join(", ")),
            "A name that this suite does not have is found out by `bootwright lock`.",
        );
    }
    asked.layer("bootstrap", table.bootstrap(spec.init_system()).into_iter().cloned().collect());
    asked.kernel(image);
    for (category, names) in spec.packages.categories() {
        let mut packages = asked.names(category, names);
        packages.extend(asked.implied(category, image));
        asked.layer(category, packages);
    }
    if spec.outputs.iter().any(|output| output.starts()) {
        asked.boot_files(image);
    }
    let request = LockRequest {
        base: spec.base,
        suite: spec.suite.clone(),
        architecture: spec.architecture,
        layers: asked.layers,
    };
    (Some(request), asked.problems)
}

struct Asked<'a> {
    lookup: Lookup<'a>,
    missing: MissingPackage,
    table: &'static Distribution,
    /// What lower layers ask for already.
    seen: BTreeSet<PackageName>,
    layers: Vec<LayerRequest>,
    problems: Vec<Problem>,
}

impl Asked<'_> {
    /// Adds a layer with what no lower layer asks for; an empty one is left out.
    fn layer(&mut self, name: &str, packages: Vec<PackageName>) {
        let fresh: BTreeSet<PackageName> = packages.into_iter().filter(|p| !self.seen.contains(p)).collect();
        if fresh.is_empty() {
            return;
        }
        self.seen.extend(fresh.iter().cloned());
        self.layers.push(LayerRequest { name: name.to_owned(), packages: fresh.into_iter().collect() });
    }

    fn kernel(&mut self, image: &OsImage) {
        let spec = &image.spec;
        let mut packages = self.table.initramfs.clone();
        let entry = self.table.kernel(spec.architecture, spec.kernel.version);
        match entry.filter(|_| self.table.builds.contains(&spec.architecture)).map(|e| self.lookup.offer(e)) {
            Some(Ok(offer)) => packages.extend(offer.packages.iter().cloned()),
            Some(Err((why, _))) => self.problem(
                "spec.kernel.version",
                ErrorCode::Compat,
                format!("{} does not have this kernel: {why}", spec.base.as_str()),
                "Write `version: linux-lts`.",
            ),
            None => self.problem(
                "spec.architecture",
                ErrorCode::Compat,
                format!("images for {} are not there yet", spec.architecture.as_str()),
                &format!(
                    "What can be built now: {}.",
                    self.table.builds.iter().map(|a| a.as_str()).collect::<Vec<_>>().join(", ")
                ),
            ),
        }
        if spec.outputs.contains(&Output::Iso) {
            packages.extend(self.table.live.iter().cloned());
        }
        self.layer("kernel", packages);
    }

    fn boot_files(&mut self, image: &OsImage) {
        let loader = image.spec.customization.bootloader.kind.unwrap_or_default();
        let mut packages = self.table.boot_files(loader, image.spec.architecture).to_vec();
        if packages.is_empty() {
            return;
        }
        packages.sort();
        // Not deduplicated against lower layers: these are unpacked elsewhere, not installed.
        self.layers.push(LayerRequest { name: ISO_BOOT_FILES.to_owned(), packages });
    }

    /// The distribution's names for those of one category.
    fn names(&mut self, category: &str, names: &[PackageName]) -> Vec<PackageName> {
        let mut packages = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let field = format!("spec.packages.{category}[{index}]");
            match self.lookup.find(category, name) {
                Found::Packages(_, offer) => {
                    if offer.packages != [name.clone()] {
                        let own: Vec<&str> = offer.packages.iter().map(PackageName::as_str).collect();
                        let own = own.join(", ");
                        self.note(
                            &field,
                            format!("{name} is called {own} here"),
                            "Nothing needs to be done.",
                        );
                    }
                    packages.extend(offer.packages.iter().cloned());
                }
                Found::Own => {
                    if let Some(hint) =
                        super::did_you_mean(name.as_str()).filter(|_| self.slip(category, name))
                    {
                        let message =
                            format!("{name} is in no table; it is taken as the distribution's own name");
                        self.note(&field, message, &hint);
                    }
                    packages.push(name.clone());
                }
                Found::Nothing { why, .. } if self.missing == MissingPackage::Warning => {
                    self.note(
                        &field,
                        format!("{why}; left out"),
                        "`packages: {missing: error}` refuses this.",
                    );
                }
                Found::Nothing { why, cure } => {
                    self.problem(&field, ErrorCode::PackageUnavailable, why, &cure);
                }
                Found::NoName => self.problem(
                    &field,
                    ErrorCode::PackageUnavailable,
                    format!("{name} cannot be the name of a package"),
                    self.lookup.name_rule(),
                ),
            }
        }
        packages
    }

    /// Whether a name may be a slip of the pen.
    fn slip(&self, category: &str, name: &PackageName) -> bool {
        category != "extra" && self.table.evidence(name).is_none()
    }

    /// What other fields of the spec need of this category.
    fn implied(&mut self, category: &str, image: &OsImage) -> Vec<PackageName> {
        let mut packages = if category == "base" { self.shells(image) } else { Vec::new() };
        for need in configure::needs(&image.spec).packages.iter().filter(|n| n.category == category) {
            match self.lookup.find(category, &need.name) {
                Found::Packages(_, offer) => packages.extend(offer.packages.iter().cloned()),
                Found::Own => packages.push(need.name.clone()),
                Found::Nothing { why, cure } => {
                    self.problem(&need.field, ErrorCode::PackageUnavailable, why, &cure);
                }
                Found::NoName => {
                    let message = format!("{} cannot be the name of a package", need.name);
                    self.problem(
                        &need.field,
                        ErrorCode::PackageUnavailable,
                        message,
                        self.lookup.name_rule(),
                    );
                }
            }
        }
        packages
    }

    fn shells(&mut self, image: &OsImage) -> Vec<PackageName> {
        let mut packages = Vec::new();
        for (index, user) in image.spec.defaults.users.iter().enumerate() {
            let Some(shell) = &user.shell else { continue };
            match self.table.shell(shell) {
                Some(package) => packages.extend(package.cloned()),
                None => self.note(
                    &format!("spec.defaults.users[{index}].shell"),
                    format!("nobody knows which package brings {shell}"),
                    "See that a package of this spec or the overlay does.",
                ),
            }
        }
        packages
    }

    fn problem(&mut self, field: &str, code: ErrorCode, message: String, hint: &str) {
        self.problems.push(Problem {
            field: field.to_owned(),
            code,
            fatal: true,
            message,
            hint: hint.to_owned(),
        });
    }

    fn note(&mut self, field: &str, message: String, hint: &str) {
        self.problems.push(Problem {
            field: field.to_owned(),
            code: ErrorCode::PackageUnavailable,
            fatal: false,
            message,
            hint: hint.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(spec: serde_json::Value) -> OsImage {
        let mut document = serde_json::json!({
            "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "edge"},
            "spec": {"base": "debian", "suite": "bookworm", "outputs": ["oci"]}
        });
        for (key, value) in spec.as_object().unwrap() {
            document["spec"][key] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    fn layers(spec: serde_json::Value) -> Vec<(String, Vec<String>)> {
        let request = request(&image(spec), &PackageSettings::default()).unwrap();
        let names = |l: &LayerRequest| l.packages.iter().map(ToString::to_string).collect();
        request.layers.iter().map(|l| (l.name.clone(), names(l))).collect()
    }

    fn layer(spec: serde_json::Value, name: &str) -> Vec<String> {
        layers(spec).into_iter().find(|(n, _)| n == name).map(|(_, p)| p).unwrap_or_default()
    }

    #[test]
    fn the_smallest_image() {
        let found = layers(serde_json::json!({}));
        let names: Vec<&str> = found.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["bootstrap", "kernel"]);
        assert_eq!(found[1].1, ["initramfs-tools", "linux-image-amd64", "zstd"]);
    }

    #[test]
    fn an_iso_brings_live_boot_and_boot_files() {
        let iso = serde_json::json!({"outputs": ["iso"], "packages": {"utils": ["nano"]}});
        assert!(layer(iso.clone(), "kernel").contains(&"live-boot".to_owned()));
        let found = layers(iso);
        assert_eq!(found.last().unwrap().0, "iso-boot-files");
        assert_eq!(
            found.last().unwrap().1,
            [
                "grub-common",
                "grub-efi-amd64-signed",
                "grub-pc-bin",
                "shim-helpers-amd64-signed",
                "shim-signed"
            ]
        );
    }

    #[test]
    fn an_iso_for_arm_has_the_boot_files_of_arm() {
        let iso = serde_json::json!({"architecture": "aarch64", "outputs": ["iso"]});
        assert!(layer(iso.clone(), "kernel").contains(&"linux-image-arm64".to_owned()));
        assert_eq!(
            layer(iso, "iso-boot-files"),
            ["grub-common", "grub-efi-arm64-signed", "shim-helpers-arm64-signed", "shim-signed"]
        );
    }

    #[test]
    fn names_are_translated_sorted_and_asked_for_once() {
        let spec = serde_json::json!({"packages": {
            "development": ["python", "git"], "networking": ["wireguard"], "utils": ["git", "python3", "systemd-sysv"],
            "extra": ["docker"]
        }});
        assert_eq!(layer(spec.clone(), "development"), ["git", "python3"]);
        assert_eq!(layer(spec.clone(), "networking"), ["wireguard-tools"]);
        assert_eq!(layer(spec.clone(), "utils"), Vec::<String>::new());
        assert_eq!(layer(spec.clone(), "extra"), ["docker"]);
        let (_, notes) = check(&image(spec), &PackageSettings::default());
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes.iter().all(|n| !n.fatal));
        assert_eq!(notes[0].message, "python is called python3 here");
    }

    #[test]
    fn the_order_in_a_spec_does_not_matter() {
        let one = serde_json::json!({"packages": {"utils": ["nano", "htop"]}});
        let two = serde_json::json!({"packages": {"utils": ["htop", "nano"]}});
        assert_eq!(layers(one), layers(two));
    }

    #[test]
    fn features_bring_their_packages() {
        let spec = serde_json::json!({
            "defaults": {"locale": "de_DE.UTF-8", "timezone": "Europe/Berlin",
                "users": [{"name": "a", "sudo": true, "shell": "/usr/bin/zsh"}, {"name": "b", "shell": "/bin/bash"}]},
            "securityFeatures": {"firewall": {}, "ssh": {}}
        });
        assert_eq!(layer(spec.clone(), "base"), ["locales", "sudo", "tzdata", "zsh"]);
        assert_eq!(layer(spec.clone(), "security"), ["nftables"]);
        assert_eq!(layer(spec, "networking"), ["openssh-server"]);
        let plain = serde_json::json!({"defaults": {"locale": "C.UTF-8", "timezone": "Etc/UTC"}});
        assert!(layer(plain, "base").is_empty());
    }

    #[test]
    fn what_debian_lacks_is_refused_all_at_once() {
        let spec = serde_json::json!({
            "kernel": {"version": "linux-zen"},
            "packages": {"ai_ml": ["ollama"], "networking": ["tailscale", "curl"], "utils": ["Nano", "nano-", "a/b", "x"]}
        });
        let request = |spec| request(&image(spec), &PackageSettings::default());
        let problems = request(spec).unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.kernel.version",
                "spec.packages.ai_ml[0]",
                "spec.packages.networking[0]",
                "spec.packages.utils[0]",
                "spec.packages.utils[1]",
                "spec.packages.utils[2]",
                "spec.packages.utils[3]"
            ]
        );
        assert_eq!(problems[1].code, ErrorCode::PackageUnavailable);
        assert!(problems[1].failure().message.contains("ollama"));
        let (_, notes) = check(&image(serde_json::json!({"suite": "forky"})), &PackageSettings::default());
        assert!(notes.len() == 1 && !notes[0].fatal);
        assert!(
            check(&image(serde_json::json!({"suite": "trixie"})), &PackageSettings::default()).1.is_empty()
        );
        assert!(request(serde_json::json!({"base": "arch", "architecture": "aarch64"})).is_err());
    }

    /// Requirement 1, section 9.1, if the catalog wants it so: go on without the package.
    #[test]
    fn a_catalog_may_go_on_without_what_is_missing() {
        let spec = serde_json::json!({"packages": {"ai_ml": ["ollama", "numpy"], "utils": ["a/b"]}});
        let lenient = PackageSettings { missing: MissingPackage::Warning, ..Default::default() };
        let (request, problems) = check(&image(spec), &lenient);
        let ai = request.unwrap().layers.into_iter().find(|l| l.name == "ai_ml").unwrap();
        assert_eq!(ai.packages, ["python3-numpy".parse().unwrap()]);
        assert!(problems.iter().any(|p| !p.fatal && p.message.ends_with("left out")));
        // What cannot be a name at all is no missing package.
        assert_eq!(problems.iter().filter(|p| p.fatal).count(), 1);
    }

    #[test]
    fn other_components_are_asked_for_only_where_they_are_allowed() {
        let cuda = image(serde_json::json!({"packages": {"ai_ml": ["cuda"]}}));
        let refused = request(&cuda, &PackageSettings::default()).unwrap_err();
        assert!(
            refused[0].message.contains("in non-free only")
                && refused[0].hint.contains("repositories: [non-free]")
        );
        let allowed = PackageSettings { repositories: vec!["non-free".to_owned()], ..Default::default() };
        let layers = request(&cuda, &allowed).unwrap().layers;
        assert!(layers.iter().any(|l| l.packages.contains(&"nvidia-cuda-toolkit".parse().unwrap())));
    }
}
