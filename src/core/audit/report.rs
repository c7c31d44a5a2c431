//! What a judged key says in an observation, so that rules may ask for it.

use serde_json::{Map, Value, json};

use super::row::Row;
use super::{Judge, Known, environment};
use crate::core::inspection::Inspection;

/// Members of an observation's `detail`: `found` holds what is said against the key, by the id of its check; `judged` which parts of
/// the inspection were there to be judged. What was not judged is not cleared of anything.
pub fn report(row: &Row) -> Map<String, Value> {
    let found: Map<String, Value> = row
        .findings
        .iter()
        .map(|finding| {
            (finding.check.id.to_owned(), json!({ "severity": finding.severity.as_str(), "seen": finding.seen }))
        })
        .collect();
    let mut members = Map::new();
    members.insert("judged".to_owned(), json!(row.judged));
    if !found.is_empty() {
        members.insert("found".to_owned(), Value::Object(found));
    }
    members
}

/// The parts in which nothing was left out, and nothing that their judgement hangs on.
pub(super) fn judged(
    judge: &Judge<'_>,
    inspection: &Inspection,
    known: Known<'_>,
    row: &Row,
    policy_understood: bool,
) -> Vec<&'static str> {
    let (aliases, tags) = (inspection.aliases.known().is_some(), inspection.tags.known().is_some());
    let grants = inspection.grants.known().is_some();
    let enabled = inspection.details.known().is_some_and(|details| details.state.as_deref() == Some("Enabled"));
    let rotation = inspection.rotation.gap().is_none() && inspection.rotations.gap().is_none();
    let parts = [
        ("details", inspection.details.known().is_some()),
        ("aliases", aliases),
        ("tags", tags),
        // Of a key that cannot be used, rotation is not judged.
        ("rotation", rotation && enabled && knows_label(judge, row, "rotation", aliases, tags)),
        ("policy", policy_understood),
        ("grants", grants),
        // Each of them may name one, and so may whoever used it.
        ("environment", aliases && tags && policy_understood && grants && environment::knows_users(judge, known)),
    ];
    parts.iter().filter(|(_, whole)| *whole).map(|(part, _)| *part).collect()
}

/// Whether a label is known, or known to be absent: no table that gives it asks for aliases or tags that could not be read.
fn knows_label(judge: &Judge<'_>, row: &Row, label: &str, aliases: bool, tags: bool) -> bool {
    let asks = |paths: &[Box<str>], part: &str| paths.iter().any(|path| path.split('.').nth(1) == Some(part));
    row.key.labels.contains_key(label)
        || judge.labels.iter().filter(|table| table.labels.contains_key(label)).all(|table| {
            let paths = table.matches.paths();
            (aliases || !asks(paths, "aliases")) && (tags || !asks(paths, "tags"))
        })
}
