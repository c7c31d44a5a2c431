//! What the matcher walks: a whole document, or as much of one as could be read of it.

use serde_json::{Number, Value};

use crate::core::event::Outcome;
use crate::core::peek::{PathId, Paths};

/// A value of a document. What is not known of it counts as matching, so that only a certain "no" is one.
pub trait Tree<'d>: Copy {
    /// What a trace is shown of it.
    type Seen: ?Sized;

    fn seen(&self) -> &Self::Seen;

    /// Whether nothing at all is known of this value, not even whether it is there.
    fn is_unknown(self) -> bool {
        false
    }

    /// The value, unless it is an object or an array.
    fn leaf(self) -> Option<Leaf<'d>>;

    fn elements(self) -> Option<impl Iterator<Item = Self> + Clone>;

    fn member(self, name: &str) -> Option<Self>;

    /// Shows each member whose path `paths` goes on with, this value being the one at `at`.
    fn each_named(self, paths: &Paths, at: PathId, show: &mut impl FnMut(PathId, Self)) {
        by_name(self, paths, at, show);
    }
}

/// [`Tree::each_named`] by asking for each name.
pub(crate) fn by_name<'d, T: Tree<'d>>(value: T, paths: &Paths, at: PathId, show: &mut impl FnMut(PathId, T)) {
    for (name, path) in paths.all_next(at) {
        if let Some(member) = value.member(name) {
            show(path, member);
        }
    }
}

/// A value that is no object and no array: all that an operator ever sees.
#[derive(Debug, Clone, Copy)]
pub enum Leaf<'v> {
    Null,
    Boolean(bool),
    Number(&'v Number),
    String(&'v str),
    /// One of these as a string; which one is not known.
    OneOf(&'static [Outcome]),
}

impl<'v> Leaf<'v> {
    /// Each value that it may be.
    pub(super) fn possible(self) -> impl Iterator<Item = Self> {
        let (one, several) = match self {
            Self::OneOf(outcomes) => (None, outcomes),
            leaf => (Some(leaf), [].as_slice()),
        };
        one.into_iter().chain(several.iter().map(|outcome| Self::String(outcome.as_str())))
    }

    /// The strings that it may be.
    pub(crate) fn strings(self) -> impl Iterator<Item = &'v str> {
        self.possible().filter_map(|leaf| match leaf {
            Self::String(text) => Some(text),
            _ => None,
        })
    }
}

impl<'d> Tree<'d> for &'d Value {
    type Seen = Value;

    fn seen(&self) -> &Value {
        self
    }

    fn leaf(self) -> Option<Leaf<'d>> {
        match self {
            Value::Null => Some(Leaf::Null),
            Value::Bool(b) => Some(Leaf::Boolean(*b)),
            Value::Number(n) => Some(Leaf::Number(n)),
            Value::String(s) => Some(Leaf::String(s)),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn elements(self) -> Option<impl Iterator<Item = Self> + Clone> {
        self.as_array().map(|elements| elements.iter())
    }

    fn member(self, name: &str) -> Option<Self> {
        self.get(name)
    }

    fn each_named(self, paths: &Paths, at: PathId, show: &mut impl FnMut(PathId, Self)) {
        let Some(members) = self.as_object() else { return };
        if paths.all_next(at).len() <= members.len() {
            for (name, path) in paths.all_next(at) {
                if let Some(member) = members.get(name) {
                    show(path, member);
                }
            }
        } else {
            for (name, member) in members {
                if let Some(path) = paths.next(at, name) {
                    show(path, member);
                }
            }
        }
    }
}
