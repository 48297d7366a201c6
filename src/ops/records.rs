//! What was written to cards: recorded, counted, asked for.

use super::workspace::{STATE, Workspace, locate, runtime};
use super::{CatalogRef, Context};
use crate::catalog::files::{FileKind, SETTINGS};
use crate::catalog::{Files, Location};
use crate::effects::block;
use crate::effects::files::read_if_exists;
use crate::model::catalog::CatalogSource;
use crate::model::flash::{CardReport, Device, VerifyScope};
use crate::model::record::{FlashRecord, FlashResult, Health, health};
use crate::model::release::Manifest;
use crate::model::settings::Settings;
use crate::model::{ErrorCode, Failure, FailureClass, ImageDigest, ImageName, Result};
use crate::state::{FlashFilter, State, new_id};
use serde::Serialize;
use std::path::PathBuf;

/// So many records are counted at most.
const MOST: u64 = 100_000;
/// No settings file is larger.
const LARGEST_SETTINGS: u64 = 8 << 20;

/// Say what was written to cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlashHistoryRequest {
    /// The catalog whose settings say where the state database is.
    pub catalog: CatalogRef,
    /// Which records.
    pub filter: FlashFilter,
    /// So many, the newest first.
    pub most: u64,
}

/// What was written to cards.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashHistory {
    /// The records, the newest first.
    pub writes: Vec<FlashRecord>,
    /// How the cards among all such records did, as far as they say who they are.
    pub cards: Vec<Health>,
    /// How the readers did.
    pub slots: Vec<Health>,
}

/// Say what was written to cards.
///
/// # Errors
/// If the state database cannot be read.
pub fn flash_history(context: &Context, request: &FlashHistoryRequest) -> Result<FlashHistory> {
    let records = match Records::open(context, &request.catalog, false)? {
        Some(records) => records.find(&request.filter)?,
        None => Vec::new(),
    };
    let (cards, slots) = (health(&records, |r| r.card.clone()), health(&records, |r| Some(r.slot.clone())));
    let most = usize::try_from(request.most).unwrap_or(usize::MAX);
    Ok(FlashHistory { writes: records.into_iter().take(most).collect(), cards, slots })
}

/// The records of a catalog, or of the folder that Bootwright is run in.
pub(super) struct Records {
    state: State,
    runtime: tokio::runtime::Runtime,
}

impl Records {
    /// Opens the state database; makes it if that is wanted.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(context: &Context, catalog: &CatalogRef, make: bool) -> Result<Option<Self>> {
        let path = folder(context, catalog)?.join(STATE);
        if !make && !path.exists() {
            return Ok(None);
        }
        let runtime = runtime()?;
        let state = runtime.block_on(State::open(&path))?;
        if let Some(warning) = state.warning() {
            context.events.warn(warning);
        }
        Ok(Some(Self { state, runtime }))
    }

    /// Keeps a record.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn keep(&self, record: &FlashRecord) -> Result<()> {
        self.runtime.block_on(self.state.record_flash(record))
    }

    /// Refuses a card that was found to be unhealthy when it was last written to.
    ///
    /// # Errors
    /// Class *verify*, with what was wrong.
    pub fn refuse_unhealthy(&self, device: &Device) -> Result<()> {
        let Some(card) = device.card.clone() else { return Ok(()) };
        let filter = FlashFilter { card: Some(card.clone()), ..FlashFilter::default() };
        let found = health(&self.find(&filter)?, |record| record.card.clone());
        let Some(bad) = found.first().filter(|health| health.is_unhealthy) else { return Ok(()) };
        let fault = bad.last_fault.map_or("blocks had to be written twice", |fault| fault.words());
        let when = bad.last.map(|last| last.format(" on %Y-%m-%d").to_string()).unwrap_or_default();
        let message =
            format!("{}: the card {card} was found to be unhealthy{when}: it {fault}", device.path.display());
        Err(Failure::new(ErrorCode::VerifyFailed, FailureClass::Verify, message)
            .hint("Throw it away. If it is another card (a USB reader has one number for all), say --force."))
    }

    /// The records that a filter lets through, the newest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn find(&self, filter: &FlashFilter) -> Result<Vec<FlashRecord>> {
        self.runtime.block_on(self.state.flashes(filter, MOST))
    }
}

/// Refuses a card that was found to be unhealthy when it was last written to.
///
/// # Errors
/// Class *verify*, with what was wrong; or if the state database cannot be read.
pub fn refuse_unhealthy(context: &Context, catalog: &CatalogRef, device: &Device) -> Result<()> {
    match Records::open(context, catalog, false)? {
        Some(records) => records.refuse_unhealthy(device),
        None => Ok(()),
    }
}

