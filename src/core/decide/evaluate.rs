//! Which rules, resolves and key states one event touches. Reads no state.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Policy, ReadSet};
use crate::core::event::{Event, EventId, FactKind, KeyRef};
use crate::core::incident::Fingerprint;
use crate::core::notification::{EventCard, Link};
use crate::core::pattern::Pattern;
use crate::core::render;
use crate::core::route::LOOKED_UP;
use crate::core::rule::Rule;

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

/// What one event means before any state is read.
#[derive(Debug, Clone)]
pub struct Evaluation {
    pub id: EventId,
    pub event: EventCard,
    pub key: Option<KeyRef>,
    /// One plain line: what happened to which key, by whom, from where.
    pub said: String,
    /// The command that undoes it.
    pub undo: Option<String>,
    pub links: Vec<Link>,
    pub marks: Vec<String>,
    /// Key details are incomplete because a lookup failed.
    pub incomplete: bool,
    /// Events with the same value tell the same happening and merge into one alert.
    pub same: Option<Same>,
    pub alerts: Vec<(Arc<Rule>, Fingerprint)>,
    pub clears: Vec<Clear>,
}

/// What makes two events one happening.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

impl Evaluation {
    /// No rule, resolve or state reads this event: its message can be deleted at once.
    pub fn is_idle(&self) -> bool {
        self.alerts.is_empty() && self.clears.is_empty()
    }

    /// The keys of all state that deciding on these evaluations needs.
    pub fn reads(evaluations: &[Self]) -> ReadSet {
        let mut reads = ReadSet { events: evaluations.iter().map(|e| e.id.clone()).collect(), ..ReadSet::default() };
        for evaluation in evaluations {
            reads.fingerprints.extend(evaluation.alerts.iter().map(|(_, f)| f.clone()));
            reads.fingerprints.extend(evaluation.clears.iter().map(|c| c.fingerprint.clone()));
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
    let mut alerts = Vec::new();
    let mut clears = Vec::new();
    for rule in policy.rules.candidates(document) {
        if rule.matches.matches(document) && !excepted(rule, document, incomplete) {
            let print = fingerprint(&rule.family, &rule.group_by, document);
            if let Some(clear) = recovered(policy, rule, prepared, &print) {
                clears.push(clear);
            }
            alerts.push((Arc::clone(rule), print));
        }
        if rule.resolve.as_ref().is_some_and(|resolve| resolve.matches(document)) {
            clears.push(Clear {
                rule: rule.id.clone(),
                fingerprint: fingerprint(&rule.family, &rule.group_by, document),
                at: event.time,
                by_lookup: false,
                only_for: None,
            });
        }
    }
    for legacy in &policy.legacy {
        if legacy.resolve.matches(document)
            && fingerprint(&legacy.family, &legacy.group_by, document) == legacy.fingerprint
        {
            clears.push(Clear {
                rule: legacy.rule.clone(),
                fingerprint: legacy.fingerprint.clone(),
                at: event.time,
                by_lookup: false,
                only_for: Some(legacy.source.clone()),
            });
        }
    }
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
        alerts,
        clears,
    }
}

/// An exemption that reads a value we could not look up counts as not matching: never lose a page to missing knowledge.
fn excepted(rule: &Rule, document: &Value, incomplete: bool) -> bool {
    rule.except.iter().any(|except| except.matches(document) && !(incomplete && reads_unknown(except, document)))
}

/// Whether a pattern reads a looked-up value that the document lacks.
fn reads_unknown(pattern: &Pattern, document: &Value) -> bool {
    pattern.paths().iter().any(|path| {
        let mut parts = path.split('.');
        parts.next() == Some("key")
            && parts.next().is_some_and(|member| LOOKED_UP.contains(&member))
            && value_at(document, path).is_none()
    })
}

/// KMS itself says that the danger is past, in a lookup made well after the event.
fn recovered(policy: &Policy, rule: &Rule, prepared: &Prepared, print: &Fingerprint) -> Option<Clear> {
    let LookedUp { state, read_at } = prepared.looked_up.as_ref()?;
    let settled = read_at.checked_sub(policy.engine.settle).ok()?;
    let pattern = rule.recovered.as_ref().filter(|_| prepared.event.time < settled)?;
    // The document holds the state after the event; the pattern asks for the state now.
    let mut document = prepared.event.document.clone();
    document.as_object_mut()?.entry("key").or_insert_with(|| Value::Object(Map::new()));
    document.get_mut("key")?.as_object_mut()?.insert("state".to_owned(), Value::String(state.clone()));
    pattern.matches(&document).then(|| Clear {
        rule: rule.id.clone(),
        fingerprint: print.clone(),
        // Of what happened shortly before it was read, KMS may not know yet: it speaks of the time before that.
        at: settled,
        by_lookup: true,
        only_for: None,
    })
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
