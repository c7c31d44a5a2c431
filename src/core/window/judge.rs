//! Which marks of a window are alerts: a function of the marks, whatever their order of arrival.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{Bounds, Mark, Part, WindowState};
use crate::core::event::EventId;
use crate::core::rule::window::Window;

/// For each mark, in their order, whether it is an alert at `now`; of those that were told already it need not say so.
pub(super) fn members(state: &WindowState, window: &Window, bounds: Bounds, now: Timestamp) -> Vec<bool> {
    match window {
        Window::Threshold { count, within, distinct } => burst(&state.marks, *count, *within, distinct.is_some()),
        Window::Sequence { after, within } => sequence(&state.marks, after.len(), *within),
        Window::Absent { within, .. } => state
            .marks
            .iter()
            .map(|mark| {
                mark.part == Part::Match
                    && !mark.told
                    && !followed(&state.marks, mark, *within)
                    && deadline(mark, *within, bounds).is_some_and(|deadline| deadline <= now)
            })
            .collect(),
        Window::NewValue { learn, .. } => {
            let learned = state.since.and_then(|since| since.checked_add(*learn).ok());
            state
                .marks
                .iter()
                .map(|mark| {
                    let seen = mark.value.as_ref().and_then(|value| state.values.get(value));
                    // For a little while from its first sight on a value is new: whichever of its events comes first.
                    seen.is_some_and(|seen| mark.at.duration_since(seen.from) <= bounds.grace && mark.at >= seen.from)
                        && learned.is_some_and(|learned| mark.at >= learned)
                })
                .collect()
        }
    }
}

/// When a mark's time runs out.
pub(super) fn next_due(state: &WindowState, window: &Window, bounds: Bounds) -> Option<Timestamp> {
    let Window::Absent { within, .. } = window else { return None };
    let open = |mark: &&Mark| mark.part == Part::Match && !mark.told && !followed(&state.marks, mark, *within);
    state.marks.iter().filter(open).filter_map(|mark| deadline(mark, *within, bounds)).min()
}

/// Every mark that lies in some stretch of `within` that holds `count` marks (or different values).
fn burst(marks: &[Mark], count: usize, within: SignedDuration, distinct: bool) -> Vec<bool> {
    let mut members = vec![false; marks.len()];
    let mut values: HashMap<&str, usize> = HashMap::new();
    let (mut first, mut counted, mut done) = (0, 0, 0);
    for (at, mark) in marks.iter().enumerate() {
        if distinct {
            if let Some(value) = &mark.value {
                *values.entry(value).or_default() += 1;
            }
        } else {
            counted += 1;
        }
        while let Some(oldest) = marks.get(first).filter(|oldest| mark.at.duration_since(oldest.at) > within) {
            match oldest.value.as_deref().filter(|_| distinct) {
                Some(value) => leave(&mut values, value),
                None if distinct => {}
                None => counted -= 1,
            }
            first += 1;
        }
        if if distinct { values.len() } else { counted } >= count {
            for member in members.iter_mut().take(at + 1).skip(first.max(done)) {
                *member = true;
            }
            done = at + 1;
        }
    }
    members
}

fn leave<'m>(values: &mut HashMap<&'m str, usize>, value: &'m str) {
    if let Some(left) = values.get_mut(value) {
        *left -= 1;
        if *left == 0 {
            values.remove(value);
        }
    }
}

/// Every match before which the steps came in their order, the first of them not longer ago than `within`, each by an event
/// of its own. Events of the same second count as coming in the order asked for.
fn sequence(marks: &[Mark], steps: usize, within: SignedDuration) -> Vec<bool> {
    let moments = moments(marks);
    let preceded = |mark: &Mark| {
        // From the last step to the first, each as late as it can be: that leaves the most room for those before it.
        let mut left = steps;
        let before = moments.iter().rev().skip_while(|moment| moment.at > mark.at);
        for moment in before.take_while(|moment| mark.at.duration_since(moment.at) <= within) {
            let mut taken = vec![None; moment.events.len()];
            while left > 0 && moment.place(left - 1, &mark.id, &mut taken, &mut vec![false; moment.events.len()]) {
                left -= 1;
            }
        }
        left == 0
    };
    marks.iter().map(|mark| mark.part == Part::Match && !mark.told && preceded(mark)).collect()
}

/// What happened at one time.
struct Moment<'m> {
    at: Timestamp,
    /// Each event with the steps that it may be, as bits.
    events: Vec<(&'m EventId, u32)>,
}

/// The events that may be steps, oldest first.
fn moments(marks: &[Mark]) -> Vec<Moment<'_>> {
    let mut moments: Vec<Moment<'_>> = Vec::new();
    for mark in marks {
        let Part::Step(step) = mark.part else { continue };
        let bit = 1_u32.checked_shl(u32::from(step)).unwrap_or(0);
        let moment = match moments.last_mut() {
            Some(last) if last.at == mark.at => last,
            _ => {
                moments.push(Moment { at: mark.at, events: Vec::new() });
                let Some(new) = moments.last_mut() else { continue };
                new
            }
        };
        match moment.events.last_mut() {
            Some((id, may)) if **id == mark.id => *may |= bit,
            _ => moment.events.push((&mark.id, bit)),
        }
    }
    moments
}

impl Moment<'_> {
    /// Finds an event for a step, and other events for the steps that have to make room for it: several events of one
    /// second may each be several of the steps. `taken` has the step that each event is.
    fn place(&self, step: usize, but: &EventId, taken: &mut [Option<usize>], tried: &mut [bool]) -> bool {
        let fits = |(_, (id, may)): &(usize, &(&EventId, u32))| may >> step & 1 == 1 && *id != but;
        for (at, _) in self.events.iter().enumerate().filter(fits) {
            if tried.get_mut(at).is_none_or(|tried| std::mem::replace(tried, true)) {
                continue;
            }
            let other = taken.get(at).copied().flatten();
            if other.is_none_or(|other| self.place(other, but, taken, tried))
                && let Some(place) = taken.get_mut(at)
            {
                *place = Some(step);
                return true;
            }
        }
        false
    }
}

/// Whether what is expected came in time.
fn followed(marks: &[Mark], mark: &Mark, within: SignedDuration) -> bool {
    marks.iter().any(|one| {
        one.part != Part::Match && one.id != mark.id && one.at >= mark.at && one.at.duration_since(mark.at) <= within
    })
}

fn deadline(mark: &Mark, within: SignedDuration, bounds: Bounds) -> Option<Timestamp> {
    let due = mark.at.checked_add(within.saturating_add(bounds.grace)).ok()?;
    // What was read late may be followed by what was late, too.
    let read = mark.seen.and_then(|seen| seen.checked_add(bounds.grace).ok());
    Some(read.map_or(due, |read| due.max(read)))
}
