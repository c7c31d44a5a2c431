//! `EventBridge` event patterns: compile, match. Same answers as AWS's own engine.
//!
//! A pattern is compiled once ([`Pattern::compile`], every mistake of it reported with its place) and then asked for
//! each event ([`Pattern::matches`], which allocates nothing). The operators are the rows of one table
//! ([`op::OPS`]).
//!
//! Where AWS's documentation and AWS's engine ([Event Ruler](https://github.com/aws/event-ruler), 2.x) differ, the
//! engine is followed: `300` equals `300.0`, and a plain string that is an IP address matches every spelling of it.
//! Stricter than the engine, because its answer there would surprise: a `cidr` with host bits set, a `$or` branch
//! that names a path which is also named beside that `$or`, and a top-level name with a dot in it.

mod compile;
mod json;
pub mod marks;
mod matcher;
pub mod node;
mod number;
pub mod op;
mod suggest;
mod text;
pub mod tree;
pub mod verdict;
mod wildcard;

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::base::diagnostic::Problem;

pub use compile::{BRANCHES_MAX, DEPTH_MAX, FIELDS_MAX, STARS_MAX, VALUES_MAX};
pub use matcher::Trace;
pub use node::{Node, NodeKind};

use matcher::{Branch, Silent};
use op::Test;
use tree::{Leaf, Tree};

/// A compiled event pattern. Copies share it.
#[derive(Debug, Clone)]
pub struct Pattern(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    /// Each field of the pattern once, whatever number of `$or` combinations it takes part in.
    clauses: Box<[Clause]>,
    /// The combinations that `$or` makes; the pattern matches if one of them does.
    branches: Box<[Branch]>,
    /// Dotted paths of all fields read, sorted, each once.
    paths: Box<[Box<str>]>,
}

/// One field of a pattern and what it may be.
#[derive(Debug, Clone)]
pub struct Clause {
    /// Dotted, such as `detail.eventName`.
    path: Box<str>,
    steps: Box<[Box<str>]>,
    /// The field matches if one of these does.
    tests: Box<[Test]>,
    /// The field may be absent (`{ exists = false }` is in the list).
    absent: bool,
    /// The list as written, as JSON: what a trace shows as wanted.
    wanted: Box<str>,
}

impl Clause {
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The list of allowed values as written, as JSON.
    pub fn wanted(&self) -> &str {
        &self.wanted
    }

    /// The names that lead to the field. Unlike in the path, a name may hold a dot.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(AsRef::as_ref)
    }

    fn allows(&self, leaf: Leaf<'_>) -> bool {
        leaf.possible().any(|leaf| self.tests.iter().any(|test| test.matches(leaf)))
    }
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Every mistake of the pattern at once, in the order of the text.
    pub fn compile(node: &Node) -> Result<Self, Vec<PatternError>> {
        compile::compile(node)
    }

    /// Whether the event `document` (the envelope, as an object) matches.
    pub fn matches(&self, document: &Value) -> bool {
        self.matches_traced(document, &mut Silent)
    }

    /// As [`matches`](Self::matches), telling `trace` each comparison made on the way.
    pub fn matches_traced(&self, document: &Value, trace: &mut impl Trace) -> bool {
        let Compiled { clauses, branches, .. } = &*self.0;
        branches.iter().any(|branch| branch.matches(clauses, document, trace))
    }

    /// Whether a document, as far as it is known, may match one combination of fields: the one in that place.
    pub fn admits<'d>(&self, combination: usize, document: impl Tree<'d>) -> bool {
        let Compiled { clauses, branches, .. } = &*self.0;
        branches.get(combination).is_some_and(|branch| branch.matches(clauses, document, &mut Silent))
    }

    /// Each field once, whatever number of combinations it takes part in.
    pub fn clauses(&self) -> impl Iterator<Item = &Clause> {
        self.0.clauses.iter()
    }

    /// The combinations of fields that `$or` makes, as places in [`clauses`](Self::clauses).
    pub fn combinations(&self) -> impl Iterator<Item = &[usize]> {
        self.0.branches.iter().map(Branch::fields)
    }

    /// The pattern that no event matches.
    pub fn never() -> Self {
        Self(Arc::new(Compiled { clauses: [].into(), branches: [].into(), paths: [].into() }))
    }

    /// Dotted paths of the fields that the pattern reads, sorted, each once.
    pub fn paths(&self) -> &[Box<str>] {
        &self.0.paths
    }
}

/// One mistake in a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// Byte range of the very value that is wrong; `0..0` where the pattern came from no file.
    pub span: Range<usize>,
    /// Where that is a text that holds the pattern, the range of the value in it.
    pub inside: Option<Range<usize>>,
    /// Starting in lower case, without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for PatternError {}

impl From<PatternError> for Problem {
    fn from(error: PatternError) -> Self {
        let problem = Self { inside: error.inside, ..Self::error(error.span, error.message) };
        match error.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

#[cfg(test)]
mod tests;
