//! From an event to what people read: plain text without markup, bounded, and harmless on one line.

mod access;
mod dates;
mod details;
mod links;
mod text;

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub use self::dates::event_date;
pub(in crate::core) use self::dates::plain;
pub use self::details::details;
pub use self::links::{links, undo, undo_command};
pub use self::text::clean;
use super::event::{Actor, Event, Family, KeyRef, Late, Outcome};
use super::notification::EventCard;

/// Longest text of one value on a card, in characters.
pub const TEXT_CHARS_MAX: usize = 300;

/// What a card says of an event. Every text in it is cleaned and bounded, and still untrusted: sinks escape it.
pub fn card(event: &Event, now: Timestamp, late_after: SignedDuration) -> EventCard {
    EventCard {
        id: event.id.0.clone(),
        name: clean(&event.name, NAME_CHARS_MAX),
        source: clean(&event.source, NAME_CHARS_MAX),
        time: event.time,
        account: short(event.account.as_ref()),
        region: short(event.region.as_ref()),
        outcome: event.outcome,
        denied_by: event.denied_by,
        error_code: short(event.error_code.as_ref()),
        error_message: event.error_message.as_ref().map(|text| clean(text, TEXT_CHARS_MAX)),
        actor: actor(&event.actor),
        details: details(event),
        late: late_text(event, now, late_after),
    }
}

/// The key for a card: the same, cleaned and bounded.
pub fn key(key: &KeyRef) -> KeyRef {
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter()
            .take(PARTS_MAX)
            .map(|(name, value)| (clean(name, NAME_CHARS_MAX), clean(value, TEXT_CHARS_MAX)))
            .collect()
    };
    KeyRef {
        arn: key.arn.as_ref().map(|text| clean(text, TEXT_CHARS_MAX)),
        id: short(key.id.as_ref()),
        account: short(key.account.as_ref()),
        region: short(key.region.as_ref()),
        aliases: key.aliases.iter().take(PARTS_MAX).map(|alias| clean(alias, TEXT_CHARS_MAX)).collect(),
        state: short(key.state.as_ref()),
        manager: short(key.manager.as_ref()),
        origin: short(key.origin.as_ref()),
        multi_region: key.multi_region,
        deletion_date: key.deletion_date,
        valid_to: key.valid_to,
        tags: pairs(&key.tags),
        labels: pairs(&key.labels),
    }
}

/// One plain line: what happened to which key (by its alias where one is known), by whom, from where, and in which account.
pub fn summary(event: &Event) -> String {
    if event.family == Family::Observation {
        return observed(event);
    }
    let name = clean(&event.name, NAME_CHARS_MAX);
    let key = event.key.as_ref().map(|key| clean(key.display_name(), NAME_CHARS_MAX));
    let on_key = key.as_ref().map(|key| format!(" on {key}")).unwrap_or_default();
    let who = who(&event.actor);
    let by = who.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
    let mut line = match event.outcome {
        Outcome::Success => match (phrase(&event.name), &key) {
            (Some(phrase), Some(key)) if event.name == "CreateGrant" => {
                format!("{key} {phrase} {}{by}", grantee(event).as_deref().unwrap_or("somebody"))
            }
            (Some(phrase), Some(key)) => format!("{key} {phrase}{by}"),
            _ => format!("{name}{on_key}{by}"),
        },
        Outcome::Denied => {
            format!("{name}{on_key} was denied{}", who.as_ref().map(|who| format!(" to {who}")).unwrap_or_default())
        }
        Outcome::Failed => {
            let code = event.error_code.as_ref().map(|code| format!(" ({})", clean(code, 80))).unwrap_or_default();
            format!("{name}{on_key} failed{code}{by}")
        }
    };
    // AWS's own name as the address says nothing that "by" has not said.
    if let Some(from) = event.actor.ip.as_ref().filter(|ip| !ip.contains("Internal")) {
        line.push_str(" from ");
        line.push_str(&clean(from, 80));
    }
    line + &place(event)
}

/// What KMS was found to say of a key: nobody did it, and no event told it.
fn observed(event: &Event) -> String {
    let name = event.key.as_ref().map_or_else(String::new, |key| clean(key.display_name(), NAME_CHARS_MAX));
    let state = event.key.as_ref().and_then(|key| key.state.as_deref()).map_or_else(String::new, |s| clean(s, 40));
    let by = event.document.pointer("/detail/by").and_then(Value::as_str).map_or_else(String::new, |by| clean(by, 40));
    let found = match state.as_str() {
        "Deleted" => "no longer exists".to_owned(),
        _ => format!("is {state}"),
    };
    format!("{name} {found}, found by {by}{}", place(event))
}

/// ` (111122223333 eu-central-1)`.
fn place(event: &Event) -> String {
    let place = [event.account.as_deref(), event.region.as_deref()];
    let place: Vec<String> = place.into_iter().flatten().map(|part| clean(part, 40)).collect();
    if place.is_empty() { String::new() } else { format!(" ({})", place.join(" ")) }
}

