//! Telling another sink what the first one could not be told.

use jiff::{SignedDuration, SignedDurationRound, Timestamp, Unit};

use super::decide::{Decision, HistoryEntry, NewDelivery, Snapshot, What};
use super::incident::State;
use super::notification::{Kind, Notification, Reason};

/// Why the first sink was not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It has not accepted it for so long.
    Failing(SignedDuration),
    /// It refused this notification for good.
    Refused,
}

/// Whether a notification must be heard by somebody: what opens an incident, and what raises it.
pub fn must_be_heard(notification: &Notification) -> bool {
    match notification.kind {
        Kind::Trigger => true,
        Kind::Update => notification.asks_again(),
        Kind::Resolve | Kind::Notice => false,
    }
}

/// Sends to `to` what `from` could not be told, with a remark that says so. From then on `to` hears the rest of
/// the incident too. If the incident is over meanwhile, `to` is told once, without a page: nothing that
/// follows would close it there.
///
/// The notification keeps its id, so doing it again changes nothing.
pub fn reroute(
    snapshot: &Snapshot,
    notification: &Notification,
    from: &str,
    to: &str,
    trouble: Trouble,
    now: Timestamp,
) -> Decision {
    let mut notification = notification.clone();
    notification.marks.push(match trouble {
        Trouble::Failing(length) => {
            format!("told here because sink {from} has been failing for {}", approximately(length))
        }
        Trouble::Refused => format!("told here because sink {from} refused it"),
    });
    let mut decision = Decision::default();
    let mut news = true;
    if !snapshot.unreadable.contains_key(&notification.incident.fingerprint)
        && let Some(mut situation) = snapshot.situations.get(&notification.incident.fingerprint).cloned()
        && let Some(incident) = &mut situation.incident
    {
        if incident.id == notification.incident.id && incident.state != State::Resolved {
            news = incident.told.insert(to.to_owned());
            if news {
                decision.situations.push(situation);
            }
        } else {
            // Resolved, or a later incident of the same fingerprint has begun.
            notification.kind = Kind::Notice;
            notification.reason = Reason::TooLate;
        }
    }
    if news {
        decision.history.push(HistoryEntry {
            at: now,
            fingerprint: notification.incident.fingerprint.clone(),
            incident: notification.incident.id.clone(),
            what: What::Told {
                sinks: vec![to.to_owned()],
                kind: notification.kind,
                reason: notification.reason,
                remarks: vec![],
            },
        });
    }
    decision.deliveries.push(NewDelivery { sink: to.to_owned(), notification });
    decision
}

/// `6 m`, `1 h 12 m`: what a person wants to know.
fn approximately(length: SignedDuration) -> String {
    let unit = if length < SignedDuration::from_mins(2) { Unit::Second } else { Unit::Minute };
    let rounded = length.round(SignedDurationRound::new().smallest(unit)).unwrap_or(length);
    format!("{rounded:#}")
}

#[cfg(test)]
mod tests;
