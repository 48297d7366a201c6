//! Leases: who may work on what, until when.
//!
//! A lease is taken by compare-and-swap on its token, so that two processes never get one
//! twice. It ends by release, by time, or with the process that holds it.

use super::tables::lease::{ActiveModel, Column, Entity, Model};
use super::{State, from_millis, millis, open};
use crate::effects::alive::{self, Identity};
use crate::model::{ErrorCode, Failure, FailureClass, ImageName, Result};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

/// The right to work on something until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    name: String,
    token: Uuid,
    /// When it ends unless it is renewed.
    pub expires: DateTime<Utc>,
}

impl Lease {
    /// What it is for.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// What the holder says of itself.
    pub holder: String,
    /// Its process, in its own PID namespace.
    pub pid: u32,
    /// When its lease ends unless it is renewed.
    pub expires: DateTime<Utc>,
}

impl std::fmt::Display for Holder {
    /// `reconcile on gateway, pid 4711`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, pid {}", self.holder, self.pid)
    }
}

/// What came of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is yours.
    Yes(Lease),
    /// Somebody has it.
    HeldBy(Holder),
}

/// The name of the lease on an image, whose holder [`State::history`] reports.
pub fn image_lease(image: &ImageName) -> String {
    format!("{IMAGE_PREFIX}{image}")
}

/// No lease is given for longer. One that seems to last longer was given before the clock
/// was set back, and says nothing about now.
const LONGEST: TimeDelta = TimeDelta::hours(1);

pub(super) const IMAGE_PREFIX: &str = "image/";

impl State {
    /// Takes the lease `name` for the process `pid` until `now + ttl`, unless another
    /// living process (or another part of the same one) holds it.
    ///
    /// # Errors
    /// If the database cannot be written, or its file was deleted or replaced since it was
    /// opened: the lease would then bind nobody.
    pub async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        pid: u32,
        ttl: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<Acquired> {
        self.check_same_file()?;
        let transaction = self.begin().await?;
        let found = Entity::find_by_id(name).one(&transaction).await;
        let found = found.map_err(|e| self.failed("reading", &e))?;
        if let Some(held) = found.as_ref().filter(|row| is_held(row, now)) {
            return Ok(Acquired::HeldBy(held.into()));
        }
        let lease = Lease { name: name.to_owned(), token: new_id(now), expires: now + ttl.min(LONGEST) };
        let process = alive::identity(pid);
        let row = ActiveModel {
            name: Set(lease.name.clone()),
            token: Set(lease.token),
            holder: Set(holder.to_owned()),
            boot: Set(process.boot),
            pid: Set(pid.into()),
            started: Set(process.started),
            expires: Set(millis(lease.expires)),
        };
        let swapped = match found {
            None => Entity::insert(row).exec_without_returning(&transaction).await,
            Some(old) => Entity::update_many()
                .set(row)
                .filter(Column::Name.eq(name))
                .filter(Column::Token.eq(old.token))
                .exec(&transaction)
                .await
                .map(|done| done.rows_affected),
        };
        let swapped = swapped.map_err(|e| self.failed("writing to", &e))?;
        self.commit(transaction).await?;
        match swapped {
            1 => Ok(Acquired::Yes(lease)),
            n => Err(Failure::bug(format!("taking the lease {name:?} changed {n} rows"))),
        }
    }

    /// Lets a lease that is still held end at `now + ttl`.
    ///
    /// # Errors
    /// If the lease was taken over: stop the work at once.
    pub async fn renew(&self, lease: &Lease, ttl: TimeDelta, now: DateTime<Utc>) -> Result<Lease> {
        self.check_same_file()?;
        let expires = now + ttl.min(LONGEST);
        let done = Entity::update_many()
            .col_expr(Column::Expires, Expr::value(millis(expires)))
            .filter(Column::Name.eq(&lease.name))
            .filter(Column::Token.eq(lease.token))
            .exec(&self.db)
            .await
            .map_err(|e| self.failed("writing to", &e))?;
        if done.rows_affected == 1 {
            return Ok(Lease { expires, ..lease.clone() });
        }
        let message = format!("the lease {:?} was taken over by another process", lease.name);
        Err(Failure::new(ErrorCode::Internal, FailureClass::Host, message)
            .hint("This process did not renew it in time; let the other one finish."))
    }

