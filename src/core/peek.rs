//! What a body says at the paths that somebody asks about, read in one pass without building the rest.
//!
//! [`Paths`] is what is asked, [`Peek`] the answer: a small tree that the matcher walks as it walks a whole document.
//! What the body cannot tell, such as members that decoding adds, is *unknown* there, and whatever is unknown may
//! match: a "no" from a peek is certain.

mod paths;
mod scan;
mod view;

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Number;

use super::event::Outcome;
use super::pattern::tree::Tree;

pub use paths::{PathId, Paths};
pub use view::View;

/// A member that is a string, or null.
pub type Known<'b> = (PathId, Option<Cow<'b, str>>);

/// A body at the paths of [`Paths`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek<'b> {
    paths: &'b Paths,
    nodes: Vec<Node<'b>>,
    /// Members of the body itself.
    root: Range<usize>,
    /// Members of the body that nothing may be said about.
    unknown: Vec<PathId>,
    /// The member that tells the outcome, and the outcomes that decoding may give.
    outcomes: Option<(PathId, &'static [Outcome])>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node<'b> {
    at: PathId,
    kind: Kind<'b>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind<'b> {
    Null,
    Boolean(bool),
    Number(Number),
    String(Cow<'b, str>),
    /// Places in [`Peek::nodes`].
    Array(Range<usize>),
    /// Places in [`Peek::nodes`], ordered by path. Members that nobody asks about are left out.
    Object(Range<usize>),
}

impl<'b> Peek<'b> {
    /// Reads an object. `None` where the text is no JSON object, and in every case of doubt: a member that is asked
    /// about stands there twice or holds what is no Unicode, a number does not fit, or values nest deeper than `depth`.
    pub fn read(body: &'b str, paths: &'b Paths, depth: usize) -> Option<Self> {
        let (nodes, root) = scan::read(body, paths, depth)?;
        Some(Self { paths, nodes, root, unknown: Vec::new(), outcomes: None })
    }

    /// A peek at an event that was read in another way. Of what `paths` name, whatever is not given is absent.
    pub fn known(paths: &'b Paths, members: Vec<Known<'b>>, within: (PathId, Vec<Known<'b>>)) -> Self {
        let node = |(at, text): Known<'b>| Node { at, kind: text.map_or(Kind::Null, Kind::String) };
        let (object, inner) = within;
        let mut nodes: Vec<Node<'b>> = inner.into_iter().map(node).collect();
        nodes.sort_unstable_by_key(|node| node.at);
        let inside = 0..nodes.len();
        let mut root: Vec<Node<'b>> = members.into_iter().map(node).collect();
        root.push(Node { at: object, kind: Kind::Object(inside.clone()) });
        root.sort_unstable_by_key(|node| node.at);
        nodes.append(&mut root);
        Self { paths, root: inside.end..nodes.len(), nodes, unknown: Vec::new(), outcomes: None }
    }

    /// The string at the end of these names, if it is known, and not empty.
    pub fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().try_fold(self.view(), |view, name| view.member(name))?.text()
    }

    /// Says that nothing may be said about a member of the body, whatever stands there.
    pub fn forget(&mut self, at: PathId) {
        self.unknown.push(at);
    }

    /// Says that decoding makes a member of the body itself, of one of these outcomes.
    pub fn expect(&mut self, at: PathId, outcomes: &'static [Outcome]) {
        self.outcomes = Some((at, outcomes));
    }

    /// The body as a document.
    pub fn view(&self) -> View<'_> {
        View::root(self)
    }

    pub fn paths(&self) -> &'b Paths {
        self.paths
    }
}

#[cfg(test)]
mod tests;
