//! Untrusted text made fit to be shown: no control characters, no changes of writing direction, no endless values.

use serde_json::Value;

/// One line: line breaks and tabs become spaces; what cannot be seen or turns the text around becomes `\u{FFFD}`.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { visible(c) }).collect()
}

/// Like [`clean`], but keeps line breaks: for text of the operator's own.
pub(super) fn clean_lines(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => c,
            c if c.is_whitespace() => ' ',
            c => visible(c),
        })
        .collect()
}

/// At most `max` UTF-16 units (what Slack and browsers count; never fewer than characters), with `…` where it was cut.
pub(super) fn cut(text: &str, max: usize) -> String {
    // Few values are long: look only as far as needed.
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.len_utf16();
        if used > max {
            return shorten(text.get(..at).unwrap_or_default(), max);
        }
    }
    text.to_owned()
}

/// [`clean`] and [`cut`] without walking a megabyte.
pub(super) fn fit(text: &str, max: usize) -> String {
    cut(&text.chars().take(max + 1).map(|c| if c.is_whitespace() { ' ' } else { visible(c) }).collect::<String>(), max)
}

/// Cuts every string inside to `max` units and every list or table to `max_entries`.
pub(super) fn shrink(value: &mut Value, max: usize, max_entries: usize) {
    match value {
        Value::String(text) => *text = cut(text, max),
        Value::Array(items) => {
            items.truncate(max_entries);
            for item in items {
                shrink(item, max, max_entries);
            }
        }
        Value::Object(members) => {
            while members.len() > max_entries {
                let Some(last) = members.keys().next_back().cloned() else { break };
                members.remove(&last);
            }
            for member in members.values_mut() {
                shrink(member, max, max_entries);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// First letter in upper case.
pub(super) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn shorten(head: &str, max: usize) -> String {
    let mut kept = String::new();
    let mut used = 1;
    for c in head.chars() {
        used += c.len_utf16();
        if used > max {
            break;
        }
        kept.push(c);
    }
    if max > 0 {
        kept.push('…');
    }
    kept
}

fn visible(c: char) -> char {
    match c {
        // Directional marks, embeddings, overrides and isolates; zero-width characters; tags; the byte order mark.
        '\u{061C}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}'
        | '\u{E0000}'..='\u{E007F}' => '\u{FFFD}',
        c if c.is_control() => '\u{FFFD}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_turns_text_around_is_made_visible() {
        assert_eq!(clean("a\nb\tc\u{7}d\u{202E}e"), "a b c\u{FFFD}d\u{FFFD}e");
        assert_eq!(clean_lines("a\nb\rc"), "a\nb c");
        assert_eq!(fit("a\u{2028}b", 10), "a b", "a line separator is white space");
    }

    #[test]
    fn a_cut_is_marked_and_counts_utf16() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("a😀b", 4), "a😀b");
        assert_eq!(cut("a😀bc", 4), "a😀…");
        assert_eq!(cut("😀😀", 2), "…");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn shrinking_reaches_every_depth() {
        let mut value = json!({"a": ["xxxxx", {"b": "yyyyy"}], "c": 1, "d": 2, "e": 3});
        shrink(&mut value, 3, 2);
        assert_eq!(value, json!({"a": ["xx…", {"b": "yy…"}], "c": 1}));
    }

    proptest! {
        #[test]
        fn a_cut_text_is_never_longer(text in "\\PC{0,40}", max in 0usize..30) {
            prop_assert!(cut(&text, max).encode_utf16().count() <= max);
            prop_assert!(fit(&text, max).encode_utf16().count() <= max);
        }
    }
}
