//! Flash jobs: who has which, until when, and with which receipt they ended. Where a job goes next
//! is decided by the table of [`JobState`], checked inside the transaction that writes it.
//!
//! All of it can be lost: jobs are issued again under the same ids, and receipts are files.

use super::runs::json;
use super::tables::flash_job::{ActiveModel, Column, Entity, Model};
use super::{State, errors, from_millis, millis};
use crate::model::receipt::{FlashJob, JobId, JobState};
use crate::model::writer::{SlotName, WriterName};
use crate::model::{Failure, Result};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use serde::Serialize;
use std::collections::BTreeSet;

/// One flash job as the controller knows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// What is asked for.
    pub job: FlashJob,
    /// Where it stands.
    pub state: JobState,
    /// How often it was claimed.
    pub attempt: u32,
    /// When the claim ends unless it is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<DateTime<Utc>>,
    /// What the card writer said last, or why it ended as it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// When it was issued.
    pub created: DateTime<Utc>,
    /// When its state last changed.
    pub updated: DateTime<Utc>,
    /// The card writer's signed receipt, as it came.
    #[serde(skip)]
    pub receipt: Option<String>,
}

/// Who claims.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// The card writer.
    pub writer: &'a WriterName,
    /// Its slot.
    pub slot: &'a SlotName,
    /// Which of its installations: two with one key do not get one job.
    pub instance: &'a str,
}

/// What a card writer says while it is at a job.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Which claim it goes on with.
    pub attempt: u32,
    /// Where the job stands.
    pub state: JobState,
    /// What it does.
    pub said: Option<String>,
    /// Until when the claim is renewed.
    pub lease: DateTime<Utc>,
}

/// What came of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// The job ended with it.
    Taken,
    /// The job had ended with the same one.
    Known,
    /// The job had ended with another one, which stays.
    Other,
}

