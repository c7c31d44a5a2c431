//! What a new configuration means for incidents that are open: none is left without an end.

use jiff::Timestamp;
use serde_json::Value;

use super::fold::Desk;
use super::{Decision, Policy, Snapshot};
use crate::core::incident::{Fingerprint, Incident, Situation, State};
use crate::core::notification::Reason;
use crate::core::pattern::{Node, Pattern};
use crate::core::rule::RuleSet;
use crate::core::rule::index::Index;

/// A resolve pattern that an open incident was opened with and that its rule no longer has.
#[derive(Debug)]
pub struct LegacyResolve {
    pub rule: String,
    pub family: String,
    pub group_by: Vec<String>,
    pub fingerprint: Fingerprint,
    pub resolve: Pattern,
    /// The pattern as the condition keeps it.
    pub source: Value,
    /// Of `resolve` alone.
    pub(super) index: Index,
}

/// The resolve patterns that open situations were opened with, where the rules say something else now.
pub fn legacy_resolves<'a>(rules: &RuleSet, open: impl IntoIterator<Item = &'a Situation>) -> Vec<LegacyResolve> {
    let mut legacy = Vec::new();
    for situation in open {
        let Some(incident) = &situation.incident else { continue };
        for (id, condition) in &situation.conditions {
            let Some(source) = &condition.resolve else { continue };
            let current = rules.get(id).is_some_and(|rule| {
                rule.resolve_source.as_ref() == Some(source)
                    && rule.families().any(|family| family == incident.family)
                    && rule.group_by == condition.group_by
            });
            if current {
                continue;
            }
            if let Ok(resolve) = Pattern::compile(&Node::from_json(source)) {
                legacy.push(LegacyResolve {
                    rule: id.clone(),
                    family: incident.family.clone(),
                    group_by: condition.group_by.clone(),
                    fingerprint: situation.fingerprint.clone(),
                    index: Index::new([(0, &resolve)]),
                    resolve,
                    source: source.clone(),
                });
            }
        }
    }
    legacy
}

/// Closes open incidents none of whose standing dangers has a rule any more that would group the same way, and says so;
/// and reports about sinks, queues, canaries and swept places that there are no more.
pub fn adopt(policy: &Policy, snapshot: &Snapshot, now: Timestamp) -> Decision {
    let mut desk = Desk::new(policy, snapshot, now);
    let mut prints: Vec<&Fingerprint> = snapshot.situations.keys().collect();
    prints.sort();
    for print in prints {
        let mut situation = desk.take(print);
        if let Some(mut incident) = situation.incident.take() {
            let spoken_for = if incident.family.starts_with(super::own::PREFIX) {
                let there = |part: &str, names: &[String]| {
                    incident.latest.details.get(part).is_none_or(|name| names.contains(name))
                };
                there("sink", &policy.sinks)
                    && there("queue", &policy.queues)
                    && there("canary", &policy.canaries)
                    && there("place", &policy.places)
            } else {
                spoken_for(policy, &situation, &incident, now)
            };
            if incident.state != State::Resolved && !spoken_for {
                for condition in situation.conditions.values_mut() {
                    condition.last_clear = condition.last_clear.max(Some(now));
                }
                desk.resolve(&mut incident, now, Reason::RuleGone, None);
            }
            desk.look_again(&mut incident);
            situation.incident = Some(incident);
        }
        desk.put(situation);
    }
    desk.finish()
}

/// Whether some standing danger still has its rule, in the same family and grouping. What a rule found on trial it may have
/// found under its own name.
fn spoken_for(policy: &Policy, situation: &Situation, incident: &Incident, now: Timestamp) -> bool {
    situation.standing(now).any(|(id, condition)| {
        policy.rules.get(id).is_some_and(|rule| {
            let own = incident.began_in_shadow && rule.id == incident.family;
            (own || rule.families().any(|family| family == incident.family)) && rule.group_by == condition.group_by
        })
    })
}
