//! Writes rules as TOML.

use std::fmt::Write as _;

use serde_json::Value;

use super::cases::{Fields, Patterns};
use super::item;

/// Lines longer than this are broken where they can be.
const LINE: usize = 110;

/// A value as TOML; objects and null become inline tables.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "{ is-null = true }".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => string(text),
        Value::Array(items) => format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, member)| format!("{} = {}", key(name), self::value(member))).collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}

/// Text in quotes; without escapes where TOML has a way to.
pub(super) fn string(text: &str) -> String {
    if text.contains(['\\', '"']) && !text.contains('\'') && !text.chars().any(char::is_control) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                if write!(quoted, "\\u{:04X}", u32::from(c)).is_err() {
                    quoted.push(' ');
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { name.to_owned() } else { string(name) }
}

/// Comment lines, safe whatever the text holds.
pub(super) fn comment(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + word.len() + 1 > LINE && line.len() > 1 {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

fn members(fields: &Fields) -> Vec<String> {
    fields
        .iter()
        .map(|(path, items)| {
            let name: Vec<String> = path.steps().iter().map(|step| key(step)).collect();
            format!("{} = {}", name.join("."), value(&item::list(items)))
        })
        .collect()
}

fn table(fields: &Fields) -> String {
    format!("{{ {} }}", members(fields).join(", "))
}

/// The `match` and `except` lines of a rule.
pub(super) fn patterns(patterns: &Patterns) -> String {
    let Patterns { common, or, except } = patterns;
    let mut text = String::from("match = { ");
    text.push_str(&members(common).join(", "));
    if !or.is_empty() {
        if !common.is_empty() {
            text.push_str(", ");
        }
        text.push_str("\"$or\" = [\n");
        for branch in or {
            text.push_str("    ");
            text.push_str(&table(branch));
            text.push_str(",\n");
        }
        text.push(']');
    }
    text.push_str(" }\n");
    match except.as_slice() {
        [] => {}
        [one] => {
            text.push_str("except = [");
            text.push_str(&table(one));
            text.push_str("]\n");
        }
        several => {
            text.push_str("except = [\n");
            for exemption in several {
                text.push_str("    ");
                text.push_str(&table(exemption));
                text.push_str(",\n");
            }
            text.push_str("]\n");
        }
    }
    text
}

/// `name = "text"`.
pub(super) fn line(name: &str, text: &str) -> String {
    format!("{name} = {}\n", string(text))
}

/// `name = [ … ]`, broken into lines where it is long.
pub(super) fn strings(name: &str, texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| string(text)).collect();
    let line = format!("{name} = [{}]\n", quoted.join(", "));
    if line.len() <= LINE {
        return line;
    }
    format!("{name} = [\n    {},\n]\n", quoted.join(",\n    "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let read: toml::Table = format!("a = {}", string(&text)).parse().unwrap();
            prop_assert_eq!(read["a"].as_str(), Some(text.as_str()));
        }

        #[test]
        fn a_comment_stays_one(text in any::<String>()) {
            let read: toml::Table = comment(&text).parse().unwrap();
            prop_assert!(read.is_empty());
        }
    }
}
