//! Takes wrappers off a body until events are left. Every shape is told by its own named members; an event is never
//! looked for inside of values, which callers of AWS APIs choose.

use serde_json::Value;

use super::envelope::{self, Fault};
use super::read::{Object, array, object, short, text};
use super::repair::repair;
use super::salvage::salvage;
use super::{Decoded, Reason, Undecodable, cloudtrail, native};

/// Wrappers inside of wrappers (SNS in SNS, a queue's record in an array, …), at most so many.
const WRAPPERS_MAX: usize = 8;

/// Objects and arrays inside of each other in one piece of JSON. CloudTrail's own records stay below 20.
pub(super) const JSON_DEPTH_MAX: usize = 64;

/// So many bad parts of one body are described; the rest is counted.
const REJECTED_MAX: usize = 50;

const NOTICES_MAX: usize = 20;

/// Top-level members in which an input transformer may have put the whole event, as an object or as JSON text.
const EMBEDDING: &[&str] = &[
    "originalEvent",
    "original_event",
    "OriginalEvent",
    "event",
    "Event",
    "eventBridgeEvent",
    "cloudTrailEvent",
    "CloudTrailEvent",
    "detail",
    "Detail",
    "message",
    "Message",
    "body",
    "Body",
    "payload",
    "Payload",
    "data",
    "Data",
];

pub(super) const HINT_TRAIL_FILES: &str = "kmswatch reads events, not log files: let an EventBridge rule send the KMS events to the queue, and use `kmswatch replay` \
     for log files";

/// Decodes a body; every part of it has its own fate.
pub(super) fn decode(body: &str) -> Decoded {
    let mut unwrap = Unwrap { out: Decoded::default(), left_out: 0 };
    unwrap.json(body, "body", 0);
    unwrap.finish()
}

