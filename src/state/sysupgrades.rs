//! Requests of the Attended Sysupgrade API: what waits, and what became of the others.

use super::tables::sysupgrade::{self, Column, Entity};
use super::{State, errors, from_millis, millis};
use crate::model::asu::{Asked, JobState};
use crate::model::{Digest, Failure, Result};
use chrono::{DateTime, Utc};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

impl State {
    /// A request by its hash; nothing if it is not known or has expired.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn sysupgrade(&self, hash: &Digest, now: DateTime<Utc>) -> Result<Option<Asked>> {
        let row = Entity::find_by_id(hash.hex()).one(&self.db).await;
        let asked = row.map_err(|e| self.failed("reading", &e))?.map(|row| self.asked(row)).transpose()?;
        Ok(asked.filter(|asked| asked.expires.is_none_or(|expires| expires > now)))
    }

    /// The requests that are open, in the order in which they were made.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn open_sysupgrades(&self) -> Result<Vec<Asked>> {
        let open = [JobState::Queued, JobState::Started].map(JobState::as_str);
        let find = Entity::find().filter(Column::State.is_in(open));
        let rows = find.order_by_asc(Column::Enqueued).order_by_asc(Column::Hash).all(&self.db).await;
        rows.map_err(|e| self.failed("reading", &e))?.into_iter().map(|row| self.asked(row)).collect()
    }

    /// Keeps how far a request is.
    ///
    /// # Errors
    /// If the database cannot be written; a bug if a request cannot come to this state from the one
    /// that it is in.
    pub async fn put_sysupgrade(&self, asked: &Asked) -> Result<()> {
        let transaction = self.begin().await?;
        let before = Entity::find_by_id(asked.hash.hex()).one(&transaction).await;
        if let Some(row) = before.map_err(|e| self.failed("reading", &e))? {
            let from = self.state_of(&row.state)?;
            if from != asked.state && !from.may_become(asked.state) {
                let (from, to) = (from.as_str(), asked.state.as_str());
                return Err(Failure::bug(format!("the request {} is {from} and not {to}", asked.hash)));
            }
        }
        let text = |value: serde_json::Result<String>| value.map_err(|e| Failure::bug(e.to_string()));
        let row = sysupgrade::ActiveModel {
            hash: Set(asked.hash.hex()),
            request: Set(text(serde_json::to_string(&asked.request))?),
            state: Set(asked.state.as_str().to_owned()),
            enqueued: Set(millis(asked.enqueued)),
            expires: Set(asked.expires.map(millis)),
            recipe: Set(asked.recipe.map(|recipe| recipe.hex())),
            answer: Set(text(serde_json::to_string(&asked.answer))?),
        };
        let columns = [
            Column::Request,
            Column::State,
            Column::Enqueued,
            Column::Expires,
            Column::Recipe,
            Column::Answer,
        ];
        let replace = OnConflict::column(Column::Hash).update_columns(columns).to_owned();
        let done = Entity::insert(row).on_conflict(replace).exec_without_returning(&transaction).await;
        done.map_err(|e| self.failed("writing to", &e))?;
        self.commit(transaction).await
    }

    /// Forgets the requests that have expired. Says how many.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn forget_sysupgrades(&self, now: DateTime<Utc>) -> Result<u64> {
        let old = Entity::delete_many().filter(Column::Expires.lte(millis(now)));
        let done = old.exec(&self.db).await.map_err(|e| self.failed("writing to", &e))?;
        Ok(done.rows_affected)
    }

    fn state_of(&self, text: &str) -> Result<JobState> {
        let state = JobState::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| {
            errors::unreadable(&self.path, "a request", &format!("no state is called {text:?}"))
        })
    }

    fn asked(&self, row: sysupgrade::Model) -> Result<Asked> {
        let bad = |e: &dyn std::fmt::Display| errors::unreadable(&self.path, "a request", e);
        let recipe = row.recipe.as_deref().map(str::parse).transpose();
        Ok(Asked {
            hash: row.hash.parse().map_err(|e| bad(&e))?,
            request: serde_json::from_str(&row.request).map_err(|e| bad(&e))?,
            state: self.state_of(&row.state)?,
            enqueued: from_millis(row.enqueued),
            expires: row.expires.map(from_millis),
            recipe: recipe.map_err(|e| bad(&e))?,
            answer: serde_json::from_str(&row.answer).map_err(|e| bad(&e))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::asu::{BuildRequest, SysupgradeSettings, hash::request_hash};
    use chrono::TimeDelta;
    use serde_json::{Map, json};

    fn asked(packages: &str, seconds: i64) -> Asked {
        let body = format!(
            r#"{{"version": "24.10.5", "target": "x86/64", "profile": "generic", "packages": [{packages}]}}"#
        );
        let request = BuildRequest::parse(Some(body.as_bytes()), &SysupgradeSettings::default()).unwrap();
        let enqueued = DateTime::from_timestamp(1_750_000_000 + seconds, 0).unwrap();
        let hash = request_hash(&request);
        let (expires, recipe, answer) = (None, None, Map::new());
        Asked { hash, request, state: JobState::Queued, enqueued, expires, recipe, answer }
    }

    #[tokio::test]
    async fn requests_are_kept_in_order_and_forgotten_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state.db")).await.unwrap();
        let (first, second) = (asked(r#""b""#, 0), asked(r#""a""#, 1));
        for asked in [&second, &first] {
            state.put_sysupgrade(asked).await.unwrap();
        }
        assert_eq!(state.open_sysupgrades().await.unwrap(), [first.clone(), second.clone()]);
        let started = Asked { state: JobState::Started, ..first.clone() };
        state.put_sysupgrade(&started).await.unwrap();
        let now = first.enqueued + TimeDelta::minutes(1);
        let done = Asked {
            state: JobState::Done,
            expires: Some(now),
            recipe: Some(Digest::of("r")),
            answer: json!({"detail": "done"}).as_object().unwrap().clone(),
            ..first
        };
        state.put_sysupgrade(&done).await.unwrap();
        assert_eq!(state.open_sysupgrades().await.unwrap(), std::slice::from_ref(&second));
        let before = now - TimeDelta::seconds(1);
        assert_eq!(state.sysupgrade(&done.hash, before).await.unwrap(), Some(done.clone()));
        assert_eq!(state.sysupgrade(&done.hash, now).await.unwrap(), None);
        assert_eq!(state.forget_sysupgrades(before).await.unwrap(), 0);
        assert_eq!(state.forget_sysupgrades(now).await.unwrap(), 1);
        // What is open never expires.
        assert_eq!(state.sysupgrade(&second.hash, now + TimeDelta::days(999)).await.unwrap(), Some(second));
    }

    #[tokio::test]
    async fn a_request_goes_one_way() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state.db")).await.unwrap();
        let queued = asked("", 0);
        state.put_sysupgrade(&queued).await.unwrap();
        for wrong in [JobState::Done, JobState::Failed] {
            let failure = state.put_sysupgrade(&Asked { state: wrong, ..queued.clone() }).await.unwrap_err();
            assert!(failure.message.contains("is queued"), "{failure}");
        }
        assert_eq!(state.open_sysupgrades().await.unwrap(), [queued]);
    }
}
