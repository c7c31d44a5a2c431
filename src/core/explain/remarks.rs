//! What a person should know besides the verdicts: the things about KMS and its events that surprise.

use jiff::Timestamp;
use serde_json::Value;

use super::{RuleStory, Verdict};
use crate::core::catalog;
use crate::core::decide::{Evaluation, Prepared};
use crate::core::event::{Family, Outcome};
use crate::core::pattern::verdict::{Combination, Field};
use crate::core::render::clean;
use crate::core::route::LOOKED_UP;

/// Remarks on the event itself.
pub(super) fn of_event(prepared: &Prepared, evaluation: &Evaluation, verdict: Verdict, now: Timestamp) -> Vec<String> {
    let event = &prepared.event;
    let mut remarks = prepared.marks.clone();
    if verdict == Verdict::Duplicate {
        remarks.push(format!(
            "An event with this id ({}) came before. AWS may deliver an event twice; nobody is told twice.",
            clean(&event.id.0, 200)
        ));
    }
    if event.family == Family::Call && catalog::known(&event.name).is_none() {
        let near = catalog::all().find(|known| known.name.eq_ignore_ascii_case(&event.name));
        if let Some(near) = near {
            remarks.push(format!(
                "No AWS event is called `{}`: CloudTrail writes `{}`. Was this event made by hand?",
                clean(&event.name, 80),
                near.name
            ));
        }
    }
    if event.read_only == Some(true) {
        remarks.push(if reads_plainly(&event.name) {
            "This call only reads. An EventBridge rule in the state ENABLED never delivers such calls: it must be in the \
             state ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS. If kmswatch never saw this event, look there first."
                .to_owned()
        } else {
            "CloudTrail counts this call as read-only. Only an EventBridge rule in the state \
             ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS delivers such calls for certain. If kmswatch never saw this \
             event, look there first."
                .to_owned()
        });
    }
    if event.outcome == Outcome::Denied && event.source == "aws.kms" {
        remarks.push(match &event.key {
            Some(_) => {
                "A denied call has no `resources` and no request parameters; its key was read from the text of the \
                        error."
                    .to_owned()
            }
            None => {
                "A denied call has no `resources` and no request parameters, and the text of this error names no key: \
                     rules, routes and exemptions that read `key` find nothing."
                    .to_owned()
            }
        });
    } else if event.key.is_none() && event.source == "aws.kms" {
        remarks.push("This event names no key: rules, routes and exemptions that read `key` find nothing.".to_owned());
    }
    if let Some(late) = &evaluation.event.late {
        remarks.push(format!("It came late: {late}. Late events are decided like any other."));
    }
    if event.time > now {
        remarks.push(format!("Its time, {}, is still to come.", event.time));
    }
    remarks
}

fn reads_plainly(name: &str) -> bool {
    ["Get", "List", "Describe"].iter().any(|prefix| name.starts_with(prefix))
}

/// Remarks on what one rule made of the event.
pub(super) fn of_rule(
    story: &RuleStory,
    nearest: Option<&Combination>,
    in_force: bool,
    prepared: &Prepared,
) -> Vec<String> {
    let mut remarks = Vec::new();
    if !in_force {
        remarks.push(
            "The rule is not in force: `enabled = false`, or the configuration names it in `disable`.".to_owned(),
        );
    }
    let failed: Vec<&Field> =
        nearest.into_iter().flat_map(|nearest| &nearest.fields).filter(|field| !field.passed).collect();
    remarks.extend(failed.iter().filter_map(|field| of_field(field, prepared)));
    if nearest.is_some_and(|nearest| !nearest.matched && failed.is_empty()) {
        remarks.push(
            "Every field fits, but not within one element of the same list: fields below one list must all fit the same \
             element."
                .to_owned(),
        );
    }
    for except in story.excepts.iter().filter(|except| except.matched) {
        remarks.push(if except.unsure {
            format!(
                "Exemption {} would take it, but reads something of the key that could not be looked up, so it does not \
                 count: no page is lost to missing knowledge.",
                except.number
            )
        } else {
            format!("Exemption {} takes it. Exemptions have no end: change the rule to hear of such events.", except.number)
        });
    }
    if story.resolves && story.verdict != Verdict::Off {
        remarks.push("Its `resolve` takes the event: whatever danger this rule saw before is past.".to_owned());
    }
    remarks
}

fn of_field(field: &Field, prepared: &Prepared) -> Option<String> {
    if let Some(wanted) = case_slip(field) {
        return Some(format!("Patterns and AWS's names are case-sensitive: `{wanted}` is wanted, letter for letter."));
    }
    let event = &prepared.event;
    if field.path == "outcome" && wants(field, "success") {
        let why = event.error_code.as_deref().map_or(String::new(), |code| format!(" ({})", clean(code, 80)));
        return match event.outcome {
            Outcome::Denied => Some(format!(
                "The call was denied{why}, so nothing was done to the key; this rule speaks of what was done."
            )),
            Outcome::Failed => Some(format!(
                "The call failed{why}, so nothing was done to the key; this rule speaks of what was done."
            )),
            Outcome::Success => None,
        };
    }
    let looked_up = field.path.strip_prefix("key.").and_then(|rest| rest.split('.').next());
    if field.saw.is_empty() && looked_up.is_some_and(|member| LOOKED_UP.contains(&member)) {
        return Some(match prepared.marks.is_empty() {
            true if field.path.starts_with("key.labels") => format!(
                "No `[[keys]]` table of the configuration gives this key `{}`; such tables may read aliases and tags, \
                 which only a lookup in KMS finds.",
                field.path
            ),
            true => format!(
                "This event does not say `{}`; only a lookup in KMS does, and none was made here (in the daemon: \
                 `[lookups]`).",
                field.path
            ),
            false => format!("`{}` is not known because the lookup in KMS failed.", field.path),
        });
    }
    (field.path == "detail.eventName" && event.family == Family::Native)
        .then(|| "KMS's own events have no `detail.eventName`; ask for their `detail-type`.".to_owned())
}

fn wants(field: &Field, word: &str) -> bool {
    serde_json::from_str::<Value>(&field.wanted)
        .ok()
        .and_then(|wanted| Some(wanted.as_array()?.contains(&Value::from(word))))
        .unwrap_or_default()
}

/// The plain value of a field's list that what was seen equals but for its case.
pub(super) fn case_slip(field: &Field) -> Option<String> {
    if field.passed {
        return None;
    }
    let wanted: Value = serde_json::from_str(&field.wanted).ok()?;
    let words = wanted.as_array()?.iter().filter_map(Value::as_str);
    let saw: Vec<&str> = field.saw.iter().filter_map(Value::as_str).collect();
    words.into_iter().find(|word| saw.iter().any(|saw| saw.eq_ignore_ascii_case(word))).map(str::to_owned)
}
