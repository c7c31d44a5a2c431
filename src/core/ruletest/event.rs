//! From what a test says of an event to the event as it would arrive.

mod controls;
mod names;
pub mod samples;
mod shape;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::base::diagnostic::{Level, Problem};
use crate::core::access::Histories;
use crate::core::decide::Policy;
use crate::core::event::Event;
use crate::core::pattern::{Node, NodeKind};
use crate::core::pipeline;

pub use controls::CONTROLS;
use controls::Controls;
pub(super) use controls::KeyLookup;

/// So many events one test plays at most.
pub(super) const EVENTS_MAX: u64 = 10_000;

/// One event of a test, ready to be played; or why it is none.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) event: Result<Event, String>,
    pub(super) arrives: Timestamp,
    pub(super) lookup: Option<KeyLookup>,
}

/// What is wrong with a partial event. Answers how many events it plays.
pub(super) fn check(partial: &Node, problems: &mut Vec<Problem>) -> u64 {
    let NodeKind::Table(members) = &partial.kind else {
        problems.push(
            Problem::error(partial.span.clone(), "an event is a table")
                .hint("write event = { detail.eventName = \"DisableKey\" }"),
        );
        return 0;
    };
    let before = problems.len();
    let controls = Controls::read(members, problems);
    names::check(members, problems);
    // Values of a wrong kind show when they are laid over a whole event.
    if !problems.iter().skip(before).any(|problem| problem.level == Level::Error)
        && let Err(fault) = shape::event(&shape::members(members), &controls, Timestamp::UNIX_EPOCH, 1, &mut |_| {})
    {
        let named = members.iter().find(|(name, _)| Some(name.text.as_str()) == fault.member);
        let place = named.map_or_else(|| partial.span.clone(), |(name, _)| name.span.clone());
        problems.push(Problem::error(place, fault.message).hint(fault.hint));
    }
    controls.repeat.saturating_mul(1 + u64::from(controls.duplicate))
}

/// All events that the partial events of a test mean, in the order in which they arrive.
pub(super) fn played<'n>(
    partials: impl IntoIterator<Item = &'n Node>,
    start: Timestamp,
    policy: &Policy,
) -> Vec<Played> {
    let mut histories = Histories::default();
    let mut all = Vec::new();
    let mut at = SignedDuration::ZERO;
    let mut number = 0;
    for partial in partials {
        let NodeKind::Table(written) = &partial.kind else { continue };
        let controls = Controls::read(written, &mut Vec::new());
        let members: serde_json::Map<String, Value> = shape::members(written);
        at = controls.at.unwrap_or(at);
        for round in 0..controls.repeat.min(EVENTS_MAX) {
            if round > 0 {
                at = at.saturating_add(controls.every);
            }
            number += 1;
            let time = start.checked_add(at).unwrap_or(start);
            for _ in 0..=u8::from(controls.duplicate) {
                let event = shape::event(&members, &controls, time, number, &mut |event| {
                    histories.assess(event, &policy.trust);
                    pipeline::assess(event, &policy.ours);
                });
                let event = event.map_err(|fault| fault.message);
                let arrives = time.checked_add(controls.late).unwrap_or(time);
                all.push(Played { event, arrives, lookup: controls.lookup.clone() });
            }
        }
    }
    all.sort_by_key(|one| one.arrives);
    all
}
