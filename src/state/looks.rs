//! What published files looked like when they were last hashed. Losing it costs one deep
//! check of every release, which is then due.

use super::tables::look::{self, Column, Entity};
use super::{State, errors, from_millis, millis};
use crate::model::{ImageName, Result, Version};
use chrono::{DateTime, Utc};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;
use sea_orm::sea_query::OnConflict;

/// What is known of one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// When every byte of it was last hashed.
    pub checked: Option<DateTime<Utc>>,
    /// Its files, as whoever looked wrote them down.
    pub files: String,
}

impl State {
    /// What is known of all releases.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn looks(&self) -> Result<Vec<Look>> {
        let rows = Entity::find().all(&self.db).await.map_err(|e| self.failed("reading", &e))?;
        let bad = |e: &dyn std::fmt::Display| errors::unreadable(&self.path, "a look at a release", e);
        let read = |row: look::Model| {
            Ok(Look {
                image: row.image.parse().map_err(|e| bad(&e))?,
                version: row.version.parse().map_err(|e| bad(&e))?,
                checked: row.checked.map(from_millis),
                files: row.files,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Keeps what is known of releases, all in one transaction.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn record_looks(&self, looks: &[Look]) -> Result<()> {
        if looks.is_empty() {
            return Ok(());
        }
        let transaction = self.begin().await?;
        for look in looks {
            let row = look::ActiveModel {
                image: Set(look.image.to_string()),
                version: Set(look.version.to_string()),
                checked: Set(look.checked.map(millis)),
                files: Set(look.files.clone()),
            };
            let replace = OnConflict::columns([Column::Image, Column::Version])
                .update_columns([Column::Checked, Column::Files])
                .to_owned();
            let done = Entity::insert(row).on_conflict(replace).exec_without_returning(&transaction).await;
            done.map_err(|e| self.failed("writing to", &e))?;
        }
        self.commit(transaction).await
    }

    /// Forgets releases that are no longer published.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn forget_looks(&self, releases: &[(ImageName, Version)]) -> Result<()> {
        for (image, version) in releases {
            let id = (image.to_string(), version.to_string());
            let done = Entity::delete_by_id(id).exec(&self.db).await;
            done.map_err(|e| self.failed("writing to", &e))?;
        }
        Ok(())
    }
}
