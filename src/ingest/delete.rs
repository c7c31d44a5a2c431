//! Deletes finished messages in batches of ten: a message waits for others a moment, never long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::Ingest;
use crate::base::telemetry;
use crate::queue::{Handle, Queue};
use crate::spool::Spool;

/// How often one handle is tried; after that the message comes again, is a duplicate, and is deleted then.
const TRIES_MAX: u32 = 5;

/// Largest batch of SQS.
const BATCH_MAX: usize = 10;

pub(super) struct Deleter {
    sender: mpsc::Sender<Vec<Handle>>,
    task: JoinHandle<()>,
}

/// Takes finished messages.
#[derive(Clone)]
pub(super) struct Done(mpsc::Sender<Vec<Handle>>);

impl Done {
    /// The message is finished: delete it soon. Waits when deletes cannot keep up.
    pub(super) async fn delete(&self, handle: Handle) {
        self.delete_all(vec![handle]).await;
    }

    /// As [`Done::delete`], of several at once: each call wakes a task.
    pub(super) async fn delete_all(&self, handles: Vec<Handle>) {
        if !handles.is_empty() && self.0.send(handles).await.is_err() {
            tracing::debug!("messages were finished after the last delete; they will come again as duplicates");
        }
    }
}

impl Deleter {
    pub(super) fn start(ingest: &Ingest) -> Self {
        let calls_max = ingest.settings.polls_max.max(1);
        let (sender, receiver) = mpsc::channel(BATCH_MAX * calls_max);
        let from = Origin { queue: Arc::clone(&ingest.queue), archive: ingest.archive.clone() };
        let task = tokio::spawn(run(from, receiver, ingest.settings.delete_linger, calls_max));
        Self { sender, task }
    }

    pub(super) fn handle(&self) -> Done {
        Done(self.sender.clone())
    }

    /// Makes the last deletes. All [`Done`]s must be gone, or this waits for them.
    pub(super) async fn finish(self) {
        drop(self.sender);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the deleting task ended badly; what it held comes again");
        }
    }
}

/// Where messages are deleted, and what has to have them first.
#[derive(Clone)]
struct Origin {
    queue: Arc<dyn Queue>,
    archive: Option<Arc<Spool>>,
}

async fn run(from: Origin, mut finished: mpsc::Receiver<Vec<Handle>>, linger: Duration, calls_max: usize) {
    let mut calls: JoinSet<()> = JoinSet::new();
    let mut batch: Vec<Handle> = Vec::with_capacity(BATCH_MAX);
    let mut since = Instant::now();
    loop {
        let wait = async {
            if batch.is_empty() { std::future::pending().await } else { tokio::time::sleep_until(since + linger).await }
        };
        let (all, ended) = tokio::select! {
            handles = finished.recv() => match handles {
                Some(handles) => {
                    if batch.is_empty() {
                        since = Instant::now();
                    }
                    batch.extend(handles);
                    (false, false)
                }
                None => (true, true),
            },
            () = wait => (true, false),
        };
        while batch.len() >= BATCH_MAX || (all && !batch.is_empty()) {
            while calls.len() >= calls_max {
                calls.join_next().await;
            }
            let rest = batch.split_off(batch.len().min(BATCH_MAX));
            calls.spawn(delete(from.clone(), std::mem::replace(&mut batch, rest)));
            since = Instant::now();
        }
        if ended {
            break;
        }
        while calls.try_join_next().is_some() {}
    }
    while calls.join_next().await.is_some() {}
}

/// Deletes one batch; entries that failed and may succeed are tried again, with pauses.
async fn delete(from: Origin, mut handles: Vec<Handle>) {
    let Origin { queue, archive } = from;
    if let Some(archive) = archive {
        archive.kept().await;
    }
    let mut pause = Duration::from_millis(200);
    for attempt in 1..=TRIES_MAX {
        let asked = handles.len() as u64;
        match queue.delete(&handles).await {
            Ok(failed) => {
                telemetry::deleted(queue.name(), asked.saturating_sub(failed.len() as u64));
                let mut codes: HashMap<&str, usize> = HashMap::new();
                for entry in &failed {
                    telemetry::delete_failed(&entry.code);
                    *codes.entry(entry.code.as_str()).or_default() += 1;
                }
                if !codes.is_empty() {
                    tracing::warn!(queue.name = queue.name(), ?codes, attempt, "some messages could not be deleted");
                }
                handles = failed.into_iter().filter(|entry| entry.retry).map(|entry| entry.handle).collect();
            }
            Err(error) => {
                telemetry::delete_failed(error.class.as_str());
                tracing::warn!(queue.name = queue.name(), %error, attempt, "messages could not be deleted");
            }
        }
        if handles.is_empty() || attempt == TRIES_MAX {
            break;
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause *= 3;
    }
}
