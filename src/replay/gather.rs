//! Reads every file, on all cores, and keeps the few events that a rule may concern.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::matches::{Match, Matches};
use super::stage;
use super::verdict::Verdicts;
use super::{Progress, Replay};
use crate::archive::{Found, Input, Piece, Reader, VALUE_BYTES_MAX, Walk, What};
use crate::core::access;
use crate::core::decide::Policy;
use crate::core::decode::{Glance, Reason, Undecodable, decode_file};
use crate::core::enrich::Lookup;
use crate::core::event::Event;
use crate::core::peek::Peek;
use crate::core::pipeline;

/// Bad files, and bad parts of files, that are named one by one; the rest is counted.
const NAMED_MAX: usize = 100;
/// Of one file.
const NAMED_OF_FILE: usize = 3;
/// A value is taken apart only if it has no more members and items than this: each costs memory many times its text.
const MEMBERS_MAX: usize = 400_000;
/// Shorter values may have as many as they like.
const SMALL_BYTES: usize = 4 * 1024 * 1024;

/// Something that was passed over, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bad {
    pub file: String,
    /// The number of the part in the file; `None` for the whole file.
    pub part: Option<u64>,
    pub why: String,
}

/// What was read, and what was not.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// Files read from beginning to end.
    pub files: u64,
    pub events: u64,
    /// Events outside of the asked time.
    pub outside: u64,
    /// Parts of files that are no event and should be one.
    pub undecodable: u64,
    /// The first of them, sorted.
    pub bad_parts: Vec<Bad>,
    /// Files that could not be read or are damaged.
    pub failed: u64,
    /// The first of them, sorted.
    pub bad_files: Vec<Bad>,
    /// Digest files of CloudTrail.
    pub digests: u64,
    /// Files in folders that hold JSON, but no events.
    pub foreign: u64,
    /// Some of them.
    pub foreign_files: Vec<Bad>,
    /// Files in folders that have another name than archives have.
    pub others: u64,
    /// Files without anything in them.
    pub empty: u64,
    /// Time of the first and the last event.
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
}

impl Read {
    /// Nothing of what was asked for is missing.
    pub fn is_whole(&self) -> bool {
        self.failed == 0 && self.undecodable == 0 && self.files > 0
    }

    fn see(&mut self, time: Timestamp) {
        self.oldest = Some(self.oldest.map_or(time, |known| known.min(time)));
        self.newest = Some(self.newest.map_or(time, |known| known.max(time)));
    }
}

/// Keeps the smallest, so that the same ones are named in whatever order they come.
fn keep(list: &mut Vec<Bad>, bad: Bad) {
    let at = list.partition_point(|known| *known < bad);
    list.insert(at, bad);
    list.truncate(NAMED_MAX);
}

pub(super) struct Gathering<'r> {
    replay: &'r Replay<'r>,
    progress: &'r Progress,
    policies: Vec<&'r Policy>,
    lookup: Lookup,
    walk: Mutex<Walk>,
    numbers: AtomicU32,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    read: Read,
    matches: Matches,
    /// The first failure to write; everybody stops.
    error: Option<io::Error>,
}

/// What one file had, until it is known to be whole.
#[derive(Default)]
struct OfFile {
    number: u32,
    pieces: u64,
    listed: bool,
    events: u64,
    /// Of these, how many whoever watches knows of.
    reported: u64,
    outside: u64,
    undecodable: u64,
    bad: Vec<Bad>,
    /// Bad parts that are well-formed and simply something else.
    foreign: u64,
    digest: bool,
    times: Read,
    matches: Vec<Match>,
    bytes: usize,
}

/// Pieces of one file between two reports of progress.
const REPORT_EVERY: u64 = 4096;
/// Text of matches that a reader holds before it hands them over.
const HAND_OVER_BYTES: usize = 512 * 1024;

