//! What a field may be, in the words of our patterns.

use serde_json::{Number, Value, json};

use crate::core::pattern::{Node, Pattern};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Text(String),
    /// Text in any case.
    Folded(String),
    Number(Number),
    Bool(bool),
    Null,
    Absent,
    Present,
    Prefix(String, Case),
    Suffix(String, Case),
    Wildcard(String),
    Range(Range),
    Network(String),
    /// The finished operator.
    AnythingBut(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Exact,
    Folded,
}

/// A range of numbers; a bound counts itself in where `true`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Range {
    pub(super) low: Option<(Number, bool)>,
    pub(super) high: Option<(Number, bool)>,
}

impl Range {
    /// What is in both.
    fn and(&self, other: &Self) -> Self {
        let value = |bound: &(Number, bool)| bound.0.as_f64().unwrap_or_default();
        let pick = |a: &Option<(Number, bool)>, b: &Option<(Number, bool)>, higher: bool| match (a, b) {
            (Some(a), Some(b)) => {
                let (first, second) = (value(a), value(b));
                // Of two equal bounds, the one that counts itself out is the closer one.
                let a_is_closer = if first.total_cmp(&second).is_eq() { !a.1 } else { (first > second) == higher };
                Some(if a_is_closer { a.clone() } else { b.clone() })
            }
            (one, None) | (None, one) => one.clone(),
        };
        Self { low: pick(&self.low, &other.low, true), high: pick(&self.high, &other.high, false) }
    }

    fn json(&self) -> Value {
        let mut list = vec![];
        if let Some((bound, inside)) = &self.low {
            list.extend([json!(if *inside { ">=" } else { ">" }), json!(bound)]);
        }
        if let Some((bound, inside)) = &self.high {
            list.extend([json!(if *inside { "<=" } else { "<" }), json!(bound)]);
        }
        // Our patterns want two different bounds, or the one value.
        if let (Some((low, true)), Some((high, true))) = (&self.low, &self.high)
            && low == high
        {
            list = vec![json!("="), json!(low)];
        }
        json!({ "numeric": list })
    }
}

impl Item {
    pub(super) fn json(&self) -> Value {
        let affix = |name: &str, text: &str, case: Case| match case {
            Case::Exact => json!({ name: text }),
            Case::Folded => json!({ name: { "equals-ignore-case": text } }),
        };
        match self {
            Self::Text(text) => json!(text),
            Self::Folded(text) => json!({ "equals-ignore-case": text }),
            Self::Number(number) => json!(number),
            Self::Bool(value) => json!(value),
            Self::Null => json!({ "is-null": true }),
            Self::Absent => json!({ "exists": false }),
            Self::Present => json!({ "exists": true }),
            Self::Prefix(text, case) => affix("prefix", text, *case),
            Self::Suffix(text, case) => affix("suffix", text, *case),
            Self::Wildcard(text) => json!({ "wildcard": text }),
            Self::Range(range) => range.json(),
            Self::Network(text) => json!({ "cidr": text }),
            Self::AnythingBut(what) => json!({ "anything-but": what }),
        }
    }

    /// One value and no other.
    fn single(&self) -> Option<Value> {
        matches!(self, Self::Text(_) | Self::Number(_) | Self::Bool(_)).then(|| self.json())
    }

    /// One text in any case, and nothing that asks for case.
    fn folds(&self) -> bool {
        match self {
            Self::Present | Self::Folded(_) | Self::Prefix(_, Case::Folded) | Self::Suffix(_, Case::Folded) => true,
            Self::Text(text) | Self::Prefix(text, _) | Self::Suffix(text, _) | Self::Wildcard(text) => caseless(text),
            _ => false,
        }
    }

