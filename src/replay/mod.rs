//! Recorded events through the very engine that runs live.
//!
//! Archives are read on all cores ([`gather`]); what no rule can concern ends there. What is left, a small part, is put in the
//! order of event time ([`matches`](self::matches), bounded: beyond a few MiB it is sorted through a nameless file on disk), and
//! [`stage`] decides it event by event with `now` = the event's time, letting time pass in between. So the answer depends
//! neither on the order of the files nor on the number of cores.

mod compare;
mod gather;
mod line;
mod matches;
mod stage;
mod tally;
#[cfg(test)]
mod tests;
mod verdict;

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

pub use compare::Changes;
pub use gather::{Bad, Read};
pub use line::{AlertLine, Change, ChangeLine, Line, NotificationLine, SummaryLine};
pub use tally::{Noise, OfRule, Tally, Told, Worst};

pub use crate::archive::Progress;

use crate::core::decide::Policy;
use crate::core::event::Event;
use compare::Comparison;
use gather::Gathering;
use stage::Stage;

/// What to replay, and over which rules.
pub struct Replay<'p> {
    pub paths: &'p [PathBuf],
    pub policy: &'p Policy,
    /// Rules to compare with.
    pub against: Option<&'p Policy>,
    /// The daemon would look keys up. A replay asks nobody, so what only a lookup knows counts as unknown.
    pub lookups: bool,
    /// Events from this time on.
    pub from: Option<Timestamp>,
    /// Events before this time.
    pub to: Option<Timestamp>,
    pub threads: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub read: Read,
    pub tally: Tally,
    pub changes: Option<Changes>,
}

impl Replay<'_> {
    /// Reads, decides, and says each alert and notification as it comes, in the order of time.
    ///
    /// # Errors
    /// The disk does not take what has to be sorted, or more is open at once than memory may hold.
    pub fn run(&self, progress: &Progress, say: &mut dyn FnMut(&Line)) -> io::Result<Outcome> {
        let (read, matches) = Gathering::new(self, progress).run()?;
        let mut played = Played {
            tally: Tally::default(),
            stage: Stage::new(self.policy, self.lookups),
            other: self.against.map(|policy| (Stage::new(policy, self.lookups), Comparison::default())),
        };
        for one in matches.sorted()? {
            // It was decoded before.
            let Some(event) = one?.event() else { continue };
            played.step(event.time, Some(event), say)?;
        }
        // Time stops where the archive does.
        if let Some(end) = read.newest {
            played.step(end, None, say)?;
        }
        let Played { mut tally, stage, other } = played;
        tally.finish(&stage);
        Ok(Outcome { read, tally, changes: other.map(|(_, comparison)| comparison.changes) })
    }
}

struct Played<'p> {
    tally: Tally,
    stage: Stage<'p>,
    other: Option<(Stage<'p>, Comparison)>,
}

impl Played<'_> {
    /// Time passes up to `time`, and then an event may happen.
    fn step(&mut self, time: Timestamp, event: Option<Event>, say: &mut dyn FnMut(&Line)) -> io::Result<()> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let compares = self.other.is_some();
        let tally = &mut self.tally;
        let mut hear = |line: Line| {
            tally.add(&line);
            say(&line);
            if let Line::Alert(alert) = line
                && compares
            {
                ours.push(alert);
            }
        };
        self.stage.pass(time, &mut hear)?;
        if let Some(event) = &event {
            self.stage.event(event.clone(), &mut hear)?;
        }
        if let Some((stage, comparison)) = &mut self.other {
            let mut hear = |line: Line| {
                if let Line::Alert(alert) = line {
                    theirs.push(alert);
                }
            };
            stage.pass(time, &mut hear)?;
            if let Some(event) = event {
                stage.event(event, &mut hear)?;
            }
            comparison.step(ours, theirs, say);
        }
        Ok(())
    }
}
