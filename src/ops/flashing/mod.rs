//! `flash`: an image or a release on cards.
//!
//! In two steps, so that a person can be asked in between: [`flash_prepare`] claims the cards
//! and reads the source, and touches nothing; [`flash_write`] writes. The cards stay claimed
//! from one to the other, so what was shown is what is written to.

mod found;

use super::records::Recorder;
use super::{BootTarget, CatalogRef, Context};
use crate::effects::Task;
use crate::effects::block::{Access, ClaimedDevice};
use crate::effects::place::Local;
use crate::flash::{self, Job, Measured, Source};
use crate::model::device::BoardName;
use crate::model::event::Unit;
use crate::model::flash::{CardReport, Device, FlashSource, VerifyScope};
use crate::model::spec::{Architecture, Size};
use crate::model::{Digest, ErrorCode, Failure, FailureClass, ImageDigest, ImageName, Result, Version};
pub use found::not_for;
use found::{Found, find};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Below the folder of caches: where unpacked images are kept while cards are written.
const SCRATCH: &str = "unpacked";

/// Write an image to cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlashRequest {
    /// The catalog whose store has the release.
    pub catalog: CatalogRef,
    /// Another store.
    pub store: Option<String>,
    /// A release, or an image file.
    pub target: BootTarget,
    /// What SHA-256 an image file must have.
    pub sha256: Option<Digest>,
    /// The block map of an image file; a release has its own.
    pub block_map: MapChoice,
    /// What architecture a release must be for.
    pub architecture: Option<Architecture>,
    /// What board, or again what architecture, it must be for.
    pub board: Option<BoardName>,
    /// Trusted keys; the catalog's when empty.
    pub keys: Vec<PathBuf>,
    /// How many of them must have signed.
    pub threshold: Option<u8>,
    /// The cards, as whole devices.
    pub devices: Vec<PathBuf>,
    /// How much is read back.
    pub verify: VerifyScope,
    /// Whether the end of the devices is cleared too.
    pub wipe: bool,
    /// How long one request to a card may take.
    pub patience: Duration,
    /// Write also to cards that were found to be unhealthy.
    pub force: bool,
    /// Only look: the cards are opened for reading.
    pub dry_run: bool,
    /// What the reader is called in records; the device when absent.
    pub reader: Option<String>,
}

/// Which block map an image file is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MapChoice {
    /// The one that lies beside it, if there is one: `NAME.bmap`, or that of the unpacked image.
    #[default]
    Beside,
    /// This file.
    File(PathBuf),
    /// None.
    Without,
}

/// What would be done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashPlan {
    /// What is written.
    pub source: FlashSource,
    /// The release, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<FlashedRelease>,
    /// The cards; all they hold is lost.
    pub devices: Vec<Device>,
    /// How much is read back.
    pub verify: VerifyScope,
    /// Whether the end of the devices is cleared too.
    pub wipe: bool,
}

/// The release that is written, by its signed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashedRelease {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// What its programs are made for: `x86_64`, `mipsel_24kc`.
    pub architecture: String,
    /// The boards that it is for: `netgear,r6220`; `generic-x86_64` of what starts on any such machine.
    pub boards: Vec<String>,
    /// Its recipe, which the booted image says of itself.
    pub recipe: Digest,
}

