//! What is remembered of a group's events for a rule that looks at several of them together.
//!
//! The memory is a set of marks in event time. Which marks are alerts is a function of that set alone, so the order in
//! which events arrive, batches and restarts make no difference: a late event that completes a burst makes alerts of those that
//! came before it. Two things bound it: marks older than the window and the stated lateness are forgotten, and there is a
//! cap on the marks of a group; when the cap takes one that could still matter, it is counted and said on the card.

mod judge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::decide::Evaluation;
use super::event::EventId;
use super::rule::window::Window;
use super::rule::{Severity, Texts};

/// Marks kept of one group, and values kept of it.
pub const MARKS_MAX: usize = 1_000;
/// Marks kept that are no alerts yet, beyond what a threshold asks for; these carry their event.
pub const WAITING_MAX: usize = 64;
/// Values remembered of one group.
pub const VALUES_MAX: usize = 1_000;
/// Longest value compared as it is; a longer one is compared by its beginning.
const VALUE_BYTES_MAX: usize = 256;

/// What a rule's window remembers of one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowState {
    /// In the order of event time.
    pub marks: Vec<Mark>,
    /// Values seen, for windows that ask whether one is new.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub values: BTreeMap<String, Seen>,
    /// The group's first event, for windows that ask whether a value is new.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// How many marks or values the caps took although they could still have mattered.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub dropped: u64,
    /// Nothing that is remembered matters after this time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
    /// When the window has to be looked at although nothing happens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// One event of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    pub at: Timestamp,
    pub id: EventId,
    pub part: Part,
    /// When it was read: what comes out of a backlog is given time to be followed by the rest of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seen: Option<Timestamp>,
    /// What the window compares.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
    /// It is an alert.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub told: bool,
    /// What to tell when it becomes one; gone once it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waiting: Option<Box<Waiting>>,
}

/// What an event is to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// One of the events that come before, or the one that is expected.
    Step(u8),
    /// The rule's `match`.
    Match,
}

/// A match that may become an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    pub severity: Severity,
    #[serde(default)]
    pub watching: Vec<String>,
    #[serde(default)]
    pub texts: Texts,
    pub evaluation: Evaluation,
}

/// When a value was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Where the newest run of it begins: before, there was none for longer than the window.
    pub from: Timestamp,
    pub last: Timestamp,
}

/// The times that bound a window's memory.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// An event may arrive so late and still find the marks it belongs to.
    pub lateness: SignedDuration,
    /// What is expected by a time may arrive so much later.
    pub grace: SignedDuration,
}

impl WindowState {
    /// Adds an event's mark; adding it again changes nothing.
    pub fn add(&mut self, window: &Window, mut mark: Mark, bounds: Bounds) {
        let mark_at = mark.at;
        if let Some(value) = &mut mark.value {
            *value = cut(value).to_owned();
        }
        let order = |mark: &Mark| (mark.at, mark.id.clone(), mark.part);
        match self.marks.binary_search_by(|known| order(known).cmp(&order(&mark))) {
            Ok(_) => return,
            Err(place) => {
                self.see(window, &mark);
                if self.may_become(window, &mark, bounds) {
                    self.marks.insert(place, mark);
                }
            }
        }
        let matters = window.within().saturating_add(bounds.lateness);
        self.until = self.until.max(mark_at.checked_add(matters).ok());
        self.prune(window, bounds);
    }

    /// Takes out what has become an alert by now, in event time, and notes when to look again.
    pub fn ripe(&mut self, window: &Window, bounds: Bounds, now: Timestamp) -> Vec<Waiting> {
        let members = judge::members(self, window, bounds, now);
        let mut ripe = Vec::new();
        for (mark, member) in self.marks.iter_mut().zip(members) {
            if member && !mark.told {
                mark.told = true;
                ripe.extend(mark.waiting.take().map(|waiting| *waiting));
            }
        }
        self.due = judge::next_due(self, window, bounds);
        if let Window::Threshold { count, distinct, .. } = window {
            self.condense(*count, distinct.is_some());
        }
        ripe
    }

    /// How far it is, in words: for people who ask why nothing was told.
    pub fn in_words(&self, window: &Window) -> String {
        let matches = self.marks.iter().filter(|mark| mark.part == Part::Match).count();
        let told = self.marks.iter().filter(|mark| mark.told).count();
        let steps = self.steps_in_words(window);
        format!("{steps}{matches} remembered, {told} of them told; it asks for {}", window.in_words())
    }

    /// What was seen of the other events that the window asks for, each the last time.
    fn steps_in_words(&self, window: &Window) -> String {
        let all = window.steps().count();
        let seen = window.steps().filter_map(|(step, _)| {
            let last = self.marks.iter().rev().find(|mark| mark.part == Part::Step(step))?;
            Some(match window {
                Window::Sequence { .. } => format!("step {} of {all} before it was seen at {}, ", step + 1, last.at),
                _ => format!("the expected event was seen at {}, ", last.at),
            })
        });
        let seen: String = seen.collect();
        if all > 0 && seen.is_empty() { "none of the events beside it was seen, ".to_owned() } else { seen }
    }

    /// What has to be known for longer than anything else: since when the group learns. Without it a group that was quiet for long
    /// would learn anew, and whoever comes first would be taken for one of its own.
    pub fn learnt(&self) -> Option<Self> {
        self.since.map(|since| Self { since: Some(since), ..Self::default() })
    }

