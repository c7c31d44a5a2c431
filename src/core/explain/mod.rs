//! Why an event raised an alert, or why it did not: every rule that comes near it, judged field by field, and what
//! deciding makes of it. The verdicts are those of [`crate::core::decide`] itself; what is added here are words.

mod remarks;
mod telling;
pub mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::decide::{Policy, Prepared, evaluate};
use super::event::{Family, KeyRef};
use super::notification::EventCard;
use super::pattern::Pattern;
use super::pattern::verdict::Field;
use super::route::reads_unknown;
use super::rule::{Rule, Severity};
use super::world::World;

use telling::Part;
pub use telling::{IncidentStory, RouteStory};

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    pub event: EventCard,
    pub family: Family,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyRef>,
    /// One plain line: what happened.
    pub said: String,
    pub verdict: Verdict,
    /// What a person should know of the event itself.
    pub remarks: Vec<String>,
    /// Rules that come near, those that matched first.
    pub rules: Vec<RuleStory>,
    /// How many rules ask for something else altogether.
    pub far: usize,
    /// What the event does to incidents.
    pub incidents: Vec<IncidentStory>,
}

/// What came of an event, or of a rule for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Alert,
    /// It ends a danger, and is no alert.
    Resolves,
    /// A rule that looks at several events remembers it; alone it is no alert.
    Remembered,
    /// `match` took it, and so did an exemption.
    Excepted,
    /// `match` would take it, but the rule is not in force.
    Off,
    /// It was seen before.
    Duplicate,
    Refused,
}

/// One rule and one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleStory {
    pub rule: String,
    pub title: String,
    pub severity: Severity,
    pub verdict: Verdict,
    /// The combination of `match` that comes nearest, field by field.
    pub fields: Vec<Field>,
    pub excepts: Vec<ExceptStory>,
    /// Whether its `resolve` takes the event.
    pub resolves: bool,
    pub remarks: Vec<String>,
}

/// One exemption of a rule whose `match` took the event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExceptStory {
    /// Counts from 1.
    pub number: usize,
    pub matched: bool,
    /// It matched, but reads something that could not be looked up, so it does not count.
    pub unsure: bool,
    pub fields: Vec<Field>,
}

/// What explaining needs beside the policy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'w> {
    /// Only this rule, however far it is.
    pub rule: Option<&'w str>,
    /// Rules that are written but not in force.
    pub off: &'w [Arc<Rule>],
    /// Whether `policy` names the sinks that would be told in truth.
    pub sinks_known: bool,
}

/// Explains one event; `world` holds what came before it, and remembers it.
pub fn explain(
    policy: &Policy,
    world: &mut World,
    prepared: &Prepared,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Explanation {
    let evaluation = evaluate(policy, prepared, now);
    let came = telling::decide(policy, world, &evaluation, wanted, now);
    let in_force = policy.rules.rules.iter().map(|rule| (rule, true));
    let all: Vec<(&Arc<Rule>, bool)> = in_force.chain(wanted.off.iter().map(|rule| (rule, false))).collect();
    let mut rules = Vec::new();
    let mut far = 0;
    for (rule, in_force) in all {
        let story = judge(rule, in_force, came.rules.get(rule.id.as_str()), prepared, now);
        match wanted.rule {
            Some(id) if id != rule.id => {}
            None if !is_near(&story, rule) => far += 1,
            _ => rules.push(story),
        }
    }
    rules.sort_by_key(|story| story.verdict);
    let verdict = if came.duplicate {
        Verdict::Duplicate
    } else {
        // Rules that are far do nothing, so the nearest says it all.
        rules.first().map_or(Verdict::Refused, |story| story.verdict)
    };
    Explanation {
        remarks: remarks::of_event(prepared, &evaluation, verdict, now),
        event: evaluation.event,
        family: prepared.event.family,
        key: evaluation.key,
        said: evaluation.said,
        verdict,
        rules,
        far,
        incidents: came.incidents,
    }
}

fn judge(rule: &Rule, in_force: bool, part: Option<&Part>, prepared: &Prepared, now: Timestamp) -> RuleStory {
    let document = &prepared.event.document;
    let incomplete = !prepared.marks.is_empty();
    let nearest = rule.matches.nearest(document);
    let matched = nearest.as_ref().is_some_and(|nearest| nearest.matched);
    let excepts: Vec<ExceptStory> = if matched { excepts(rule, prepared, incomplete) } else { Vec::new() };
    let resolves = rule.resolve.as_ref().is_some_and(|resolve| resolve.matches(document));
    let excepted = excepts.iter().any(|except| except.matched && !except.unsure);
    let verdict = match (part, in_force) {
        (Some(part), _) if part.alert => Verdict::Alert,
        (Some(part), _) if part.window.is_some() => Verdict::Remembered,
        (_, false) if (matched && !excepted) || resolves => Verdict::Off,
        _ if excepted => Verdict::Excepted,
        (_, true) if resolves => Verdict::Resolves,
        _ => Verdict::Refused,
    };
    let fields = nearest.as_ref().map(|nearest| nearest.fields.clone()).unwrap_or_default();
    let mut story = RuleStory {
        rule: rule.id.clone(),
        title: rule.title.clone(),
        severity: part.and_then(|part| part.severity).unwrap_or(rule.severity),
        verdict,
        fields,
        excepts,
        resolves,
        remarks: Vec::new(),
    };
    story.remarks = remarks::of_rule(&story, nearest.as_ref(), in_force, prepared);
    story.remarks.extend(part.and_then(|part| part.window.clone()));
    if in_force && part.is_some() && rule.in_shadow(now) {
        story.remarks.push("The rule is on trial (shadow mode): all is recorded and nobody is told.".to_owned());
    }
    story
}

fn excepts(rule: &Rule, prepared: &Prepared, incomplete: bool) -> Vec<ExceptStory> {
    let document = &prepared.event.document;
    let one = |(at, except): (usize, &Pattern)| {
        let nearest = except.nearest(document);
        let matched = nearest.as_ref().is_some_and(|nearest| nearest.matched);
        ExceptStory {
            number: at + 1,
            matched,
            unsure: matched && incomplete && reads_unknown(except, document),
            fields: nearest.map(|nearest| nearest.fields).unwrap_or_default(),
        }
    };
    rule.except.iter().enumerate().map(one).collect()
}

/// Fields that say which event a rule asks for.
const NAMES: &[&str] = &["detail.eventName", "detail-type"];

/// Whether a rule is worth a word: it did something, or it asks for this event and something else did not fit.
fn is_near(story: &RuleStory, rule: &Rule) -> bool {
    if story.verdict != Verdict::Refused {
        return true;
    }
    let named: Vec<&Field> = story.fields.iter().filter(|field| NAMES.contains(&field.path.as_str())).collect();
    if named.is_empty() {
        // It asks for any event that has something; near if only that fails.
        return !rule.matches.paths().is_empty() && story.fields.iter().filter(|field| !field.passed).count() == 1;
    }
    named.iter().any(|field| field.passed || remarks::case_slip(field).is_some())
}
