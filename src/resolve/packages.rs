//! Everything that a spec asks of a package manager, for all distributions.
//!
//! [`super::request`] is for images that can be built: it is exact and refuses. This here is
//! for whoever wants to see what a spec comes to (`check`, Containerfiles), whether or not
//! images of its distribution can be built yet: what is not there is left out, with a word.

use super::Problem;
use super::lookup::{Found, Lookup};
use crate::configure::{self, Need};
use crate::model::ErrorCode;
use crate::model::name::PackageName;
use crate::model::packaging::PackageSettings;
use crate::model::spec::OsImage;
use crate::tables;
use std::collections::BTreeSet;

/// What a spec comes to on its distribution.
#[derive(Debug)]
pub struct Resolved {
    /// The suite's first name in the tables, if they know it.
    pub suite: Option<&'static str>,
    /// The packages of each category that has some, in the order of installation.
    pub categories: Vec<ResolvedCategory>,
    /// The kernel's packages, if there is such a kernel.
    pub kernel: Vec<PackageName>,
    /// The repositories that packages come from, beside the distribution's own.
    pub repositories: BTreeSet<String>,
    /// The services that come with packages, by the names of the spec's init system.
    pub services: Vec<ResolvedService>,
    /// What is worth knowing, and what is not there.
    pub warnings: Vec<Problem>,
}

/// The packages of one category.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedCategory {
    /// The category, as in a spec.
    pub name: &'static str,
    /// What to install.
    pub packages: Vec<PackageName>,
    /// Groups to install.
    pub groups: Vec<PackageName>,
    /// What is built from users' recipes (the AUR, overlays), not downloaded.
    pub recipes: Vec<PackageName>,
}

/// A service that comes with a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedService {
    /// The name in the spec.
    pub of: String,
    /// What the init system calls it.
    pub name: String,
}

/// What a spec comes to.
pub fn packages(image: &OsImage, settings: &PackageSettings) -> Resolved {
    let spec = &image.spec;
    let mut work = Work {
        lookup: Lookup::new(spec, settings),
        image,
        seen: BTreeSet::new(),
        resolved: Resolved {
            suite: None,
            categories: Vec::new(),
            kernel: Vec::new(),
            repositories: BTreeSet::new(),
            services: Vec::new(),
            warnings: Vec::new(),
        },
    };
    work.suite();
    work.kernel();
    for (category, names) in spec.packages.categories() {
        work.category(category, names);
    }
    work.resolved
}

struct Work<'a> {
    lookup: Lookup<'a>,
    image: &'a OsImage,
    seen: BTreeSet<PackageName>,
    resolved: Resolved,
}