    fn see(&mut self, window: &Window, mark: &Mark) {
        let Window::NewValue { within, .. } = window else { return };
        self.since = Some(self.since.map_or(mark.at, |since| since.min(mark.at)));
        let Some(value) = &mark.value else { return };
        let gap = |a: Timestamp, b: Timestamp| b.duration_since(a) > *within;
        match self.values.get_mut(value) {
            None => {
                self.values.insert(value.clone(), Seen { from: mark.at, last: mark.at });
            }
            Some(seen) if mark.at > seen.last => {
                if gap(seen.last, mark.at) {
                    seen.from = mark.at;
                }
                seen.last = mark.at;
            }
            Some(seen) if mark.at < seen.from && !gap(mark.at, seen.from) => seen.from = mark.at,
            Some(_) => {}
        }
    }

    /// Most events show a value that is known. They leave their trace in `values` and need no mark: what arrives later
    /// can only make a value known earlier.
    fn may_become(&self, window: &Window, mark: &Mark, bounds: Bounds) -> bool {
        let Window::NewValue { learn, .. } = window else { return true };
        let seen = mark.value.as_ref().and_then(|value| self.values.get(value));
        let new = seen.is_some_and(|seen| mark.at.duration_since(seen.from) <= bounds.grace);
        let learned = self.since.and_then(|since| since.checked_add(*learn).ok());
        let soon = mark.at.checked_add(bounds.grace).unwrap_or(Timestamp::MAX);
        new && learned.is_some_and(|learned| soon >= learned)
    }

    fn prune(&mut self, window: &Window, bounds: Bounds) {
        let Some(newest) = self.marks.last().map(|mark| mark.at) else { return };
        // A value's newness is decided within the grace; what lies before is in `values`.
        let keep = match window {
            Window::NewValue { .. } => bounds.grace,
            _ => window.within().saturating_add(bounds.lateness),
        };
        let floor = newest.checked_sub(keep).unwrap_or(Timestamp::MIN);
        let known_values = matches!(window, Window::NewValue { .. });
        self.marks.retain(|mark| mark.at >= floor || (mark.waiting.is_some() && !known_values));
        let room = WAITING_MAX.max(match window {
            Window::Threshold { count, .. } => *count,
            _ => 0,
        });
        let matters = newest.checked_sub(window.within()).unwrap_or(Timestamp::MIN);
        if matches!(window, Window::Threshold { distinct: Some(_), .. }) {
            self.thin(room);
        }
        self.cap(matters, room, |mark| mark.waiting.is_some());
        self.cap(matters, MARKS_MAX, |_| true);
        while self.values.len() > VALUES_MAX {
            let oldest = self.values.iter().min_by_key(|(name, seen)| (seen.last, (*name).clone()));
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
            self.values.remove(&oldest);
            self.dropped += 1;
        }
    }

    /// Where values are counted, a flood of one value must not push out the others: of marks that wait, those whose value
    /// a newer one shows too go first.
    fn thin(&mut self, room: usize) {
        let mut surplus = self.marks.iter().filter(|mark| mark.waiting.is_some()).count().saturating_sub(room);
        if surplus == 0 {
            return;
        }
        let mut newest = BTreeMap::new();
        for (at, mark) in self.marks.iter().enumerate() {
            newest.insert(mark.value.clone(), at);
        }
        let mut at = 0;
        self.marks.retain(|mark| {
            let again = mark.waiting.is_some() && newest.get(&mark.value).is_some_and(|last| *last > at);
            at += 1;
            let goes = surplus > 0 && again;
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// Of alerts of one instant, the threshold's number is enough to make alerts of whatever happens near it: the rest can go.
    /// The first by their ids stay, so that the order of arrival does not matter. What harms a thousand keys in a minute is
    /// remembered in a few marks for each second of it, not in a thousand that are read and written with each event.
    fn condense(&mut self, count: usize, distinct: bool) {
        let mut instant = None;
        let mut kept: Vec<Option<String>> = vec![];
        self.marks.retain(|mark| {
            if instant != Some(mark.at) {
                instant = Some(mark.at);
                kept.clear();
            }
            if !mark.told {
                return true;
            }
            let counts = !distinct || (mark.value.is_some() && !kept.contains(&mark.value));
            let stays = counts && kept.len() < count;
            if stays {
                kept.push(mark.value.clone());
            }
            stays
        });
    }

    /// Keeps the newest `room` of the marks that `counts` names. Those that go and lie after `floor` could still have mattered.
    fn cap(&mut self, floor: Timestamp, room: usize, counts: impl Fn(&Mark) -> bool) {
        let mut surplus = self.marks.iter().filter(|mark| counts(mark)).count().saturating_sub(room);
        let mut dropped = 0;
        self.marks.retain(|mark| {
            let goes = surplus > 0 && counts(mark);
            if goes {
                surplus -= 1;
                dropped += u64::from(mark.at >= floor && !mark.told);
            }
            !goes
        });
        self.dropped += dropped;
    }
}

/// The beginning of a value, at most [`VALUE_BYTES_MAX`] bytes.
fn cut(value: &str) -> &str {
    let mut end = value.len().min(VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.get(..end).unwrap_or_default()
}
