//! Answers, written as JSON.

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::digest::{self, Hex};
use super::protocol::ApiError;
use super::queue::Held;

/// Grows an answer's body.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(256))
    }

    pub(super) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A JSON string literal.
    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        let kept = self.0.len();
        if serde_json::to_writer(&mut self.0, text).is_err() {
            // Writing to memory does not fail; should it ever, the answer stays JSON.
            self.0.truncate(kept);
            self.raw("\"\"");
        }
        self
    }

    pub(super) fn number(&mut self, number: impl std::fmt::Display) -> &mut Self {
        // Writing to memory does not fail.
        write!(self.0, "{number}").ok();
        self
    }

    /// An MD5 sum, quoted.
    pub(super) fn sum(&mut self, sum: &Hex) -> &mut Self {
        self.0.push(b'"');
        self.0.extend_from_slice(sum);
        self.0.push(b'"');
        self
    }

    /// `[a,b,…]`.
    pub(super) fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.0.push(b'[');
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.0.push(b',');
            }
            write(self, item);
        }
        self.0.push(b']');
    }

    /// `{"a":…,"b":…}`; `write` writes the value.
    pub(super) fn map<'k, V>(
        &mut self,
        members: impl IntoIterator<Item = (&'k str, V)>,
        mut write: impl FnMut(&mut Self, V),
    ) {
        self.0.push(b'{');
        for (at, (name, value)) in members.into_iter().enumerate() {
            if at > 0 {
                self.0.push(b',');
            }
            self.string(name).raw(":");
            write(self, value);
        }
        self.0.push(b'}');
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Which of a message's parts a receive asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    system: Vec<String>,
    attributes: Vec<String>,
}

impl Wanted {
    /// Names as the request gave them. `All` means all of them; a message attribute may end in `.*`.
    pub(super) fn new(mut system: Vec<String>, newer: Vec<String>, attributes: Vec<String>) -> Self {
        system.extend(newer);
        Self { system, attributes }
    }

    fn system(&self, name: &str) -> bool {
        self.system.iter().any(|wanted| wanted == name || wanted == "All")
    }

    fn attribute(&self, name: &str) -> bool {
        self.attributes.iter().any(|wanted| {
            wanted == "All" || wanted == name || wanted.strip_suffix(".*").is_some_and(|start| name.starts_with(start))
        })
    }
}

/// A message of `ReceiveMessage`'s answer.
pub(super) fn message(out: &mut Writer, held: &Held, handle: &str, sender: &str, wanted: &Wanted) {
    out.raw("{\"MessageId\":\"").raw(&held.id).raw("\",\"ReceiptHandle\":\"").raw(handle);
    out.raw("\",\"MD5OfBody\":").sum(&held.body_md5).raw(",\"Body\":").raw(&held.body);
    if !wanted.system.is_empty() {
        let first = held.first_received_at.map(|at| at.to_string());
        let system = [
            ("AWSTraceHeader", held.trace_header.clone()),
            ("ApproximateFirstReceiveTimestamp", first),
            ("ApproximateReceiveCount", Some(held.receives.to_string())),
            ("DeadLetterQueueSourceArn", held.source_arn.as_deref().map(str::to_owned)),
            ("SenderId", Some(sender.to_owned())),
            ("SentTimestamp", Some(held.sent_at.to_string())),
        ];
        let shown = system.into_iter().filter(|(name, _)| wanted.system(name));
        out.raw(",\"Attributes\":");
        out.map(shown.filter_map(|(name, value)| Some((name, value?))), |out, value| {
            out.string(&value);
        });
    }
    let shown =
        || held.attributes.iter().filter(|(name, _)| wanted.attribute(name)).map(|(name, v)| (name.as_str(), v));
    if shown().next().is_some() {
        out.raw(",\"MD5OfMessageAttributes\":").sum(&digest::of_attributes(shown())).raw(",\"MessageAttributes\":");
        out.map(shown(), |out, value| {
            out.raw("{\"DataType\":").string(&value.data_type);
            if let Some(text) = &value.string {
                out.raw(",\"StringValue\":").string(text);
            }
            if let Some(binary) = &value.binary {
                out.raw(",\"BinaryValue\":\"").raw(&STANDARD.encode(binary)).raw("\"");
            }
            out.raw("}");
        });
    }
    out.raw("}");
}

