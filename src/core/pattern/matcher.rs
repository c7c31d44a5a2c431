//! Whether a document matches one combination of fields.
//!
//! All fields of a combination must match, and those that lie below the same array must do so within the same element
//! ("array consistency"). Tables split the fields into groups that cannot disturb each other, so a choice of element
//! is only ever made for the fields below that very array: the time is bounded by the document's size.

use serde_json::Value;

use super::Clause;
use super::tree::{Leaf, Tree};

/// Told of each comparison: what an explanation is made from.
pub trait Trace<Seen: ?Sized = Value> {
    /// A value found at the clause's path was compared.
    fn compared(&mut self, clause: &Clause, got: &Seen, passed: bool);
    /// The document (or the array's element) has nothing at the clause's path.
    fn absent(&mut self, clause: &Clause, passed: bool);
}

/// The trace of [`super::Pattern::matches`]: nothing.
pub(super) struct Silent;

impl<Seen: ?Sized> Trace<Seen> for Silent {
    fn compared(&mut self, _: &Clause, _: &Seen, _: bool) {}
    fn absent(&mut self, _: &Clause, _: bool) {}
}

/// Fields of a combination as a set of bits, in the order of their paths.
type Fields = u64;

fn has(set: Fields, field: usize) -> bool {
    set >> field & 1 == 1
}

fn only(field: usize) -> Fields {
    1 << field
}

/// The members of a set, lowest first.
fn members(mut set: Fields) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let field = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(field)
    })
}

/// One combination of fields, as the tree of their names.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    /// Bit number to place in the pattern's clauses, ordered by path: the order in which AWS's engine meets them.
    order: Box<[usize]>,
    root: Step,
}

/// A name in a path, and what the paths through it go on with.
#[derive(Debug, Clone, Default)]
struct Step {
    name: Box<str>,
    /// How many names lead here.
    depth: usize,
    /// The field whose path ends here.
    here: Option<usize>,
    /// All fields whose path ends here or further down.
    under: Fields,
    next: Vec<Step>,
}

impl Branch {
    /// `fields` are places in `clauses`, at most 64.
    pub(super) fn new(mut fields: Vec<usize>, clauses: &[Clause]) -> Self {
        fields.sort_by_key(|at| &clauses[*at].path);
        let mut root = Step::default();
        for (field, at) in fields.iter().enumerate() {
            root.insert(&clauses[*at].steps, field);
        }
        root.shrink();
        Self { order: fields.into(), root }
    }

    pub(super) fn matches<'d, T: Tree<'d>>(
        &self,
        clauses: &[Clause],
        document: T,
        trace: &mut impl Trace<T::Seen>,
    ) -> bool {
        Walk { order: &self.order, clauses, trace }.all(&self.root, document, self.root.under, 0)
    }

    /// Places of its fields in the pattern's clauses, ordered by path.
    pub(super) fn fields(&self) -> &[usize] {
        &self.order
    }
}

impl Step {
    fn insert(&mut self, path: &[Box<str>], field: usize) {
        self.under |= only(field);
        let Some((name, rest)) = path.split_first() else {
            self.here = Some(field);
            return;
        };
        let at = self.next.iter().position(|step| step.name == *name).unwrap_or_else(|| {
            self.next.push(Self { name: name.clone(), depth: self.depth + 1, ..Self::default() });
            self.next.len() - 1
        });
        self.next[at].insert(rest, field);
    }

    /// Gives back what growing took too much: there may be thousands of patterns.
    fn shrink(&mut self) {
        self.next.shrink_to_fit();
        self.next.iter_mut().for_each(Self::shrink);
    }
}

struct Walk<'w, R> {
    order: &'w [usize],
    clauses: &'w [Clause],
    trace: &'w mut R,
}

impl<R> Walk<'_, R> {
    fn clause(&self, field: usize) -> &Clause {
        &self.clauses[self.order[field]]
    }

    /// Whether all `active` fields at and below `step` match within `value`. Those in `present` must have a value here,
    /// even where they may be absent.
    fn all<'d, T: Tree<'d>>(&mut self, step: &Step, value: T, active: Fields, present: Fields) -> bool
    where
        R: Trace<T::Seen>,
    {
        if value.is_unknown() {
            return true;
        }
        let active = active & step.under;
        if let Some(elements) = value.elements() {
            return self.array(step, &elements, active, present);
        }
        if let Some(field) = step.here.filter(|field| has(active, *field)) {
            let passed = match value.leaf() {
                Some(leaf) => self.compare(field, value, leaf),
                None => self.missing::<T>(only(field), present),
            };
            if !passed {
                return false;
            }
        }
        step.next.iter().filter(|next| active & next.under != 0).all(|next| match value.member(&next.name) {
            Some(member) => self.all(next, member, active, present),
            None => self.missing::<T>(active & next.under, present),
        })
    }

    fn array<'d, T: Tree<'d>>(
        &mut self,
        step: &Step,
        elements: &(impl Iterator<Item = T> + Clone),
        mut active: Fields,
        present: Fields,
    ) -> bool
    where
        R: Trace<T::Seen>,
    {
        if let Some(field) = step.here.filter(|field| has(active, *field)) {
            for element in elements.clone() {
                let Some(leaf) = element.leaf() else { continue };
                if self.compare(field, element, leaf) {
                    // A plain element binds nobody else to its place in the array.
                    active &= !only(field);
                    break;
                }
            }
        }
        // The first field that takes its value from an element binds all later ones to that element. Those before it
        // must be absent from the whole array.
        for field in members(active) {
            if !self.clause(field).tests.is_empty() {
                let found = elements
                    .clone()
                    .filter(|element| element.leaf().is_none())
                    .any(|element| self.all(step, element, active, present | only(field)));
                if found {
                    return true;
                }
            }
            let rest = self.clause(field).steps.get(step.depth..).unwrap_or_default();
            if elements.clone().any(|element| has_leaf(element, rest)) || !self.missing::<T>(only(field), present) {
                return false;
            }
            active &= !only(field);
        }
        true
    }

    fn compare<'d, T: Tree<'d>>(&mut self, field: usize, value: T, leaf: Leaf<'_>) -> bool
    where
        R: Trace<T::Seen>,
    {
        let clause = &self.clauses[self.order[field]];
        let passed = clause.allows(leaf);
        self.trace.compared(clause, value.seen(), passed);
        passed
    }

    /// Whether all these fields may be absent.
    fn missing<'d, T: Tree<'d>>(&mut self, fields: Fields, present: Fields) -> bool
    where
        R: Trace<T::Seen>,
    {
        members(fields).all(|field| {
            let clause = &self.clauses[self.order[field]];
            let passed = clause.absent && !has(present, field);
            self.trace.absent(clause, passed);
            passed
        })
    }
}

/// Whether there surely is a value at the end of `path`, in any element of any array on the way.
fn has_leaf<'d, T: Tree<'d>>(value: T, path: &[Box<str>]) -> bool {
    if let Some(mut elements) = value.elements() {
        return elements.any(|element| has_leaf(element, path));
    }
    match path.split_first() {
        Some((name, rest)) => value.member(name).is_some_and(|member| !member.is_unknown() && has_leaf(member, rest)),
        None => value.leaf().is_some(),
    }
}
