//! Untrusted text made harmless for one line of plain text.

/// At most `chars` characters of `text` on one line, without control characters and without characters that turn,
/// hide or reorder what follows them. Markup is the sinks' business.
pub fn clean(text: &str, chars: usize) -> String {
    if is_clean(text) && text.len() <= chars {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut space = false;
    let mut left = chars;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            space = !out.is_empty();
            continue;
        }
        if hides(c) {
            continue;
        }
        let wanted = 1 + usize::from(space);
        if left < wanted {
            out.push('…');
            return out;
        }
        if space {
            out.push(' ');
            space = false;
        }
        out.push(c);
        left -= wanted;
    }
    out
}

/// Plain words with one space between two: what most names and values are.
fn is_clean(text: &str) -> bool {
    let mut before = b' ';
    let plain = text.bytes().all(|byte| {
        let fits = byte.is_ascii_graphic() || (byte == b' ' && before != b' ');
        before = byte;
        fits
    });
    plain && before != b' '
}

/// Direction marks, embeddings, overrides and isolates; zero-width characters; byte order mark; tag characters;
/// interlinear annotations.
fn hides(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{180E}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
        | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_harmless_line() {
        assert_eq!(clean("a\r\n\tb\0c", 10), "a b c");
        assert_eq!(clean("pay\u{202e}lla\u{2066}x\u{200b}y\u{feff}", 20), "payllaxy");
        assert_eq!(clean("  padded  ", 20), "padded");
        assert_eq!(clean("größe 密钥 🔑", 20), "größe 密钥 🔑");
        assert_eq!(clean("two words", 9), "two words");
        for spaced in [" two words", "two words ", "two  words", "two \u{202e}words", "two\u{7f}words"] {
            assert_eq!(clean(spaced, 20), "two words", "{spaced:?}");
        }
        assert_eq!(clean("", 20), "");
        assert_eq!(clean("<!channel> *x*", 20), "<!channel> *x*", "markup is left to the sinks");
    }

    #[test]
    fn text_is_bounded_in_characters() {
        assert_eq!(clean("abcdef", 6), "abcdef");
        assert_eq!(clean("abcdefg", 6), "abcdef…");
        assert_eq!(clean("密".repeat(1_000_000).as_str(), 3), "密密密…");
        assert_eq!(clean("abc   ", 3), "abc");
    }
}
