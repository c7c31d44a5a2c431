//! Which rules are not proven enough.

use crate::config::Suite;

/// So many tests a rule has at least.
const TESTS_MIN: usize = 3;

/// A rule and what its tests lack.
pub(super) struct Gap {
    pub(super) rule: String,
    pub(super) lacks: Vec<String>,
}

/// Rules without a test that fires, without one that does not, or with fewer than three.
pub(super) fn gaps(suites: &[&Suite]) -> Vec<Gap> {
    let lacks = |suite: &Suite| {
        let positive: Vec<Option<bool>> = suite.tests.iter().map(|(test, _)| test.positive()).collect();
        let mut lacks = Vec::new();
        if positive.is_empty() {
            return vec!["no test".to_owned()];
        }
        if !positive.contains(&Some(true)) {
            lacks.push("none in which it fires".to_owned());
        }
        if !positive.contains(&Some(false)) {
            lacks.push("none in which it must not fire".to_owned());
        }
        if positive.len() < TESTS_MIN {
            lacks.push(format!("only {} of {TESTS_MIN} tests", positive.len()));
        }
        lacks
    };
    suites
        .iter()
        .map(|suite| Gap { rule: suite.rule.id.clone(), lacks: lacks(suite) })
        .filter(|gap| !gap.lacks.is_empty())
        .collect()
}
