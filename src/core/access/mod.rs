//! Who may do what with a key: what a key policy or a grant in an event means, measured by who belongs to us.
//!
//! [`parse`] reads a policy, [`rights`] brings it into a normal form in which two policies that mean the same are the same,
//! [`mend`] asks who could still give a key back, [`diff`] compares two of them, [`grant`] reads a `CreateGrant`, and [`known`]
//! says what to remember. [`assess`] puts all of it into an event's document, as `access`, `grant`, `replica` and `actor.external`;
//! and `rotation`, which is compared with what was known before as a policy is.

mod action;
mod condition;
mod diff;
mod facts;
mod grant;
mod known;
mod memory;
mod mend;
mod notes;
mod parse;
mod party;
mod reading;
mod rights;
mod trust;
mod twice;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::Value;

pub use action::{Ability, Actions};
pub use diff::{Change, diff};
pub use facts::{Access, Grant, Replica};
pub use known::{History, Lesson, Taught, Version, lesson, teaches};
pub use memory::Histories;
pub use parse::{KeyPolicy, parse};
pub use party::View;
pub use reading::{Reading, read_grant, read_policy};
pub use rights::Rights;
pub use trust::{Trust, TrustSpec};

use super::event::{Actor, Event, KeyRef};
use super::rotation;
use action::Ability as A;
use party::{Party, Standing};

/// The key whose history [`assess`] wants to see; `None` where there is nothing to compare.
pub fn wants(event: &Event) -> Option<String> {
    if rotation::period_days(event).is_some() {
        return event.key.as_ref()?.arn.clone();
    }
    // A key that was just made has no past.
    if event.name == "PutKeyPolicy" && known::policy(event).is_some() { known::subject(event) } else { None }
}

/// Adds to the event what depends on who belongs to us: `actor.external`, and `access`, `grant` or `replica` where it carries a
/// key policy, makes a grant or replicates a key; and `rotation` where it says something of a rotation period. Needs no look-up; `known`
/// is what was seen before of the key that [`wants`] names.
pub fn assess(event: &mut Event, trust: &Trust, known: Option<&History>) {
    let home = event.account.clone();
    let view = View { trust, home: home.as_deref() };
    event.actor.external = external(&event.actor, view);
    let access = known::policy(event).map(|policy| access(policy, event, known, view));
    let grant = if event.name == "CreateGrant" && event.source == "aws.kms" {
        let request = event.document.pointer("/detail/requestParameters").and_then(Value::as_object);
        request.and_then(|request| grant::grant(request, &event.actor, view))
    } else {
        None
    };
    let replica = replica(event, trust);
    rotation::assess(event, known);
    event.put("replica", replica.as_ref());
    event.put("access", access.as_ref());
    event.put("grant", grant.as_ref());
    if let (Some(external), Some(actor)) = (event.actor.external, event.document.get_mut("actor"))
        && let Some(actor) = actor.as_object_mut()
    {
        actor.insert("external".to_owned(), Value::Bool(external));
    }
}

/// Whether a key was replicated into a Region of ours.
fn replica(event: &Event, trust: &Trust) -> Option<Replica> {
    let replicates = event.source == "aws.kms" && event.name == "ReplicateKey";
    let region = event.document.pointer("/detail/requestParameters/replicaRegion").filter(|_| replicates)?;
    let allowed = trust.allows_region(region.as_str()?)?;
    Some(Replica { allowed: Some(allowed) })
}

/// Whom the newest policy known of a key lets use it.
pub fn who_may_use(known: &History, key: &KeyRef, trust: &Trust) -> Vec<String> {
    let text = known.versions.first().and_then(|version| version.text.as_deref());
    let Some(Ok(parsed)) = text.map(|text| parse(&Value::from(text))) else { return vec![] };
    let view = View { trust, home: key.account.as_deref() };
    labels(Rights::of(&parsed, key.arn.as_deref(), view).who_can(A::Use))
}

/// Whether the caller is a stranger. AWS's services are none.
fn external(actor: &Actor, view: View<'_>) -> Option<bool> {
    if actor.kind.as_deref() == Some("AWSService") || actor.principal.as_deref() == Some("AWS Internal") {
        return Some(false);
    }
    let account = Party::Account(actor.account.clone()?);
    view.home?;
    let trusted = |party: &Party| view.standing(party) == Standing::Ours;
    let principal = actor.principal.as_deref().filter(|text| text.starts_with("arn:")).map(Party::of_arn);
    Some(!trusted(&account) && !principal.is_some_and(|principal| trusted(&principal)))
}

fn access(policy: &Value, event: &Event, known: Option<&History>, view: View<'_>) -> Access {
    let arn = known::subject(event);
    let parsed = match parse(policy) {
        Ok(parsed) => parsed,
        Err(why) => return Access { unknown: vec![why], ..Access::default() },
    };
    let rights = Rights::of(&parsed, arn.as_deref(), view);
    let before = known.filter(|_| event.name == "PutKeyPolicy").and_then(|known| known.before(event));
    let before = before.and_then(|text| parse(&Value::from(text)).ok());
    let before = before.map(|policy| Rights::of(&policy, arn.as_deref(), view));
    describe(&rights, before.as_ref(), view)
}

/// What rights mean, against those of before.
fn describe(rights: &Rights, before: Option<&Rights>, view: View<'_>) -> Access {
    let external = rights.external(view);
    let known: BTreeSet<&Party> = before.map(|before| before.external(view)).unwrap_or_default();
    let own = view.home.is_some();
    let nobody_can: Vec<String> = [A::Use, A::Administer, A::Grant, A::Delete, A::CancelDeletion, A::ChangePolicy]
        .into_iter()
        .filter(|ability| own && !rights.own_can(*ability, view))
        .map(|ability| ability.as_str().to_owned())
        .collect();
    let doubtful = |ability: &A| own && rights.own_can(*ability, view) && !rights.own_can_beyond_doubt(*ability);
    let perhaps_nobody_can =
        mend::MENDING.into_iter().filter(doubtful).map(|ability| ability.as_str().to_owned()).collect();
    let change = before.map(|before| diff(before, rights, view)).unwrap_or_default();
    let (stronger, gained) = before.map(|before| diff::strengthened(before, rights, view)).unwrap_or_default();
    let can = |ability| labels(rights.who_can(ability));
    let services = rights.allowed.keys().filter(|party| matches!(party, Party::Service(_)));
    Access {
        public: Some(rights.is_public()),
        new_external: labels(external.iter().filter(|party| !known.contains(*party)).copied()),
        external: labels(external.iter().copied()),
        stronger_external: labels(stronger.into_iter()),
        external_gained: gained.abilities().map(|ability| ability.as_str().to_owned()).collect(),
        services: labels(services),
        root: own.then(|| rights.root == Actions::ALL),
        lockout: own.then(|| nobody_can.iter().any(|ability| ability == A::ChangePolicy.as_str())),
        nobody_can,
        perhaps_nobody_can,
        can_use: can(A::Use),
        can_administer: can(A::Administer),
        can_grant: can(A::Grant),
        can_delete: can(A::Delete),
        can_cancel_deletion: can(A::CancelDeletion),
        can_change_policy: can(A::ChangePolicy),
        given: rights.lines(view),
        denied: rights.denied_lines(view),
        compared: Some(before.is_some()),
        gained: change.gained,
        lost: change.lost,
        unknown: rights.unknown.lines(),
    }
}

fn labels<'p>(parties: impl Iterator<Item = &'p Party>) -> Vec<String> {
    let mut labels: Vec<String> = parties.map(Party::label).collect();
    labels.sort();
    labels.dedup();
    labels
}