/// Whether objects and arrays nest deeper than `max` anywhere in the text. Counts first: few brackets cannot nest deep.
pub(super) fn is_deeper_than(text: &str, max: usize) -> bool {
    // `{` and `[` differ in one bit only. Small sums of bytes are what the compiler turns into vector instructions.
    let opening: usize = text
        .as_bytes()
        .chunks(128)
        .map(|chunk| usize::from(chunk.iter().map(|b| u8::from(b | 0x20 == b'{')).sum::<u8>()))
        .sum();
    if opening <= max {
        return false;
    }
    let (mut depth, mut inside, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            _ if inside => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

struct Unwrap {
    out: Decoded,
    left_out: usize,
}

impl Unwrap {
    fn json(&mut self, text: &str, place: &str, level: usize) {
        match parse(text) {
            Ok(value) => self.value(value, place, level),
            Err(fault) => self.reject(&fault, place, || text.to_owned()),
        }
    }

    fn value(&mut self, value: Value, place: &str, level: usize) {
        if level > WRAPPERS_MAX {
            let fault = Fault {
                reason: Reason::TooDeep,
                detail: format!("more than {WRAPPERS_MAX} wrappers inside of each other"),
                hint: None,
            };
            return self.reject(&fault, place, || value.to_string());
        }
        match value {
            Value::Object(object) => self.object(object, place, level),
            Value::Array(items) => self.items(items, place, level),
            Value::String(text) => self.json(&text, place, level + 1),
            other => self.reject(&unknown("a bare number, boolean or null"), place, || other.to_string()),
        }
    }

    fn items(&mut self, items: Vec<Value>, place: &str, level: usize) {
        if items.is_empty() {
            self.notice(format!("{place}: an empty list, nothing to decode"));
        }
        for (index, item) in items.into_iter().enumerate() {
            self.value(item, &format!("{place}[{index}]"), level + 1);
        }
    }

    fn object(&mut self, mut object: Object, place: &str, level: usize) {
        if envelope::is_envelope(&object) {
            return self.envelope(object, place);
        }
        if cloudtrail::is_record(&object) {
            return self.envelope(cloudtrail::envelop(object), place);
        }
        if is_sns(&object) {
            return self.sns(object, place, level);
        }
        for list in ["Records", "Events"] {
            if let Some(Value::Array(items)) = object.get_mut(list) {
                let items = std::mem::take(items);
                return self.items(items, &format!("{place} > {list}"), level + 1);
            }
        }
        // Records of a Lambda function's input: a message of SNS, a message of SQS.
        if let Some(Value::Object(sns)) = object.get_mut("Sns") {
            let sns = std::mem::take(sns);
            return self.sns(sns, &format!("{place} > Sns"), level + 1);
        }
        if text(&object, "eventSource") == Some("aws:sqs")
            && let Some(body) = object.remove("body")
        {
            return self.value(body, &format!("{place} > body"), level + 1);
        }
        if self.embedded(&mut object, place) {
            return;
        }
        let fault = foreign(&object).unwrap_or_else(|| {
            let names: Vec<String> = object.keys().take(6).map(|name| short(name, 30)).collect();
            unknown(&format!(
                "an object with the members {}",
                if names.is_empty() { "(none)".to_owned() } else { names.join(", ") }
            ))
        });
        self.reject(&fault, place, || Value::Object(object).to_string());
    }

    fn envelope(&mut self, mut object: Object, place: &str) {
        if let Some(Value::String(inner)) = object.get("detail") {
            match parse(inner) {
                Ok(inner @ Value::Object(_)) => {
                    object.insert("detail".to_owned(), inner);
                }
                Ok(_) => {}
                Err(fault) => return self.reject(&fault, place, || Value::Object(object).to_string()),
            }
        }
        match envelope::event(object) {
            Ok(event) => {
                if let Some(remark) =
                    event.document.get("detail").and_then(Value::as_object).and_then(cloudtrail::version_remark)
                {
                    self.notice(remark);
                }
                self.out.events.push(event);
            }
            Err((fault, object)) => self.reject(&fault, place, || Value::Object(object).to_string()),
        }
    }

    fn sns(&mut self, mut object: Object, place: &str, level: usize) {
        let kind = text(&object, "Type").unwrap_or("Notification");
        if matches!(kind, "SubscriptionConfirmation" | "UnsubscribeConfirmation") {
            let topic = short(text(&object, "TopicArn").unwrap_or("an unnamed topic"), 200);
            self.notice(format!(
                "SNS {kind} from {topic}: kmswatch never fetches its URL; confirm the subscription yourself if it is yours"
            ));
            return;
        }
        if let Some(message) = object.remove("Message") {
            return self.value(message, &format!("{place} > Message"), level + 1);
        }
        let fault = Fault {
            reason: Reason::BadEnvelope,
            detail: "an SNS notification without `Message`".to_owned(),
            hint: None,
        };
        self.reject(&fault, place, || Value::Object(object).to_string());
    }

    /// Takes events out of the members an input transformer may have put them in. Only an envelope, a CloudTrail
    /// record or a list of these counts.
    fn embedded(&mut self, object: &mut Object, place: &str) -> bool {
        let mut any = false;
        for name in EMBEDDING {
            let Some(value) = object.get_mut(*name) else { continue };
            let parsed = match value {
                Value::String(inner) => parse(inner).ok(),
                Value::Object(_) | Value::Array(_) => None,
                _ => continue,
            };
            if !parsed.as_ref().map_or(is_event(value), is_event) {
                continue;
            }
            any = true;
            let place = format!("{place} > {name}");
            self.value(parsed.unwrap_or_else(|| value.take()), &place, WRAPPERS_MAX - 1);
        }
        any
    }

    fn reject(&mut self, fault: &Fault, place: &str, text: impl FnOnce() -> String) {
        if self.out.rejected.len() >= REJECTED_MAX {
            self.left_out += 1;
            return;
        }
        self.out.rejected.push(Undecodable {
            reason: fault.reason,
            detail: short(&format!("{place}: {}", fault.detail), 300),
            hint: fault.hint.map(str::to_owned),
            salvage: salvage(&text()),
        });
    }

    fn notice(&mut self, notice: String) {
        if self.out.notices.len() < NOTICES_MAX {
            self.out.notices.push(notice);
        }
    }

    fn finish(mut self) -> Decoded {
        if let (1.., Some(last)) = (self.left_out, self.out.rejected.last().cloned()) {
            self.out.rejected.push(Undecodable { detail: format!("and {} more bad parts", self.left_out), ..last });
        }
        self.out
    }
}

fn parse(text: &str) -> Result<Value, Fault> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if is_deeper_than(text, JSON_DEPTH_MAX) {
        return Err(Fault {
            reason: Reason::TooDeep,
            detail: format!("objects and lists nest deeper than {JSON_DEPTH_MAX}"),
            hint: None,
        });
    }
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&repair(text))).map_err(|error| Fault {
        reason: Reason::NotJson,
        // The parser names place and expectation, never the text.
        detail: if text.is_empty() { "empty".to_owned() } else { format!("not JSON: {error}") },
        hint: Some("an input transformer may have turned the event into text; send the whole event"),
    })
}

