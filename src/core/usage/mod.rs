//! Who uses which key, and for what: what breaks when a key can no longer be used.
//!
//! Learnt from the stream, key by key: the principals that used it with success, what they opened (the hints that AWS services
//! put into encryption contexts), and when each was seen last. Bounded in everything: of a key the newest are kept, of all keys
//! those used last, and what has not been seen for [`KEPT`] is forgotten. It is a hint for people and decides nothing
//! but what a review says of environments that meet at a key, so it may be flushed late and may be lost.

mod card;
mod sighting;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use card::{Harm, InUse, Names, Refused, refused};
pub use sighting::{Sighting, hints, needs_key, peeked};
use texts::{TextId, Texts, Wanted};

/// Principals kept of one key.
pub const USERS_MAX: usize = 100;
/// Hints kept of one key.
pub const HINTS_MAX: usize = 16;
/// Keys kept.
pub const KEYS_MAX: usize = 10_000;
/// What was not seen for so long is not in use any more.
pub const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Longest text kept; whatever is longer is cut.
const TEXT_BYTES_MAX: usize = 256;
/// A sighting this soon after the last one of the same is not worth writing down again, in minutes.
const WORTH_WRITING: u32 = 60;

/// What is known of all keys. Built for a million users of ten thousand keys: a user is eight bytes, and a name that many keys share is
/// there once.
#[derive(Debug, Default)]
pub struct Usage {
    keys: HashMap<Box<str>, OfKey>,
    texts: Texts,
    /// When one of the keys that were forgotten was used last, in minutes.
    forgotten: u32,
}

#[derive(Debug, Default)]
struct OfKey {
    users: Vec<Seen>,
    hints: Vec<Seen>,
    /// When it was used last, in minutes.
    last: u32,
    /// When one of the users that were forgotten was seen last, in minutes; 0 if none was.
    forgotten: u32,
    /// What the store has is old.
    dirty: bool,
}

/// A name, and when it was seen last, in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    who: TextId,
    last: u32,
}

/// What is known of one key, as it is kept and told: newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUsage {
    pub users: Vec<(String, Timestamp)>,
    pub hints: Vec<(String, Timestamp)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<Timestamp>,
    /// Users seen by then may be missing, because there were too many.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forgotten: Option<Timestamp>,
}

impl Usage {
    /// Takes in a use of a key.
    pub fn learn(&mut self, sighting: &Sighting<'_>) {
        let minute = minutes(sighting.at);
        if !self.keys.contains_key(&*sighting.key) {
            self.make_room();
        }
        if self.texts.is_full() {
            self.tidy();
        }
        let Self { keys, texts, forgotten } = self;
        // It may be one of those that were forgotten.
        let new = || OfKey { forgotten: *forgotten, ..OfKey::default() };
        let key = keys.entry(cut(&sighting.key).into()).or_insert_with(new);
        key.dirty |= key.last == 0;
        key.last = key.last.max(minute);
        if let Some(who) = &sighting.who {
            key.dirty |= key.see_user(texts.id(cut(who)), minute);
        }
        for hint in &sighting.hints {
            key.dirty |= see(&mut key.hints, texts.id(cut(hint)), minute, HINTS_MAX, &mut 0);
        }
    }

    /// Takes in what was kept of a key, beside what has been learnt of it since.
    pub fn restore(&mut self, arn: &str, kept: &KeyUsage) {
        let last = kept.last.map_or(0, minutes);
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(arn) {
            self.forgotten = self.forgotten.max(last);
            return;
        }
        let Self { keys, texts, .. } = self;
        let key = keys.entry(cut(arn).into()).or_default();
        for (text, at) in kept.users.iter().take(USERS_MAX) {
            key.see_user(texts.id(cut(text)), minutes(*at));
        }
        for (text, at) in kept.hints.iter().take(HINTS_MAX) {
            see(&mut key.hints, texts.id(cut(text)), minutes(*at), HINTS_MAX, &mut 0);
        }
        key.users.shrink_to_fit();
        key.last = key.last.max(last);
        key.forgotten = key.forgotten.max(kept.forgotten.map_or(0, minutes));
    }

    /// What is known of a key at `now`, newest first, without what is long past.
    pub fn of(&self, arn: &str, now: Timestamp) -> Option<KeyUsage> {
        let key = self.keys.get(arn)?;
        let oldest = minutes(now.checked_sub(KEPT).unwrap_or(Timestamp::MIN));
        let told = |all: &[Seen]| {
            let mut fresh: Vec<Seen> = all.iter().filter(|seen| seen.last >= oldest).copied().collect();
            fresh.sort_by_key(|seen| std::cmp::Reverse(seen.last));
            fresh.into_iter().map(|seen| (self.texts.text(seen.who).to_owned(), time(seen.last))).collect()
        };
        let known = |minute: u32| (minute > 0).then(|| time(minute));
        let (last, forgotten) = (known(key.last), known(key.forgotten));
        Some(KeyUsage { users: told(&key.users), hints: told(&key.hints), last, forgotten })
    }

