//! Splunk, by its HTTP Event Collector (HEC): one event for each notification.
//!
//! An answer's body has a code of its own, and only code 0 is a yes. It means that the collector has the event in memory; with
//! `ack` the sink waits until the indexers have it on disk. Splunk has no idempotency key: an event that may have come
//! before carries the same `data.delivery`. So what the collector took is asked for again before it is sent again, and sent again a few
//! times only: where acknowledgements never come, the collector has it all the same.

mod acks;

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use serde_spanned::Spanned;

use super::text::fit;
use super::{
    BodyFormat, BuildError, Character, Class, DeliveryError, Dispatch, FailReason, Receipt, Sink, SinkContext, http,
};
use crate::base::diagnostic::Problem;
use crate::base::secret::{ExposeSecret, OpenText, Secret, SecretRef, Text};
use acks::{Acks, Taken};

/// `[sinks.<name>.splunk]`
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Scheme, host and port of the collector, such as `https://http-inputs-acme.splunkcloud.com:443`.
    #[schemars(with = "Text")]
    pub url: Spanned<Text>,
    /// The collector's token.
    #[schemars(with = "SecretRef")]
    pub token: Spanned<SecretRef>,
    /// The index to write to. Default: the token's own.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub index: Option<Spanned<String>>,
    /// What Splunk calls the event's host. Default: what the collector makes of the connection.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub host: Option<Spanned<String>>,
    /// What Splunk calls the event's source. Default: `kmswatch`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub source: Option<Spanned<String>>,
    /// The event's source type. Default: the token's own.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub sourcetype: Option<Spanned<String>>,
    /// What the event holds. Default: `kmswatch`.
    #[serde(default)]
    pub format: BodyFormat,
    /// Wait until the indexers have the event on disk. The token must have indexer acknowledgement switched on.
    #[serde(default)]
    pub ack: bool,
    /// How it talks HTTP.
    #[serde(default)]
    pub http: http::Config,
}

impl Config {
    /// Ten a second: far below what one collector takes.
    pub const MAX_PER_MINUTE: Option<u32> = Some(600);

    pub fn check(&self, _: Range<usize>, problems: &mut Vec<Problem>) {
        match self.url.get_ref() {
            Text::Plain(url) => {
                self.http.check_url(url, self.url.span(), problems);
                if Url::parse(url).is_ok_and(|url| !is_origin(&url)) {
                    problems.push(
                        Problem::error(self.url.span(), "the address is more than scheme, host and port")
                            .hint("leave the rest out: kmswatch asks for /services/collector/event by itself"),
                    );
                }
            }
            Text::Secret(secret) => secret.check(self.url.span(), problems),
        }
        self.token.get_ref().check(self.token.span(), problems);
        for (name, value) in self.names() {
            if let Some(value) = value.filter(|value| value.get_ref().trim().is_empty()) {
                problems.push(
                    Problem::error(value.span(), format!("`{name}` is empty")).hint("leave it out for the default"),
                );
            }
        }
        if let Some(index) = self.index.as_ref().filter(|index| !is_index(index.get_ref())) {
            problems.push(
                Problem::error(index.span(), format!("`{}` is not the name of an index", fit(index.get_ref(), 60)))
                    .hint("an index has lower-case letters, digits, `_` and `-`, and begins with a letter, a digit or `_`"),
            );
        }
        self.http.check(problems);
    }

    fn names(&self) -> [(&'static str, Option<&Spanned<String>>); 4] {
        [
            ("index", self.index.as_ref()),
            ("host", self.host.as_ref()),
            ("source", self.source.as_ref()),
            ("sourcetype", self.sourcetype.as_ref()),
        ]
    }

    pub fn build(&self, context: &SinkContext) -> Result<Arc<dyn Sink>, BuildError> {
        Ok(Arc::new(self.sender(context)?))
    }

    fn sender(&self, context: &SinkContext) -> Result<Splunk, BuildError> {
        let mut frame = json!({ "source": "kmswatch" });
        for (name, value) in self.names() {
            if let Some(value) = value {
                frame[name] = value.get_ref().as_str().into();
            }
        }
        Ok(Splunk {
            http: http::Http::new(&self.http, context.clock.clone())?,
            url: self.url.get_ref().open()?,
            token: self.token.get_ref().open()?,
            frame,
            format: self.format,
            channel: self.ack.then(channel),
            acks: Acks::default(),
            pauses: ACK_PAUSES,
            patience: ACK_PATIENCE,
        })
    }
}

struct Splunk {
    http: http::Http,
    url: OpenText,
    token: Secret,
    /// What is the same for all events.
    frame: Value,
    format: BodyFormat,
    /// With acknowledgement: a sender tells the collector who it is.
    channel: Option<String>,
    acks: Acks,
    /// How long to wait before each question for an acknowledgement.
    pauses: &'static [Duration],
    /// How long an event is only asked for, before it is sent again.
    patience: Duration,
}

#[async_trait]
impl Sink for Splunk {
    fn kind(&self) -> &'static str {
        "splunk"
    }

