//! A key policy and grants read for themselves, not out of an event: what an inspection brings.

use serde_json::{Map, Value, json};

use super::action::{Ability, Actions};
use super::facts::{Access, Grant};
use super::party::{Party, View};
use super::rights::Rights;
use super::trust::Trust;
use super::{describe, grant, labels, parse};
use crate::core::decode::arn::KmsArn;
use crate::core::event::Actor;
use crate::core::inspection::KeyGrant;

/// What a key policy means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    pub access: Access,
    /// Everybody but the account itself who has every permission without trouble.
    pub all_powerful: Vec<String>,
    /// Unique ids that are left of principals that are gone.
    pub gone: Vec<String>,
    /// Those of the key's account who may change the policy, the account itself left out.
    pub own_editors: Vec<String>,
}

/// Reads the policy of a key; its account is the one that belongs to us.
///
/// # Errors
/// It is no policy; says why in words.
pub fn read_policy(policy: &str, key_arn: &str, trust: &Trust) -> Result<Reading, String> {
    let home = KmsArn::parse(key_arn).map(|arn| arn.account);
    let view = View { trust, home };
    let rights = Rights::of(&parse(&Value::from(policy))?, Some(key_arn), view);
    let itself = |party: &Party| matches!(party, Party::Account(account) if view.is_home(account));
    let all_powerful = rights.allowed.iter().filter(|(party, by_terms)| {
        !itself(party) && by_terms.iter().any(|(terms, actions)| terms.are_easy() && *actions == Actions::ALL)
    });
    let editors = rights
        .who_can(Ability::ChangePolicy)
        .filter(|party| !itself(party) && party.account().is_some_and(|account| view.is_home(account)));
    let gone = rights.allowed.keys().filter(|party| matches!(party, Party::Id(_)));
    Ok(Reading {
        access: describe(&rights, None, view),
        all_powerful: labels(all_powerful.map(|(party, _)| party)),
        gone: labels(gone),
        own_editors: labels(editors),
    })
}

/// Reads a grant on a key. Who asked for it is not known any more.
pub fn read_grant(grant: &KeyGrant, key_arn: &str, trust: &Trust) -> Option<Grant> {
    let view = View { trust, home: KmsArn::parse(key_arn).map(|arn| arn.account) };
    let mut request = Map::new();
    let texts = [
        ("granteePrincipal", grant.grantee.as_ref()),
        ("granteeServicePrincipal", grant.grantee_service.as_ref()),
        ("retiringPrincipal", grant.retiree.as_ref()),
    ];
    for (name, text) in texts {
        text.map(|text| request.insert(name.to_owned(), Value::from(text.as_str())));
    }
    request.insert("operations".to_owned(), Value::from(grant.operations.clone()));
    if grant.constrained {
        request.insert("constraints".to_owned(), json!({ "sourceArn": "given" }));
    }
    grant::grant(&request, &Actor::default(), view)
}
