//! Sigma's values: text with `*` and `?`, and those regular expressions that are no more than that.

/// How many alternatives one regular expression may make.
const ALTERNATIVES_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// `*`: any characters, also none.
    Many,
    /// `?`: one character.
    One,
}

/// Text with wildcards. Neither two texts nor two `Many` stand side by side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Glob(Vec<Piece>);

/// What a [`Glob`] comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Equal(String),
    Starts(String),
    Ends(String),
    /// `*` alone.
    Anything,
    /// Something for the operator `wildcard`; `loose` where a `?` became a `*`.
    Mixed {
        wildcard: String,
        loose: bool,
    },
}

impl Glob {
    /// Reads a value. A backslash takes the meaning from a `*`, a `?` or another backslash, and is itself before anything else.
    pub(super) fn parse(text: &str) -> Self {
        let mut glob = Self::default();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' => glob.push(Piece::Many),
                '?' => glob.push(Piece::One),
                '\\' => glob.letter(chars.next_if(|next| matches!(next, '*' | '?' | '\\')).unwrap_or('\\')),
                other => glob.letter(other),
            }
        }
        glob
    }

    /// The text itself, without wildcards.
    pub(super) fn literal(text: &str) -> Self {
        let mut glob = Self::default();
        text.chars().for_each(|c| glob.letter(c));
        glob
    }

    fn letter(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.0.push(Piece::Text(c.into())),
        }
    }

    fn push(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => text.chars().for_each(|c| self.letter(c)),
            Piece::Many if self.0.last() == Some(&Piece::Many) => {}
            other => self.0.push(other),
        }
    }

    fn append(&mut self, other: &Self) {
        other.0.iter().for_each(|piece| self.push(piece.clone()));
    }

    /// The same with anything before and after it, as asked.
    pub(super) fn widened(self, before: bool, after: bool) -> Self {
        let mut glob = Self::default();
        if before {
            glob.push(Piece::Many);
        }
        glob.append(&self);
        if after {
            glob.push(Piece::Many);
        }
        glob
    }

    /// The texts between the wildcards.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Many | Piece::One => None,
        })
    }

    /// The same with each text changed.
    pub(super) fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self(
            self.0
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => Piece::Text(change(text)),
                    wild => wild.clone(),
                })
                .collect(),
        )
    }

    pub(super) fn shape(&self) -> Shape {
        match self.0.as_slice() {
            [] => Shape::Equal(String::new()),
            [Piece::Text(text)] => Shape::Equal(text.clone()),
            [Piece::Many] => Shape::Anything,
            [Piece::Text(text), Piece::Many] => Shape::Starts(text.clone()),
            [Piece::Many, Piece::Text(text)] => Shape::Ends(text.clone()),
            pieces => {
                let mut wildcard = String::new();
                let mut star = false;
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => {
                            for c in text.chars() {
                                if matches!(c, '*' | '\\') {
                                    wildcard.push('\\');
                                }
                                wildcard.push(c);
                            }
                        }
                        Piece::Many | Piece::One if star => continue,
                        Piece::Many | Piece::One => wildcard.push('*'),
                    }
                    star = !matches!(piece, Piece::Text(_));
                }
                Shape::Mixed { wildcard, loose: pieces.contains(&Piece::One) }
            }
        }
    }
}

/// A regular expression that is no more than text, `.`, `.*`, anchors and plain alternatives, as globs of which one must
/// fit, and whether it ignores case. `None` for any other.
pub(super) fn regex(text: &str) -> Option<(Vec<Glob>, bool)> {
    let (text, folded) = text.strip_prefix("(?i)").map_or((text, false), |rest| (rest, true));
    let mut globs = vec![];
    for alternative in split(text)? {
        let (body, start) = alternative.strip_prefix('^').map_or((alternative, false), |rest| (rest, true));
        let (body, end) = match body.strip_suffix('$') {
            Some(rest) if !escaped_end(rest) => (rest, true),
            _ => (body, false),
        };
        globs.extend(sequence(body)?.into_iter().map(|glob| glob.widened(!start, !end)));
        if globs.len() > ALTERNATIVES_MAX {
            return None;
        }
    }
    Some((globs, folded))
}

/// Whether a text ends in the middle of an escape.
fn escaped_end(text: &str) -> bool {
    text.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

/// The alternatives outside of groups. `None` if a group does not close.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth, mut escaped) = (vec![], 0, 0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            '|' if depth == 0 => {
                parts.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (depth == 0 && !escaped).then_some(parts)
}

