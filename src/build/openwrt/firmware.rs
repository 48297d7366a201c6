//! Firmware in the cache, by the digests of its recipes.
//!
//! An entry is `root/` (what `make` put into its `BIN_DIR`), its seal, `firmware.json` (the
//! record) and `build.log`. Who makes one has its lock; it is made under a temporary name and
//! renamed when it is whole. Two that ask for the same wait for one build.

use super::builders::{Builder, wait_for};
use super::chosen::{self, Names};
use super::make::{self, Choice, Made};
use crate::build::cache::{Cache, Found, Kind, lock_of, seal};
use crate::effects::files::{WorkFolder, digest_file, parent, read_if_exists, write_atomic};
use crate::effects::{Cancel, Point, Sandbox, Task, point};
use crate::model::builder_info::BuilderInfo;
use crate::model::device::DeviceName;
use crate::model::failure::IoContext;
use crate::model::firmware::{
    BuiltFile, FirmwareRecord, ManifestPackage, OfferedProfile, ProfilesJson, is_file_name, manifest,
};
use crate::model::firmware_lock::{self, FIRMWARE_LOCK_VERSION, FirmwareLock, FirmwareRequest};
use crate::model::openwrt::Sums;
use crate::model::product::ResolvedFirmware;
use crate::model::{Digest, Emitter, ErrorCode, Failure, Result};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A build that takes longer never ends.
pub const LONGEST_BUILD: Duration = Duration::from_hours(4);
/// The record of an entry.
const RECORD: &str = "firmware.json";
/// What `make` said.
const LOG: &str = "build.log";
/// No record is longer, in bytes.
const LONGEST_RECORD: u64 = 64 << 20;
/// No log is read further, in bytes.
const LONGEST_LOG: u64 = 16 << 20;
/// No list that a build makes is longer, in bytes.
const LONGEST_LIST: u64 = 16 << 20;
/// No build makes more files.
const MOST_FILES: usize = 10_000;

/// The firmware of a cache.
#[derive(Clone, Copy)]
pub struct Firmwares<'a> {
    /// Where it is kept.
    pub cache: &'a Cache,
    /// Where progress and the log go.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
    /// Nothing may be fetched.
    pub offline: bool,
    /// How long one `make` may take.
    pub patience: Duration,
}

/// A firmware that is there and sound; it stays as long as this lives.
#[derive(Debug)]
pub struct Firmware {
    /// What is known of it.
    pub record: FirmwareRecord,
    /// The folder of its files.
    pub root: PathBuf,
    /// What `make` said.
    pub log: PathBuf,
    /// Whether it was built just now.
    pub made: bool,
    #[expect(dead_code, reason = "held until dropped")]
    held: Cache,
}

