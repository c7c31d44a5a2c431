//! What goes wrong on purpose, and how often each action was called.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::protocol::{ACTIONS, Action};

/// One way for a request to fail. Each request takes at most one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An error of the service, by its type's name (`KmsDisabled`, `OverLimit`, `ExpiredTokenException`, …); nothing
    /// is done.
    Error(&'static str),
    /// A bare HTTP status with a body that is no JSON, as load balancers answer; nothing is done.
    Http(u16),
    /// The connection is cut without an answer; nothing is done.
    Drop,
    /// The request is carried out, then the connection is cut: the caller cannot know.
    DropAfter,
    /// The request is carried out this much later.
    Delay(Duration),
    /// The first `entries` entries of a batch fail with `code`, the others are carried out. `sender` says whose fault
    /// it is: theirs (do not retry) or the service's (retry). Means nothing to actions that are no batch.
    FailEntries { entries: usize, code: &'static str, sender: bool },
}

/// Faults that wait for the requests they will hit.
#[derive(Debug, Default)]
pub struct Faults {
    /// Spares the lock while nothing is injected.
    armed: AtomicBool,
    waiting: Mutex<HashMap<Action, VecDeque<(Fault, u32)>>>,
}

impl Faults {
    /// The next `times` requests of `action` meet `fault`, after the faults injected earlier for that action.
    pub fn inject(&self, action: Action, times: u32, fault: Fault) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if times > 0 {
            waiting.entry(action).or_default().push_back((fault, times));
            self.armed.store(true, Ordering::Release);
        }
    }

    /// Takes back every fault that has not hit yet.
    pub fn clear(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.clear();
        self.armed.store(false, Ordering::Release);
    }

    /// How many requests of `action` will still meet a fault.
    pub fn waiting(&self, action: Action) -> u64 {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(&action).map_or(0, |list| list.iter().map(|(_, times)| u64::from(*times)).sum())
    }

    /// The fault that this request meets.
    pub(super) fn take(&self, action: Action) -> Option<Fault> {
        if !self.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let list = waiting.get_mut(&action)?;
        let (fault, times) = list.front_mut()?;
        let fault = fault.clone();
        *times -= 1;
        if *times == 0 {
            list.pop_front();
        }
        if waiting.values().all(VecDeque::is_empty) {
            self.armed.store(false, Ordering::Release);
        }
        Some(fault)
    }
}

/// Requests per action, and messages, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    requests: [AtomicU64; ACTIONS.len()],
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) deleted: AtomicU64,
}

impl Counts {
    /// Requests of one action.
    pub fn of(&self, action: Action) -> u64 {
        self.requests.get(action as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Requests of all actions.
    pub fn total(&self) -> u64 {
        self.requests.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Messages accepted.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Messages handed out, redeliveries included.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Messages deleted; a second delete of the same message does not count.
    pub fn deleted(&self) -> u64 {
        self.deleted.load(Ordering::Relaxed)
    }

    pub(super) fn request(&self, action: Action) {
        if let Some(count) = self.requests.get(action as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_hit_in_order_as_often_as_told_and_only_their_action() {
        let faults = Faults::default();
        faults.inject(Action::ReceiveMessage, 2, Fault::Drop);
        faults.inject(Action::ReceiveMessage, 1, Fault::Http(503));
        assert_eq!(faults.take(Action::SendMessage), None);
        assert_eq!(faults.waiting(Action::ReceiveMessage), 3);
        let hit: Vec<_> = (0..4).map(|_| faults.take(Action::ReceiveMessage)).collect();
        assert_eq!(hit, [Some(Fault::Drop), Some(Fault::Drop), Some(Fault::Http(503)), None]);
        assert!(!faults.armed.load(Ordering::Acquire), "an empty list costs no lock");
    }

    #[test]
    fn cleared_faults_do_not_hit() {
        let faults = Faults::default();
        faults.inject(Action::DeleteMessage, 5, Fault::Drop);
        faults.clear();
        assert_eq!(faults.take(Action::DeleteMessage), None);
    }
}
