//! What an unpacked root has to show.

pub use crate::verify::judge::Judgement;

use super::databases::{self, Database};
use crate::effects::process::Output;
use crate::effects::sandbox::TOOL_ROOT;
use crate::effects::{Cancel, Sandbox};
use crate::model::failure::IoContext;
use crate::model::probe::BUILD_ID_PATH;
use crate::model::spec::Architecture;
use crate::model::{Digest, Result};
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a tool inside may take.
const LIMIT: Duration = Duration::from_mins(2);
/// Where rpm's database is.
const RPM_DATABASE: &str = "usr/lib/sysimage/rpm";
/// So many of one kind of complaint are shown.
const SHOWN: usize = 10;

/// An unpacked root.
#[derive(Debug)]
pub struct Root<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// What its programs are made for.
    pub architecture: Architecture,
    /// What it must be.
    pub build_id: &'a Digest,
    /// What it starts by default.
    pub command: Option<&'a [String]>,
    /// Where the sandbox keeps its changes.
    pub scratch: &'a Path,
    /// Whether to stop.
    pub cancel: &'a Cancel,
}

/// One way to look at a root.
type Look = for<'r, 's> fn(&'r Root<'s>) -> Result<Judgement>;

impl Root<'_> {
    /// All of them, with the names of their checks.
    pub const LOOKS: [(&'static str, Look); 6] = [
        ("build-id", |r| r.build_id()),
        ("files", |r| r.files()),
        ("dpkg-audit", |r| r.dpkg_audit()),
        ("packages", |r| r.packages()),
        ("start", |r| r.start()),
        ("command", |r| r.default_command()),
    ];

    /// Runs a program of the root in the sandbox, without network.
    fn inside(&self, program: &str, args: &[&str]) -> Result<Output> {
        // A fresh one each time: no look sees what another one left, and overlayfs refuses
        // to mount a volatile upper folder twice.
        let scratch = tempfile::tempdir_in(self.scratch)
            .during(|| format!("making a folder in {}", self.scratch.display()))?;
        let output = Sandbox::new(&[self.path.to_owned()], scratch.path())?
            .running(self.architecture)?
            .process(program)?
            .args(args)
            .timeout(LIMIT)
            .run(self.cancel)?;
        // A host that is at its end says nothing about the image.
        if output.host_trouble().is_some() { Err(output.failure()) } else { Ok(output) }
    }

    /// It carries the build id of this build.
    fn build_id(&self) -> Result<Judgement> {
        let mut judgement = Judgement::default();
        match self.small_file(Path::new(BUILD_ID_PATH)) {
            Some(bytes) if bytes.trim_ascii() == self.build_id.hex().as_bytes() => {
                judgement.findings.push(format!("build id: {}", self.build_id));
            }
            Some(bytes) => judgement.reasons.push(format!(
                "/{BUILD_ID_PATH} says {:?}, build {} was expected",
                String::from_utf8_lossy(bytes.trim_ascii()),
                self.build_id.hex()
            )),
            None => judgement.reasons.push(format!("/{BUILD_ID_PATH} is missing or no plain file")),
        }
        Ok(judgement)
    }

    /// A plain file of at most 4 KiB, if no part of its path is a symbolic link.
    fn small_file(&self, path: &Path) -> Option<Vec<u8>> {
        let mut place = self.path.to_owned();
        for part in path.components() {
            place.push(part);
            if place.symlink_metadata().ok()?.is_symlink() {
                return None;
            }
        }
        let plain = place.symlink_metadata().ok()?.is_file();
        plain.then(|| crate::effects::files::read_if_exists(&place, 4096).ok().flatten())?
    }

    /// No file that anybody may change, and nothing that must differ from machine to machine.
    fn files(&self) -> Result<Judgement> {
        let mut complaints = Complaints::default();
        let mut folders = vec![PathBuf::new()];
        let mut count = 0_usize;
        while let Some(folder) = folders.pop() {
            self.cancel.check()?;
            let here = self.path.join(&folder);
            let reading = || format!("reading {}", here.display());
            for entry in std::fs::read_dir(&here).during(reading)? {
                let entry = entry.during(reading)?;
                let path = folder.join(entry.file_name());
                // `DirEntry::metadata` does not follow links.
                let metadata = entry.metadata().during(reading)?;
                count += 1;
                complaints.look_at(&path, &metadata);
                if metadata.is_dir() {
                    folders.push(path);
                }
            }
        }
        let machine_id = Path::new("etc/machine-id");
        if let Some(bytes) = self.small_file(machine_id)
            && !matches!(bytes.trim_ascii(), b"" | b"uninitialized")
        {
            complaints.personal.push("/etc/machine-id has a machine's identity in it".to_owned());
        }
        Ok(complaints.into_judgement(count))
    }

    /// `dpkg --audit` (dpkg(1)) finds nothing half-installed.
    fn dpkg_audit(&self) -> Result<Judgement> {
        if self.has_rpm() {
            return self.rpm("--verifydb", &[]);
        }
        if let Some(database) = self.other_database() {
            let findings = vec![format!("no dpkg: packages are in /{}", database.path)];
            return Ok(Judgement { reasons: Vec::new(), findings });
        }
        let output = self.inside("/usr/bin/dpkg", &["--audit"])?;
        let mut judgement = Judgement::default();
        if output.status.success() && output.stdout.iter().all(u8::is_ascii_whitespace) {
            judgement.findings.push("dpkg --audit: nothing to complain about".to_owned());
        } else {
            let mut words = output.text();
            words.push_str(&output.errors());
            judgement.reasons.push(format!("dpkg --audit complains: {}", first_lines(&words)));
        }
        Ok(judgement)
    }

    /// Every package in the database is wholly installed.
    fn packages(&self) -> Result<Judgement> {
        if self.has_rpm() {
            return self.rpm("-Va", &["--nofiles"]);
        }
        if let Some(database) = self.other_database() {
            return databases::judge(self.path, database);
        }
        let format = "-f=${db:Status-Abbrev}|${Package}|${Version}|${Architecture}\n";
        let output = self.inside("/usr/bin/dpkg-query", &["-W", format])?;
        if !output.status.success() {
            let reasons = vec![format!("the package database cannot be read: {}", output.tail())];
            return Ok(Judgement { reasons, findings: Vec::new() });
        }
        Ok(judge_packages(&output.text()))
    }

    /// Whether its packages are rpm's.
    fn has_rpm(&self) -> bool {
        self.path.join(RPM_DATABASE).join("rpmdb.sqlite").symlink_metadata().is_ok_and(|m| m.is_file())
    }

    /// What rpm says of its database. It is the host's: the root may have none.
    fn rpm(&self, question: &str, more: &[&str]) -> Result<Judgement> {
        let scratch = tempfile::tempdir_in(self.scratch)
            .during(|| format!("making a folder in {}", self.scratch.display()))?;
        let output = Sandbox::new(&[self.path.to_owned()], scratch.path())?
            .tool("/usr/bin/rpm")?
            .args(["--root", TOOL_ROOT, "--dbpath", &format!("/{RPM_DATABASE}"), question])
            .args(more)
            .timeout(LIMIT)
            .run(self.cancel)?;
        if output.host_trouble().is_some() {
            return Err(output.failure());
        }
        let mut judgement = Judgement::default();
        if output.status.success() {
            judgement.findings.push(format!("rpm {question}: nothing to complain about"));
        } else {
            let words = format!("{}{}", output.text(), output.errors());
            judgement.reasons.push(format!("rpm {question} complains: {}", first_lines(&words)));
        }
        Ok(judgement)
    }

    /// The package database of a root that is none of dpkg's.
    fn other_database(&self) -> Option<&'static Database> {
        let dpkg = self.path.join("var/lib/dpkg").symlink_metadata().is_ok_and(|m| m.is_dir());
        databases::find(self.path).filter(|_| !dpkg)
    }

    /// A process starts in it.
    fn start(&self) -> Result<Judgement> {
        let output = self.inside("/bin/sh", &["-c", "echo \"answer $((6 * 7)) as $(id -u)\""])?;
        let mut judgement = Judgement::default();
        if output.status.success() && output.text().trim() == "answer 42 as 0" {
            judgement.findings.push("a shell starts and computes".to_owned());
        } else {
            judgement.reasons.push(format!("no shell starts ({}): {}", output.status, output.tail()));
        }
        Ok(judgement)
    }

    /// What the image starts by default is there and may be started.
    fn default_command(&self) -> Result<Judgement> {
        let mut judgement = Judgement::default();
        let Some(program) = self.command.and_then(<[String]>::first) else {
            judgement.reasons.push("the image has neither an entry point nor a command".to_owned());
            return Ok(judgement);
        };
        let script = "place=$(command -v \"$1\") && test -f \"$place\" && test -x \"$place\"";
        let output = self.inside("/bin/sh", &["-c", script, "sh", program])?;
        if output.status.success() && !program.starts_with('-') {
            judgement.findings.push(format!("default command: {program}"));
        } else {
            judgement.reasons.push(format!("the default command {program:?} is not in the image"));
        }
        Ok(judgement)
    }
}

