//! What earlier rounds found out, so that a round with nothing to do need not find it out
//! again: of each spec file in order, the digests of its recipes; of each sound release, how
//! its folder looked.
//!
//! One file in the cache, which may be deleted at any time. Nothing in it is believed that was
//! found under other circumstances: everything that an answer depends on is part of what it is
//! looked up by. A file that is damaged, or was written by another build of this program, is
//! no memory.

use crate::catalog::Reads;
use crate::effects::files::{read_if_exists, write_atomic};
use crate::model::{ChannelName, Digest, Failure, ImageName, Result};
use crate::planner::Schedule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Its name in the cache.
const FILE: &str = "memory.json";
/// No memory is larger, in bytes: 50,000 images take 20 MB.
const LIMIT: u64 = 256 << 20;
/// Raised with every change of what is remembered.
const FORMAT: u32 = 2;

/// What is remembered.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    content: Content,
    changed: bool,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Content {
    /// What everything depends on: format, program.
    program: String,
    /// What specs depend on beside themselves: settings, policies, runners.
    shared: Option<Digest>,
    /// Whose signatures counted when releases were looked at.
    keys: Option<Digest>,
    /// Spec files in order, by path.
    files: BTreeMap<String, KnownFile>,
    /// Sound releases on channels: how the folder looked.
    releases: BTreeMap<ImageName, BTreeMap<ChannelName, Digest>>,
}

/// A spec file that was in order, with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownFile {
    /// Of everything that it was made from ([`crate::catalog::Survey::identity`]).
    pub identity: Digest,
    /// The scripts and pictures that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Its images.
    pub images: Vec<KnownImage>,
}

/// An image whose recipe is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownImage {
    /// Its name.
    pub name: ImageName,
    /// Its labels, for selecting.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The channel that shall point to it.
    pub channel: ChannelName,
    /// When to look for upstream changes, and in which time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<(String, Option<String>)>,
    /// How many days old its release may get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_days: Option<u32>,
    /// What it reads of the settings, and what rules select it by.
    pub reads: Reads,
    /// The digest of its recipe.
    pub recipe: Digest,
}

impl KnownImage {
    /// Its schedule.
    pub fn schedule(&self) -> Option<Schedule> {
        let (text, zone) = self.schedule.as_ref()?;
        Schedule::parse(text, zone.as_deref()).ok()
    }
}

impl Memory {
    /// The memory in a cache folder, for these settings, policies and runners. What does not
    /// fit is forgotten.
    pub fn open(cache: &Path, shared: Digest) -> Self {
        let path = cache.join(FILE);
        let program = program();
        let mut content = read(&path).filter(|c| c.program == program && !program.is_empty());
        if let Some(content) = content.as_mut().filter(|c| c.shared != Some(shared)) {
            content.files.clear();
        }
        let content = Content { program, shared: Some(shared), ..content.unwrap_or_default() };
        Self { path, content, changed: false }
    }

    /// Forgets the releases that were looked at while others were trusted.
    pub fn trust(&mut self, keys: Digest) {
        if self.content.keys != Some(keys) {
            self.content.keys = Some(keys);
            self.content.releases.clear();
            self.changed = true;
        }
    }

    /// What is remembered of a spec file.
    pub fn file(&self, path: &str) -> Option<&KnownFile> {
        self.content.files.get(path)
    }

    /// Remembers spec files, and none but these.
    pub fn keep_files(&mut self, files: BTreeMap<String, KnownFile>) {
        self.changed |= self.content.files != files;
        self.content.files = files;
    }

    /// The spec files that are remembered.
    pub fn files(&self) -> &BTreeMap<String, KnownFile> {
        &self.content.files
    }

    /// How the folder of the release on a channel looked when it was last found sound.
    pub fn release(&self, image: &ImageName, channel: &ChannelName) -> Option<Digest> {
        self.content.releases.get(image)?.get(channel).copied()
    }

    /// Forgets how an image's releases looked.
    pub fn forget_release(&mut self, image: &ImageName) {
        self.changed |= self.content.releases.remove(image).is_some();
    }

    /// Remembers how the folder of a sound release looks, or that it is not sound.
    pub fn keep_release(&mut self, image: &ImageName, channel: &ChannelName, looks: Option<Digest>) {
        if self.release(image, channel) == looks {
            return;
        }
        self.changed = true;
        let channels = self.content.releases.entry(image.clone()).or_default();
        match looks {
            Some(looks) => channels.insert(channel.clone(), looks),
            None => channels.remove(channel),
        };
    }

