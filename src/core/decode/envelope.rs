//! From an EventBridge envelope to an event: identity, time, key, actor, outcome and the document that rules match.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::key::{self, Home, Keys};
use super::read::{self, Object, account, boolean, object, owned, text};
use super::{Reason, actor, cloudtrail, denial, native};
use crate::core::event::{Actor, Event, EventId, FactKind, Family, Late, Outcome};
use crate::core::observe::SOURCE as OWN_SOURCE;

/// Why an object is no event.
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) detail: String,
    pub(super) hint: Option<&'static str>,
}

/// Whether an object claims to be an EventBridge envelope.
pub(super) fn is_envelope(object: &Object) -> bool {
    object.contains_key("detail") && object.contains_key("detail-type") && object.contains_key("source")
}

/// Reads an envelope whose `detail` is an object already.
pub(super) fn event(mut envelope: Object) -> Result<Event, (Fault, Object)> {
    let Some(Value::Object(detail)) = envelope.remove("detail") else {
        return Err((bad("`detail` is no object"), envelope));
    };
    match read(&envelope, &detail) {
        Ok(mut event) => {
            event.document = document(envelope, detail, &event);
            Ok(event)
        }
        Err(fault) => {
            envelope.insert("detail".to_owned(), Value::Object(detail));
            Err((fault, envelope))
        }
    }
}

/// Members of the document that decoding adds: whatever the body had there does not survive.
pub const DERIVED: &[&str] =
    &["key", "actor", "outcome", "denied_by", "access", "grant", "replica", "rotation", "pipeline", "trail"];

fn bad(detail: &str) -> Fault {
    Fault {
        reason: Reason::BadEnvelope,
        detail: detail.to_owned(),
        hint: Some("send the whole event: a rule target without input path or input transformer"),
    }
}

fn read(envelope: &Object, detail: &Object) -> Result<Event, Fault> {
    let source = text(envelope, "source").ok_or_else(|| bad("`source` is no text"))?;
    if source == OWN_SOURCE {
        return Err(Fault {
            reason: Reason::BadEnvelope,
            detail: format!("`source` is `{OWN_SOURCE}`, which is kept for what kmswatch itself observes"),
            hint: Some("somebody sends what looks like kmswatch's own word: find out who may write to the queue"),
        });
    }
    let detail_type = text(envelope, "detail-type").ok_or_else(|| bad("`detail-type` is no text"))?;
    refuse_trail_objects(source, detail_type, detail)?;

    let native = native::kind(source, detail_type);
    let family = family(source, detail_type, native);
    let recorded = detail_type.ends_with(" via CloudTrail");
    let time = recorded
        .then(|| read::time(detail, "eventTime"))
        .flatten()
        .or_else(|| read::time(envelope, "time"))
        .ok_or_else(|| Fault {
            reason: Reason::NoTime,
            detail: "neither `detail.eventTime` nor `time` is a time".to_owned(),
            hint: Some("an input transformer may have dropped `time`; events without a time cannot be put in order"),
        })?;
    let account = account(envelope, "account").or_else(|| cloudtrail::recipient(detail));
    let region = owned(envelope, "region").or_else(|| owned(detail, "awsRegion"));
    let home = Home { account: account.as_deref(), region: region.as_deref() };
    let event_name = text(detail, "eventName").filter(|_| recorded);

    let (outcome, denied_by) = if recorded { denial::outcome(detail) } else { (plain_outcome(detail), None) };
    let mut keys = match native {
        Some(kind) => Keys { main: native::key(kind, envelope, detail, home), others: Vec::new() },
        None if recorded && is_kms(source, detail) => {
            key::of_kms(detail, event_name.unwrap_or_default(), outcome, home)
        }
        None => key::of_other(detail, home),
    };
    if let Some(key) = keys.main.as_mut().filter(|_| recorded && is_kms(source, detail) && outcome == Outcome::Success)
    {
        key::dates(key, event_name.unwrap_or_default(), detail, time);
    }
    let fact = match native {
        Some(kind) => native::fact(kind, keys.main.as_ref()),
        None if recorded && is_kms(source, detail) => {
            native::fact_of_call(event_name.unwrap_or_default(), outcome, keys.main.as_ref())
        }
        None => None,
    };
    let late = cloudtrail::late(detail)
        .filter(|_| recorded)
        .or_else(|| owned(envelope, "replay-name").map(|name| Late::Replay { name }));
    let id = native
        .and_then(|kind| native::id(kind, detail, keys.main.as_ref(), home, time))
        .or_else(|| recorded.then(|| record_id(detail, home, late.as_ref())).flatten())
        .or_else(|| text(envelope, "id").map(|id| format!("envelope:{}", bounded(id))))
        .unwrap_or_else(|| format!("content:{}", content_hash(envelope, detail)));

    Ok(Event {
        id: EventId(id),
        family,
        name: event_name.unwrap_or(detail_type).to_owned(),
        source: source.to_owned(),
        time,
        read_only: boolean(detail, "readOnly"),
        outcome,
        denied_by,
        error_code: owned(detail, "errorCode").filter(|_| recorded),
        error_message: owned(detail, "errorMessage").filter(|_| recorded),
        key: keys.main,
        other_keys: keys.others,
        actor: if recorded { actor::actor(detail) } else { Actor::default() },
        late,
        shared_id: owned(detail, "sharedEventID").filter(|_| recorded),
        fact,
        document: Value::Null,
        account,
        region,
    })
}

