//! Where `PutTargets` sends the events of a rule.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Ours, Place, text};
use crate::core::event::Event;

/// Members of a target that is handed something else than the events as they are.
const CHANGES: &[&str] = &["input", "inputPath", "inputTransformer"];

/// Whether one of the targets put is a queue of ours that is handed the events as they are. `None` where none was put: a
/// call succeeds although EventBridge took none of its targets.
pub(super) fn reaches_us(event: &Event, request: &Map<String, Value>, ours: &Ours) -> Option<bool> {
    let Some(targets) = request.get("targets").and_then(Value::as_array) else { return Some(false) };
    let refused = Refused::of(event);
    let mut put = targets.iter().filter_map(Value::as_object).filter(|target| !refused.has(target)).peekable();
    put.peek()?;
    let is_whole =
        |target: &Map<String, Value>| CHANGES.iter().all(|name| target.get(*name).is_none_or(Value::is_null));
    let is_ours = |target: &Map<String, Value>| {
        let place = text(target, "arn").and_then(Place::of_arn);
        place.is_some_and(|place| ours.receives(place, event))
    };
    Some(!refused.more && put.any(|target| is_whole(target) && is_ours(target)))
}

/// Targets that EventBridge did not take.
struct Refused<'e> {
    ids: BTreeSet<&'e str>,
    /// There are others, and nothing says which.
    more: bool,
}

impl<'e> Refused<'e> {
    fn of(event: &'e Event) -> Self {
        let said = |name: &str| event.document.pointer("/detail/responseElements")?.get(name);
        let entries = said("failedEntries").and_then(Value::as_array);
        let ids = entries.into_iter().flatten().filter_map(|entry| entry.get("targetId")?.as_str());
        let ids: BTreeSet<&str> = ids.collect();
        let count = said("failedEntryCount").and_then(Value::as_u64).unwrap_or(0);
        Self { more: count > ids.len() as u64, ids }
    }

    fn has(&self, target: &Map<String, Value>) -> bool {
        text(target, "id").is_some_and(|id| self.ids.contains(id))
    }
}
