//! Which sinks hear of an incident, and what the configuration knows of keys that AWS does not.

mod reach;
mod subject;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_spanned::Spanned;

use super::decide::value_at;
use super::incident::Incident;
use super::pattern::{Node, NodeKind, Pattern};
use super::rule::Severity;
use super::silence::Holds;
use crate::base::diagnostic::Problem;

pub use reach::critical_sinks;
pub use subject::{Subject, incident_document};

/// One `[[routes]]` table. Every route that matches adds its sinks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// A pattern over the incident: `severity`, `rule`, `incident`, `tags`, `state`, `key`, `actor`, `account`, `region`. Without it the route takes everything.
    #[serde(rename = "match")]
    pub matches: Option<Node>,
    /// Names of sinks.
    #[schemars(with = "Vec<String>")]
    pub sinks: Vec<Spanned<String>>,
    /// Ends the list when this route matches for each of the most severe rules that fired.
    #[serde(default)]
    pub stop: bool,
}

/// One `[[keys]]` table: labels for the keys that match.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeysSpec {
    /// A pattern over `account`, `region` and `key` (`arn`, `id`, `aliases`, `tags`, …).
    #[serde(rename = "match")]
    pub matches: Node,
    /// Labels such as `environment`, `team`, `runbook`. Later tables win.
    pub labels: BTreeMap<String, String>,
}

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    matches: Option<IncidentPattern>,
    pub sinks: Vec<String>,
    stop: bool,
}

/// Whether a route takes an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Yes,
    No,
    /// It reads key details that could not be looked up, and the rest of it matches: that counts as yes.
    Unsure,
}

/// A pattern over the incident document, and what is left of it when key details could not be looked up; `None` there
/// means: nothing but such details was asked.
#[derive(Debug)]
pub struct IncidentPattern {
    exact: Pattern,
    relaxed: Option<Pattern>,
    reads_details: bool,
}

/// Compiled `[[keys]]`.
#[derive(Debug)]
pub struct KeyLabels {
    pub matches: Pattern,
    pub labels: BTreeMap<String, String>,
}

/// Members of `key` that may be absent because a lookup failed.
pub(super) const LOOKED_UP: &[&str] = &["aliases", "state", "manager", "origin", "multi_region", "tags", "labels"];

/// What routing decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routed {
    pub sinks: BTreeSet<String>,
    /// A route was taken because a value it reads could not be looked up.
    pub unsure: bool,
    /// No route took it, and because of its severity it goes to every sink.
    pub unrouted: bool,
}

impl RouteSpec {
    /// # Errors
    /// Everything wrong with its pattern.
    pub fn compile(&self) -> Result<Route, Vec<Problem>> {
        let matches = match &self.matches {
            None => None,
            Some(node) => Some(IncidentPattern::compile(node)?),
        };
        Ok(Route { matches, sinks: self.sinks.iter().map(|s| s.get_ref().clone()).collect(), stop: self.stop })
    }
}

impl Route {
    /// `incomplete` says that key details could not be looked up.
    pub fn takes(&self, document: &Value, incomplete: bool) -> Taken {
        let Some(condition) = &self.matches else { return Taken::Yes };
        if condition.exact.matches(document) {
            return Taken::Yes;
        }
        let rest = || condition.relaxed.as_ref().is_none_or(|pattern| pattern.matches(document));
        if incomplete && condition.reads_details && rest() { Taken::Unsure } else { Taken::No }
    }

    /// What it asks for; `None` takes everything.
    pub fn pattern(&self) -> Option<&Pattern> {
        self.matches.as_ref().map(|matches| &matches.exact)
    }

    /// Whether no route after it is asked for the incidents that it is meant for.
    pub fn ends_list(&self) -> bool {
        self.stop
    }

    /// Whether no route after it is asked for this one: that takes sinks away, so it has to hold for the worst that fired, and
    /// surely.
    pub fn ends_list_for(&self, subject: &Subject<'_>) -> Holds {
        match &self.matches {
            _ if !self.stop => Holds::No,
            None => Holds::Yes,
            Some(pattern) => subject.is_held_by(pattern),
        }
    }

    /// Why it does not end the list, where it holds [partly](Holds::Partly).
    pub fn beyond(&self, subject: &Subject<'_>) -> Option<String> {
        Some(subject.beyond(self.matches.as_ref()?))
    }
}

/// The configuration's labels for a document. Later tables win.
pub fn labels(tables: &[KeyLabels], document: &Value) -> BTreeMap<String, String> {
    let taken = tables.iter().filter(|table| table.matches.matches(document));
    taken.flat_map(|table| table.labels.clone()).collect()
}

