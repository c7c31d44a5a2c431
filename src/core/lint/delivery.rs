//! What the `EventBridge` rule before a queue lets through, where the configuration says so.

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::{Value, json};

use super::facts::{self, Fact};
use super::names::{self, NAMES};
use super::walk::{Branch, admits, branches, clause, disjoint, word};
use crate::base::diagnostic::Problem;
use crate::core::event::ENVELOPE;
use crate::core::observe;
use crate::core::pattern::{Node, NodeKind, Pattern};

/// What the `EventBridge` rule before a queue delivers: a word, or the rule's own event pattern.
#[derive(Debug, Clone)]
pub struct Delivers {
    node: Node,
}

/// The words, and the event patterns they stand for.
const WORDS: &[&str] = &["writes", "lean", "full"];

/// What the words stand for. `lean` and `full` are the two patterns of the CloudFormation template, in the rule state that
/// lets read-only events through; `writes` is either of them in the plain state, which does not. Beside each stands the
/// template's second rule, for what touches kmswatch's own pipeline.
pub fn pattern(word: &str) -> Option<Value> {
    let native = json!({ "source": ["aws.kms"], "detail-type": names::NATIVE });
    let service = json!({ "source": ["aws.kms"], "detail-type": ["AWS Service Event via CloudTrail"] });
    let call = json!({ "source": ["aws.kms"], "detail-type": ["AWS API Call via CloudTrail"] });
    let with = |detail: Value| json!({ "source": ["aws.kms"], "detail-type": ["AWS API Call via CloudTrail"], "detail": detail });
    let write = with(json!({ "readOnly": [false, { "exists": false }] }));
    let failed = with(json!({ "errorCode": [{ "exists": true }] }));
    let mut all = match word {
        "writes" => vec![native, service, write],
        "lean" => vec![native, service, write, failed],
        "full" => vec![native, service, call],
        _ => return None,
    };
    let pipeline = |source: &str| {
        let of_source = NAMES.iter().filter(|known| known.source == source).map(|known| known.name);
        json!({ "source": [source], "detail": { "eventName": of_source.collect::<Vec<_>>() } })
    };
    all.extend(["aws.cloudtrail", "aws.events", "aws.sqs"].map(pipeline));
    all.push(json!({ "source": ["aws.ec2"], "detail-type": ["EBS Volume Notification"] }));
    Some(json!({ "$or": all }))
}

impl Delivers {
    /// Whether everything KMS reports comes.
    pub fn is_full(&self) -> bool {
        word(&self.node) == Some("full")
    }

    /// Whether a call of KMS that succeeds comes, as far as can be told; in doubt it does.
    pub fn lets_through(&self, event_name: &str, read_only: bool) -> bool {
        let call = json!({
            "source": ["aws.kms"],
            "detail-type": ["AWS API Call via CloudTrail"],
            "detail": { "eventName": [event_name], "readOnly": [read_only], "errorCode": [{ "exists": false }] }
        });
        let mut problems = vec![];
        undelivered(&Node::from_json(&call), std::slice::from_ref(self), &mut problems);
        problems.is_empty()
    }

    /// What is wrong with it.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        if let NodeKind::Table(members) = &self.node.kind {
            match Pattern::compile(&self.node) {
                Ok(_) => {}
                Err(errors) => problems.extend(errors.into_iter().map(Problem::from)),
            }
            let stranger =
                members.iter().find(|(name, _)| name.text != "$or" && !ENVELOPE.contains(&name.text.as_str()));
            if let Some((name, _)) = stranger {
                problems.push(
                    Problem::error(name.span.clone(), format!("an event on EventBridge has no `{}`", name.text)).hint(
                        format!(
                            "write the event pattern of your EventBridge rule; it can name {}",
                            ENVELOPE.join(", ")
                        ),
                    ),
                );
            }
        }
    }

    /// The event pattern.
    fn node(&self) -> Node {
        word(&self.node).and_then(pattern).map_or_else(|| self.node.clone(), |pattern| Node::from_json(&pattern))
    }
}

impl<'de> Deserialize<'de> for Delivers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let fine = match &node.kind {
            NodeKind::String(text) => WORDS.contains(&text.as_str()),
            NodeKind::Table(_) => true,
            _ => false,
        };
        if fine {
            Ok(Self { node })
        } else {
            Err(D::Error::custom(
                "this is one of \"writes\", \"lean\", \"full\", or the EventBridge rule's event pattern",
            ))
        }
    }
}

impl schemars::JsonSchema for Delivers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Delivers".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "oneOf": [
            { "type": "string", "enum": WORDS },
            { "type": "object", "minProperties": 1, "description": "The event pattern of the EventBridge rule." }
        ] })
    }
}

