//! Where in a TOML file the characters of a text stand: a text that holds something itself, such as JSON, may be wrong inside.

use std::ops::Range;

/// The place of `inside`, a byte range of a text as read, whose literal stands at `span` of the file. What is no literal has
/// no places inside: then it is `span` itself.
pub(super) fn inside(file: &str, span: &Range<usize>, inside: &Range<usize>) -> Range<usize> {
    let Some(literal) = file.get(span.clone()) else { return span.clone() };
    let wanted = [inside.start, inside.end.max(inside.start)];
    match places(literal, wanted) {
        Some([start, end]) => span.start + start..span.start + end,
        None => span.clone(),
    }
}

/// The offsets in a literal at which the bytes of its value at two offsets, in order, begin.
fn places(literal: &str, wanted: [usize; 2]) -> Option<[usize; 2]> {
    let quote = ["'''", "\"\"\"", "'", "\""].into_iter().find(|quote| literal.starts_with(quote))?;
    let mut at = quote.len();
    if quote.len() == 3 {
        let rest = literal.get(at..)?;
        at += ["\r\n", "\n"].into_iter().find(|newline| rest.starts_with(newline)).map_or(0, str::len);
    }
    let end = literal.len().checked_sub(quote.len()).filter(|end| *end >= at)?;
    let mut value = 0;
    let mut found = [None; 2];
    loop {
        for (found, wanted) in found.iter_mut().zip(wanted) {
            if value >= wanted {
                found.get_or_insert(at);
            }
        }
        if let [Some(start), Some(stop)] = found {
            return Some([start, stop]);
        }
        let rest = literal.get(at..end).filter(|rest| !rest.is_empty());
        let Some(rest) = rest else { return Some(found.map(|found| found.unwrap_or(end))) };
        let (read, written) = if quote.starts_with('"') { escaped(rest) } else { None }
            .unwrap_or_else(|| rest.chars().next().map_or((1, 1), |c| (c.len_utf8(), c.len_utf8())));
        (at, value) = (at + read, value + written);
    }
}

/// How long an escape is, and what it stands for.
fn escaped(text: &str) -> Option<(usize, usize)> {
    let rest = text.strip_prefix('\\')?;
    let digits = match rest.chars().next()? {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        // At the end of a line: all space up to the next text is none.
        c if c.is_ascii_whitespace() => return Some((text.len() - rest.trim_ascii_start().len(), 0)),
        _ => return Some((2, 1)),
    };
    let code = u32::from_str_radix(rest.get(1..=digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of the file the word of the value is found to be.
    fn found<'f>(file: &'f str, word: &str) -> &'f str {
        #[derive(serde::Deserialize)]
        struct Holder {
            x: serde_spanned::Spanned<String>,
        }
        let x = toml::from_str::<Holder>(file).unwrap().x;
        let start = x.get_ref().find(word).unwrap();
        file.get(inside(file, &x.span(), &(start..start + word.len()))).unwrap()
    }

    #[test]
    fn every_kind_of_literal_is_read_as_toml_reads_it() {
        for file in [
            "x = 'a ö word b'",
            "x = '''word b'''",
            "x = '''\nword b'''",
            "x = '''\r\na\r\n🦀 word b\r\n'''",
            "y = 1\nx = \"a \\\"ö\\\" word b\"",
            "x = \"\"\"\n\\\"a\\\\ \\u00f6 \\U0001F980 \\t word\"\"\"",
            "x = \"\"\"a \\\n   \n   b\\nword ''' \"\"\"",
            "x = \"\"\"\"word\"\"\"\"",
        ] {
            assert_eq!(found(file, "word"), "word", "{file}");
        }
        assert_eq!(found("x = \"\\u0077ord\"", "word"), "\\u0077ord");
    }

    #[test]
    fn what_is_no_literal_has_its_own_place() {
        assert_eq!(inside("x = 12", &(4..6), &(1..2)), 4..6);
        assert_eq!(inside("x", &(4..6), &(1..2)), 4..6);
        assert_eq!(inside("x = 'ab'", &(4..8), &(9..12)), 7..7, "behind its end");
        assert_eq!(inside("x = '", &(4..5), &(0..1)), 4..5);
    }
}
