//! What was said of a key, word by word with its time: by events, or by KMS when it was asked. The newest words are kept, so that an
//! event that comes twice, late, or together with its successor still finds what was before it.

use jiff::{SignedDuration, Timestamp};

use super::event::{Event, EventId};

/// One word.
pub trait Dated: Clone {
    /// Words kept of a key. Of what is in hand at the same time all may be learnt before the first is compared: whoever calls so many
    /// times at once hides what was before.
    const KEPT: usize;

    fn at(&self) -> Timestamp;

    /// The event that said it.
    fn by(&self) -> &EventId;

    /// No event said it: KMS was asked.
    fn is_reading(&self) -> bool {
        self.by().0.starts_with(READING)
    }

    /// Whether KMS, asked at this time, may still have answered with what held before this.
    fn may_be_missed(&self, read_at: Timestamp) -> bool {
        !self.is_reading() && read_at.duration_since(self.at()) <= CONSISTENT_AFTER
    }
}

/// How the id begins of what no event said.
const READING: &str = "reading:";

/// KMS is eventually consistent: what is read so soon after a change may be what was before it.
const CONSISTENT_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// The id of what KMS said of a key when it was asked.
pub fn reading(arn: &str) -> EventId {
    EventId(format!("{READING}{arn}"))
}

/// Adds a word to those known, newest first; says whether anything is new. The same words in any order, any number of times, make the
/// same line.
pub fn learn<T: Dated>(line: &mut Vec<T>, word: &T) -> bool {
    let order = |word: &T| (word.at(), word.by().clone());
    let place = line.partition_point(|known| order(known) > order(word));
    let known = line.get(place).is_some_and(|known| order(known) == order(word));
    if known || place >= T::KEPT {
        return false;
    }
    line.insert(place, word.clone());
    line.truncate(T::KEPT);
    true
}

/// Whether KMS, asked at this time, may still answer with what held before the newest of these words.
pub fn may_be_stale<T: Dated>(line: &[T], read_at: Timestamp) -> bool {
    line.iter().find(|word| word.at() <= read_at).is_some_and(|word| word.may_be_missed(read_at))
}

/// The word that held before an event.
pub fn before<'l, T: Dated>(line: &'l [T], event: &Event) -> Option<&'l T> {
    // What was read at the time of an observation is what the observation says.
    let not_before = |known: &&T| {
        (known.at(), known.by()) >= (event.time, &event.id) || (known.is_reading() && known.at() == event.time)
    };
    let mut older = line.iter().skip_while(not_before);
    let newest = older.next()?;
    let told = older.next();
    // KMS may answer with what held a moment ago: what an event told shortly before a reading counts more.
    let stale = told.filter(|told| newest.is_reading() && told.may_be_missed(newest.at()));
    Some(stale.unwrap_or(newest))
}
