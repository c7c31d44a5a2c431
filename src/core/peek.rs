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
        let (nodes, root) = scan::read(body, paths, PathId::ROOT, depth)?;
        Some(Self { paths, nodes, root, unknown: Vec::new(), outcomes: None })
    }

    /// As [`Peek::read`], of an object that stands in the document as its member `within`, beside these `members`.
    pub fn read_within(
        body: &'b str,
        paths: &'b Paths,
        within: PathId,
        members: Vec<Known<'b>>,
        depth: usize,
    ) -> Option<Self> {
        let (nodes, inside) = scan::read(body, paths, within, depth)?;
        Some(Self::around(paths, nodes, (within, inside), members))
    }

    /// A peek at an event that was read in another way. Of what `paths` name, whatever is not given is absent.
    pub fn known(paths: &'b Paths, members: Vec<Known<'b>>, within: (PathId, Vec<Known<'b>>)) -> Self {
        let (object, inner) = within;
        let nodes = sorted(inner.into_iter().map(Node::of));
        let inside = 0..nodes.len();
        Self::around(paths, nodes, (object, inside), members)
    }

    /// The document around an object that stands in it.
    fn around(
        paths: &'b Paths,
        mut nodes: Vec<Node<'b>>,
        (object, inside): (PathId, Range<usize>),
        members: Vec<Known<'b>>,
    ) -> Self {
        let object = Node { at: object, kind: Kind::Object(inside) };
        let from = nodes.len();
        nodes.append(&mut sorted(members.into_iter().map(Node::of).chain([object])));
        Self { paths, root: from..nodes.len(), nodes, unknown: Vec::new(), outcomes: None }
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

impl<'b> Node<'b> {
    fn of((at, text): Known<'b>) -> Self {
        Self { at, kind: text.map_or(Kind::Null, Kind::String) }
    }
}

fn sorted<'b>(nodes: impl Iterator<Item = Node<'b>>) -> Vec<Node<'b>> {
    let mut nodes: Vec<Node<'b>> = nodes.collect();
    nodes.sort_unstable_by_key(|node| node.at);
    nodes
}

#[cfg(test)]
mod tests;
