//! The tables, step by step. A step that was released is never changed; new ones follow.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::sea_query::{ColumnDef, ForeignKey, ForeignKeyAction, Index, IntoIden, Table};
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager};

use super::tables::{
    attempt, builder, check, event, flash, flash_job, lease, look, made_lock, run, sysupgrade, writer_key,
    writer_nonce, writer_token,
};

/// The number of steps, which is the version of a database.
pub(super) const COUNT: i32 = 6;

pub(super) struct Migrator;

#[sea_orm_migration::async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(First),
            Box::new(Looks),
            Box::new(Attempts),
            Box::new(Builders),
            Box::new(Flashes),
            Box::new(Sysupgrades),
        ]
    }
}

/// Runs, events, leases, checks, made locks.
struct First;

impl MigrationName for First {
    fn name(&self) -> &'static str {
        "0001-first"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        runs(manager).await?;
        events(manager).await?;
        leases(manager).await?;
        checks(manager).await?;
        made_locks(manager).await
    }
}

/// What published files looked like when they were last hashed.
struct Looks;

impl MigrationName for Looks {
    fn name(&self) -> &'static str {
        "0002-looks"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Looks {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use look::{Column, Entity};
        let mut table = Table::create();
        table.table(Entity).col(text(Column::Image)).col(text(Column::Version)).col(text(Column::Files));
        table.col(maybe(number(Column::Checked)));
        table.primary_key(Index::create().col(Column::Image).col(Column::Version));
        manager.create_table(table).await
    }
}

/// Work on published releases that failed.
struct Attempts;

impl MigrationName for Attempts {
    fn name(&self) -> &'static str {
        "0003-attempts"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Attempts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use attempt::{Column, Entity};
        let mut table = Table::create();
        table.table(Entity);
        for name in [Column::Image, Column::Work, Column::Of, Column::Failure] {
            table.col(text(name));
        }
        table.col(number(Column::Failures)).col(number(Column::FailedAt));
        table.primary_key(Index::create().col(Column::Image).col(Column::Work));
        manager.create_table(table).await
    }
}

/// Image Builders of OpenWrt.
struct Builders;

impl MigrationName for Builders {
    fn name(&self) -> &'static str {
        "0004-openwrt-builders"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Builders {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use builder::{Column, Entity};
        let mut digest = text(Column::Sha256);
        digest.primary_key();
        let mut table = Table::create();
        table.table(Entity).col(digest);
        for name in [Column::Release, Column::Target, Column::Subtarget, Column::Url, Column::State] {
            table.col(text(name));
        }
        table.col(number(Column::Size)).col(number(Column::LastUse));
        manager.create_table(table).await
    }
}

/// Requests of the Attended Sysupgrade API.
struct Sysupgrades;

impl MigrationName for Sysupgrades {
    fn name(&self) -> &'static str {
        "0006-sysupgrades"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Sysupgrades {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use sysupgrade::{Column, Entity};
        let mut hash = text(Column::Hash);
        hash.primary_key();
        let mut table = Table::create();
        table.table(Entity).col(hash);
        for name in [Column::Request, Column::State, Column::Answer] {
            table.col(text(name));
        }
        table.col(number(Column::Enqueued)).col(maybe(number(Column::Expires)));
        table.col(maybe(text(Column::Recipe)));
        manager.create_table(table).await
    }
}

/// What was written to cards, flash jobs, card writers.
struct Flashes;

impl MigrationName for Flashes {
    fn name(&self) -> &'static str {
        "0005-flashes"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Flashes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use flash::{Column, Entity};
        let mut table = Table::create();
        table.table(Entity).col(ColumnDef::new(Column::Id).uuid().not_null().primary_key());
        table.col(number(Column::Started)).col(text(Column::Slot)).col(text(Column::Record));
        for name in [Column::Card, Column::Image] {
            table.col(maybe(text(name)));
        }
        manager.create_table(table).await?;
        let by_card = Index::create().name("flashes-by-card").table(Entity).col(Column::Card).to_owned();
        manager.create_index(by_card).await?;
        flash_jobs(manager).await?;
        writers(manager).await
    }
}

