//! The table of outside tools: what each is for and which Debian package has it.
//!
//! `doctor` and `make setup` both go by this table: a test holds `.ci/packages.txt` to it.

use super::ToolState;
use crate::effects::process::find_tool;
use crate::effects::{Cancel, Process};
use crate::model::{FailureClass, Result};
use crate::tables::Manager;
use std::cmp::Ordering;
use std::path::Path;
use std::time::Duration;

/// One outside tool.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// How it is looked for.
    pub probe: Probe,
    /// What it is for, in a few words.
    pub purpose: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// The oldest version that will do, where one is known to be too old.
    pub minimum: Option<&'static str>,
}

/// How a tool is looked for.
#[derive(Debug, Clone, Copy)]
pub enum Probe {
    /// A program, and the argument that makes it say its version.
    Program(&'static str, &'static str),
    /// A file by its absolute path.
    File(&'static str),
}

const fn program(
    name: &'static str,
    version: &'static str,
    package: &'static str,
    purpose: &'static str,
) -> Tool {
    Tool { probe: Probe::Program(name, version), purpose, package, minimum: None }
}

const fn file(path: &'static str, package: &'static str, purpose: &'static str) -> Tool {
    Tool { probe: Probe::File(path), purpose, package, minimum: None }
}

const fn at_least(minimum: &'static str, tool: Tool) -> Tool {
    Tool { minimum: Some(minimum), ..tool }
}

/// Every outside tool, in the order of its use.
pub const TOOLS: &[Tool] = &[
    program("apt-get", "--version", "apt", "resolves packages for locks"),
    program("gpgv", "--version", "gpgv", "checks the signatures of package indexes"),
    file(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        "the keys that Debian signs its indexes with",
    ),
    program("dpkg-deb", "--version", "dpkg", "unpacks packages into layers"),
    // 0.5 brought `--perms`.
    at_least("0.5", program("bwrap", "--version", "bubblewrap", "closes build steps into a sandbox")),
    // 4.4 made images reproducible, 4.5 fixed their times; Debian 12 has 4.5.1.
    at_least("4.5", program("mksquashfs", "-version", "squashfs-tools", "packs layers for live systems")),
    program("unsquashfs", "-version", "squashfs-tools", "looks into packed layers"),
    program("xorriso", "-version", "xorriso", "writes ISO images"),
    program("grub-mkimage", "--version", "grub-common", "makes the BIOS boot loader"),
    program("mkfs.fat", "--help", "dosfstools", "makes the UEFI boot partition"),
    program("mcopy", "--version", "mtools", "fills the UEFI boot partition"),
    program("mke2fs", "-V", "e2fsprogs", "makes the root filesystem of a disk image"),
    program("mkfs.xfs", "-V", "xfsprogs", "makes an XFS root filesystem of a disk image"),
    program("debugfs", "-V", "e2fsprogs", "fills that filesystem without mounting it"),
    program("qemu-system-x86_64", "--version", "qemu-system-x86", "boots images before anything trusts them"),
    file("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf", "UEFI firmware for boots"),
    file("/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "ovmf", "UEFI firmware that insists on Secure Boot"),
    file("/usr/share/OVMF/OVMF_VARS_4M.ms.fd", "ovmf", "Microsoft's keys for that firmware"),
    program("qemu-system-aarch64", "--version", "qemu-system-arm", "boots images for aarch64"),
    file("/usr/share/AAVMF/AAVMF_CODE.fd", "qemu-efi-aarch64", "UEFI firmware for those boots"),
    program(
        "qemu-aarch64-static",
        "--version",
        "qemu-user-static",
        "runs the programs of images for aarch64",
    ),
    program("skopeo", "--version", "skopeo", "copies and inspects OCI images"),
    program("umoci", "--version", "umoci", "unpacks OCI images to inspect them"),
];

/// A tool of a distribution's own, or of a way to build that few take.
#[derive(Debug, Clone, Copy)]
pub struct Special {
    /// Only catalogs with images of these package managers need it; with none, nobody must have it.
    pub managers: &'static [Manager],
    /// The tool; where Debian has no package of it, `package` says where to read about it.
    pub tool: Tool,
}

/// Where it says how to get what Debian has no package of.
pub const ELSEWHERE: &str = "docs/mirrors.md";

const fn special(managers: &'static [Manager], tool: Tool) -> Special {
    Special { managers, tool }
}

/// The package managers of other distributions than Debian and Ubuntu, and container engines.
pub const SPECIAL: &[Special] = &[
    special(
        &[Manager::Pacman],
        program("pacman", "--version", "pacman-package-manager", "resolves and installs Arch's packages"),
    ),
    special(&[Manager::Dnf], program("dnf", "--version", "dnf", "resolves Fedora's packages")),
    special(&[Manager::Zypper], program("zypper", "--version", "zypper", "resolves openSUSE's packages")),
    special(
        &[Manager::Dnf, Manager::Zypper],
        program("rpm", "--version", "rpm", "installs packages of Fedora and openSUSE"),
    ),
    special(
        &[Manager::Apk],
        program("apk", "--version", ELSEWHERE, "resolves and installs Alpine's packages"),
    ),
    special(
        &[Manager::Emerge],
        program("emerge", "--version", ELSEWHERE, "resolves and installs Gentoo's binary packages"),
    ),
    special(&[], program("gpg", "--version", "gpg", "checks who signed OpenWrt's Image Builders")),
    special(&[], program("make", "--version", "make", "runs OpenWrt's Image Builders")),
    special(&[], program("buildah", "--version", "buildah", "builds Containerfiles")),
    special(&[], program("podman", "--version", "podman", "builds Containerfiles")),
];

/// The Debian packages of the whole table, sorted.
pub fn packages() -> Vec<&'static str> {
    let names: std::collections::BTreeSet<_> = TOOLS.iter().map(|t| t.package).collect();
    names.into_iter().collect()
}

impl Probe {
    /// The program's name or the file's path.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Program(name, _) | Self::File(name) => name,
        }
    }
}