/// The folder of caches.
pub(super) fn folder(context: &Context, catalog: &CatalogRef) -> Result<PathBuf> {
    let (location, base) = locate(context, catalog)?;
    let default = || Settings::default().cache.path;
    let cache = match &location {
        Location::WorkTree(path) => match read_if_exists(&path.join(SETTINGS), LARGEST_SETTINGS)? {
            Some(bytes) => {
                let location = path.display().to_string();
                let mut files = Files::new(CatalogSource { location, commit: None });
                files.add(SETTINGS, FileKind::Regular, bytes)?;
                crate::catalog::settings(&files)?.cache.path
            }
            None => default(),
        },
        // At another commit than what lies here.
        _ => {
            Workspace::open(context, catalog).map_or_else(|_| default(), |w| w.settings().cache.path.clone())
        }
    };
    Ok(base.join(cache))
}

/// Records of one job as it goes on.
pub(super) struct Recorder {
    records: Option<Records>,
    record: FlashRecord,
    devices: Vec<(Device, uuid::Uuid)>,
}

impl Recorder {
    /// Opens the records. That they cannot be kept keeps nobody from writing a card.
    pub fn new(context: &Context, catalog: &CatalogRef, reader: Option<String>, writes: bool) -> Self {
        let records = Records::open(context, catalog, writes).unwrap_or_else(|failure| {
            context.events.warn(format!("what is written to cards is not recorded: {failure}"));
            None
        });
        let now = context.clock.now();
        let record = FlashRecord {
            id: uuid::Uuid::nil(),
            started: now,
            finished: None,
            source: String::new(),
            image: None,
            version: None,
            recipe: None,
            digest: None,
            slot: reader.unwrap_or_default(),
            device: PathBuf::new(),
            card: None,
            verify: None,
            result: FlashResult::Begun,
            fault: None,
            unhealthy: false,
            message: None,
        };
        Self { records, record, devices: Vec::new() }
    }

    /// Refuses cards that were found to be unhealthy.
    ///
    /// # Errors
    /// As [`Records::refuse_unhealthy`].
    pub fn refuse_unhealthy(&self, device: &Device) -> Result<()> {
        self.records.as_ref().map_or(Ok(()), |records| records.refuse_unhealthy(device))
    }

    /// Notes which image is asked for.
    pub fn wants(&mut self, image: &ImageName) {
        self.record.image = Some(image.clone());
    }

    /// Notes what is written.
    pub fn of(&mut self, source: &str, release: Option<&Manifest>, verify: VerifyScope) {
        self.record.source = source.to_owned();
        self.record.image = release.map(|manifest| manifest.image.clone());
        self.record.version = release.map(|manifest| manifest.version.clone());
        self.record.recipe = release.map(|manifest| manifest.recipe);
        self.record.verify = Some(verify.to_string());
    }

    /// Records that these devices were refused.
    pub fn refused(&self, context: &Context, source: &str, devices: &[PathBuf], failure: &Failure) {
        for device in devices.iter().filter_map(|path| block::look(path).ok()) {
            let mut record = self.about(&device, new_id(context.clock.now()));
            if record.source.is_empty() {
                record.source = source.to_owned();
            }
            record.result = FlashResult::Refused;
            record.message = Some(failure.message.clone());
            record.finished = Some(context.clock.now());
            self.keep(context, &record);
        }
    }

    /// Records that writing begins.
    pub fn begin<'d>(&mut self, context: &Context, devices: impl Iterator<Item = &'d Device>) {
        self.record.started = context.clock.now();
        self.devices = devices.map(|device| (device.clone(), new_id(self.record.started))).collect();
        for (device, id) in &self.devices {
            self.keep(context, &self.about(device, *id));
        }
    }

    /// Records what came of it, cards in the order in which they began.
    pub fn end(&self, context: &Context, image: Option<ImageDigest>, cards: &[CardReport]) {
        for ((device, id), card) in self.devices.iter().zip(cards) {
            let mut record = self.about(device, *id);
            record.finished = Some(context.clock.now());
            record.digest = image;
            record.result = if card.good { FlashResult::Good } else { FlashResult::Failed };
            record.fault = card.fault;
            record.unhealthy = card.unhealthy;
            record.message = card.failure.as_ref().map(|failure| failure.message.clone());
            self.keep(context, &record);
        }
    }

    fn about(&self, device: &Device, id: uuid::Uuid) -> FlashRecord {
        let slot = match self.record.slot.as_str() {
            "" => device.path.display().to_string(),
            reader => reader.to_owned(),
        };
        FlashRecord {
            id,
            slot,
            device: device.path.clone(),
            card: device.card.clone(),
            ..self.record.clone()
        }
    }

    fn keep(&self, context: &Context, record: &FlashRecord) {
        if let Some(Err(failure)) = self.records.as_ref().map(|records| records.keep(record)) {
            context.events.warn(format!("{}: this is not recorded: {failure}", record.device.display()));
        }
    }
}