impl<'r> Gathering<'r> {
    pub(super) fn new(replay: &'r Replay<'r>, progress: &'r Progress) -> Self {
        let policies: Vec<&Policy> = std::iter::once(replay.policy).chain(replay.against).collect();
        Self {
            lookup: stage::lookup(replay.lookups),
            walk: Mutex::new(Walk::new(replay.paths)),
            numbers: AtomicU32::new(0),
            shared: Mutex::default(),
            policies,
            replay,
            progress,
        }
    }

    pub(super) fn run(self) -> io::Result<(Read, Matches)> {
        let threads = self.replay.threads.max(1);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| self.work(threads));
            }
            self.work(threads);
        });
        let shared = self.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        match shared.error {
            Some(error) => Err(error),
            None => Ok((shared.read, shared.matches)),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Found> {
        self.walk.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    fn work(&self, threads: usize) {
        let (mut reader, mut verdicts) = (Reader::new(threads), Verdicts::default());
        while let Some(found) = self.next() {
            let input = match found {
                Found::File(input) => input,
                Found::Digest(_) => {
                    self.shared().read.digests += 1;
                    continue;
                }
                Found::Other(_) => {
                    self.shared().read.others += 1;
                    continue;
                }
                Found::Unreadable(path, why) => {
                    let mut shared = self.shared();
                    shared.read.failed += 1;
                    let bad =
                        Bad { file: path.display().to_string(), part: None, why: format!("cannot be read: {why}") };
                    keep(&mut shared.read.bad_files, bad);
                    continue;
                }
            };
            let mut file = OfFile { number: self.numbers.fetch_add(1, Ordering::Relaxed), ..OfFile::default() };
            let result =
                reader.read(&input, self.progress, &mut |piece| self.piece(&input, piece, &mut file, &mut verdicts));
            self.progress.files.fetch_add(1, Ordering::Relaxed);
            self.progress.events.fetch_add(file.events - file.reported, Ordering::Relaxed);
            self.hand_over(&mut file);
            let mut shared = self.shared();
            match result {
                Ok(()) => shared.read.whole(&input, file),
                Err(fault) => {
                    shared.matches.drop_file(file.number);
                    shared.read.failed += 1;
                    keep(&mut shared.read.bad_files, Bad { file: input.name(), part: None, why: fault.to_string() });
                }
            }
            if shared.error.is_some() {
                return;
            }
        }
    }

    fn hand_over(&self, file: &mut OfFile) {
        if file.matches.is_empty() {
            return;
        }
        file.bytes = 0;
        let mut shared = self.shared();
        for one in file.matches.drain(..) {
            if let Err(error) = shared.matches.push(one) {
                shared.error.get_or_insert(error);
                return;
            }
        }
    }

    fn piece(&self, input: &Input, piece: Piece<'_>, file: &mut OfFile, verdicts: &mut Verdicts) {
        file.pieces += 1;
        file.listed |= piece.listed;
        if file.pieces.is_multiple_of(REPORT_EVERY) {
            self.progress.events.fetch_add(file.events - file.reported, Ordering::Relaxed);
            file.reported = file.events;
        }
        match piece.what {
            What::Value { event: Some(glance), bytes } if !self.concerned(&glance, bytes, verdicts) => {
                if self.asked(glance.time) {
                    file.events += 1;
                    file.times.see(glance.time);
                } else {
                    file.outside += 1;
                }
            }
            What::Value { bytes, event } => self.value(input, piece.number, bytes, event.is_some(), file),
            What::Broken(why) => file.bad(input, piece.number, why),
            What::TooLong => file.bad(input, piece.number, format!("longer than {VALUE_BYTES_MAX} bytes")),
        }
    }

    /// False only if the event means nothing to any rule, nor to what is known of key policies and rotation periods.
    fn concerned(&self, glance: &Glance<'_>, text: &[u8], verdicts: &mut Verdicts) -> bool {
        let teaches = || glance.peek().is_none_or(|peek| access::teaches(&peek));
        let concerns =
            |peek: &Peek<'_>| access::teaches(peek) || self.policies.iter().any(|policy| policy.concerned(peek));
        verdicts.of(glance, concerns)
            && (teaches() || self.policies.iter().any(|policy| policy.concerned_closely(glance, text)))
    }

    fn asked(&self, time: Timestamp) -> bool {
        self.replay.from.is_none_or(|from| from <= time) && self.replay.to.is_none_or(|to| time < to)
    }

    /// Decodes in full. `plain`: it is one event without a wrapper.
    fn value(&self, input: &Input, number: u64, bytes: &[u8], plain: bool, file: &mut OfFile) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return file.bad(input, number, "it is not UTF-8".to_owned());
        };
        if bytes.len() > SMALL_BYTES {
            let members = bytes.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
            if members > MEMBERS_MAX {
                return file.bad(input, number, format!("{} bytes with too many members", bytes.len()));
            }
        }
        let decoded = decode_file(text);
        for rejected in decoded.rejected {
            file.reject(input, number, &rejected);
        }
        let alone = plain || decoded.events.len() == 1;
        for event in decoded.events {
            if !self.asked(event.time) {
                file.outside += 1;
                continue;
            }
            file.events += 1;
            file.times.see(event.time);
            if !self.matters(&event) {
                continue;
            }
            // Of several in one wrapper each is kept by itself, as the envelope that rules see.
            let text: Box<str> = if alone { text.into() } else { event.document.to_string().into() };
            file.bytes += text.len();
            file.matches.push(Match { time: event.time, id: event.id, text, file: file.number });
        }
        if file.bytes > HAND_OVER_BYTES {
            self.hand_over(file);
        }
    }

    /// Whether any rule has anything to do with the event, or may have in the light of earlier ones.
    fn matters(&self, event: &Event) -> bool {
        let compares = access::lesson(event).is_some() || access::wants(event).is_some();
        compares
            || self.policies.iter().filter(|policy| policy.concern(event)).any(|policy| {
                let mut event = event.clone();
                access::assess(&mut event, &policy.trust, None);
                pipeline::assess(&mut event, &policy.ours);
                !stage::evaluate(policy, &self.lookup, event).1.is_idle()
            })
    }
}

