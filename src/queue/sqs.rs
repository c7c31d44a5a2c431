//! SQS through AWS's own SDK.
//!
//! Time limits and retries differ per verb. A receive waits longer than the long poll and is never repeated by the
//! SDK, because the ingest loop backs off itself; deletes and extends are short and repeated a few times, because a
//! message is in hand meanwhile.

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    MessageSystemAttributeName, QueueAttributeName,
};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::classify::{classify, is_late, retry_entry};
use super::{
    BATCH_MAX, Config, DeadLetters, DeleteFailed, Handle, Message, Queue, QueueError, QueueErrorClass, QueueFacts,
};
use crate::base::aws::{Access, AwsConfig, Failure};
use crate::base::telemetry;

/// How much longer than the long poll a receive may take.
const RECEIVE_GRACE: Duration = Duration::from_secs(10);

/// One try, and all tries together, of every other verb.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const CHANGE_TIMEOUT: Duration = Duration::from_secs(15);
const CHANGE_ATTEMPTS: u32 = 3;

/// SQS's longest invisibility.
const EXTEND_SECONDS_MAX: u64 = 12 * 60 * 60;

/// What an EventBridge target's dead-letter queue adds to a message.
const DEAD_LETTER_ATTRIBUTES: [&str; 6] =
    ["RULE_ARN", "TARGET_ARN", "ERROR_CODE", "ERROR_MESSAGE", "EXHAUSTED_RETRY_CONDITION", "RETRY_ATTEMPTS"];

/// One SQS queue.
#[derive(Debug)]
pub struct SqsQueue {
    name: String,
    aws: AwsConfig,
    access: Access,
    visibility: Duration,
    wait: Duration,
    place: Place,
    /// Found with the first call that needs it, so that the daemon starts while AWS is away.
    url: OnceCell<String>,
    clients: ArcSwap<Clients>,
    /// The service refused our credentials: the next call takes fresh ones. The SDK would keep those of a rotated
    /// file for ever, because nothing says when they expire.
    refused: AtomicBool,
}

#[derive(Debug)]
enum Place {
    Url(String),
    Name { name: String, owner: Option<String> },
}

/// One client per retry policy, on the same connections and credentials.
#[derive(Debug)]
struct Clients {
    receive: Client,
    change: Client,
}

impl SqsQueue {
    /// Sets the clients up. No request is made: a queue that cannot be reached says so at the first receive.
    pub async fn connect(name: &str, config: &Config, access: &Access) -> Self {
        let aws = config.aws();
        let wait = config.wait.get_ref().unsigned();
        let place = match (&config.url, &config.name) {
            (Some(url), _) => Place::Url(url.get_ref().clone()),
            (None, name) => Place::Name {
                name: name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default(),
                owner: config.account.as_ref().map(|account| account.get_ref().clone()),
            },
        };
        let clients = ArcSwap::from_pointee(Clients::build(&aws, access, wait).await);
        Self {
            name: name.to_owned(),
            aws,
            access: access.clone(),
            visibility: config.visibility.get_ref().unsigned(),
            wait,
            place,
            url: OnceCell::new(),
            clients,
            refused: AtomicBool::new(false),
        }
    }

    async fn clients(&self) -> Arc<Clients> {
        if self.refused.swap(false, Ordering::AcqRel) {
            self.clients.store(Arc::new(Clients::build(&self.aws, &self.access, self.wait).await));
        }
        self.clients.load_full()
    }

    async fn url(&self, clients: &Clients) -> Result<&str, QueueError> {
        let find = async || match &self.place {
            Place::Url(url) => Ok(url.clone()),
            Place::Name { name, owner } => {
                let request =
                    clients.change.get_queue_url().queue_name(name).set_queue_owner_aws_account_id(owner.clone());
                let answer = self.outcome("get_url", request.send().await)?;
                answer.queue_url.ok_or_else(|| QueueError {
                    class: QueueErrorClass::Other,
                    detail: "GetQueueUrl answered without a URL".to_owned(),
                })
            }
        };
        self.url.get_or_try_init(find).await.map(String::as_str)
    }

    /// Counts a call, and classifies its error.
    fn outcome<T, E>(&self, verb: &'static str, result: Result<T, SdkError<E, HttpResponse>>) -> Result<T, QueueError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let result = result.map_err(|error| classify(Failure::of(&error)));
        let outcome = result.as_ref().map_or_else(|error| error.class.as_str(), |_| "ok");
        telemetry::sqs_request(&self.name, verb, outcome);
        if result.as_ref().is_err_and(|error| error.class == QueueErrorClass::Credentials) {
            self.refused.store(true, Ordering::Release);
        }
        result
    }

