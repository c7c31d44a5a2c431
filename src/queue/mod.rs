//! Port: the queue that messages come from. SQS's own verbs: receive, delete, extend.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// One message, with the handle that deletes or extends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub handle: Handle,
    pub body: String,
    /// `SentTimestamp`.
    pub sent_at: Option<Timestamp>,
    /// `ApproximateReceiveCount`; 1 on the first delivery.
    pub receive_count: u32,
    /// Message attributes that an EventBridge target's DLQ adds (`RULE_ARN`, `ERROR_CODE`, …), names and string values.
    pub attributes: Vec<(String, String)>,
}

/// A receipt handle: valid while the message is invisible.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Handle(pub String);

/// A queue that hands out messages, each for a limited time.
#[async_trait]
pub trait Queue: Send + Sync {
    /// The name in `[queues.<name>]`.
    fn name(&self) -> &str;

    /// How long a received message stays invisible.
    fn visibility(&self) -> Duration;

    /// The long poll's wait, for the liveness check.
    fn wait(&self) -> Duration;

    /// Waits up to [`Queue::wait`] for up to 10 messages. An empty answer is not an error.
    ///
    /// # Errors
    /// A [`QueueError`] that has classified itself.
    async fn receive(&self) -> Result<Vec<Message>, QueueError>;

    /// Deletes up to 10 messages. The answer holds the handles that could NOT be deleted: SQS answers 200 with a
    /// per-entry `Failed` list. A handle that is already gone counts as deleted.
    ///
    /// # Errors
    /// When the whole call failed; then nothing is known of any entry.
    async fn delete(&self, handles: &[Handle]) -> Result<Vec<DeleteFailed>, QueueError>;

    /// Keeps up to 10 messages invisible for `by` from now; zero makes them visible at once. The answer holds
    /// the handles for which this failed.
    ///
    /// # Errors
    /// When the whole call failed.
    async fn extend(&self, handles: &[Handle], by: Duration) -> Result<Vec<Handle>, QueueError>;
}

/// One entry of a batch delete that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteFailed {
    pub handle: Handle,
    pub code: String,
    /// Trying again may help.
    pub retry: bool,
}

/// A queue call failed, classified once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", class.as_str())]
pub struct QueueError {
    pub class: QueueErrorClass,
    /// The service's error code and message, bounded.
    pub detail: String,
}

/// Low-cardinality: named in the log once per change, and used as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueErrorClass {
    /// `KmsDisabled`, `KmsInvalidState`, `KmsAccessDenied`, `KmsNotFound`, … : the queue's own key is the trouble.
    QueueKey,
    NoSuchQueue,
    AccessDenied,
    Credentials,
    Throttled,
    /// Too many messages in flight.
    OverLimit,
    Network,
    Timeout,
    Server,
    Other,
}

impl QueueErrorClass {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueKey => "queue_key",
            Self::NoSuchQueue => "no_such_queue",
            Self::AccessDenied => "access_denied",
            Self::Credentials => "credentials",
            Self::Throttled => "throttled",
            Self::OverLimit => "over_limit",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Server => "server",
            Self::Other => "other",
        }
    }
}
