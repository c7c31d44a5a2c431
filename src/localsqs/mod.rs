//! An SQS-compatible endpoint in memory, for the demo, tests and benchmarks.
//!
//! It speaks the AWS JSON 1.0 protocol over HTTP/1.1 on a loopback address, so that the same AWS SDK client talks to
//! it as to the service. Signatures are not checked. Standard queues only: visibility timeouts, long polls that
//! return early, redrive to a dead-letter queue, batches with per-entry results, delays, retention and the service's
//! limits and error codes. `tests/conformance_sqs.rs` holds it to the answers of two independent servers.
//!
//! | file | is |
//! |---|---|
//! | `protocol` | actions, requests and errors as they travel |
//! | `answer` | answers, written as JSON |
//! | `attributes` | a queue's settings: defaults, ranges, how they are shown |
//! | `queue` | one queue's messages: visible, hidden, deleted, dead (pure; time comes in) |
//! | `service` | the queues and the operations on them |
//! | `server` | HTTP: requests in, answers out, faults on the way |
//! | `faults` | what goes wrong on purpose, and the counters |
//! | `digest` | the MD5 sums that answers carry |

mod answer;
mod attributes;
mod digest;
mod faults;
mod protocol;
mod queue;
mod server;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::base::clock::{Clock, SystemClock};
use service::Service;

pub use faults::{Counts, Fault, Faults};
pub use protocol::Action;
pub use queue::Depth;

/// Largest message, and largest sum of the messages of a batch, in bytes.
/// Source: Amazon SQS message quotas (1 MiB since 2025).
pub const MESSAGE_BYTES_MAX: usize = 1_048_576;

/// What the endpoint says it is, and how much it may hold.
pub struct Options {
    /// The wall clock behind `SentTimestamp` and its kin. Timeouts run on tokio's clock.
    pub clock: Arc<dyn Clock>,
    /// Named in queue URLs and ARNs.
    pub account: String,
    /// Named in ARNs.
    pub region: String,
    /// All messages of all queues together, with what is kept beside them; senders beyond are throttled.
    pub bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            bytes_max: 1 << 30,
        }
    }
}

/// The endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0} is not a loopback address: this endpoint checks no signatures and must not be reachable")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {addr}: {source}")]
    Bind { addr: SocketAddr, source: std::io::Error },
}

/// Starts endpoints.
#[derive(Debug)]
pub struct LocalSqs;

impl LocalSqs {
    /// Starts an endpoint with the default [`Options`]. Port 0 picks a free port.
    ///
    /// # Errors
    /// An address that is not loopback is refused; the port may be taken.
    pub async fn start(bind: SocketAddr) -> Result<Server, StartError> {
        Self::start_with(bind, Options::default()).await
    }

    /// Starts an endpoint.
    ///
    /// # Errors
    /// An address that is not loopback is refused; the port may be taken.
    pub async fn start_with(bind: SocketAddr, options: Options) -> Result<Server, StartError> {
        if !bind.ip().is_loopback() {
            return Err(StartError::NotLoopback(bind));
        }
        let refused = |source| StartError::Bind { addr: bind, source };
        let listener = tokio::net::TcpListener::bind(bind).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let url = format!("http://{addr}");
        let stop = CancellationToken::new();
        let service = Arc::new(Service::new(&url, options, stop.clone()));
        let task = tokio::spawn(server::serve(listener, Arc::clone(&service), stop.clone()));
        Ok(Server { addr, url, service, stop, task })
    }
}

/// A running endpoint. Dropping it stops it.
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What an SDK client takes as its endpoint: `http://127.0.0.1:PORT`.
    pub url: String,
    service: Arc<Service>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// The URL of a queue of that name, whether it exists or not.
    pub fn queue_url(&self, name: &str) -> String {
        self.service.queue_url(name)
    }

    /// The ARN of a queue of that name, whether it exists or not.
    pub fn queue_arn(&self, name: &str) -> String {
        self.service.queue_arn(name)
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> &Faults {
        &self.service.faults
    }

    /// Requests so far, those that met a fault included.
    pub fn counts(&self) -> &Counts {
        &self.service.counts
    }

    /// How many messages a queue holds; `None` if there is no such queue.
    pub fn depth(&self, name: &str) -> Option<Depth> {
        self.service.depth(name)
    }

    /// The bodies in a queue, oldest first, visible or not; empty if there is no such queue.
    pub fn bodies(&self, name: &str) -> Vec<String> {
        self.service.bodies(name)
    }

    /// Bytes held by all messages, against [`Options::bytes_max`].
    pub fn bytes_used(&self) -> usize {
        self.service.bytes_used()
    }

    /// Stops: the port closes, long polls and idle connections are cut. Bounded to one second.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(Duration::from_secs(1), &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
