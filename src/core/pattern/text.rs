//! Strings compared without regard to case, as AWS's engine does it.

/// A string of a pattern that matches in any case. The engine takes each character of the *pattern* in its lower and
/// in its upper form; so the pattern `ß` matches `SS`, but the pattern `k` does not match the Kelvin sign.
#[derive(Debug, Clone)]
pub(super) enum Folded {
    Ascii(Box<str>),
    Unicode(Box<[Forms]>),
}

/// One character's lower and upper form; either may be several characters long.
#[derive(Debug, Clone)]
pub(super) struct Forms {
    lower: Box<str>,
    upper: Box<str>,
}

impl Folded {
    pub(super) fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii(text.into());
        }
        let forms = text.chars().map(|c| Forms {
            lower: c.to_lowercase().collect::<String>().into(),
            upper: c.to_uppercase().collect::<String>().into(),
        });
        Self::Unicode(forms.collect())
    }

    pub(super) fn equals(&self, value: &str) -> bool {
        match self {
            Self::Ascii(text) => text.eq_ignore_ascii_case(value),
            Self::Unicode(forms) => strip_start(forms, value) == Some(""),
        }
    }

    pub(super) fn starts(&self, value: &str) -> bool {
        match self {
            Self::Ascii(text) => value.as_bytes().get(..text.len()).is_some_and(|start| same(text, start)),
            Self::Unicode(forms) => strip_start(forms, value).is_some(),
        }
    }

    pub(super) fn ends(&self, value: &str) -> bool {
        match self {
            Self::Ascii(text) => {
                let start = value.len().checked_sub(text.len());
                start.and_then(|start| value.as_bytes().get(start..)).is_some_and(|end| same(text, end))
            }
            Self::Unicode(forms) => forms
                .iter()
                .rev()
                .try_fold(value, |rest, c| rest.strip_suffix(&*c.lower).or_else(|| rest.strip_suffix(&*c.upper)))
                .is_some(),
        }
    }
}

fn same(text: &str, bytes: &[u8]) -> bool {
    text.as_bytes().eq_ignore_ascii_case(bytes)
}

/// What follows the pattern's characters in `value`.
fn strip_start<'v>(forms: &[Forms], value: &'v str) -> Option<&'v str> {
    forms.iter().try_fold(value, |rest, c| rest.strip_prefix(&*c.lower).or_else(|| rest.strip_prefix(&*c.upper)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii() {
        let folded = Folded::new("Alice");
        assert!(folded.equals("aLICE") && !folded.equals("alice ") && !folded.equals("alic"));
        assert!(folded.starts("ALICE@example.com") && !folded.starts("ali"));
        assert!(folded.ends("user/aliCE") && !folded.ends("ce"));
        assert!(!Folded::new("k").equals("\u{212a}"), "the Kelvin sign is no k");
        assert!(!Folded::new("abc").ends("éc"), "a cut through a character is no match");
    }

    #[test]
    fn beyond_ascii() {
        let folded = Folded::new("Straße");
        assert!(folded.equals("STRASSE") && folded.equals("straße") && !folded.equals("strase"));
        assert!(folded.starts("STRASSEN") && !folded.starts("STRAS"));
        assert!(folded.ends("hauptstraße") && folded.ends("HAUPTSTRASSE"));
        assert!(Folded::new("ⱥ").equals("Ⱥ"), "forms of different byte length");
    }
}
