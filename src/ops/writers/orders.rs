//! From flash orders to jobs: planned from what is published, issued into the state database.

use super::receipts::{Receipts, end};
use crate::effects::{Point, point};
use crate::model::card_plan::CardPlan;
use crate::model::catalog::Catalog;
use crate::model::receipt::{FlashJob, JobId, JobState, Receipt};
use crate::model::release::IndexedImage;
use crate::model::writer::{SlotName, WriterName};
use crate::model::{Failure, ImageName, Result};
use crate::ops::workspace::{Workspace, runtime};
use crate::ops::{CatalogRef, Context};
use crate::planner::cards::{KnownJob, Published, cards};
use crate::release::{Store, Trust};
use crate::state::{JobRow, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Say which flash jobs there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobListRequest {
    /// The catalog.
    pub catalog: CatalogRef,
}

/// The flash jobs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobList {
    /// They, in the order in which they were issued.
    pub jobs: Vec<JobRow>,
}

/// Says which flash jobs there are.
///
/// # Errors
/// If the catalog or the state database cannot be read.
pub fn writer_jobs(context: &Context, request: &JobListRequest) -> Result<JobList> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let path = workspace.state_path();
    if !path.exists() {
        return Ok(JobList { jobs: Vec::new() });
    }
    let jobs = runtime()?.block_on(async { State::open(&path).await?.flash_jobs().await })?;
    Ok(JobList { jobs })
}

/// Have a refused job done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// The card writer.
    pub writer: WriterName,
    /// Its slot.
    pub slot: SlotName,
}

/// Issues the job of a slot once more that its card writer refused: its rules, or the release's
/// signature, are other ones now.
///
/// # Errors
/// Class *spec* if the last job of the slot was not refused; if the state cannot be read or written.
pub fn writer_retry(context: &Context, request: &RetryRequest) -> Result<JobList> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let RetryRequest { writer, slot, .. } = request;
    runtime()?.block_on(async {
        let state = State::open(&workspace.state_path()).await?;
        let known = state.flash_jobs().await?;
        let of_slot = |row: &&JobRow| row.job.writer == *writer && row.job.slot == *slot;
        let last = known.iter().filter(of_slot).max_by_key(|row| (row.created, row.job.number));
        let refused = last.filter(|row| row.state == JobState::Refused).ok_or_else(|| {
            Failure::not_found(format!("the last job of slot {slot} of {writer} was not refused"))
                .hint("`bootwright writer jobs` shows how each job stands.")
        })?;
        let again = FlashJob { number: refused.job.number + 1, ..refused.job.clone() };
        let others: BTreeSet<JobId> = known.iter().map(|row| row.id).collect();
        state.issue_jobs(std::slice::from_ref(&again), &others, context.clock.now()).await?;
        let jobs = state.flash_jobs().await?;
        Ok(JobList { jobs: jobs.into_iter().filter(|row| row.id == again.id()).collect() })
    })
}

/// What flash orders need: what is published, and what became of earlier jobs.
pub struct Bench<'a> {
    /// The orders and the writers.
    pub catalog: &'a Catalog,
    /// The folder that the catalog is run on.
    pub base: &'a Path,
    /// Where releases are.
    pub store: &'a Store,
    /// Whose signatures count.
    pub keys: &'a Trust,
    /// What became of earlier jobs, if that is remembered.
    pub state: Option<&'a State>,
}

/// The jobs that flash orders ask for now, and receipts that the state database has lost.
#[derive(Debug, Default)]
pub struct Ordered {
    /// What is to be done.
    pub plan: CardPlan,
    lost: Vec<(Receipt, String)>,
    /// Whether there are jobs under way that nobody wants any more.
    unwanted: bool,
}

/// The jobs that flash orders ask for now. Nothing is written.
///
/// # Errors
/// If the store's index, receipts or the state cannot be read.
pub async fn plan_cards(bench: &Bench<'_>) -> Result<Ordered> {
    let (catalog, mut lost, mut jobs) = (bench.catalog, Vec::new(), Vec::new());
    if let Some(state) = bench.state {
        let known = state.flash_jobs().await?;
        lost = Receipts::below(bench.base).lost(state, &known, &catalog.writers).await?;
        let is_lost = |row: &&JobRow| !lost.iter().any(|(receipt, _)| receipt.job == row.id);
        let known = known.iter().filter(is_lost);
        jobs.extend(known.map(|row| KnownJob {
            job: row.job.clone(),
            state: row.state,
            said: row.said.clone(),
        }));
        jobs.extend(lost.iter().map(|(receipt, _)| KnownJob {
            job: receipt.asked.clone(),
            state: receipt.result.state(),
            said: receipt.message.clone(),
        }));
    }
    let published = match catalog.orders.is_empty() {
        true => BTreeMap::new(),
        false => tokio::task::block_in_place(|| published(bench.store, bench.keys))?,
    };
    let plan = cards(&catalog.orders, &published, &jobs);
    let open = jobs.iter().filter(|known| known.state.to(JobState::Superseded).is_ok());
    let unwanted = open.into_iter().any(|known| !plan.wanted.contains(&known.job.id()));
    Ok(Ordered { plan, lost, unwanted })
}

/// Issues the jobs of a plan, takes back those that nobody wants any more, and ends those whose
/// receipts the state database has lost.
///
/// # Errors
/// If the database cannot be written.
pub async fn issue(state: &State, ordered: &Ordered, now: DateTime<Utc>) -> Result<()> {
    if ordered.plan.steps.is_empty() && ordered.lost.is_empty() && !ordered.unwanted {
        return Ok(());
    }
    for (receipt, text) in &ordered.lost {
        end(state, receipt, text, now).await?;
    }
    let new: Vec<FlashJob> = ordered.plan.steps.iter().map(|step| step.job.clone()).collect();
    state.issue_jobs(&new, &ordered.plan.wanted, now).await?;
    if !new.is_empty() {
        point(Point::CardJobIssued)?;
    }
    Ok(())
}

fn published(store: &Store, keys: &Trust) -> Result<BTreeMap<ImageName, Published>> {
    let index = store.index(keys)?;
    let of = |image: IndexedImage| Published {
        versions: image.releases.into_iter().map(|release| release.version).collect(),
        channels: image.channels.into_iter().collect(),
    };
    Ok(index.images.into_iter().map(|(name, image)| (name, of(image))).collect())
}
