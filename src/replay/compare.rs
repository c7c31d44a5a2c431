//! What other rules would change.

use std::collections::BTreeMap;

use super::line::{AlertLine, Change, ChangeLine, Line, Was};

/// How many alerts of each rule are gained, lost and changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub rules: BTreeMap<String, [u64; 3]>,
    pub same: u64,
}

impl Changes {
    pub fn total(&self, change: Change) -> u64 {
        self.rules.values().filter_map(|counts| counts.get(change as usize)).sum()
    }
}

#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) changes: Changes,
}

impl Comparison {
    /// The alerts that one event, and the time before it, caused under both sets of rules.
    pub(super) fn step(&mut self, ours: Vec<AlertLine>, theirs: Vec<AlertLine>, say: &mut dyn FnMut(&Line)) {
        let name = |alert: &AlertLine| (alert.event_id.clone(), alert.rule.clone());
        let mut before: BTreeMap<_, _> = ours.into_iter().map(|alert| (name(&alert), alert)).collect();
        let mut found = Vec::new();
        for alert in theirs {
            match before.remove(&name(&alert)) {
                None => found.push(ChangeLine { change: Change::Gained, alert, was: None }),
                Some(old) => {
                    let differs = old.severity != alert.severity
                        || old.fingerprint != alert.fingerprint
                        || old.shadow != alert.shadow;
                    if differs {
                        let was = Was { severity: old.severity, fingerprint: old.fingerprint, shadow: old.shadow };
                        found.push(ChangeLine { change: Change::Changed, alert, was: Some(was) });
                    } else {
                        self.changes.same += 1;
                    }
                }
            }
        }
        let lost = before.into_values().map(|alert| ChangeLine { change: Change::Lost, alert, was: None });
        for line in found.into_iter().chain(lost) {
            let counts = self.changes.rules.entry(line.alert.rule.clone()).or_default();
            if let Some(count) = counts.get_mut(line.change as usize) {
                *count += 1;
            }
            say(&Line::Change(line));
        }
    }
}
