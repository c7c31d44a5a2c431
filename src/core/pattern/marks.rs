//! By what an index can find a field's tests: text that a value surely holds when it passes.

use super::Clause;
use super::op::Test;

/// What is certain of every value that passes a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark<'t> {
    /// It is this string.
    Whole(&'t str),
    /// It is a string that starts with this.
    Start(&'t str),
    /// It is a string that ends with this.
    End(&'t str),
    /// It is a string with these bytes somewhere in it.
    Within([u8; PIECE]),
}

/// Length of a [`Mark::Within`].
pub const PIECE: usize = 4;

/// A shorter start or end says too little.
const AFFIX_MIN: usize = 3;

impl Clause {
    /// For each test of the field its marks, any one of which may be used. `None` where the field can match without any.
    pub fn marks(&self) -> Option<Vec<Vec<Mark<'_>>>> {
        if self.absent {
            return None;
        }
        let marks: Vec<_> = self.tests.iter().map(Test::marks).collect();
        marks.iter().all(|marks| !marks.is_empty()).then_some(marks)
    }
}

impl Test {
    fn marks(&self) -> Vec<Mark<'_>> {
        match self {
            Self::Text(text) => vec![Mark::Whole(text)],
            Self::Prefix(text) => start(text).into_iter().collect(),
            Self::Suffix(text) => end(text).into_iter().collect(),
            Self::Wildcard(wildcard) => {
                if wildcard.stars() == 0 {
                    return vec![Mark::Whole(wildcard.head())];
                }
                let pieces = wildcard.middle().flat_map(|literal| literal.array_windows().copied().map(Mark::Within));
                start(wildcard.head()).into_iter().chain(end(wildcard.tail())).chain(pieces).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn start(text: &str) -> Option<Mark<'_>> {
    (text.len() >= AFFIX_MIN).then_some(Mark::Start(text))
}

fn end(text: &str) -> Option<Mark<'_>> {
    (text.len() >= AFFIX_MIN).then_some(Mark::End(text))
}
