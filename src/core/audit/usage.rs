//! Whether anybody uses the key, and under which name.

use super::row::Row;
use super::{Findings, Judge, checks, day};
use crate::core::inspection::Inspection;

/// Without a use for so long, a key counts as unused.
const UNUSED_DAYS: i64 = 90;

pub(super) fn judge(judge: &Judge<'_>, inspection: &Inspection, row: &Row, findings: &mut Findings) {
    let Some(details) = inspection.details.known() else { return };
    if let Some(usage) = inspection.last_usage.known()
        && details.deletion_date.is_none()
    {
        match (usage.at, usage.tracked_from) {
            (Some(at), _) if judge.days_since(at) > UNUSED_DAYS => findings.add(
                &checks::UNUSED,
                &format!("its last successful use was on {}, {} days ago", day(at), judge.days_since(at)),
            ),
            // KMS knows nothing of what was before; "never used" would be more than anybody can say.
            (None, Some(from)) if judge.days_since(from) > UNUSED_DAYS => {
                findings.add(&checks::UNUSED, &format!("no successful use is recorded since {}", day(from)));
            }
            _ => {}
        }
    }
    if inspection.aliases.known().is_some_and(Vec::is_empty) {
        findings.add(&checks::NO_ALIAS, "it has no alias");
    }
    if let Some(all) = &details.multi_region {
        let place = if all.primary { "the primary key" } else { "a replica, or one whose place is not said" };
        let regions =
            if row.regions.is_empty() { String::new() } else { format!("; Regions: {}", row.regions.join(", ")) };
        findings.add(&checks::MULTI_REGION, &format!("it is {place}{regions}"));
    }
}
