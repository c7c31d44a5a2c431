//! Counting down to a date that an event names: when the key is destroyed, when its material expires.
//!
//! A rule with `countdown` remembers the newest statement of its date, in event time, and is an alert when a mark before
//! the date passes, and again at each further one. A clearance newer than the statement ends it. Of a key with several imported
//! materials each has a date of its own: there is a statement for each, and one of the key as a whole; the earliest date counts.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::event::EventId;
use super::window::Waiting;

/// How long before a date people are told again; longest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks(Vec<SignedDuration>);

impl Default for Marks {
    fn default() -> Self {
        let hours = SignedDuration::from_hours;
        Self::new(vec![hours(7 * 24), hours(3 * 24), hours(24), hours(6), hours(1)])
    }
}

impl Marks {
    pub fn new(mut marks: Vec<SignedDuration>) -> Self {
        marks.sort_unstable_by(|a, b| b.cmp(a));
        marks.dedup();
        Self(marks)
    }

    /// The last one to pass by `now`; `None` while even the first is ahead.
    pub fn passed(&self, date: Timestamp, now: Timestamp) -> Option<SignedDuration> {
        let left = date.duration_since(now);
        self.0.iter().rev().copied().find(|mark| *mark >= left)
    }

    /// When the next one passes after that one has been told.
    pub fn next(&self, date: Timestamp, told: Option<SignedDuration>) -> Option<Timestamp> {
        let next = self.0.iter().copied().find(|mark| told.is_none_or(|told| *mark < told))?;
        date.checked_sub(next).ok()
    }
}

/// The name under which a situation keeps what a rule counts down to: of the key as a whole, or of one of its materials.
pub fn name(rule: &str, material: Option<&str>) -> String {
    material.map_or_else(|| rule.to_owned(), |material| format!("{rule}#{material}"))
}

/// The rule of such a name, and the material.
pub fn parts(name: &str) -> (&str, Option<&str>) {
    name.split_once('#').map_or((name, None), |(rule, material)| (rule, Some(material)))
}

/// Materials of a key that one rule counts down to.
pub const MATERIALS_MAX: usize = 32;

/// What a rule counts down to in one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Countdown {
    /// When it was stated, in event time.
    pub at: Timestamp,
    pub id: EventId,
    pub date: Timestamp,
    /// KMS said it, of the key as a whole: the earliest date of all materials, as of this moment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settled: Option<Timestamp>,
    /// A mark before this date was an alert.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub alerted: bool,
    /// The last mark that was told, or that had passed already when the event named the date.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub told: Option<SignedDuration>,
    /// When the next mark passes; `None` once the countdown is over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due: Option<Timestamp>,
    /// What to tell then.
    pub waiting: Box<Waiting>,
}

impl Countdown {
    /// Whether nothing newer than the statement has cleared it.
    pub fn stands(&self, cleared: Option<Timestamp>) -> bool {
        cleared.is_none_or(|clear| clear <= self.at)
    }

    /// Whether what is said of the key as a whole leaves standing what was said of one material: KMS names the earliest date, so
    /// a later one may well be right; an event that names no material is of the time when a key had one.
    pub fn leaves(&self, one: &Self) -> bool {
        match self.settled {
            Some(settled) => one.at >= settled || one.date >= self.date,
            None => one.at >= self.at,
        }
    }

    /// The mark to tell now, if one has passed since the last: one for all that passed meanwhile. It counts as told.
    pub fn ripe(&mut self, marks: &Marks, now: Timestamp) -> Option<SignedDuration> {
        if self.date <= now {
            return None;
        }
        let passed = marks.passed(self.date, now)?;
        if self.told.is_some_and(|told| told <= passed) {
            return None;
        }
        self.told = Some(passed);
        self.alerted = true;
        Some(passed)
    }
}

/// What will happen at the date that an incident counts down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The key is destroyed.
    Destroyed,
    /// Its imported material expires.
    MaterialExpires,
    /// What else a rule counts down to.
    Other,
}

/// A date that an incident counts down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    pub at: Timestamp,
    pub what: Ending,
}

impl Deadline {
    /// Of the path of a rule's `countdown`.
    pub fn of(path: &str, at: Timestamp) -> Self {
        let what = match path {
            "key.deletion_date" => Ending::Destroyed,
            "key.valid_to" => Ending::MaterialExpires,
            _ => Ending::Other,
        };
        Self { at, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    #[test]
    fn marks_pass_one_after_the_other() {
        let marks = Marks::default();
        let date = at(0);
        for (now, passed) in [
            (-200, None),
            (-168, Some(168)),
            (-73, Some(168)),
            (-72, Some(72)),
            (-6, Some(6)),
            (-1, Some(1)),
            (5, Some(1)),
        ] {
            assert_eq!(marks.passed(date, at(now)), passed.map(SignedDuration::from_hours), "{now}");
        }
        assert_eq!(marks.next(date, None), Some(at(-168)));
        assert_eq!(marks.next(date, Some(SignedDuration::from_hours(24))), Some(at(-6)));
        assert_eq!(marks.next(date, Some(SignedDuration::from_hours(1))), None);
        assert_eq!(Marks::new(vec![]).passed(date, at(0)), None);
    }
}
