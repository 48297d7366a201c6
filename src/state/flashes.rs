//! What was written to cards. Losing it loses the counts of good and bad cards; receipts stay.

use super::runs::json;
use super::tables::flash::{self, Column, Entity};
use super::{State, millis};
use crate::model::Result;
use crate::model::record::FlashRecord;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

/// Which records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlashFilter {
    /// Of this card.
    pub card: Option<String>,
    /// Of this reader.
    pub slot: Option<String>,
    /// Of this image.
    pub image: Option<String>,
}

impl State {
    /// Keeps a record, in the place of the one with its id.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn record_flash(&self, record: &FlashRecord) -> Result<()> {
        let row = flash::ActiveModel {
            id: Set(record.id),
            started: Set(millis(record.started)),
            slot: Set(record.slot.clone()),
            card: Set(record.card.clone()),
            image: Set(record.image.as_ref().map(ToString::to_string)),
            record: Set(json(record)?),
        };
        let replace = OnConflict::column(Column::Id)
            .update_columns([Column::Card, Column::Image, Column::Record])
            .to_owned();
        let done = Entity::insert(row).on_conflict(replace).exec_without_returning(&self.db).await;
        done.map(|_| ()).map_err(|e| self.failed("writing to", &e))
    }

    /// Records, the newest first, at most `most`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn flashes(&self, filter: &FlashFilter, most: u64) -> Result<Vec<FlashRecord>> {
        // In the order in which they began: the clock counts seconds, of which a quick one takes none.
        let begun = Expr::cust("\"rowid\"");
        let mut find = Entity::find().order_by_desc(Column::Started).order_by(begun, Order::Desc).limit(most);
        let wanted =
            [(Column::Card, &filter.card), (Column::Slot, &filter.slot), (Column::Image, &filter.image)];
        for (column, value) in wanted {
            if let Some(value) = value {
                find = find.filter(column.eq(value));
            }
        }
        let rows = find.all(&self.db).await.map_err(|e| self.failed("reading", &e))?;
        rows.iter().map(|row| self.read("a record of a card", &row.record)).collect()
    }
}
