//! Tells at a glance which patterns an event can possibly match.
//!
//! Most messages concern no rule. Three hash look-ups on members that can be read without building the event find
//! the few combinations worth a closer look, and only what passes that look is decoded in full.

use std::collections::HashMap;

use serde_json::Value;

use crate::core::decode::Peek;
use crate::core::pattern::Pattern;
use crate::core::pattern::needs::{Need, Selector};

/// Patterns by the values that their most telling member may have.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Every combination of every pattern, with the number of its pattern.
    entries: Vec<Entry>,
    by_event_name: Table,
    by_detail_type: Table,
    by_source: Table,
    /// Entries that no plain value selects.
    others: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    pattern: usize,
    need: Need,
}

/// A member's value to places in [`Index::entries`].
type Table = HashMap<Box<str>, Vec<usize>>;

impl Index {
    /// Indexes `patterns`, each under a number of the caller's choice; several may share one.
    pub fn new<'p>(patterns: impl IntoIterator<Item = (usize, &'p Pattern)>) -> Self {
        let mut index = Self::default();
        let needs = patterns.into_iter().flat_map(|(pattern, p)| p.needs().into_iter().map(move |n| (pattern, n)));
        for (at, (pattern, need)) in needs.enumerate() {
            let (table, values) = match need.selector() {
                Selector::EventName(values) => (&mut index.by_event_name, values),
                Selector::DetailType(values) => (&mut index.by_detail_type, values),
                Selector::Source(values) => (&mut index.by_source, values),
                Selector::None => {
                    index.others.push(at);
                    index.entries.push(Entry { pattern, need });
                    continue;
                }
            };
            for value in values {
                table.entry(value.into()).or_default().push(at);
            }
            index.entries.push(Entry { pattern, need });
        }
        index
    }

    /// Whether any pattern may match an event that peeks so. False only if provably none does, provided that `peek`
    /// came from [`crate::core::decode::peek`].
    pub fn concerned(&self, peek: &Peek<'_>) -> bool {
        if peek.source.is_empty() || peek.detail_type.is_empty() {
            return self.entries.iter().any(|entry| entry.need.admits(peek));
        }
        self.selected(peek.event_name.as_deref(), &peek.detail_type, &peek.source)
            .any(|at| self.entries[at].need.admits(peek))
    }

    /// Numbers of the patterns that may match `document`, ascending, each once. For a decoded event: it looks at
    /// nothing but the selecting members, and gives all patterns where one of them has an unusual shape.
    pub fn candidates(&self, document: &Value) -> Vec<usize> {
        let detail = document.get("detail");
        let event_name = detail.and_then(|detail| detail.get("eventName"));
        let (source, detail_type) = (document.get("source"), document.get("detail-type"));
        // An array of details or names would hold several values.
        let usual = !detail.is_some_and(Value::is_array) && !event_name.is_some_and(Value::is_array);
        let mut numbers: Vec<usize> = match (source, detail_type) {
            (Some(Value::String(source)), Some(Value::String(detail_type))) if usual => self
                .selected(event_name.and_then(Value::as_str), detail_type, source)
                .map(|at| self.entries[at].pattern)
                .collect(),
            _ => self.entries.iter().map(|entry| entry.pattern).collect(),
        };
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn selected(&self, event_name: Option<&str>, detail_type: &str, source: &str) -> impl Iterator<Item = usize> {
        let by_name = event_name.and_then(|name| self.by_event_name.get(name));
        let by_type = self.by_detail_type.get(detail_type);
        let by_source = self.by_source.get(source);
        [by_name, by_type, by_source, Some(&self.others)].into_iter().flatten().flatten().copied()
    }
}

#[cfg(test)]
mod tests;