    async fn receive_with(&self, system: Option<Vec<MessageSystemAttributeName>>) -> Result<Vec<Message>, QueueError> {
        let clients = self.clients().await;
        let request = clients
            .receive
            .receive_message()
            .queue_url(self.url(&clients).await?)
            .max_number_of_messages(i32::try_from(BATCH_MAX).unwrap_or(10))
            .wait_time_seconds(seconds(self.wait))
            .visibility_timeout(seconds(self.visibility))
            .set_message_system_attribute_names(system)
            .set_message_attribute_names(Some(DEAD_LETTER_ATTRIBUTES.map(str::to_owned).to_vec()));
        let answer = self.outcome("receive", request.send().await)?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    async fn delete_batch(&self, batch: &[&Handle]) -> Result<Vec<DeleteFailed>, QueueError> {
        let clients = self.clients().await;
        let url = self.url(&clients).await?;
        let entries = batch.iter().enumerate().filter_map(|(index, handle)| {
            DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(&handle.0).build().ok()
        });
        let request = clients.change.delete_message_batch().queue_url(url).set_entries(Some(entries.collect()));
        let answer = self.outcome("delete", request.send().await)?;
        let done = answer.successful.iter().map(|entry| entry.id.as_str());
        let mut failed = vec![];
        for (handle, error) in unfinished(batch, done, &answer.failed) {
            match error {
                Some(error) if is_late(&error.code, error.message.as_deref()) => {
                    telemetry::late_delete(&self.name);
                }
                Some(error) => failed.push(DeleteFailed {
                    handle: handle.clone(),
                    retry: retry_entry(&error.code, error.sender_fault),
                    code: error.code.clone(),
                }),
                None => failed.push(DeleteFailed { handle: handle.clone(), code: "NoAnswer".to_owned(), retry: true }),
            }
        }
        Ok(failed)
    }

    async fn extend_batch(&self, batch: &[&Handle], seconds: i32) -> Result<Vec<Handle>, QueueError> {
        let clients = self.clients().await;
        let url = self.url(&clients).await?;
        let entries = batch.iter().enumerate().filter_map(|(index, handle)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&handle.0)
                .visibility_timeout(seconds)
                .build()
                .ok()
        });
        let request =
            clients.change.change_message_visibility_batch().queue_url(url).set_entries(Some(entries.collect()));
        let answer = self.outcome("extend", request.send().await)?;
        let done = answer.successful.iter().map(|entry| entry.id.as_str());
        Ok(unfinished(batch, done, &answer.failed).map(|(handle, _)| handle.clone()).collect())
    }

    /// About how many messages wait in the queue at `url`.
    async fn depth(&self, clients: &Clients, url: String) -> Result<u64, QueueError> {
        let request = clients
            .change
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages);
        let answer = self.outcome("facts", request.send().await)?;
        let depth = answer.attributes.and_then(|mut all| all.remove(&QueueAttributeName::ApproximateNumberOfMessages));
        depth.and_then(|text| text.parse().ok()).ok_or_else(|| QueueError {
            class: QueueErrorClass::Other,
            detail: "GetQueueAttributes answered without the number of messages".to_owned(),
        })
    }
}

#[async_trait]
impl Queue for SqsQueue {
    fn name(&self) -> &str {
        &self.name
    }

    fn visibility(&self) -> Duration {
        self.visibility
    }

    fn wait(&self) -> Duration {
        self.wait
    }

    async fn receive(&self) -> Result<Vec<Message>, QueueError> {
        self.receive_with(Some(vec![
            MessageSystemAttributeName::SentTimestamp,
            MessageSystemAttributeName::ApproximateReceiveCount,
        ]))
        .await
    }

    async fn receive_bare(&self) -> Result<Vec<Message>, QueueError> {
        self.receive_with(None).await
    }

    async fn delete(&self, handles: &[Handle]) -> Result<Vec<DeleteFailed>, QueueError> {
        let mut failed = vec![];
        for batch in unique(handles).chunks(BATCH_MAX) {
            failed.append(&mut self.delete_batch(batch).await?);
        }
        Ok(failed)
    }

    async fn extend(&self, handles: &[Handle], by: Duration) -> Result<Vec<Handle>, QueueError> {
        let mut failed = vec![];
        for batch in unique(handles).chunks(BATCH_MAX) {
            failed.append(&mut self.extend_batch(batch, seconds(by)).await?);
        }
        Ok(failed)
    }

