//! Making damaged releases whole, and the store itself tidy.
//!
//! Nothing that somebody could miss is deleted: what has to go is moved to
//! `.quarantine/DATE/`, under the path that it had. The order of a repair does not matter to
//! readers: each file is put in its place in one step, and only with the digest that the
//! signed manifest names.

use super::observe::{self, PAGE};
use super::{MANIFEST, Signers, Store, Writer, check, index, signatures, site};
use crate::effects::Place;
use crate::effects::files::{WorkFolder, digest_file};
use crate::model::artifact::InstalledPackage;
use crate::model::failure::IoContext;
use crate::model::name::{ImageName, PackageName, Version};
use crate::model::observed::{Mend, StoreFinding};
use crate::model::product::Lock;
use crate::model::release::{FileRole, IndexedRelease, Manifest, ReleaseFile};
use crate::model::{Digest, Failure, Result};
use crate::release::changelog::{self, Changes};
use crate::release::{pages, sums};
use chrono::{DateTime, Utc};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where everything goes that does not belong where it was.
const QUARANTINE: &str = ".quarantine";

impl Store {
    /// Makes one release whole.
    ///
    /// # Errors
    /// *Untrusted* if a copy changed since it was looked at, or the release is not whole
    /// afterwards; class *host* if something cannot be written. A repair that was cut off is
    /// begun again by the next one.
    pub fn repair(
        &self,
        image: &ImageName,
        version: &Version,
        mends: &[Mend],
        signers: &Signers,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut writer = Writer::open(self, signers)?;
        let listed = index::find(&writer.index, image, version)?.clone();
        let folder = self.folder(image, version);
        if mends.contains(&Mend::Unlist) {
            unlist(&mut writer, image, version, &folder)?;
            return writer.finish(Some(image), now);
        }
        let manifest = check::read_manifest(&folder, image, &listed)?;
        let work = self.work(image.as_str())?;
        let repair = Repair { writer: &writer, listed: &listed, folder, manifest, work, now };
        for mend in mends {
            repair.make(mend)?;
        }
        let expected = check::Expected { image, version, manifest: Some(listed.manifest) };
        let checked = check::release(&repair.folder, Some(&expected), signers.keys(), check::Depth::Sizes)?;
        if let Some(defect) = checked.defects.iter().find(|defect| !defect.is_outlived()) {
            return Err(Failure::untrusted(format!("{image} {version} after its repair: {defect}"))
                .hint("Run `bootwright plan --deep`: the release may have been changed meanwhile."));
        }
        drop(repair);
        writer.finish(Some(image), now)
    }

    /// Puts right what is wrong with the store itself.
    ///
    /// # Errors
    /// Class *host* if something cannot be moved or written.
    pub fn tidy(&self, findings: &[StoreFinding], signers: &Signers, now: DateTime<Utc>) -> Result<()> {
        // Opening removes the folders that killed writers left.
        let writer = Writer::open(self, signers)?;
        for finding in findings {
            match finding {
                StoreFinding::UnlistedRelease { image, version } => {
                    let folder = self.folder(image, version);
                    if index::find(&writer.index, image, version).is_err() && folder.is_folder()? {
                        quarantine(self, &folder, now)?;
                    }
                }
                StoreFinding::LeftStaging { name } => remove_left(self, name)?,
                StoreFinding::MissingPage { file } => {
                    if let Some(image) = file.strip_suffix("/index.html").and_then(|i| i.parse().ok()) {
                        site::write_image(self, &writer.index, &image, &self.notices()?)?;
                    }
                }
            }
        }
        writer.finish(None, now)
    }
}

/// One release that is being repaired, by the one writer of the store.
struct Repair<'a, 'w> {
    writer: &'a Writer<'w>,
    listed: &'a IndexedRelease,
    folder: Place,
    manifest: Manifest,
    work: WorkFolder,
    now: DateTime<Utc>,
}

