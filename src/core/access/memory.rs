//! The histories of many keys in memory, for whoever has no file to keep them in.

use std::collections::{BTreeMap, HashMap};

use super::known::{History, Lesson, lesson};
use super::trust::Trust;
use super::{assess, wants};
use crate::core::event::Event;
use crate::core::rotation;

/// Bounded: the key of which nothing was learnt for longest makes room.
#[derive(Debug, Default)]
pub struct Histories {
    by_key: HashMap<String, Kept>,
    /// When each key was learnt of last, oldest first.
    ages: BTreeMap<u64, String>,
    age: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Kept {
    history: History,
    age: u64,
    bytes: usize,
}

/// All of it together: some ten thousand keys with policies of the usual size.
const BYTES_MAX: usize = 32 * 1024 * 1024;

impl Histories {
    pub fn learn(&mut self, lesson: &Lesson) {
        self.learn_within(lesson, BYTES_MAX);
    }

    pub fn of(&self, arn: &str) -> Option<&History> {
        self.by_key.get(arn).map(|kept| &kept.history)
    }

    /// Learns what the event teaches and adds to it what it means: for events that are told one after the other, without a store.
    pub fn assess(&mut self, event: &mut Event, trust: &Trust) {
        let wanted = wants(event);
        let known = || wanted.as_deref().and_then(|arn| self.of(arn));
        if let Some(lesson) = lesson(event).or_else(|| rotation::reading(event, known())) {
            self.learn(&lesson);
        }
        let known = wanted.and_then(|arn| self.of(&arn)).cloned();
        assess(event, trust, known.as_ref());
    }

    fn learn_within(&mut self, lesson: &Lesson, most: usize) {
        let kept = self.by_key.entry(lesson.arn.clone()).or_default();
        kept.history.learn(&lesson.taught);
        self.ages.remove(&kept.age);
        self.age += 1;
        kept.age = self.age;
        self.ages.insert(self.age, lesson.arn.clone());
        self.bytes -= kept.bytes;
        kept.bytes = 200 + lesson.arn.len() + kept.history.bytes();
        self.bytes += kept.bytes;
        while self.bytes > most
            && let Some((_, oldest)) = self.ages.pop_first()
        {
            self.bytes -= self.by_key.remove(&oldest).map_or(0, |kept| kept.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::core::access::{Taught, Version};
    use crate::core::event::EventId;

    fn lesson(key: usize, second: i64) -> Lesson {
        let at = Timestamp::from_second(second).unwrap();
        let version = Version { at, event: EventId(format!("e{second}")), text: Some("x".repeat(1000)) };
        Lesson { arn: format!("key/{key}"), taught: Taught::Policy(version) }
    }

    #[test]
    fn the_key_learnt_of_longest_ago_makes_room() {
        let mut histories = Histories::default();
        for key in 0..100 {
            histories.learn_within(&lesson(key, 1), 20_000);
            histories.learn_within(&lesson(0, 2), 20_000);
            assert!(histories.bytes <= 20_000 && histories.ages.len() == histories.by_key.len());
        }
        assert_eq!(histories.of("key/0").unwrap().versions.len(), 2, "it was learnt of all the time");
        assert!(histories.of("key/99").is_some() && histories.of("key/1").is_none());
        assert!((10..20).contains(&histories.by_key.len()), "{}", histories.by_key.len());
        for key in 0..100 {
            histories.learn_within(&lesson(key, 3), 0);
        }
        assert_eq!((histories.bytes, histories.by_key.len()), (0, 0));
    }
}
