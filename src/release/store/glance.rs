//! Releases that are as they were when they were last looked at in full.
//!
//! A full look reads manifest, signatures, recipe and lock of a release: milliseconds, which
//! is too much for 10,000 of them in every round. A glance asks the file system whether
//! anything in the release's folder was touched since. Whoever can set the clock of this host
//! back can fool it; `release verify` reads every byte.

use super::Store;
use crate::effects::Place;
use crate::effects::place::Seen;
use crate::model::name::ImageName;
use crate::model::release::IndexedImage;
use crate::model::{Digest, Result};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use std::os::unix::ffi::OsStrExt;

/// How long ago the last change must be. File systems round times; a change within the same
/// tick as the look would not show.
const QUIET_SECONDS: i64 = 2;
/// Evidence lies one folder below a release; nothing lies deeper.
const DEEPEST: usize = 2;

/// The state of the folders of an image's releases: names, sizes, inodes and times of all files
/// in them, and what the signed index says of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Two glances with the same digest saw the same.
    pub digest: Digest,
    /// When something in the folders changed last, in seconds since 1970.
    changed: i64,
}

impl Glance {
    /// Whether everything in the folders has been left alone for so long that a later change
    /// must show.
    pub fn is_quiet(&self, now: DateTime<Utc>) -> bool {
        self.changed + QUIET_SECONDS < now.timestamp()
    }
}

impl Store {
    /// Glances at all releases of an image; `None` if the folder of one is not there.
    ///
    /// # Errors
    /// Class *host* if something in them cannot be looked at.
    pub fn glance(&self, image: &ImageName, listed: &IndexedImage) -> Result<Option<Glance>> {
        let mut state = State { hash: Sha256::new(), changed: 0 };
        for (channel, version) in &listed.channels {
            state.word(channel.as_str());
            state.word(version.as_str());
        }
        for release in &listed.releases {
            state.word(release.version.as_str());
            state.hash.update(release.manifest.as_bytes());
            state.hash.update(release.recipe.as_bytes());
            let folder = self.folder(image, &release.version).listed()?;
            let Some(seen) = folder.look()? else { return Ok(None) };
            state.add(b".", &seen);
            state.folder(&folder, 1)?;
        }
        let digest = Digest::from_bytes(state.hash.finalize().into());
        Ok(Some(Glance { digest, changed: state.changed }))
    }
}

struct State {
    hash: Sha256,
    changed: i64,
}

impl State {
    fn folder(&mut self, folder: &Place, depth: usize) -> Result<()> {
        for (name, seen) in folder.entries()? {
            self.add(name.as_bytes(), &seen);
            if seen.is_folder() && depth < DEEPEST {
                self.folder(&folder.join(name), depth + 1)?;
            }
        }
        Ok(())
    }

    fn word(&mut self, word: &str) {
        self.hash.update((word.len() as u64).to_le_bytes());
        self.hash.update(word);
    }

    fn add(&mut self, name: &[u8], seen: &Seen) {
        self.hash.update((name.len() as u64).to_le_bytes());
        self.hash.update(name);
        let (mode, device, inode) = seen.identity;
        self.hash.update(mode.to_le_bytes());
        for number in [device, inode, seen.size] {
            self.hash.update(number.to_le_bytes());
        }
        for time in [seen.modified.0, seen.modified.1, seen.changed.0, seen.changed.1] {
            self.hash.update(time.to_le_bytes());
        }
        self.changed = self.changed.max(seen.changed.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::release::IndexedRelease;
    use std::os::unix::fs::PermissionsExt;

    const VERSIONS: [&str; 2] = ["20260101-00000000", "20260102-00000000"];

    fn listed() -> IndexedImage {
        let release = |version: &str| IndexedRelease {
            version: version.parse().unwrap(),
            recipe: Digest::of("recipe"),
            manifest: Digest::of("manifest"),
            published: DateTime::from_timestamp(1, 0).unwrap(),
        };
        IndexedImage { releases: VERSIONS.map(release).to_vec(), ..IndexedImage::default() }
    }

    /// Whatever is done to a release's folder shows.
    #[test]
    fn every_touch_shows() {
        let dir = tempfile::tempdir().unwrap();
        let (store, image) = (Store::open(dir.path()), "demo".parse().unwrap());
        let listed = listed();
        let [folder, other] =
            VERSIONS.map(|version| store.folder(&image, &version.parse().unwrap()).path().to_owned());
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(store.glance(&image, &listed).unwrap(), None, "one folder is missing");
        std::fs::create_dir_all(&other).unwrap();
        std::fs::create_dir_all(folder.join("evidence")).unwrap();
        let file = |name: &str| folder.join(name);
        std::fs::write(file("a.iso"), "aaaa").unwrap();
        std::fs::write(file("evidence/log"), "log").unwrap();
        let look = || store.glance(&image, &listed).unwrap().map(|g| g.digest);
        let mut seen = vec![look()];
        let touches: [(&str, &dyn Fn()); 10] = [
            ("same size, other bytes", &|| std::fs::write(file("a.iso"), "aaab").unwrap()),
            ("truncated", &|| std::fs::write(file("a.iso"), "a").unwrap()),
            ("a file more", &|| std::fs::write(file("b"), "").unwrap()),
            ("a file less", &|| std::fs::remove_file(file("b")).unwrap()),
            ("renamed", &|| std::fs::rename(file("a.iso"), file("c.iso")).unwrap()),
            ("a link in a file's place", &|| {
                std::fs::remove_file(file("c.iso")).unwrap();
                std::os::unix::fs::symlink("/dev/zero", file("c.iso")).unwrap();
            }),
            ("the other release", &|| std::fs::write(other.join("x"), "").unwrap()),
            ("evidence altered", &|| std::fs::write(file("evidence/log"), "gol").unwrap()),
            ("evidence gone", &|| std::fs::remove_file(file("evidence/log")).unwrap()),
            ("mode", &|| {
                std::fs::set_permissions(file("evidence"), PermissionsExt::from_mode(0o700)).unwrap();
            }),
        ];
        for (what, touch) in touches {
            std::thread::sleep(std::time::Duration::from_millis(15));
            touch();
            let now = look();
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        }
        assert_eq!(look(), look(), "looking changes nothing");
        let mut changed = listed.clone();
        changed.releases[1].manifest = Digest::of("other");
        assert_ne!(store.glance(&image, &changed).unwrap().map(|g| g.digest), look(), "the index counts");
    }

    #[test]
    fn a_fresh_change_is_not_quiet() {
        let dir = tempfile::tempdir().unwrap();
        let (store, image) = (Store::open(dir.path()), "demo".parse().unwrap());
        for version in VERSIONS {
            std::fs::create_dir_all(store.folder(&image, &version.parse().unwrap()).path()).unwrap();
        }
        let glance = store.glance(&image, &listed()).unwrap().unwrap();
        let now = crate::effects::Clock::System.now();
        assert!(!glance.is_quiet(now));
        assert!(glance.is_quiet(now + chrono::TimeDelta::seconds(5)));
    }
}
