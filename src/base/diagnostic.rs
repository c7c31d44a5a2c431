//! One finding about a file that a person wrote, with its place and a hint.

use std::ops::Range;
use std::path::PathBuf;

/// A finding inside one file, before it is known which file that is: what a part's own `check` reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub level: Level,
    /// Byte range in the file; `0..0` where there is none (a value from the environment).
    pub span: Range<usize>,
    /// What is wrong, starting in lower case, without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { level: Level::Error, span, message: message.into(), hint: None }
    }

    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, span, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Warning,
    Error,
}

/// A [`Problem`] and the file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: PathBuf,
    pub problem: Problem,
}