impl Work<'_> {
    fn suite(&mut self) {
        self.resolved.suite = self.lookup.suite;
        if self.lookup.suite.is_none() {
            let known: Vec<&str> = self.lookup.distribution.suites().collect();
            self.warn(
                "spec.suite",
                format!("the names were made for {} only", known.join(", ")),
                "A name that this suite does not have is found out by the package manager.",
            );
        }
    }

    fn kernel(&mut self) {
        let spec = &self.image.spec;
        let title = self.lookup.title();
        let entry = self.lookup.distribution.kernel(spec.architecture, spec.kernel.version);
        match entry.map(|entry| self.lookup.offer(entry)) {
            Some(Ok(offer)) => self.resolved.kernel.clone_from(&offer.packages),
            Some(Err((why, _))) => self.warn(
                "spec.kernel.version",
                format!("{title} does not have this kernel: {why}"),
                "Write `version: linux-lts`.",
            ),
            None => self.warn(
                "spec.kernel.version",
                format!("nobody knows {title}'s kernels for {}", spec.architecture.as_str()),
                "Name the kernel's package in `packages.extra`.",
            ),
        }
    }

    fn category(&mut self, category: &'static str, names: &[PackageName]) {
        let mut found = ResolvedCategory {
            name: category,
            packages: Vec::new(),
            groups: Vec::new(),
            recipes: Vec::new(),
        };
        for (index, name) in names.iter().enumerate() {
            let field = format!("spec.packages.{category}[{index}]");
            match self.lookup.find(category, name) {
                Found::Packages(row, offer) => {
                    self.told(&field, name, offer);
                    self.resolved.repositories.extend(offer.from.clone());
                    let from = offer.from.as_ref().and_then(|from| tables::repositories().get(from));
                    let list = match from {
                        Some(r) if r.kind == tables::RepositoryKind::Recipes => &mut found.recipes,
                        _ if offer.group => &mut found.groups,
                        _ => &mut found.packages,
                    };
                    list.extend(offer.packages.iter().filter(|p| self.seen.insert((*p).clone())).cloned());
                    let spec = &self.image.spec;
                    let service = row.service(spec.base, spec.init_system());
                    let of = row.name.clone();
                    let service = service.map(|s| ResolvedService { of, name: s.to_owned() });
                    if let Some(service) = service.filter(|s| !self.resolved.services.contains(s)) {
                        self.resolved.services.push(service);
                    }
                }
                Found::Own => {
                    if category != "extra" {
                        self.unknown(&field, name);
                    }
                    if self.seen.insert(name.clone()) {
                        found.packages.push(name.clone());
                    }
                }
                Found::Nothing { why, cure } => self.warn(&field, format!("{why}; left out"), &cure),
                Found::NoName => self.warn(
                    &field,
                    format!("{name} cannot be the name of a package of {}; left out", self.lookup.title()),
                    self.lookup.name_rule(),
                ),
            }
        }
        found.packages.sort();
        found.groups.sort();
        if category == "base" {
            found.extend_implied(self.shells(), &mut self.seen);
        }
        for need in configure::needs(&self.image.spec).packages {
            if need.category == category {
                self.feature(&mut found, &need);
            }
        }
        if !(found.packages.is_empty() && found.groups.is_empty() && found.recipes.is_empty()) {
            self.resolved.categories.push(found);
        }
    }

    /// What the table says of a name beside its packages.
    fn told(&mut self, field: &str, name: &PackageName, offer: &tables::Offer) {
        let own: Vec<&str> = offer.packages.iter().map(PackageName::as_str).collect();
        if let Some(note) = &offer.note {
            self.warn(field, format!("{name}: {note}"), "Nothing needs to be done.");
        }
        let unseen = offer.packages.iter().find(|p| self.lookup.distribution.evidence(p).is_none());
        if let Some(unseen) = unseen {
            self.warn(
                field,
                format!(
                    "{name} is said to be {} here, but nobody has seen {unseen} in {}",
                    own.join(", "),
                    self.lookup.title()
                ),
                "If it is called something else, write that name into `packages.extra`.",
            );
        } else if own != [name.as_str()] && offer.note.is_none() {
            self.warn(
                field,
                format!("{name} is called {} here", own.join(", ")),
                "Nothing needs to be done.",
            );
        }
        let repository = offer.from.as_ref().and_then(|from| Some((from, tables::repositories().get(from)?)));
        if let Some((from, repository)) = repository {
            let message = format!("{name} comes from {from}: {}; {}", repository.title, repository.signed());
            self.warn(field, message, "Whoever runs that repository is root on this image.");
        }
    }

    /// A name that is in no row is the distribution's own; a slip of the pen is one too.
    fn unknown(&mut self, field: &str, name: &PackageName) {
        if self.lookup.distribution.evidence(name).is_some() {
            return;
        }
        if let Some(hint) = super::did_you_mean(name.as_str()) {
            let message = format!("{name} is in no table; it is taken as {}'s own name", self.lookup.title());
            self.warn(field, message, &hint);
        }
    }

    /// The shells of users, beside what the features need.
    fn shells(&self) -> Vec<PackageName> {
        let shells = self.image.spec.defaults.users.iter().filter_map(|u| u.shell.as_deref());
        shells.filter_map(|s| self.lookup.distribution.shell(s)?.cloned()).collect()
    }

    /// Adds what a feature needs.
    fn feature(&mut self, found: &mut ResolvedCategory, need: &Need) {
        match self.lookup.find(need.category, &need.name) {
            Found::Packages(_, offer) => {
                self.resolved.repositories.extend(offer.from.clone());
                found.extend_implied(offer.packages.clone(), &mut self.seen);
            }
            Found::Own => found.extend_implied(vec![need.name.clone()], &mut self.seen),
            Found::Nothing { why, cure } => self.warn(&need.field, format!("{why}; left out"), &cure),
            Found::NoName => {}
        }
    }

    fn warn(&mut self, field: &str, message: String, hint: &str) {
        let code =
            if field == "spec.kernel.version" { ErrorCode::Compat } else { ErrorCode::PackageUnavailable };
        let (field, hint) = (field.to_owned(), hint.to_owned());
        self.resolved.warnings.push(Problem { field, code, fatal: false, message, hint });
    }
}

