//! A pattern that was pasted as JSON, with the place of each part in that text.

use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::node::{Kind, Name, Node, NodeKind};

/// What is wrong with a text that is no JSON, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub at: usize,
    pub message: String,
}

/// Reads JSON. Of members with one name the last counts.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    // Refuses what nests too deep, too.
    let checked: Result<serde_json::Value, _> = serde_json::from_str(text);
    let whole = checked.and_then(|_| serde_json::from_str::<&RawValue>(text));
    whole.and_then(|whole| node(text, whole)).map_err(|error| fault(text, &error))
}

fn fault(text: &str, error: &serde_json::Error) -> Fault {
    let said = error.to_string();
    let message = said.rsplit_once(" at line ").map_or(&*said, |(message, _)| message).to_owned();
    let before = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    // The column is that of the last byte read.
    Fault { at: (before + error.column().saturating_sub(1)).min(text.len()), message }
}

fn node(text: &str, raw: &RawValue) -> Result<Node, serde_json::Error> {
    let span = place(text, raw);
    let kind = match raw.get().as_bytes().first() {
        Some(b'{') => {
            let Members(found) = serde_json::from_str(raw.get())?;
            let mut members: Vec<(Name, Node)> = Vec::with_capacity(found.len());
            let mut end = span.start + 1;
            for (name, value) in found {
                let value = node(text, value)?;
                let between = text.get(end..value.span.start).unwrap_or_default();
                let quotes = between.find('"').zip(between.rfind('"'));
                let (first, after) =
                    quotes.map_or((value.span.start, value.span.end), |(first, last)| (end + first, end + last + 1));
                let span = first..after;
                end = value.span.end;
                members.push((Name { text: name, span }, value));
            }
            NodeKind::Table(last_of_each(members))
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get())?;
            NodeKind::Array(items.into_iter().map(|item| node(text, item)).collect::<Result<_, _>>()?)
        }
        _ => serde_json::from_str::<Kind>(raw.get())?.0,
    };
    Ok(Node { span, kind })
}

/// Where a part of the text stands in it.
fn place(text: &str, raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + raw.get().len()
}

fn last_of_each(mut members: Vec<(Name, Node)>) -> Vec<(Name, Node)> {
    members.sort_by(|(a, _), (b, _)| (&a.text, b.span.start).cmp(&(&b.text, a.span.start)));
    members.dedup_by(|(later, _), (kept, _)| later.text == kept.text);
    members.sort_by_key(|(name, _)| name.span.start);
    members
}

/// An object's members in the order written.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
