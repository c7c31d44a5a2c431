//! What all rows come to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::checks::{CHECKS, Check};
use super::row::{Deadline, DeadlineKind, Row};
use crate::core::rule::Severity;

/// Numbers for the head of every report.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Keys of our own.
    pub keys: usize,
    /// Those of which KMS did not say what they are: nobody knows whether they are well.
    pub not_judged: usize,
    /// Keys that AWS manages; they are counted and not judged.
    pub managed_by_aws: usize,
    /// Keys with nothing said against them, remarks of severity info aside.
    pub clean: usize,
    pub findings: BTreeMap<&'static str, usize>,
    /// What could not be read, by permission: for how many keys, and why, by how often it was so.
    #[serde(skip)]
    pub gaps: BTreeMap<String, Gap>,
}

/// What could not be read of some keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gap {
    pub keys: usize,
    /// The reason given most often.
    pub why: String,
    whys: BTreeMap<String, usize>,
}

impl Tally {
    pub fn of(rows: &[Row]) -> Self {
        let mut tally = Self::default();
        for severity in Severity::ALL {
            tally.findings.insert(severity.as_str(), 0);
        }
        for row in rows {
            for (permission, why) in &row.gaps {
                let gap = tally.gaps.entry(permission.clone()).or_default();
                gap.keys += 1;
                *gap.whys.entry(why.clone()).or_default() += 1;
            }
            if row.managed_by_aws {
                tally.managed_by_aws += 1;
                continue;
            }
            tally.keys += 1;
            if !row.is_judged() {
                tally.not_judged += 1;
            } else if row.worst().unwrap_or(Severity::Info) == Severity::Info {
                tally.clean += 1;
            }
            for finding in &row.findings {
                *tally.findings.entry(finding.severity.as_str()).or_default() += 1;
            }
        }
        for gap in tally.gaps.values_mut() {
            gap.why = gap.whys.iter().max_by_key(|(_, times)| **times).map(|(why, _)| why.clone()).unwrap_or_default();
        }
        tally
    }

    pub fn found(&self, severity: Severity) -> usize {
        self.findings.get(severity.as_str()).copied().unwrap_or_default()
    }

    pub fn worst(&self) -> Option<Severity> {
        Severity::ALL.into_iter().rev().find(|severity| self.found(*severity) > 0)
    }
}

/// Each check that found something, with the keys it found it at and as what; the worst first.
pub fn by_check(rows: &[Row]) -> Vec<(&'static Check, Vec<(&Row, &super::Finding)>)> {
    let mut all: Vec<(&'static Check, Vec<(&Row, &super::Finding)>)> = Vec::new();
    for check in CHECKS {
        let mut found: Vec<(&Row, &super::Finding)> = rows
            .iter()
            .flat_map(|row| row.findings.iter().map(move |finding| (row, finding)))
            .filter(|(_, finding)| finding.check == *check)
            .collect();
        if !found.is_empty() {
            found.sort_by(|a, b| b.1.severity.cmp(&a.1.severity).then_with(|| a.0.name().cmp(b.0.name())));
            all.push((check, found));
        }
    }
    let worst = |found: &[(&Row, &super::Finding)]| found.first().map(|(_, finding)| finding.severity);
    all.sort_by(|a, b| worst(&b.1).cmp(&worst(&a.1)).then(b.1.len().cmp(&a.1.len())));
    all
}

/// What will happen to keys, the next first. Rotations are many and harmless: they come only if they are asked for.
pub fn deadlines(rows: &[Row], rotations: bool) -> Vec<(&Row, Deadline)> {
    let all = rows.iter().flat_map(|row| row.deadlines.iter().map(move |deadline| (row, *deadline)));
    let mut all: Vec<_> = all.filter(|(_, deadline)| rotations || deadline.kind != DeadlineKind::Rotation).collect();
    all.sort_by_key(|(_, deadline)| (deadline.at, deadline.kind));
    all
}
