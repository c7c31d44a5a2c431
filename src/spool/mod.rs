//! Port to the archive of raw events: what was received, as it came, in S3. It is fed from ingest, not from the outbox, and never in
//! the way of a page.
//!
//! ``text
//!   ingest ── take ──► queue in memory ──► writer (a thread) ──► x.jsonl.part ── full, old, or another hour ──► x.jsonl
//!             never waits, drops and counts       │ synchronised every second                                      │
//!   deleter ── kept ────────────────────────────► ┘ or before a message is deleted                                 │
//!                                                                        S3 ◄── uploader: gzip, PUT, then remove ──┘
//! ``
//!
//! A file's name holds the key of its object, so that a PUT that is repeated, also by a later life of the process, writes the same
//! object again. A later life closes what an earlier one left open, less half a line at the end.

mod config;
mod files;
mod s3;
mod upload;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::base::aws::Access;
use crate::base::clock::Clock;
use crate::base::stop::Stop;
use crate::base::telemetry;

pub use config::{Config, S3Config, SyncWhen};

use files::Folder;
use s3::S3;
use upload::Uploader;
use writer::{Handle, Writer};

/// Hears of trouble with the archive. Never waited for.
pub trait Reporter: Send + Sync {
    /// Raw events are lost, or cannot be put where they belong.
    fn archive_failing(&self, detail: &str);

    fn archive_works(&self);
}

/// The archive of one daemon.
pub struct Spool {
    writer: Handle,
    sync: SyncWhen,
    stop: Stop,
    uploader: Mutex<Option<JoinHandle<()>>>,
}

impl Spool {
    /// Starts to write and to upload. A folder or a bucket that cannot be used is reported, and tried again: the archive keeps no
    /// daemon from watching.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        config: &S3Config,
        access: &Access,
        clock: &Arc<dyn Clock>,
        reporter: Arc<dyn Reporter>,
    ) -> io::Result<Self> {
        let folder = Arc::new(Folder::new(config, clock.as_ref()));
        let writer = Writer::start(Arc::clone(&folder), Arc::clone(clock))?;
        let stop = Stop::new();
        let s3 = S3::new(config, access, Arc::clone(clock));
        let uploader = Uploader { folder, s3, reporter, stop: stop.child() };
        let uploader = Mutex::new(Some(tokio::spawn(uploader.run())));
        Ok(Self { writer, sync: config.sync, stop, uploader })
    }

    /// Takes what a queue handed out. Never waits: what the disk cannot keep up with is left out, counted and reported.
    pub fn take<'a>(&self, queue: &str, bodies: impl Iterator<Item = &'a str>) {
        self.writer.take(queue, bodies.map(str::to_owned).collect());
    }

    /// Before messages are deleted: waits until what was taken so far is on the disk, if that is asked for. Bounded: an archive
    /// that fails holds up no queue.
    pub async fn kept(&self) {
        if self.sync != SyncWhen::BeforeDelete {
            return;
        }
        if tokio::time::timeout(SYNC_MAX, self.writer.synced()).await.is_err() {
            telemetry::archive_lost("unsynced", 1);
            tracing::warn!("the archive could not be synchronised in time; messages are deleted all the same");
        }
    }

    /// Closes the files, and gives the last uploads so much time. What is left stays in the folder for the next start.
    pub async fn stop(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        if tokio::time::timeout_at(deadline, self.writer.close()).await.is_err() {
            tracing::warn!("the archive's files were not closed in time; the next start closes them");
        }
        self.stop.stop();
        let uploader = self.uploader.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut uploader) = uploader else { return };
        if tokio::time::timeout_at(deadline, &mut uploader).await.is_err() {
            uploader.abort();
            tracing::warn!("the last files of the archive wait for the next start");
        }
    }
}

/// How long a delete waits for the disk.
const SYNC_MAX: Duration = Duration::from_secs(5);
