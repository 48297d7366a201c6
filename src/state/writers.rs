//! Card writers: tokens that are good for one enrolment, the keys that enrolled, and the requests
//! that were answered, each of which counts once.

use super::tables::{writer_key, writer_nonce, writer_token};
use super::{State, millis};
use crate::model::writer::{WriterKey, WriterName};
use crate::model::{Digest, Result};
use chrono::{DateTime, Utc};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

impl State {
    /// Keeps a token by its digest, until `expires`.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn put_token(&self, token: &Digest, writer: &WriterName, expires: DateTime<Utc>) -> Result<()> {
        let row = writer_token::ActiveModel {
            token: Set(token.hex()),
            writer: Set(writer.to_string()),
            expires: Set(millis(expires)),
        };
        let done = writer_token::Entity::insert(row).exec_without_returning(&self.db).await;
        done.map(|_| ()).map_err(|e| self.failed("writing to", &e))
    }

    /// Takes a token, which is then used up, and keeps the key of the writer that it is for. Says
    /// whether it did; the same key with a used token is no second enrolment.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn enroll(
        &self,
        token: &Digest,
        writer: &WriterName,
        key: &WriterKey,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        use writer_token::Column;
        let transaction = self.begin().await?;
        let used = writer_token::Entity::delete_many()
            .filter(Column::Token.eq(token.hex()))
            .filter(Column::Writer.eq(writer.as_str()))
            .filter(Column::Expires.gt(millis(now)))
            .exec(&transaction)
            .await
            .map_err(|e| self.failed("writing to", &e))?;
        if used.rows_affected != 1 {
            return Ok(false);
        }
        let row = writer_key::ActiveModel {
            writer: Set(writer.to_string()),
            key: Set(key.to_string()),
            enrolled: Set(millis(now)),
        };
        let replace = OnConflict::column(writer_key::Column::Writer)
            .update_columns([writer_key::Column::Key, writer_key::Column::Enrolled])
            .to_owned();
        let done = writer_key::Entity::insert(row).on_conflict(replace);
        done.exec_without_returning(&transaction).await.map_err(|e| self.failed("writing to", &e))?;
        self.commit(transaction).await?;
        Ok(true)
    }

    /// The key that a writer enrolled with.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn writer_key(&self, writer: &WriterName) -> Result<Option<WriterKey>> {
        let row = writer_key::Entity::find_by_id(writer.as_str()).one(&self.db).await;
        Ok(row.map_err(|e| self.failed("reading", &e))?.and_then(|row| row.key.parse().ok()))
    }

    /// Notes that a request was answered; says whether it is the first with this nonce.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn note_nonce(&self, nonce: &str, expires: DateTime<Utc>, now: DateTime<Utc>) -> Result<bool> {
        use writer_nonce::{ActiveModel, Column, Entity};
        let old = Entity::delete_many().filter(Column::Expires.lt(millis(now))).exec(&self.db).await;
        old.map_err(|e| self.failed("writing to", &e))?;
        let row = ActiveModel { nonce: Set(nonce.to_owned()), expires: Set(millis(expires)) };
        let insert =
            Entity::insert(row).on_conflict(OnConflict::column(Column::Nonce).do_nothing().to_owned());
        let done = insert.exec_without_returning(&self.db).await;
        done.map(|rows| rows == 1).map_err(|e| self.failed("writing to", &e))
    }
}