fn family(source: &str, detail_type: &str, native: Option<FactKind>) -> Family {
    match detail_type {
        _ if native.is_some() => Family::Native,
        "AWS Service Event via CloudTrail" => Family::Service,
        "AWS Insight via CloudTrail" => Family::Other,
        _ if detail_type.ends_with(" via CloudTrail") => Family::Call,
        "Scheduled Event" if source == "aws.events" => Family::Scheduled,
        _ => Family::Other,
    }
}

fn is_kms(source: &str, detail: &Object) -> bool {
    source == "aws.kms" || text(detail, "eventSource").is_some_and(|s| s.starts_with("kms."))
}

/// Events that no trail recorded have no error code; EBS and others say `result: "failed"`.
fn plain_outcome(detail: &Object) -> Outcome {
    let failed = text(detail, "result").is_some_and(|r| r.eq_ignore_ascii_case("failed"));
    if failed { Outcome::Failed } else { Outcome::Success }
}

/// "A file with events has been written" is no event for us, and must not be taken for one of S3's own.
fn refuse_trail_objects(source: &str, detail_type: &str, detail: &Object) -> Result<(), Fault> {
    let key = object(detail, "object").and_then(|o| text(o, "key")).unwrap_or_default();
    let trail = key.contains("/CloudTrail/") || key.contains("/CloudTrail-Digest/");
    if source == "aws.s3" && detail_type == "Object Created" && trail {
        return Err(Fault {
            reason: Reason::CloudTrailDelivery,
            detail: "S3 says that CloudTrail wrote a log file".to_owned(),
            hint: Some(super::wrapper::HINT_TRAIL_FILES),
        });
    }
    Ok(())
}

/// Account + Region + `eventID`. A corrected copy that keeps the id of its original is an event of its own, else the
/// correction would be taken for a duplicate.
fn record_id(detail: &Object, home: Home<'_>, late: Option<&Late>) -> Option<String> {
    let id = text(detail, "eventID")?;
    let mut full = format!("{}/{}/{}", home.account.unwrap_or("-"), home.region.unwrap_or("-"), bounded(id));
    if let Some(Late::Addendum { reason, original: Some(original) }) = late
        && original == id
        && reason != "DELIVERY_DELAY"
    {
        full.push('+');
        full.push_str(&bounded(reason));
    }
    Some(bounded(&full))
}

/// Ids end up in indexes and logs: a hostile one does not grow them.
fn bounded(id: &str) -> String {
    if id.len() <= ID_BYTES_MAX { id.to_owned() } else { format!("sha256:{}", hex(&Sha256::digest(id.as_bytes()))) }
}

const ID_BYTES_MAX: usize = 200;

/// Identity of last resort, for records of 2014 and input transformers that dropped every id: the same bytes are the
/// same event.
fn content_hash(envelope: &Object, detail: &Object) -> String {
    let mut hash = Sha256::new();
    for part in [envelope, detail] {
        for (name, value) in part {
            hash.update(name.as_bytes());
            hash.update(value.to_string().as_bytes());
        }
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

/// The envelope as it came, with what an input transformer dropped filled in, plus what we worked out.
fn document(mut envelope: Object, detail: Object, event: &Event) -> Value {
    for name in DERIVED {
        envelope.remove(*name);
    }
    fill(&mut envelope, "account", event.account.as_deref());
    fill(&mut envelope, "region", event.region.as_deref());
    if text(&envelope, "time").is_none() {
        envelope.insert("time".to_owned(), Value::String(event.time.to_string()));
    }
    envelope.insert("detail".to_owned(), Value::Object(detail));
    envelope.insert("outcome".to_owned(), Value::from(event.outcome.as_str()));
    if let Some(denied_by) = event.denied_by {
        envelope.insert("denied_by".to_owned(), Value::from(denied_by.as_str()));
    }
    if let Some(key) = event.key.as_ref().and_then(|key| serde_json::to_value(key).ok()) {
        envelope.insert("key".to_owned(), key);
    }
    if event.actor != Actor::default()
        && let Ok(actor) = serde_json::to_value(&event.actor)
    {
        envelope.insert("actor".to_owned(), actor);
    }
    Value::Object(envelope)
}

fn fill(envelope: &mut Object, name: &str, value: Option<&str>) {
    if let (None, Some(value)) = (text(envelope, name), value) {
        envelope.insert(name.to_owned(), Value::from(value));
    }
}
