//! Forgiving access to JSON of unknown shape: a member of the wrong type is a missing member.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// A string that is not empty.
pub(in crate::core) fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|s| !s.is_empty())
}

pub(super) fn owned(object: &Object, name: &str) -> Option<String> {
    text(object, name).map(str::to_owned)
}

pub(super) fn object<'a>(object: &'a Object, name: &str) -> Option<&'a Object> {
    object.get(name)?.as_object()
}

pub(super) fn array<'a>(object: &'a Object, name: &str) -> Option<&'a Vec<Value>> {
    object.get(name)?.as_array()
}

/// `true`, `"true"`, `"False"`: CloudTrail writes booleans in both ways.
pub(super) fn boolean(object: &Object, name: &str) -> Option<bool> {
    match object.get(name)? {
        Value::Bool(b) => Some(*b),
        Value::String(s) if s.eq_ignore_ascii_case("true") => Some(true),
        Value::String(s) if s.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// An account id, also where a tool on the way turned it into a number and lost its leading zeros.
pub(super) fn account(object: &Object, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(s) if !s.is_empty() => Some(s.clone()),
        Value::Number(n) => n.as_u64().map(|n| format!("{n:012}")),
        _ => None,
    }
}

/// RFC 3339 text, or a number of seconds (or milliseconds) since 1970. Far-future times are kept as they are: the
/// core has no clock to judge them by.
pub(super) fn time(object: &Object, name: &str) -> Option<Timestamp> {
    match object.get(name)? {
        Value::String(s) => s.parse().ok(),
        Value::Number(n) => {
            let n = n.as_i64()?;
            // Seconds reach 10^11 in the year 5138.
            if n.abs() < 100_000_000_000 { Timestamp::from_second(n).ok() } else { Timestamp::from_millisecond(n).ok() }
        }
        _ => None,
    }
}

/// At most `chars` characters of `text` without control characters: for messages about a body.
pub(super) fn short(text: &str, chars: usize) -> String {
    let mut out: String = text.chars().filter(|c| !c.is_control()).take(chars).collect();
    if text.chars().count() > chars {
        out.push('…');
    }
    out
}