fn is_event(value: &Value) -> bool {
    match value {
        Value::Object(object) => envelope::is_envelope(object) || cloudtrail::is_record(object),
        Value::Array(items) => {
            !items.is_empty()
                && items
                    .iter()
                    .all(|i| i.as_object().is_some_and(|o| envelope::is_envelope(o) || cloudtrail::is_record(o)))
        }
        _ => false,
    }
}

/// `{"Type": "Notification", "TopicArn": …, "Message": …}` and the two confirmations (SNS developer guide).
fn is_sns(object: &Object) -> bool {
    (object.contains_key("TopicArn") || object.contains_key("Message"))
        && matches!(text(object, "Type"), Some("Notification" | "SubscriptionConfirmation" | "UnsubscribeConfirmation"))
}

fn unknown(what: &str) -> Fault {
    Fault {
        reason: Reason::UnknownShape,
        detail: what.to_owned(),
        hint: Some(
            "the queue carries something that is no event; send EventBridge events there, whole or under `originalEvent`",
        ),
    }
}

/// Shapes we know and cannot use, each told by its own name.
fn foreign(object: &Object) -> Option<Fault> {
    let is = |reason, detail: &str, hint| Some(Fault { reason, detail: detail.to_owned(), hint: Some(hint) });
    if text(object, "Event") == Some("s3:TestEvent") {
        return is(
            Reason::S3TestEvent,
            "the test message S3 sends when bucket notifications are set up",
            HINT_TRAIL_FILES,
        );
    }
    if text(object, "eventSource") == Some("aws:s3") || object.contains_key("s3") {
        return is(Reason::S3Notification, "an S3 bucket notification", HINT_TRAIL_FILES);
    }
    if object.contains_key("s3Bucket") && object.contains_key("s3ObjectKey") {
        return is(Reason::CloudTrailDelivery, "CloudTrail's own notice that it wrote log files", HINT_TRAIL_FILES);
    }
    if object.contains_key("digestS3Bucket") || object.contains_key("digestS3Object") {
        return is(Reason::CloudTrailDigest, "a CloudTrail digest file, which holds no events", HINT_TRAIL_FILES);
    }
    if object.contains_key("awslogs") || (object.contains_key("logGroup") && array(object, "logEvents").is_some()) {
        return is(
            Reason::CloudWatchLogs,
            "a CloudWatch Logs subscription",
            "let an EventBridge rule send the KMS events to the queue instead",
        );
    }
    if object.contains_key("class_uid")
        || (object.contains_key("category_uid") && self::object(object, "metadata").is_some())
    {
        return is(
            Reason::SecurityLake,
            "an OCSF record, as Security Lake writes them",
            "OCSF drops what rules need; let an EventBridge rule send the KMS events to the queue instead",
        );
    }
    if object.contains_key("AlarmName") && object.contains_key("NewStateValue") {
        return is(
            Reason::CloudWatchAlarm,
            "a CloudWatch alarm",
            "an alarm does not say what happened; let an EventBridge rule send the KMS events to the queue instead",
        );
    }
    if object.contains_key("detail") && object.contains_key("detail-type") {
        return is(
            Reason::UnknownShape,
            "an EventBridge envelope without its `source`",
            "send the event as EventBridge made it; an input transformer has to keep `source`",
        );
    }
    if native::is_bare_detail(object) {
        return is(
            Reason::BareNative,
            "the detail of a native KMS event without its envelope, which alone says what happened",
            "remove the input path `$.detail` from the rule's target",
        );
    }
    None
}
