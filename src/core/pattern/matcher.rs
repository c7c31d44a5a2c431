//! Whether a document matches one combination of fields.
//!
//! All fields of a combination must match, and those that lie below the same array must do so within the same element
//! ("array consistency"). Tables split the fields into groups that cannot disturb each other, so a choice of element
//! is only ever made for the fields below that very array: the time is bounded by the document's size.

use serde_json::Value;

use super::Clause;
use super::op::Leaf;

/// Told of each comparison: what an explanation is made from.
pub trait Trace {
    /// A value found at the clause's path was compared.
    fn compared(&mut self, clause: &Clause, got: &Value, passed: bool);
    /// The document (or the array's element) has nothing at the clause's path.
    fn absent(&mut self, clause: &Clause, passed: bool);
}

/// The trace of [`super::Pattern::matches`]: nothing.
pub(super) struct Silent;

impl Trace for Silent {
    fn compared(&mut self, _: &Clause, _: &Value, _: bool) {}
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
        Self { order: fields.into(), root }
    }

    pub(super) fn matches(&self, clauses: &[Clause], document: &Value, trace: &mut impl Trace) -> bool {
        Walk { order: &self.order, clauses, trace }.all(&self.root, document, self.root.under, 0)
    }

    /// Places of this combination's fields in the pattern's clauses, ordered by path.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.order.iter().copied()
    }

    /// The clauses of this combination.
    pub(super) fn clauses<'c>(&self, clauses: &'c [Clause]) -> impl Iterator<Item = &'c Clause> {
        self.order.iter().map(move |at| &clauses[*at])
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
}

struct Walk<'w, T> {
    order: &'w [usize],
    clauses: &'w [Clause],
    trace: &'w mut T,
}

impl<T: Trace> Walk<'_, T> {
    fn clause(&self, field: usize) -> &Clause {
        &self.clauses[self.order[field]]
    }

    /// Whether all `active` fields at and below `step` match within `value`. Those in `present` must have a value here,
    /// even where they may be absent.
    fn all(&mut self, step: &Step, value: &Value, active: Fields, present: Fields) -> bool {
        let active = active & step.under;
        if let Value::Array(elements) = value {
            return self.array(step, elements, active, present);
        }
        if let Some(field) = step.here.filter(|field| has(active, *field)) {
            let passed = match Leaf::of(value) {
                Some(leaf) => self.compare(field, value, leaf),
                None => self.missing(only(field), present),
            };
            if !passed {
                return false;
            }
        }
        step.next.iter().filter(|next| active & next.under != 0).all(|next| match value.get(&*next.name) {
            Some(member) => self.all(next, member, active, present),
            None => self.missing(active & next.under, present),
        })
    }

    fn array(&mut self, step: &Step, elements: &[Value], mut active: Fields, present: Fields) -> bool {
        if let Some(field) = step.here.filter(|field| has(active, *field)) {
            for element in elements {
                let Some(leaf) = Leaf::of(element) else { continue };
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
                    .iter()
                    .filter(|element| Leaf::of(element).is_none())
                    .any(|element| self.all(step, element, active, present | only(field)));
                if found {
                    return true;
                }
            }
            let rest = self.clause(field).steps.get(step.depth..).unwrap_or_default();
            if elements.iter().any(|element| has_leaf(element, rest)) || !self.missing(only(field), present) {
                return false;
            }
            active &= !only(field);
        }
        true
    }

    fn compare(&mut self, field: usize, value: &Value, leaf: Leaf<'_>) -> bool {
        let clause = &self.clauses[self.order[field]];
        let passed = clause.tests.iter().any(|test| test.matches(leaf));
        self.trace.compared(clause, value, passed);
        passed
    }

    /// Whether all these fields may be absent.
    fn missing(&mut self, fields: Fields, present: Fields) -> bool {
        members(fields).all(|field| {
            let clause = &self.clauses[self.order[field]];
            let passed = clause.absent && !has(present, field);
            self.trace.absent(clause, passed);
            passed
        })
    }
}

/// Whether there is a value at the end of `path`, in any element of any array on the way.
fn has_leaf(value: &Value, path: &[Box<str>]) -> bool {
    match (value, path.split_first()) {
        (Value::Array(elements), _) => elements.iter().any(|element| has_leaf(element, path)),
        (Value::Object(members), Some((name, rest))) => members.get(&**name).is_some_and(|v| has_leaf(v, rest)),
        (Value::Object(_), None) => false,
        (_, rest) => rest.is_none(),
    }
}