impl Firmwares<'_> {
    /// The firmware of a recipe, if it is there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn find(&self, digest: &Digest) -> Result<Option<Firmware>> {
        let folder = self.cache.firmware(digest);
        let session = self.cache.session();
        let why = match session.find_tree(&folder)? {
            Found::Absent => return Ok(None),
            Found::Damaged(why) => why,
            Found::Sound => match read_record(&folder, digest)? {
                Some(record) => return Ok(Some(firmware(record, &folder, false, session))),
                None => "it has no record".to_owned(),
            },
        };
        self.events.warn(format!("firmware in the cache is damaged ({why}); it is built again"));
        Ok(None)
    }

    /// Asks an Image Builder what a device comes to.
    ///
    /// # Errors
    /// Why `make manifest` failed, by its class.
    pub fn lock(
        &self,
        device: &DeviceName,
        (request, keys): (&FirmwareRequest, &[Arc<[u8]>]),
        builder: &Builder,
        offered: Option<&OfferedProfile>,
    ) -> Result<FirmwareLock> {
        let task = Task::start(self.events, format!("resolve packages of {device}"));
        let work = WorkFolder::new(&self.cache.work(), "manifest")?;
        let choice = Choice::asked(request, keys, builder);
        let chosen = chosen::ask(self, choice, Names::Installed, device.as_str(), work.path())?;
        task.finish(format!("{} packages", chosen.packages.len()));
        Ok(FirmwareLock {
            lock_version: FIRMWARE_LOCK_VERSION,
            device: device.clone(),
            request: request.clone(),
            release: builder.record.id.release().clone(),
            builder: builder.record.sha256,
            date: chosen.epoch.and_then(|at| DateTime::from_timestamp(at, 0)).unwrap_or_default(),
            image_limit: offered.and_then(|offered| offered.image_limit_bytes),
            installed_size: chosen.installed,
            packages: chosen.packages,
        })
    }

    /// The packages that a device comes to, by names that do not change with the version of a
    /// binary interface: `libncurses` for `libncurses6`.
    ///
    /// # Errors
    /// Why `make manifest` failed, by its class.
    pub fn packages_without_abi(
        &self,
        device: &DeviceName,
        (request, keys): (&FirmwareRequest, &[Arc<[u8]>]),
        builder: &Builder,
    ) -> Result<Vec<ManifestPackage>> {
        let work = WorkFolder::new(&self.cache.work(), "manifest")?;
        let choice = Choice::asked(request, keys, builder);
        Ok(chosen::ask(self, choice, Names::WithoutAbi, device.as_str(), work.path())?.packages)
    }

    /// What an Image Builder says of itself (`make info`).
    ///
    /// # Errors
    /// If it fails, or says something else.
    pub fn info(&self, builder: &Builder) -> Result<BuilderInfo> {
        let work = WorkFolder::new(&self.cache.work(), "info")?;
        let name = builder.record.id.to_string();
        let sandbox = Sandbox::new(std::slice::from_ref(&builder.root), work.path())?;
        let output = make::process(self, &sandbox, &["info".to_owned()], &name)?.run(self.cancel)?;
        let info = output.status.success().then(|| BuilderInfo::parse(&output.text())).flatten();
        info.ok_or_else(|| {
            Failure::upstream(format!("the Image Builder of {name} does not say what it is"))
                .details(last_lines(&format!("{}{}", output.text(), output.errors())))
        })
    }

    /// What `make` said when it failed last for a recipe or for a request to resolve packages, by their
    /// digests.
    pub fn log_of_failure(&self, of: &Digest) -> Option<String> {
        let bytes = read_if_exists(&self.refused(of), LONGEST_LOG).ok().flatten()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn refused(&self, of: &Digest) -> PathBuf {
        self.cache.folder(Kind::Refused).join(format!("openwrt-{}", of.short())).join(LOG)
    }

    /// The firmware of an order: as it lies in the cache, or built. With `force` it is built.
    /// `name` is for messages.
    ///
    /// # Errors
    /// What stands in the way, by its class; a log of a build that failed lies in the cache's
    /// folder of what was refused.
    pub fn build(
        &self,
        resolved: &ResolvedFirmware,
        builder: &Builder,
        force: bool,
        now: DateTime<Utc>,
    ) -> Result<Firmware> {
        let (order, name) = (&resolved.order, resolved.lock.device.as_str());
        let digest = order.recipe.digest();
        let folder = self.cache.firmware(&digest);
        let _making = wait_for(&lock_of(&folder), name, self.events, self.cancel)?;
        if !force && let Some(found) = self.find(&digest)? {
            return Ok(found);
        }
        let task = Task::start(self.events, format!("build {name}"));
        let work = WorkFolder::new(&self.cache.work(), "firmware")?;
        let kept = work.path().join("kept");
        std::fs::create_dir_all(&kept).during(|| format!("making {}", kept.display()))?;
        let made = make::image(self, order, builder, name, work.path())?;
        point(Point::FirmwareMade)?;
        let record = self.collect(&made, resolved, digest, name, now).inspect_err(|_| {
            let _ = self.keep_log(&digest, &made.log);
        })?;
        let root = kept.join("root");
        std::fs::rename(&made.out, &root).during(|| format!("taking {}", made.out.display()))?;
        seal::seal_tree(&kept)?;
        write_atomic(&kept.join(LOG), made.log.as_bytes(), 0o644)?;
        let bytes = serde_json::to_vec(&record).map_err(|e| Failure::bug(e.to_string()))?;
        write_atomic(&kept.join(RECORD), &bytes, 0o644)?;
        point(Point::FirmwareSealed)?;
        if folder.exists() {
            self.cache.discard(&folder)?;
        }
        std::fs::create_dir_all(parent(&folder))
            .during(|| format!("making {}", parent(&folder).display()))?;
        std::fs::rename(&kept, &folder).during(|| format!("keeping {}", folder.display()))?;
        crate::effects::files::sync_folder(parent(&folder))?;
        point(Point::FirmwareKept)?;
        let session = self.cache.session();
        session.hold(&folder)?;
        task.finish("built");
        Ok(firmware(record, &folder, true, session))
    }

    /// What a build made, if it is all that it should be.
    fn collect(
        &self,
        made: &Made,
        resolved: &ResolvedFirmware,
        digest: Digest,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<FirmwareRecord> {
        // What is too big is deleted, and make goes on as if nothing were.
        if let Some(failure) = super::failure::read(&made.log, name, false)
            && failure.code == ErrorCode::LimitExceeded
        {
            return Err(failure);
        }
        let files = files(&made.out)?;
        let said = |what: String| {
            Failure::new(
                ErrorCode::BuildStep,
                crate::model::FailureClass::Upstream,
                format!("{name}: {what}"),
            )
            .details(last_lines(&made.log))
            .hint("make ended as if all were well: tell who runs the server what its Image Builder did.")
        };
        let read = |file: &str| -> Result<Vec<u8>> {
            let bytes = read_if_exists(&made.out.join(file), LONGEST_LIST)?;
            bytes.ok_or_else(|| said(format!("the Image Builder made no {file}")))
        };
        let sums =
            Sums::parse(&String::from_utf8_lossy(&read("sha256sums")?)).map_err(|f| said(f.message))?;
        for sum in sums.iter() {
            match files.get(&sum.name) {
                Some(file) if file.sha256 == sum.sha256 => {}
                Some(_) => return Err(said(format!("{} is not what sha256sums says", sum.name))),
                None => return Err(said(format!("{} is in sha256sums and was not made", sum.name))),
            }
        }
        let overview = ProfilesJson::parse(&read("profiles.json")?).map_err(|f| said(f.message))?;
        let profile = &resolved.order.recipe.profile;
        let device = overview.profiles.get(profile);
        let device = device.ok_or_else(|| said(format!("profiles.json has nothing of {profile}")))?;
        if device.images.is_empty() {
            return Err(said("no image was made".to_owned()));
        }
        for image in &device.images {
            match files.get(&image.name) {
                Some(file) if file.sha256 == image.sha256 => {}
                Some(_) => return Err(said(format!("{} is not what profiles.json says", image.name))),
                None => return Err(said(format!("the image {} was not made", image.name))),
            }
        }
        let mut manifests = files.keys().filter(|file| file.ends_with(".manifest"));
        let (Some(list), None) = (manifests.next(), manifests.next()) else {
            return Err(said("there is not one manifest".to_owned()));
        };
        let packages = manifest(&String::from_utf8_lossy(&read(list)?)).map_err(|f| said(f.message))?;
        self.as_locked(&packages, &resolved.lock)?;
        let kernel = packages.iter().find(|p| p.name.as_str() == "kernel").map(|p| p.version.clone());
        Ok(FirmwareRecord {
            digest,
            recipe: resolved.order.recipe.clone(),
            images: device.images.clone(),
            kernel: overview.kernel.clone().or(kernel),
            packages,
            files: files.into_values().collect(),
            revision: overview.version_code.clone(),
            boards: device.boards.clone(),
            architecture: overview.architecture.clone(),
            source_date_epoch: overview.source_date_epoch,
            network: made.network,
            built: now,
            elapsed_ms: made.elapsed_ms,
        })
    }

    /// Refuses a build that has other packages than were locked: its recipe would not say what is in it.
    fn as_locked(&self, packages: &[ManifestPackage], lock: &FirmwareLock) -> Result<()> {
        let changes = firmware_lock::diff(&lock.packages, packages);
        let Some(first) = changes.first() else { return Ok(()) };
        let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
        // What is built of the same lock tomorrow will not be what was locked either.
        Err(Failure::upstream(format!(
            "{}: the packages are no longer those of the lock: {first}",
            lock.device
        ))
        .code(ErrorCode::PackageUnavailable)
        .details(lines.join("\n"))
        .hint(format!("Run `bootwright lock --update {}` and review the change.", lock.device)))
    }

    /// Keeps the log of a build that failed where people look.
    pub(super) fn keep_log(&self, digest: &Digest, log: &str) -> Result<PathBuf> {
        let path = self.refused(digest);
        write_atomic(&path, log.as_bytes(), 0o644)?;
        Ok(path)
    }
}

/// The records of all firmware of a cache, without looking at their files, each with the folder
/// of its files.
///
/// # Errors
/// If the cache cannot be read.
pub fn records(cache: &Cache) -> Result<Vec<(FirmwareRecord, PathBuf)>> {
    let folder = cache.folder(Kind::OpenwrtFirmware);
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.during(|| format!("reading {}", folder.display()))?,
    };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry.during(|| format!("reading {}", folder.display()))?.path();
        let digest = path.file_name().and_then(|name| name.to_str()?.parse::<Digest>().ok());
        if let Some(digest) = digest {
            records.extend(read_record(&path, &digest)?.map(|record| (record, path.join("root"))));
        }
    }
    Ok(records)
}