/// `late by 3 h (DELIVERY_DELAY)` for events that say of themselves that they come late, `late by 3 h` for those that
/// took longer than `late_after` to come; `now` is when it was decided.
pub fn late_text(event: &Event, now: Timestamp, late_after: SignedDuration) -> Option<String> {
    let by = now.duration_since(event.time);
    let why = match event.late.as_ref() {
        Some(Late::Addendum { reason, .. }) => clean(reason, 60),
        Some(Late::Replay { name }) => format!("replay {}", clean(name, 60)),
        None => return (by > late_after).then(|| format!("late by {}", span(by))),
    };
    Some(if by >= SignedDuration::from_mins(1) {
        format!("late by {} ({why})", span(by))
    } else {
        format!("late ({why})")
    })
}

/// Names, codes, principals.
const NAME_CHARS_MAX: usize = 200;
/// Aliases, tags and labels on a card.
const PARTS_MAX: usize = 20;

fn short(text: Option<&String>) -> Option<String> {
    text.map(|text| clean(text, NAME_CHARS_MAX))
}

fn actor(actor: &Actor) -> Actor {
    Actor {
        principal: actor.principal.as_ref().map(|text| clean(text, TEXT_CHARS_MAX)),
        kind: short(actor.kind.as_ref()),
        account: short(actor.account.as_ref()),
        session: short(actor.session.as_ref()),
        service: short(actor.service.as_ref()),
        ip: short(actor.ip.as_ref()),
        user_agent: actor.user_agent.as_ref().map(|text| clean(text, TEXT_CHARS_MAX)),
        mfa: actor.mfa,
        external: actor.external,
    }
}

/// The principal as people say it: `role/teams/deploy (ana@example.com) through lambda.amazonaws.com`.
fn who(actor: &Actor) -> Option<String> {
    let principal = actor.principal.as_deref()?;
    let said = match principal.splitn(6, ':').collect::<Vec<_>>().as_slice() {
        ["arn", _, _, _, account, "root"] => format!("the root user of {account}"),
        ["arn", _, _, _, _, resource] => (*resource).to_owned(),
        _ if principal.bytes().all(|b| b.is_ascii_digit()) => format!("account {principal}"),
        ["AWS Internal"] => "AWS".to_owned(),
        _ => principal.to_owned(),
    };
    let mut who = clean(&said, NAME_CHARS_MAX);
    if let Some(session) = &actor.session {
        who = format!("{who} ({})", clean(session, 80));
    }
    if let Some(service) = actor.service.as_ref().filter(|service| service.as_str() != principal) {
        who = format!("{who} through {}", clean(service, 80));
    }
    Some(who)
}

/// Whom a grant is for: `role/backup`, `role/x of account 444455556666`, `rds.amazonaws.com`.
fn grantee(event: &Event) -> Option<String> {
    let request = event.document.pointer("/detail/requestParameters")?;
    let names = ["granteePrincipal", "granteeServicePrincipal"];
    let text = names.into_iter().find_map(|name| request.get(name)?.as_str())?;
    let said = match text.splitn(6, ':').collect::<Vec<_>>().as_slice() {
        ["arn", _, _, _, account, "root"] => format!("account {account}"),
        ["arn", _, _, _, account, resource] if !account.is_empty() && event.account.as_deref() != Some(account) => {
            format!("{resource} of account {account}")
        }
        ["arn", _, _, _, _, resource] => (*resource).to_owned(),
        _ if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => format!("account {text}"),
        _ => text.to_owned(),
    };
    Some(clean(&said, NAME_CHARS_MAX)).filter(|said| !said.is_empty())
}

/// `3 h`, `2 d 4 h`, `17 min`.
pub(in crate::core) fn span(duration: SignedDuration) -> String {
    let minutes = duration.as_mins();
    let (days, hours, rest) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) => format!("{rest} min"),
        (0, _) => format!("{hours} h"),
        (_, 0) => format!("{days} d"),
        _ => format!("{days} d {hours} h"),
    }
}

/// What a success means for its key, after the key's name.
fn phrase(event_name: &str) -> Option<&'static str> {
    PHRASES.iter().find(|(name, _)| *name == event_name).map(|(_, phrase)| *phrase)
}

const PHRASES: &[(&str, &str)] = &[
    ("CreateKey", "was created"),
    ("EnableKey", "was enabled"),
    ("DisableKey", "was disabled"),
    ("ScheduleKeyDeletion", "was scheduled for deletion"),
    ("CancelKeyDeletion", "was saved from deletion and stays disabled"),
    ("DeleteKey", "was deleted"),
    ("KMS CMK Deletion", "was deleted"),
    ("RotateKey", "was rotated"),
    ("KMS CMK Rotation", "was rotated"),
    ("EnableKeyRotation", "got automatic rotation"),
    ("DisableKeyRotation", "lost its automatic rotation"),
    ("ImportKeyMaterial", "got imported key material"),
    ("DeleteImportedKeyMaterial", "lost its imported key material"),
    ("DeleteExpiredKeyMaterial", "lost its key material, which expired"),
    ("KMS Imported Key Material Expiration", "lost its key material, which expired"),
    ("PutKeyPolicy", "got a new key policy"),
    ("CreateGrant", "was granted to"),
    ("RevokeGrant", "had a grant revoked"),
    ("RetireGrant", "had a grant retired"),
    ("CreateAlias", "got an alias"),
    ("UpdateAlias", "had an alias moved to it"),
    ("DeleteAlias", "lost an alias"),
    ("TagResource", "was tagged"),
    ("UntagResource", "lost tags"),
    ("ReplicateKey", "was replicated to another Region"),
    ("UpdatePrimaryRegion", "changed its primary Region"),
    ("UpdateKeyDescription", "got a new description"),
];
