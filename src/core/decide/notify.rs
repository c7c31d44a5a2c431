//! From a transition to deliveries: who is told, and what.

use jiff::Timestamp;

use super::{NewDelivery, NotTold, Policy, What};
use crate::core::countdown::{Deadline, Ending};
use crate::core::hold::weight;
use crate::core::incident::{Incident, State};
use crate::core::notification::{EventCard, IncidentCard, Kind, Notification, Reason};
use crate::core::render;
use crate::core::route;

/// One thing to tell, before it is known to whom.
pub(super) struct Telling {
    pub(super) kind: Kind,
    pub(super) reason: Reason,
    audience: Audience,
    /// The event to show, where it is not the newest alert's: the one that resolved.
    pub(super) event: Option<EventCard>,
    /// What a reader must know of how it comes.
    pub(super) remarks: Vec<String>,
}

enum Audience {
    /// Routes decide; who was told before hears it too.
    Routed { incomplete: bool },
    /// Who was told of the trigger hears the rest, whatever routes say now.
    Told,
}

impl Telling {
    pub(super) fn routed(kind: Kind, reason: Reason, incomplete: bool) -> Self {
        Self { kind, reason, audience: Audience::Routed { incomplete }, event: None, remarks: vec![] }
    }

    pub(super) fn told(kind: Kind, reason: Reason) -> Self {
        Self { kind, reason, audience: Audience::Told, event: None, remarks: vec![] }
    }

    /// The same as it would have been told at its time.
    pub(super) fn of(kind: Kind, reason: Reason, incomplete: bool) -> Self {
        let news = kind == Kind::Trigger || matches!(reason, Reason::Escalated | Reason::NewDanger | Reason::Countdown);
        if news { Self::routed(kind, reason, incomplete) } else { Self::told(kind, reason) }
    }

    /// Takes over what was held back, if that tells more.
    pub(super) fn join(&mut self, kind: Kind, reason: Reason, incomplete: bool) {
        if weight(kind, reason) > weight(self.kind, self.reason) {
            let Self { event, remarks, .. } = std::mem::replace(self, Self::of(kind, reason, incomplete));
            (self.event, self.remarks) = (event, remarks);
        }
    }
}

/// Makes the deliveries; counts the transition only if somebody is told.
pub(super) fn tell(
    policy: &Policy,
    incident: &mut Incident,
    telling: Telling,
    now: Timestamp,
) -> Result<(Vec<NewDelivery>, What), NotTold> {
    let mut remarks = telling.remarks;
    if let Audience::Routed { incomplete } = telling.audience {
        let routed = route::route(&policy.routes, &policy.sinks, incident, incomplete);
        if routed.unsure {
            remarks.push("key details are unknown, so every route that asks for them was taken".to_owned());
        }
        if routed.unrouted {
            remarks.push("no route takes this incident, so every sink is told".to_owned());
        }
        incident.told.extend(routed.sinks);
        if incident.told.is_empty() {
            return Err(NotTold::NoRoute);
        }
    } else if incident.told.is_empty() {
        return Err(NotTold::NeverTold);
    }
    incident.transitions += 1;
    incident.last_notified_at = Some(now);
    let event = telling.event.unwrap_or_else(|| incident.latest.clone());
    let notification = compose(incident, telling.kind, telling.reason, event, remarks.clone(), now);
    let sinks: Vec<String> = incident.told.iter().cloned().collect();
    let deliveries =
        sinks.iter().map(|sink| NewDelivery { sink: sink.clone(), notification: notification.clone() }).collect();
    Ok((deliveries, What::Told { sinks, kind: telling.kind, reason: telling.reason, remarks }))
}

/// Writes the notification for an incident as it stands.
pub(super) fn compose(
    incident: &Incident,
    kind: Kind,
    reason: Reason,
    event: EventCard,
    remarks: Vec<String>,
    now: Timestamp,
) -> Notification {
    let voice = &incident.voice;
    let mut marks: Vec<String> = incident.marks.iter().cloned().collect();
    marks.extend(event.late.clone());
    marks.extend(remarks);
    let undo = incident.undo.clone().filter(|_| kind != Kind::Resolve);
    Notification {
        id: format!("{}-{}-{}", incident.fingerprint, incident.episode, incident.transitions),
        kind,
        reason,
        at: now,
        summary: said(incident, reason, &event, now),
        incident: IncidentCard {
            id: incident.id.clone(),
            fingerprint: incident.fingerprint.clone(),
            episode: incident.episode,
            state: incident.state,
            severity: incident.severity,
            title: voice.title.clone(),
            rule: voice.rule.clone(),
            family: incident.family.clone(),
            opened_at: incident.opened_at,
            last_alert_at: incident.last_alert_at,
            resolved_at: incident.resolved_at,
            harm: incident.harm.clone(),
            in_use: incident.in_use.clone().filter(|_| incident.state != State::Resolved),
            deadline: incident.deadline.filter(|_| incident.state != State::Resolved),
            alerts: incident.alerts,
            actors: incident.actors.iter().cloned().collect(),
            step: incident.step,
            transition: incident.transitions,
            tags: incident.tags.iter().cloned().collect(),
            runbook: runbook(incident),
            owner: voice.owner.clone(),
            taken: incident.taken.clone(),
        },
        key: incident.key.clone(),
        meaning: voice.meaning.clone(),
        action: voice.action.clone(),
        undo,
        links: incident.links.clone(),
        marks,
        event,
        banner: None,
    }
}

/// The newest alert in one plain line; of a key's turn to the better, and of a mark that passes, what that is.
fn said(incident: &Incident, reason: Reason, event: &EventCard, now: Timestamp) -> String {
    let key = incident.key.as_ref();
    let name = key.map_or("the key", |key| key.display_name());
    let state = key.and_then(|key| key.state.as_deref());
    match (reason, incident.deadline) {
        (Reason::Countdown, Some(Deadline { at, what })) => {
            let left = render::span(at.duration_since(now));
            let ending = match what {
                Ending::Destroyed => "will be destroyed",
                Ending::MaterialExpires => "loses its key material, which expires,",
                Ending::Other => "reaches its date",
            };
            format!("{name} {ending} in {left}, on {}", render::plain(at))
        }
        (Reason::Downgraded, _) if event.name == "CancelKeyDeletion" => {
            format!("{name}: deletion cancelled, key still DISABLED: enable it")
        }
        (Reason::Downgraded, _) => {
            format!(
                "{name} is {} now: better than before, but it still cannot be used",
                state.unwrap_or("in another state")
            )
        }
        _ => incident.said.clone(),
    }
}

/// The rule's runbook; a key's own label wins.
fn runbook(incident: &Incident) -> Option<String> {
    let label = incident.key.as_ref().and_then(|key| key.labels.get("runbook"));
    label.or(incident.voice.runbook.as_ref()).cloned()
}
