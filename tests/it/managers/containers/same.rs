//! A container and an image of one spec are the same system: every file with kind, mode, owner,
//! attributes and content, and every package with its version. What may differ is a table.

use super::super::{command, must};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

/// What may differ: a path, or a folder (with a slash at its end) and all that is in it, and why.
const MAY_DIFFER: &[(&str, &str)] = &[
    ("boot/", "a container starts no kernel"),
    ("usr/lib/modules/", "a container starts no kernel"),
    ("usr/lib/bootwright/", "an image is asked by its verifier; a container is not"),
    ("dev/", "made when a system starts"),
    ("proc/", "made when a system starts"),
    ("run/", "made when a system starts"),
    ("sys/", "made when a system starts"),
    ("tmp/", "made when a system starts"),
    ("etc/resolv.conf", "an engine lends its host's to every step"),
    ("var/cache/", "caches of programs"),
    ("var/log/", "what the building did, with its times"),
    ("var/lib/script-ran", "what a package's script of these tests saw of the network"),
    ("etc/portage/gnupg/", "whom a container's portage trusts; an image is given its keys by who updates it"),
    ("var/db/repos/", "a container fetches the repository"),
    ("var/lib/gentoo/", "news of that repository"),
    ("var/lib/portage/", "what is asked for by hand"),
    ("var/tmp/portage/", "an empty folder that portage works in"),
    // Databases: what they say of packages is compared by itself.
    ("var/lib/dpkg/", "read as a database"),
    ("var/lib/apt/", "an engine keeps it apart; what is asked for by hand"),
    ("var/lib/pacman/", "read as a database"),
    ("usr/lib/sysimage/rpm/", "read as a database"),
    ("var/lib/dnf/", "dnf's own history"),
    ("var/lib/zypp/", "zypper's own history"),
    ("var/lib/YaST2/", "cookies of zypper's downloads"),
    ("usr/lib/apk/", "read as a database"),
    ("var/db/pkg/", "read as a database"),
    ("var/db/xbps/", "read as a database"),
    // Copies from before the last change, by the programs that change accounts.
    ("etc/group-", "a copy from before the last change"),
    ("etc/gshadow-", "a copy from before the last change"),
    ("etc/passwd-", "a copy from before the last change"),
    ("etc/shadow-", "a copy from before the last change"),
    ("etc/subgid-", "a copy from before the last change"),
    ("etc/subuid-", "a copy from before the last change"),
];

/// Longer texts are shown by their digest.
const SHOWN: usize = 2048;

/// What a root holds.
pub struct Root {
    /// By path: kind, mode, owner, where it leads, attributes, content.
    pub files: BTreeMap<String, String>,
    /// By name: the version.
    pub packages: BTreeMap<String, String>,
}

impl Root {
    /// Reads a root filesystem archive (tar, zstd).
    pub fn read(archive: &Path) -> Self {
        let mut tar = tar::Archive::new(zstd::Decoder::new(fs::File::open(archive).unwrap()).unwrap());
        let mut root = Self { files: BTreeMap::new(), packages: BTreeMap::new() };
        let mut again: Vec<(String, String)> = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = plain(&entry.path().unwrap().to_string_lossy());
            let link = entry.link_name().unwrap().map(|to| to.to_string_lossy().into_owned());
            if entry.header().entry_type().is_hard_link() {
                again.push((path, plain(&link.unwrap())));
                continue;
            }
            let attributes = attributes(&mut entry);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            root.packages.extend(database(&path, &bytes));
            let header = entry.header();
            let mode = if link.is_some() { 0o777 } else { header.mode().unwrap() & 0o7777 };
            let said = format!(
                "{:?} {mode:o} {}:{}{}{attributes} {}",
                header.entry_type(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                link.map(|to| format!(" -> {to}")).unwrap_or_default(),
                content(&path, &bytes)
            );
            root.files.insert(path, said);
        }
        // A second name of a file is the file.
        for (path, to) in again {
            let said = root.files[&to].clone();
            root.files.insert(path, said);
        }
        root
    }

    /// What is there must say these words.
    pub fn says(&self, path: &str, words: &str) {
        let said = self.files.get(path).unwrap_or_else(|| panic!("{path} is not there"));
        assert!(said.contains(words), "{path}: {said}");
    }
}

fn plain(path: &str) -> String {
    path.trim_start_matches("./").trim_matches('/').to_owned()
}

/// Extended attributes, such as what a program may do without being root's.
fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> String {
    let Some(extensions) = entry.pax_extensions().unwrap() else { return String::new() };
    let mut found = BTreeSet::new();
    for extension in extensions {
        let extension = extension.unwrap();
        if let Some(name) = extension.key().unwrap().strip_prefix("SCHILY.xattr.") {
            found.insert(format!(" {name}={}", hex::encode(extension.value_bytes())));
        }
    }
    found.into_iter().collect()
}

