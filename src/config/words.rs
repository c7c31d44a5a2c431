//! Says in plain words what serde and the TOML parser found.

use crate::base::diagnostic::did_you_mean;

/// What kind of slip it was; decides what is taken out before reading on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slip {
    /// A key that nobody knows.
    UnknownKey(String),
    /// A key that has to be there.
    MissingKey(String),
    /// A value that cannot be used.
    BadValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub slip: Slip,
    pub message: String,
    pub hint: Option<String>,
}

/// Puts a deserialization error into plain words. `table` is the dotted path of the table it is in, empty at the top.
/// What the file holds is repeated only where it cannot be a secret.
pub(super) fn plain(raw: &str, table: &str) -> Said {
    let place = if table.is_empty() { "at the top of the file".to_owned() } else { format!("in `{table}`") };
    if let Some((word, known)) = quoted_and_expected(raw, "unknown field `") {
        let message = format!("unknown key `{word}` {place}");
        let hint = did_you_mean(&word, &backticked(&known), "known keys here");
        return Said { slip: Slip::UnknownKey(word), message, hint: Some(hint) };
    }
    if let Some((word, known)) = quoted_and_expected(raw, "unknown variant `") {
        let hint = did_you_mean(&word, &backticked(&known), "possible values");
        return bad(format!("`{word}` is not one of the possible values"), Some(hint));
    }
    if let Some(word) = raw.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return Said {
            slip: Slip::MissingKey(word.to_owned()),
            message: format!("`{word}` is missing {place}"),
            hint: Some(format!("add `{word} = …`")),
        };
    }
    if raw.contains("socket address") {
        return bad(
            "this is not an address to listen on".to_owned(),
            Some("write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"".to_owned()),
        );
    }
    if let Some((got, wanted)) = raw.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected ")) {
        let hint = type_hint(got, wanted).unwrap_or(LAST_RESORT);
        let message = format!("expected {}, found {}", wanted_in_words(wanted), found_in_words(got));
        return bad(message, Some(hint.to_owned()));
    }
    if let Some((got, wanted)) = raw.strip_prefix("invalid value: ").and_then(|rest| rest.rsplit_once(", expected ")) {
        return bad(
            format!("{} is out of range", found_in_words(got)),
            Some(format!("it has to be {}", wanted_in_words(wanted))),
        );
    }
    match raw.split_once("; ") {
        Some((message, hint)) => bad(message.to_owned(), Some(hint.to_owned())),
        None if raw.contains("secret") => {
            bad(raw.to_owned(), Some("write { env = \"NAME\" } or { file = \"/path\" }".to_owned()))
        }
        None => bad(raw.to_owned(), Some(LAST_RESORT.to_owned())),
    }
}

/// What the TOML parser says (a part of it), what that means, what to do, and whether what it says further down is only an echo.
const SYNTAX: &[(&str, &str, &str, bool)] = &[
    (
        "duplicate key",
        "this key is there twice",
        "every key may stand once in its table; rename or remove one of them",
        false,
    ),
    ("string values must be quoted", "text has to stand in quotes", "put double quotes around the value", false),
    (
        "key-value pairs",
        "`,` or `}` is missing before this, or `=` after a key",
        "members of `{ … }` are separated by commas and closed by `}`; every key has `= value`",
        true,
    ),
    ("inline table", "a `{ … }` is not closed before this", "close it with `}`", true),
    ("array table", "this header is not closed", "write `[[name]]` on a line of its own", false),
    (
        "array",
        "a `[ … ]` is not closed before this, or lacks a comma",
        "separate its items by commas and close it with `]`",
        true,
    ),
    ("unclosed table", "this header is not closed", "write `[name]` on a line of its own", false),
    ("cannot extend", "a value cannot be a table as well", "remove one of the two", false),
    ("value", "this key has no value", "write `key = value`", false),
    (
        "string",
        "this text is not closed, or has a `\\` in it that means nothing",
        "close it with the quote it began with; write `\\\\` for a `\\`, or use single quotes",
        false,
    ),
    ("escape", "this text has a `\\` in it that means nothing", "write `\\\\` for a `\\`, or use single quotes", false),
];

