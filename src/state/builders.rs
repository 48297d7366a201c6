//! Image Builders of OpenWrt: which there are and which are being fetched. The files of the
//! cache are the truth: a row that is lost is written again from them.

use super::tables::builder::{self, Column, Entity};
use super::{State, errors, from_millis, millis};
use crate::model::openwrt::BuilderId;
use crate::model::{Digest, Result};
use chrono::{DateTime, Utc};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;
use sea_orm::sea_query::OnConflict;
use serde::Serialize;

/// What is known of one Image Builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderRow {
    /// The digest of its archive.
    pub sha256: Digest,
    /// What it is of.
    pub id: BuilderId,
    /// The address that listed it.
    pub url: String,
    /// How far it is.
    pub state: BuilderState,
    /// Bytes on disk; 0 until it is unpacked.
    pub size: u64,
    /// When it was last used.
    pub last_use: DateTime<Utc>,
}

/// How far an Image Builder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BuilderState {
    /// It is downloaded or unpacked, or was until its process was killed.
    Fetching,
    /// It is in the cache.
    Ready,
    /// It is in the cache and is not what it should be.
    Damaged,
}

impl BuilderState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Fetching, Self::Ready, Self::Damaged];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::Ready => "ready",
            Self::Damaged => "damaged",
        }
    }
}

impl State {
    /// All Image Builders that are known, by release and target.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn builders(&self) -> Result<Vec<BuilderRow>> {
        let rows = Entity::find().all(&self.db).await.map_err(|e| self.failed("reading", &e))?;
        let bad = |e: &dyn std::fmt::Display| errors::unreadable(&self.path, "an Image Builder", e);
        let read = |row: builder::Model| {
            let platform = format!("{}/{}", row.target, row.subtarget).parse().map_err(|e| bad(&e))?;
            let state = BuilderState::ALL.into_iter().find(|state| state.as_str() == row.state);
            Ok(BuilderRow {
                sha256: row.sha256.parse().map_err(|e| bad(&e))?,
                id: BuilderId::new(row.release.parse().map_err(|e| bad(&e))?, platform)?,
                url: row.url,
                state: state.ok_or_else(|| bad(&format!("no state is called {:?}", row.state)))?,
                size: row.size.cast_unsigned(),
                last_use: from_millis(row.last_use),
            })
        };
        let mut builders = rows.into_iter().map(read).collect::<Result<Vec<BuilderRow>>>()?;
        builders.sort_by(|a, b| (&a.id, a.sha256).cmp(&(&b.id, b.sha256)));
        Ok(builders)
    }

    /// Keeps what is known of Image Builders, all in one transaction.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn record_builders(&self, builders: &[BuilderRow]) -> Result<()> {
        if builders.is_empty() {
            return Ok(());
        }
        let transaction = self.begin().await?;
        for known in builders {
            let platform = known.id.platform();
            let row = builder::ActiveModel {
                sha256: Set(known.sha256.hex()),
                release: Set(known.id.release().to_string()),
                target: Set(platform.target.to_string()),
                subtarget: Set(platform.subtarget.to_string()),
                url: Set(known.url.clone()),
                state: Set(known.state.as_str().to_owned()),
                size: Set(known.size.cast_signed()),
                last_use: Set(millis(known.last_use)),
            };
            let replace = OnConflict::column(Column::Sha256)
                .update_columns([
                    Column::Release,
                    Column::Target,
                    Column::Subtarget,
                    Column::Url,
                    Column::State,
                    Column::Size,
                    Column::LastUse,
                ])
                .to_owned();
            let done = Entity::insert(row).on_conflict(replace).exec_without_returning(&transaction).await;
            done.map_err(|e| self.failed("writing to", &e))?;
        }
        self.commit(transaction).await
    }

    /// Forgets Image Builders that are gone.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn forget_builders(&self, gone: &[Digest]) -> Result<()> {
        for sha256 in gone {
            let done = Entity::delete_by_id(sha256.hex()).exec(&self.db).await;
            done.map_err(|e| self.failed("writing to", &e))?;
        }
        Ok(())
    }
}
