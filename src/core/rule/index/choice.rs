//! Which field of a combination says most about an event.

use std::collections::HashMap;

use crate::core::decode;
use crate::core::pattern::marks::Mark;
use crate::core::pattern::{Clause, Pattern};
use crate::core::peek::{PathId, Paths};

/// How many combinations of all patterns have a mark. What many rules ask for, many events have; what one rule asks
/// for, hardly any.
pub(super) struct Choice<'p>(HashMap<(PathId, Mark<'p>), u64>);

/// Where a combination is entered.
pub(super) type Best<'p> = Option<(PathId, Vec<Mark<'p>>)>;

impl<'p> Choice<'p> {
    pub(super) fn new(paths: &Paths, patterns: impl Iterator<Item = &'p Pattern>) -> Self {
        let mut counts = HashMap::new();
        for pattern in patterns {
            let mut uses: Vec<u64> = pattern.clauses().map(|_| 0).collect();
            for field in pattern.combinations().flatten() {
                uses.get_mut(*field).into_iter().for_each(|uses| *uses += 1);
            }
            for (clause, uses) in pattern.clauses().zip(uses) {
                let Some(path) = paths.find(clause.steps()) else { continue };
                for mark in clause.marks().into_iter().flatten().flatten() {
                    *counts.entry((path, mark)).or_default() += uses;
                }
            }
        }
        Self(counts)
    }

    /// For each combination of a pattern the marks that say most; `None` where no field has any.
    pub(super) fn best<'q>(&self, pattern: &'q Pattern, paths: &Paths, may: impl Fn(PathId) -> bool) -> Vec<Best<'q>> {
        let clauses: Vec<_> = pattern.clauses().map(|clause| self.of_clause(clause, paths, &may)).collect();
        let combination = |fields: &[usize]| {
            let found = fields.iter().filter_map(|field| clauses.get(*field)?.as_ref());
            found.min_by_key(|(cost, ..)| *cost).map(|(_, path, marks)| (*path, marks.clone()))
        };
        pattern.combinations().map(combination).collect()
    }

    /// A field's best mark for each of its tests, and what they cost together.
    fn of_clause<'q>(
        &self,
        clause: &'q Clause,
        paths: &Paths,
        may: impl Fn(PathId) -> bool,
    ) -> Option<(u64, PathId, Vec<Mark<'q>>)> {
        let path = paths.find(clause.steps()).filter(|path| may(*path))?;
        // Not there when a body is peeked at, and some of it is only looked up for documents that concern somebody.
        if clause.steps().next().is_some_and(|first| decode::DERIVED.contains(&first)) {
            return None;
        }
        let (mut cost, mut best) = (0, Vec::new());
        for marks in clause.marks()? {
            let (mark, one) = marks.into_iter().map(|mark| (mark, self.cost(path, mark))).min_by_key(|(_, c)| *c)?;
            cost += one;
            best.push(mark);
        }
        Some((cost, path, best))
    }

    /// A part of a string says less than the whole string.
    fn cost(&self, path: PathId, mark: Mark<'_>) -> u64 {
        let weight = match mark {
            Mark::Whole(_) => 1,
            Mark::Start(_) | Mark::End(_) => 2,
            Mark::Within(_) => 4,
        };
        self.0.get(&(path, mark)).map_or(0, |count| count * weight)
    }
}
