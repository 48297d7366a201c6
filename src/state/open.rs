//! Opening the database: made, brought up to date, refused, or moved aside.

use super::migrations::{self, Migrator};
use super::{State, errors};
use crate::effects::files;
use crate::model::failure::IoContext;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a statement waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(30);

/// Device and inode of a file: what stays when its name is given to another one.
pub(super) type FileId = (u64, u64);

pub(super) async fn open(path: &Path) -> Result<State> {
    // Two processes that find a broken file must not both move it aside: the second one
    // would move the first one's new database.
    let lock = path.with_extension("lock");
    make_folder(files::parent(path))?;
    let opening = files::FileLock::take(&lock)?;
    let mut warning = None;
    let db = match try_open(path).await {
        Err(error) if errors::is_corrupt(&error) => {
            let aside = move_aside(path)?;
            warning = Some(format!(
                "the state database {} is no database or broken ({error}); it was moved to {} and a new one was made",
                path.display(),
                aside.display()
            ));
            try_open(path).await
        }
        opened => opened,
    };
    let db = db.map_err(|e| refused(path, &e))?;
    drop(opening);
    let file = file_id(path)?;
    Ok(State { db, path: path.to_owned(), file, warning })
}

async fn try_open(path: &Path) -> Result<DatabaseConnection, DbErr> {
    make_file(path).map_err(|e| DbErr::Custom(e.to_string()))?;
    let db = Database::connect(options(path)).await?;
    match version(&db).await? {
        migrations::COUNT => Ok(db),
        newer if newer > migrations::COUNT => Err(DbErr::Migration(format!(
            "it is of version {newer}, this program knows {}",
            migrations::COUNT
        ))),
        _ => bring_up_to_date(db).await,
    }
}

fn options(path: &Path) -> ConnectOptions {
    // The file name goes in as it is: in the address it would have to be escaped.
    let mut options = ConnectOptions::new("sqlite::memory:");
    let path = path.to_owned();
    options.max_connections(1).sqlx_logging(false).test_before_acquire(false).map_sqlx_sqlite_opts(
        move |sqlite| {
            sqlite
                .in_memory(false)
                .shared_cache(false)
                .filename(&path)
                .journal_mode(SqliteJournalMode::Wal)
                // With WAL a power cut may lose the last transactions, never the file.
                .synchronous(SqliteSynchronous::Normal)
                .busy_timeout(BUSY)
        },
    );
    options
}

/// The number of migrations that the file has seen.
async fn version(db: &impl ConnectionTrait) -> Result<i32, DbErr> {
    let ask = Statement::from_string(db.get_database_backend(), "PRAGMA user_version");
    let row = db.query_one_raw(ask).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

async fn bring_up_to_date(db: DatabaseConnection) -> Result<DatabaseConnection, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = db.begin_with_options(options).await?;
    Migrator::up(&transaction, None).await?;
    transaction.execute_unprepared(&format!("PRAGMA user_version = {}", migrations::COUNT)).await?;
    transaction.commit().await?;
    Ok(db)
}

fn refused(path: &Path, error: &DbErr) -> Failure {
    match error {
        DbErr::Migration(why) => {
            let message =
                format!("the state database {} was written by a newer bootwright: {why}", path.display());
            Failure::new(ErrorCode::BuildEnvironment, FailureClass::Host, message).hint(
                "Update bootwright, or delete the file while none runs; only the memory of earlier attempts is lost.",
            )
        }
        DbErr::Custom(why) => {
            let message = format!("making the state database {}: {why}", path.display());
            Failure::new(ErrorCode::Permission, FailureClass::Host, message)
                .hint("Check owner and mode of the file and its folder.")
        }
        error => errors::failure("opening", path, error),
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .during(|| format!("making {}", folder.display()))
}

/// Makes the file before SQLite does, which would let the group and others read it; its
/// `-wal` and `-shm` files take over the mode.
fn make_file(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Moves the file and what belongs to it to the first free name.
fn move_aside(path: &Path) -> Result<PathBuf> {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let free = (1..).map(|n| with(&format!(".broken-{n}"))).find(|aside| !aside.exists());
    let aside = free.ok_or_else(|| Failure::bug("no free name for a broken state database"))?;
    std::fs::rename(path, &aside).during(|| format!("moving {} aside", path.display()))?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(with(suffix)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io(format!("removing {}", with(suffix).display()), &e));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// The identity of the file that has the name `path` now.
pub(super) fn file_id(path: &Path) -> Result<FileId> {
    let meta = std::fs::metadata(path).during(|| format!("looking at {}", path.display()))?;
    Ok((meta.dev(), meta.ino()))
}
