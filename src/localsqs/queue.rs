//! One queue's messages: visible, hidden, deleted, dead. Pure: time comes in, nothing waits here.
//!
//! A message is *visible* (in `visible`, in the order it became so) or *hidden* until a time (delayed, or in flight).
//! Hidden messages have an entry in `due`; an entry whose `epoch` is not the message's is stale and skipped, so that
//! changing a visibility timeout is one push.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::digest::Hex;
use super::protocol::AttributeValue;

/// Messages in flight at once, after which a queue hands out no more. Source: Amazon SQS queue quotas.
const IN_FLIGHT_MAX: usize = 120_000;

/// What is kept beside a message's text, in bytes: for the memory bound.
const OVERHEAD_BYTES: usize = 512;

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    pub visible: usize,
    pub in_flight: usize,
    pub delayed: usize,
}

/// One message.
#[derive(Debug)]
pub(super) struct Held {
    /// The `MessageId`.
    pub(super) id: String,
    /// The body as a JSON string literal, quotes included: ready to be written.
    pub(super) body: Box<str>,
    pub(super) body_md5: Hex,
    /// By name.
    pub(super) attributes: Vec<(String, AttributeValue)>,
    pub(super) trace_header: Option<String>,
    /// Milliseconds since the epoch.
    pub(super) sent_at: i64,
    pub(super) first_received_at: Option<i64>,
    /// Grows on through a move to a dead-letter queue.
    pub(super) receives: u32,
    /// The queue it was dead in.
    pub(super) source_arn: Option<Arc<str>>,
    sent: Instant,
    /// [`Held::receives`] when it came into this queue.
    receives_before: u32,
    epoch: u32,
    place: Place,
}

impl Held {
    pub(super) fn new(id: String, body: Box<str>, body_md5: Hex, sent_at: i64, sent: Instant) -> Self {
        Self {
            id,
            body,
            body_md5,
            attributes: vec![],
            trace_header: None,
            sent_at,
            first_received_at: None,
            receives: 0,
            source_arn: None,
            sent,
            receives_before: 0,
            epoch: 0,
            place: Place::Visible,
        }
    }

    /// What it weighs in memory.
    pub(super) fn bytes(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, value)| name.len() + value.bytes()).sum();
        OVERHEAD_BYTES + self.body.len() + attributes
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Visible,
    Delayed,
    InFlight,
}

/// Names one receive of one message: the receipt handle, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) seq: u64,
    pub(super) receives: u32,
}

/// Why a message's visibility could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotExtended {
    Gone,
    NotInFlight,
}

/// What a [`Messages::take`] did besides handing out messages.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) count: usize,
    /// Received too often: to be moved to the dead-letter queue.
    pub(super) dead: Vec<Held>,
    /// Bytes of messages that were too old and are gone.
    pub(super) expired_bytes: usize,
    /// Nothing was handed out because too much is in flight.
    pub(super) over_limit: bool,
}

/// How a [`Messages::take`] is to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Take {
    /// Milliseconds since the epoch, for `ApproximateFirstReceiveTimestamp`.
    pub(super) wall: i64,
    pub(super) max: usize,
    /// How long what is handed out stays hidden.
    pub(super) visibility: Duration,
    /// Older messages are gone.
    pub(super) retention: Duration,
    /// From the redrive policy.
    pub(super) receives_max: Option<u32>,
}

/// The messages of one queue.
#[derive(Debug, Default)]
pub(super) struct Messages {
    all: HashMap<u64, Held>,
    visible: VecDeque<u64>,
    /// When hidden messages come back: time, message, epoch.
    due: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    in_flight: usize,
    next_seq: u64,
}

impl Messages {
    /// Adds a message, hidden for `delay`.
    pub(super) fn push(&mut self, now: Instant, mut held: Held, delay: Duration) {
        let seq = self.next_seq;
        self.next_seq += 1;
        held.receives_before = held.receives;
        if delay.is_zero() {
            held.place = Place::Visible;
            self.visible.push_back(seq);
        } else {
            held.place = Place::Delayed;
            self.due.push(Reverse((now + delay, seq, held.epoch)));
        }
        self.all.insert(seq, held);
    }