    async fn facts(&self) -> Result<QueueFacts, QueueError> {
        use QueueAttributeName as Name;
        let clients = self.clients().await;
        let url = self.url(&clients).await?;
        let request = clients.change.get_queue_attributes().queue_url(url).set_attribute_names(Some(vec![
            Name::QueueArn,
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesNotVisible,
            Name::VisibilityTimeout,
            Name::MessageRetentionPeriod,
            Name::KmsMasterKeyId,
            Name::Policy,
            Name::RedrivePolicy,
        ]));
        let mut all = self.outcome("facts", request.send().await)?.attributes.unwrap_or_default();
        let redrive = all.remove(&Name::RedrivePolicy).and_then(|text| redrive(&text));
        let dead_letters = match redrive {
            Some((arn, receives_max)) => {
                let depth = self.depth(&clients, sibling(url, &arn)).await;
                Some(DeadLetters { arn, receives_max, depth })
            }
            None => None,
        };
        let mut number = |name: Name| all.remove(&name).and_then(|text| text.parse::<u64>().ok());
        Ok(QueueFacts {
            waiting: number(Name::ApproximateNumberOfMessages),
            in_flight: number(Name::ApproximateNumberOfMessagesNotVisible),
            visibility: number(Name::VisibilityTimeout).map(Duration::from_secs),
            retention: number(Name::MessageRetentionPeriod).map(Duration::from_secs),
            arn: all.remove(&Name::QueueArn),
            kms_key: all.remove(&Name::KmsMasterKeyId).filter(|key| !key.is_empty()),
            policy: all.remove(&Name::Policy).filter(|policy| !policy.is_empty()),
            dead_letters,
        })
    }
}

impl Clients {
    async fn build(aws: &AwsConfig, access: &Access, wait: Duration) -> Self {
        let shared = aws.load(access).await;
        // The connection's own limits stay those of the shared configuration: all clients share one pool.
        let limits = |attempt: Duration| {
            let mut limits = shared.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
            limits.set_operation_attempt_timeout(Some(attempt));
            limits
        };
        let receive = aws_sdk_sqs::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits(wait + RECEIVE_GRACE).build());
        let change = aws_sdk_sqs::config::Builder::from(&shared)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(CHANGE_ATTEMPTS)
                    .with_initial_backoff(Duration::from_millis(200))
                    .with_max_backoff(Duration::from_secs(2)),
            )
            .timeout_config(limits(ATTEMPT_TIMEOUT).operation_timeout(CHANGE_TIMEOUT).build());
        Self { receive: Client::from_conf(receive.build()), change: Client::from_conf(change.build()) }
    }
}

/// Moves what we need out of the SDK's message. One without a handle could never be deleted: it comes again.
fn message(mut message: aws_sdk_sqs::types::Message) -> Option<Message> {
    let handle = Handle(message.receipt_handle.take()?);
    let mut attributes = message.attributes.take().unwrap_or_default();
    let mut number = |name| attributes.remove(&name).and_then(|text| text.parse::<i64>().ok());
    let sent_at = number(MessageSystemAttributeName::SentTimestamp);
    let receive_count = number(MessageSystemAttributeName::ApproximateReceiveCount);
    let attributes = message.message_attributes.take().unwrap_or_default();
    let mut attributes: Vec<_> =
        attributes.into_iter().filter_map(|(name, value)| Some((name, value.string_value?))).collect();
    attributes.sort_unstable();
    Some(Message {
        id: message.message_id.take().unwrap_or_default(),
        handle,
        body: message.body.take().unwrap_or_default(),
        sent_at: sent_at.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        receive_count: receive_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1),
        attributes,
    })
}

/// The entries of a batch that the answer does not call done, each with its error. Entry ids are indices into the batch.
fn unfinished<'a>(
    batch: &'a [&'a Handle],
    done: impl Iterator<Item = &'a str>,
    failed: &'a [BatchResultErrorEntry],
) -> impl Iterator<Item = (&'a Handle, Option<&'a BatchResultErrorEntry>)> {
    let done: HashSet<usize> = done.filter_map(|id| id.parse().ok()).collect();
    batch.iter().enumerate().filter(move |(index, _)| !done.contains(index)).map(|(index, handle)| {
        let error = failed.iter().find(|entry| entry.id.parse() == Ok(index));
        (*handle, error)
    })
}

/// SQS refuses a whole batch that names the same handle twice in some cases, and counts both in others.
fn unique(handles: &[Handle]) -> Vec<&Handle> {
    let mut seen = HashSet::with_capacity(handles.len());
    handles.iter().filter(|handle| seen.insert(*handle)).collect()
}

/// Whole seconds, rounded up, as SQS takes them.
fn seconds(time: Duration) -> i32 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(whole.min(EXTEND_SECONDS_MAX)).unwrap_or(i32::MAX)
}

/// `{"deadLetterTargetArn": "…", "maxReceiveCount": 3}`; the count is a string in old policies.
fn redrive(policy: &str) -> Option<(String, u32)> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let count = policy.get("maxReceiveCount")?;
    let count = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
    Some((policy.get("deadLetterTargetArn")?.as_str()?.to_owned(), u32::try_from(count).ok()?))
}

/// The URL of a queue of the same account and Region, given its ARN: `sqs:GetQueueUrl` is not needed for it.
fn sibling(url: &str, arn: &str) -> String {
    let name = arn.rsplit(':').next().unwrap_or_default();
    match url.trim_end_matches('/').rsplit_once('/') {
        Some((stem, _)) => format!("{stem}/{name}"),
        None => name.to_owned(),
    }
}
