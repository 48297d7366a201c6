//! Letting old releases go.
//!
//! What a channel points to stays, and the last good release before it, and what is held by
//! name. The index that no longer lists a release is written first; its files go after that,
//! so a reader sees a release whole or not at all. Whoever is killed in between leaves a
//! folder that the index does not list, which the next look finds.

use super::{Signers, Store, Writer, index};
use crate::effects::Place;
use crate::model::name::{ImageName, Version};
use crate::model::release::{Index, IndexedImage, IndexedRelease};
use crate::model::{Failure, Result};
use crate::release::keys::Trust;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Which releases may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// So many of each image's newest releases stay.
    pub keep: usize,
    /// What is not older than this stays.
    pub older_than: TimeDelta,
    /// These stay whatever else is said.
    pub hold: BTreeSet<(ImageName, Version)>,
}

/// Why a release stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// A channel points to it.
    Channel,
    /// It is the last good release before one that a channel points to.
    LastGood,
    /// It is held by name.
    Held,
    /// It is one of the newest.
    Newest,
    /// It is young.
    Young,
}

/// One release, and whether it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// When it was published.
    pub published: DateTime<Utc>,
    /// Why it stays; it goes if there is no reason.
    pub kept: Option<Kept>,
    /// The size of all files in its folder, in bytes.
    pub bytes: u64,
}

impl Store {
    /// What would go and what would stay. Changes nothing.
    ///
    /// # Errors
    /// *Untrusted* if no trusted key signed the index; class *spec* if a release is held that
    /// the store does not have.
    pub fn prunable(&self, retention: &Retention, keys: &Trust, now: DateTime<Utc>) -> Result<Vec<Fate>> {
        self.fates(&self.index(keys)?, retention, now)
    }

    /// Takes out of the index and then removes what no rule keeps; says what went and what
    /// stayed.
    ///
    /// # Errors
    /// As [`Store::prunable`]; class *host* if something cannot be written or removed.
    pub fn prune(&self, retention: &Retention, signers: &Signers, now: DateTime<Utc>) -> Result<Vec<Fate>> {
        let mut writer = Writer::open(self, signers)?;
        let fates = self.fates(&writer.index, retention, now)?;
        let goes: BTreeSet<(&ImageName, &Version)> =
            fates.iter().filter(|f| f.kept.is_none()).map(|f| (&f.image, &f.version)).collect();
        if goes.is_empty() {
            return Ok(fates);
        }
        let images: BTreeSet<&ImageName> = goes.iter().map(|(image, _)| *image).collect();
        for (name, image) in &mut writer.index.images {
            image.releases.retain(|release| !goes.contains(&(name, &release.version)));
        }
        for image in images {
            super::site::write_image(self, &writer.index, image, &self.notices()?)?;
        }
        // Taken before the index is written: the lock is held until everything is gone.
        let work = self.work("pruned")?;
        let lock = writer.finish_and_hold(now)?;
        for (image, version) in goes {
            // Out of sight in one step: nobody finds half a release in its place.
            self.folder(image, version).take_away(&work.path().join(format!("{image}-{version}")))?;
        }
        drop(work);
        drop(lock);
        Ok(fates)
    }

    fn fates(&self, index: &Index, retention: &Retention, now: DateTime<Utc>) -> Result<Vec<Fate>> {
        for (image, version) in &retention.hold {
            index::find(index, image, version).map_err(|f| {
                Failure::spec(format!("store.retention.hold: {image}/{version}: {}", f.message))
                    .hint("Take it out of the list, or check its name with `bootwright release list`.")
            })?;
        }
        let mut fates = Vec::new();
        for (name, image) in &index.images {
            let good =
                |r: &IndexedRelease| self.defects_by_size(name, r).is_ok_and(|defects| defects.is_empty());
            let kept = choose(name, image, retention, now, &good);
            for release in &image.releases {
                fates.push(Fate {
                    image: name.clone(),
                    version: release.version.clone(),
                    published: release.published,
                    kept: kept.get(&release.version).copied(),
                    bytes: folder_bytes(&self.folder(name, &release.version))?,
                });
            }
        }
        Ok(fates)
    }
}

