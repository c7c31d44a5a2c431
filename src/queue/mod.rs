//! Port: the queue that messages come from. SQS's own verbs: receive, delete, extend.
//!
//! | file | is |
//! |---|---|
//! | [`sqs`] | the real one, and a local server that speaks its protocol |
//! | [`memory`] | its twin inside this process, for tests and played events |
//! | `config`, `url` | one `[queues.<name>]` table, and what its URL says |
//! | `classify` | the SDK's errors, classified |

mod classify;
mod config;
pub mod memory;
pub mod sqs;
mod url;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

pub use config::Config;

/// Messages in one receive, one delete or one extend: SQS's limit.
pub const BATCH_MAX: usize = 10;

/// One message, with the handle that deletes or extends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub handle: Handle,
    pub body: String,
    /// `SentTimestamp`. `None` where it was not asked for.
    pub sent_at: Option<Timestamp>,
    /// `ApproximateReceiveCount`; 1 on the first delivery, and where it was not asked for.
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

    /// The same without [`Message::sent_at`] and [`Message::receive_count`], if the queue saves something by that: SQS
    /// sends them as a map with each message.
    ///
    /// # Errors
    /// As for [`Queue::receive`].
    async fn receive_bare(&self) -> Result<Vec<Message>, QueueError> {
        self.receive().await
    }

    /// Deletes messages, [`BATCH_MAX`] a call; a handle named twice is deleted once. The answer holds the handles that
    /// could NOT be deleted: SQS answers 200 with a per-entry `Failed` list. A handle that is already gone or
    /// has expired counts as deleted: if its message is still there, it comes again and is a duplicate.
    ///
    /// # Errors
    /// When a whole call failed; then nothing is known of any entry. Deleting again is harmless.
    async fn delete(&self, handles: &[Handle]) -> Result<Vec<DeleteFailed>, QueueError>;

    /// Keeps messages invisible for `by` from now (at most 12 hours, rounded up to seconds); zero makes them visible
    /// at once. The answer holds the handles for which this failed.
    ///
    /// # Errors
    /// When a whole call failed.
    async fn extend(&self, handles: &[Handle], by: Duration) -> Result<Vec<Handle>, QueueError>;

    /// What the queue says of itself. Needs `sqs:GetQueueAttributes`; nothing else depends on the answer.
    ///
    /// # Errors
    /// Where it does not say: the caller does without.
    async fn facts(&self) -> Result<QueueFacts, QueueError>;
}

/// What a queue says of itself. `None` where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueFacts {
    pub arn: Option<String>,
    /// Messages that wait, about.
    pub waiting: Option<u64>,
    /// Messages that somebody received and neither deleted nor gave back, about. Near 120,000, long polls come back empty
    /// without an error.
    pub in_flight: Option<u64>,
    /// The queue's own default; a receive states its own.
    pub visibility: Option<Duration>,
    /// How long an unread message is kept.
    pub retention: Option<Duration>,
    /// `KmsMasterKeyId`: set where the queue is encrypted with a KMS key (id, ARN or alias).
    pub kms_key: Option<String>,
    /// The queue's access policy, as JSON.
    pub policy: Option<String>,
    /// Where messages go that were received too often. Without one, undecodable messages must be kept elsewhere.
    pub dead_letters: Option<DeadLetters>,
}

/// A queue's dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetters {
    pub arn: String,
    /// `maxReceiveCount`.
    pub receives_max: u32,
    /// Messages in it, about.
    pub depth: Result<u64, QueueError>,
}

/// One entry of a batch delete that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteFailed {
    pub handle: Handle,
    /// The service's error code, or `NoAnswer` where the answer does not name the entry.
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
