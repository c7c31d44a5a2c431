//! What is wrong with a rule although it loads: patterns that no event can match, and events that never come. Pure, and
//! over the rule as written, so that every finding has its place.
//!
//! Errs on the side of silence: a finding is something that can be shown from what a pattern asks, from what KMS and
//! `CloudTrail` are known to write ([`names`]), and from what the configuration says its queues are handed
//! ([`Delivers`]).

mod delivery;
mod facts;
mod identity;
pub mod names;
mod paths;
mod together;
mod walk;
mod words;

use std::borrow::Cow;

use serde_json::Value;

use super::pattern::Node;
use super::rule::RuleSpec;
use crate::base::diagnostic::Problem;
use walk::{Branch, admits, branches, clause, disjoint, word};

pub use delivery::{Delivers, needs_full, pattern as delivered_by};
pub use identity::{Identity, Named};

/// What can never happen. `delivers` says what the queues are handed, where that is known of all of them.
pub fn check(rule: &RuleSpec, delivers: Option<&[Delivers]>) -> Vec<Problem> {
    let mut problems = vec![];
    let matches = open(&rule.matches);
    let before = rule.sequence.iter().flat_map(|sequence| sequence.after.get_ref());
    let awaited = rule.absent.iter().map(|absent| &absent.expect);
    let of_events: Vec<Cow<'_, Node>> =
        std::iter::once(&rule.matches).chain(&rule.resolve).chain(before).chain(awaited).map(open).collect();
    for pattern in &of_events {
        never(pattern, &mut problems);
        for branch in branches(pattern) {
            paths::check(&branch, &branch, &mut problems);
        }
    }
    rule.recovered.iter().map(open).for_each(|pattern| never(&pattern, &mut problems));
    for when in rule.escalate.iter().map(|escalation| open(&escalation.when)) {
        never(&when, &mut problems);
        together::check(&matches, &when, "it never rises to that", &mut problems);
    }
    for exemption in rule.except.iter().map(open) {
        never(&exemption, &mut problems);
        if covered(&matches, &exemption) {
            problems.push(
                Problem::warning(exemption.span.clone(), "this exempts all that the rule matches")
                    .hint("narrow the exemption, or remove the rule"),
            );
        } else {
            together::check(&matches, &exemption, "nothing is ever exempted", &mut problems);
        }
    }
    paths::of_rule(rule, &matches, &mut problems);
    if let Some(delivers) = delivers {
        for pattern in &of_events {
            delivery::undelivered(pattern, delivers, &mut problems);
        }
    }
    let mut told: Vec<Problem> = vec![];
    for problem in problems {
        if !told.contains(&problem) {
            told.push(problem);
        }
    }
    told
}

/// A pattern that was pasted as JSON, as a pattern; one that does not read is an error elsewhere.
fn open(pattern: &Node) -> Cow<'_, Node> {
    pattern.opened().unwrap_or(Cow::Borrowed(pattern))
}

/// Values that cannot be, and fields that cannot be so together.
fn never(pattern: &Node, problems: &mut Vec<Problem>) {
    for branch in branches(pattern) {
        words::check(&branch, problems);
        if contradicts(&branch, &facts::of_branch(&branch), None, problems) {
            continue;
        }
        let Some(names) = clause(&branch, "detail.eventName") else { continue };
        for item in names.items() {
            if let Some(name) = word(item) {
                contradicts(&branch, &facts::of_name(name, &branch, false), Some(item), problems);
            }
        }
        unlisted(&branch, problems);
    }
}

/// Whether a combination asks for the opposite of what follows from it; says the first thing that it does. `place` is where
/// the cause stands, if it is one of several values.
fn contradicts(branch: &Branch<'_>, facts: &[facts::Fact], place: Option<&Node>, problems: &mut Vec<Problem>) -> bool {
    for fact in facts {
        for clause in branch.iter().filter(|clause| fact.is_about(&clause.path)) {
            let told = |p: &Problem| clause.list.span.start <= p.span.start && p.span.end <= clause.list.span.end;
            if !problems.iter().any(told) && disjoint(&clause.list.to_json(), &fact.list) {
                let span = place.map_or_else(|| clause.list.span.clone(), |place| place.span.clone());
                let message = format!("{}, so this never matches with this `{}`", fact.why, clause.path);
                problems.push(Problem::warning(span, message).hint("take one of the two out"));
                return true;
            }
        }
    }
    false
}

/// Names of other services' events beside KMS as the only source.
fn unlisted(branch: &Branch<'_>, problems: &mut Vec<Problem>) {
    if !facts::is_kms(branch) {
        return;
    }
    let Some(names) = clause(branch, "detail.eventName") else { return };
    for item in names.items() {
        if let Some(name) = word(item)
            && let Some(source) = names::source_of(name).filter(|source| *source != "aws.kms")
        {
            problems.push(
                Problem::warning(item.span.clone(), format!("`{name}` is an event of `{source}`, not of KMS"))
                    .hint(format!("write a rule with source = [\"{source}\"]")),
            );
        }
    }
}

/// Whether an exemption provably takes everything that a pattern matches: each of its fields is asked for, and all the
/// values asked for are among its own.
fn covered(matches: &Node, exemption: &Node) -> bool {
    let (asked, exempted) = (branches(matches), branches(exemption));
    let within = |asked: &Branch<'_>, exempted: &Branch<'_>| {
        exempted.iter().all(|wide| {
            let list = wide.list.to_json();
            clause(asked, &wide.path).is_some_and(|narrow| {
                let items: Vec<Value> = narrow.items().iter().map(Node::to_json).collect();
                items.iter().all(|item| {
                    let absent = *item == serde_json::json!({ "exists": false });
                    let plain = !item.is_object() && admits(&list, Some(item));
                    let same = list.as_array().is_some_and(|wide| wide.contains(item));
                    same || (absent && admits(&list, None)) || plain
                })
            })
        })
    };
    !asked.is_empty() && asked.iter().all(|asked| exempted.iter().any(|exempted| within(asked, exempted)))
}

#[cfg(test)]
mod tests;
