//! Wildcards: `*` stands for any characters, also none; `\*` and `\\` for the characters themselves.

/// A parsed wildcard. Matching takes time in proportion to the value, whatever the wildcard.
#[derive(Debug, Clone)]
pub(super) struct Wildcard {
    /// What stands before the first `*`.
    head: Box<str>,
    after: Option<After>,
}

/// What follows the first `*`.
#[derive(Debug, Clone)]
struct After {
    /// Stands between two `*`: to be found, in this order, as early as possible.
    middle: Box<[Literal]>,
    /// Stands behind the last `*`.
    tail: Box<str>,
}

/// Text to look for, prepared as Knuth, Morris and Pratt did.
#[derive(Debug, Clone)]
struct Literal {
    bytes: Box<[u8]>,
    /// For each length of a partial match, the length of the longest shorter one.
    shorter: Box<[usize]>,
}

/// Why a wildcard is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    DoubleStar,
    /// A backslash before anything but `*` and `\`.
    Escape,
}

impl Wildcard {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = vec![String::new()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let literal = match c {
                '*' if chars.peek() == Some(&'*') => return Err(Fault::DoubleStar),
                '*' => {
                    parts.push(String::new());
                    continue;
                }
                '\\' => chars.next_if(|next| matches!(next, '*' | '\\')).ok_or(Fault::Escape)?,
                other => other,
            };
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        let tail = if parts.len() > 1 { parts.pop() } else { None };
        let mut parts = parts.into_iter();
        let head = parts.next().unwrap_or_default().into();
        let after =
            tail.map(|tail| After { middle: parts.map(|part| Literal::new(&part)).collect(), tail: tail.into() });
        Ok(Self { head, after })
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        self.run(value).0
    }

    /// How many `*` it has.
    pub(super) fn stars(&self) -> usize {
        self.after.as_ref().map_or(0, |after| after.middle.len() + 1)
    }

    /// What stands before the first `*`.
    pub(super) fn head(&self) -> &str {
        &self.head
    }

    /// What stands behind the last `*`.
    pub(super) fn tail(&self) -> &str {
        self.after.as_ref().map_or("", |after| &after.tail)
    }

    /// What stands between the first `*` and the last.
    pub(super) fn middle(&self) -> impl Iterator<Item = &[u8]> {
        self.after.iter().flat_map(|after| &after.middle).map(|literal| &*literal.bytes)
    }

    /// The answer, and how many bytes were compared for the middle parts.
    fn run(&self, value: &str) -> (bool, usize) {
        let Some(after) = &self.after else { return (value == &*self.head, 0) };
        let Some(rest) = value.strip_prefix(&*self.head).and_then(|rest| rest.strip_suffix(&*after.tail)) else {
            return (false, 0);
        };
        let (mut rest, mut steps) = (rest.as_bytes(), 0);
        for literal in &after.middle {
            match literal.skip_past(rest, &mut steps) {
                Some(behind) => rest = behind,
                None => return (false, steps),
            }
        }
        (true, steps)
    }
}

impl Literal {
    fn new(text: &str) -> Self {
        let bytes: Box<[u8]> = text.as_bytes().into();
        let mut shorter = vec![0; bytes.len()];
        let mut length = 0;
        for at in 1..bytes.len() {
            while length > 0 && bytes[at] != bytes[length] {
                length = shorter[length - 1];
            }
            length += usize::from(bytes[at] == bytes[length]);
            shorter[at] = length;
        }
        Self { bytes, shorter: shorter.into() }
    }

    /// What follows the first occurrence in `value`.
    fn skip_past<'v>(&self, value: &'v [u8], steps: &mut usize) -> Option<&'v [u8]> {
        let mut found = 0;
        for (at, byte) in value.iter().enumerate() {
            *steps += 1;
            while found > 0 && self.bytes[found] != *byte {
                *steps += 1;
                found = self.shorter[found - 1];
            }
            found += usize::from(self.bytes[found] == *byte);
            if found == self.bytes.len() {
                return value.get(at + 1..);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hit(wildcard: &str, value: &str) -> bool {
        Wildcard::parse(wildcard).unwrap().matches(value)
    }

    #[test]
    fn matches_as_documented() {
        for (wildcard, value, expected) in [
            ("dir/*.png", "dir/sub/a.png", true),
            ("dir/*.png", "x/dir/a.png", false),
            ("ab*cd", "abcd", true),
            ("ab*ba", "aba", false),
            ("*ab*abc", "xababxabc", true),
            ("*aab*", "aaab", true),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\\*", r"a\zz", true),
            (r"\**", "*x", true),
            ("*é*", "caféteria", true),
        ] {
            assert_eq!(hit(wildcard, value), expected, "{wildcard} on {value}");
        }
    }

    #[test]
    fn faults() {
        assert_eq!(Wildcard::parse("a**b").unwrap_err(), Fault::DoubleStar);
        assert_eq!(Wildcard::parse(r"a\b").unwrap_err(), Fault::Escape);
        assert_eq!(Wildcard::parse(r"a\").unwrap_err(), Fault::Escape);
    }

    #[test]
    fn steps_grow_with_the_value_and_not_with_the_wildcard() {
        let value = "a".repeat(100_000);
        for wildcard in [format!("*{}b*", "a".repeat(1_000)), "*a".repeat(30) + "b*", "*aaaaab".repeat(30) + "*"] {
            let (hit, steps) = Wildcard::parse(&wildcard).unwrap().run(&value);
            assert!(!hit);
            assert!(steps >= value.len(), "the middle was really looked for");
            assert!(steps <= 2 * value.len(), "{steps} steps");
        }
    }

    /// The textbook definition, exponential and obviously right.
    fn naive(wildcard: &[char], value: &[char]) -> bool {
        match wildcard.split_first() {
            None => value.is_empty(),
            Some(('*', rest)) => (0..=value.len()).any(|skipped| naive(rest, &value[skipped..])),
            Some((c, rest)) => value.split_first().is_some_and(|(v, left)| v == c && naive(rest, left)),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(wildcard in r"(\*?[ab]){0,6}\*?", value in "[ab]{0,12}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(hit(&wildcard, &value), naive(&chars(&wildcard), &chars(&value)));
        }
    }
}