async fn flash_jobs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use flash_job::{Column, Entity};
    let mut table = Table::create();
    table.table(Entity).col(text(Column::Id).primary_key());
    for name in [Column::Writer, Column::Slot, Column::State, Column::Job] {
        table.col(text(name));
    }
    for name in [Column::Attempt, Column::Created, Column::Updated] {
        table.col(number(name));
    }
    for name in [Column::Instance, Column::Said, Column::Receipt] {
        table.col(maybe(text(name)));
    }
    table.col(maybe(number(Column::Lease)));
    manager.create_table(table).await
}

async fn writers(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut tokens = Table::create();
    tokens
        .table(writer_token::Entity)
        .col(text(writer_token::Column::Token).primary_key())
        .col(text(writer_token::Column::Writer))
        .col(number(writer_token::Column::Expires));
    manager.create_table(tokens).await?;
    let mut keys = Table::create();
    keys.table(writer_key::Entity)
        .col(text(writer_key::Column::Writer).primary_key())
        .col(text(writer_key::Column::Key))
        .col(number(writer_key::Column::Enrolled));
    manager.create_table(keys).await?;
    let mut nonces = Table::create();
    nonces
        .table(writer_nonce::Entity)
        .col(text(writer_nonce::Column::Nonce).primary_key())
        .col(number(writer_nonce::Column::Expires));
    manager.create_table(nonces).await
}

fn text(name: impl IntoIden) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.text().not_null();
    column
}

fn number(name: impl IntoIden) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.big_integer().not_null();
    column
}

fn maybe(mut column: ColumnDef) -> ColumnDef {
    column.null();
    column
}

async fn runs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use run::{Column, Entity};
    let mut table = Table::create();
    table.table(Entity).col(ColumnDef::new(Column::Id).uuid().not_null().primary_key());
    for name in [Column::Image, Column::Recipe, Column::Version, Column::Phase, Column::State] {
        table.col(text(name));
    }
    for name in [Column::Attempt, Column::Created, Column::Updated, Column::Failures] {
        table.col(number(name));
    }
    table.col(maybe(text(Column::Failure))).col(maybe(number(Column::FailedAt)));
    manager.create_table(table).await?;
    let by_image = Index::create()
        .name("runs-by-image")
        .table(Entity)
        .col(Column::Image)
        .col(Column::Updated)
        .to_owned();
    manager.create_index(by_image).await?;
    // One open run for each recipe of an image, whatever the code above believes.
    let open = "CREATE UNIQUE INDEX \"open-runs\" ON \"runs\" (\"image\", \"recipe\") \
                WHERE \"phase\" NOT IN ('published', 'superseded')";
    manager.get_connection().execute_unprepared(open).await.map(|_| ())
}

async fn events(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use event::{Column, Entity};
    let mut of_run = ForeignKey::create();
    of_run.from(Entity, Column::Run).to(run::Entity, run::Column::Id).on_delete(ForeignKeyAction::Cascade);
    let table = Table::create()
        .table(Entity)
        .col(ColumnDef::new(Column::Id).big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new(Column::Run).uuid().not_null())
        .col(number(Column::Time))
        .col(text(Column::Event))
        .foreign_key(&mut of_run)
        .to_owned();
    manager.create_table(table).await?;
    let by_run = Index::create().name("events-by-run").table(Entity).col(Column::Run).to_owned();
    manager.create_index(by_run).await
}

async fn leases(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use lease::{Column, Entity};
    let mut name = text(Column::Name);
    name.primary_key();
    let mut table = Table::create();
    table.table(Entity).col(name).col(ColumnDef::new(Column::Token).uuid().not_null());
    for column in [text(Column::Holder), text(Column::Boot), number(Column::Pid), number(Column::Expires)] {
        table.col(column);
    }
    table.col(maybe(number(Column::Started)));
    manager.create_table(table).await
}

async fn checks(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use check::{Column, Entity};
    let mut image = text(Column::Image);
    image.primary_key();
    let mut table = Table::create();
    table.table(Entity).col(image).col(number(Column::Failures));
    for column in [Column::Checked, Column::FailedAt] {
        table.col(maybe(number(column)));
    }
    for column in [Column::Request, Column::Failure] {
        table.col(maybe(text(column)));
    }
    manager.create_table(table).await
}

async fn made_locks(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use made_lock::{Column, Entity};
    let mut image = text(Column::Image);
    image.primary_key();
    let mut table = Table::create();
    table.table(Entity).col(image);
    for column in [Column::Request, Column::Lock] {
        table.col(text(column));
    }
    manager.create_table(table).await
}