    /// Users of a key that were seen by then may be missing; `None` if nothing was forgotten that may have been of it.
    pub fn forgotten(&self, arn: &str) -> Option<Timestamp> {
        let minute = self.keys.get(arn).map_or(self.forgotten, |key| key.forgotten);
        (minute > 0).then(|| time(minute))
    }

    /// Up to so many keys of which the store has to hear, with what is known of them; they count as told.
    pub fn unwritten(&mut self, now: Timestamp, most: usize) -> BTreeMap<String, KeyUsage> {
        let dirty: Vec<Box<str>> =
            self.keys.iter().filter(|(_, key)| key.dirty).map(|(arn, _)| arn.clone()).take(most).collect();
        let mut told = BTreeMap::new();
        for arn in dirty {
            if let Some(key) = self.keys.get_mut(&arn) {
                key.dirty = false;
            }
            if let Some(usage) = self.of(&arn, now) {
                told.insert(arn.into(), usage);
            }
        }
        told
    }

    /// Keys known.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Forgets the tenth of the keys that were used last longest ago.
    fn make_room(&mut self) {
        if self.keys.len() < KEYS_MAX {
            return;
        }
        let mut ages: Vec<u32> = self.keys.values().map(|key| key.last).collect();
        ages.sort_unstable();
        let oldest = ages.get(KEYS_MAX / 10).copied().unwrap_or(0);
        self.forgotten = self.forgotten.max(oldest);
        self.keys.retain(|_, key| key.last > oldest);
        if self.keys.len() >= KEYS_MAX {
            // All of one age: any will do.
            self.forgotten = self.forgotten.max(ages.last().copied().unwrap_or(0));
            let mut kept = 0;
            self.keys.retain(|_, _| {
                kept += 1;
                kept < KEYS_MAX
            });
        }
    }

    /// Forgets names nobody uses any more, and where that is not enough the half of the users seen longest ago.
    fn tidy(&mut self) {
        let mut ages: Vec<u32> =
            self.keys.values().flat_map(|key| key.users.iter().chain(&key.hints)).map(|s| s.last).collect();
        let middle = ages.len() / 2;
        let median = if ages.is_empty() { 0 } else { *ages.select_nth_unstable(middle).1 };
        let mut wanted = self.named(None);
        if !wanted.leave_room() {
            wanted = self.named(Some(median));
        }
        let moved = self.texts.keep(&wanted);
        for all in self.keys.values_mut().flat_map(|key| [&mut key.users, &mut key.hints]) {
            for seen in all.iter_mut() {
                seen.who = moved.of(seen.who);
            }
            all.shrink_to_fit();
        }
    }

    /// The names that keys have, once the half of what is `older` than that is forgotten.
    fn named(&mut self, older: Option<u32>) -> Wanted {
        let Self { keys, texts, .. } = self;
        let mut wanted = texts.wanted();
        for key in keys.values_mut() {
            if let Some(median) = older {
                key.forgotten = key.forgotten.max(thin(&mut key.users, median));
                thin(&mut key.hints, median);
            }
            for seen in key.users.iter().chain(&key.hints) {
                wanted.mark(texts, seen.who);
            }
        }
        wanted
    }
}

impl OfKey {
    /// Adds a sighting of a user; says whether that is worth writing down.
    fn see_user(&mut self, who: TextId, minute: u32) -> bool {
        see(&mut self.users, who, minute, USERS_MAX, &mut self.forgotten)
    }
}

/// Forgets what is older, and says when the newest of it was seen. Of what has just that age, the first half stays.
fn thin(all: &mut Vec<Seen>, median: u32) -> u32 {
    let half = all.len() / 2;
    let (mut kept, mut forgotten) = (0, 0);
    all.retain(|seen| {
        kept += 1;
        let stays = seen.last > median || (seen.last == median && kept <= half);
        if !stays {
            forgotten = forgotten.max(seen.last);
        }
        stays
    });
    forgotten
}

/// Adds a sighting; says whether that is worth writing down. `forgotten` is when somebody for whom there was no room was seen last.
fn see(all: &mut Vec<Seen>, who: TextId, minute: u32, most: usize, forgotten: &mut u32) -> bool {
    if let Some(known) = all.iter_mut().find(|seen| seen.who == who) {
        let worth = minute > known.last.saturating_add(WORTH_WRITING);
        known.last = known.last.max(minute);
        return worth;
    }
    if all.len() < most {
        if all.len() == all.capacity() {
            all.reserve_exact((all.len() / 4).clamp(1, most - all.len()));
        }
        all.push(Seen { who, last: minute });
        return true;
    }
    let Some(oldest) = all.iter_mut().min_by_key(|seen| seen.last) else { return false };
    if oldest.last > minute {
        let worth = minute > forgotten.saturating_add(WORTH_WRITING);
        *forgotten = minute.max(*forgotten);
        return worth;
    }
    *forgotten = oldest.last.max(*forgotten);
    *oldest = Seen { who, last: minute };
    true
}

fn minutes(at: Timestamp) -> u32 {
    u32::try_from(at.as_second() / 60).unwrap_or(0)
}

fn time(minutes: u32) -> Timestamp {
    Timestamp::from_second(i64::from(minutes) * 60).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Its beginning, where it is too long to keep.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
