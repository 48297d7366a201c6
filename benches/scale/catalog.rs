//! A synthetic catalog in git: specs of about 40 lines, locks of about 170 packages, an
//! overlay for every fourth image, one script that all of them share.

use crate::releases;
use bootwright::catalog::{self, Location, lock_path, lock_text, scaffold};
use bootwright::effects::files::remove_tree;
use bootwright::effects::{Cancel, Process};
use bootwright::model::catalog::Catalog;
use bootwright::model::failure::IoContext;
use bootwright::model::lock::{LOCK_VERSION, LockedIndex, LockedPackage};
use bootwright::model::{Digest, Failure, Lock, OsImage, Result};
use bootwright::release::{PublicKey, keys};
use bootwright::resolve;
use std::path::{Path, PathBuf};

/// The signing keys' places; the second one only where there are two.
const KEYS: [&str; 2] = ["keys/bootwright.key", "keys/second.key"];
/// Two keys that begin and end, both of which must have signed.
const DATED_KEYS: &str = "
signing:
  threshold: 2
  keys:
    - {name: first, public: keys/bootwright.pub, private: keys/bootwright.key, from: 2026-01-01, until: 2036-01-01}
    - {name: second, public: keys/second.pub, private: keys/second.key, from: 2026-06-01, until: 2037-01-01}
";
/// A policy of a house: rules of every kind that may speak when a plan is made. `ID` stands for
/// the keys' ids.
const HOUSE: &str = "apiVersion: bootwright/v1
kind: Policy
metadata: {name: house, description: What every gateway keeps to}
spec:
  rules:
    - {id: debian-only, allowedBases: [debian]}
    - {id: current-suite, allowedSuites: [bookworm]}
    - {id: no-telnet, forbiddenPackages: [telnetd, '*-telnetd', 'inetutils-*', rsh-server]}
    - {id: has-ssh, requiredPackages: ['openssh-server', 'libsynthetic*']}
    - {id: reviewed, lockRequired: true}
    - {id: fits, maxSizes: {iso: 2GiB, oci: 2GiB}}
    - {id: same-bytes, reproducible: true}
    - {id: young, severity: warning, maxAgeDays: 3650}
    - {id: signers, allowedSigners: [ID]}
    - {id: no-empty-passwords, noEmptyPasswords: true, select: {images: ['site-*'], channels: [stable]}}
";
/// Written when everything is made; its text is the form of what was made.
const DONE: &str = "made";
const FORM: &str = "4";
/// The date of the commit and of the locks' indexes.
const DATE: &str = "2026-11-20T03:00:00Z";
/// The caches, as the settings say.
const CACHE: &str = ".bootwright";

/// What a catalog has beside its images.
#[derive(Clone, Copy, Debug, Default)]
pub struct Variant {
    /// A policy of ten rules.
    pub policies: bool,
    /// Two dated keys, both of which must have signed, instead of one without an end.
    pub keys: bool,
}

impl Variant {
    /// `-policies-keys`, for the name of a folder.
    pub fn suffix(self) -> String {
        let parts = [(self.policies, "-policies"), (self.keys, "-keys")];
        parts.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect()
    }
}

/// A catalog, its store and its state.
pub struct World {
    /// The catalog's folder.
    pub folder: PathBuf,
    /// How many images it has.
    pub size: usize,
}

impl World {
    /// The catalog in `folder`, made if it is not there.
    pub fn prepare(folder: &Path, size: usize, packages: usize, variant: Variant) -> Result<Self> {
        let world = Self { folder: folder.to_owned(), size };
        let done = folder.join(DONE);
        if std::fs::read_to_string(&done).is_ok_and(|form| form == FORM) {
            return Ok(world);
        }
        eprintln!("making {size} images in {}", folder.display());
        remove_tree(folder)?;
        world.write_catalog(packages, variant)?;
        let catalog = world.load()?;
        let keys: Vec<PathBuf> = world.keys(variant);
        releases::publish_all(&catalog, &folder.join("releases"), &keys)?;
        // What git has is what is read; the files would only take room.
        remove_tree(&folder.join("specs"))?;
        write(&done, FORM)?;
        Ok(world)
    }

    fn keys(&self, variant: Variant) -> Vec<PathBuf> {
        KEYS[..if variant.keys { 2 } else { 1 }].iter().map(|key| self.folder.join(key)).collect()
    }