    fn character(&self) -> Character {
        Character::Machine
    }

    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError> {
        let mut event = self.frame.clone();
        let at = dispatch.notification.at;
        event["time"] = format!("{}.{:03}", at.as_second(), at.subsec_millisecond().max(0)).into();
        event["event"] = self.format.document(dispatch);
        // Whoever looks for doubles finds them by `data.delivery`.
        let possible_double = if self.channel.is_some() {
            self.post_acknowledged(dispatch, &event).await?
        } else {
            self.post("event", &event).await?;
            dispatch.outcome_unknown
        };
        Ok(Receipt { memory: None, possible_double })
    }

    /// An event without content is refused, but only after the token was found good: code 5 is the answer that is hoped for.
    async fn probe(&self) -> Result<(), DeliveryError> {
        let url = self.address("event")?;
        let request = self.http.client().post(url).body(String::new());
        let answer = self.http.send(self.signed(request)?).await?;
        match code(&answer.body) {
            Some(CODE_NO_DATA) => Ok(()),
            _ => judge(&answer),
        }
    }
}

impl Splunk {
    async fn post(&self, path: &str, body: &Value) -> Result<Value, DeliveryError> {
        let request = self.http.client().post(self.address(path)?).json(body);
        let answer = self.http.send(self.signed(request)?).await?;
        judge(&answer)?;
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn address(&self, path: &str) -> Result<Url, DeliveryError> {
        let base = self.url.current();
        let base = base.expose_secret().trim_end_matches('/');
        self.http.url(&format!("{base}/services/collector/{path}"))
    }

    fn signed(&self, request: RequestBuilder) -> Result<RequestBuilder, DeliveryError> {
        let mut token = HeaderValue::from_str(&format!("Splunk {}", self.token.current().expose_secret()))
            .map_err(|_| DeliveryError::new(Class::Park, FailReason::Secret, "the token cannot be sent in a header"))?;
        token.set_sensitive(true);
        let request = request.header(AUTHORIZATION, token);
        Ok(match &self.channel {
            Some(channel) => request.header("X-Splunk-Request-Channel", channel),
            None => request,
        })
    }

    /// Posts and asks until the indexers say that they have it: what was posted before is asked for first. Says whether there may be a double.
    async fn post_acknowledged(&self, dispatch: &Dispatch<'_>, event: &Value) -> Result<bool, DeliveryError> {
        let delivery = dispatch.idempotency_key;
        let mut trouble = None;
        let taken = match self.acks.of(delivery) {
            None => self.post_anew(dispatch, event).await?,
            Some(earlier) => {
                if self.is_acknowledged(&earlier, &mut trouble).await {
                    return Ok(self.ended(delivery, &earlier));
                }
                if earlier.at.elapsed() < self.patience {
                    earlier
                } else if earlier.ids.len() < POSTS_MAX {
                    self.post_anew(dispatch, event).await?
                } else {
                    tracing::warn!(
                        incident.id = %dispatch.notification.incident.id,
                        "Splunk took the event {POSTS_MAX} times, and no indexer acknowledged it: it counts as delivered; acknowledgements \
                         come only where all requests reach one collector"
                    );
                    return Ok(self.ended(delivery, &earlier));
                }
            }
        };
        for pause in self.pauses {
            tokio::time::sleep(*pause).await;
            if self.is_acknowledged(&taken, &mut trouble).await {
                return Ok(self.ended(delivery, &taken));
            }
        }
        let said = "Splunk took the event, but no indexer has acknowledged it in time";
        let (after, detail) = match trouble {
            Some(DeliveryError { class: Class::Retry { after }, detail, .. }) => (after, format!("{said}: {detail}")),
            Some(DeliveryError { detail, .. }) => (None, format!("{said}: {detail}")),
            None => (None, said.to_owned()),
        };
        Err(DeliveryError::new(Class::Retry { after }, FailReason::Timeout, detail).unknown())
    }

    async fn post_anew(&self, dispatch: &Dispatch<'_>, event: &Value) -> Result<Taken, DeliveryError> {
        let answer = self.post("event", event).await?;
        let Some(id) = answer["ackId"].as_u64() else {
            let detail = "Splunk gives no number to ask for: indexer acknowledgement is switched off for this token";
            return Err(DeliveryError::new(Class::Park, FailReason::Client, detail).unknown());
        };
        Ok(self.acks.taken(dispatch.idempotency_key, id, dispatch.outcome_unknown))
    }

    /// Whether one of them has come to an indexer. A question that is not answered says nothing of the event.
    async fn is_acknowledged(&self, taken: &Taken, trouble: &mut Option<DeliveryError>) -> bool {
        match self.post_ack(&taken.ids).await {
            Ok(said) => {
                *trouble = None;
                taken.ids.iter().any(|id| said["acks"][id.to_string()] == true)
            }
            Err(error) => {
                *trouble = Some(error);
                false
            }
        }
    }

    fn ended(&self, delivery: &str, taken: &Taken) -> bool {
        self.acks.ended(delivery);
        taken.possible_double()
    }

    async fn post_ack(&self, ids: &[u64]) -> Result<Value, DeliveryError> {
        let request = self.http.client().post(self.address("ack")?).json(&json!({ "acks": ids }));
        let answer = self.http.send(self.signed(request)?).await?;
        answer.accepted("Splunk")?;
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }
}

/// Classifies by status, and by the code in the body where it says more.
fn judge(answer: &http::Answer) -> Result<(), DeliveryError> {
    let code = code(&answer.body);
    let said = |why: &str| {
        let code = code.map_or_else(String::new, |code| format!(", code {code}"));
        format!("Splunk answered {}{code}: {why}", answer.status.as_u16())
    };
    let park = |reason, why: &str| Err(DeliveryError::new(Class::Park, reason, said(why)));
    match code {
        Some(0) if answer.status.is_success() => Ok(()),
        Some(1) => park(FailReason::Auth, "the token is switched off"),
        Some(2..=4 | 16) => park(FailReason::Auth, "the token is not accepted"),
        Some(7) => park(FailReason::Client, "the token may not write to this index, or there is none of this name"),
        Some(10 | 11) => park(FailReason::Client, "the token asks for indexer acknowledgement; set ack = true"),
        Some(14) => park(FailReason::Client, "indexer acknowledgement is switched off; set ack = false"),
        Some(8 | 9 | 18..=20 | 23) => {
            let retry = Class::Retry { after: answer.retry_after };
            Err(DeliveryError::new(retry, FailReason::Server, said("it is busy or unwell")))
        }
        _ if answer.status.is_success() => {
            let error = DeliveryError::new(Class::Park, FailReason::Client, said("this is no answer of a collector"));
            Err(error.unknown())
        }
        _ => answer.accepted("Splunk"),
    }
}

fn code(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(body).ok()?.get("code")?.as_u64()
}

/// An id for this sender, in the form that Splunk asks for: a UUID.
fn channel() -> String {
    let mut text = String::new();
    for (at, byte) in fastrand::u128(..).to_be_bytes().into_iter().enumerate() {
        let byte = match at {
            6 => (byte & 0x0f) | 0x40,
            8 => (byte & 0x3f) | 0x80,
            _ => byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a text cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

fn is_origin(url: &Url) -> bool {
    matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
}

fn is_index(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    name.len() <= 80 && name.bytes().all(fits) && !name.starts_with('-')
}

const CODE_NO_DATA: u64 = 5;
/// About twenty seconds in all: indexers write every few seconds, and an attempt has thirty.
const ACK_PAUSES: &[Duration] = &[
    Duration::from_millis(200),
    Duration::from_millis(800),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
    Duration::from_secs(5),
    Duration::from_secs(5),
];

/// Indexers that are slow for so long cost no double.
const ACK_PATIENCE: Duration = Duration::from_mins(1);
/// The collector took an event so often: that is enough.
const POSTS_MAX: usize = 3;

#[cfg(test)]
#[path = "splunk_tests.rs"]
mod tests;
