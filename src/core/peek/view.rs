//! A peek as a document that can be walked.

use super::{Kind, Node, PathId, Paths, Peek};
use crate::core::event::Outcome;
use crate::core::pattern::tree::{Leaf, Tree, by_name};

/// A value of a peek.
#[derive(Debug, Clone, Copy)]
pub struct View<'p> {
    peek: &'p Peek<'p>,
    what: What<'p>,
}

#[derive(Debug, Clone, Copy)]
enum What<'p> {
    Root,
    Node(&'p Node<'p>),
    OneOf(&'static [Outcome]),
    Unknown,
}

impl<'p> View<'p> {
    pub(super) fn root(peek: &'p Peek<'p>) -> Self {
        Self { peek, what: What::Root }
    }

    /// The string, if it is one that is not empty.
    pub fn text(self) -> Option<&'p str> {
        match self.leaf() {
            Some(Leaf::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub fn is_object(self) -> bool {
        matches!(self.what, What::Root | What::Node(Node { kind: Kind::Object(_), .. }))
    }

    fn be(self, what: What<'p>) -> Self {
        Self { what, ..self }
    }
}

impl<'p> Tree<'p> for View<'p> {
    type Seen = Self;

    fn seen(&self) -> &Self {
        self
    }

    fn is_unknown(self) -> bool {
        matches!(self.what, What::Unknown)
    }

    fn leaf(self) -> Option<Leaf<'p>> {
        match self.what {
            What::OneOf(outcomes) => Some(Leaf::OneOf(outcomes)),
            What::Root | What::Unknown => None,
            What::Node(node) => match &node.kind {
                Kind::Null => Some(Leaf::Null),
                Kind::Boolean(b) => Some(Leaf::Boolean(*b)),
                Kind::Number(n) => Some(Leaf::Number(n)),
                Kind::String(s) => Some(Leaf::String(s)),
                Kind::Array(_) | Kind::Object(_) => None,
            },
        }
    }

    fn elements(self) -> Option<impl Iterator<Item = Self> + Clone> {
        let What::Node(Node { kind: Kind::Array(places), .. }) = self.what else { return None };
        let elements = self.peek.nodes.get(places.clone()).unwrap_or_default();
        Some(elements.iter().map(move |node| self.be(What::Node(node))))
    }

    fn member(self, name: &str) -> Option<Self> {
        let (at, members) = match self.what {
            What::Root => (PathId::ROOT, &self.peek.root),
            What::Node(Node { at, kind: Kind::Object(members) }) => (*at, members),
            What::Node(_) | What::OneOf(_) => return None,
            What::Unknown => return Some(self),
        };
        let Some(path) = self.peek.paths.next(at, name) else { return Some(self.be(What::Unknown)) };
        if at == PathId::ROOT {
            if let Some((_, outcomes)) = self.peek.outcomes.filter(|(outcome, _)| *outcome == path) {
                return Some(self.be(What::OneOf(outcomes)));
            }
            if self.peek.unknown.contains(&path) {
                return Some(self.be(What::Unknown));
            }
        }
        let members = self.peek.nodes.get(members.clone())?;
        let place = members.binary_search_by_key(&path, |member| member.at).ok()?;
        members.get(place).map(|node| self.be(What::Node(node)))
    }

    fn each_named(self, paths: &Paths, at: PathId, show: &mut impl FnMut(PathId, Self)) {
        let members = match self.what {
            What::Root => &self.peek.root,
            What::Node(Node { kind: Kind::Object(members), .. }) => members,
            What::Node(_) | What::OneOf(_) => return,
            What::Unknown => return paths.all_next(at).for_each(|(_, path)| show(path, self)),
        };
        if !std::ptr::eq(paths, self.peek.paths) {
            return by_name(self, paths, at, show);
        }
        // Whoever asks about the paths that were read needs no look at their names.
        let (outcomes, unknown) = match self.what {
            What::Root => (self.peek.outcomes, self.peek.unknown.as_slice()),
            _ => (None, &[][..]),
        };
        let outcome = outcomes.map(|(path, _)| path);
        for node in self.peek.nodes.get(members.clone()).unwrap_or_default() {
            if outcome != Some(node.at) && !unknown.contains(&node.at) {
                show(node.at, self.be(What::Node(node)));
            }
        }
        for path in unknown.iter().filter(|path| outcome != Some(**path)) {
            show(*path, self.be(What::Unknown));
        }
        if let Some((path, outcomes)) = outcomes {
            show(path, self.be(What::OneOf(outcomes)));
        }
    }
}
