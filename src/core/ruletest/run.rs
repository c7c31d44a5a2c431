//! Plays a test's events and compares what came of them with what was expected.

mod judge;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_spanned::Spanned;

use super::event::{self, Played};
use super::spec::TestSpec;
use crate::core::decide::{Decision, LookedUp, Policy, Prepared, What, evaluate};
use crate::core::enrich::{KeyDetails, Lookup, enrich};
use crate::core::event::Event;
use crate::core::incident::Incident;
use crate::core::notification::Notification;
use crate::core::route::{self, KeyLabels, RouteSpec};
use crate::core::rule::template::UNPRINTED;
use crate::core::rule::{Rule, RuleSet};
use crate::core::world::World;

/// How a test ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Result {
    /// Empty: it passed.
    pub failures: Vec<Failure>,
}

/// One expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which one: `alert`, `severity`, ….
    pub what: &'static str,
    pub expected: String,
    pub got: String,
    /// Why, line by line; empty where there is nothing more to say.
    pub why: Vec<String>,
}

/// Everything that came of a test's events.
#[derive(Debug, Default)]
struct Outcome {
    /// Events that could not be made, and why.
    broken: Vec<String>,
    /// Events in order of arrival, with the remarks of their lookups.
    events: Vec<(Event, Vec<String>)>,
    alerts: u64,
    /// Incidents in which the rule has part, by id, as they stand at the end.
    incidents: BTreeMap<String, Incident>,
    told: Vec<Notification>,
    /// A text of the rule did not print on an alert, and the plain text stood in for it.
    unprinted: bool,
    /// Why nobody was told of something.
    not_told: BTreeSet<&'static str>,
}

/// Runs one test of `rule`. `with` are the rules it names besides; `base` says everything else that decides, such as
/// the engine's times; its rules, routes and sinks are not used.
pub fn run(test: &TestSpec, rule: &Arc<Rule>, with: &[Arc<Rule>], base: &Policy) -> Result {
    let outcome = play(test, rule, with, base);
    Result { failures: judge::judge(test.expect.get_ref(), rule, &outcome) }
}

/// When every test starts: a Monday morning.
fn start() -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_secs(1_793_610_000)).unwrap_or_default()
}

fn play(test: &TestSpec, rule: &Arc<Rule>, with: &[Arc<Rule>], base: &Policy) -> Outcome {
    let policy = policy(rule, with, base);
    let mut world = World::default();
    let mut outcome = Outcome::default();
    let partials = test.event.iter().chain(&test.events).map(|partial| &partial.0);
    let mut now = start();
    for Played { event, arrives, lookup } in event::played(partials, start(), &policy) {
        now = now.max(arrives);
        world.pass(&policy, now, |decision| outcome.take(decision, rule));
        match event {
            Ok(event) => {
                let prepared = prepare(event, lookup.as_ref(), &base.labels, &policy, &mut now);
                let evaluation = evaluate(&policy, &prepared, now);
                outcome.events.push((prepared.event, prepared.marks));
                outcome.take(world.decide(&policy, &[evaluation], now), rule);
            }
            Err(why) => outcome.broken.push(why),
        }
    }
    let after = test.after.as_ref().map_or(SignedDuration::ZERO, |after| after.get_ref().signed());
    let end = now.checked_add(after).unwrap_or(now);
    world.pass(&policy, end, |decision| outcome.take(decision, rule));
    outcome
}

/// The rules of the test alone, and one sink that hears of everything.
fn policy(rule: &Arc<Rule>, with: &[Arc<Rule>], base: &Policy) -> Policy {
    let everything = RouteSpec { matches: None, sinks: vec![Spanned::new(0..0, SINK.to_owned())], stop: false };
    Policy {
        rules: RuleSet::new(std::iter::once(rule).chain(with).cloned().collect()),
        routes: everything.compile().into_iter().collect(),
        sinks: vec![SINK.to_owned()],
        ..base.without_rules()
    }
}

const SINK: &str = "test";

/// Fills the event as a lookup would, and says what KMS answered.
fn prepare(
    mut event: Event,
    lookup: Option<&event::KeyLookup>,
    labels: &[KeyLabels],
    policy: &Policy,
    now: &mut Timestamp,
) -> Prepared {
    let said = event.key.as_ref().map(|key| key.labels.clone()).unwrap_or_default();
    let of_configuration = |document: &Value| {
        let mut all = route::labels(labels, document);
        all.extend(said.clone());
        all
    };
    let (answer, looked_up) = match lookup {
        None => (None, None),
        Some(event::KeyLookup::Failed(why)) => {
            let answer = match why.as_str() {
                "denied" => Lookup::Denied,
                "timed out" => Lookup::TimedOut,
                _ => Lookup::Failed("it failed".to_owned()),
            };
            (Some(answer), None)
        }
        Some(event::KeyLookup::State(state)) => {
            // Asked well after the event, as for one that comes late.
            let settled = event.time.checked_add(policy.engine.settle).unwrap_or(event.time);
            let read_at = settled.checked_add(SignedDuration::from_secs(1)).unwrap_or(settled).max(*now);
            *now = read_at;
            let details = KeyDetails { state: Some(state.clone()), read_at, ..KeyDetails::default() };
            (Some(Lookup::Known(Box::new(details))), Some(LookedUp { state: state.clone(), read_at }))
        }
    };
    let marks = enrich(&mut event, answer.as_ref(), None, of_configuration);
    Prepared { event, marks, looked_up }
}

impl Outcome {
    /// Keeps what a decision says of the rule under test.
    fn take(&mut self, decision: Decision, rule: &Rule) {
        self.alerts += decision.alerts.iter().filter(|alert| alert.rule == rule.id).count() as u64;
        for incident in decision.situations.into_iter().filter_map(|situation| situation.incident) {
            self.unprinted |= incident.voice.rule == rule.id && incident.marks.contains(UNPRINTED);
            if incident.rules.contains(&rule.id) {
                self.incidents.insert(incident.id.clone(), incident);
            }
        }
        for entry in &decision.history {
            if let What::NotTold { reason, .. } = &entry.what {
                self.not_told.insert(reason.as_str());
            }
        }
        self.told.extend(decision.deliveries.into_iter().map(|delivery| delivery.notification));
    }
}
