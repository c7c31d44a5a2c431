//! Messages in: `SendMessage` and its batch.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::super::answer::Writer;
use super::super::protocol::{ApiError, Batch, Entry, Outgoing, SendEntry, SendMessage, Text};
use super::super::queue::Held;
use super::super::{MESSAGE_BYTES_MAX, digest};
use super::{Answer, Queue, Service, batch, parse, range};

impl Service {
    pub(super) fn send(&self, request: SendMessage<'_>) -> Answer {
        let queue = self.at_url(&request.queue_url)?;
        self.accept(&queue, request.outgoing(), None)
    }

    pub(super) fn send_batch(&self, request: Batch<'_, SendEntry<'_>>, failing: Option<&(usize, ApiError)>) -> Answer {
        let queue = self.at_url(&request.queue_url)?;
        let bytes_at_most: usize = request.entries.iter().map(SendEntry::bytes_at_most).sum();
        if bytes_at_most > MESSAGE_BYTES_MAX {
            let bytes: usize = request.entries.iter().map(SendEntry::bytes).sum();
            if bytes > MESSAGE_BYTES_MAX {
                let text = "Batch requests cannot be longer than";
                let text = format!("{text} {MESSAGE_BYTES_MAX} bytes. You have sent {bytes} bytes.");
                return Err(ApiError::new("BatchRequestTooLong", text));
            }
        }
        batch(request.entries, failing, |entry| {
            let id = entry.id().to_owned();
            self.accept(&queue, entry.outgoing(), Some(&id))
        })
    }

    /// Checks and stores one message; the answer is that of `SendMessage`, or a batch's entry with its `Id`.
    fn accept(&self, queue: &Queue, outgoing: Outgoing<'_>, id: Option<&str>) -> Answer {
        let missing = || ApiError::new("MissingParameter", "The request must contain the parameter MessageBody.");
        let literal = outgoing.body.ok_or_else(missing)?.get();
        let body: Text<'_> = parse(literal.as_bytes())?;
        if body.is_empty() {
            return Err(missing());
        }
        if !allowed(&body) {
            return Err(ApiError::new("InvalidMessageContents", "Invalid characters found in the message body."));
        }
        let delay = outgoing.delay_seconds.map(delay).transpose()?;
        let attributes: Vec<_> = outgoing.attributes.into_iter().collect();
        let attribute_bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.bytes()).sum();
        let md5 = digest::of_body(&body);
        let attributes_md5 = (!attributes.is_empty())
            .then(|| digest::of_attributes(attributes.iter().map(|(name, value)| (name.as_str(), value))));
        let id_of_message = self.message_id(queue);
        let now = Instant::now();
        let mut held = Held::new(id_of_message.clone(), literal.into(), md5, self.wall(), now);
        held.attributes = attributes;
        held.trace_header = outgoing.system_attributes.get("AWSTraceHeader").and_then(|value| value.string.clone());
        {
            let mut state = queue.state();
            let most = state.settings.message_bytes_max();
            if body.len() + attribute_bytes > most {
                let text = "One or more parameters are invalid. Reason: Message must be shorter than";
                return Err(ApiError::invalid(format!("{text} {most} bytes.")));
            }
            self.reserve(held.bytes())?;
            let delay = delay.unwrap_or_else(|| state.settings.delay());
            state.messages.push(now, held, delay);
        }
        queue.changed.notify_one();
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        let mut out = Writer::new();
        out.raw("{");
        if let Some(id) = id {
            out.raw("\"Id\":").string(id).raw(",");
        }
        out.raw("\"MessageId\":\"").raw(&id_of_message).raw("\",\"MD5OfMessageBody\":").sum(&md5);
        if let Some(sum) = attributes_md5 {
            out.raw(",\"MD5OfMessageAttributes\":").sum(&sum);
        }
        out.raw("}");
        Ok(out.done())
    }

    /// A new id in the form of a UUID.
    fn message_id(&self, queue: &Queue) -> String {
        let (high, low) = (fastrand::u16(..), fastrand::u64(..) & 0xffff_ffff_ffff);
        format!("{:08x}-{high:04x}-4000-8{:03x}-{low:012x}", self.life, queue.number & 0xfff)
    }
}

/// Whether a message may hold these characters. Source: Amazon SQS API reference, `SendMessage`.
fn allowed(text: &str) -> bool {
    // Nearly every text passes this, which is a plain walk over bytes; 0xef begins U+FFFE and U+FFFF.
    let plain = |byte: &u8| (*byte >= 0x20 && *byte != 0xef) || matches!(byte, b'\t' | b'\n' | b'\r');
    let character =
        |c| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.as_bytes().iter().all(plain) || text.chars().all(character)
}

fn delay(seconds: i64) -> Result<Duration, ApiError> {
    let bounded = u64::try_from(seconds).ok().filter(|seconds| *seconds <= 900);
    bounded.map(Duration::from_secs).ok_or_else(|| range("DelaySeconds", seconds, "0 and 900"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_noncharacters_are_refused() {
        for text in ["{}", "a\tb\r\n", "J\u{fc}rgen \u{1f511}", "\u{fffd}", "\u{ff5e}\u{feff}"] {
            assert!(allowed(text), "{text:?}");
        }
        for text in ["\0", "a\u{b}", "\u{1f}", "\u{fffe}", "x\u{ffff}"] {
            assert!(!allowed(text), "{text:?}");
        }
    }
}