    /// Hands out messages.
    pub(super) fn take(&mut self, now: Instant, how: Take, mut emit: impl FnMut(Receipt, &Held)) -> Taken {
        let Take { wall, max, visibility, retention, receives_max } = how;
        self.surface(now);
        let mut taken = Taken::default();
        // Visible again at once, but not in this very receive.
        let mut not_hidden = vec![];
        while taken.count < max {
            if self.in_flight >= IN_FLIGHT_MAX {
                taken.over_limit = taken.count == 0;
                break;
            }
            let Some(seq) = self.visible.pop_front() else { break };
            let Some(held) = self.all.get_mut(&seq) else { continue };
            if now.duration_since(held.sent) >= retention {
                taken.expired_bytes += self.all.remove(&seq).map_or(0, |held| held.bytes());
                continue;
            }
            if receives_max.is_some_and(|max| held.receives - held.receives_before >= max) {
                taken.dead.extend(self.all.remove(&seq));
                continue;
            }
            held.receives += 1;
            held.first_received_at.get_or_insert(wall);
            emit(Receipt { seq, receives: held.receives }, held);
            taken.count += 1;
            held.epoch += 1;
            if visibility.is_zero() {
                not_hidden.push(seq);
            } else {
                held.place = Place::InFlight;
                self.in_flight += 1;
                self.due.push(Reverse((now + visibility, seq, held.epoch)));
            }
        }
        self.visible.extend(not_hidden);
        taken
    }

    /// Deletes a message; the answer is its size. A message that is gone, or was received again since, is left
    /// alone: the service says success to both.
    pub(super) fn delete(&mut self, receipt: Receipt) -> Option<usize> {
        let held = self.all.get(&receipt.seq)?;
        if held.receives != receipt.receives {
            return None;
        }
        let place = held.place;
        let bytes = self.all.remove(&receipt.seq)?.bytes();
        match place {
            Place::InFlight => self.in_flight -= 1,
            Place::Visible => self.visible.retain(|seq| *seq != receipt.seq),
            Place::Delayed => {}
        }
        self.compact();
        Some(bytes)
    }

    /// Hides a message that is in flight for `by` from now; zero makes it visible.
    pub(super) fn extend(&mut self, now: Instant, receipt: Receipt, by: Duration) -> Result<(), NotExtended> {
        self.surface(now);
        let held = self.all.get_mut(&receipt.seq).ok_or(NotExtended::Gone)?;
        if held.place != Place::InFlight || held.receives != receipt.receives {
            return Err(NotExtended::NotInFlight);
        }
        held.epoch += 1;
        if by.is_zero() {
            held.place = Place::Visible;
            self.in_flight -= 1;
            self.visible.push_back(receipt.seq);
        } else {
            self.due.push(Reverse((now + by, receipt.seq, held.epoch)));
        }
        self.compact();
        Ok(())
    }

    /// Throws everything away; the answer is its size.
    pub(super) fn purge(&mut self) -> usize {
        let bytes = self.all.values().map(Held::bytes).sum();
        self.all.clear();
        self.visible.clear();
        self.due.clear();
        self.in_flight = 0;
        bytes
    }

    /// When the next hidden message comes back, at the earliest.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(super) fn depth(&mut self, now: Instant) -> Depth {
        self.surface(now);
        let delayed = self.all.len() - self.visible.len() - self.in_flight;
        Depth { visible: self.visible.len(), in_flight: self.in_flight, delayed }
    }

    /// Every message, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        let mut order: Vec<_> = self.all.iter().collect();
        order.sort_unstable_by_key(|(seq, _)| **seq);
        order.into_iter().map(|(_, held)| held)
    }

    /// Makes every hidden message visible whose time has come.
    fn surface(&mut self, now: Instant) {
        while let Some(Reverse((at, seq, epoch))) = self.due.peek().copied() {
            let live = self.all.get_mut(&seq).filter(|held| held.epoch == epoch);
            match live {
                Some(_) if at > now => break,
                Some(held) => {
                    if held.place == Place::InFlight {
                        self.in_flight -= 1;
                    }
                    held.place = Place::Visible;
                    held.epoch += 1;
                    self.visible.push_back(seq);
                }
                None => {}
            }
            self.due.pop();
        }
    }

    /// Stale entries of `due` must not outnumber the live ones for long: a consumer that deletes quickly would
    /// otherwise leave one behind for each message until its timeout.
    fn compact(&mut self) {
        if self.due.len() > 1024 && self.due.len() > 4 * self.all.len() {
            let all = &self.all;
            self.due.retain(|Reverse((_, seq, epoch))| all.get(seq).is_some_and(|held| held.epoch == *epoch));
        }
    }
}

#[cfg(test)]
mod tests;