    /// This as a wildcard that heeds case.
    fn wildcard(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(escaped(text)),
            Self::Prefix(text, Case::Exact) => Some(format!("{}*", escaped(text))),
            Self::Suffix(text, Case::Exact) => Some(format!("*{}", escaped(text))),
            Self::Wildcard(text) => Some(text.clone()),
            _ => None,
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('*', r"\*")
}

/// Whether a text is the same in every case.
pub(super) fn caseless(text: &str) -> bool {
    text.chars().all(|c| c.to_lowercase().eq([c]) && c.to_uppercase().eq([c]))
}

/// The list of a field, as JSON.
pub(super) fn list(items: &[Item]) -> Value {
    items.iter().map(Item::json).collect()
}

/// What it takes to be none of these, given that the field is there; `None` if our patterns cannot say it.
pub(super) fn complement(items: &[Item]) -> Option<Vec<Item>> {
    let all = |test: fn(&Item) -> bool| items.iter().all(test);
    let texts = |items: &[Item]| -> Vec<Value> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Text(text) | Item::Folded(text) | Item::Prefix(text, _) | Item::Suffix(text, _) => {
                    Some(json!(text))
                }
                Item::Number(number) => Some(json!(number)),
                _ => None,
            })
            .collect()
    };
    let but = |what: Value| Some(vec![Item::AnythingBut(what)]);
    if all(|item| matches!(item, Item::Text(_))) || all(|item| matches!(item, Item::Number(_))) {
        return but(Value::Array(texts(items)));
    }
    if all(|item| matches!(item, Item::Folded(_)) || matches!(item, Item::Text(text) if caseless(text))) {
        return but(json!({ "equals-ignore-case": texts(items) }));
    }
    if all(|item| matches!(item, Item::Prefix(_, Case::Exact))) {
        return but(json!({ "prefix": texts(items) }));
    }
    if all(|item| matches!(item, Item::Suffix(_, Case::Exact))) {
        return but(json!({ "suffix": texts(items) }));
    }
    let wildcards: Option<Vec<String>> = items.iter().map(Item::wildcard).collect();
    wildcards.and_then(|all| but(json!({ "wildcard": all })))
}

/// What two lists for one field come to.
pub(super) enum Both {
    /// One list says the same.
    List(Vec<Item>),
    /// Nothing can be in both.
    Never,
    /// No list says it.
    Two,
}

/// What is in both lists.
pub(super) fn both(a: &[Item], b: &[Item]) -> Both {
    let listed = |items: Vec<Item>| if items.is_empty() { Both::Never } else { Both::List(items) };
    for (few, others) in [(a, b), (b, a)] {
        if let Some(values) = few.iter().map(Item::single).collect::<Option<Vec<_>>>() {
            let kept = few.iter().zip(&values).filter(|(_, value)| accepts(others, value));
            return listed(kept.map(|(item, _)| item.clone()).collect());
        }
        let may_lack = |items: &[Item]| items.contains(&Item::Absent);
        if few.contains(&Item::Present) && !may_lack(few) {
            return listed(others.iter().filter(|item| **item != Item::Absent).cloned().collect());
        }
        if few.iter().all(|item| matches!(item, Item::Absent | Item::Null)) {
            let kept = few.iter().filter(|item| match item {
                Item::Null => accepts(others, &Value::Null),
                _ => others.contains(item),
            });
            return listed(kept.cloned().collect());
        }
        let folded = few.iter().all(|item| matches!(item, Item::Folded(_)));
        if folded && others.iter().all(Item::folds) {
            let kept = few.iter().filter(|item| matches!(item, Item::Folded(text) if accepts(others, &json!(text))));
            return listed(kept.cloned().collect());
        }
    }
    match (a, b) {
        ([Item::Range(a)], [Item::Range(b)]) => Both::List(vec![Item::Range(a.and(b))]),
        _ if a == b => Both::List(a.to_vec()),
        _ => Both::Two,
    }
}

/// Whether a field that has this value passes, by the very matcher that will run.
pub(super) fn accepts(items: &[Item], value: &Value) -> bool {
    let pattern = Pattern::compile(&Node::from_json(&json!({ "f": list(items) })));
    pattern.is_ok_and(|pattern| pattern.matches(&json!({ "f": value })))
}