impl Tool {
    /// Looks for it and asks its version.
    pub(super) fn look(&self, cancel: &Cancel) -> Result<ToolState> {
        let (path, version) = match self.probe {
            Probe::File(path) => {
                let found = Path::new(path).is_file().then(|| path.into());
                (found, None)
            }
            Probe::Program(name, argument) => match find_tool(name) {
                Some(path) => (Some(path), ask_version(name, argument, cancel)?),
                None => (None, None),
            },
        };
        let Some(path) = path else { return Ok(ToolState::Missing) };
        Ok(match (self.minimum, version) {
            (Some(minimum), Some(version)) if compare(&version, minimum) == Ordering::Less => {
                ToolState::TooOld { path, version }
            }
            (_, version) => ToolState::Found { path, version },
        })
    }
}

/// The version that a tool says; none if it does not say one. Its exit tells nothing:
/// some exit with 1 after saying it.
fn ask_version(name: &str, argument: &str, cancel: &Cancel) -> Result<Option<String>> {
    match Process::new(name).arg(argument).timeout(Duration::from_secs(20)).run(cancel) {
        Ok(output) => Ok(version_in(name, &output.text()).or_else(|| version_in(name, &output.errors()))),
        Err(failure) if failure.class == FailureClass::Cancelled => Err(failure),
        Err(_) => Ok(None),
    }
}

/// The first word of a text that looks like a version: digits with dots between them.
fn version_in(name: &str, text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || "(),:".contains(c));
    words
        .filter(|word| *word != name && word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
        .map(|word| word.trim_end_matches('.'))
        .find(|word| word.contains('.'))
        .map(str::to_owned)
}

/// Compares the leading numbers of two versions: `4.5.1` is newer than `4.5`, `10.0` than `9.9`.
fn compare(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    // First lines of what the tools of Debian 12 say.
    #[test]
    fn versions_are_found_in_what_tools_say() {
        for (name, text, version) in [
            ("mksquashfs", "mksquashfs version 4.5.1 (2022/03/17)\ncopyright (C) 2022", "4.5.1"),
            ("xorriso", "xorriso 1.5.4 : RockRidge filesystem manipulator", "1.5.4"),
            ("dpkg-deb", "Debian 'dpkg-deb' package archive backend version 1.21.22 (amd64).", "1.21.22"),
            ("apt-get", "apt 2.6.1 (amd64)", "2.6.1"),
            ("grub-mkimage", "grub-mkimage (GRUB) 2.06-13+deb12u1", "2.06-13+deb12u1"),
            ("mcopy", "mcopy (GNU mtools) 4.0.32", "4.0.32"),
            ("qemu-system-x86_64", "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", "7.2.22"),
            ("bwrap", "bubblewrap 0.8.0", "0.8.0"),
            ("umoci", "umoci version 0.4.7+ds-3+b7", "0.4.7+ds-3+b7"),
        ] {
            assert_eq!(version_in(name, text).as_deref(), Some(version), "{name}");
        }
        assert_eq!(version_in("x", "no version here."), None);
        assert_eq!(version_in("x", ""), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(compare("4.5.1", "4.5"), Ordering::Greater);
        assert_eq!(compare("4.4", "4.5"), Ordering::Less);
        assert_eq!(compare("10.0", "9.9"), Ordering::Greater);
        assert_eq!(compare("2.06-13+deb12u1", "2.06"), Ordering::Greater);
    }

    #[test]
    fn a_missing_program_leads_to_the_same_package() {
        let special =
            SPECIAL.iter().filter(|special| !special.managers.is_empty()).map(|special| &special.tool);
        for tool in TOOLS.iter().chain(special) {
            if let Probe::Program(name, _) = tool.probe {
                let package = Some(tool.package).filter(|package| *package != ELSEWHERE);
                assert_eq!(crate::tables::tool_package(name), package, "{name}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_missing() {
        let cancel = Cancel::default();
        let tool = program("no-such-tool", "--version", "none", "nothing");
        assert_eq!(tool.look(&cancel).unwrap(), ToolState::Missing);
        assert_eq!(file("/no/such/file", "none", "nothing").look(&cancel).unwrap(), ToolState::Missing);
    }

    #[test]
    fn what_is_too_old_is_said_to_be() {
        let tool = at_least("999.0", program("dpkg-deb", "--version", "dpkg", "unpacks"));
        assert!(matches!(tool.look(&Cancel::default()).unwrap(), ToolState::TooOld { .. }));
    }
}