/// What is wrong with files.
#[derive(Debug, Default)]
struct Complaints {
    writable: Vec<String>,
    personal: Vec<String>,
}

impl Complaints {
    fn look_at(&mut self, path: &Path, metadata: &Metadata) {
        let mode = metadata.permissions().mode();
        // A folder with the sticky bit is made for everybody: /tmp, /var/tmp, /run/lock.
        let shared = metadata.is_dir() && mode & 0o1000 != 0;
        let kept = metadata.is_file() || metadata.is_dir();
        let text = format!("/{}", path.display());
        if kept && mode & 0o002 != 0 && !shared {
            self.writable.push(format!("anybody may write to {text} (mode {:o})", mode & 0o7777));
        }
        let secret = text.starts_with("/etc/ssh/ssh_host_") && metadata.is_file();
        let bus = text == "/var/lib/dbus/machine-id" && metadata.is_file() && metadata.size() > 0;
        let seed = text == "/var/lib/systemd/random-seed";
        if secret || bus || seed {
            self.personal.push(format!("{text} would be the same on every machine"));
        }
    }

    fn into_judgement(mut self, count: usize) -> Judgement {
        let findings = vec![
            format!("files: {count}"),
            format!("files that anybody may write to: {}", self.writable.len()),
            format!("identities of one machine: {}", self.personal.len()),
        ];
        self.writable.sort();
        self.personal.sort();
        let mut reasons = Vec::new();
        for list in [self.writable, self.personal] {
            let more = list.len().saturating_sub(SHOWN);
            reasons.extend(list.into_iter().take(SHOWN));
            if more > 0 {
                reasons.push(format!("and {more} more"));
            }
        }
        Judgement { findings, reasons }
    }
}

