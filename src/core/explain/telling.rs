//! What an event does to incidents, and who would be told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{Wanted, words};
use crate::core::decide::{Decision, Evaluation, Policy};
use crate::core::incident::{Fingerprint, Incident, Situation, State};
use crate::core::pattern::verdict::Field;
use crate::core::route::{Subject, Taken};
use crate::core::rule::{Rule, Severity};
use crate::core::silence::Holds;
use crate::core::world::World;

/// One incident that an event touches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentStory {
    /// None where nothing is open and only the end of a danger is remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub family: String,
    pub state: State,
    pub severity: Severity,
    /// What happens to it and who is told, or why nobody is.
    pub lines: Vec<String>,
    /// The routes as they stand; empty where no configuration was read.
    pub routes: Vec<RouteStory>,
}

/// One route and one incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteStory {
    /// Counts from 1.
    pub number: usize,
    pub sinks: Vec<String>,
    pub taken: bool,
    /// Why, in words, where the fields do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub fields: Vec<Field>,
}

/// What came of one event.
pub(super) struct Came {
    pub(super) duplicate: bool,
    /// By rule: those in which it plays a part.
    pub(super) rules: BTreeMap<String, Part>,
    pub(super) incidents: Vec<IncidentStory>,
}

/// What an event is to one rule.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) alert: bool,
    /// The alert's severity.
    pub(super) severity: Option<Severity>,
    /// How far the rule's window is, in words.
    pub(super) window: Option<String>,
}

/// Decides the event after what came before it.
pub(super) fn decide(
    policy: &Policy,
    world: &mut World,
    evaluation: &Evaluation,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Came {
    world.pass(policy, now, |_| {});
    let decision = world.decide(policy, std::slice::from_ref(evaluation), now);
    let touched = decision.situations.iter().filter(|s| wanted.rule.is_none_or(|rule| has_part(s, rule)));
    let touched: Vec<&Incident> = touched.filter_map(|situation| situation.incident.as_ref()).collect();
    let stories = touched.into_iter().map(|incident| story(policy, &decision, incident, wanted.sinks_known));
    let mut incidents: Vec<IncidentStory> = stories.collect();
    incidents.extend(markers(&decision, evaluation, wanted.rule));
    Came { duplicate: decision.duplicates > 0, rules: parts(world, &decision, evaluation), incidents }
}

fn has_part(situation: &Situation, rule: &str) -> bool {
    situation.conditions.contains_key(rule)
}

/// Rules that the event matches, or whose window it is a step of.
fn parts(world: &World, decision: &Decision, evaluation: &Evaluation) -> BTreeMap<String, Part> {
    let alert = |rule: &str| decision.alerts.iter().find(|alert| alert.rule == rule && alert.event == evaluation.event);
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    for candidate in &evaluation.alerts {
        let part = parts.entry(candidate.rule.id.clone()).or_default();
        let told = alert(&candidate.rule.id);
        let waits = candidate.rule.window.is_some() || candidate.rule.countdown.is_some();
        part.alert = !waits || told.is_some();
        part.severity = Some(told.map_or(candidate.severity, |told| told.severity));
        part.window = window(world, &candidate.rule, &candidate.fingerprint);
    }
    for step in &evaluation.steps {
        let part = parts.entry(step.rule.id.clone()).or_default();
        part.window = window(world, &step.rule, &step.fingerprint);
    }
    parts
}

fn window(world: &World, rule: &Rule, fingerprint: &Fingerprint) -> Option<String> {
    if rule.countdown.is_some() {
        let countdown = world
            .situation(fingerprint)
            .and_then(|situation| situation.countdowns.get(situation.nearest(&rule.id, Timestamp::MIN)?));
        return Some(match countdown.and_then(|countdown| Some((countdown.date, countdown.due?))) {
            Some((date, due)) => format!("The rule counts down to {date}. The next mark passes at {due}."),
            None => "The rule counts down to a date, and there is no mark before it left to pass.".to_owned(),
        });
    }
    let window = rule.window.as_ref()?;
    let state = world.situation(fingerprint).and_then(|situation| situation.windows.get(&rule.id));
    let so_far = state.map_or_else(|| format!("it asks for {}", window.in_words()), |state| state.in_words(window));
    Some(format!("The rule looks at several events together. So far: {so_far}."))
}

fn story(policy: &Policy, decision: &Decision, incident: &Incident, sinks_known: bool) -> IncidentStory {
    let entries = decision.history.iter().filter(|entry| entry.incident == incident.id);
    let mut lines: Vec<String> = entries.map(|entry| words::entry(&entry.what, sinks_known)).collect();
    if lines.is_empty() && incident.state == State::Open {
        lines.push("nothing changes: it stays open".to_owned());
    }
    IncidentStory {
        id: Some(incident.id.clone()),
        family: incident.family.clone(),
        state: incident.state,
        severity: incident.severity,
        lines,
        routes: if sinks_known { routes(policy, incident) } else { Vec::new() },
    }
}

/// Ends of dangers that nobody heard of yet: kept for those that come later.
fn markers(decision: &Decision, evaluation: &Evaluation, wanted: Option<&str>) -> Vec<IncidentStory> {
    let mut stories = Vec::new();
    for situation in decision.situations.iter().filter(|situation| situation.incident.is_none()) {
        let clears = evaluation.clears.iter().filter(|clear| clear.fingerprint == situation.fingerprint);
        let rules: BTreeSet<&str> = clears.map(|clear| clear.rule.as_str()).collect();
        if rules.is_empty() || wanted.is_some_and(|rule| !rules.contains(rule)) {
            continue;
        }
        stories.push(IncidentStory {
            id: None,
            family: rules.into_iter().collect::<Vec<_>>().join(", "),
            state: State::Resolved,
            severity: Severity::Info,
            lines: vec![
                "nothing is open here, so there is nothing to end; it is remembered: a danger that happened before it and \
                 arrives later will not page"
                    .to_owned(),
            ],
            routes: Vec::new(),
        });
    }
    stories
}

fn routes(policy: &Policy, incident: &Incident) -> Vec<RouteStory> {
    let subject = Subject::of(incident);
    let document = &subject.document;
    let mut stories = Vec::new();
    let mut stopped = None;
    for (at, route) in policy.routes.iter().enumerate() {
        let number = at + 1;
        let sinks = route.sinks.clone();
        if let Some(by) = stopped {
            let why = Some(format!("route {by} ends the list"));
            stories.push(RouteStory { number, sinks, taken: false, why, fields: Vec::new() });
            continue;
        }
        let taken = route.takes(document, subject.incomplete);
        let nearest = route.pattern().and_then(|pattern| pattern.nearest(document));
        let ends = route.ends_list_for(&subject);
        let mut why: Vec<String> = Vec::new();
        match (taken, &nearest) {
            (Taken::Unsure, _) => {
                why.push("it reads key details that could not be looked up, so it is taken to be safe".to_owned());
            }
            (_, None) => why.push("it takes every incident".to_owned()),
            _ => {}
        }
        let taken = taken != Taken::No;
        match ends {
            Holds::Yes if taken => stopped = Some(number),
            Holds::Unsure if taken => {
                why.push("what it reads of the key could not be looked up, so it does not end the list".to_owned());
            }
            Holds::Partly if taken => {
                why.extend(route.beyond(&subject).map(|why| format!("it does not end the list, since {why}")));
            }
            _ => {}
        }
        let why = (!why.is_empty()).then(|| why.join("; "));
        let fields = nearest.map(|nearest| nearest.fields).unwrap_or_default();
        stories.push(RouteStory { number, sinks, taken, why, fields });
    }
    stories
}
