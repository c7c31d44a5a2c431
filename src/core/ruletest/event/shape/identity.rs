//! `userIdentity` for an actor as a test names it.

use serde_json::{Map, Value, json};

use crate::core::catalog::Scene;

type Object = Map<String, Value>;

/// Writes who did it into the record, in the shape CloudTrail gives it.
pub(super) fn put(envelope: &mut Value, actor: &Object, scene: &Scene) {
    let Some(detail) = envelope.get_mut("detail").and_then(Value::as_object_mut) else { return };
    let text = |name: &str| actor.get(name).and_then(Value::as_str);
    if let Some(ip) = text("ip") {
        detail.insert("sourceIPAddress".to_owned(), json!(ip));
    }
    if let Some(agent) = text("user_agent") {
        detail.insert("userAgent".to_owned(), json!(agent));
    }
    let Some(there) = detail.get("userIdentity").cloned() else { return };
    let mut identity = text("principal").map_or(there, |principal| of_principal(principal, text("session"), scene));
    let Some(members) = identity.as_object_mut() else { return };
    for (ours, theirs) in [("type", "type"), ("account", "accountId"), ("service", "invokedBy")] {
        if let Some(value) = text(ours) {
            members.insert(theirs.to_owned(), json!(value));
        }
    }
    if let Some(session) = text("session").filter(|_| text("principal").is_none())
        && let Some(role) = role_of(members)
    {
        let account = members.get("accountId").and_then(Value::as_str).unwrap_or(&scene.account).to_owned();
        members.insert("arn".to_owned(), json!(format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")));
        members.insert("principalId".to_owned(), json!(format!("AROAEXAMPLE:{session}")));
    }
    if let Some(mfa) = actor.get("mfa").and_then(Value::as_bool) {
        let session = members.entry("sessionContext").or_insert_with(|| json!({}));
        if let Some(session) = session.as_object_mut() {
            let attributes = session.entry("attributes").or_insert_with(|| json!({}));
            if let Some(attributes) = attributes.as_object_mut() {
                attributes.insert("mfaAuthenticated".to_owned(), json!(mfa.to_string()));
            }
        }
    }
    detail.insert("userIdentity".to_owned(), identity);
}

fn role_of(identity: &Object) -> Option<String> {
    let arn = identity.get("arn").and_then(Value::as_str)?;
    arn.split_once(":assumed-role/")?.1.split('/').next().map(str::to_owned)
}

/// The identity whose stable principal is this.
fn of_principal(principal: &str, session: Option<&str>, scene: &Scene) -> Value {
    let parts: Vec<&str> = principal.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", _, account, resource] => {
            if let Some(path) = resource.strip_prefix("role/") {
                let role = path.rsplit('/').next().unwrap_or(path);
                let session = session.unwrap_or("session");
                return json!({
                    "type": "AssumedRole",
                    "principalId": format!("AROAEXAMPLE:{session}"),
                    "arn": format!("arn:{partition}:sts::{account}:assumed-role/{role}/{session}"),
                    "accountId": account,
                    "sessionContext": { "sessionIssuer": {
                        "type": "Role", "principalId": "AROAEXAMPLE", "arn": principal, "accountId": account, "userName": role,
                    } },
                });
            }
            if *resource == "root" {
                return json!({ "type": "Root", "principalId": account, "arn": principal, "accountId": account });
            }
            let user = resource.rsplit('/').next().unwrap_or(resource);
            json!({ "type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": principal, "accountId": account, "userName": user })
        }
        ["AWS Internal"] => json!({ "accountId": scene.account, "invokedBy": principal }),
        [name] if name.ends_with(".amazonaws.com") => json!({ "type": "AWSService", "invokedBy": name }),
        [account] if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) => {
            json!({ "type": "AWSAccount", "principalId": "AROAEXAMPLE", "accountId": account })
        }
        _ => json!({ "type": "Unknown", "arn": principal, "accountId": scene.account }),
    }
}
