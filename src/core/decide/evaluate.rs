//! Which rules, resolves and key states one event touches. Reads no state.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Policy, ReadSet};
use crate::core::decode::valid_to;
use crate::core::event::{Event, EventId, FactKind, Family, KeyRef};
use crate::core::incident::Fingerprint;
use crate::core::keystate::{self, Fact, KeyState, Witness};
use crate::core::notification::{EventCard, Link};
use crate::core::observe;
use crate::core::render;
use crate::core::route::reads_unknown;
use crate::core::rule::window::Window;
use crate::core::rule::{Rule, Severity, Texts, escalate};
use crate::core::usage::{self, InUse, Refused};
use crate::core::window::Part;

/// An event with what was found out about its key.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub event: Event,
    /// Remarks about what could not be found out; non-empty means that details are incomplete.
    pub marks: Vec<String>,
    /// The key's state as KMS told it; `None` when it was not looked up.
    pub looked_up: Option<LookedUp>,
}

/// A key's state as KMS told it, which may be newer than the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedUp {
    /// `KeyState` of `DescribeKey`.
    pub state: String,
    pub read_at: Timestamp,
}

/// What one event means before any state is read. What a rule's window remembers of it is all but the last three.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub id: EventId,
    pub event: EventCard,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<KeyRef>,
    /// One plain line: what happened to which key, by whom, from where.
    pub said: String,
    /// The command that undoes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undo: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub links: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub marks: Vec<String>,
    /// Key details are incomplete because a lookup failed.
    pub incomplete: bool,
    /// Events with the same value tell the same happening and merge into one alert.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub same: Option<Same>,
    /// A use of a key that was refused because the key cannot be used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<Refused>,
    /// What is known of the use of the key that it makes unusable; whoever evaluates fills it in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_use: Option<InUse>,
    /// Rules that it matches.
    #[serde(skip)]
    pub alerts: Vec<Candidate>,
    /// Windows that remember it for what comes after, or came before.
    #[serde(skip)]
    pub steps: Vec<Step>,
    #[serde(skip)]
    pub clears: Vec<Clear>,
    /// What it says of the state of its key.
    #[serde(skip)]
    pub states: Option<States>,
    /// It is an observation: what is known already is no news.
    #[serde(skip)]
    pub observed: bool,
}

/// What an event, or a look-up made because of it, says of the state of a key, and where that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct States {
    pub fingerprint: Fingerprint,
    pub facts: Vec<Fact>,
    /// Which of the key's imported materials the event is about.
    pub material: Option<String>,
}

/// One rule matched the event. It is an alert, unless the rule's window says otherwise.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub rule: Arc<Rule>,
    pub fingerprint: Fingerprint,
    /// The rule's, or what this event makes of it.
    pub severity: Severity,
    /// Escalations that now only depend on the incident, as `rule#number`.
    pub watching: Vec<String>,
    pub texts: Texts,
    /// What the rule's window compares.
    pub value: Option<String>,
    /// The date that its rule counts down to.
    pub date: Option<Timestamp>,
    /// The key material that the event is about, where it names one, and the date that the event itself says of it.
    pub material: Option<(String, Option<Timestamp>)>,
    /// When it became an alert, where that is not the event's time.
    pub at: Option<Timestamp>,
}

/// The event plays a part in a rule's window, but not the main one.
#[derive(Debug, Clone)]
pub struct Step {
    pub rule: Arc<Rule>,
    pub fingerprint: Fingerprint,
    pub part: Part,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rule.id == other.rule.id && self.fingerprint == other.fingerprint && self.value == other.value
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.rule.id == other.rule.id && self.fingerprint == other.fingerprint && self.part == other.part
    }
}

impl Candidate {
    /// As the rule says, whatever the event.
    pub(super) fn plain(rule: Arc<Rule>, fingerprint: Fingerprint) -> Self {
        let severity = rule.severity;
        let texts = Texts::default();
        Self { rule, fingerprint, severity, watching: vec![], texts, value: None, date: None, material: None, at: None }
    }

    fn of(rule: &Arc<Rule>, document: &Value, fingerprint: Fingerprint) -> Self {
        let mut candidate = Self::plain(Arc::clone(rule), fingerprint);
        for (number, escalation) in rule.escalations.iter().enumerate() {
            if escalation.event.as_ref().is_some_and(|event| !event.matches(document)) {
                continue;
            }
            if escalation.incident.is_some() {
                candidate.watching.push(escalate::name(&rule.id, number));
            } else {
                candidate.severity = candidate.severity.max(escalation.severity);
            }
        }
        if let Some(templates) = &rule.templates {
            candidate.texts = templates.render(document);
        }
        let path = rule.window.as_ref().and_then(|window| window.value_path());
        candidate.value = path.and_then(|path| value_at(document, path)).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let date = rule.countdown.as_deref().and_then(|path| value_at(document, path));
        candidate.date = date.and_then(Value::as_str).and_then(render::event_date);
        candidate
    }
}