impl Repair<'_, '_> {
    fn make(&self, mend: &Mend) -> Result<()> {
        match mend {
            Mend::Restore { file, from } => {
                self.restore(self.file(file)?, &self.writer.store.place.named(from))
            }
            Mend::Rewrite { file } => {
                let text = self.text(file)?;
                let staged = self.work.path().join("written");
                std::fs::write(&staged, text).during(|| format!("writing {}", staged.display()))?;
                self.put(&staged, file)
            }
            Mend::Sign { file } => self.sign(file),
            Mend::Quarantine { file } => match find_stray(&self.folder, file)? {
                Some(stray) => quarantine(self.writer.store, &stray, self.now),
                None => Ok(()),
            },
            Mend::Unlist => Err(Failure::bug("a release is taken out of the index and repaired")),
            Mend::Push => Err(Failure::bug("a store does not push to registries")),
        }
    }

    fn file(&self, name: &str) -> Result<&ReleaseFile> {
        let found = self.manifest.files.iter().find(|f| f.name == name);
        found.ok_or_else(|| Failure::bug(format!("{name} is mended, and no file of the release")))
    }

    fn restore(&self, file: &ReleaseFile, from: &Place) -> Result<()> {
        let staged = self.work.path().join("restored");
        from.copy_out(&staged)?;
        let (digest, _) = digest_file(&staged)?;
        if digest != file.sha256 {
            return Err(Failure::untrusted(format!(
                "{from} was to restore {}, and its digest is {digest}, not {}",
                file.name, file.sha256
            ))
            .hint("Run it again: the copy changed since the plan was made."));
        }
        self.put(&staged, &file.name)
    }

    /// Moves a written file to its place; what was there goes to quarantine.
    fn put(&self, staged: &Path, name: &str) -> Result<()> {
        let placing = || format!("putting {name} in its place");
        std::fs::set_permissions(staged, Permissions::from_mode(0o644)).during(placing)?;
        File::open(staged).and_then(|f| f.sync_all()).during(placing)?;
        let place = self.folder.join(name);
        place.replace(staged, &kept_as(self.writer.store, &place, self.now)?)
    }

    /// The text of a file that the rest of the release determines.
    fn text(&self, name: &str) -> Result<String> {
        if name == sums::FILE_NAME {
            return sums::write(&check::sums_of(&self.manifest, self.listed.manifest));
        }
        if name == PAGE {
            return self.page();
        }
        let file = self.file(name)?;
        let of = self.folder.join(name.trim_end_matches(".bmap"));
        observe::block_map(&of, file)?.ok_or_else(|| {
            Failure::untrusted(format!("{name} cannot be made again from {of}"))
                .hint("The release needs a build: run it again.")
        })
    }

    fn sign(&self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        let bytes = path.read(check::TEXT_LIMIT)?.unwrap_or_default();
        let vouched = match name {
            MANIFEST => Digest::of(&bytes) == self.listed.manifest,
            _ => bytes == self.text(name)?.as_bytes(),
        };
        if !vouched {
            return Err(Failure::untrusted(format!("{path} is not what would be signed"))
                .hint("Run it again: the release changed since the plan was made."));
        }
        for (name, signature) in signatures::make(name, &bytes, self.writer.signers)? {
            self.folder.join(name).put(signature.as_bytes())?;
        }
        Ok(())
    }

    /// The release's page, from what the release says of itself.
    fn page(&self) -> Result<String> {
        let lock = self.lock(&self.folder, &self.manifest)?;
        let previous = self.previous()?;
        let commits = self.manifest.commit.iter();
        let commits = commits.map(|c| changelog::CommitLine { id: c.id.clone(), subject: c.subject.clone() });
        let inputs = changelog::Inputs { commits: commits.collect(), configuration: Vec::new() };
        let changes = match &lock {
            Some(lock) => {
                let before = previous.as_ref().map(|(manifest, lock)| (manifest, lock));
                Changes::between(before, &self.manifest.files, lock, inputs)
            }
            None => Changes { previous: None, packages: Vec::new(), artifacts: Vec::new(), inputs },
        };
        let architecture = self.manifest.system.architecture();
        let packages: Vec<InstalledPackage> =
            lock.iter().flat_map(|lock| installed(lock, architecture)).collect();
        pages::release(&pages::ReleasePage {
            manifest: &self.manifest,
            packages: &packages,
            changes: &changes,
            lock_date: lock.as_ref().map_or(self.manifest.published, Lock::date),
            openpgp: self.folder.join(format!("{}.asc", sums::FILE_NAME)).exists()?,
        })
    }

