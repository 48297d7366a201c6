//! What files looked like when they were last hashed, so that a look that reads no bytes
//! still notices a file that was touched since.
//!
//! A file counts as untouched while its size, its times of modification and of change and
//! its inode are the same. The time of change cannot be set by hand, so a changed file whose
//! modification time was put back shows too. A change within the clock tick in which the
//! file was hashed does not; the next deep check finds it.

use crate::effects::place::Seen as Looked;
use crate::model::name::{ImageName, Version};
use crate::model::{Digest, Failure, Result};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// One release of an image.
pub type ReleaseId = (ImageName, Version);

/// What is remembered of a store.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    releases: BTreeMap<ReleaseId, Remembered>,
    changed: BTreeSet<ReleaseId>,
}

/// Something new to be kept of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The release.
    pub release: ReleaseId,
    /// When every byte of it was last hashed.
    pub checked: Option<DateTime<Utc>>,
    /// The rest.
    pub text: String,
}

/// What is remembered of one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// When every byte of it was last hashed.
    pub checked: Option<DateTime<Utc>>,
    /// The manifest that the files were compared with: beside another one nothing of this counts.
    manifest: Digest,
    files: BTreeMap<String, Seen>,
}

/// One file or folder as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    stamp: Stamp,
    /// The digest that it had, if that is not the manifest's.
    wrong: Option<Digest>,
}

/// What tells that a file was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

impl Stamp {
    pub fn of(looked: &Looked) -> Self {
        Self {
            // A folder's size says nothing that its times do not.
            size: if looked.is_folder() { 0 } else { looked.size },
            modified: looked.modified,
            changed: looked.changed,
            inode: looked.identity.2,
        }
    }
}

/// What memory says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    /// Nothing: the release was never hashed.
    Nothing,
    /// It was touched since, or never hashed while others of its release were.
    Touched,
    /// Untouched, and it was right.
    Right,
    /// Untouched, and it had this digest, which is wrong.
    Wrong(Digest),
}

impl Memory {
    /// Takes in what was kept of a release; a text that cannot be read is nothing.
    pub fn insert(&mut self, release: ReleaseId, checked: Option<DateTime<Utc>>, text: &str) {
        if let Ok(remembered) = Remembered::parse(checked, text) {
            self.releases.insert(release, remembered);
        }
    }

    /// What is new since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        let changed = std::mem::take(&mut self.changed);
        let news = |release: ReleaseId| {
            let remembered = self.releases.get(&release)?;
            Some(News { release, checked: remembered.checked, text: remembered.text() })
        };
        changed.into_iter().filter_map(news).collect()
    }

    /// When every byte of a release was last hashed.
    pub fn checked(&self, release: &ReleaseId) -> Option<DateTime<Utc>> {
        self.releases.get(release)?.checked
    }

    pub(super) fn recall(&self, release: &ReleaseId, manifest: Digest, file: &str, stamp: Stamp) -> Recall {
        let Some(remembered) = self.releases.get(release).filter(|r| r.manifest == manifest) else {
            return Recall::Nothing;
        };
        match remembered.files.get(file) {
            Some(seen) if seen.stamp == stamp => seen.wrong.map_or(Recall::Right, Recall::Wrong),
            _ => Recall::Touched,
        }
    }

    /// Remembers one file; `wrong` is its digest if that is not the manifest's.
    pub(super) fn learn(
        &mut self,
        release: &ReleaseId,
        manifest: Digest,
        file: &str,
        stamp: Stamp,
        wrong: Option<Digest>,
    ) {
        let seen = Seen { stamp, wrong };
        let remembered = self.of(release, manifest);
        if remembered.files.get(file) != Some(&seen) {
            remembered.files.insert(file.to_owned(), seen);
            self.changed.insert(release.clone());
        }
    }

    /// Remembers that every byte of a release was hashed just now.
    pub(super) fn learn_checked(&mut self, release: &ReleaseId, manifest: Digest, now: DateTime<Utc>) {
        self.of(release, manifest).checked = Some(now);
        self.changed.insert(release.clone());
    }

    fn of(&mut self, release: &ReleaseId, manifest: Digest) -> &mut Remembered {
        let nothing = || Remembered { checked: None, manifest, files: BTreeMap::new() };
        let remembered = self.releases.entry(release.clone()).or_insert_with(nothing);
        if remembered.manifest != manifest {
            *remembered = nothing();
        }
        remembered
    }
}

