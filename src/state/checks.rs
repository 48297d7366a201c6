//! What the planner wants to know of the past, and the locks that no lock file holds.

use super::runs::json;
use super::tables::{attempt, check, made_lock};
use super::{State, from_millis, millis};
use crate::model::product::{Lock, Request};
use crate::model::{Digest, ErrorCode, Failure, FailureClass, ImageName, Result};
use crate::planner::{Failures, History, StoreWork, request_digest};
use chrono::{DateTime, Utc};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use std::collections::BTreeMap;

impl State {
    /// What became of earlier attempts, by image.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn history(&self, now: DateTime<Utc>) -> Result<BTreeMap<ImageName, History>> {
        let mut history: BTreeMap<ImageName, History> = BTreeMap::new();
        for row in self.failed_runs().await.map_err(|e| self.failed("reading", &e))? {
            let build = self.failures(&row.recipe, row.failures, row.failure.as_deref(), row.failed_at)?;
            history.entry(self.image(&row.image)?).or_default().build = build;
        }
        let checks = check::Entity::find().all(&self.db).await.map_err(|e| self.failed("reading", &e))?;
        for row in checks {
            let of = row.request.as_deref().unwrap_or_default();
            let lock = self.failures(of, row.failures, row.failure.as_deref(), row.failed_at)?;
            let entry = history.entry(self.image(&row.image)?).or_default();
            entry.lock = lock;
            entry.last_checked_upstream = row.checked.map(from_millis);
        }
        let works = attempt::Entity::find().all(&self.db).await.map_err(|e| self.failed("reading", &e))?;
        for row in works {
            let Some(work) = StoreWork::ALL.into_iter().find(|work| work.as_str() == row.work) else {
                continue;
            };
            let failed = self.failures(&row.of, row.failures, Some(&row.failure), Some(row.failed_at))?;
            let entry = history.entry(self.image(&row.image)?).or_default();
            entry.store.extend(failed.map(|failed| (work, failed)));
        }
        for (image, holder) in self.image_holders(now).await? {
            history.entry(self.image(&image)?).or_default().leased_by = Some(holder.to_string());
        }
        Ok(history)
    }

    /// Remembers that the image's packages were resolved against the mirrors just now.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn record_check(&self, image: &ImageName, now: DateTime<Utc>) -> Result<()> {
        let row = check::ActiveModel {
            image: Set(image.to_string()),
            checked: Set(Some(millis(now))),
            request: Set(None),
            failures: Set(0),
            failure: Set(None),
            failed_at: Set(None),
        };
        self.put_check(&self.db, row).await
    }

    /// Remembers that resolving `request` failed. Failures of one request are counted;
    /// those that the user stopped are not.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn record_check_failure(
        &self,
        image: &ImageName,
        request: &Request,
        failure: &Failure,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let transaction = self.begin().await?;
        let old = check::Entity::find_by_id(image.as_str()).one(&transaction).await;
        let old = old.map_err(|e| self.failed("reading", &e))?;
        let request = request_digest(request).to_string();
        let before =
            old.as_ref().filter(|row| row.request.as_ref() == Some(&request)).map_or(0, |row| row.failures);
        let counts = failure.class != FailureClass::Cancelled && failure.code != ErrorCode::Offline;
        let row = check::ActiveModel {
            image: Set(image.to_string()),
            checked: Set(old.and_then(|row| row.checked)),
            request: Set(Some(request)),
            failures: Set(before + i64::from(counts)),
            failure: Set(Some(json(failure)?)),
            failed_at: Set(Some(millis(now))),
        };
        self.put_check(&transaction, row).await?;
        self.commit(transaction).await
    }

    /// Remembers that work on published releases failed. Failures of the same work, `of`, are
    /// counted.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn record_work_failure(
        &self,
        image: &ImageName,
        work: StoreWork,
        of: &Digest,
        failure: &Failure,
        now: DateTime<Utc>,
    ) -> Result<()> {
        use attempt::Column::{FailedAt, Failure as Last, Failures as Count, Image, Of, Work};
        let transaction = self.begin().await?;
        let key = (image.to_string(), work.as_str().to_owned());
        let old = attempt::Entity::find_by_id(key.clone()).one(&transaction).await;
        let old = old.map_err(|e| self.failed("reading", &e))?;
        let before = old.filter(|row| row.of == of.to_string()).map_or(0, |row| row.failures);
        let counts = failure.code != ErrorCode::Offline;
        let row = attempt::ActiveModel {
            image: Set(key.0),
            work: Set(key.1),
            of: Set(of.to_string()),
            failures: Set(before + i64::from(counts)),
            failure: Set(json(failure)?),
            failed_at: Set(millis(now)),
        };
        let replace =
            OnConflict::columns([Image, Work]).update_columns([Of, Count, Last, FailedAt]).to_owned();
        let done = attempt::Entity::insert(row).on_conflict(replace).exec_without_returning(&transaction);
        done.await.map_err(|e| self.failed("writing to", &e))?;
        self.commit(transaction).await
    }

    /// Forgets failed work of one kind: it was done.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn forget_work_failures(&self, image: &ImageName, work: StoreWork) -> Result<()> {
        let done = attempt::Entity::delete_by_id((image.to_string(), work.as_str().to_owned()));
        done.exec(&self.db).await.map(|_| ()).map_err(|e| self.failed("writing to", &e))
    }

    /// Keeps a lock that was made because the catalog has none.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn put_made_lock(&self, image: &ImageName, lock: &Lock) -> Result<()> {
        let row = made_lock::ActiveModel {
            image: Set(image.to_string()),
            request: Set(request_digest(&lock.request()).to_string()),
            lock: Set(json(lock)?),
        };
        let replace = OnConflict::column(made_lock::Column::Image)
            .update_columns([made_lock::Column::Request, made_lock::Column::Lock])
            .to_owned();
        let done = made_lock::Entity::insert(row).on_conflict(replace).exec_without_returning(&self.db).await;
        done.map(|_| ()).map_err(|e| self.failed("writing to", &e))
    }

    /// The lock that was made for an image last, whether or not it still answers what the
    /// spec asks for; one in another version's format counts as none.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn made_lock(&self, image: &ImageName) -> Result<Option<Lock>> {
        let row = made_lock::Entity::find_by_id(image.as_str()).one(&self.db).await;
        let row = row.map_err(|e| self.failed("reading", &e))?;
        Ok(row.and_then(|row| serde_json::from_str(&row.lock).ok()))
    }

    /// The made lock of an image if it answers `request`, found without reading the others.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn made_lock_for(&self, image: &ImageName, request: &Request) -> Result<Option<Lock>> {
        let row = made_lock::Entity::find_by_id(image.as_str())
            .filter(made_lock::Column::Request.eq(request_digest(request).to_string()))
            .one(&self.db)
            .await
            .map_err(|e| self.failed("reading", &e))?;
        Ok(row.and_then(|row| serde_json::from_str(&row.lock).ok()))
    }

    async fn put_check(&self, db: &impl ConnectionTrait, row: check::ActiveModel) -> Result<()> {
        use check::Column::{Checked, FailedAt, Failure, Failures, Image, Request};
        let replace = OnConflict::column(Image)
            .update_columns([Checked, Request, Failures, Failure, FailedAt])
            .to_owned();
        let done = check::Entity::insert(row).on_conflict(replace).exec_without_returning(db).await;
        done.map(|_| ()).map_err(|e| self.failed("writing to", &e))
    }

    fn failures(
        &self,
        of: &str,
        count: i64,
        failure: Option<&str>,
        at: Option<i64>,
    ) -> Result<Option<Failures>> {
        let (Some(failure), Some(at)) = (failure, at) else { return Ok(None) };
        Ok(Some(Failures {
            of: of.parse().map_err(|e| super::errors::unreadable(&self.path, "a digest", &e))?,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            last: self.read("a failure", failure)?,
            at: from_millis(at),
        }))
    }

    fn image(&self, name: &str) -> Result<ImageName> {
        name.parse().map_err(|e| super::errors::unreadable(&self.path, "an image name", &e))
    }
}