fn firmware(record: FirmwareRecord, folder: &Path, made: bool, held: Cache) -> Firmware {
    Firmware { record, root: folder.join("root"), log: folder.join(LOG), made, held }
}

fn read_record(folder: &Path, digest: &Digest) -> Result<Option<FirmwareRecord>> {
    let bytes = read_if_exists(&folder.join(RECORD), LONGEST_RECORD)?;
    let record = bytes.and_then(|bytes| serde_json::from_slice::<FirmwareRecord>(&bytes).ok());
    // Whatever the file says: what it is of is worked out.
    Ok(record.filter(|record| record.digest == *digest && record.recipe.digest() == *digest))
}

/// The files of a folder, which has nothing else.
fn files(folder: &Path) -> Result<BTreeMap<String, BuiltFile>> {
    let reading = || format!("reading {}", folder.display());
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).during(reading)? {
        let entry = entry.during(reading)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type().during(reading)?.is_file() || !is_file_name(&name) {
            return Err(Failure::untrusted(format!(
                "the Image Builder made {name:?}, which is no plain file"
            )));
        }
        let (sha256, bytes) = digest_file(&entry.path())?;
        files.insert(name.clone(), BuiltFile { name, sha256, bytes });
        if files.len() > MOST_FILES {
            return Err(Failure::untrusted("the Image Builder made more files than one can"));
        }
    }
    Ok(files)
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
