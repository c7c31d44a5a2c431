//! What is to be said against a key: an inspection is judged, check by check.
//!
//! | file | is |
//! |---|---|
//! | `checks` | the table of all checks: what each is called, how bad it is, why, and what to do |
//! | `state` | whether the key can be used, and until when |
//! | `rotation` | whether it rotates as it should |
//! | `access` | what its policy and its grants give, and to whom |
//! | `usage` | whether anybody uses it, and under which name |
//! | `environment` | whether production and development meet at it |
//! | `report` | what a judged key says in an observation |
//! | `row` | what is kept of a key once it is judged |
//! | `tally` | what all rows come to |
//!
//! What could not be read is a gap, never a finding, and never silence.

mod access;
mod checks;
mod environment;
mod report;
mod rotation;
mod row;
mod state;
mod tally;
#[cfg(test)]
mod tests;
mod usage;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::access::Trust;
use super::enrich::labels_of;
use super::event::KeyRef;
use super::inspection::Inspection;
use super::route::{KeyLabels, labels};
use super::rule::Severity;

pub use checks::{CHECKS, Check};
pub use report::report;
pub use row::{Deadline, DeadlineKind, Row, Who};
pub use tally::{Gap, Tally, by_check, deadlines};

/// From where keys are judged.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// Who belongs to us beside the key's own account.
    pub trust: &'a Trust,
    /// What the configuration says of keys.
    pub labels: &'a [KeyLabels],
    pub now: Timestamp,
}

/// What is known of a key beside what KMS says of it now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// As it was last known: what a key had counts, so that nobody gets rid of a finding by deleting an alias or a tag.
    pub remembered: Option<&'a KeyRef>,
    /// Who was seen using it, and when last.
    pub users: &'a [(String, Timestamp)],
    /// Users seen by then may be missing.
    pub forgotten: Option<Timestamp>,
}

/// Something is to be said against a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    #[serde(flatten)]
    pub check: &'static Check,
    pub severity: Severity,
    /// What was seen, in words: clean, bounded, and still untrusted.
    pub seen: String,
}

/// Longest text of one finding, in characters.
const SEEN_CHARS_MAX: usize = 400;
/// Names listed in one text.
const NAMES_MAX: usize = 3;

impl Judge<'_> {
    /// Judges a key by what KMS says of it alone; the worst comes first.
    pub fn judge(&self, inspection: &Inspection) -> Row {
        self.judge_knowing(inspection, Known::default())
    }

    /// The same with what is known beside it.
    pub fn judge_knowing(&self, inspection: &Inspection, known: Known<'_>) -> Row {
        let mut key = inspection.key();
        key.labels = labels_of(&key, known.remembered, |document| labels(self.labels, document));
        let mut row = Row::of(inspection, &key);
        if row.managed_by_aws {
            return row;
        }
        let mut findings = Findings(Vec::new());
        state::judge(self, inspection, &mut row, &mut findings);
        rotation::judge(self, inspection, &mut row, &mut findings);
        let understood = access::judge(self, inspection, &mut row, &mut findings);
        usage::judge(self, inspection, &row, &mut findings);
        environment::judge(self, inspection, known, &row, &mut findings);
        row.judged = report::judged(self, inspection, known, &row, understood);
        row.findings = findings.0;
        row.findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.check.id.cmp(b.check.id)));
        row.deadlines.sort_by_key(|deadline| deadline.at);
        row
    }

    /// Whole days from a time until now; negative for what is still to come.
    fn days_since(&self, time: Timestamp) -> i64 {
        self.now.duration_since(time).as_hours().div_euclid(24)
    }

    /// Whole days that are left, in words; a date that has passed is due now.
    fn days_until(&self, time: Timestamp) -> String {
        match time.duration_since(self.now) {
            left if left.is_negative() => "any time now".to_owned(),
            left => match left.as_hours() / 24 {
                0 => "in less than a day".to_owned(),
                1 => "in 1 day".to_owned(),
                days => format!("in {days} days"),
            },
        }
    }
}

/// Findings as they are made.
struct Findings(Vec<Finding>);

impl Findings {
    /// With the severity that the check has.
    fn add(&mut self, check: &'static Check, seen: &str) {
        self.add_as(check, check.severity, seen);
    }

    fn add_as(&mut self, check: &'static Check, severity: Severity, seen: &str) {
        self.0.push(Finding { check, severity, seen: super::render::clean(seen, SEEN_CHARS_MAX) });
    }
}

/// `2026-11-02`.
pub fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// `a, b, c and 2 more`.
fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<String> =
        names.iter().take(NAMES_MAX).map(|name| super::render::clean(name.as_ref(), 120)).collect();
    let more = names.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

const fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}
