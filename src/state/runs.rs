//! Runs and their events. Where a run goes next is decided by the transition table of
//! [`RunState`], checked inside the transaction that writes it.

use super::leases::new_id;
use super::tables::event;
use super::tables::run::{ActiveModel, Column, Entity, Model};
use super::{State, errors, from_millis, millis};
use crate::model::run::{Phase, Run, RunId, RunState};
use crate::model::{Digest, ErrorCode, Event, Failure, FailureClass, ImageName, Result, Version};
use chrono::{DateTime, Utc};
use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Events of one run that are kept, the newest.
pub const EVENTS_KEPT: usize = 1000;

impl State {
    /// Starts to build a recipe: a new run, or the open one of this recipe with its attempt
    /// raised by one (it failed, or the process that had it was killed). The run is then
    /// `Building`. Open runs of other recipes of the image are superseded.
    ///
    /// The caller holds the image's lease.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn start_run(
        &self,
        image: &ImageName,
        recipe: &Digest,
        version: &Version,
        now: DateTime<Utc>,
    ) -> Result<Run> {
        let transaction = self.begin().await?;
        let open = open_runs(image).all(&transaction).await.map_err(|e| self.failed("reading", &e))?;
        let (mut same, others): (Vec<Model>, Vec<Model>) =
            open.into_iter().partition(|row| row.recipe == recipe.to_string());
        for row in others {
            self.supersede(&transaction, &row, now).await?;
        }
        let row = match same.pop() {
            Some(row) => {
                let state = self.next(&self.run(&row)?, RunState::Building)?;
                let again = ActiveModel {
                    id: Unchanged(row.id),
                    version: Set(version.to_string()),
                    attempt: Set(row.attempt + 1),
                    phase: Set(phase_text(state.phase())),
                    state: Set(json(&state)?),
                    updated: Set(millis(now)),
                    ..ActiveModel::default()
                };
                Entity::update(again).exec(&transaction).await
            }
            None => {
                let state =
                    RunState::Pending.to(RunState::Building).map_err(|e| Failure::bug(e.to_string()))?;
                let new = ActiveModel {
                    id: Set(new_id(now)),
                    image: Set(image.to_string()),
                    recipe: Set(recipe.to_string()),
                    version: Set(version.to_string()),
                    attempt: Set(1),
                    phase: Set(phase_text(state.phase())),
                    state: Set(json(&state)?),
                    created: Set(millis(now)),
                    updated: Set(millis(now)),
                    failures: Set(0),
                    failure: Set(None),
                    failed_at: Set(None),
                };
                Entity::insert(new).exec_with_returning(&transaction).await
            }
        };
        let row = row.map_err(|e| self.failed("writing to", &e))?;
        self.commit(transaction).await?;
        self.run(&row)
    }

    /// Brings a run to its next state.
    ///
    /// # Errors
    /// If there is no such run, if the transition table has no such step (the run then
    /// stays as it is), or if the database cannot be written.
    pub async fn advance(&self, id: RunId, next: RunState, now: DateTime<Utc>) -> Result<Run> {
        let transaction = self.begin().await?;
        let row = Entity::find_by_id(id.0).one(&transaction).await.map_err(|e| self.failed("reading", &e))?;
        let row = row.ok_or_else(|| Failure::bug(format!("there is no run {id}")))?;
        let state = self.next(&self.run(&row)?, next)?;
        let mut change = ActiveModel {
            id: Unchanged(row.id),
            phase: Set(phase_text(state.phase())),
            state: Set(json(&state)?),
            updated: Set(millis(now)),
            ..ActiveModel::default()
        };
        if let RunState::Failed { failure } = &state {
            let counts = failure.class != FailureClass::Cancelled && failure.code != ErrorCode::Offline;
            change.failures = Set(row.failures + i64::from(counts));
            change.failure = Set(Some(json(failure)?));
            change.failed_at = Set(Some(millis(now)));
        }
        let row =
            Entity::update(change).exec(&transaction).await.map_err(|e| self.failed("writing to", &e))?;
        self.commit(transaction).await?;
        self.run(&row)
    }

    /// The runs of an image, the newest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn runs(&self, image: &ImageName) -> Result<Vec<Run>> {
        let rows = Entity::find()
            .filter(Column::Image.eq(image.as_str()))
            .order_by_desc(Column::Created)
            .order_by_desc(Column::Id)
            .all(&self.db)
            .await
            .map_err(|e| self.failed("reading", &e))?;
        rows.iter().map(|row| self.run(row)).collect()
    }

    /// Keeps events of a run, of all of them the newest [`EVENTS_KEPT`].
    ///
    /// # Errors
    /// If there is no such run or the database cannot be written.
    pub async fn record_events(&self, run: RunId, events: &[(DateTime<Utc>, Event)]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let rows = events[events.len().saturating_sub(EVENTS_KEPT)..].iter().map(|(time, event)| {
            Ok(event::ActiveModel {
                run: Set(run.0),
                time: Set(millis(*time)),
                event: Set(json(event)?),
                ..event::ActiveModel::default()
            })
        });
        let transaction = self.begin().await?;
        for row in rows.collect::<Result<Vec<_>>>()? {
            let done = event::Entity::insert(row).exec_without_returning(&transaction).await;
            done.map_err(|e| self.failed("writing to", &e))?;
        }
        let first_too_old = event::Entity::find()
            .filter(event::Column::Run.eq(run.0))
            .order_by_desc(event::Column::Id)
            .offset(EVENTS_KEPT as u64)
            .one(&transaction)
            .await
            .map_err(|e| self.failed("reading", &e))?;
        if let Some(row) = first_too_old {
            let old = event::Entity::delete_many()
                .filter(event::Column::Run.eq(run.0))
                .filter(event::Column::Id.lte(row.id));
            old.exec(&transaction).await.map_err(|e| self.failed("writing to", &e))?;
        }
        self.commit(transaction).await
    }

    /// The events of a run as JSON, in the order in which they were kept.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn events(&self, run: RunId) -> Result<Vec<(DateTime<Utc>, serde_json::Value)>> {
        let rows = event::Entity::find()
            .filter(event::Column::Run.eq(run.0))
            .order_by_asc(event::Column::Id)
            .all(&self.db)
            .await
            .map_err(|e| self.failed("reading", &e))?;
        let read = |row: event::Model| Ok((from_millis(row.time), self.read("an event", &row.event)?));
        rows.into_iter().map(read).collect()
    }

    /// The runs that nothing final was said about: at work, failed, or killed.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn open_runs(&self) -> Result<Vec<Run>> {
        let rows = Entity::find()
            .filter(Column::Phase.is_not_in(FINAL))
            .order_by_asc(Column::Id)
            .all(&self.db)
            .await
            .map_err(|e| self.failed("reading", &e))?;
        rows.iter().map(|row| self.run(row)).collect()
    }

    /// The open runs of all images that failed at least once, the newest of each image last.
    pub(super) async fn failed_runs(&self) -> Result<Vec<Model>, DbErr> {
        Entity::find()
            .filter(Column::Phase.is_not_in(FINAL))
            .filter(Column::FailedAt.is_not_null())
            .order_by_asc(Column::Updated)
            .all(&self.db)
            .await
    }

    async fn supersede(&self, db: &impl ConnectionTrait, row: &Model, now: DateTime<Utc>) -> Result<()> {
        let run = self.run(row)?;
        // What was killed while it published has to fail before it can be set aside.
        let state = match run.state.to(RunState::Superseded) {
            Ok(state) => state,
            Err(_) => {
                let failed = self.next(&run, RunState::Failed { failure: Failure::cancelled() })?;
                self.next(&Run { state: failed, ..run }, RunState::Superseded)?
            }
        };
        let change = ActiveModel {
            id: Unchanged(row.id),
            phase: Set(phase_text(state.phase())),
            state: Set(json(&state)?),
            updated: Set(millis(now)),
            ..ActiveModel::default()
        };
        Entity::update(change).exec(db).await.map(|_| ()).map_err(|e| self.failed("writing to", &e))
    }

    fn next(&self, run: &Run, next: RunState) -> Result<RunState> {
        run.state.to(next).map_err(|e| Failure::bug(format!("run {} of {}: {e}", run.id, run.image)))
    }

    fn run(&self, row: &Model) -> Result<Run> {
        let bad = |e: &dyn std::fmt::Display| errors::unreadable(&self.path, &format!("run {}", row.id), e);
        Ok(Run {
            id: RunId(row.id),
            image: row.image.parse().map_err(|e| bad(&e))?,
            recipe: row.recipe.parse().map_err(|e| bad(&e))?,
            version: row.version.parse().map_err(|e| bad(&e))?,
            attempt: u32::try_from(row.attempt).map_err(|e| bad(&e))?,
            state: self.read(&format!("run {}", row.id), &row.state)?,
            created: from_millis(row.created),
            updated: from_millis(row.updated),
        })
    }

    pub(super) fn read<T: DeserializeOwned>(&self, what: &str, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|e| errors::unreadable(&self.path, what, &e))
    }
}

/// The phases after which nothing happens any more.
const FINAL: [&str; 2] = ["published", "superseded"];

fn open_runs(image: &ImageName) -> sea_orm::Select<Entity> {
    Entity::find().filter(Column::Image.eq(image.as_str())).filter(Column::Phase.is_not_in(FINAL))
}

/// The phase as serde writes it.
fn phase_text(phase: Phase) -> String {
    match phase {
        Phase::Pending => "pending",
        Phase::Building => "building",
        Phase::Verifying => "verifying",
        Phase::Publishing => "publishing",
        Phase::Published => "published",
        Phase::Failed => "failed",
        Phase::Superseded => "superseded",
    }
    .to_owned()
}

pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Failure::bug(format!("a value has no JSON: {e}")))
}
