//! Package databases that are read without a program: pacman's, portage's, apk's and
//! xbps's.

use crate::effects::files::read_if_exists;
use crate::model::Result;
use crate::model::failure::IoContext;
use crate::model::plist;
use crate::verify::judge::Judgement;
use std::path::Path;

/// The longest database of one file.
const LIMIT: u64 = 256 << 20;

/// One of them.
pub(super) struct Database {
    /// Where it is, without the leading slash.
    pub path: &'static str,
    shape: Shape,
}

/// What it looks like.
enum Shape {
    /// A folder for each package, with this file in it, so many folders deep.
    Folders(&'static str, usize),
    /// One file of stanzas (apk).
    Stanzas,
    /// One property list, which says of each package what state it is in (xbps).
    List,
}

static DATABASES: [Database; 5] = [
    Database { path: "var/lib/pacman/local", shape: Shape::Folders("desc", 0) },
    Database { path: "var/db/pkg", shape: Shape::Folders("SLOT", 1) },
    Database { path: "usr/lib/apk/db/installed", shape: Shape::Stanzas },
    Database { path: "lib/apk/db/installed", shape: Shape::Stanzas },
    Database { path: "var/db/xbps/pkgdb-0.38.plist", shape: Shape::List },
];

/// The database of a root, if it has one of them. No link is followed.
pub(super) fn find(root: &Path) -> Option<&'static Database> {
    DATABASES.iter().find(|database| {
        let mut place = root.to_owned();
        let plain = Path::new(database.path).iter().all(|part| {
            place.push(part);
            place.symlink_metadata().is_ok_and(|m| !m.is_symlink())
        });
        plain && place.is_dir() == matches!(database.shape, Shape::Folders(..)) && place.exists()
    })
}

/// Every package of it is wholly installed.
///
/// # Errors
/// If it cannot be read.
pub(super) fn judge(root: &Path, database: &Database) -> Result<Judgement> {
    let mut judgement = Judgement::default();
    let place = root.join(database.path);
    let count = match database.shape {
        Shape::Folders(file, deep) => folders(&place, file, deep, &mut judgement)?,
        Shape::Stanzas => {
            let bytes = read_if_exists(&place, LIMIT)?.unwrap_or_default();
            stanzas(&String::from_utf8_lossy(&bytes), &mut judgement)
        }
        Shape::List => {
            let bytes = read_if_exists(&place, LIMIT)?.unwrap_or_default();
            list(&String::from_utf8_lossy(&bytes), &mut judgement)
        }
    };
    if count == 0 {
        judgement.reasons.push(format!("/{} knows no package", database.path));
    }
    judgement.findings.push(format!("{count} packages, all installed"));
    Ok(judgement)
}

fn folders(place: &Path, file: &str, deep: usize, judgement: &mut Judgement) -> Result<usize> {
    let reading = || format!("reading {}", place.display());
    let mut count = 0;
    for entry in std::fs::read_dir(place).during(reading)? {
        let entry = entry.during(reading)?;
        if !entry.file_type().during(reading)?.is_dir() {
            continue;
        }
        if deep > 0 {
            count += folders(&entry.path(), file, deep - 1, judgement)?;
            continue;
        }
        count += 1;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What portage is in the middle of begins with a hyphen.
        let whole = entry.path().join(file).symlink_metadata().is_ok_and(|m| m.is_file() && m.len() > 0);
        if !whole || name.starts_with('-') {
            judgement.reasons.push(format!("package {name} is only half installed: it has no description"));
        }
    }
    Ok(count)
}

/// apk's database: `P:` is a package's name, `f:` says what of it is broken.
fn stanzas(text: &str, judgement: &mut Judgement) -> usize {
    let mut count = 0;
    for stanza in text.split("\n\n") {
        let Some(name) = stanza.lines().find_map(|line| line.strip_prefix("P:")) else { continue };
        count += 1;
        if let Some(flags) = stanza.lines().find_map(|line| line.strip_prefix("f:")) {
            judgement.reasons.push(format!("package {name} is only half installed: apk says {flags:?}"));
        }
    }
    count
}

/// xbps's database: what is not `installed` is unpacked only, half removed or broken.
fn list(text: &str, judgement: &mut Judgement) -> usize {
    let Ok(database) = plist::parse(text) else { return 0 };
    let mut count = 0;
    for (name, package) in database.dicts().filter(|(_, package)| package.text("pkgver").is_some()) {
        count += 1;
        let state = package.text("state").unwrap_or("no state");
        if state != "installed" {
            judgement.reasons.push(format!("package {name} is only half installed: xbps says {state:?}"));
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_installed_packages_are_named() {
        let root = tempfile::tempdir().unwrap();
        assert!(find(root.path()).is_none());
        let package = root.path().join("var/db/pkg/app-misc/hello-1");
        std::fs::create_dir_all(&package).unwrap();
        let judge = || judge(root.path(), find(root.path()).unwrap()).unwrap();
        assert!(judge().reasons[0].contains("hello-1 is only half installed"));
        std::fs::write(package.join("SLOT"), "0\n").unwrap();
        assert_eq!(judge().reasons, Vec::<String>::new());
        let mut found = Judgement::default();
        assert_eq!(stanzas("P:a\nV:1\nF:usr\nR:b\n\nP:b\nf:s\n\n", &mut found), 2);
        assert_eq!(found.reasons.len(), 1);
        let package = |name: &str, state: &str| {
            format!(
                "<key>{name}</key><dict><key>pkgver</key><string>{name}-1_1</string><key>state</key>\
                 <string>{state}</string></dict>"
            )
        };
        let (whole, half) = (package("a", "installed"), package("b", "unpacked"));
        let mut found = Judgement::default();
        assert_eq!(list(&format!("<plist><dict>{whole}{half}</dict></plist>"), &mut found), 2);
        assert_eq!(found.reasons, ["package b is only half installed: xbps says \"unpacked\""]);
        assert_eq!(list("no list", &mut found), 0);
    }
}