impl Remembered {
    /// The manifest's digest on the first line; then a line for each file: size, both times,
    /// inode, `=` or the wrong digest, name.
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.manifest);
        for (name, seen) in &self.files {
            let Stamp { size, modified: (m, mn), changed: (c, cn), inode } = seen.stamp;
            let wrong = seen.wrong.map_or_else(|| "=".to_owned(), |digest| digest.to_string());
            let _ = writeln!(text, "{size} {m} {mn} {c} {cn} {inode} {wrong} {name}");
        }
        text
    }

    fn parse(checked: Option<DateTime<Utc>>, text: &str) -> Result<Self> {
        let bad = || Failure::host("what was remembered of a release cannot be read");
        let mut lines = text.lines();
        let manifest = lines.next().and_then(|line| line.parse().ok()).ok_or_else(bad)?;
        let mut files = BTreeMap::new();
        for line in lines {
            let (name, seen) = parse_line(line).ok_or_else(bad)?;
            files.insert(name, seen);
        }
        Ok(Self { checked, manifest, files })
    }
}

fn parse_line(line: &str) -> Option<(String, Seen)> {
    let mut words = line.splitn(8, ' ');
    let size = words.next()?.parse().ok()?;
    let mut time = || Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?));
    let (modified, changed) = (time()?, time()?);
    let inode = words.next()?.parse().ok()?;
    let wrong = match words.next()? {
        "=" => None,
        digest => Some(digest.parse().ok()?),
    };
    Some((words.next()?.to_owned(), Seen { stamp: Stamp { size, modified, changed, inode }, wrong }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> ReleaseId {
        ("demo".parse().unwrap(), "20240101-0123abcd".parse().unwrap())
    }

    #[test]
    fn what_is_kept_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let stamp = || Stamp::of(&Looked::of(&path.symlink_metadata().unwrap()));
        let (manifest, other) = (Digest::of("m"), Digest::of("o"));
        let mut memory = Memory::default();
        assert_eq!(memory.recall(&release(), manifest, "a", stamp()), Recall::Nothing);
        memory.learn(&release(), manifest, "a", stamp(), None);
        memory.learn(&release(), manifest, "evidence/b", stamp(), Some(other));
        memory.learn_checked(&release(), manifest, DateTime::UNIX_EPOCH);
        let news = memory.take_news();
        assert!(memory.take_news().is_empty(), "told once");
        let [News { release: id, checked, text }] = news.as_slice() else { panic!("{news:?}") };

        let mut again = Memory::default();
        again.insert(id.clone(), *checked, text);
        assert_eq!(again.checked(&release()), Some(DateTime::UNIX_EPOCH));
        assert_eq!(again.recall(&release(), manifest, "a", stamp()), Recall::Right);
        assert_eq!(again.recall(&release(), manifest, "evidence/b", stamp()), Recall::Wrong(other));
        assert_eq!(again.recall(&release(), manifest, "c", stamp()), Recall::Touched);
        assert_eq!(again.recall(&release(), other, "a", stamp()), Recall::Nothing, "another manifest");
        again.learn(&release(), manifest, "a", stamp(), None);
        assert!(again.take_news().is_empty(), "nothing new");

        // The same size and modification time: the time of change gives it away.
        let old = stamp();
        let modified = path.metadata().unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&path, "y").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(old.modified, stamp().modified);
        assert_eq!(again.recall(&release(), manifest, "a", stamp()), Recall::Touched);
    }

    #[test]
    fn a_broken_text_is_nothing() {
        let digest = Digest::of("m");
        for text in
            ["", "x", "sha256:12\n", &format!("{digest}\n1 2 3"), &format!("{digest}\n1 2 3 4 5 6 ? a")]
        {
            let mut memory = Memory::default();
            memory.insert(release(), Some(DateTime::UNIX_EPOCH), text);
            assert_eq!(memory.checked(&release()), None, "{text:?}");
        }
    }
}
