//! Under load, what several batches bring at about the same time is decided in one transaction: a durable commit costs more than a
//! decision. A batch that comes alone waits for nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::keep_invisible;
use super::settle::{Settler, Weighty};
use crate::queue::Handle;

/// Whoever comes less than `BUSY` after the one before waits `GATHER` for others. What counts is when they came, not when
/// they were decided: else one wait would make the next one come too early.
const BUSY: Duration = Duration::from_millis(20);
const GATHER: Duration = Duration::from_millis(50);

/// Messages decided together at the most, and messages that may wait for the next decision. Beyond it, whoever receives waits.
const MESSAGES_MAX: usize = 40;

pub(super) struct Together {
    sender: mpsc::Sender<Vec<Weighty>>,
    task: JoinHandle<()>,
}

/// Takes messages whose events matter.
#[derive(Clone)]
pub(super) struct Desk(mpsc::Sender<Vec<Weighty>>);

impl Desk {
    /// From here on the messages are kept invisible, and everything about them is looked after. Waits while there are too many.
    pub(super) async fn hand_on(&self, weighty: Vec<Weighty>) {
        if self.0.send(weighty).await.is_err() {
            tracing::error!("messages came after the last decision; they come again");
        }
        // Whoever receives goes on to the next request, which takes longer than to begin with the decision.
        tokio::task::yield_now().await;
    }
}

impl Together {
    pub(super) fn start(settler: Arc<Settler>) -> Self {
        // What is handed on is taken at once; it waits where its messages are kept invisible.
        let (sender, receiver) = mpsc::channel(1);
        let task = tokio::spawn(run(settler, receiver));
        Self { sender, task }
    }

    pub(super) fn desk(&self) -> Desk {
        Desk(self.sender.clone())
    }

    /// Decides what is left. All [`Desk`]s must be gone, or this waits for them.
    pub(super) async fn finish(self) {
        drop(self.sender);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the deciding task ended badly; what it held comes again");
        }
    }
}

async fn run(settler: Arc<Settler>, mut batches: mpsc::Receiver<Vec<Weighty>>) {
    let mut waiting: Vec<Weighty> = Vec::new();
    let mut came: Option<Instant> = None;
    let mut open = true;
    while open || !waiting.is_empty() {
        let mut busy = true;
        if waiting.is_empty() {
            match batches.recv().await {
                Some(batch) => waiting = batch,
                None => return,
            }
            busy = came.is_some_and(|at| at.elapsed() < BUSY);
        }
        came = Some(Instant::now());
        // Where a message waits for its deliveries, it must not wait for those of others.
        if settler.is_durable() {
            // A timer that has run out still takes a millisecond or two: whoever need not wait must not ask one.
            let until = busy.then(|| Instant::now() + GATHER);
            while open && waiting.len() < MESSAGES_MAX {
                match next(&mut batches, until).await {
                    Ok(batch) => {
                        came = Some(Instant::now());
                        waiting.extend(batch);
                    }
                    Err(TryRecvError::Disconnected) => open = false,
                    Err(TryRecvError::Empty) => break,
                }
            }
        }
        let now = std::mem::take(&mut waiting);
        open &= decide(&settler, now, &mut batches, &mut waiting).await;
    }
}

/// The next batch: what is there already, or what comes `until` then.
async fn next(
    batches: &mut mpsc::Receiver<Vec<Weighty>>,
    until: Option<Instant>,
) -> Result<Vec<Weighty>, TryRecvError> {
    let Some(until) = until else { return batches.try_recv() };
    match tokio::time::timeout_at(until, batches.recv()).await {
        Ok(batch) => batch.ok_or(TryRecvError::Disconnected),
        Err(_) => Err(TryRecvError::Empty),
    }
}

/// Decides, and meanwhile takes in what comes next and keeps all of it invisible. `false` when nothing more will come.
async fn decide(
    settler: &Settler,
    weighty: Vec<Weighty>,
    batches: &mut mpsc::Receiver<Vec<Weighty>>,
    waiting: &mut Vec<Weighty>,
) -> bool {
    let queue = settler.queue();
    let visibility = queue.visibility();
    let handles = |weighty: &[Weighty]| weighty.iter().map(|one| one.message.handle.clone()).collect::<Vec<Handle>>();
    let mut in_hand = handles(&weighty);
    let mut open = true;
    let mut extend_at = Instant::now() + visibility / 2;
    let settled = settler.settle(weighty);
    tokio::pin!(settled);
    loop {
        // Without a durable store each batch is decided by itself, so only one may wait.
        let room = if settler.is_durable() { waiting.len() < MESSAGES_MAX } else { waiting.is_empty() };
        tokio::select! {
            () = &mut settled => return open,
            batch = batches.recv(), if open && room => match batch {
                Some(batch) => {
                    in_hand.extend(handles(&batch));
                    waiting.extend(batch);
                }
                None => open = false,
            },
            () = tokio::time::sleep_until(extend_at) => {
                keep_invisible(queue, &in_hand).await;
                extend_at = Instant::now() + visibility / 2;
            }
        }
    }
}
