//! All that differs from one database to another. Everything else in this folder is the same text for all of them.

use std::time::Duration;

use super::lease::claim_sql;

#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Dialect {
    Sqlite {
        /// How long a statement waits for another process's lock.
        busy: Duration,
        /// Bound on the file, in pages of 4 KiB; `None`: the disk is the bound.
        pages_max: Option<u32>,
    },
}

/// `SQLite` has one writer, so nobody else can hold the rows; other databases append `FOR UPDATE OF o SKIP LOCKED`.
const SQLITE_CLAIM: &str = claim_sql!("");

impl Dialect {
    /// Run on each new connection. FULL: when a commit returns, it is on the disk, and the message may be deleted. The log is
    /// moved into the file every MiB and cut when it has grown past 4: on a small disk a long log is room that nobody can use.
    /// A reader keeps pages of 256 KiB, where `SQLite` would keep 2 MB in each connection: ten for them all, a third of what an
    /// idle daemon may take; the system's own cache holds the file as well.
    pub(super) fn on_connect(self, writer: bool) -> String {
        match self {
            Self::Sqlite { busy, pages_max } => {
                let rest = if writer {
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 256; \
                     PRAGMA journal_size_limit = 4194304;"
                } else {
                    "PRAGMA query_only = ON; PRAGMA cache_size = -256;"
                };
                let bound = pages_max.map_or_else(String::new, |pages| format!("PRAGMA max_page_count = {pages};"));
                format!("PRAGMA busy_timeout = {}; {rest} {bound}", busy.as_millis())
            }
        }
    }

    /// Takes the write lock at once: a transaction that reads first and writes later could not be repeated by waiting.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "BEGIN IMMEDIATE",
        }
    }

    /// Gives back what the log takes. A full disk needs it: the log is moved into the file only after a commit, and no commit
    /// succeeds while the log cannot grow. Answers with a row whose first column is 1 if a reader was in the way.
    pub(super) fn empty_log(self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "PRAGMA wal_checkpoint(TRUNCATE)",
        }
    }

    /// One writer: more would only wait for each other.
    pub(super) fn writers(self) -> u32 {
        match self {
            Self::Sqlite { .. } => 1,
        }
    }

    /// Whether this is a database that nobody has written to.
    pub(super) fn tables(self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        }
    }

    pub(super) fn claim(self) -> &'static str {
        match self {
            Self::Sqlite { .. } => SQLITE_CLAIM,
        }
    }
}