impl State {
    /// All flash jobs, in the order in which they were issued.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn flash_jobs(&self) -> Result<Vec<JobRow>> {
        let rows = Entity::find().order_by_asc(Column::Created).order_by_asc(Column::Id).all(&self.db).await;
        rows.map_err(|e| self.failed("reading", &e))?.iter().map(|row| self.job_row(row)).collect()
    }

    /// Issues jobs, and sets aside those that nobody wants any more and that no card is written
    /// for. A job that is there stays as it is.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn issue_jobs(
        &self,
        new: &[FlashJob],
        wanted: &BTreeSet<JobId>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let transaction = self.begin().await?;
        for job in new {
            let insert = Entity::insert(row_of(job, JobState::Pending, now)?)
                .on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned());
            insert.exec_without_returning(&transaction).await.map_err(|e| self.failed("writing to", &e))?;
        }
        for row in self.open_jobs(&transaction, None).await? {
            if wanted.contains(&row.id) || new.iter().any(|job| job.id() == row.id) {
                continue;
            }
            if let Ok(state) = row.state.to(JobState::Superseded) {
                self.move_job(&transaction, &row.id, state, now, |_| ()).await?;
            }
        }
        self.commit(transaction).await
    }

    /// Gives the oldest job of a slot that nobody has, or that this very installation has, until
    /// `now + ttl`.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn claim_job(
        &self,
        by: Claimant<'_>,
        ttl: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<Option<JobRow>> {
        let transaction = self.begin().await?;
        let mut open = self.open_jobs(&transaction, Some(by)).await?;
        // What it has begun comes before what it has not: one card at a time in one slot.
        open.sort_by_key(|row| row.state == JobState::Pending);
        let Some(row) = open.into_iter().next() else { return Ok(None) };
        let held = Entity::find_by_id(row.id.to_string()).one(&transaction).await;
        let held = held.map_err(|e| self.failed("reading", &e))?.and_then(|row| row.instance);
        let is_own = held.as_deref() == Some(by.instance);
        let is_free = row.state == JobState::Pending || row.lease.is_none_or(|until| until <= now);
        if !is_own && !is_free {
            return Ok(None);
        }
        let state = row.state.to(JobState::Claimed).map_err(|e| Failure::bug(e.to_string()))?;
        let attempt = i64::from(row.attempt) + i64::from(!is_own || row.state == JobState::Pending);
        self.move_job(&transaction, &row.id, state, now, |change| {
            change.attempt = Set(attempt);
            change.instance = Set(Some(by.instance.to_owned()));
            change.lease = Set(Some(millis(now + ttl)));
        })
        .await?;
        let row = Entity::find_by_id(row.id.to_string()).one(&transaction).await;
        let row = row.map_err(|e| self.failed("reading", &e))?;
        self.commit(transaction).await?;
        row.as_ref().map(|row| self.job_row(row)).transpose()
    }

    /// A card writer says that it is still at a job: whether it shall go on. It shall not if the
    /// job ended, was taken over, or nobody wants it any more.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn beat_job(
        &self,
        id: JobId,
        writer: &WriterName,
        beat: Beat,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let Beat { attempt, state, said, lease } = beat;
        let transaction = self.begin().await?;
        let row = Entity::find_by_id(id.to_string()).one(&transaction).await;
        // What was lost with the database goes on; its receipt brings it back.
        let Some(row) = row.map_err(|e| self.failed("reading", &e))? else { return Ok(true) };
        let row = self.job_row(&row)?;
        if row.job.writer != *writer || row.attempt > attempt {
            return Ok(false);
        }
        // Issued again after a loss, while the card writer is still at it.
        let from = match row.state {
            JobState::Pending if row.attempt < attempt => row.state.to(JobState::Claimed),
            other => Ok(other),
        };
        let Ok(state) = from.and_then(|from| from.to(state)) else { return Ok(false) };
        self.move_job(&transaction, &id, state, now, |change| {
            change.attempt = Set(attempt.into());
            change.lease = Set(Some(millis(lease)));
            change.said = Set(said);
        })
        .await?;
        self.commit(transaction).await?;
        Ok(true)
    }

    /// Ends a job with a receipt, also one that is not known here (any more).
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn end_job(
        &self,
        job: &FlashJob,
        state: JobState,
        said: Option<String>,
        receipt: &str,
        now: DateTime<Utc>,
    ) -> Result<Receiving> {
        let (id, transaction) = (job.id(), self.begin().await?);
        let row = Entity::find_by_id(id.to_string()).one(&transaction).await;
        let row = row.map_err(|e| self.failed("reading", &e))?;
        let from = match &row {
            Some(row) => self.job_row(row)?.state,
            None => {
                let insert = Entity::insert(row_of(job, JobState::Pending, now)?);
                let done = insert.exec_without_returning(&transaction).await;
                done.map_err(|e| self.failed("writing to", &e))?;
                JobState::Pending
            }
        };
        let Ok(state) = from.to(state) else {
            let same = row.and_then(|row| row.receipt).is_some_and(|known| known == receipt);
            return Ok(if same { Receiving::Known } else { Receiving::Other });
        };
        self.move_job(&transaction, &id, state, now, |change| {
            change.receipt = Set(Some(receipt.to_owned()));
            change.said = Set(said);
            change.lease = Set(None);
        })
        .await?;
        self.commit(transaction).await?;
        Ok(Receiving::Taken)
    }

    /// Open jobs, all or those of a slot, in the order in which they were issued.
    async fn open_jobs(&self, db: &impl ConnectionTrait, of: Option<Claimant<'_>>) -> Result<Vec<JobRow>> {
        let open = [JobState::Pending, JobState::Claimed, JobState::Writing].map(JobState::as_str);
        let mut find = Entity::find()
            .filter(Column::State.is_in(open))
            .order_by_asc(Column::Created)
            .order_by_asc(Column::Id);
        if let Some(by) = of {
            find =
                find.filter(Column::Writer.eq(by.writer.as_str())).filter(Column::Slot.eq(by.slot.as_str()));
        }
        let rows = find.all(db).await.map_err(|e| self.failed("reading", &e))?;
        rows.iter().map(|row| self.job_row(row)).collect()
    }

    async fn move_job(
        &self,
        db: &impl ConnectionTrait,
        id: &JobId,
        state: JobState,
        now: DateTime<Utc>,
        also: impl FnOnce(&mut ActiveModel),
    ) -> Result<()> {
        let mut change = ActiveModel {
            id: Unchanged(id.to_string()),
            state: Set(state.as_str().to_owned()),
            updated: Set(millis(now)),
            ..ActiveModel::default()
        };
        also(&mut change);
        Entity::update(change).exec(db).await.map(|_| ()).map_err(|e| self.failed("writing to", &e))
    }

    fn job_row(&self, row: &Model) -> Result<JobRow> {
        let bad = |e: &dyn std::fmt::Display| errors::unreadable(&self.path, "a flash job", e);
        let state = JobState::ALL.into_iter().find(|state| state.as_str() == row.state);
        Ok(JobRow {
            id: row.id.parse().map_err(|e: String| bad(&e))?,
            job: self.read("a flash job", &row.job)?,
            state: state.ok_or_else(|| bad(&format!("no state is called {:?}", row.state)))?,
            attempt: u32::try_from(row.attempt).map_err(|e| bad(&e))?,
            lease: row.lease.map(from_millis),
            said: row.said.clone(),
            created: from_millis(row.created),
            updated: from_millis(row.updated),
            receipt: row.receipt.clone(),
        })
    }
}

fn row_of(job: &FlashJob, state: JobState, now: DateTime<Utc>) -> Result<ActiveModel> {
    Ok(ActiveModel {
        id: Set(job.id().to_string()),
        writer: Set(job.writer.to_string()),
        slot: Set(job.slot.to_string()),
        state: Set(state.as_str().to_owned()),
        job: Set(json(job)?),
        attempt: Set(0),
        instance: Set(None),
        lease: Set(None),
        said: Set(None),
        receipt: Set(None),
        created: Set(millis(now)),
        updated: Set(millis(now)),
    })
}
