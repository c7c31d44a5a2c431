//! Who could still mend a key if every Deny held whose conditions cannot be judged.
//!
//! `Rights` takes away only what is denied for certain, so a Deny hides behind any condition. Here it is looked at one by one: the
//! account at large, and each of its principals that the policy names, asks what the Denies that may hit it leave.

use std::collections::BTreeSet;

use super::action::{Ability, Actions, fits};
use super::condition::Condition;
use super::parse::{KeyPolicy, Statement, Who};
use super::party::{Party, View};
use super::rights::may_be_among;

/// What gives a key back to those who lost it.
pub(super) const MENDING: [Ability; 3] = [Ability::Administer, Ability::CancelDeletion, Ability::ChangePolicy];

/// Principals that are looked at beside the account at large.
const ASKED_MAX: usize = 64;

/// What somebody of the key's account has without trouble, whatever Denies on conditions may hold. All of it where there are none:
/// then `Rights` has judged everything.
pub(super) fn beyond_doubt(policy: &KeyPolicy, key_arn: Option<&str>, view: View<'_>) -> Actions {
    let Some(home) = view.home else { return Actions::ALL };
    let mending = MENDING.iter().fold(Actions::NONE, |all, ability| all.and(ability.actions()));
    let about: Vec<&Statement> = policy.statements.iter().filter(|one| one.scope.covers(key_arn)).collect();
    let doubtful =
        |one: &&Statement| !one.allow && !one.conditions.is_empty() && !one.actions.within(mending).is_empty();
    if !about.iter().any(doubtful) {
        return Actions::ALL;
    }
    let mut have = Actions::NONE;
    for one in asked(&about, home) {
        let (mut allowed, mut denied) = (Actions::NONE, Actions::NONE);
        for statement in &about {
            let all = if statement.allow { &mut allowed } else { &mut denied };
            if speaks_of(statement, &one, view) {
                *all = all.and(statement.actions);
            }
        }
        have = have.and(allowed.without(denied));
        if mending.without(have).is_empty() {
            break;
        }
    }
    have
}

/// The account at large, and those of its principals whom some statement names.
fn asked(statements: &[&Statement], home: &str) -> BTreeSet<Party> {
    let mut asked = BTreeSet::from([Party::Account(home.to_owned())]);
    for statement in statements {
        let (Who::Only(named) | Who::AllBut(named)) = &statement.who;
        let by_conditions = statement.conditions.iter().filter_map(|condition| meant(condition, home)).flatten();
        let all = named.iter().cloned().chain(by_conditions);
        let own = all.filter(|party| matches!(party, Party::Principal(_)) && party.account() == Some(home));
        for party in own {
            if asked.len() > ASKED_MAX {
                return asked;
            }
            asked.insert(party);
        }
    }
    asked
}

/// Whether an Allow speaks of a party without trouble, or a Deny perhaps.
fn speaks_of(statement: &Statement, one: &Party, view: View<'_>) -> bool {
    let home = view.home.unwrap_or_default();
    let named = match &statement.who {
        Who::Only(parties) => parties.contains(&Party::Anybody) || may_be_among(one, parties, view),
        Who::AllBut(few) => !may_be_among(one, few, view),
    };
    named
        && statement.conditions.iter().all(|condition| {
            let meant = meant(condition, home);
            let may_be = |parties: &BTreeSet<Party>| may_be_among(one, parties, view);
            if condition.is_certain() {
                return true;
            }
            match (meant, condition.is_negative()) {
                (Some(few), true) => !may_be(&few),
                (Some(few), false) if statement.allow => condition.binds().is_some() && may_be(&few),
                (Some(few), false) => may_be(&few),
                (None, _) if statement.allow => condition.is_harmless(),
                (None, _) => !condition.is_easily_escaped(),
            }
        })
}

/// Whom a condition on the caller names, seen from the key's account: a pattern that any account fits is meant of this one.
fn meant(condition: &Condition, home: &str) -> Option<BTreeSet<Party>> {
    condition.named(|value| {
        let parts: Vec<&str> = value.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, resource] = parts.as_slice() else { return None };
        if !fits(account.as_bytes(), home.as_bytes()) {
            return None;
        }
        let of_home = format!("arn:{partition}:{service}:{region}:{home}:{resource}");
        Some(if *resource == "*" { Party::Account(home.to_owned()) } else { Party::of_arn(&of_home) })
    })
}