impl IncidentPattern {
    /// # Errors
    /// Everything wrong with it.
    pub fn compile(node: &Node) -> Result<Self, Vec<Problem>> {
        let exact = compile(node)?;
        let node = node.opened().map_err(|fault| vec![Problem::error(node.span.clone(), fault.message)])?;
        let relaxed_node = relax(&node, &mut Vec::new());
        let reads_details = relaxed_node.as_ref() != Some(&*node);
        let relaxed = relaxed_node.as_ref().map(compile).transpose()?;
        Ok(Self { exact, relaxed, reads_details })
    }

    /// For what holds notifications back: a value that could not be looked up counts as not matching.
    pub fn holds(&self, document: &Value, incomplete: bool) -> Holds {
        let unknown = incomplete && self.reads_details && reads_unknown(&self.exact, document);
        match (unknown, self.exact.matches(document)) {
            (false, true) => Holds::Yes,
            (true, _) if self.relaxed.as_ref().is_none_or(|pattern| pattern.matches(document)) => Holds::Unsure,
            _ => Holds::No,
        }
    }

    /// Whether it asks for one of these members.
    pub fn reads(&self, members: &[&str]) -> bool {
        self.exact.paths().iter().any(|path| path.split('.').next().is_some_and(|first| members.contains(&first)))
    }
}

/// Whether a pattern reads a looked-up value that the document lacks.
pub(super) fn reads_unknown(pattern: &Pattern, document: &Value) -> bool {
    pattern.paths().iter().any(|path| {
        let mut parts = path.split('.');
        parts.next() == Some("key")
            && parts.next().is_some_and(|member| LOOKED_UP.contains(&member))
            && value_at(document, path).is_none()
    })
}

impl KeysSpec {
    /// # Errors
    /// Everything wrong with its pattern.
    pub fn compile(&self) -> Result<KeyLabels, Vec<Problem>> {
        Ok(KeyLabels { matches: compile(&self.matches)?, labels: self.labels.clone() })
    }
}

fn compile(node: &Node) -> Result<Pattern, Vec<Problem>> {
    Pattern::compile(node).map_err(|errors| errors.into_iter().map(Problem::from).collect())
}

/// The pattern without the members that only a lookup can fill; `None` when nothing else is left.
fn relax(node: &Node, path: &mut Vec<String>) -> Option<Node> {
    let NodeKind::Table(members) = &node.kind else { return Some(node.clone()) };
    let mut kept = Vec::new();
    for (name, value) in members {
        path.push(name.text.clone());
        let looked_up =
            matches!(path.as_slice(), [first, second, ..] if first == "key" && LOOKED_UP.contains(&second.as_str()));
        let rest = if looked_up {
            None
        } else if name.text == "$or" {
            path.pop();
            let rest = relax_branches(value, path);
            path.push(name.text.clone());
            rest
        } else {
            relax(value, path)
        };
        path.pop();
        if let Some(rest) = rest {
            kept.push((name.clone(), rest));
        }
    }
    (!kept.is_empty()).then(|| Node { span: node.span.clone(), kind: NodeKind::Table(kept) })
}

/// One branch that asks for nothing but looked-up values makes the whole choice true.
fn relax_branches(value: &Node, path: &mut Vec<String>) -> Option<Node> {
    let NodeKind::Array(branches) = &value.kind else { return Some(value.clone()) };
    let branches: Option<Vec<Node>> = branches.iter().map(|branch| relax(branch, path)).collect();
    branches.map(|branches| Node { span: value.span.clone(), kind: NodeKind::Array(branches) })
}

/// Finds the sinks for an incident. A forgotten route must not lose a page: critical and high incidents
/// that no route takes go to `all_sinks`. `incomplete` says that key details could not be looked up.
pub fn route(routes: &[Route], all_sinks: &[String], incident: &Incident, incomplete: bool) -> Routed {
    let mut subject = Subject::of(incident);
    subject.incomplete = incomplete;
    let mut told = Routed::default();
    for route in routes {
        let taken = route.takes(&subject.document, incomplete);
        told.unsure |= taken == Taken::Unsure;
        if taken != Taken::No {
            told.sinks.extend(route.sinks.iter().cloned());
            if route.ends_list_for(&subject) == Holds::Yes {
                break;
            }
        }
    }
    if told.sinks.is_empty() && incident.severity >= Severity::High {
        told.sinks.extend(all_sinks.iter().cloned());
        told.unrouted = true;
    }
    told
}