fn content(path: &str, bytes: &[u8]) -> String {
    let digest = || format!("{} bytes, {}", bytes.len(), hex::encode(Sha256::digest(bytes)));
    let Ok(text) = std::str::from_utf8(bytes) else { return digest() };
    if path == "etc/shadow" {
        // The third field is the day of the change.
        let line = |line: &str| {
            let fields = line.split(':').enumerate().filter(|(place, _)| *place != 2);
            fields.map(|(_, field)| format!("{field}:")).collect::<String>() + "\n"
        };
        return text.lines().map(line).collect();
    }
    if text.len() > SHOWN { digest() } else { text.to_owned() }
}

/// The packages that a file of a package database names.
fn database(path: &str, bytes: &[u8]) -> Vec<(String, String)> {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let stanzas = |name: &str, version: &str| -> Vec<(String, String)> {
        let field = |stanza: &str, field: &str| {
            stanza.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
        };
        let text = text();
        text.split("\n\n").filter_map(|s| Some((field(s, name)?, field(s, version)?))).collect()
    };
    match path {
        "var/lib/dpkg/status" => {
            let half =
                text().lines().filter(|l| l.starts_with("Status:")).any(|l| !l.ends_with(" ok installed"));
            assert!(!half, "a package is half installed:\n{}", text());
            stanzas("Package:", "Version:")
        }
        "var/db/xbps/pkgdb-0.38.plist" => {
            let read = "import plistlib,sys\nfor n,p in plistlib.load(sys.stdin.buffer).items():\n  \
                if 'pkgver' in p: print(n, p['pkgver'].rsplit('-',1)[1])";
            let dir = tempfile::tempdir().unwrap();
            let list = dir.path().join("list");
            fs::write(&list, bytes).unwrap();
            let listed = must(command("python3").args(["-c", read]).stdin(fs::File::open(list).unwrap()));
            let packages = listed.lines().filter_map(|line| line.split_once(' '));
            packages.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
        }
        "usr/lib/apk/db/installed" | "lib/apk/db/installed" => stanzas("P:", "V:"),
        "usr/lib/sysimage/rpm/rpmdb.sqlite" => {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("rpmdb.sqlite"), bytes).unwrap();
            let mut rpm = command("rpm");
            rpm.env("HOME", dir.path()).arg("--dbpath").arg(dir.path());
            let listed = must(rpm.args(["-qa", "--qf", "%{NAME} %{EVR}.%{ARCH}\n"]));
            // Keys are packages to rpm.
            let packages = listed.lines().filter(|line| !line.starts_with("gpg-pubkey "));
            packages
                .filter_map(|line| line.split_once(' '))
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect()
        }
        _ => {
            if let Some(name) =
                path.strip_prefix("var/lib/pacman/local/").and_then(|p| p.strip_suffix("/desc"))
            {
                let (rest, release) = name.rsplit_once('-').unwrap();
                let (name, version) = rest.rsplit_once('-').unwrap();
                return vec![(name.to_owned(), format!("{version}-{release}"))];
            }
            let of_portage = path.strip_prefix("var/db/pkg/").and_then(|p| p.strip_suffix("/PF"));
            let named = of_portage.and_then(|folder| folder.rsplit_once('-'));
            named.map(|(name, _)| (name.to_owned(), text().trim().to_owned())).into_iter().collect()
        }
    }
}

fn may_differ(path: &str) -> bool {
    // What Python writes beside its modules when it runs as root.
    let compiled = path.split('/').any(|part| part == "__pycache__");
    compiled
        || MAY_DIFFER.iter().any(|(allowed, _)| {
            let folder = allowed.strip_suffix('/');
            path == folder.unwrap_or(allowed) || (folder.is_some() && path.starts_with(allowed))
        })
}

/// What the two do not have in common, by name. `kernel`: packages that a container leaves out.
pub fn differences(image: &Root, container: &Root, kernel: &[&str]) -> Vec<String> {
    assert!(!image.packages.is_empty(), "no package database was found");
    let files = between(&image.files, &container.files).into_iter().filter(|(path, _)| !may_differ(path));
    let packages = between(&image.packages, &container.packages).into_iter();
    let packages = packages.filter(|(name, _)| !kernel.contains(&name.as_str()));
    let packages = packages.map(|(name, said)| (format!("package {name}"), said));
    files
        .filter(|(path, _)| !path.is_empty())
        .chain(packages)
        .map(|(name, said)| format!("{name}\n{said}"))
        .collect()
}

fn between(image: &BTreeMap<String, String>, container: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let names: BTreeSet<&String> = image.keys().chain(container.keys()).collect();
    let differ = names.into_iter().filter(|name| image.get(*name) != container.get(*name));
    let said =
        |of: &BTreeMap<String, String>, name: &String| of.get(name).cloned().unwrap_or("nothing".to_owned());
    differ
        .map(|name| {
            (
                name.clone(),
                format!("  image:     {}\n  container: {}", said(image, name), said(container, name)),
            )
        })
        .collect()
}