/// A sequence without alternatives but those in groups, as all globs that it may stand for.
fn sequence(text: &str) -> Option<Vec<Glob>> {
    let mut globs = vec![Glob::default()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let c = chars.next().filter(char::is_ascii_punctuation)?;
                for glob in &mut globs {
                    glob.letter(c);
                }
            }
            '.' => {
                let piece = if chars.next_if_eq(&'*').is_some() {
                    chars.next_if_eq(&'?');
                    Piece::Many
                } else {
                    Piece::One
                };
                if chars.next_if_eq(&'+').is_some() {
                    if piece == Piece::Many {
                        return None;
                    }
                    for glob in &mut globs {
                        glob.push(Piece::One);
                    }
                    for glob in &mut globs {
                        glob.push(Piece::Many);
                    }
                } else {
                    for glob in &mut globs {
                        glob.push(piece.clone());
                    }
                }
            }
            '(' => {
                let inside: String = chars.by_ref().take_while(|c| *c != ')').collect();
                let inside = inside.strip_prefix("?:").unwrap_or(&inside);
                if inside.contains(['(', '?', '^', '$']) || inside.ends_with('\\') {
                    return None;
                }
                let mut choices = vec![];
                for part in split(inside)? {
                    choices.extend(sequence(part)?);
                }
                if globs.len().saturating_mul(choices.len()) > ALTERNATIVES_MAX {
                    return None;
                }
                let each = |glob: &Glob| {
                    let glob = glob.clone();
                    choices.clone().into_iter().map(move |choice| {
                        let mut both = glob.clone();
                        both.append(&choice);
                        both
                    })
                };
                globs = globs.iter().flat_map(each).collect();
            }
            ')' | '[' | ']' | '{' | '}' | '+' | '*' | '?' | '^' | '$' | '|' => return None,
            other => {
                for glob in &mut globs {
                    glob.letter(other);
                }
            }
        }
    }
    // A quantifier behind a letter or group was met above and refused.
    Some(globs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Shape {
        Glob::parse(text).shape()
    }

    fn mixed(wildcard: &str, loose: bool) -> Shape {
        Shape::Mixed { wildcard: wildcard.into(), loose }
    }

    #[test]
    fn wildcards_and_escapes() {
        for (text, expected) in [
            ("abc", Shape::Equal("abc".into())),
            ("", Shape::Equal(String::new())),
            ("abc*", Shape::Starts("abc".into())),
            ("**abc", Shape::Ends("abc".into())),
            ("*", Shape::Anything),
            ("*abc*", mixed("*abc*", false)),
            ("a?c", mixed("a*c", true)),
            ("a?*c", mixed("a*c", true)),
            (r"a\*c", Shape::Equal("a*c".into())),
            (r"a\\*", Shape::Starts(r"a\".into())),
            (r"a\\\*", Shape::Equal(r"a\*".into())),
            (r"C:\dir\x", Shape::Equal(r"C:\dir\x".into())),
            (r"*\*x*", mixed(r"*\*x*", false)),
            (r"a\", Shape::Equal(r"a\".into())),
        ] {
            assert_eq!(shape(text), expected, "{text}");
        }
    }

    #[test]
    fn plain_regular_expressions() {
        let shapes =
            |text: &str| regex(text).map(|(globs, folded)| (globs.iter().map(Glob::shape).collect::<Vec<_>>(), folded));
        let one = |shape: Shape| Some((vec![shape], false));
        assert_eq!(shapes("^abc$"), one(Shape::Equal("abc".into())));
        assert_eq!(shapes("^abc"), one(Shape::Starts("abc".into())));
        assert_eq!(shapes(r"abc\.com$"), one(Shape::Ends("abc.com".into())));
        assert_eq!(shapes("abc"), one(mixed("*abc*", false)));
        assert_eq!(shapes(r"^a.*b\*$"), one(mixed(r"a*b\*", false)));
        assert_eq!(shapes(r"^a.b$"), one(mixed("a*b", true)));
        assert_eq!(
            shapes("(?i)^(Disable|Delete)Key$"),
            Some((vec![Shape::Equal("DisableKey".into()), Shape::Equal("DeleteKey".into())], true))
        );
        assert_eq!(shapes("^a$|^b"), Some((vec![Shape::Equal("a".into()), Shape::Starts("b".into())], false)));
        assert_eq!(shapes(r"^a\$"), one(Shape::Starts("a$".into())));
        for other in ["a+", "[ab]", "a{2}", r"\d", "(a", "a)", "(?=a)", "(a|b)+", "a?", "((a))", r"a\", "^(a|)*$"] {
            assert_eq!(regex(other), None, "{other}");
        }
        assert_eq!(regex(&"(a|b)".repeat(9)), None, "too many");
    }
}