/// Puts a TOML syntax error into plain words: message, hint, and whether further errors are only echoes of it.
pub(super) fn syntax(raw: &str) -> (String, String, bool) {
    let raw = raw.split(", expected ").next().unwrap_or(raw).trim();
    match SYNTAX.iter().find(|(part, ..)| raw.contains(part)) {
        Some((_, meaning, hint, echoes)) => (format!("this is not valid TOML: {meaning}"), (*hint).to_owned(), *echoes),
        None => (
            format!("this is not valid TOML: {raw}"),
            "TOML has one `key = value` on a line, text in double quotes, tables as `[name]`".to_owned(),
            false,
        ),
    }
}

/// What to do where nothing better is known.
const LAST_RESORT: &str = "`kmswatch schema` describes what may stand here";

fn bad(message: String, hint: Option<String>) -> Said {
    Said { slip: Slip::BadValue, message, hint }
}

/// The word between the prefix and the next backtick, and everything after it.
fn quoted_and_expected(raw: &str, prefix: &str) -> Option<(String, String)> {
    let rest = raw.strip_prefix(prefix)?;
    let (word, known) = rest.split_once('`')?;
    Some((word.to_owned(), known.to_owned()))
}

/// All words in backticks.
fn backticked(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn found_in_words(got: &str) -> String {
    let (kind, value) = got.split_once(' ').unwrap_or((got, ""));
    let bare = value.trim_matches('`');
    match kind {
        "string" => "text".to_owned(),
        "integer" => format!("the number {bare}"),
        "floating" => format!("the number {}", bare.trim_start_matches("point ").trim_matches('`')),
        "boolean" => format!("`{bare}`"),
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "unit" => "nothing".to_owned(),
        _ => got.to_owned(),
    }
}

fn wanted_in_words(wanted: &str) -> String {
    let range = |low: String, high: String| format!("a whole number from {low} to {high}");
    match wanted {
        "u8" => range(u8::MIN.to_string(), u8::MAX.to_string()),
        "u16" => range(u16::MIN.to_string(), u16::MAX.to_string()),
        "u32" | "u64" | "usize" => "a whole number from 0 up".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "bool" | "a boolean" => "`true` or `false`".to_owned(),
        "str" | "string" | "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        _ if wanted.starts_with("a nonzero ") => "a whole number from 1 up".to_owned(),
        _ if wanted.starts_with("struct ") => "a table".to_owned(),
        _ if wanted.starts_with("internally") || wanted.starts_with("enum ") => "one of the named values".to_owned(),
        _ => wanted.to_owned(),
    }
}

fn type_hint(got: &str, wanted: &str) -> Option<&'static str> {
    let text = got.starts_with("string");
    match wanted_in_words(wanted).as_str() {
        wanted if text && wanted.contains("number") => Some("write the number without quotes"),
        "`true` or `false`" if text => Some("write `true` or `false` without quotes"),
        wanted if wanted.contains("number") => Some("write a number"),
        "`true` or `false`" => Some("write `true` or `false`"),
        "text" => Some("put the value in double quotes"),
        "a list" => Some("put the value in square brackets: `[…]`"),
        "a table" => Some("write a table: `[…]` on a line of its own, or `{ key = value }`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_gets_the_word_that_was_meant() {
        let said = plain("unknown field `slak`, expected one of `slack`, `pagerduty`", "sinks.ops");
        assert_eq!(said.slip, Slip::UnknownKey("slak".into()));
        assert_eq!(said.message, "unknown key `slak` in `sinks.ops`");
        assert_eq!(said.hint.unwrap(), "did you mean `slack`?");
        let said = plain("unknown field `x`, there are no fields", "");
        assert_eq!(said.message, "unknown key `x` at the top of the file");
        assert_eq!(said.hint.unwrap(), "there are no known keys here");
    }

    #[test]
    fn types_are_said_without_rust_and_without_the_value() {
        let said = plain("invalid type: string \"xoxb-, expected a b\", expected u32", "a");
        assert_eq!(said.message, "expected a whole number from 0 up, found text");
        assert_eq!(said.hint.unwrap(), "write the number without quotes");
        let said = plain("invalid type: integer `5`, expected a string", "a");
        assert_eq!(said.message, "expected text, found the number 5");
        let said = plain("invalid value: integer `300`, expected u8", "a");
        assert_eq!(said.message, "the number 300 is out of range");
        assert_eq!(said.hint.unwrap(), "it has to be a whole number from 0 to 255");
    }

    #[test]
    fn a_parts_own_words_are_split_into_message_and_hint() {
        let said = plain("`soon` is not a duration; write \"5m\"", "a");
        assert_eq!((said.message.as_str(), said.hint.as_deref()), ("`soon` is not a duration", Some("write \"5m\"")));
    }
}
