//! Makes JSON readable that is well formed but that our parser refuses: numbers beyond `f64` and half surrogate
//! pairs. A body shaped to defeat decoding must not be a way around us.

use std::borrow::Cow;

/// Rewrites numbers that no `f64` can hold as strings, and escapes of lone surrogates as U+FFFD. Borrowed where there
/// was nothing to do. One pass; the result is at most a third longer than the text.
pub(super) fn repair(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    let mut replace = |from: usize, to: usize, with: &str| {
        out.push_str(text.get(copied..from).unwrap_or_default());
        out.push_str(with);
        copied = to;
    };
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string(bytes, at + 1, &mut replace),
            b'-' | b'0'..=b'9' => {
                let len = bytes
                    .get(at..)
                    .unwrap_or_default()
                    .iter()
                    .take_while(|b| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .count();
                let number = text.get(at..at + len).unwrap_or_default();
                if number.parse::<f64>().is_ok_and(f64::is_infinite) {
                    replace(at, at + len, &format!("\"{number}\""));
                }
                at += len;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// Walks over a string's inside from `at`; gives the place after its closing quote.
fn string(bytes: &[u8], mut at: usize, replace: &mut impl FnMut(usize, usize, &str)) -> usize {
    loop {
        match bytes.get(at) {
            None => return at,
            Some(b'"') => return at + 1,
            Some(b'\\') => match unit(bytes, at) {
                Some(0xD800..=0xDBFF) if matches!(unit(bytes, at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
                Some(0xD800..=0xDFFF) => {
                    replace(at, at + 6, "\\ufffd");
                    at += 6;
                }
                _ => at += 2,
            },
            Some(_) => at += 1,
        }
    }
}

/// The UTF-16 unit of a `\uXXXX` escape at `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let hex = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> serde_json::Value {
        serde_json::from_str(&repair(text)).unwrap()
    }

    #[test]
    fn numbers_beyond_range_become_text() {
        assert!(serde_json::from_str::<serde_json::Value>(r#"{"a":1e999}"#).is_err(), "else this file is not needed");
        assert_eq!(value(r#"{"a":1e999,"b":[-2E+400, 1.5]}"#).to_string(), r#"{"a":"1e999","b":["-2E+400",1.5]}"#);
    }

    #[test]
    fn lone_surrogates_become_the_replacement_character() {
        let bad = r#"{"a":"x\ud800y","b":"\udc00","c":"\ud83d\ude00","d":"\\ud800"}"#;
        assert!(serde_json::from_str::<serde_json::Value>(bad).is_err(), "else this file is not needed");
        let v = value(bad);
        assert_eq!(v["a"], "x\u{fffd}y");
        assert_eq!(v["b"], "\u{fffd}");
        assert_eq!(v["c"], "\u{1f600}");
        assert_eq!(v["d"], "\\ud800");
    }

    #[test]
    fn sound_text_is_left_alone() {
        let text = "{\"a\":\"1e999 \\\" \u{e9}\",\"b\":1e99}";
        assert!(matches!(repair(text), Cow::Borrowed(_)));
        assert!(matches!(repair("\"\\"), Cow::Borrowed(_)));
    }
}