    /// Gives a lease back. One that was taken over stays with who has it now.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn release(&self, lease: Lease) -> Result<()> {
        Entity::delete_many()
            .filter(Column::Name.eq(&lease.name))
            .filter(Column::Token.eq(lease.token))
            .exec(&self.db)
            .await
            .map(|_| ())
            .map_err(|e| self.failed("writing to", &e))
    }

    /// Who holds the lease `name` now.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn holder(&self, name: &str, now: DateTime<Utc>) -> Result<Option<Holder>> {
        let row = Entity::find_by_id(name).one(&self.db).await.map_err(|e| self.failed("reading", &e))?;
        Ok(row.as_ref().filter(|row| is_held(row, now)).map(Holder::from))
    }

    /// The held leases on images, by image name as text.
    pub(super) async fn image_holders(&self, now: DateTime<Utc>) -> Result<Vec<(String, Holder)>> {
        let rows = Entity::find()
            .filter(Column::Name.starts_with(IMAGE_PREFIX))
            .all(&self.db)
            .await
            .map_err(|e| self.failed("reading", &e))?;
        let held = rows.iter().filter(|row| is_held(row, now));
        Ok(held
            .filter_map(|row| Some((row.name.strip_prefix(IMAGE_PREFIX)?.to_owned(), Holder::from(row))))
            .collect())
    }

    /// A process that still writes to a deleted file and one that made a new one would both
    /// get every lease.
    fn check_same_file(&self) -> Result<()> {
        if open::file_id(&self.path).ok() == Some(self.file) {
            return Ok(());
        }
        let message =
            format!("the state database {} was deleted or replaced while it was in use", self.path.display());
        Err(Failure::new(ErrorCode::Corrupt, FailureClass::Host, message)
            .hint("Start again; delete the file only while no bootwright runs."))
    }
}

impl From<&Model> for Holder {
    fn from(row: &Model) -> Self {
        Self {
            holder: row.holder.clone(),
            pid: u32::try_from(row.pid).unwrap_or_default(),
            expires: from_millis(row.expires),
        }
    }
}

fn is_held(row: &Model, now: DateTime<Utc>) -> bool {
    let pid = u32::try_from(row.pid).unwrap_or_default();
    let process = Identity { boot: row.boot.clone(), pid, started: row.started };
    let left = row.expires - millis(now);
    let plausible = left <= LONGEST.num_milliseconds() || alive::is_of_this_boot(&process);
    left > 0 && plausible && !alive::is_dead(&process)
}

/// A new id (UUID version 7) that carries `now` and is otherwise random.
pub fn new_id(now: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.timestamp_subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(boot: &str, pid: u32, expires: DateTime<Utc>) -> Model {
        Model {
            name: "x".to_owned(),
            token: Uuid::nil(),
            holder: "test".to_owned(),
            boot: boot.to_owned(),
            pid: pid.into(),
            started: alive::identity(pid).started,
            expires: millis(expires),
        }
    }

    #[test]
    fn a_lease_of_another_boot_ends_by_time_even_if_the_clock_was_set_back() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let other = |left| is_held(&row("another boot", 1, now + left), now);
        assert!(other(TimeDelta::minutes(10)) && other(LONGEST));
        assert!(!other(-TimeDelta::seconds(1)) && !other(TimeDelta::days(400)));
        // One that can be looked for lives, whatever the clock says.
        let own = alive::identity(std::process::id());
        assert!(is_held(&row(&own.boot, own.pid, now + TimeDelta::days(400)), now));
    }
}
