//! Why a pattern matches or not, field by field: for people. [`Pattern::matches`] alone decides.

use serde::Serialize;
use serde_json::Value;

use super::matcher::Branch;
use super::{Clause, Pattern, Trace};

/// One combination of fields, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    pub matched: bool,
    /// Every field by itself, in the order of their paths. All may pass although the combination does not: where
    /// fields lie below the same array, one element must satisfy them all.
    pub fields: Vec<Field>,
}

/// One field of a pattern, judged by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    pub path: String,
    /// The list of allowed values as written, as JSON.
    pub wanted: String,
    /// The values that were there, at most [`SEEN_MAX`]; empty if there was none.
    pub saw: Vec<Value>,
    pub passed: bool,
}

/// So many values of one field are kept.
pub const SEEN_MAX: usize = 5;

impl Combination {
    /// How many fields pass.
    pub fn passed(&self) -> usize {
        self.fields.iter().filter(|field| field.passed).count()
    }

    /// The first field that does not pass.
    pub fn failed(&self) -> Option<&Field> {
        self.fields.iter().find(|field| !field.passed)
    }
}

impl Pattern {
    /// Judges every combination that the pattern's `$or` makes.
    pub fn judge(&self, document: &Value) -> Vec<Combination> {
        self.0.branches.iter().map(|branch| self.judge_one(branch, document)).collect()
    }

    /// The combination that came nearest to a match, a match first.
    pub fn nearest(&self, document: &Value) -> Option<Combination> {
        let all = self.judge(document).into_iter();
        let missing = |one: &Combination| (!one.matched, one.fields.len() - one.passed());
        all.min_by_key(missing)
    }

    fn judge_one(&self, branch: &Branch, document: &Value) -> Combination {
        let fields = branch.fields().iter().map(|&place| {
            let mut seen = Seen(Vec::new());
            let alone = Branch::new(vec![place], &self.0.clauses);
            let passed = alone.matches(&self.0.clauses, document, &mut seen);
            let clause = self.0.clauses.get(place);
            Field {
                path: clause.map_or_else(String::new, |clause| clause.path().to_owned()),
                wanted: clause.map_or_else(String::new, |clause| clause.wanted().to_owned()),
                saw: seen.0,
                passed,
            }
        });
        Combination {
            fields: fields.collect(),
            matched: branch.matches(&self.0.clauses, document, &mut super::matcher::Silent),
        }
    }
}

struct Seen(Vec<Value>);

impl Trace for Seen {
    fn compared(&mut self, _: &Clause, got: &Value, _: bool) {
        if self.0.len() < SEEN_MAX && !self.0.contains(got) {
            self.0.push(got.clone());
        }
    }

    fn absent(&mut self, _: &Clause, _: bool) {}
}