impl OfFile {
    fn bad(&mut self, input: &Input, part: u64, why: String) {
        self.undecodable += 1;
        if self.bad.len() < NAMED_OF_FILE {
            self.bad.push(Bad { file: input.name(), part: Some(part), why });
        }
    }

    fn reject(&mut self, input: &Input, part: u64, rejected: &Undecodable) {
        // Everything else is an event that we failed to read.
        self.foreign += u64::from(matches!(
            rejected.reason,
            Reason::UnknownShape
                | Reason::S3Notification
                | Reason::S3TestEvent
                | Reason::CloudTrailDelivery
                | Reason::CloudTrailDigest
                | Reason::CloudWatchLogs
                | Reason::CloudWatchAlarm
                | Reason::SecurityLake
        ));
        self.digest |= rejected.reason == Reason::CloudTrailDigest;
        // "body: …" is the decoder's name for what it was given.
        let why = rejected.detail.strip_prefix("body: ").unwrap_or(&rejected.detail);
        self.bad(input, part, why.to_owned());
    }
}

impl Read {
    /// Takes what a file had that was read to its end.
    fn whole(&mut self, input: &Input, file: OfFile) {
        let nothing = file.events == 0 && file.outside == 0;
        if nothing && file.digest && file.undecodable == 1 {
            self.digests += 1;
            return;
        }
        // A folder may hold all sorts of JSON. A file that somebody names is to be an archive.
        if nothing && !input.named && !file.listed && file.undecodable > 0 && file.foreign == file.undecodable {
            self.foreign += 1;
            file.bad.into_iter().take(1).for_each(|bad| keep(&mut self.foreign_files, Bad { part: None, ..bad }));
            return;
        }
        self.files += 1;
        self.empty += u64::from(file.pieces == 0);
        self.events += file.events;
        self.outside += file.outside;
        self.undecodable += file.undecodable;
        file.bad.into_iter().for_each(|bad| keep(&mut self.bad_parts, bad));
        for time in [file.times.oldest, file.times.newest].into_iter().flatten() {
            self.see(time);
        }
    }
}
