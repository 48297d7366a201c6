//! The database: runs, events, leases. Everything in it can be deleted.
//!
//! One SQLite file beside the caches. What it knows is who works on what, what was tried
//! and how it went, and which packages were resolved last; what is *published* it does not
//! know, that is read from the release store. So deleting it costs a few repeated attempts
//! and one resolution per image without a lock file, and nothing else. Delete it only while
//! no process uses it: leases are in it.
//!
//! Every change is one `BEGIN IMMEDIATE` transaction. A deferred one that reads first and
//! then writes fails at once, whatever the busy timeout, when another process wrote in
//! between.

mod builders;
mod checks;
mod errors;
mod flashes;
mod jobs;
mod leases;
mod looks;
mod migrations;
mod open;
mod prune;
mod runs;
mod sysupgrades;
mod tables;
mod writers;

pub use builders::{BuilderRow, BuilderState};
pub use flashes::FlashFilter;
pub use jobs::{Beat, Claimant, JobRow, Receiving};
pub use leases::{Acquired, Holder, Lease, image_lease, new_id};
pub use looks::Look;
pub use prune::{LONGEST_MEMORY, RUNS_KEPT};
pub use runs::EVENTS_KEPT;

use crate::model::{Failure, Result};
use chrono::{DateTime, Utc};
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use std::path::{Path, PathBuf};

/// The open database. Clones share one connection.
#[derive(Clone, Debug)]
pub struct State {
    db: DatabaseConnection,
    path: PathBuf,
    file: open::FileId,
    warning: Option<String>,
}

impl State {
    /// Opens the database at `path`; makes it (mode 0600) and its folder (mode 0700) if they
    /// are not there, and brings an older one up to date. A file that is no database is
    /// moved aside, which [`State::warning`] then tells.
    ///
    /// # Errors
    /// If the file cannot be opened or made, or was written by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        open::open(path).await
    }

    /// What the user should know about how the database was opened.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Closes the database; what was committed stays.
    ///
    /// # Errors
    /// If the last pages cannot be written.
    pub async fn close(self) -> Result<()> {
        self.db.clone().close().await.map_err(|e| self.failed("closing", &e))
    }

    /// A transaction that holds the write lock from its beginning.
    async fn begin(&self) -> Result<DatabaseTransaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.db.begin_with_options(options).await.map_err(|e| self.failed("writing to", &e))
    }

    async fn commit(&self, transaction: DatabaseTransaction) -> Result<()> {
        transaction.commit().await.map_err(|e| self.failed("writing to", &e))
    }

    fn failed(&self, doing: &str, error: &DbErr) -> Failure {
        errors::failure(doing, &self.path, error)
    }
}

/// Times are stored in milliseconds since 1970.
fn millis(t: DateTime<Utc>) -> i64 {
    t.timestamp_millis()
}

fn from_millis(t: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(t).unwrap_or_default()
}