impl ResolvedCategory {
    fn extend_implied(&mut self, implied: Vec<PackageName>, seen: &mut BTreeSet<PackageName>) {
        self.packages.extend(implied.into_iter().filter(|p| seen.insert(p.clone())));
        self.packages.sort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::Base;

    fn image(base: &str, suite: &str, spec: serde_json::Value) -> OsImage {
        let mut document = serde_json::json!({
            "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "edge"},
            "spec": {"base": base, "suite": suite, "outputs": ["oci"]}
        });
        for (key, value) in spec.as_object().unwrap() {
            document["spec"][key] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    fn all(resolved: &Resolved) -> Vec<&str> {
        resolved.categories.iter().flat_map(|c| &c.packages).map(PackageName::as_str).collect()
    }

    fn words(resolved: &Resolved) -> String {
        resolved.warnings.iter().map(|w| format!("{}: {} {}\n", w.field, w.message, w.hint)).collect()
    }

    #[test]
    fn one_spec_on_eight_distributions() {
        let spec =
            serde_json::json!({"packages": {"development": ["docker", "python"], "servers": ["nginx"]}});
        let names = |base: &str, suite: &str| {
            let settings = PackageSettings { repositories: vec!["docker".to_owned()], ..Default::default() };
            let resolved = packages(&image(base, suite, spec.clone()), &settings);
            assert_eq!(resolved.kernel.len(), 1, "{base}");
            assert_eq!(resolved.services.len(), 2, "{base}: {:?}", resolved.services);
            all(&resolved).join(" ")
        };
        assert_eq!(names("arch", "rolling"), "docker python nginx");
        assert_eq!(names("debian", "bookworm"), "docker.io python3 nginx");
        assert_eq!(names("ubuntu", "noble"), "docker.io python3 nginx");
        assert_eq!(names("alpine", "3.22"), "docker python3 nginx");
        assert_eq!(names("fedora", "42"), "docker-ce python3 nginx");
        assert_eq!(names("opensuse", "tumbleweed"), "docker python3 nginx");
        assert_eq!(names("void", "rolling"), "docker python3 nginx");
        assert_eq!(names("gentoo", "rolling"), "app-containers/docker dev-lang/python www-servers/nginx");
    }

    /// Section 7.1: in the map and null is a warning, and the package is skipped.
    #[test]
    fn what_is_not_there_is_left_out_with_a_word() {
        let spec = serde_json::json!({"packages": {"security": ["apparmor", "selinux", "some-tool"], "extra": ["nginx"]}});
        let resolved = packages(&image("fedora", "42", spec), &PackageSettings::default());
        assert_eq!(all(&resolved), ["selinux-policy", "some-tool", "nginx"]);
        assert!(
            words(&resolved).contains(
                "Fedora has no apparmor: Fedora's kernel and policies are made for SELinux; left out"
            )
        );
        assert_eq!(resolved.warnings[0].code, ErrorCode::PackageUnavailable);
        assert!(resolved.warnings.iter().all(|w| !w.fatal));
    }

    #[test]
    fn other_repositories_are_used_only_where_they_are_allowed() {
        let image = image("arch", "rolling", serde_json::json!({"packages": {"utils": ["yay"]}}));
        let without = packages(&image, &PackageSettings::default());
        assert!(all(&without).is_empty() && without.repositories.is_empty());
        assert!(words(&without).contains("packages: {repositories: [aur]}"), "{}", words(&without));
        let settings = PackageSettings { repositories: vec!["aur".to_owned()], ..Default::default() };
        let with = packages(&image, &settings);
        // Recipes are built, not downloaded: they stay apart.
        assert_eq!(with.categories[0].recipes, ["yay".parse().unwrap()]);
        assert!(with.repositories.contains("aur") && words(&with).contains("its key is not known here"));
    }

    #[test]
    fn architectures_count() {
        let spec = serde_json::json!({"architecture": "aarch64", "packages": {"ai_ml": ["cuda"]}});
        let resolved = packages(&image("arch", "rolling", spec), &PackageSettings::default());
        assert!(words(&resolved).contains("it is there for x86_64 only"), "{}", words(&resolved));
        assert!(words(&resolved).contains("does not have this kernel"));
    }

    #[test]
    fn unseen_names_and_unknown_suites_are_told() {
        let spec = serde_json::json!({"packages": {"utils": ["postgresq"], "development": ["bazel"]}});
        let told = words(&packages(&image("opensuse", "leap-42.3", spec), &PackageSettings::default()));
        assert!(told.contains("the names were made for leap-15.6"), "{told}");
        assert!(told.contains("nobody has seen bazel in openSUSE"), "{told}");
        assert!(told.contains("postgresq is in no table") && told.contains("postgresql"), "{told}");
    }

    #[test]
    fn groups_stay_apart() {
        let spec = serde_json::json!({"packages": {"base": ["base-devel", "sudo"]}});
        let resolved = packages(&image("fedora", "42", spec), &PackageSettings::default());
        assert_eq!(resolved.categories[0].groups[0].as_str(), "development-tools");
        assert_eq!(all(&resolved), ["sudo"]);
    }

    /// Every name of every row resolves everywhere to packages or to a reason.
    #[test]
    fn every_row_resolves_everywhere() {
        for base in Base::all() {
            let names: Vec<&str> = tables::rows().iter().map(|r| r.name.as_str()).collect();
            let suite = tables::of(base).suites().next().unwrap();
            let spec = serde_json::json!({"packages": {"utils": names}});
            let resolved = packages(&image(base.as_str(), suite, spec), &PackageSettings::default());
            let found = &resolved.categories[0];
            let count = found.packages.len() + found.groups.len();
            let known = tables::of(base).suite(suite);
            let offers = tables::rows().iter().filter_map(|row| row.on(base)?.on(known).offer());
            // Some names are several packages.
            let more: usize = offers.map(|offer| offer.packages.len().saturating_sub(1)).sum();
            let without = resolved.warnings.iter().filter(|w| w.message.ends_with("left out")).count();
            assert!(
                count > 120 && count + without <= names.len() + more,
                "{}: {count} {without}",
                base.as_str()
            );
        }
    }
}
