//! The queues and the operations on them.

mod receiving;
mod sending;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::answer::{self, Writer};
use super::attributes::Settings;
use super::faults::{Counts, Faults};
use super::protocol::{
    Action, ApiError, CreateQueue, Entry, GetQueueAttributes, ListQueues, QueueName, QueueOnly, SetQueueAttributes,
};
use super::queue::{Depth, Messages};

/// Queues at once.
const QUEUES_MAX: usize = 1000;
const BATCH_MAX: usize = 10;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Refused {
    Api(ApiError),
    /// The endpoint is stopping: the connection is to be cut.
    Stopping,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

type Answer = Result<Vec<u8>, ApiError>;

struct Queue {
    number: u32,
    name: String,
    arn: Arc<str>,
    /// Seconds since the epoch.
    created: i64,
    state: Mutex<State>,
    /// One waiter is woken when messages appear or a hidden message's time has become the next one due.
    changed: Notify,
}

struct State {
    settings: Settings,
    modified: i64,
    messages: Messages,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All queues.
pub(super) struct Service {
    pub(super) faults: Faults,
    pub(super) counts: Counts,
    url: String,
    options: Options,
    stop: CancellationToken,
    queues: RwLock<BTreeMap<String, Arc<Queue>>>,
    queues_made: AtomicUsize,
    bytes: AtomicUsize,
    /// Tells this life's message ids and receipt handles from another's.
    life: u32,
}

impl Service {
    pub(super) fn new(url: &str, options: Options, stop: CancellationToken) -> Self {
        Self {
            faults: Faults::default(),
            counts: Counts::default(),
            url: url.to_owned(),
            options,
            stop,
            queues: RwLock::default(),
            queues_made: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            life: fastrand::u32(..),
        }
    }

    pub(super) fn queue_url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.url, self.options.account)
    }

    pub(super) fn queue_arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.options.region, self.options.account)
    }

    pub(super) fn depth(&self, name: &str) -> Option<Depth> {
        Some(self.named(name)?.state().messages.depth(Instant::now()))
    }

    pub(super) fn bodies(&self, name: &str) -> Vec<String> {
        let Some(queue) = self.named(name) else { return vec![] };
        let state = queue.state();
        state.messages.iter().filter_map(|held| serde_json::from_str(&held.body).ok()).collect()
    }

    pub(super) fn bytes_used(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Carries out a request. The first `failed` entries of a batch fail with the error given.
    pub(super) async fn call(
        &self,
        action: Action,
        body: &[u8],
        failing: Option<&(usize, ApiError)>,
    ) -> Result<Vec<u8>, Refused> {
        let answer = match action {
            Action::CreateQueue => self.create(parse(body)?),
            Action::DeleteQueue => self.delete_queue(&parse(body)?),
            Action::GetQueueUrl => self.get_url(&parse(body)?),
            Action::GetQueueAttributes => self.get_attributes(&parse(body)?),
            Action::SetQueueAttributes => self.set_attributes(&parse(body)?),
            Action::ListQueues => Ok(self.list(&parse(body)?)),
            Action::PurgeQueue => self.purge(&parse(body)?),
            Action::SendMessage => self.send(parse(body)?),
            Action::SendMessageBatch => self.send_batch(parse(body)?, failing),
            Action::ReceiveMessage => return self.receive(parse(body)?).await,
            Action::DeleteMessage => self.delete(&parse(body)?),
            Action::DeleteMessageBatch => self.delete_batch(parse(body)?, failing),
            Action::ChangeMessageVisibility => self.change(&parse(body)?),
            Action::ChangeMessageVisibilityBatch => self.change_batch(parse(body)?, failing),
        };
        Ok(answer?)
    }

    fn named(&self, name: &str) -> Option<Arc<Queue>> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn at_url(&self, url: &str) -> Result<Arc<Queue>, ApiError> {
        self.named(url.rsplit('/').next().unwrap_or_default()).ok_or_else(no_queue)
    }

    fn create(&self, request: CreateQueue) -> Answer {
        let name = request.queue_name;
        let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if name.is_empty() || name.len() > 80 || !letters {
            let rule = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
            return Err(ApiError::invalid(rule));
        }
        let mut settings = Settings::default();
        settings.set(&request.attributes)?;
        self.check_redrive(&settings)?;
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(&name) {
            let current = &queue.state().settings;
            if request.attributes.keys().any(|key| current.shown(key) != settings.shown(key)) {
                let text = "A queue already exists with the same name and a different value for an attribute";
                return Err(ApiError::new("QueueNameExists", text));
            }
        } else {
            if queues.len() >= QUEUES_MAX {
                return Err(ApiError::new("RequestThrottled", format!("at most {QUEUES_MAX} queues")));
            }
            let number = u32::try_from(self.queues_made.fetch_add(1, Ordering::Relaxed)).unwrap_or(u32::MAX);
            let now = self.wall() / 1000;
            let queue = Queue {
                number,
                arn: self.queue_arn(&name).into(),
                name: name.clone(),
                created: now,
                state: Mutex::new(State { settings, modified: now, messages: Messages::default() }),
                changed: Notify::new(),
            };
            queues.insert(name.clone(), Arc::new(queue));
        }
        Ok(self.url_answer(&name))
    }

    /// A dead-letter queue must exist when it is named.
    fn check_redrive(&self, settings: &Settings) -> Result<(), ApiError> {
        match settings.redrive() {
            Some(redrive) if self.dead_letter_queue(&redrive.target_arn, redrive.target_name()).is_none() => {
                let text = "is invalid. Reason: Dead letter target does not exist.";
                Err(ApiError::invalid(format!("Value for parameter RedrivePolicy {text}")))
            }
            _ => Ok(()),
        }
    }

    fn dead_letter_queue(&self, arn: &str, name: &str) -> Option<Arc<Queue>> {
        self.named(name).filter(|queue| &*queue.arn == arn)
    }

    fn delete_queue(&self, request: &QueueOnly<'_>) -> Answer {
        let queue = self.at_url(&request.queue_url)?;
        self.queues.write().unwrap_or_else(PoisonError::into_inner).remove(&queue.name);
        let bytes = queue.state().messages.purge();
        self.release(bytes);
        Ok(nothing())
    }

    fn get_url(&self, request: &QueueName<'_>) -> Answer {
        self.named(&request.queue_name).map(|queue| self.url_answer(&queue.name)).ok_or_else(no_queue)
    }

    fn url_answer(&self, name: &str) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw("{\"QueueUrl\":").string(&self.queue_url(name)).raw("}");
        out.done()
    }

    fn list(&self, request: &ListQueues) -> Vec<u8> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let names = queues.keys().filter(|name| name.starts_with(&request.queue_name_prefix));
        let mut out = Writer::new();
        out.raw("{\"QueueUrls\":");
        out.list(names, |out, name| {
            out.string(&self.queue_url(name));
        });
        out.raw("}");
        out.done()
    }

    fn get_attributes(&self, request: &GetQueueAttributes<'_>) -> Answer {
        let queue = self.at_url(&request.queue_url)?;
        let wanted = &request.attribute_names;
        if let Some(unknown) =
            wanted.iter().find(|name| *name != "All" && Settings::names().all(|known| known != *name))
        {
            return Err(ApiError::new("InvalidAttributeName", format!("Unknown Attribute {unknown}.")));
        }
        let mut state = queue.state();
        let depth = state.messages.depth(Instant::now());
        let value = |name: &str| match name {
            "ApproximateNumberOfMessages" => Some(depth.visible.to_string()),
            "ApproximateNumberOfMessagesDelayed" => Some(depth.delayed.to_string()),
            "ApproximateNumberOfMessagesNotVisible" => Some(depth.in_flight.to_string()),
            "CreatedTimestamp" => Some(queue.created.to_string()),
            "LastModifiedTimestamp" => Some(state.modified.to_string()),
            "QueueArn" => Some(queue.arn.to_string()),
            other => state.settings.shown(other),
        };
        let all = wanted.iter().any(|name| name == "All");
        let names = Settings::names().filter(|name| all || wanted.iter().any(|wanted| wanted == name));
        let shown: Vec<_> = names.filter_map(|name| Some((name, value(name)?))).collect();
        if shown.is_empty() {
            return Ok(nothing());
        }
        let mut out = Writer::new();
        out.raw("{\"Attributes\":");
        out.map(shown, |out, value| {
            out.string(&value);
        });
        out.raw("}");
        Ok(out.done())
    }

    fn set_attributes(&self, request: &SetQueueAttributes<'_>) -> Answer {
        let queue = self.at_url(&request.queue_url)?;
        let mut settings = queue.state().settings.clone();
        settings.set(&request.attributes)?;
        self.check_redrive(&settings)?;
        let mut state = queue.state();
        state.settings = settings;
        state.modified = self.wall() / 1000;
        Ok(nothing())
    }

    fn purge(&self, request: &QueueOnly<'_>) -> Answer {
        let bytes = self.at_url(&request.queue_url)?.state().messages.purge();
        self.release(bytes);
        Ok(nothing())
    }

    fn reserve(&self, bytes: usize) -> Result<(), ApiError> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.options.bytes_max {
            self.release(bytes);
            return Err(ApiError::new("RequestThrottled", "the endpoint's memory bound is reached"));
        }
        Ok(())
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn wall(&self) -> i64 {
        self.options.clock.now().as_millisecond()
    }
}

