//! What an event says of the state of its key.

use serde_json::json;

use super::{Fact, KeyState, Witness};
use crate::core::event::{Event, FactKind, Family, Outcome};
use crate::core::pattern::{Node, Pattern};

/// Calls and service events of KMS whose success changes the state of a key.
const SPEAKERS: &[&str] = &[
    "CancelKeyDeletion",
    "DeleteExpiredKeyMaterial",
    "DeleteImportedKeyMaterial",
    "DeleteKey",
    "DisableKey",
    "EnableKey",
    "ImportKeyMaterial",
    "ScheduleKeyDeletion",
];

/// What an event matches that changes the state of a key, whatever rules ask for: it stands in the index beside the rules'
/// patterns, so that looking for it costs nothing.
pub fn pattern() -> Pattern {
    let speaks = json!({ "source": ["aws.kms"], "detail": { "eventName": SPEAKERS }, "outcome": ["success"] });
    Pattern::compile(&Node::from_json(&speaks)).unwrap_or_else(|_| Pattern::never())
}

/// Whether an event changes the state of a key, or is KMS's own word on it.
pub fn tells(event: &Event) -> bool {
    event.family == Family::Observation || change(event).is_some()
}

/// What an event says of the state of the key it is about.
pub fn fact(event: &Event) -> Option<Fact> {
    event.key.as_ref()?.arn.as_ref()?;
    let said = event.key.as_ref().and_then(|key| key.state.as_deref()).map(KeyState::of);
    let told = |by: Witness| said.map(|state| Fact { at: event.time, state, by });
    if event.family == Family::Observation {
        return told(Witness::Kms);
    }
    if let Some((state, by)) = change(event) {
        return Some(Fact { at: event.time, state, by });
    }
    // Somebody was turned away, and KMS said why.
    told(Witness::Refusal).filter(|_| event.outcome == Outcome::Failed && event.source == "aws.kms")
}

/// Which of the key's imported materials a successful event is about; `None` for events of the time when a key had only one.
pub fn material(event: &Event) -> Option<&str> {
    let native = event.fact.as_ref().is_some_and(|fact| fact.kind == FactKind::MaterialExpired);
    let named = matches!(event.family, Family::Call | Family::Service)
        && matches!(
            event.name.as_str(),
            "DeleteExpiredKeyMaterial" | "DeleteImportedKeyMaterial" | "ImportKeyMaterial"
        );
    if !(native || named) || event.outcome != Outcome::Success || event.source != "aws.kms" {
        return None;
    }
    let said = |path: &&str| event.document.pointer(path)?.as_str().filter(|id| !id.is_empty() && id.len() <= ID_MAX);
    MATERIAL_PATHS.iter().find_map(said)
}

/// Where events name the material that they are about. What KMS answered is surer than what was asked.
const MATERIAL_PATHS: &[&str] = &[
    "/detail/responseElements/keyMaterialId",
    "/detail/serviceEventDetails/keyMaterialId",
    "/detail/key-material-id",
    "/detail/requestParameters/keyMaterialId",
];

/// An id of a material has 64 characters (KMS API reference); what is far longer is none.
const ID_MAX: usize = 128;

fn change(event: &Event) -> Option<(KeyState, Witness)> {
    if event.outcome != Outcome::Success || event.source != "aws.kms" {
        return None;
    }
    if let Some(fact) = &event.fact {
        return match fact.kind {
            FactKind::Deletion => Some((KeyState::Deleted, Witness::Life)),
            FactKind::MaterialExpired => Some((KeyState::PendingImport, Witness::Material)),
            FactKind::Rotation => None,
        };
    }
    if !matches!(event.family, Family::Call | Family::Service) {
        return None;
    }
    let request = |member: &str| event.document.pointer(&format!("/detail/requestParameters/{member}"));
    Some(match event.name.as_str() {
        "EnableKey" => (KeyState::Enabled, Witness::Life),
        "DisableKey" | "CancelKeyDeletion" => (KeyState::Disabled, Witness::Life),
        "ScheduleKeyDeletion" => {
            let said = event.key.as_ref()?.state.as_deref().map(KeyState::of);
            (said.filter(|state| state.is_scheduled()).unwrap_or(KeyState::PendingDeletion), Witness::Life)
        }
        "DeleteKey" => (KeyState::Deleted, Witness::Life),
        "DeleteImportedKeyMaterial" | "DeleteExpiredKeyMaterial" => (KeyState::PendingImport, Witness::Material),
        // Further material beside what is there brings nothing back.
        "ImportKeyMaterial" if request("importType").and_then(|kind| kind.as_str()) != Some("NEW_KEY_MATERIAL") => {
            (KeyState::Enabled, Witness::Material)
        }
        _ => return None,
    })
}
