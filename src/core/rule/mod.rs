//! Rules: one TOML unit each, a `match` pattern plus what to do.

mod builtin;
pub mod escalate;
pub mod index;
mod shadow;
pub mod spec;
pub mod template;
pub mod window;

use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decode::Glance;
use super::keystate;
use super::pattern::Pattern;
use super::peek::Peek;
use escalate::Escalation;
use index::Index;
use template::Templates;
use window::Window;

#[cfg(test)]
pub(crate) use builtin::classic;
pub use builtin::{BUILTIN, RuleFile, builtin};
pub use shadow::{Mode, Shadow};
pub use spec::{RuleSpec, compile, compile_proven};
pub use template::Texts;

/// How bad it is. The order is the ladder: `Info < … < Critical`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// One compiled rule.
#[derive(Debug)]
pub struct Rule {
    pub id: String,
    pub title: String,
    pub severity: Severity,
    pub matches: Pattern,
    /// Permanent, reviewed exemptions: an event that matches one of them is no alert.
    pub except: Vec<Pattern>,
    /// What it asks of several events together.
    pub window: Option<Window>,
    /// The path of a date in the event: it is an alert when a mark before the date passes, not when the event comes.
    pub countdown: Option<String>,
    /// When it is worse than `severity` says.
    pub escalations: Vec<Escalation>,
    /// Texts that hold values of the event.
    pub templates: Option<Templates>,
    /// An event that matches ends the danger.
    pub resolve: Option<Pattern>,
    /// The resolve pattern as written, for the incident to keep.
    pub resolve_source: Option<Value>,
    /// The danger ends this long after the newest alert.
    pub resolve_after: Option<SignedDuration>,
    /// A pattern over the document after a lookup: when it matches, KMS itself says that the danger is past.
    pub recovered: Option<Pattern>,
    /// A happening, not a condition: told once, never open.
    pub notice: bool,
    /// Set for a rule on trial, also after it went live by itself.
    pub shadow: Option<Shadow>,
    /// The incident family: the rule's own id unless it names one.
    pub family: String,
    /// Dotted paths whose values separate incidents.
    pub group_by: Vec<String>,
    pub repeat: Option<SignedDuration>,
    pub tags: Vec<String>,
    pub runbook: Option<String>,
    pub references: Vec<String>,
    pub owner: Option<String>,
    pub summary: Option<String>,
    pub meaning: Option<String>,
    pub action: Option<String>,
    /// Names of events that the rule asks for and that come only where an `EventBridge` rule delivers everything:
    /// read-only calls that succeeded. See [`lint::needs_full`](super::lint::needs_full).
    pub needs_full: Vec<&'static str>,
}

impl Rule {
    /// All patterns that make an event matter to this rule.
    pub fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let steps = self.window.iter().flat_map(|window| window.steps().map(|(_, pattern)| pattern));
        std::iter::once(&self.matches).chain(&self.resolve).chain(steps)
    }
}

/// All rules in force, with the index that tells at a glance which messages concern none of them.
#[derive(Debug)]
pub struct RuleSet {
    pub rules: Vec<Arc<Rule>>,
    index: Index,
    /// Whether a rule's incidents move with the state of their key.
    follows_keys: bool,
}

/// The number of a pattern that matters, and is no rule's.
const OF_NO_RULE: usize = usize::MAX;

impl Default for RuleSet {
    fn default() -> Self {
        Self::new(vec![])
    }
}

impl RuleSet {
    pub fn new(rules: Vec<Arc<Rule>>) -> Self {
        let follows_keys =
            rules.iter().any(|rule| rule.family == keystate::FAMILY && rule.group_by == [keystate::GROUP_BY]);
        let of_keys = follows_keys.then(keystate::pattern);
        let of_rules = rules.iter().enumerate().flat_map(|(at, rule)| rule.patterns().map(move |p| (at, p)));
        let index = Index::new(of_rules.chain(of_keys.iter().map(|pattern| (OF_NO_RULE, pattern))));
        Self { rules, index, follows_keys }
    }

    /// Whether a rule's incidents move with the state of their key, so that whatever changes it matters.
    pub fn follows_keys(&self) -> bool {
        self.follows_keys
    }

    /// Reads a message's body as far as the rules ask; `None` where it takes a full decode.
    pub fn peek<'b>(&'b self, body: &'b str) -> Option<Peek<'b>> {
        self.index.peek(body)
    }

    /// False only if provably no rule matches or resolves on an event that peeks so.
    pub fn concerned(&self, peek: &Peek<'_>) -> bool {
        self.index.concerned(peek)
    }

    /// The same of the event that this is a glance at, whose `text` is read further: for events that the glance does not rule out.
    pub fn concerned_closely(&self, glance: &Glance<'_>, text: &[u8]) -> bool {
        let closer = std::str::from_utf8(text).ok().and_then(|text| glance.closer(text, self.index.paths()));
        closer.is_none_or(|peek| self.concerned(&peek))
    }

    /// The same question of a decoded document.
    pub fn concern(&self, document: &Value) -> bool {
        !self.index.candidates(document).is_empty()
    }

    /// The rules that may match or resolve on a decoded document, in their order. All others provably do neither.
    pub fn candidates(&self, document: &Value) -> impl Iterator<Item = &Arc<Rule>> {
        self.index.candidates(document).into_iter().filter_map(|at| self.rules.get(at))
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.id == id)
    }
}
