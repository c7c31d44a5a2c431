//! `[store.sqlite]`: a database file on a local disk. Looks at the file before `SQLite` does, so that what is wrong is said in
//! words that help, and keeps a copy of it before its schema changes.

mod hold;
mod mounts;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::sql::{Dialect, Link, MIGRATIONS, Migration, SqlStore};
use super::{StoreError, StoreErrorKind};
use crate::base::diagnostic::Problem;

pub(super) use hold::hold;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A database file on a local disk.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The file. It is created, and so is its folder. It must be on a local disk: `SQLite`'s locks do not hold on network filesystems.
    pub path: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { path: PathBuf::from("/var/lib/kmswatch/state.db") }
    }
}

impl Config {
    pub fn check(&self, problems: &mut Vec<Problem>) {
        let name = self.path.as_os_str();
        if name.is_empty() || name == ":memory:" || self.path.file_name().is_none() {
            problems.push(
                Problem::error(0..0, "`path` does not name a file")
                    .hint("name a file on a local disk, such as \"/var/lib/kmswatch/state.db\"; for no file at all use [store.memory]"),
            );
        }
    }
}

/// Opens the file, creating it if there is none, and brings its schema up to date.
///
/// # Errors
/// The file cannot be used.
pub(super) async fn open(config: &Config) -> Result<SqlStore, StoreError> {
    open_with(config, MIGRATIONS, Dialect::Sqlite { busy: BUSY_TIMEOUT, pages_max: None }).await
}

/// What a hand in the file may do to all that is remembered.
#[cfg(test)]
pub(crate) async fn damage(path: &Path) {
    use sqlx::{ConnectOptions as _, Executor as _};
    let mut hand = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    hand.execute("UPDATE situations SET body = 'x'").await.unwrap();
}

async fn open_with(
    config: &Config,
    migrations: &'static [Migration],
    dialect: Dialect,
) -> Result<SqlStore, StoreError> {
    let path = std::path::absolute(&config.path).map_err(|error| file_error(&config.path, &error))?;
    prepare(&path)?;
    let url = url(&path)?;
    let store = SqlStore::connect(Link { url, dialect }).await.map_err(at(&path))?;
    let ready = make_ready(&store, &path, migrations).await;
    if ready.is_err() {
        store.shut().await;
    }
    ready.map_err(at(&path))?;
    Ok(store)
}

async fn make_ready(store: &SqlStore, path: &Path, migrations: &'static [Migration]) -> Result<(), StoreError> {
    let mode = store.pragma("PRAGMA journal_mode").await?;
    if mode != "wal" {
        let detail = format!("its filesystem does not support SQLite's write-ahead log (journal mode is {mode})");
        return Err(StoreError::new(StoreErrorKind::Unusable, detail));
    }
    let verdict = store.pragma("PRAGMA quick_check(1)").await?;
    if verdict != "ok" {
        let detail = format!("the file is damaged ({}); move it away, or restore a copy", bounded(&verdict));
        return Err(StoreError::new(StoreErrorKind::Unusable, detail));
    }
    let found = store.schema_version().await?;
    if let Some(version) = found
        && version > 0
        && usize::try_from(version).is_ok_and(|version| version < migrations.len())
    {
        back_up(store, path, version).await?;
    }
    store.migrate(found, migrations).await
}

/// A copy beside the file, so that a version can be taken back: `state.db.bak-v<N>` holds the schema N.
async fn back_up(store: &SqlStore, path: &Path, version: i64) -> Result<(), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bak-v{version}"));
    let copy = PathBuf::from(name);
    // What a start that broke off has left behind; SQLite fills an empty file, and keeps its mode.
    match std::fs::remove_file(&copy) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(file_error(&copy, &error)),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&copy)
        .map_err(|error| file_error(&copy, &error))?;
    let Some(target) = copy.to_str() else { return Err(not_text(&copy)) };
    store.vacuum_into(target).await?;
    tracing::info!(path = %copy.display(), schema.version = version, "copied the store before its schema changes");
    Ok(())
}

/// Refuses network filesystems; makes the folder and the file, readable by nobody else.
fn prepare(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if let Some(kind) = mounts::network_filesystem(folder) {
        let detail = format!(
            "{} is on {kind}, a network filesystem: SQLite's locks do not hold there; use a local disk",
            path.display()
        );
        return Err(StoreError::new(StoreErrorKind::NetworkFilesystem, detail));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| file_error(folder, &error))?;
    // An empty file is an empty database. Opening for writing tells a read-only file from a locked one.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| file_error(path, &error))?;
    // The log lives beside the file, so the folder must be writable too.
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".probe-{}", std::process::id()));
    let probe = PathBuf::from(name);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&probe)
        .map_err(|error| file_error(folder, &error))?;
    std::fs::remove_file(&probe).map_err(|error| file_error(folder, &error))
}

fn file_error(path: &Path, error: &std::io::Error) -> StoreError {
    let kind = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreErrorKind::ReadOnly,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreErrorKind::DiskFull,
        ErrorKind::IsADirectory | ErrorKind::NotADirectory | ErrorKind::AlreadyExists => StoreErrorKind::Unusable,
        _ => StoreErrorKind::Other,
    };
    let hint = match kind {
        StoreErrorKind::ReadOnly => "; kmswatch needs to write to the file and its folder",
        StoreErrorKind::DiskFull => "; make room on the disk",
        _ => "",
    };
    StoreError::new(kind, format!("{}: {error}{hint}", path.display()))
}

/// The same, with the file's name.
fn at(path: &Path) -> impl Fn(StoreError) -> StoreError {
    move |error| StoreError { detail: format!("{}: {}", path.display(), error.detail), ..error }
}

fn not_text(path: &Path) -> StoreError {
    StoreError::new(StoreErrorKind::Unusable, format!("{}: the path is not UTF-8", path.display()))
}

/// The path as the driver wants it: everything outside a small set percent-encoded.
fn url(path: &Path) -> Result<String, StoreError> {
    use std::fmt::Write as _;
    let text = path.to_str().ok_or_else(|| not_text(path))?;
    let mut url = String::from("sqlite://");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").map_err(|_| not_text(path))?;
        }
    }
    url.push_str("?mode=rw");
    Ok(url)
}

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