    fn write_catalog(&self, packages: usize, variant: Variant) -> Result<()> {
        let folder = &self.folder;
        let settings = match variant.keys {
            true => scaffold::settings_text(&[], None) + DATED_KEYS,
            false => scaffold::settings_text(&[], Some(KEYS[0])),
        };
        write(&folder.join("bootwright.yaml"), &settings)?;
        let mut ids = Vec::new();
        for key in self.keys(variant) {
            keys::write_key_pair(&key, None)?;
            ids.push(PublicKey::load(&key.with_extension("pub"))?.id().hex());
        }
        if variant.policies {
            write(&folder.join("policies/house.yaml"), &HOUSE.replace("ID", &ids.join(", ")))?;
        }
        write(&folder.join("specs/scripts/quiet.sh"), "#!/bin/sh\nset -e\nrm -f /etc/motd\n")?;
        for n in 0..self.size {
            let (name, text) = spec(n);
            write(&folder.join(format!("specs/{name}.yaml")), &text)?;
            if n % 4 == 0 {
                write(&folder.join(format!("specs/overlays/{name}/etc/site.conf")), &format!("site {n}\n"))?;
            }
        }
        // The locks answer what the specs ask, as the catalog itself reads them.
        for (name, document) in &self.load()?.images {
            write(&folder.join(lock_path(name)), &lock_text(&lock(&document.spec, packages)?))?;
        }
        self.git(&["init", "-q", "-b", "main"])?;
        self.git(&["-c", "core.compression=1", "add", "bootwright.yaml", "specs"])?;
        if variant.policies {
            self.git(&["add", "policies"])?;
        }
        self.git(&["commit", "-q", "-m", "Images"])?;
        self.git(&["-c", "pack.window=0", "repack", "-adq"]).map(|_| ())
    }

    fn load(&self) -> Result<Catalog> {
        let files = catalog::read(&Location::WorkTree(self.folder.clone()), Path::new(""))?;
        catalog::load(&files).map_err(|found| catalog::diagnostic::failure(&found))
    }

    /// Deletes all caches and the state, which may be deleted at any time.
    pub fn forget(&self) -> Result<()> {
        remove_tree(&self.folder.join(CACHE))
    }

    /// Commits a change of one spec and gives the commit before.
    pub fn change_one_spec(&self) -> Result<String> {
        let before = self.git(&["rev-parse", "HEAD"])?;
        let (name, text) = spec(self.size / 2);
        let changed = text.replace("timeout: 1", "timeout: 2");
        let blob = self.git_with(&["hash-object", "-w", "--stdin"], changed)?;
        self.git(&["read-tree", "HEAD"])?;
        self.git(&["update-index", "--cacheinfo", &format!("100644,{blob},specs/{name}.yaml")])?;
        self.git(&["commit", "-q", "-m", "A longer boot menu"])?;
        Ok(before)
    }

    /// Makes `commit` the branch's again.
    pub fn go_back_to(&self, commit: &str) -> Result<()> {
        self.git(&["update-ref", "refs/heads/main", commit]).map(|_| ())
    }

    /// Fails unless the plan is empty: what is measured must be what it is called.
    pub fn nothing_to_do(&self, program: &Path) -> Result<()> {
        self.steps(program, 0)
    }

    /// Fails unless the plan has exactly one step.
    pub fn one_thing_to_do(&self, program: &Path) -> Result<()> {
        self.steps(program, 1)
    }

    fn steps(&self, program: &Path, wanted: usize) -> Result<()> {
        let args = ["--output", "json", "--rev", "HEAD", "plan"];
        let output = Process::new(program).args(args).dir(&self.folder).check(&Cancel::default())?;
        let plan: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|e| Failure::bug(e.to_string()))?;
        let count = |place: &str| plan.pointer(place).and_then(|v| v.as_array()).map_or(usize::MAX, Vec::len);
        let (steps, reports) = (count("/plan/steps"), count("/report"));
        if (steps, reports) == (wanted, self.size) {
            return Ok(());
        }
        Err(Failure::bug(format!(
            "{} images: {steps} steps and {reports} reports where {wanted} and {} should be",
            self.size, self.size
        )))
    }

    fn git(&self, args: &[&str]) -> Result<String> {
        self.git_with(args, String::new())
    }

    fn git_with(&self, args: &[&str], stdin: String) -> Result<String> {
        let identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid"];
        let process = Process::new("git").args(identity).args(args).dir(&self.folder).stdin(stdin);
        let process = process.env("GIT_COMMITTER_DATE", DATE).env("GIT_AUTHOR_DATE", DATE);
        Ok(process.env("GIT_CONFIG_GLOBAL", "/dev/null").check(&Cancel::default())?.text().trim().to_owned())
    }
}

