//! Appends lines, in a thread of its own: a disk that stalls holds up nothing but the archive.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::de::IgnoredAny;
use tokio::sync::oneshot;

use super::files::{Folder, closed};
use crate::base::clock::Clock;
use crate::base::telemetry;

/// A file is closed when it holds so much: what one PUT takes.
const FILE_MAX: u64 = 16 * 1024 * 1024;
/// What may wait in memory for the disk.
const WAITING_MAX: usize = 32 * 1024 * 1024;
const ORDERS_MAX: usize = 4_096;
const SYNC_EVERY: Duration = Duration::from_secs(1);

enum Order {
    Lines { queue: String, bodies: Vec<String>, bytes: usize },
    Sync(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// The way to the thread.
pub(super) struct Handle {
    orders: SyncSender<Order>,
    waiting: Arc<AtomicUsize>,
    folder: Arc<Folder>,
}

impl Handle {
    pub(super) fn take(&self, queue: &str, bodies: Vec<String>) {
        let lines = bodies.len() as u64;
        let bytes: usize = bodies.iter().map(String::len).sum();
        let order = Order::Lines { queue: queue.to_owned(), bodies, bytes };
        let fits = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= WAITING_MAX;
        let sent = fits && self.orders.try_send(order).is_ok();
        if !sent {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.folder.lost("behind", lines, "the disk of the archive's spool does not keep up");
        }
    }

    /// Returns when everything taken before is on the disk, or is counted as lost.
    pub(super) async fn synced(&self) {
        self.order(Order::Sync).await;
    }

    pub(super) async fn close(&self) {
        self.order(Order::Close).await;
    }

    async fn order(&self, order: impl Fn(oneshot::Sender<()>) -> Order) {
        let (sender, done) = oneshot::channel();
        let mut order = order(sender);
        loop {
            match self.orders.try_send(order) {
                Ok(()) => break,
                // The thread is gone: nothing is left to wait for.
                Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => order = back,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // An error means that it ended, having closed everything.
        done.await.unwrap_or_default();
    }
}

pub(super) struct Writer {
    folder: Arc<Folder>,
    clock: Arc<dyn Clock>,
    open: HashMap<String, Open>,
    numbers: HashMap<String, u32>,
}

struct Open {
    file: File,
    path: PathBuf,
    began: Timestamp,
    length: u64,
    dirty: bool,
}

impl Writer {
    pub(super) fn start(folder: Arc<Folder>, clock: Arc<dyn Clock>) -> io::Result<Handle> {
        let (orders, inbox) = mpsc::sync_channel(ORDERS_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (counted, shared) = (Arc::clone(&waiting), Arc::clone(&folder));
        let writer = Self { folder, clock, open: HashMap::new(), numbers: HashMap::new() };
        std::thread::Builder::new().name("archive".to_owned()).spawn(move || writer.run(&inbox, &counted))?;
        Ok(Handle { orders, waiting, folder: shared })
    }

    fn run(mut self, inbox: &mpsc::Receiver<Order>, waiting: &AtomicUsize) {
        let mut synced = Instant::now();
        self.open_folder();
        loop {
            match inbox.recv_timeout(SYNC_EVERY) {
                Ok(Order::Lines { queue, bodies, bytes }) => {
                    self.append(&queue, &bodies);
                    waiting.fetch_sub(bytes, Ordering::Relaxed);
                }
                Ok(Order::Sync(done)) => {
                    self.sync();
                    // Whoever waited may be gone.
                    done.send(()).unwrap_or_default();
                }
                Ok(Order::Close(done)) => {
                    self.close_all();
                    done.send(()).unwrap_or_default();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.close_all();
                    return;
                }
            }
            if synced.elapsed() >= SYNC_EVERY {
                self.open_folder();
                self.sync();
                self.close_due();
                synced = Instant::now();
            }
        }
    }

    /// Tried again each second until it works.
    fn open_folder(&self) {
        if let Err(error) = self.folder.open() {
            let path = self.folder.path.display();
            self.folder.complain(&format!("the archive's folder `{path}` cannot be used: {error}"));
        }
    }

    fn append(&mut self, queue: &str, bodies: &[String]) {
        let mut lines = Vec::with_capacity(bodies.iter().map(|body| body.len() + 1).sum());
        let mut count = 0;
        for body in bodies {
            // A line that is no JSON would cost a replay the whole file. Such a message stays in the queue, or in the quarantine.
            if serde_json::from_str::<IgnoredAny>(body).is_err() {
                telemetry::archive_lost("not_json", 1);
                continue;
            }
            // Line breaks of JSON stand between values only.
            lines.extend(body.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
            lines.push(b'\n');
            count += 1;
        }
        if count == 0 {
            return;
        }
        let more = lines.len() as u64;
        if self.folder.bytes() + more > self.folder.bytes_max {
            self.folder.lost("spool_full", count, "the archive's spool is full: S3 has taken nothing for long");
            return;
        }
        match self.write(queue, &lines) {
            Ok(()) => {
                self.folder.grown(more);
                telemetry::archived(count);
            }
            Err(error) => self.folder.lost("io", count, &format!("the archive's spool cannot be written: {error}")),
        }
    }

    fn write(&mut self, queue: &str, lines: &[u8]) -> io::Result<()> {
        if !self.folder.is_open() {
            return Err(io::Error::other("its folder cannot be used"));
        }
        let now = self.clock.now();
        if self.open.get(queue).is_some_and(|open| open.length >= FILE_MAX || hour(open.began) != hour(now)) {
            self.close(queue);
        }
        let open = if let Some(open) = self.open.get_mut(queue) {
            open
        } else {
            let number = self.numbers.entry(queue.to_owned()).or_default();
            *number += 1;
            let path = self.folder.new_file(queue, *number, now);
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
            self.open.entry(queue.to_owned()).or_insert(Open { file, path, began: now, length: 0, dirty: false })
        };
        if let Err(error) = open.file.write_all(lines) {
            // Half of it would spoil the next line. If even this fails, the file is left as it is and closed as one left open.
            if open.file.set_len(open.length).is_err() {
                self.open.remove(queue);
            }
            return Err(error);
        }
        open.length += lines.len() as u64;
        open.dirty = true;
        Ok(())
    }

    fn sync(&mut self) {
        for open in self.open.values_mut().filter(|open| open.dirty) {
            match open.file.sync_data() {
                Ok(()) => open.dirty = false,
                Err(error) => self.folder.complain(&format!("the archive's spool cannot be synchronised: {error}")),
            }
        }
    }

    fn close_due(&mut self) {
        let now = self.clock.now();
        let every = self.folder.every;
        let due = |open: &Open| {
            let age = now.duration_since(open.began);
            open.length >= FILE_MAX
                || hour(open.began) != hour(now)
                || (!age.is_negative() && age.unsigned_abs() >= every)
        };
        let due: Vec<String> = self.open.iter().filter(|(_, open)| due(open)).map(|(queue, _)| queue.clone()).collect();
        for queue in due {
            self.close(&queue);
        }
    }

    fn close_all(&mut self) {
        for queue in self.open.keys().cloned().collect::<Vec<_>>() {
            self.close(&queue);
        }
    }

    fn close(&mut self, queue: &str) {
        let Some(open) = self.open.remove(queue) else { return };
        let done = open.file.sync_all().and_then(|()| fs::rename(&open.path, closed(&open.path)));
        match done {
            Ok(()) => self.folder.closed.notify_one(),
            Err(error) => self.folder.complain(&format!("a file of the archive's spool cannot be closed: {error}")),
        }
    }
}

fn hour(at: Timestamp) -> i64 {
    at.as_second().div_euclid(3_600)
}