    /// Writes what changed. The first line is the digest of the rest.
    ///
    /// # Errors
    /// Class *host* if it cannot be written.
    pub fn save(&mut self) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let known: std::collections::BTreeSet<&ImageName> =
            self.content.files.values().flat_map(|file| file.images.iter().map(|i| &i.name)).collect();
        self.content.releases.retain(|image, channels| !channels.is_empty() && known.contains(image));
        let json = serde_json::to_vec(&self.content).map_err(|e| Failure::bug(e.to_string()))?;
        let mut text = Digest::of(&json).hex().into_bytes();
        text.push(b'\n');
        text.extend(json);
        write_atomic(&self.path, &text, 0o600)?;
        self.changed = false;
        Ok(())
    }
}

/// Forgets everything: a look that reads every byte sees what none that is remembered did.
///
/// # Errors
/// Class *host* if the file cannot be removed.
pub fn forget(cache: &Path) -> Result<()> {
    let path = cache.join(FILE);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(format!("removing {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}

/// What can be read and is whole; anything else is no memory.
fn read(path: &Path) -> Option<Content> {
    let bytes = read_if_exists(path, LIMIT).ok()??;
    let (digest, json) = bytes.split_at_checked(64)?;
    let json = json.strip_prefix(b"\n")?;
    if Digest::of(json).hex().as_bytes() != digest {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// This very program: what it makes of a spec may be another thing than what its predecessor
/// of the same version made. Empty if it cannot be told; nothing is remembered then.
fn program() -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(file) = std::fs::metadata("/proc/self/exe") else { return String::new() };
    let times = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
    format!("{FORMAT} {:?} {:?}", (file.dev(), file.ino(), file.len()), times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads() -> Reads {
        serde_json::from_str(
            r#"{"base": "debian", "suite": "bookworm", "architecture": "x86_64", "channel": "stable",
                "outputs": ["iso"]}"#,
        )
        .unwrap()
    }

    fn known(recipe: &str) -> KnownFile {
        KnownFile {
            identity: Digest::of(recipe),
            files: Vec::new(),
            images: vec![KnownImage {
                name: "edge".parse().unwrap(),
                labels: BTreeMap::new(),
                channel: "stable".parse().unwrap(),
                reads: reads(),
                schedule: None,
                max_age_days: None,
                recipe: Digest::of(recipe),
            }],
        }
    }

    fn filled(cache: &Path) -> Memory {
        let mut memory = Memory::open(cache, Digest::of("shared"));
        memory.trust(Digest::of("keys"));
        memory.keep_files(BTreeMap::from([("specs/edge.yaml".to_owned(), known("a"))]));
        let (image, channel) = ("edge".parse().unwrap(), "stable".parse().unwrap());
        memory.keep_release(&image, &channel, Some(Digest::of("looks")));
        memory.save().unwrap();
        memory
    }

    fn remembers(memory: &Memory) -> (bool, bool) {
        let release = memory.release(&"edge".parse().unwrap(), &"stable".parse().unwrap());
        (memory.file("specs/edge.yaml") == Some(&known("a")), release == Some(Digest::of("looks")))
    }

    #[test]
    fn what_was_saved_is_there_under_the_same_circumstances_only() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let mut memory = Memory::open(dir.path(), Digest::of("shared"));
        assert_eq!(remembers(&memory), (true, true));
        memory.trust(Digest::of("keys"));
        assert_eq!(remembers(&memory), (true, true));
        memory.trust(Digest::of("other keys"));
        assert_eq!(remembers(&memory), (true, false));
        let other = Memory::open(dir.path(), Digest::of("other settings"));
        assert_eq!(remembers(&other), (false, true));
    }

    #[test]
    fn damage_is_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let path = dir.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        for at in [0, 63, 64, 70, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(remembers(&Memory::open(dir.path(), Digest::of("shared"))), (false, false), "{at}");
        }
        for bad in [&good[..good.len() - 5], b"", b"x", &good[65..]] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(remembers(&Memory::open(dir.path(), Digest::of("shared"))), (false, false));
        }
        let json = String::from_utf8(good[65..].to_vec()).unwrap();
        let foreign = json.replacen(&format!("{FORMAT} "), "999 ", 1);
        let text = format!("{}\n{foreign}", Digest::of(&foreign).hex());
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            remembers(&Memory::open(dir.path(), Digest::of("shared"))),
            (false, false),
            "a foreign program"
        );
    }
}
