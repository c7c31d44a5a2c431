//! Patterns as written, taken apart: each combination that `$or` makes as a list of fields, with their places.

use serde_json::{Value, json};

use crate::core::pattern::Pattern;
use crate::core::pattern::node::{Name, Node, NodeKind};

/// More combinations than this are not looked at: nobody writes them by hand.
const BRANCHES_MAX: usize = 200;

/// One field of a pattern and what it may be.
#[derive(Debug, Clone)]
pub(super) struct Clause<'n> {
    /// Dotted.
    pub(super) path: String,
    pub(super) name: &'n Name,
    pub(super) list: &'n Node,
}

/// The fields that one combination asks for together.
pub(super) type Branch<'n> = Vec<Clause<'n>>;

/// Every combination; empty where there are too many to look at.
pub(super) fn branches(pattern: &Node) -> Vec<Branch<'_>> {
    let mut all = vec![vec![]];
    spread(pattern, "", &mut all);
    if all.len() > BRANCHES_MAX { vec![] } else { all }
}

fn spread<'n>(pattern: &'n Node, path: &str, all: &mut Vec<Branch<'n>>) {
    let NodeKind::Table(members) = &pattern.kind else { return };
    for (name, value) in members {
        let below = if path.is_empty() { name.text.clone() } else { format!("{path}.{}", name.text) };
        match &value.kind {
            NodeKind::Array(choices) if name.text == "$or" => {
                let mut more = vec![];
                for choice in choices {
                    let mut with = all.clone();
                    spread(choice, path, &mut with);
                    more.append(&mut with);
                    if more.len() > BRANCHES_MAX {
                        break;
                    }
                }
                *all = more;
            }
            NodeKind::Array(_) => {
                for branch in all.iter_mut() {
                    branch.push(Clause { path: below.clone(), name, list: value });
                }
            }
            _ => spread(value, &below, all),
        }
    }
}

/// The field of that path.
pub(super) fn clause<'b, 'n>(branch: &'b [Clause<'n>], path: &str) -> Option<&'b Clause<'n>> {
    branch.iter().find(|clause| clause.path == path)
}

impl<'n> Clause<'n> {
    pub(super) fn items(&self) -> &'n [Node] {
        match &self.list.kind {
            NodeKind::Array(items) => items,
            _ => &[],
        }
    }

    /// The values, if they are all plain text.
    pub(super) fn words(&self) -> Option<Vec<&'n str>> {
        self.items().iter().map(word).collect()
    }
}

/// A plain string.
pub(super) fn word(item: &Node) -> Option<&str> {
    match &item.kind {
        NodeKind::String(text) => Some(text),
        _ => None,
    }
}

/// Whether a list of allowed values lets this value pass; `None` is a field that is absent.
pub(super) fn admits(list: &Value, value: Option<&Value>) -> bool {
    let document = value.map_or_else(|| json!({}), |value| json!({ "f": value }));
    Pattern::compile(&Node::from_json(&json!({ "f": list }))).is_ok_and(|pattern| pattern.matches(&document))
}

/// Whether a field can provably not satisfy both lists.
pub(super) fn disjoint(a: &Value, b: &Value) -> bool {
    if admits(a, None) && admits(b, None) {
        return false;
    }
    let absent_only = |list: &Value| {
        list.as_array().is_some_and(|items| items.iter().all(|item| *item == json!({ "exists": false })))
    };
    if absent_only(a) || absent_only(b) {
        return true;
    }
    let singles = |list: &Value| -> Option<Vec<Value>> {
        let items = list.as_array()?.iter().filter(|item| **item != json!({ "exists": false }));
        items.map(|item| (!item.is_object() && !item.is_array()).then(|| item.clone())).collect()
    };
    [(a, b), (b, a)]
        .iter()
        .any(|(few, other)| singles(few).is_some_and(|values| values.iter().all(|value| !admits(other, Some(value)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_share_nothing() {
        let apart = |a: Value, b: Value| {
            assert_eq!(disjoint(&a, &b), disjoint(&b, &a));
            disjoint(&a, &b)
        };
        assert!(apart(json!(["a"]), json!(["b"])));
        assert!(apart(json!(["a", "b"]), json!([{"prefix": "c"}])));
        assert!(apart(json!([{"exists": true}]), json!([{"exists": false}])));
        assert!(apart(json!([{"exists": false}]), json!(["a"])));
        assert!(!apart(json!(["a"]), json!([{"anything-but": "b"}])));
        assert!(!apart(json!([{"exists": false}, "a"]), json!([{"exists": false}, "b"])));
        assert!(!apart(json!([{"prefix": "a"}]), json!([{"prefix": "b"}])), "not provable by single values");
    }

    #[test]
    fn every_combination_is_met() {
        let pattern = Node::from_json(&json!({
            "source": ["aws.kms"],
            "$or": [{ "detail": { "a": ["1"] } }, { "detail": { "$or": [{ "b": ["2"] }, { "c": ["3"] }] } }],
        }));
        let paths: Vec<Vec<String>> = branches(&pattern)
            .iter()
            .map(|branch| {
                let mut paths: Vec<String> = branch.iter().map(|clause| clause.path.clone()).collect();
                paths.sort();
                paths
            })
            .collect();
        assert_eq!(paths, [["detail.a", "source"], ["detail.b", "source"], ["detail.c", "source"]]);
    }
}
