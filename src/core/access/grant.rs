//! What a `CreateGrant` gives, and to whom.

use serde_json::{Map, Value};

use super::facts::Grant;
use super::party::{Party, Standing, View, account_of, is_unique_id};
use super::trust::is_account;
use crate::core::event::Actor;
use crate::core::render::clean;

/// Reads the request of a `CreateGrant`; `None` where it says neither to whom nor what.
pub(super) fn grant(request: &Map<String, Value>, actor: &Actor, view: View<'_>) -> Option<Grant> {
    let text = |name: &str| request.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let named = text("granteePrincipal");
    let service = text("granteeServicePrincipal");
    let operations = request.get("operations").and_then(Value::as_array);
    if named.is_none() && service.is_none() && operations.is_none() {
        return None;
    }
    let grantee = service.map(Grantee::service).or_else(|| named.map(|text| Grantee::of(text, view)));
    let mut operations: Option<Vec<String>> = operations
        .map(|list| list.iter().filter_map(Value::as_str).take(OPERATIONS_MAX).map(|name| clean(name, 60)).collect());
    if let Some(list) = &mut operations {
        list.sort();
        list.dedup();
    }
    let can_create_grants =
        operations.as_ref().map(|list| list.iter().any(|name| name.eq_ignore_ascii_case("CreateGrant")));
    Some(Grant {
        grantee: service.or(named).map(|text| clean(text, TEXT_CHARS_MAX)),
        kind: grantee.as_ref().map(|grantee| grantee.kind),
        account: grantee.as_ref().and_then(|grantee| grantee.account.clone()),
        service: grantee.as_ref().and_then(|grantee| grantee.service.clone()),
        external: grantee.as_ref().and_then(|grantee| grantee.external),
        human: human(actor),
        operations: operations.unwrap_or_default(),
        can_create_grants,
        constrained: Some(request.get("constraints").is_some_and(narrows)),
        retiree: text("retiringServicePrincipal").or(text("retiringPrincipal")).map(|text| clean(text, TEXT_CHARS_MAX)),
    })
}

const TEXT_CHARS_MAX: usize = 400;
/// KMS knows 17.
const OPERATIONS_MAX: usize = 50;

struct Grantee {
    kind: &'static str,
    account: Option<String>,
    service: Option<String>,
    external: Option<bool>,
}

impl Grantee {
    fn service(name: &str) -> Self {
        Self { kind: "service", account: None, service: Some(clean(name, TEXT_CHARS_MAX)), external: Some(false) }
    }

    fn of(text: &str, view: View<'_>) -> Self {
        if matches!(text, "AWS Internal" | "Amazon Internal") {
            return Self::service("AWS Internal");
        }
        if is_service(text) {
            return Self::service(text);
        }
        // `111122223333:aws:ec2-infrastructure:i-…`: an instance, in whose name EC2 acts.
        if let Some((account, rest)) = text.split_once(':')
            && is_account(account)
            && let Some(role) = rest.strip_prefix("aws:")
        {
            let service = role.split([':', '/']).next().unwrap_or(role);
            return Self {
                kind: "instance",
                account: Some(account.to_owned()),
                service: Some(clean(service, TEXT_CHARS_MAX)),
                external: external(view, &Party::Account(account.to_owned())),
            };
        }
        if is_unique_id(text) {
            return Self { kind: "id", account: None, service: None, external: None };
        }
        if is_account(text) || text.starts_with("arn:") {
            let party = Party::of_aws(text);
            let account = account_of(text).or(is_account(text).then_some(text));
            // The role's name in the ARN of its session holds who acts: `aws:ec2-infrastructure`.
            let service = session_of_service(text);
            return Self {
                kind: if service.is_some() { "instance" } else { kind(&party) },
                account: account.map(str::to_owned),
                service,
                external: external(view, &party),
            };
        }
        Self { kind: "unknown", account: None, service: None, external: None }
    }
}

/// A service is its name in the DNS and nothing more: whoever makes a role may call it `x.amazonaws.com`.
fn is_service(text: &str) -> bool {
    let bare = !text.contains([':', '/']);
    bare && (text.ends_with(".amazonaws.com") || text.ends_with(".amazonaws.com.cn"))
}

/// `arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/i-…`.
fn session_of_service(arn: &str) -> Option<String> {
    let (_, role) = arn.split_once(":assumed-role/aws:")?;
    role.split('/').next().filter(|name| !name.is_empty()).map(|name| clean(name, TEXT_CHARS_MAX))
}

fn kind(party: &Party) -> &'static str {
    let Party::Principal(arn) = party else { return "account" };
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    match resource.split('/').next().unwrap_or_default() {
        "user" => "user",
        "role" => "role",
        "assumed-role" | "federated-user" => "session",
        _ => "unknown",
    }
}

fn external(view: View<'_>, party: &Party) -> Option<bool> {
    // Without an account to call ours nobody can be called a stranger.
    party.account()?;
    view.home?;
    Some(view.standing(party) == Standing::External)
}

/// Whether the caller is a principal that no AWS service speaks for.
fn human(actor: &Actor) -> Option<bool> {
    let from = actor.ip.as_deref().unwrap_or_default();
    let from_aws = from.ends_with(".amazonaws.com") || from.starts_with("AWS Internal");
    if actor.service.is_some() || actor.kind.as_deref() == Some("AWSService") || from_aws {
        return Some(false);
    }
    actor.principal.is_some().then_some(true)
}

/// Whether any constraint has something to compare.
fn narrows(constraints: &Value) -> bool {
    let says = |value: &Value| match value {
        Value::Object(members) => !members.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    constraints.as_object().is_some_and(|members| members.values().any(says))
}
