//! The folder in which files wait, and their names.
//!
//! `2026-11-23T09_main-20261123T091445Z-1a2b3c4d-00001.jsonl` is closed; with `.part` behind it, it is still written to. The part
//! before `_` is the hour in which it began, the rest is the object's name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::config::S3Config;
use crate::base::clock::Clock;
use crate::base::telemetry;

const CLOSED: &str = ".jsonl";
const OPEN: &str = ".jsonl.part";

/// What writer and uploader share.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) prefix: String,
    pub(super) bytes_max: u64,
    pub(super) every: Duration,
    /// Names this life of the process in the names of its files.
    pub(super) life: String,
    /// Told when a file was closed.
    pub(super) closed: Notify,
    bytes: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// Held from the first time that the folder could be used.
    lock: OnceLock<File>,
}

impl Folder {
    pub(super) fn new(config: &S3Config, clock: &dyn Clock) -> Self {
        Self {
            path: config.spool.get_ref().clone(),
            prefix: config.prefix().to_owned(),
            bytes_max: config.bytes_max(),
            every: config.every.get_ref().unsigned(),
            life: format!("{}-{:08x}", clock.now().strftime("%Y%m%dT%H%M%SZ"), fastrand::u32(..)),
            closed: Notify::new(),
            bytes: AtomicU64::new(0),
            trouble: Mutex::new(None),
            lock: OnceLock::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock.get().is_some()
    }

    /// Makes the folder, keeps other daemons out of it, and closes what an earlier life left open.
    pub(super) fn open(&self) -> io::Result<()> {
        if self.is_open() {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(self.path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(io::Error::other("another kmswatch keeps its archive there"));
            }
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        for path in self.list(OPEN)? {
            close_left_open(&path)?;
        }
        let mut bytes = 0;
        for path in self.list(CLOSED)? {
            bytes += fs::metadata(path)?.len();
        }
        self.grown(bytes);
        self.lock.set(lock).unwrap_or_default();
        self.closed.notify_one();
        Ok(())
    }

    /// Where the n-th file of a queue that begins now is written.
    pub(super) fn new_file(&self, queue: &str, number: u32, at: Timestamp) -> PathBuf {
        let hour = at.strftime("%Y-%m-%dT%H");
        self.path.join(format!("{hour}_{queue}-{}-{number:05}{OPEN}", self.life))
    }

    /// Closed files, the oldest first.
    pub(super) fn waiting(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = self.list(CLOSED)?;
        found.sort();
        Ok(found)
    }

    /// The key of a closed file's object.
    pub(super) fn key(&self, path: &Path) -> Option<String> {
        let name = path.file_name()?.to_str()?.strip_suffix(CLOSED)?;
        let (hour, name) = name.split_once('_')?;
        let began = hour.replace(['-', 'T'], "/");
        Some(format!("{}/{began}/{name}.jsonl.gz", self.prefix))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn grown(&self, bytes: u64) {
        telemetry::archive_spool(self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes);
    }

    pub(super) fn shrunk(&self, bytes: u64) {
        let before = self.bytes.fetch_sub(bytes.min(self.bytes()), Ordering::Relaxed);
        telemetry::archive_spool(before.saturating_sub(bytes));
    }

    /// Lines were lost: kept until the uploader has said so.
    pub(super) fn lost(&self, reason: &'static str, lines: u64, detail: &str) {
        telemetry::archive_lost(reason, lines);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            tracing::warn!("the archive is in trouble: {detail}");
        }
        *trouble = Some(detail.to_owned());
    }

    /// Nothing is lost by it, so it hides nothing that is.
    pub(super) fn complain(&self, detail: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.get_or_insert_with(|| {
            tracing::warn!("the archive is in trouble: {detail}");
            detail.to_owned()
        });
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn list(&self, suffix: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = vec![];
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(suffix)) {
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// The name that a file has once it is closed.
pub(super) fn closed(path: &Path) -> PathBuf {
    path.with_extension("")
}

/// A file that an earlier life was still writing, without the half line at its end.
fn close_left_open(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let whole = end_of_last_line(&mut file)?;
    if whole == 0 {
        return fs::remove_file(path);
    }
    file.set_len(whole)?;
    file.sync_all()?;
    fs::rename(path, closed(path))
}

/// Reads backwards: files may be large, half a line is short.
fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = vec![0; 64 * 1024];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let length = usize::try_from(end - start).unwrap_or(block.len());
        let part = block.get_mut(..length).unwrap_or_default();
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
