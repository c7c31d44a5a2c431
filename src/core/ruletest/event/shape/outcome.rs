//! What a denied or failed call looks like: a denied one has no request parameters and no resources, and its key stands
//! only in the text of the error (KMS developer guide, "Troubleshooting" and "Key states").

use serde_json::{Map, Value, json};

use super::Fault;
use crate::base::diagnostic::did_you_mean;
use crate::core::catalog::Scene;
use crate::core::decode::is_denial;

type Object = Map<String, Value>;

/// Gives the record the shape that its outcome has.
pub(super) fn put(envelope: &mut Value, said: &Object, name: &str, scene: &Scene) -> Result<(), Fault> {
    let recorded = envelope.get("detail-type").and_then(Value::as_str).is_some_and(|t| t.ends_with(" via CloudTrail"));
    let Some(detail) = envelope.get_mut("detail").and_then(Value::as_object_mut) else { return Ok(()) };
    let code = said.get("detail").and_then(|detail| detail.get("errorCode")).and_then(Value::as_str);
    let outcome = match said.get("outcome") {
        None => code.map_or("success", |code| if is_denial(code) { "denied" } else { "failed" }),
        Some(Value::String(word)) if OUTCOMES.contains(&word.as_str()) => word,
        Some(other) => {
            let word = other.as_str().unwrap_or_default();
            let hint = did_you_mean(word, OUTCOMES, "outcomes");
            return Err(Fault::new(Some("outcome"), format!("there is no outcome `{}`", word.escape_debug()), hint));
        }
    };
    if outcome == "success" {
        return Ok(());
    }
    if !recorded {
        detail.insert("result".to_owned(), json!("failed"));
        detail.insert("cause".to_owned(), json!(format!("{} is disabled.", scene.key)));
        return Ok(());
    }
    detail.insert("responseElements".to_owned(), Value::Null);
    for part in ["additionalEventData", "serviceEventDetails"] {
        detail.remove(part);
    }
    let kms = detail.get("eventSource").and_then(Value::as_str) == Some("kms.amazonaws.com");
    if outcome == "denied" {
        let service =
            detail.get("eventSource").and_then(Value::as_str).and_then(|s| s.split('.').next()).unwrap_or("kms");
        let caller =
            detail.get("userIdentity").and_then(|identity| identity.get("arn").or_else(|| identity.get("invokedBy")));
        let caller = caller.and_then(Value::as_str).unwrap_or("anonymous").to_owned();
        let action = format!("{service}:{name}");
        let named = kms && detail.get("resources").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        let on = if named { scene.key.as_str() } else { "*" };
        let cause = cause(said.get("denied_by").and_then(Value::as_str).unwrap_or("identity_policy"), &action);
        let message = format!("User: {caller} is not authorized to perform: {action} on resource: {on} {cause}");
        detail.insert("errorCode".to_owned(), json!("AccessDenied"));
        detail.insert("errorMessage".to_owned(), json!(message));
        detail.insert("requestParameters".to_owned(), Value::Null);
        detail.remove("resources");
    } else {
        let state = said.get("key").and_then(|key| key.get("state")).and_then(Value::as_str).unwrap_or("Disabled");
        let (code, message) =
            if kms { failure(state, &scene.key) } else { ("InternalFailure", "The request failed.".to_owned()) };
        detail.insert("errorCode".to_owned(), json!(code));
        detail.insert("errorMessage".to_owned(), json!(message));
    }
    Ok(())
}

const OUTCOMES: &[&str] = &["success", "denied", "failed"];

/// How AWS says which policy said no.
fn cause(denied_by: &str, action: &str) -> String {
    match denied_by {
        "resource_policy" => format!("because no resource-based policy allows the {action} action"),
        "session_policy" => format!("because no session policy allows the {action} action"),
        "permissions_boundary" => format!("because no permissions boundary allows the {action} action"),
        "service_control_policy" => "with an explicit deny in a service control policy".to_owned(),
        "resource_control_policy" => "with an explicit deny in a resource control policy".to_owned(),
        "vpc_endpoint_policy" => format!("because no VPC endpoint policy allows the {action} action"),
        "explicit_deny" => "with an explicit deny".to_owned(),
        "unknown" => String::new(),
        _ => format!("because no identity-based policy allows the {action} action"),
    }
}

/// How KMS refuses a key in this state.
fn failure(state: &str, key: &str) -> (&'static str, String) {
    match state {
        "PendingDeletion" => ("KMSInvalidStateException", format!("{key} is pending deletion.")),
        "PendingReplicaDeletion" => ("KMSInvalidStateException", format!("{key} is pending replica deletion.")),
        "PendingImport" => (
            "KMSInvalidStateException",
            format!(
                "{key} is pending import because no key material has ever been imported or one of the imported key materials is deleted or expired."
            ),
        ),
        "Unavailable" => ("KMSInvalidStateException", format!("{key} is unavailable.")),
        "Creating" => ("KMSInvalidStateException", format!("{key} is creating.")),
        "Updating" => ("KMSInvalidStateException", format!("{key} is updating.")),
        _ => ("DisabledException", format!("{key} is disabled.")),
    }
}