    fn lock(&self, folder: &Place, manifest: &Manifest) -> Result<Option<Lock>> {
        let bytes = observe::read_role(folder, manifest, FileRole::Lock, &mut Vec::new())?;
        Ok(bytes.and_then(|bytes| observe::parse_lock(&bytes).ok()))
    }

    fn previous(&self) -> Result<Option<(Manifest, Lock)>> {
        let Some(version) = &self.manifest.previous else { return Ok(None) };
        let image = &self.manifest.image;
        let Ok(listed) = index::find(&self.writer.index, image, version) else { return Ok(None) };
        let folder = self.writer.store.folder(image, version);
        let Ok(manifest) = check::read_manifest(&folder, image, listed) else { return Ok(None) };
        Ok(self.lock(&folder, &manifest)?.map(|lock| (manifest, lock)))
    }
}

/// The packages of a lock; those of a firmware are all made for `architecture`.
fn installed(lock: &Lock, architecture: &str) -> Vec<InstalledPackage> {
    let package = |name: &PackageName, version: &str, architecture: &str, sha256| InstalledPackage {
        name: name.to_string(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        source: None,
        maintainer: None,
        homepage: None,
        sha256,
    };
    match lock {
        Lock::Image(lock) => {
            let packages = lock.packages.iter();
            packages.map(|p| package(&p.name, &p.version, &p.architecture, Some(p.sha256))).collect()
        }
        Lock::Firmware(lock) => {
            lock.packages.iter().map(|p| package(&p.name, &p.version, architecture, None)).collect()
        }
    }
}

/// Takes a release out of the index of which no file is left.
fn unlist(writer: &mut Writer<'_>, image: &ImageName, version: &Version, folder: &Place) -> Result<()> {
    let of_image = writer.index.images.get_mut(image);
    let Some(of_image) = of_image.filter(|i| !i.channels.values().any(|v| v == version)) else {
        return Err(Failure::bug(format!("{image} {version} is on a channel and would be unlisted")));
    };
    if folder.exists()? {
        return Err(Failure::untrusted(format!("{folder} is there again"))
            .hint("Run it again: the store changed since the plan was made."));
    }
    of_image.releases.retain(|release| &release.version != version);
    Ok(())
}

/// The file in a release that a look named; its name may have been shown with replacements.
fn find_stray(folder: &Place, name: &str) -> Result<Option<Place>> {
    let (folder, name) = match name.split_once('/') {
        Some((below, name)) => (folder.join(below), name),
        None => (folder.clone(), name),
    };
    let entries = folder.entries()?;
    let found = entries.into_iter().find(|(entry, _)| entry.to_string_lossy() == name);
    Ok(found.map(|(entry, _)| folder.join(entry)))
}

/// Removes what a killed writer left, unless it lives.
fn remove_left(store: &Store, name: &str) -> Result<()> {
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(Failure::bug(format!("{name:?} is no name in the staging folder")));
    }
    store.staging().join(name).drop_left()
}

/// Moves a file or folder to quarantine.
fn quarantine(store: &Store, place: &Place, now: DateTime<Utc>) -> Result<()> {
    place.move_aside(&kept_as(store, place, now)?)
}

/// A free name in quarantine, under the path that `place` has in the store.
fn kept_as(store: &Store, place: &Place, now: DateTime<Utc>) -> Result<Place> {
    let below =
        place.below(&store.place).ok_or_else(|| Failure::bug(format!("{place} is not in the store")))?;
    let day = store.place.join(QUARANTINE).join(now.format("%Y-%m-%d").to_string());
    let name = below.to_string_lossy();
    for n in 0.. {
        let wanted = if n == 0 { day.join(below) } else { day.join(format!("{name}.{n}")) };
        if !wanted.exists()? {
            return Ok(wanted);
        }
    }
    Err(Failure::bug("no free name in the quarantine"))
}