/// What makes two events one happening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Same {
    /// CloudTrail's `sharedEventID`.
    Shared(String),
    Fact(FactKind, String),
}

/// A rule's condition is past, as of a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clear {
    pub rule: String,
    pub fingerprint: Fingerprint,
    pub at: Timestamp,
    /// Said by a lookup, not by an event.
    pub by_lookup: bool,
    /// Holds only for a danger that came while its rule had this resolve pattern.
    pub only_for: Option<Value>,
    /// Speaks of this key material only: another one may keep the danger up.
    pub material: Option<String>,
}

impl Clear {
    /// An event says so.
    pub(super) fn by_event(rule: &str, fingerprint: Fingerprint, at: Timestamp) -> Self {
        Self { rule: rule.to_owned(), fingerprint, at, by_lookup: false, only_for: None, material: None }
    }
}

impl Evaluation {
    /// What is kept of it for a time when its rules are not asked again.
    pub(super) fn remembered(&self) -> Self {
        let mut kept = Self { alerts: vec![], steps: vec![], clears: vec![], states: None, ..self.clone() };
        kept.observed = false;
        kept
    }

    /// No rule, resolve or state reads this event: its message can be deleted at once.
    pub fn is_idle(&self) -> bool {
        self.alerts.is_empty() && self.steps.is_empty() && self.clears.is_empty() && self.states.is_none()
    }

    /// The keys of all state that deciding on these evaluations needs.
    pub fn reads(evaluations: &[Self]) -> ReadSet {
        let mut reads = ReadSet { events: evaluations.iter().map(|e| e.id.clone()).collect(), ..ReadSet::default() };
        for evaluation in evaluations {
            reads.fingerprints.extend(evaluation.alerts.iter().map(|a| a.fingerprint.clone()));
            reads.fingerprints.extend(evaluation.steps.iter().map(|s| s.fingerprint.clone()));
            reads.fingerprints.extend(evaluation.clears.iter().map(|c| c.fingerprint.clone()));
            reads.fingerprints.extend(evaluation.states.iter().map(|s| s.fingerprint.clone()));
        }
        reads.fingerprints.sort();
        reads.fingerprints.dedup();
        reads.events.sort();
        reads.events.dedup();
        reads
    }
}

/// Matches on one event every rule that the index does not rule out.
pub fn evaluate(policy: &Policy, prepared: &Prepared, now: Timestamp) -> Evaluation {
    let event = &prepared.event;
    let document = &event.document;
    let incomplete = !prepared.marks.is_empty();
    let observed = event.family == Family::Observation;
    // KMS speaks of the time before it may not know of yet.
    let speaks_of = if observed { observe::settled(event.time, policy.engine.settle) } else { event.time };
    let material = keystate::material(event).map(str::to_owned);
    let (mut alerts, mut steps, mut clears) = (Vec::new(), Vec::new(), Vec::new());
    for rule in policy.rules.candidates(document) {
        if rule.matches.matches(document) && !excepted(rule, document, incomplete) {
            let print = fingerprint(rule.family_at(event.time.min(now)), &rule.group_by, document);
            if let Some(clear) = recovered(policy, rule, prepared) {
                clears.extend(rule.families().map(|family| clear(fingerprint(family, &rule.group_by, document))));
            }
            let mut candidate = Candidate::of(rule, document, print);
            candidate.material = material.clone().map(|id| {
                // The document may hold what a look-up said, of the key as a whole.
                let looked_up = rule.countdown.as_deref() == Some("key.valid_to");
                (id, if looked_up { valid_to(document) } else { candidate.date })
            });
            alerts.push(candidate);
        }
        for (step, pattern) in rule.window.iter().flat_map(Window::steps) {
            if pattern.matches(document) {
                let fingerprint = fingerprint(rule.family_at(event.time.min(now)), &rule.group_by, document);
                steps.push(Step { rule: Arc::clone(rule), fingerprint, part: Part::Step(step) });
            }
        }
        if rule.resolve.as_ref().is_some_and(|resolve| resolve.matches(document)) {
            let print = |family| fingerprint(family, &rule.group_by, document);
            clears.extend(rule.families().map(|family| Clear {
                material: material.clone(),
                ..Clear::by_event(&rule.id, print(family), speaks_of)
            }));
        }
    }
    if observed {
        clears.extend(observed_clears(policy, document, speaks_of));
    }
    for legacy in &policy.legacy {
        if legacy.resolve.matches(document)
            && fingerprint(&legacy.family, &legacy.group_by, document) == legacy.fingerprint
        {
            let clear = Clear::by_event(&legacy.rule, legacy.fingerprint.clone(), event.time);
            clears.push(Clear { only_for: Some(legacy.source.clone()), material: material.clone(), ..clear });
        }
    }
    let states = states(policy, prepared, |print| {
        alerts.iter().any(|alert| alert.fingerprint == *print) || clears.iter().any(|clear| clear.fingerprint == *print)
    });
    Evaluation {
        id: event.id.clone(),
        event: render::card(event, now, policy.engine.late_after),
        key: event.key.as_ref().map(render::key),
        said: render::summary(event),
        undo: render::undo(event),
        links: render::links(event),
        marks: prepared.marks.clone(),
        incomplete,
        same: same(event),
        refused: usage::refused(event),
        in_use: None,
        alerts,
        steps,
        clears,
        states,
        observed,
    }
}

