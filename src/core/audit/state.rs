//! Whether the key can be used, and until when.

use super::row::{Deadline, DeadlineKind, Row};
use super::{Findings, Judge, checks, day, days};
use crate::core::inspection::Inspection;
use crate::core::rule::Severity;

/// A use so recent that somebody will miss the key, in days.
const RECENT_DAYS: i64 = 30;
/// An expiry that is near, and one that is to be planned for.
const SOON_DAYS: i64 = 30;
const AHEAD_DAYS: i64 = 90;

pub(super) fn judge(judge: &Judge<'_>, inspection: &Inspection, row: &mut Row, findings: &mut Findings) {
    let Some(details) = inspection.details.known() else { return };
    let last_use = inspection.last_usage.known().and_then(|usage| usage.at);
    let recent = last_use.filter(|at| judge.days_since(*at) <= RECENT_DAYS);
    let used = last_use.map_or_else(String::new, |at| format!("; last used successfully on {}", day(at)));
    match details.state.as_deref() {
        Some("PendingDeletion") => {
            let when = details.deletion_date.map_or_else(
                || "KMS does not say when".to_owned(),
                |at| format!("KMS deletes it on {}, {}", day(at), judge.days_until(at)),
            );
            findings.add(&checks::PENDING_DELETION, &format!("{when}{used}"));
        }
        Some("PendingReplicaDeletion") => {
            let window = details.pending_window_days.map_or_else(String::new, |days| format!(" of {days} days"));
            findings.add(
                &checks::PENDING_DELETION,
                &format!("its waiting period{window} begins when its last replica is deleted{used}"),
            );
        }
        Some("Disabled") => {
            let severity = if recent.is_some() { Severity::High } else { checks::DISABLED.severity };
            findings.add_as(&checks::DISABLED, severity, &format!("its state is Disabled{used}"));
        }
        Some("PendingImport") => findings.add(&checks::NO_MATERIAL, &format!("its state is PendingImport{used}")),
        Some("Unavailable") => findings.add(&checks::UNAVAILABLE, &format!("its state is Unavailable{used}")),
        _ => {}
    }
    if let Some(at) = details.deletion_date {
        row.deadlines.push(Deadline { at, kind: DeadlineKind::Deletion });
    }
    material(judge, inspection, row, findings);
    match details.origin.as_deref() {
        Some("EXTERNAL") => findings.add(&checks::IMPORTED_MATERIAL, "its origin is EXTERNAL"),
        Some(origin @ ("AWS_CLOUDHSM" | "EXTERNAL_KEY_STORE")) => {
            findings.add(&checks::OWN_KEY_STORE, &format!("its origin is {origin}"));
        }
        _ => {}
    }
}

fn material(judge: &Judge<'_>, inspection: &Inspection, row: &mut Row, findings: &mut Findings) {
    let Some(details) = inspection.details.known() else { return };
    let materials = inspection.rotations.known();
    let missing = materials.into_iter().flatten().filter(|one| one.import_state.as_deref() == Some("PENDING_IMPORT"));
    let missing = missing.count();
    // The state says it already where none is there.
    if missing > 0 && details.state.as_deref() != Some("PendingImport") {
        findings.add(&checks::MATERIAL_MISSING, &format!("{missing} of its materials wait for their import"));
    }
    let dates = materials.into_iter().flatten().filter_map(|one| one.valid_to).chain(details.valid_to);
    let Some(first) = dates.min() else { return };
    row.deadlines.push(Deadline { at: first, kind: DeadlineKind::MaterialExpires });
    let left = first.duration_since(judge.now);
    let seen = if left.is_negative() {
        format!("its material expired on {}", day(first))
    } else {
        format!("its material expires on {}, {}", day(first), judge.days_until(first))
    };
    if left <= days(SOON_DAYS) {
        findings.add_as(&checks::MATERIAL_EXPIRES, Severity::High, &seen);
    } else if left <= days(AHEAD_DAYS) {
        findings.add(&checks::MATERIAL_EXPIRES, &seen);
    }
}
