//! What a judged key says in an observation, so that rules may ask for it.

use serde_json::{Map, Value, json};

use super::row::Row;
use crate::core::inspection::Inspection;

/// Members of an observation's `detail`: `found` holds what is said against the key, by the id of its check; `judged` which parts of
/// the inspection were there to be judged. What was not judged is not cleared of anything.
pub fn report(row: &Row, inspection: &Inspection) -> Map<String, Value> {
    let found: Map<String, Value> = row
        .findings
        .iter()
        .map(|finding| {
            (finding.check.id.to_owned(), json!({ "severity": finding.severity.as_str(), "seen": finding.seen }))
        })
        .collect();
    let parts = [
        ("details", inspection.details.known().is_some()),
        ("aliases", inspection.aliases.known().is_some()),
        ("tags", inspection.tags.known().is_some()),
        ("rotation", inspection.rotation.gap().is_none() && inspection.rotations.gap().is_none()),
        ("policy", inspection.policy.known().is_some()),
        ("grants", inspection.grants.known().is_some()),
    ];
    let judged: Vec<&str> = parts.iter().filter(|(_, there)| *there).map(|(part, _)| *part).collect();
    let mut members = Map::new();
    members.insert("judged".to_owned(), json!(judged));
    if !found.is_empty() {
        members.insert("found".to_owned(), Value::Object(found));
    }
    members
}
