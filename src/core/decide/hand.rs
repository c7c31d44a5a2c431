//! What people do to incidents by hand.

use jiff::Timestamp;

use super::fold::Desk;
use super::notify::Telling;
use super::{Decision, Policy, Snapshot};
use crate::core::countdown;
use crate::core::incident::{State, Taken};
use crate::core::notification::{Kind, Reason};

/// A person's command about one incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The incident's full id.
    pub incident: String,
    pub action: Action,
    pub by: String,
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Acknowledge,
    Resolve,
}

/// Carries out a command. An incident that is not in the snapshot, or is resolved already, is left alone: then the
/// decision is empty. A resolve by hand counts as a clearance now: only newer events open the incident again.
pub fn by_hand(policy: &Policy, snapshot: &Snapshot, command: &Command, now: Timestamp) -> Decision {
    let mut desk = Desk::new(policy, snapshot, now);
    let found = snapshot.situations.values().find(|situation| {
        situation
            .incident
            .as_ref()
            .is_some_and(|incident| incident.id == command.incident && incident.state != State::Resolved)
    });
    let Some(found) = found else { return Decision::default() };
    let mut situation = desk.take(&found.fingerprint);
    if let Some(mut incident) = situation.incident.take() {
        let from = incident.state;
        let by = Some((command.by.as_str(), command.why.as_str()));
        incident.taken = Some(Taken { by: command.by.clone(), why: command.why.clone(), at: now });
        match command.action {
            Action::Acknowledge => {
                desk.transition(&mut incident, Some(from), State::Acknowledged, Reason::AcknowledgedByHand, by);
                desk.tell(&mut incident, Telling::told(Kind::Update, Reason::AcknowledgedByHand));
            }
            Action::Resolve => {
                for name in situation.countdowns.keys() {
                    situation.conditions.entry(countdown::parts(name).0.to_owned()).or_default();
                }
                for condition in situation.conditions.values_mut() {
                    condition.last_clear = condition.last_clear.max(Some(now));
                }
                incident.resolved_at = Some(now);
                desk.transition(&mut incident, Some(from), State::Resolved, Reason::ResolvedByHand, by);
                desk.tell(&mut incident, Telling::told(Kind::Resolve, Reason::ResolvedByHand));
            }
        }
        situation.incident = Some(incident);
    }
    desk.put(situation);
    desk.finish()
}
