//! What a database error means for us, decided once, here.

use sqlx::error::DatabaseError;

use crate::store::{StoreError, StoreErrorKind};

/// Bound on the text taken over from the database.
const TEXT_MAX: usize = 300;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let kind = match &error {
            sqlx::Error::Database(database) => kind_of(database.as_ref()),
            sqlx::Error::PoolTimedOut => StoreErrorKind::Locked,
            sqlx::Error::ColumnDecode { .. } => StoreErrorKind::Corrupt,
            _ => StoreErrorKind::Other,
        };
        let text: String = match &error {
            sqlx::Error::Database(database) => database.message().to_owned(),
            sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
            other => other.to_string(),
        };
        let text: String = text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect();
        let hint = match kind {
            StoreErrorKind::DiskFull => "; make room on the disk",
            StoreErrorKind::ReadOnly => "; kmswatch needs to write to the file and its folder",
            StoreErrorKind::Locked => "; another process holds it, or the disk is very slow",
            StoreErrorKind::Unusable => "; move the file away, or restore a copy",
            _ => "",
        };
        Self::new(kind, format!("{text}{hint}"))
    }
}

/// `SQLite`'s primary result codes (<https://www.sqlite.org/rescode.html>): the low byte of the extended code.
fn kind_of(error: &dyn DatabaseError) -> StoreErrorKind {
    let Some(code) = error.code().and_then(|code| code.parse::<u32>().ok()) else { return StoreErrorKind::Other };
    match code & 0xff {
        // BUSY, LOCKED
        5 | 6 => StoreErrorKind::Locked,
        // PERM, READONLY, CANTOPEN (the file was opened before, so it is the log beside it)
        3 | 8 | 14 => StoreErrorKind::ReadOnly,
        // CORRUPT, NOTADB
        11 | 26 => StoreErrorKind::Unusable,
        // FULL
        13 => StoreErrorKind::DiskFull,
        _ => StoreErrorKind::Other,
    }
}
