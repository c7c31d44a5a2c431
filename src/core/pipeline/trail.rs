//! Which trail a call of CloudTrail is about, and whether the trail records KMS after it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::text;
use crate::core::event::Event;

/// What a call of `CloudTrail` is about: `trail` in the document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Trail {
    /// The trail's name, also where the call gives its ARN; the ARN of a trail of elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which calls of KMS the selectors put let through: `all`, `writes`, `reads` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_kms: Option<&'static str>,
}

/// Calls that change a trail, and the member of the request that names it.
const CALLS: &[(&str, &str)] = &[
    ("CreateTrail", "name"),
    ("DeleteTrail", "name"),
    ("PutEventSelectors", "trailName"),
    ("StartLogging", "name"),
    ("StopLogging", "name"),
    ("UpdateTrail", "name"),
];

pub(super) fn trail(event: &Event, request: &Map<String, Value>) -> Option<Trail> {
    let (_, member) = CALLS.iter().find(|(call, _)| *call == event.name)?;
    let name = text(request, member).map(|said| name(event, said).to_owned());
    let records_kms = (event.name == "PutEventSelectors").then(|| records_kms(request)).flatten();
    Some(Trail { name, records_kms })
}

fn name<'e>(event: &Event, said: &'e str) -> &'e str {
    let parts: Vec<&str> = said.splitn(6, ':').collect();
    let home = (event.region.as_deref(), event.account.as_deref());
    match parts.as_slice() {
        ["arn", _, "cloudtrail", region, account, trail] if (Some(*region), Some(*account)) == home => {
            trail.strip_prefix("trail/").unwrap_or(said)
        }
        _ => said,
    }
}

/// A trail records what one of its selectors lets through.
fn records_kms(request: &Map<String, Value>) -> Option<&'static str> {
    let list = |name: &str| request.get(name).and_then(Value::as_array);
    let (basic, advanced) = (list("eventSelectors"), list("advancedEventSelectors"));
    if basic.is_none() && advanced.is_none() {
        return None;
    }
    let records = |read_only: bool| {
        basic.into_iter().flatten().any(|selector| lets_through(selector, read_only))
            || advanced.into_iter().flatten().any(|selector| fits(selector, read_only))
    };
    Some(match (records(false), records(true)) {
        (true, true) => "all",
        (true, false) => "writes",
        (false, true) => "reads",
        (false, false) => "none",
    })
}

const KMS: &str = "kms.amazonaws.com";

/// An event selector: management events are in unless it says otherwise.
fn lets_through(selector: &Value, read_only: bool) -> bool {
    let of_kind = match selector.get("readWriteType").and_then(Value::as_str) {
        Some("ReadOnly") => read_only,
        Some("WriteOnly") => !read_only,
        _ => true,
    };
    let management = selector.get("includeManagementEvents").and_then(Value::as_bool).unwrap_or(true);
    let excluded = selector.get("excludeManagementEventSources").and_then(Value::as_array);
    of_kind && management && !excluded.into_iter().flatten().any(|source| source == KMS)
}

/// An advanced event selector: all of its fields must fit. A field of which nothing is known here narrows what it lets
/// through, so it does not let through all of KMS.
fn fits(selector: &Value, read_only: bool) -> bool {
    let fields = selector.get("fieldSelectors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let categorized = fields.iter().any(|selector| field(selector) == Some("eventCategory"));
    categorized
        && fields.iter().all(|selector| match field(selector) {
            Some("eventCategory") => admits(selector, "Management"),
            Some("eventSource") => admits(selector, KMS),
            Some("readOnly") => admits(selector, if read_only { "true" } else { "false" }),
            _ => false,
        })
}

fn field(selector: &Value) -> Option<&str> {
    selector.get("field").and_then(Value::as_str)
}

/// One of a name's values must fit; of an excluding name's values none may.
fn admits(selector: &Value, value: &str) -> bool {
    let holds = |name: &str, test: &dyn Fn(&str) -> bool, wanted: bool| {
        let values = selector.get(name).and_then(Value::as_array).filter(|values| !values.is_empty());
        values.is_none_or(|values| values.iter().filter_map(Value::as_str).any(test) == wanted)
    };
    let (is, starts) = (|other: &str| value == other, |other: &str| value.starts_with(other));
    let ends = |other: &str| value.ends_with(other);
    holds("equals", &is, true)
        && holds("startsWith", &starts, true)
        && holds("endsWith", &ends, true)
        && holds("notEquals", &is, false)
        && holds("notStartsWith", &starts, false)
        && holds("notEndsWith", &ends, false)
}
