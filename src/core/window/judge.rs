//! Which marks of a window are alerts: a function of the marks, whatever their order of arrival.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{Bounds, Mark, Part, WindowState};
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

/// Every match before which the steps came in their order, the first of them not longer ago than `within`. Events of the
/// same second count as coming in the order asked for.
fn sequence(marks: &[Mark], steps: usize, within: SignedDuration) -> Vec<bool> {
    marks
        .iter()
        .map(|mark| {
            if mark.part != Part::Match || mark.told {
                return false;
            }
            // From the last step to the first, the latest event that fits leaves the most room for those before it.
            let mut used = vec![&mark.id];
            let mut before = mark.at;
            for step in (0..steps).rev() {
                let fits = |one: &&Mark| {
                    one.part == Part::Step(u8::try_from(step).unwrap_or(u8::MAX))
                        && one.at <= before
                        && !used.contains(&&one.id)
                };
                let Some(found) = marks.iter().rev().find(fits) else { return false };
                used.push(&found.id);
                before = found.at;
            }
            mark.at.duration_since(before) <= within
        })
        .collect()
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
