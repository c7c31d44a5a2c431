//! Which parts of a text that is not TOML may be secrets. Nothing in it has a type, so names and looks have to do; to hide too much
//! costs a reader little.

use std::ops::Range;

/// A name that holds one of these names something secret, or something that may hold it (an address, a header).
const NAMES: &[&str] = &[
    "token",
    "secret",
    "passw",
    "_key",
    "apikey",
    "url",
    "header",
    "auth",
    "credential",
    "cookie",
    "signature",
    "bearer",
];

/// How well-known secrets begin.
const BEGINNINGS: &[&str] = &["xox", "xapp-", "whsec_", "ghp_", "AKIA", "ASIA"];

/// Letters and digits without a gap, so many, are more likely a token than a word.
const TOKEN_MIN: usize = 16;

/// The byte ranges that are not to be shown, without their quotes.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut named) = (0, false);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') && !line.contains('=') {
            named = false;
        } else if let Some((name, _)) = line.split_once('=').filter(|(name, _)| is_name(name)) {
            // What follows without a name of its own belongs to it too: a list, a text of several lines.
            named = is_secret(name);
        }
        for part in parts(line) {
            let word = line.get(part.clone()).unwrap_or_default();
            let name = is_before_equals(line, part.end);
            named |= (name || !line.contains('=')) && is_secret(word);
            if looks_secret(word) || (named && !name) {
                found.push(start + part.start..start + part.end);
            }
        }
        start += line.len();
    }
    found
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    NAMES.iter().any(|part| name.contains(part))
}

fn looks_secret(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+/=.".contains(c);
    BEGINNINGS.iter().any(|beginning| word.contains(beginning))
        || word.split(|c| !plain(c)).any(|run| {
            run.len() >= TOKEN_MIN
                && run.contains(|c: char| c.is_ascii_digit())
                && run.contains(|c: char| c.is_ascii_alphabetic())
        })
}

/// Whether this can be the left side of a `key = value`.
fn is_name(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-. \"'".contains(c))
}

/// Whether what ends there is the name in a `name = value`.
fn is_before_equals(line: &str, end: usize) -> bool {
    line.get(end..).is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ', '\t']).starts_with('='))
}

/// The texts and bare words of a line; a text that is not closed goes to the end of the line.
fn parts(line: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' | '\'' => {
                let mut end = line.trim_end_matches(['\r', '\n']).len();
                while let Some((here, inner)) = chars.next() {
                    if inner == '\\' && c == '"' {
                        chars.next();
                    } else if inner == c {
                        end = here;
                        break;
                    }
                }
                parts.push(at + 1..end.max(at + 1));
            }
            c if is_gap(c) => {}
            _ => {
                while chars.next_if(|(_, next)| !is_gap(*next) && !"\"'".contains(*next)).is_some() {}
                let end = chars.peek().map_or(line.len(), |(next, _)| *next);
                parts.push(at..end);
            }
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn is_gap(c: char) -> bool {
    c.is_whitespace() || ",[]{}=#".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut shown = text.as_bytes().to_vec();
        for range in secrets(text) {
            shown[range].fill(b'*');
        }
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn what_a_secret_name_names_is_hidden_in_whatever_form() {
        for (text, wanted) in [
            ("token = \"hunter2 and more", "token = \"****************"),
            ("token = hunter2", "token = *******"),
            ("token \"hunter2\"", "***** \"*******\""),
            ("routing_key = 'a' 'b'", "routing_key = '*' '*'"),
            ("\"Password\" = 'it\\'s", "\"Password\" = '***'*"),
            ("webhook_url = https://host/a", "webhook_url = **************"),
            ("x = { token = \"hunter2\", b = 1", "x = { token = \"*******\", b = *"),
            ("token = { env = \"hunter2\" ", "token = { env = \"*******\" "),
            ("token = \"a\\\"b\" c", "token = \"****\" *"),
            (
                "secrets = [\n  \"one\" \"two\"\n]\n[log]\nlevel = info",
                "secrets = [\n  \"***\" \"***\"\n]\n[log]\nlevel = info",
            ),
            ("token = \"\"\"\nhunter2\"\"\nlevel = x", "token = \"\"\"\n*******\"\"\nlevel = x"),
            ("# token = \"hunter2", "# token = \"*******"),
            ("token = \"ö🦀\n", "token = \"******\n"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_token_is_hidden_under_any_name() {
        assert_eq!(shown("name = \"whsec_x"), "name = \"*******");
        assert_eq!(shown("name = 0123456789abcdef"), "name = ****************");
        assert_eq!(shown("0123456789abcdef = 1"), "**************** = 1");
    }

    #[test]
    fn the_rest_is_shown() {
        for text in [
            "level = info",
            "match = { detail.eventName = [\"DisableKey\" \"EnableKey\"], key.aliases = [\"alias/prod\"]",
            "group_by = [\"key.arn\"",
            "title = \"Somebody disabled a key that production needs",
            "[queues.main",
        ] {
            assert_eq!(shown(text), text);
        }
    }
}
