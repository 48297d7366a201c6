//! What SQLite's result codes mean to a user (sqlite.org/rescode.html).

use crate::model::{ErrorCode, Failure, FailureClass};
use sea_orm::{DbErr, RuntimeErr};
use std::path::Path;

const PERM: u32 = 3;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
const NOTADB: u32 = 26;

/// A failure to do something with the database at `path`.
pub(super) fn failure(doing: &str, path: &Path, error: &DbErr) -> Failure {
    let failure = |code, hint: &str| {
        let message = format!("{doing} the state database {}: {error}", path.display());
        Failure::new(code, FailureClass::Host, message).hint(hint)
    };
    match primary_code(error) {
        Some(BUSY | LOCKED) => {
            failure(ErrorCode::Timeout, "Another process holds it for long; look for a stopped `bootwright`.")
        }
        Some(PERM | READONLY | CANTOPEN) => {
            failure(ErrorCode::Permission, "Check owner and mode of the file and its folder.")
        }
        Some(FULL) => failure(ErrorCode::DiskFull, "Free some space there."),
        Some(CORRUPT | NOTADB) => failure(ErrorCode::Corrupt, DELETE),
        _ => failure(ErrorCode::Internal, DELETE),
    }
}

/// A row whose text cannot be read.
pub(super) fn unreadable(path: &Path, what: &str, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("{what} in the state database {} cannot be read: {error}", path.display());
    Failure::new(ErrorCode::Corrupt, FailureClass::Host, message).hint(DELETE)
}

const DELETE: &str = "Delete the file while no bootwright runs; only the memory of earlier attempts is lost.";

/// Whether the file is no database or a broken one.
pub(super) fn is_corrupt(error: &DbErr) -> bool {
    matches!(primary_code(error), Some(CORRUPT | NOTADB))
}

/// SQLite's primary result code: the low byte of the extended one.
fn primary_code(error: &DbErr) -> Option<u32> {
    let (DbErr::Conn(RuntimeErr::SqlxError(inner))
    | DbErr::Exec(RuntimeErr::SqlxError(inner))
    | DbErr::Query(RuntimeErr::SqlxError(inner))) = error
    else {
        return None;
    };
    let code: u32 = inner.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
