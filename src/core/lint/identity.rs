//! Which events a pattern may be about, by their names: what the catalog knows of those holds of whatever the pattern matches.

use serde_json::{Map, Value, json};

use super::walk::{Branch, Clause, branches, clause, word};
use crate::core::catalog::{self, Form};
use crate::core::observe;
use crate::core::pattern::{Node, Pattern};

/// An event by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// `eventName`, or the `detail-type` of an event that no trail records.
    pub name: String,
    pub source: String,
    /// No trail records it.
    pub native: bool,
}

/// Fields that tell an event from another before anything else is read.
const TELLING: [&str; 5] = ["source", "detail-type", "detail.eventName", "detail.eventSource", "outcome"];

/// What a pattern asks of these fields.
#[derive(Debug)]
pub struct Identity {
    /// One for each combination; `None` asks for nothing.
    patterns: Vec<Option<Pattern>>,
    /// Names that stand in the pattern, whether or not they are known.
    written: Vec<Named>,
}

impl Identity {
    pub fn of(pattern: &Node) -> Self {
        let opened = pattern.opened();
        let branches = opened.as_ref().map_or_else(|_| vec![], |pattern| branches(pattern));
        // Of a pattern with too many combinations nothing is known.
        let patterns = if branches.is_empty() { vec![None] } else { branches.iter().map(telling).collect() };
        Self { patterns, written: branches.iter().flat_map(written).collect() }
    }

    /// Of one combination.
    pub(super) fn of_branch(branch: &Branch<'_>) -> Self {
        Self { patterns: vec![telling(branch)], written: written(branch) }
    }

    /// Whether the pattern may match such an event, as far as these fields go.
    pub fn admits(&self, event: &Named, outcome: &str) -> bool {
        let service = event.source.strip_prefix("aws.").unwrap_or(&event.source);
        let mut document =
            json!({ "source": event.source, "detail-type": event.name, "detail": {}, "outcome": outcome });
        if event.native {
            return self.matches(&document);
        }
        document["detail"] = json!({ "eventName": event.name, "eventSource": format!("{service}.amazonaws.com") });
        ["AWS API Call via CloudTrail", "AWS Service Event via CloudTrail", "AWS Network Activity Event via CloudTrail"]
            .iter()
            .any(|kind| {
                document["detail-type"] = Value::from(*kind);
                self.matches(&document)
            })
    }

    fn matches(&self, document: &Value) -> bool {
        self.patterns.iter().any(|pattern| pattern.as_ref().is_none_or(|pattern| pattern.matches(document)))
    }

    /// Every event that is known by name, and those that the pattern itself names, with any of `outcomes`.
    pub fn events(&self, outcomes: &[&str]) -> Vec<Named> {
        let known = catalog::all().map(|known| Named {
            name: known.name.to_owned(),
            source: known.source.to_owned(),
            native: known.form == Form::Event,
        });
        let mut all: Vec<Named> = known.chain(self.written.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all.retain(|event| outcomes.iter().any(|outcome| self.admits(event, outcome)));
        all
    }
}

fn written(branch: &Branch<'_>) -> Vec<Named> {
    let words = |path: &str| {
        let items = clause(branch, path).map(Clause::items).unwrap_or_default();
        items.iter().filter_map(word).map(str::to_owned).collect::<Vec<_>>()
    };
    let services = words("detail.eventSource").into_iter();
    let services = services.map(|name| format!("aws.{}", name.trim_end_matches(".amazonaws.com")));
    let sources: Vec<String> = words("source").into_iter().chain(services).collect();
    let natives = words("detail-type").into_iter();
    let natives = natives.filter(|kind| !kind.ends_with(" via CloudTrail") && kind != observe::DETAIL_TYPE);
    let recorded = words("detail.eventName").into_iter().map(|name| (name, false));
    let mut all = vec![];
    for (name, native) in natives.map(|name| (name, true)).chain(recorded) {
        let of = |source: &str| Named { name: name.clone(), source: source.to_owned(), native };
        if sources.is_empty() {
            all.push(of(catalog::known(&name).map_or("aws.kms", |known| known.source)));
        }
        all.extend(sources.iter().map(|source| of(source)));
    }
    all
}

/// The pattern of these fields alone; `None` if a combination names none of them.
fn telling(branch: &Branch<'_>) -> Option<Pattern> {
    let (mut top, mut detail) = (Map::new(), Map::new());
    for clause in branch.iter().filter(|clause| TELLING.contains(&clause.path.as_str())) {
        match clause.path.strip_prefix("detail.") {
            Some(name) => detail.insert(name.to_owned(), clause.list.to_json()),
            None => top.insert(clause.path.clone(), clause.list.to_json()),
        };
    }
    if !detail.is_empty() {
        top.insert("detail".to_owned(), Value::Object(detail));
    }
    Pattern::compile(&Node::from_json(&Value::Object(top))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pattern: &Value) -> Vec<String> {
        let pattern = Node::from_json(pattern);
        let events = Identity::of(&pattern).events(&["success", "denied", "failed"]);
        events.into_iter().map(|event| format!("{} {}", event.source, event.name)).collect()
    }

    #[test]
    fn a_pattern_admits_the_events_it_may_match() {
        let of = |detail: Value| names(&json!({ "source": ["aws.kms"], "detail": detail }));
        assert_eq!(of(json!({ "eventName": ["DisableKey", "Decrypt"] })), ["aws.kms Decrypt", "aws.kms DisableKey"]);
        assert_eq!(of(json!({ "eventName": [{ "prefix": "Schedule" }] })), ["aws.kms ScheduleKeyDeletion"]);
        assert_eq!(of(json!({ "eventName": ["NewCall"], "x": ["y"] })), ["aws.kms NewCall"]);
        assert_eq!(
            names(&json!({ "source": ["aws.s3"], "detail": { "eventName": ["TagResource"] } })),
            ["aws.s3 TagResource"]
        );
        assert_eq!(
            names(&json!({ "detail": { "eventSource": ["iam.amazonaws.com"], "eventName": ["CreateUser"] } })),
            ["aws.iam CreateUser"]
        );
        assert_eq!(
            names(&json!({ "detail-type": ["KMS CMK Rotation", "Other"] })),
            ["aws.kms KMS CMK Rotation", "aws.kms Other"]
        );
        assert!(names(&json!({ "outcome": ["denied"] })).len() > 60);
        assert!(names(&json!({ "key": { "state": ["Disabled"] } })).len() > 60);
        assert_eq!(names(&json!({ "outcome": ["never"] })), [""; 0]);
    }
}