fn nothing() -> Vec<u8> {
    b"{}".to_vec()
}

fn no_queue() -> ApiError {
    ApiError::new("QueueDoesNotExist", "The specified queue does not exist.")
}

fn range(name: &str, value: i64, allowed: &str) -> ApiError {
    let text =
        format!("Value {value} for parameter {name} is invalid. Reason: Must be between {allowed}, if provided.");
    ApiError::invalid(text)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let kind = if text.starts_with("missing field") { "MissingParameter" } else { "SerializationException" };
        ApiError::new(kind, text)
    })
}

/// Carries out a batch entry by entry. The first `failing.0` entries fail with the error given.
///
/// # Errors
/// No entries, too many, an id that is none, an id twice: then nothing is done.
fn batch<E: Entry>(entries: Vec<E>, failing: Option<&(usize, ApiError)>, mut each: impl FnMut(E) -> Answer) -> Answer {
    if entries.is_empty() {
        let text = "There should be at least one entry in the request.";
        return Err(ApiError::new("EmptyBatchRequest", text));
    }
    if entries.len() > BATCH_MAX {
        let text = format!("Maximum number of entries per request are {BATCH_MAX}. You have sent {}.", entries.len());
        return Err(ApiError::new("TooManyEntriesInBatchRequest", text));
    }
    let mut ids = HashSet::new();
    for entry in &entries {
        let id = entry.id();
        let letters = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if id.is_empty() || id.len() > 80 || !letters {
            let text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                        It can be at most 80 letters long.";
            return Err(ApiError::new("InvalidBatchEntryId", text));
        }
        if !ids.insert(id) {
            return Err(ApiError::new("BatchEntryIdsNotDistinct", format!("Id {id} repeated.")));
        }
    }
    let (mut successful, mut failed) = (vec![], vec![]);
    for (at, entry) in entries.into_iter().enumerate() {
        let id = entry.id().to_owned();
        let result = match failing {
            Some((first, error)) if at < *first => Err(error.clone()),
            _ => each(entry),
        };
        match result {
            Ok(written) => successful.push(written),
            Err(error) => failed.push((id, error)),
        }
    }
    Ok(answer::batch(&successful, &failed))
}