/// What a pattern asks that no queue is ever handed. `delivers` holds what each queue's rule lets through.
pub(super) fn undelivered(pattern: &Node, delivers: &[Delivers], problems: &mut Vec<Problem>) {
    let nodes: Vec<Node> = delivers.iter().map(Delivers::node).collect();
    let mut delivered: Vec<Vec<(String, Value)>> = nodes
        .iter()
        .flat_map(branches)
        .map(|branch| branch.iter().map(|clause| (clause.path.clone(), clause.list.to_json())).collect())
        .collect();
    if delivered.is_empty() {
        return;
    }
    // What kmswatch observes itself comes through no queue.
    let own = [("source", observe::SOURCE), ("detail-type", observe::DETAIL_TYPE)];
    delivered.push(own.map(|(path, word)| (path.to_owned(), json!([word]))).to_vec());
    for branch in branches(pattern) {
        let own: Vec<(String, Value)> =
            branch.iter().map(|clause| (clause.path.clone(), clause.list.to_json())).collect();
        let common = facts::of_branch(&branch);
        let comes = |more: &[Fact]| {
            let facts = common.iter().chain(more);
            let known: Vec<(&str, &Value)> = own
                .iter()
                .map(|(path, list)| (path.as_str(), list))
                .chain(facts.map(|fact| (fact.path.as_str(), &fact.list)))
                .collect();
            delivered.iter().any(|wanted| {
                !wanted
                    .iter()
                    .any(|(path, list)| known.iter().any(|(known, have)| known == path && disjoint(have, list)))
            })
        };
        let called = called(&branch);
        let (lost, kept): (Vec<&Called<'_>>, Vec<&Called<'_>>) =
            called.iter().partition(|called| !comes(&facts::of_name(called.name, &branch, true)));
        let none = if called.is_empty() { !comes(&[]) } else { kept.is_empty() };
        let hint = "let the EventBridge rule deliver it, change `delivers` of the queue, or drop it here";
        if none {
            let place = branch.first().map_or_else(
                || pattern.span.clone(),
                |first| clause(&branch, "detail.eventName").unwrap_or(first).list.span.clone(),
            );
            problems.push(
                Problem::warning(place, "no queue's EventBridge rule delivers an event that this matches").hint(hint),
            );
        } else {
            for Called { name, place, .. } in lost.iter().filter(|called| called.plain) {
                let message = format!("no queue's EventBridge rule delivers `{name}` as it is asked for here");
                problems.push(Problem::warning(place.span.clone(), message).hint(hint));
            }
        }
    }
}

/// An event that a pattern names.
struct Called<'n> {
    name: &'n str,
    place: &'n Node,
    /// By its very name, not by a part of it.
    plain: bool,
}

/// Known names that fit, and unknown ones that are written out.
fn called<'n>(branch: &Branch<'n>) -> Vec<Called<'n>> {
    let Some(names) = clause(branch, "detail.eventName") else { return vec![] };
    let mut called = vec![];
    for place in names.items() {
        if let Some(name) = word(place) {
            called.push(Called { name, place, plain: true });
            continue;
        }
        let list = json!([place.to_json()]);
        if admits(&list, None) {
            // Whatever has no name at all is nobody's to judge.
            return vec![];
        }
        let fitting = NAMES.iter().filter(|known| admits(&list, Some(&Value::from(known.name))));
        called.extend(fitting.map(|known| Called { name: known.name, place, plain: false }));
    }
    called
}

/// Names of events, asked for by name, that come only where the `EventBridge` rule delivers *everything*: read-only calls
/// that succeeded.
pub fn needs_full(matches: &Node) -> Vec<&'static str> {
    let mut needed = vec![];
    for branch in branches(matches) {
        let may_be = |path: &str, value: Option<Value>| {
            clause(&branch, path).is_none_or(|clause| admits(&clause.list.to_json(), value.as_ref()))
        };
        let succeeds = may_be("outcome", Some("success".into())) && may_be("detail.errorCode", None);
        let is_call = may_be("source", Some("aws.kms".into())) && may_be("detail.readOnly", Some(true.into()));
        let Some(names) = clause(&branch, "detail.eventName").filter(|_| succeeds && is_call) else { continue };
        let list: Value = names.items().iter().filter(|item| names_something(item)).map(Node::to_json).collect();
        let read_only = NAMES.iter().filter(|known| known.source == "aws.kms" && known.kind.is_read_only());
        needed.extend(read_only.map(|known| known.name).filter(|name| admits(&list, Some(&Value::from(*name)))));
    }
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// Whether an item asks for certain names, rather than for all but some.
fn names_something(item: &Node) -> bool {
    match &item.kind {
        NodeKind::Table(members) => {
            !members.iter().any(|(name, _)| matches!(name.text.as_str(), "anything-but" | "exists"))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_lets_a_call_through_or_not() {
        #[derive(Deserialize)]
        struct Holder {
            delivers: Delivers,
        }
        let come = |toml: &str| {
            let holder: Holder = toml::from_str(&format!("delivers = {toml}")).unwrap();
            let delivers = holder.delivers;
            (delivers.lets_through("DescribeKey", true), delivers.lets_through("TagResource", false))
        };
        assert_eq!(come("'full'"), (true, true));
        assert_eq!(come("'lean'"), (false, true));
        assert_eq!(come("'writes'"), (false, true));
        assert_eq!(come("{ source = ['aws.kms'] }"), (true, true));
        assert_eq!(come("{ source = ['aws.kms'], detail.eventName = ['DisableKey'] }"), (false, false));
        assert_eq!(come("{ source = ['aws.kms'], detail.readOnly = [true] }"), (true, false));
        assert_eq!(come("{ detail.userIdentity.type = ['AssumedRole'] }"), (true, true), "in doubt it comes");
    }
}