impl FlashedRelease {
    /// Whether it is for what somebody demands: one of its boards, or its architecture.
    pub fn is_for(&self, demand: &str) -> bool {
        demand == self.architecture || self.boards.iter().any(|board| board == demand)
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashReport {
    /// What was written.
    pub source: FlashSource,
    /// What the unpacked image is known by, if it was read to its end: SHA-256 where a release or the
    /// user gave one, else XXH3 of 128 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<ImageDigest>,
    /// The cards.
    pub cards: Vec<CardReport>,
    /// How long everything took.
    pub elapsed_ms: u64,
}

impl FlashReport {
    /// Why the first card that is not good is not.
    pub fn first_failure(&self) -> Option<&Failure> {
        self.cards.iter().find_map(|card| card.failure.as_ref())
    }

    /// Whether every card is good.
    pub fn all_good(&self) -> bool {
        self.cards.iter().all(|card| card.good)
    }
}

/// Claimed cards and a source that was read: all that is needed to write.
pub struct Prepared {
    plan: FlashPlan,
    source: Source,
    measured: Measured,
    devices: Vec<ClaimedDevice>,
    patience: Duration,
    recorder: Recorder,
    /// A file that was fetched for this; removed when dropped.
    _fetched: Option<Local>,
}

impl Prepared {
    /// What would be done.
    pub fn plan(&self) -> &FlashPlan {
        &self.plan
    }

    /// The SHA-256 of the image, read back from the first card, if all of it is there already.
    ///
    /// # Errors
    /// If source or card cannot be read.
    pub fn already(&self, context: &Context) -> Result<Option<Digest>> {
        let Some(device) = self.devices.first() else { return Ok(None) };
        let label = format!("look at {}", device.device().name);
        let task = Task::with_total(&context.events, label, Some(self.measured.image_size), Unit::Bytes);
        let found = flash::already(&self.source, &self.measured, device, &task, &context.cancel)?;
        task.finish(if found.is_some() { "the image is there" } else { "it is to be written" });
        Ok(found)
    }
}

/// Claims the cards and reads the source. Nothing is written.
///
/// # Errors
/// Class *spec* if a device is none, or in use; *limit* if the image does not fit;
/// *untrusted* if signature or digest is not right; *verify* if the file is damaged.
pub fn flash_prepare(context: &Context, request: &FlashRequest) -> Result<Prepared> {
    let mut recorder = Recorder::new(context, &request.catalog, request.reader.clone(), !request.dry_run);
    if let BootTarget::Release(release) = &request.target {
        recorder.wants(&release.image);
    }
    match prepare(context, request, &mut recorder) {
        Ok((plan, source, measured, devices, _fetched)) => {
            let patience = request.patience;
            Ok(Prepared { plan, source, measured, devices, patience, recorder, _fetched })
        }
        Err(failure) => {
            if !request.dry_run {
                recorder.refused(context, &request.target.to_string(), &request.devices, &failure);
            }
            Err(failure)
        }
    }
}

type Ready = (FlashPlan, Source, Measured, Vec<ClaimedDevice>, Option<Local>);

fn prepare(context: &Context, request: &FlashRequest, recorder: &mut Recorder) -> Result<Ready> {
    let access = if request.dry_run { Access::Read } else { Access::Write };
    let devices = claim(&request.devices, access)?;
    for device in devices.iter().filter(|_| !request.force) {
        recorder.refuse_unhealthy(device.device())?;
    }
    let Found { name, path, expected, map, release, fetched } = find(context, request)?;
    recorder.of(&name, release.as_deref(), request.verify);
    let mut source = Source::open(&path)?;
    if let Ok(folder) = super::records::folder(context, &request.catalog)
        && !request.dry_run
    {
        source = source.keeping_in(folder.join(SCRATCH));
    }
    let room = devices.iter().map(|device| device.device().size).min().unwrap_or(0);
    let task = Task::with_total(&context.events, format!("check {name}"), None, Unit::Bytes);
    let measured = source.measure(&expected, room, &|n| task.advance(n), &context.cancel)?;
    task.finish(Size::from_bytes(measured.image_size).to_string());
    for device in &devices {
        fits(&measured, device.device())?;
    }
    let plan = FlashPlan {
        source: FlashSource {
            name,
            packing: source.packing().as_str().to_owned(),
            file_size: source.file_size(),
            file_sha256: measured.file_sha256,
            vouched: expected.sha256.is_some(),
            image_size: measured.image_size,
            file: path,
            block_map: map,
        },
        release: release.map(|manifest| FlashedRelease {
            image: manifest.image,
            version: manifest.version,
            architecture: manifest.system.architecture().to_owned(),
            boards: manifest.system.boards(),
            recipe: manifest.recipe,
        }),
        devices: devices.iter().map(|device| device.device().clone()).collect(),
        verify: request.verify,
        wipe: request.wipe,
    };
    Ok((plan, source, measured, devices, fetched))
}

/// Writes to the claimed cards and reads back what was written. What went wrong with a card is
/// in its report.
///
/// # Errors
/// If the source cannot be read any more.
pub fn flash_write(context: &Context, prepared: Prepared) -> Result<FlashReport> {
    let started = Instant::now();
    let mut recorder = prepared.recorder;
    recorder.begin(context, prepared.devices.iter().map(ClaimedDevice::device));
    let job = Job {
        source: &prepared.source,
        measured: &prepared.measured,
        devices: prepared.devices,
        verify: prepared.plan.verify,
        wipe: prepared.plan.wipe,
        patience: prepared.patience,
    };
    let written = flash::write(job, &context.events, &context.cancel)?;
    recorder.end(context, written.image, &written.cards);
    Ok(FlashReport {
        source: prepared.plan.source,
        image_digest: written.image,
        cards: written.cards,
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

fn claim(paths: &[PathBuf], access: Access) -> Result<Vec<ClaimedDevice>> {
    if paths.is_empty() {
        return Err(Failure::spec("no device is named")
            .hint("Name the card with --device, such as --device /dev/sdb; none is ever guessed."));
    }
    let mut seen = BTreeSet::new();
    let mut claimed = Vec::new();
    for path in paths {
        if !path.is_absolute() {
            return Err(Failure::spec(format!("{} is no path of a device", path.display()))
                .hint("Write it whole, such as /dev/sdb."));
        }
        // Before it is claimed: the second claim of one card would say that it is in use.
        let number = crate::effects::block::look(path)?.number;
        if !seen.insert(number) {
            return Err(Failure::spec(format!("{} is named twice", path.display()))
                .hint("Name each card once; links in /dev/disk lead to the same devices."));
        }
        claimed.push(ClaimedDevice::claim(path, access)?);
    }
    Ok(claimed)
}

fn fits(measured: &Measured, device: &Device) -> Result<()> {
    let limit = |message: String, hint: &str| {
        Err(Failure::new(ErrorCode::LimitExceeded, FailureClass::Limit, message).hint(hint))
    };
    let path = device.path.display();
    if measured.image_size > device.size {
        let (image, size) = (Size::from_bytes(measured.image_size), Size::from_bytes(device.size));
        return limit(format!("{path} has {size}, the image {image}"), "Use a larger card.");
    }
    if let Some(block) = measured.table_block.filter(|block| *block != device.block_size) {
        return limit(
            format!(
                "{path} has logical blocks of {} bytes, the image's partition table counts in {block}",
                device.block_size
            ),
            "It would not find its partitions there. Use another device, or an image made for such blocks.",
        );
    }
    Ok(())
}
