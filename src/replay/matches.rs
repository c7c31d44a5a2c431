//! Events that a rule may concern, from every file, put in the order of their time in bounded memory.
//!
//! They are held as the text they came as. When they are more than memory may hold, they are sorted and written to a file
//! that has no name (so nothing is left behind, however the process ends); in the end these sorted runs are merged.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::core::decode::decode_file;
use crate::core::event::{Event, EventId};

/// Bytes held in memory before they go to disk.
const HELD_BYTES: usize = 16 * 1024 * 1024;
/// What all runs together read ahead, and what one of them reads at least.
const AHEAD_BYTES: usize = 8 * 1024 * 1024;
const AHEAD_BYTES_MIN: usize = 4 * 1024;

/// One event, ordered by time, then identity, then text: the same whatever file it came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    pub(super) time: Timestamp,
    pub(super) id: EventId,
    /// A record, an envelope, or a wrapper around one event.
    pub(super) text: Box<str>,
    /// The number of its file.
    pub(super) file: u32,
}

impl Match {
    /// The event itself, with the identity it had when it was read.
    pub(super) fn event(&self) -> Option<Event> {
        let mut event = decode_file(&self.text).events.into_iter().next()?;
        event.id = self.id.clone();
        Some(event)
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.id.0.len()
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for part in [self.id.0.as_bytes(), self.text.as_bytes()] {
            let length = u32::try_from(part.len()).map_err(io::Error::other)?;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(part)?;
        }
        out.write_all(&self.time.as_second().to_le_bytes())?;
        out.write_all(&self.time.subsec_nanosecond().to_le_bytes())?;
        out.write_all(&self.file.to_le_bytes())
    }

    fn read(from: &mut impl Read) -> io::Result<Self> {
        fn number<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
            let mut bytes = [0; N];
            from.read_exact(&mut bytes)?;
            Ok(bytes)
        }
        fn text(from: &mut impl Read) -> io::Result<String> {
            let mut bytes = vec![0; u32::from_le_bytes(number(from)?) as usize];
            from.read_exact(&mut bytes)?;
            String::from_utf8(bytes).map_err(io::Error::other)
        }
        let (id, text) = (EventId(text(from)?), text(from)?.into_boxed_str());
        let (second, nanosecond) = (i64::from_le_bytes(number(from)?), i32::from_le_bytes(number(from)?));
        let time = Timestamp::new(second, nanosecond).map_err(io::Error::other)?;
        Ok(Self { time, id, text, file: u32::from_le_bytes(number(from)?) })
    }
}

pub(super) struct Matches {
    held: Vec<Match>,
    bytes: usize,
    bound: usize,
    spill: Option<Spill>,
    /// Files that turned out to be damaged after some of their events were taken.
    dropped: BTreeSet<u32>,
}

struct Spill {
    file: File,
    /// Where each sorted run ends.
    ends: Vec<u64>,
}

impl Default for Matches {
    fn default() -> Self {
        Self::bounded(HELD_BYTES)
    }
}

impl Matches {
    pub(super) fn bounded(bound: usize) -> Self {
        Self { held: Vec::new(), bytes: 0, bound, spill: None, dropped: BTreeSet::new() }
    }

    pub(super) fn push(&mut self, one: Match) -> io::Result<()> {
        self.bytes += one.weight();
        self.held.push(one);
        if self.bytes > self.bound { self.write_run() } else { Ok(()) }
    }

    /// Nothing of this file counts.
    pub(super) fn drop_file(&mut self, file: u32) {
        self.dropped.insert(file);
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.held.sort_unstable();
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert(Spill { file: tempfile::tempfile()?, ends: Vec::new() }),
        };
        let mut out = BufWriter::with_capacity(256 * 1024, &mut spill.file);
        for one in self.held.drain(..) {
            one.write(&mut out)?;
        }
        out.flush()?;
        drop(out);
        spill.ends.push(spill.file.stream_position()?);
        self.bytes = 0;
        Ok(())
    }

    /// Everything, oldest first.
    pub(super) fn sorted(mut self) -> io::Result<Sorted> {
        if self.spill.is_some() && !self.held.is_empty() {
            self.write_run()?;
        }
        self.held.sort_unstable();
        let Some(Spill { file, ends }) = self.spill else {
            return Ok(Sorted {
                held: self.held.into_iter(),
                runs: vec![],
                next: BinaryHeap::new(),
                dropped: self.dropped,
            });
        };
        let ahead = (AHEAD_BYTES / ends.len().max(1)).clamp(AHEAD_BYTES_MIN, 64 * 1024);
        let file = Arc::new(file);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let run = |(start, end)| BufReader::with_capacity(ahead, Part { file: Arc::clone(&file), at: start, end });
        let runs = starts.zip(ends.iter().copied()).map(run).collect();
        let mut sorted = Sorted { held: vec![].into_iter(), runs, next: BinaryHeap::new(), dropped: self.dropped };
        for number in 0..sorted.runs.len() {
            sorted.advance(number)?;
        }
        Ok(sorted)
    }
}

/// A run's part of the file.
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = room.len().min(left);
        let read = self.file.read_at(room.get_mut(..wanted).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Merges the runs.
pub(super) struct Sorted {
    held: std::vec::IntoIter<Match>,
    runs: Vec<BufReader<Part>>,
    /// The first of each run.
    next: BinaryHeap<Reverse<(Match, usize)>>,
    dropped: BTreeSet<u32>,
}

impl Sorted {
    fn advance(&mut self, number: usize) -> io::Result<()> {
        let Some(run) = self.runs.get_mut(number) else { return Ok(()) };
        if !run.fill_buf()?.is_empty() {
            let one = Match::read(run)?;
            self.next.push(Reverse((one, number)));
        }
        Ok(())
    }

    fn any(&mut self) -> Option<io::Result<Match>> {
        if let Some(one) = self.held.next() {
            return Some(Ok(one));
        }
        let Reverse((one, number)) = self.next.pop()?;
        Some(self.advance(number).map(|()| one))
    }
}

impl Iterator for Sorted {
    type Item = io::Result<Match>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.any()? {
                Ok(one) if self.dropped.contains(&one.file) => {}
                other => return Some(other),
            }
        }
    }
}
