//! Port: where notifications go. One file per kind; each owns its `Config`. No sink knows another, the store or the configuration.

use std::time::Duration;

use async_trait::async_trait;

use crate::core::notification::Notification;

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
    async fn digest(&self, notifications: &[Notification], more: usize) -> Result<(), DeliveryError>;

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