/// KMS itself says that a danger is past: what a look-up would say of one alert, an observation says of all rules.
fn observed_clears(policy: &Policy, document: &Value, at: Timestamp) -> Vec<Clear> {
    let speaks = |rule: &&Arc<Rule>| {
        let recovered = rule.recovered.as_ref().is_some_and(|recovered| recovered.matches(document));
        recovered && rule.group_by.iter().all(|path| value_at(document, path).is_some())
    };
    let clears = policy.rules.rules.iter().filter(speaks).flat_map(|rule| {
        let print = |family| fingerprint(family, &rule.group_by, document);
        rule.families().map(move |family| Clear { by_lookup: true, ..Clear::by_event(&rule.id, print(family), at) })
    });
    clears.collect()
}

/// What is said of the state of the key, if some rule's incidents follow it. What tells of it by the way (a refusal, a
/// look-up) matters only where `touched` says that an incident may be concerned.
fn states(policy: &Policy, prepared: &Prepared, touched: impl Fn(&Fingerprint) -> bool) -> Option<States> {
    let event = &prepared.event;
    if !policy.rules.follows_keys() || event.key.as_ref()?.arn.is_none() {
        return None;
    }
    let fingerprint = fingerprint(keystate::FAMILY, &[keystate::GROUP_BY.to_owned()], &event.document);
    if !keystate::tells(event) && !touched(&fingerprint) {
        return None;
    }
    let looked_up = prepared.looked_up.as_ref().map(|looked_up| Fact {
        at: looked_up.read_at,
        state: KeyState::of(&looked_up.state),
        by: Witness::Kms,
    });
    let facts: Vec<Fact> = keystate::fact(event).into_iter().chain(looked_up).collect();
    let material = keystate::material(event).map(str::to_owned);
    (!facts.is_empty()).then_some(States { fingerprint, facts, material })
}

/// An exemption that reads a value we could not look up counts as not matching: never lose a page to missing knowledge.
fn excepted(rule: &Rule, document: &Value, incomplete: bool) -> bool {
    rule.except.iter().any(|except| except.matches(document) && !(incomplete && reads_unknown(except, document)))
}

/// KMS itself says that the danger is past, in a lookup made well after the event.
fn recovered(policy: &Policy, rule: &Rule, prepared: &Prepared) -> Option<impl Fn(Fingerprint) -> Clear> {
    let LookedUp { state, read_at } = prepared.looked_up.as_ref()?;
    let settled = read_at.checked_sub(policy.engine.settle).ok()?;
    let pattern = rule.recovered.as_ref().filter(|_| prepared.event.time < settled)?;
    // The document holds the state after the event; the pattern asks for the state now.
    let mut document = prepared.event.document.clone();
    document.as_object_mut()?.entry("key").or_insert_with(|| Value::Object(Map::new()));
    document.get_mut("key")?.as_object_mut()?.insert("state".to_owned(), Value::String(state.clone()));
    let id = rule.id.clone();
    // Of what happened shortly before it was read, KMS may not know yet: it speaks of the time before that.
    let clear = move |fingerprint| Clear { by_lookup: true, ..Clear::by_event(&id, fingerprint, settled) };
    pattern.matches(&document).then_some(clear)
}

fn same(event: &Event) -> Option<Same> {
    if let Some(shared) = &event.shared_id {
        return Some(Same::Shared(shared.clone()));
    }
    event.fact.as_ref().map(|fact| Same::Fact(fact.kind, fact.key_id.clone()))
}

/// The fingerprint of a family (or rule) and its group-by values. A value that is absent groups with the
/// other absent ones.
pub fn fingerprint(family: &str, group_by: &[String], document: &Value) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(family.as_bytes());
    for path in group_by {
        hash.update([0]);
        hash.update(path.as_bytes());
        hash.update([1]);
        match value_at(document, path) {
            Some(Value::String(text)) => hash.update(text.as_bytes()),
            Some(other) => hash.update(other.to_string().as_bytes()),
            None => {}
        }
    }
    let digest = hash.finalize();
    let mut text = String::with_capacity(24);
    for byte in digest.iter().take(12) {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
    }
    Fingerprint(text)
}

/// The value at a dotted path. Tag and label names may hold dots: the longest member name wins.
pub(crate) fn value_at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let members = document.as_object()?;
    if let Some(value) = members.get(path) {
        return Some(value);
    }
    path.match_indices('.').rev().find_map(|(at, _)| {
        let (name, rest) = (path.get(..at)?, path.get(at + 1..)?);
        value_at(members.get(name)?, rest)
    })
}