/// Judges `status|name|version|architecture` lines.
fn judge_packages(text: &str) -> Judgement {
    let mut judgement = Judgement::default();
    let mut count = 0_usize;
    for line in text.lines() {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        match fields.as_slice() {
            // Installed, whether wanted or held (dpkg-query(1)).
            ["ii" | "hi", name, version, architecture]
                if ![name, version, architecture].iter().any(|f| f.is_empty()) =>
            {
                count += 1;
            }
            [status, name, ..] => judgement.reasons.push(format!("package {name} is in state {status:?}")),
            _ => judgement.reasons.push(format!("a line of the package database makes no sense: {line:?}")),
        }
    }
    if count == 0 {
        judgement.reasons.push("the package database is empty".to_owned());
    }
    judgement.findings.push(format!("packages installed: {count}"));
    judgement
}

fn first_lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).take(SHOWN).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_root(build: impl FnOnce(&Path), look: impl FnOnce(&Root)) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("etc/ssh")).unwrap();
        std::fs::create_dir_all(root.join("usr/lib/bootwright")).unwrap();
        build(&root);
        let (build_id, cancel) = (Digest::of("build"), Cancel::default());
        look(&Root {
            path: &root,
            architecture: Architecture::default(),
            build_id: &build_id,
            command: None,
            scratch: folder.path(),
            cancel: &cancel,
        });
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_build_id_must_be_there_and_ours() {
        let id = |content: &'static str, ok: bool| {
            with_root(
                |root| std::fs::write(root.join(BUILD_ID_PATH), content).unwrap(),
                |root| assert_eq!(root.build_id().unwrap().reasons.is_empty(), ok, "{content:?}"),
            );
        };
        let ours: &'static str = Box::leak(format!("{}\n", Digest::of("build").hex()).into_boxed_str());
        id(ours, true);
        id("", false);
        id("0000000000000000000000000000000000000000000000000000000000000000\n", false);
        with_root(|_| {}, |root| assert_eq!(root.build_id().unwrap().reasons.len(), 1));
        // A link out of the root is not followed, even if the right words lie there.
        with_root(
            |root| {
                let outside = root.join("../outside");
                std::fs::write(&outside, ours).unwrap();
                std::os::unix::fs::symlink(outside, root.join(BUILD_ID_PATH)).unwrap();
            },
            |root| assert_eq!(root.build_id().unwrap().reasons.len(), 1),
        );
    }

    #[test]
    fn files_for_everybody_and_identities_are_refused() {
        let reasons = |build: fn(&Path)| {
            let mut reasons = Vec::new();
            with_root(build, |root| reasons = root.files().unwrap().reasons);
            reasons.join("; ")
        };
        assert_eq!(
            reasons(|root| {
                std::fs::create_dir(root.join("tmp")).unwrap();
                mode(&root.join("tmp"), 0o1777);
                std::fs::write(root.join("etc/machine-id"), "uninitialized\n").unwrap();
                std::os::unix::fs::symlink("/nowhere", root.join("etc/link")).unwrap();
            }),
            ""
        );
        assert_eq!(
            reasons(|root| {
                std::fs::write(root.join("etc/x"), "").unwrap();
                mode(&root.join("etc/x"), 0o666);
            }),
            "anybody may write to /etc/x (mode 666)"
        );
        assert!(reasons(|root| mode(&root.join("etc/ssh"), 0o777)).contains("/etc/ssh"));
        assert!(
            reasons(|root| std::fs::write(root.join("etc/machine-id"), "0123").unwrap()).contains("identity")
        );
        assert!(
            reasons(|root| std::fs::write(root.join("etc/ssh/ssh_host_rsa_key"), "k").unwrap())
                .contains("every machine")
        );
    }

    #[test]
    fn packages_must_be_wholly_installed() {
        assert_eq!(judge_packages("ii |bash|5.2|amd64\nhi |dash|0.5|amd64\n").reasons, Vec::<String>::new());
        for bad in ["", "iU |bash|5.2|amd64\n", "rc |bash|5.2|amd64\n", "ii |bash||amd64\n", "what\n"] {
            assert!(!judge_packages(bad).reasons.is_empty(), "{bad:?}");
        }
    }
}
