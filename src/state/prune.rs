//! The memory of runs is long, not endless.

use super::tables::{event, run};
use super::{State, millis};
use crate::model::Result;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Statement};

/// Finished runs of one image that are remembered, the newest.
pub const RUNS_KEPT: u32 = 50;
/// How long finished runs are remembered.
pub const LONGEST_MEMORY: TimeDelta = TimeDelta::days(365);

/// The runs that are over, each with its place among those of its image.
const RANKED: &str = "SELECT \"id\", \"updated\", ROW_NUMBER() OVER \
    (PARTITION BY \"image\" ORDER BY \"created\" DESC, \"id\" DESC) AS \"place\" \
    FROM \"runs\" WHERE \"phase\" IN ('published', 'superseded')";

impl State {
    /// Forgets the finished runs of each image but for the newest [`RUNS_KEPT`], and those
    /// older than [`LONGEST_MEMORY`] but for the newest one, with their events. Says how many
    /// runs. Open runs stay: what the planner knows of failures is in them.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn prune(&self, now: DateTime<Utc>) -> Result<u64> {
        let transaction = self.begin().await?;
        let old = format!(
            "SELECT \"id\" FROM ({RANKED}) WHERE \"place\" > {RUNS_KEPT} OR (\"place\" > 1 AND \"updated\" < {})",
            millis(now - LONGEST_MEMORY)
        );
        let ask = Statement::from_string(transaction.get_database_backend(), old);
        let rows = transaction.query_all_raw(ask).await.map_err(|e| self.failed("reading", &e))?;
        let ids: Vec<uuid::Uuid> = rows
            .iter()
            .map(|row| row.try_get_by_index(0))
            .collect::<Result<_, _>>()
            .map_err(|e| self.failed("reading", &e))?;
        let mut forgotten = 0;
        // A statement takes a limited number of values.
        for some in ids.chunks(500) {
            let events = event::Entity::delete_many().filter(event::Column::Run.is_in(some.to_vec()));
            events.exec(&transaction).await.map_err(|e| self.failed("writing to", &e))?;
            let runs = run::Entity::delete_many().filter(run::Column::Id.is_in(some.to_vec()));
            let done = runs.exec(&transaction).await.map_err(|e| self.failed("writing to", &e))?;
            forgotten += done.rows_affected;
        }
        self.commit(transaction).await?;
        Ok(forgotten)
    }
}