/// A batch's answer: what went well, as written, and what did not.
pub(super) fn batch(successful: &[Vec<u8>], failed: &[(String, ApiError)]) -> Vec<u8> {
    let mut out = Writer::new();
    out.raw("{\"Successful\":");
    out.list(successful, |out, entry| out.0.extend_from_slice(entry));
    out.raw(",\"Failed\":");
    out.list(failed, |out, (id, error)| {
        out.raw("{\"Id\":").string(id).raw(",\"Code\":").string(error.query_code());
        out.raw(",\"Message\":").string(&error.message);
        out.raw(",\"SenderFault\":").number(error.sender()).raw("}");
    });
    out.raw("}");
    out.done()
}

/// An error's answer.
pub(super) fn error(error: &ApiError) -> Vec<u8> {
    let mut out = Writer::new();
    out.raw("{\"__type\":").string(&error.qualified()).raw(",\"message\":").string(&error.message).raw("}");
    out.done()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::protocol::AttributeValue;
    use super::*;

    fn written(write: impl FnOnce(&mut Writer)) -> Value {
        let mut out = Writer::new();
        write(&mut out);
        serde_json::from_slice(&out.done()).unwrap()
    }

    fn held() -> Held {
        let text =
            |value: &str| AttributeValue { data_type: "String".into(), string: Some(value.into()), binary: None };
        let bytes = AttributeValue { data_type: "Binary".into(), string: None, binary: Some(vec![0, 255]) };
        let now = tokio::time::Instant::now();
        let mut held =
            Held::new("m-1".into(), r#""{\"a\":\"ü\"}""#.into(), digest::of_body("x"), 1_700_000_000_123, now);
        held.attributes = vec![("ERROR_CODE".into(), text("NO \"PERMISSION\"")), ("RAW".into(), bytes)];
        held.receives = 3;
        held
    }

    #[test]
    fn a_message_shows_what_was_asked_for() {
        let all = || vec!["All".to_owned()];
        let wanted = Wanted::new(vec![], all(), all());
        let shown = written(|out| message(out, &held(), "h", "sender", &wanted));
        assert_eq!(shown["Body"], json!("{\"a\":\"ü\"}"));
        assert_eq!(shown["Attributes"]["ApproximateReceiveCount"], json!("3"));
        assert_eq!(shown["Attributes"]["SentTimestamp"], json!("1700000000123"));
        assert_eq!(shown["Attributes"].get("DeadLetterQueueSourceArn"), None);
        assert_eq!(shown["MessageAttributes"]["ERROR_CODE"]["StringValue"], json!("NO \"PERMISSION\""));
        assert_eq!(shown["MessageAttributes"]["RAW"]["BinaryValue"], json!("AP8="));
        let wanted = Wanted::new(vec!["SentTimestamp".into()], vec![], vec!["ERR.*".into()]);
        let shown = written(|out| message(out, &held(), "h", "sender", &wanted));
        assert_eq!(shown["Attributes"].as_object().unwrap().len(), 1);
        assert_eq!(shown["MessageAttributes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["ERROR_CODE"]);
        let bare = written(|out| message(out, &held(), "h", "sender", &Wanted::default()));
        assert_eq!((bare.get("Attributes"), bare.get("MessageAttributes")), (None, None));
    }

    #[test]
    fn a_batch_answers_per_entry() {
        let failed = [("b".to_owned(), ApiError::new("ReceiptHandleIsInvalid", "no \"such\" handle"))];
        let shown: Value = serde_json::from_slice(&batch(&[br#"{"Id":"a"}"#.to_vec()], &failed)).unwrap();
        assert_eq!(shown["Successful"], json!([{"Id": "a"}]));
        let expected = json!([{"Id": "b", "Code": "ReceiptHandleIsInvalid", "Message": "no \"such\" handle", "SenderFault": true}]);
        assert_eq!(shown["Failed"], expected);
    }

    #[test]
    fn an_error_names_its_type() {
        let shown: Value = serde_json::from_slice(&error(&ApiError::new("QueueDoesNotExist", "x"))).unwrap();
        assert_eq!(shown["__type"], json!("com.amazonaws.sqs#QueueDoesNotExist"));
    }
}