/// The releases of an image that stay, each with the first rule that says so.
fn choose(
    name: &ImageName,
    image: &IndexedImage,
    retention: &Retention,
    now: DateTime<Utc>,
    good: &dyn Fn(&IndexedRelease) -> bool,
) -> BTreeMap<Version, Kept> {
    let heads: BTreeSet<&Version> = image.channels.values().collect();
    // Newest first, as the index has them: what follows a head is older.
    let last_good: BTreeSet<&Version> = heads
        .iter()
        .filter_map(|head| {
            let at = image.releases.iter().position(|r| &&r.version == head)?;
            image.releases[at + 1..].iter().find(|r| good(r)).map(|r| &r.version)
        })
        .collect();
    let why = |(at, release): (usize, &IndexedRelease)| {
        let version = &release.version;
        let kept = if heads.contains(version) {
            Kept::Channel
        } else if last_good.contains(version) {
            Kept::LastGood
        } else if retention.hold.contains(&(name.clone(), version.clone())) {
            Kept::Held
        } else if at < retention.keep {
            Kept::Newest
        } else if now.signed_duration_since(release.published) <= retention.older_than {
            Kept::Young
        } else {
            return None;
        };
        Some((version.clone(), kept))
    };
    image.releases.iter().enumerate().filter_map(why).collect()
}

/// The size of all files below a folder; 0 if there is none.
fn folder_bytes(folder: &Place) -> Result<u64> {
    let (mut bytes, mut open) = (0, vec![folder.clone()]);
    while let Some(dir) = open.pop() {
        for (name, seen) in dir.entries()? {
            if seen.is_folder() {
                open.push(dir.join(name));
            } else {
                bytes += seen.size;
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn release(n: i64) -> IndexedRelease {
        IndexedRelease {
            version: format!("202401{n:02}-0123abcd").parse().unwrap(),
            recipe: Digest::of("r"),
            manifest: Digest::of("m"),
            published: DateTime::UNIX_EPOCH + TimeDelta::days(n),
        }
    }

    /// Ten releases, 10 the newest, seen on day 20.
    fn kept(channels: &[(&str, i64)], bad: &[i64], retention: &Retention) -> Vec<(i64, Kept)> {
        let image = IndexedImage {
            channels: channels.iter().map(|(c, n)| (c.parse().unwrap(), release(*n).version)).collect(),
            releases: (1..=10).rev().map(release).collect(),
        };
        let bad: Vec<Version> = bad.iter().map(|n| release(*n).version).collect();
        let good = |release: &IndexedRelease| !bad.contains(&release.version);
        let name = "demo".parse().unwrap();
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20);
        let kept = choose(&name, &image, retention, now, &good);
        (1..=10).filter_map(|n| kept.get(&release(n).version).map(|k| (n, *k))).collect()
    }

    #[test]
    fn channels_and_what_was_good_before_them_stay() {
        let nothing = Retention::default();
        assert_eq!(kept(&[("edge", 10)], &[], &nothing), [(9, Kept::LastGood), (10, Kept::Channel)]);
        assert_eq!(
            kept(&[("edge", 10), ("stable", 4)], &[9, 8, 3], &nothing),
            [(2, Kept::LastGood), (4, Kept::Channel), (7, Kept::LastGood), (10, Kept::Channel)]
        );
        assert_eq!(kept(&[("stable", 1)], &[], &nothing), [(1, Kept::Channel)], "nothing before it");
        assert_eq!(kept(&[], &[], &nothing), [], "on no channel");
    }

    #[test]
    fn age_number_and_names_keep_more() {
        let rules = Retention {
            keep: 2,
            older_than: TimeDelta::days(14),
            hold: [("demo".parse().unwrap(), release(1).version)].into(),
        };
        let expected = [
            (1, Kept::Held),
            (6, Kept::Young),
            (7, Kept::Young),
            (8, Kept::Young),
            (9, Kept::LastGood),
            (10, Kept::Channel),
        ];
        assert_eq!(kept(&[("edge", 10)], &[], &rules), expected);
        let newest = Retention { keep: 4, ..Retention::default() };
        let expected =
            [(5, Kept::Channel), (7, Kept::Newest), (8, Kept::Newest), (9, Kept::Newest), (10, Kept::Newest)];
        assert_eq!(kept(&[("edge", 5)], &[1, 2, 3, 4], &newest), expected);
    }
}
