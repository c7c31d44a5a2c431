//! Whether the key rotates as it should: as KMS is set, and as the label `rotation` of the configuration asks.

use jiff::{SignedDuration, Timestamp};

use super::row::{Deadline, DeadlineKind, Row};
use super::{Findings, Judge, checks, day, days};
use crate::base::period::Period;
use crate::core::inspection::Inspection;
use crate::core::rotation;
use crate::core::rule::Severity;

/// Rotations on demand that a key has in its life (KMS developer guide, "Resource quotas").
const ON_DEMAND_MAX: usize = 25;
const ON_DEMAND_FEW: usize = 5;
/// KMS's own period, where none is named.
const DEFAULT_DAYS: i32 = rotation::DEFAULT_DAYS.cast_signed();

/// What the label `rotation` asks of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nothing is said.
    Nothing,
    /// "no": it is known and fine.
    Exempt,
    /// "required".
    Required,
    /// Such as "365d": at least so often, by whatever means.
    Within(SignedDuration),
}

impl Demand {
    pub(super) fn of(row: &Row) -> Self {
        match row.key.labels.get("rotation").map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None => Self::Nothing,
            Some("no" | "none" | "off" | "exempt") => Self::Exempt,
            // What is not understood asks for the most that it can mean.
            Some(text) => text.parse().map_or(Self::Required, |period: Period| Self::Within(period.signed())),
        }
    }
}

pub(super) fn judge(judge: &Judge<'_>, inspection: &Inspection, row: &mut Row, findings: &mut Findings) {
    let Some(details) = inspection.details.known() else { return };
    if let Some(next) = inspection.rotation.known().and_then(|rotation| rotation.next) {
        row.deadlines.push(Deadline { at: next, kind: DeadlineKind::Rotation });
    }
    let demand = Demand::of(row);
    // A key that cannot be used does not rotate either; that is said elsewhere.
    if details.state.as_deref() != Some("Enabled") || demand == Demand::Exempt {
        return;
    }
    let demanded = demand != Demand::Nothing;
    let severity = |usual: Severity| if demanded { usual.max(Severity::High) } else { usual };
    if details.rotates_by_itself() == Some(true)
        && let Some(rotation) = inspection.rotation.known()
    {
        if rotation.enabled {
            let period = rotation.period_days.unwrap_or(DEFAULT_DAYS);
            too_slow(period, demand, findings);
        } else {
            let asked = if demanded { ", and its label `rotation` asks for it" } else { "" };
            findings.add_as(
                &checks::ROTATION_OFF,
                severity(checks::ROTATION_OFF.severity),
                &format!("automatic rotation is off{asked}"),
            );
        }
    }
    if let Some(seen) = overdue(judge.now, inspection, demand) {
        findings.add_as(&checks::ROTATION_OVERDUE, severity(checks::ROTATION_OVERDUE.severity), &seen);
    }
    let on_demand = inspection
        .rotations
        .known()
        .map_or(0, |all| all.iter().filter(|one| one.kind.as_deref() == Some("ON_DEMAND")).count());
    if on_demand + ON_DEMAND_FEW >= ON_DEMAND_MAX {
        findings
            .add(&checks::ROTATIONS_USED_UP, &format!("{on_demand} of {ON_DEMAND_MAX} rotations on demand are used"));
    }
}

fn too_slow(period: i32, demand: Demand, findings: &mut Findings) {
    match demand {
        Demand::Within(most) if days(period.into()) > most => findings.add_as(
            &checks::ROTATION_SLOW,
            Severity::Medium,
            &format!(
                "it rotates every {period} days, and its label `rotation` asks for every {}",
                most.as_hours() / 24
            ),
        ),
        Demand::Nothing if period > DEFAULT_DAYS => {
            findings.add(&checks::ROTATION_SLOW, &format!("it rotates every {period} days, more than a year"));
        }
        _ => {}
    }
}

/// Why its rotation is overdue, in words.
pub(super) fn overdue(now: Timestamp, inspection: &Inspection, demand: Demand) -> Option<String> {
    let details = inspection.details.known()?;
    let rotation = inspection.rotation.known();
    let enabled = rotation.is_some_and(|rotation| rotation.enabled);
    if enabled && let Some(next) = rotation.and_then(|rotation| rotation.next) {
        let late = now.duration_since(next);
        if late > grace(days(rotation.and_then(|rotation| rotation.period_days).unwrap_or(DEFAULT_DAYS).into())) {
            return Some(format!("KMS itself was to rotate it on {}, {} days ago", day(next), late.as_hours() / 24));
        }
    }
    let Demand::Within(most) = demand else { return None };
    // A key that cannot have rotations is replaced by a new one: its age is what counts.
    inspection.rotations.known().or_else(|| Some(&NONE).filter(|_| details.has_rotations() == Some(false)))?;
    let last = inspection.last_rotation().or(details.created)?;
    let age = now.duration_since(last);
    let what = if inspection.last_rotation().is_some() { "it last rotated" } else { "it never rotated and was made" };
    (age > most + grace(most)).then(|| {
        format!("{what} on {}, and its label `rotation` asks for every {} days", day(last), most.as_hours() / 24)
    })
}

static NONE: Vec<crate::core::inspection::Material> = Vec::new();

/// KMS rotates around the day, not on it: a tenth of the period, from a day to a month.
fn grace(period: SignedDuration) -> SignedDuration {
    (period / 10).clamp(days(1), days(30))
}
