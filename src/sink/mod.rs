//! Port: where notifications go. One file per kind; each owns its `Config`. No sink knows another, the store or the configuration.

#[macro_use]
mod table;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Deserializer};
use serde_spanned::Spanned;

use crate::base::aws::Access;
use crate::base::clock::Clock;
use crate::base::diagnostic::Problem;
use crate::base::period::Period;
use crate::base::secret::SecretError;
use crate::core::notification::Notification;

pub mod http;
pub mod ping;
pub mod sample;

mod format;
mod line;
mod ocsf;
mod text;
mod words;

#[cfg(test)]
mod kit;
#[cfg(test)]
mod story_tests;

pub use format::BodyFormat;

// Adding a sink: its own file, and its name here.
sinks! {
    /// A Slack channel, by incoming webhook or bot token.
    slack,
    /// PagerDuty, by Events API v2.
    pagerduty,
    /// Any HTTP receiver.
    webhook,
    /// Splunk, by its HTTP Event Collector.
    splunk,
    /// A syslog receiver, over TLS.
    syslog,
    /// AWS Security Hub, by `BatchImportFindings`.
    security_hub,
    /// One JSON object a line on standard output.
    stdout,
    /// One JSON object a line, appended to a file.
    file,
}

/// What [`SinkTable::build`] needs of the world.
#[derive(Clone)]
pub struct SinkContext {
    pub clock: Arc<dyn Clock>,
    /// For sinks that are AWS services.
    pub aws: Access,
}

/// Why a sink could not be built. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Written for people, like a [`Problem`]'s message.
    #[error("{0}")]
    Wrong(String),
}

/// A configured destination. Implementations are stateless between calls but for connection pools and
/// clocks of their own; what they need to remember of an incident travels in [`Dispatch::memory`].
#[async_trait]
pub trait Sink: Send + Sync {
    /// The word after the sink's name in the configuration: `slack`, `pagerduty`, …
    fn kind(&self) -> &'static str;

    fn character(&self) -> Character;

    /// Tells one notification. `Ok` means that the other side has durably accepted it.
    ///
    /// # Errors
    /// A [`DeliveryError`] that has classified itself; it never holds a secret.
    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError>;

    /// Tells several notifications in one message ("and N more"). Only called for [`Character::Chat`].
    ///
    /// # Errors
    /// As for [`Sink::deliver`].
    async fn digest(&self, notifications: &[Notification], more: usize) -> Result<(), DeliveryError> {
        let detail =
            format!("a {} sink takes notifications one by one, not {}", self.kind(), notifications.len() + more);
        Err(DeliveryError { class: Class::Reject, reason: FailReason::Client, detail, outcome_unknown: false })
    }

    /// Asks whether the destination would accept us, without anybody noticing.
    ///
    /// # Errors
    /// As for [`Sink::deliver`].
    async fn probe(&self) -> Result<(), DeliveryError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Character {
    /// People read along: a burst is told as a digest.
    Chat,
    /// Wakes people: each delivery waits for its turn, critical first.
    Pager,
    /// A program reads it: everything, one by one.
    Machine,
}

/// One attempt at one delivery.
#[derive(Debug, Clone, Copy)]
pub struct Dispatch<'a> {
    pub notification: &'a Notification,
    /// The same on every attempt.
    pub idempotency_key: &'a str,
    /// Counts from 1.
    pub attempt: u32,
    /// What this sink returned as [`Receipt::memory`] earlier for this incident.
    pub memory: Option<&'a str>,
    /// An earlier attempt of this delivery ended without our knowing whether it was accepted.
    pub outcome_unknown: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Kept by the store for this (sink, incident) and handed back next time: a Slack message's channel and timestamp.
    pub memory: Option<String>,
    /// The other side may now hold this notification twice (Slack has no idempotency key).
    pub possible_double: bool,
}

/// Why an attempt failed, classified once, at the edge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct DeliveryError {
    pub class: Class,
    pub reason: FailReason,
    /// For people; bounded, no secret, no URL with a secret in it.
    pub detail: String,
    /// The request may have been accepted: a time-out or a cut connection after sending.
    pub outcome_unknown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try again, after the destination's own `Retry-After` where it gave one.
    Retry { after: Option<Duration> },
    /// It will not work until a person mends something (401, 403, channel gone): retried slowly, kept, reported.
    Park,
    /// This notification will never be accepted (400): dead, told to the fallback.
    Reject,
}

/// Low-cardinality, used as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailReason {
    Network,
    Timeout,
    RateLimited,
    Server,
    Auth,
    Client,
    NotFound,
    TooLarge,
    Template,
    Secret,
    Io,
}

impl FailReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::Auth => "auth",
            Self::Client => "client",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::Template => "template",
            Self::Secret => "secret",
            Self::Io => "io",
        }
    }
}

impl DeliveryError {
    /// An error whose outcome is known: it was not accepted.
    pub fn new(class: Class, reason: FailReason, detail: impl Into<String>) -> Self {
        Self { class, reason, detail: text::cut(&text::clean(&detail.into()), DETAIL_MAX), outcome_unknown: false }
    }

    #[must_use]
    pub(crate) fn unknown(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }
}

impl SinkTable {
    /// The half of [`SinkTable::check`] that is the same for every kind.
    fn check_common(&self, found: &[(&'static str, Range<usize>)], span: Range<usize>, problems: &mut Vec<Problem>) {
        let kinds = Self::KINDS.join(", ");
        match found {
            [_] => {}
            [] => problems.push(
                Problem::error(span, "the sink has no kind")
                    .hint(format!("add one table such as `[sinks.<name>.slack]`; the kinds are {kinds}")),
            ),
            [(first, _), rest @ ..] => problems.extend(rest.iter().map(|(kind, place)| {
                Problem::error(place.clone(), format!("the sink is already `{first}` and cannot be `{kind}` too"))
                    .hint("a sink is one destination; give the second one a name of its own")
            })),
        }
        if let Some(limit) = self.max_per_minute.as_ref().filter(|limit| *limit.get_ref() == 0) {
            problems.push(
                Problem::error(limit.span(), "`max_per_minute` is 0, so nobody would ever be told")
                    .hint("leave it out for the default, or take the sink out of the routes"),
            );
        }
    }
}

/// A configuration table that knows its place in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T>(Spanned<T>);

impl<T> At<T> {
    pub fn get(&self) -> &T {
        self.0.get_ref()
    }

    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

fn fallback_after() -> Period {
    Period::from_secs(600)
}

fn fallback_after_text() -> &'static str {
    "10m"
}

/// Longest [`DeliveryError::detail`], in characters.
const DETAIL_MAX: usize = 300;

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