/// Name and text of one spec.
fn spec(n: usize) -> (String, String) {
    let name = format!("site-{n:05}");
    let text = format!(
        r#"# Gateway of site {n}.
apiVersion: bootwright/v1
kind: OsImage
metadata:
  name: {name}
  description: Gateway of site {n}
  labels: {{role: gateway, region: region-{region}}}
spec:
  base: debian
  suite: bookworm
  architecture: x86_64
  outputs: [iso, oci]
  channel: stable
  schedule: "{minute} 3 * * 1"
  scheduleTimeZone: Etc/UTC
  kernel: {{version: linux-lts}}
  packages:
    networking: [ca-certificates, curl]
    servers: [nginx]
    utils: [less]
  defaults:
    hostname: {name}
    users:
      - name: admin
        sshKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAxjweeCU3cN1JeEc92uw8BYH/IEhaqAaZL5BvZC0ESS site {n}"]
  services:
    enable: [nginx.service]
  securityFeatures:
    firewall:
      backend: nftables
      policy: deny
      rules:
        - {{action: allow, port: 22, protocol: tcp}}
        - {{action: allow, port: 80, protocol: tcp}}
    ssh: {{port: 22, maxRetries: 3, allowUsers: [admin]}}
  customization:
    bootloader: {{title: Site {n}, timeout: 1}}
  postInstall:
    scripts: [specs/scripts/quiet.sh]
  verify:
    boot: [bios, uefi]
    units: [nginx.service, ssh.service]
  limits: {{isoSize: 1GiB}}
"#,
        region = n % 20,
        minute = n % 60,
    );
    (name, text)
}

/// A lock that answers the spec and has as many packages as asked for.
fn lock(image: &OsImage, packages: usize) -> Result<Lock> {
    let request = resolve::request(image, &bootwright::model::packaging::PackageSettings::default())
        .map_err(|problems| Failure::bug(format!("a synthetic spec was refused: {problems:?}")))?;
    let name = image.metadata.name.as_str();
    let mut all = Vec::new();
    let package = |layer: &str, package: &str| -> Result<LockedPackage> {
        let version = format!("1.{}-{}+deb12u1", name.len(), package.len());
        Ok(LockedPackage {
            name: package.parse().map_err(|e| Failure::bug(format!("{e}")))?,
            sha256: Digest::of(format!("{name} {layer} {package}")),
            size: 10_000 + package.len() as u64,
            path: format!("pool/main/{}/{package}/{package}_{version}_amd64.deb", &package[..1]),
            suite: "bookworm".to_owned(),
            layer: layer.to_owned(),
            architecture: "amd64".to_owned(),
            version,
            wave: 0,
        })
    };
    for layer in &request.layers {
        for asked in &layer.packages {
            all.push(package(&layer.name, asked.as_str())?);
        }
    }
    let first = request.layers.first().map(|layer| layer.name.clone()).unwrap_or_default();
    for n in all.len()..packages {
        all.push(package(&first, &format!("libsynthetic{n}-dependency"))?);
    }
    let index = LockedIndex {
        suite: "bookworm".to_owned(),
        date: DATE.parse().map_err(|e| Failure::bug(format!("{e}")))?,
        digest: Digest::of("InRelease"),
        keyring: Digest::of("keyring"),
    };
    Ok(Lock {
        dates: Vec::new(),
        passed_over: Vec::new(),
        lock_version: LOCK_VERSION,
        image: image.metadata.name.clone(),
        request,
        indexes: vec![index],
        packages: all,
    })
}

/// Writes a file and the folders above it.
fn write(path: &Path, text: &str) -> Result<()> {
    let folder = bootwright::effects::files::parent(path);
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    std::fs::write(path, text).during(|| format!("writing {}", path.display()))
}
