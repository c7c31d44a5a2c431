//! The one HTTP client set-up of all sinks: rustls, proxies from the environment, no redirects, bounded in time and size.

use std::error::Error;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header, redirect};
use serde::Deserialize;
use serde_spanned::Spanned;

use super::{BuildError, Class, DeliveryError, FailReason};
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::Problem;
use crate::base::period::Period;

mod egress;
mod hide;

use egress::{Blocked, Resolver};

pub(super) use egress::{is_blocked, is_loopback};

/// How a sink talks HTTP: the `http` table of every sink that does.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The whole attempt, from connecting to the last byte of the answer. Between 1 and 60 seconds; default: 10 seconds.
    #[serde(default)]
    #[schemars(with = "Option<Period>")]
    pub timeout: Option<Spanned<Period>>,
    /// PEM file with certificate authorities to trust besides the built-in ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Allows `http://` to other machines. Loopback is always allowed.
    #[serde(default)]
    pub allow_http: bool,
    /// Allows link-local addresses, where cloud machines keep their metadata and credentials.
    #[serde(default)]
    pub allow_link_local: bool,
}

/// Whether a sink built from the one would be as one built from the other. With `ca_file` nobody can say: it is read when the sink is
/// built, and may be another by now.
impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        let Self { timeout, ca_file, allow_http, allow_link_local } = self;
        ca_file.is_none()
            && other.ca_file.is_none()
            && (timeout, allow_http, allow_link_local) == (&other.timeout, &other.allow_http, &other.allow_link_local)
    }
}

impl Config {
    pub fn check(&self, problems: &mut Vec<Problem>) {
        if let Some(timeout) = &self.timeout {
            let length = timeout.get_ref().unsigned();
            if !(Duration::from_secs(1)..=Duration::from_mins(1)).contains(&length) {
                problems.push(
                    Problem::error(
                        timeout.span(),
                        format!("a timeout of {} is not between 1s and 60s", timeout.get_ref()),
                    )
                    .hint("10s suits most receivers"),
                );
            }
        }
    }

    /// Reports an address that [`Http::url`] would refuse. Never repeats the address: it may hold a secret.
    pub(super) fn check_url(&self, url: &str, span: Range<usize>, problems: &mut Vec<Problem>) {
        if let Err(why) = self.url(url) {
            problems.push(Problem::error(span, why).hint(
                "write the whole address, such as \"https://hooks.example.org/path\"; `http.allow_http = true` allows plain http",
            ));
        }
    }

    /// Reads an address and holds it to what this configuration allows.
    fn url(&self, text: &str) -> Result<Url, &'static str> {
        let url = Url::parse(text).map_err(|_| "the address is not a URL")?;
        match (url.scheme(), url.host_str()) {
            (_, None | Some("")) => return Err("the address names no host"),
            ("https", _) => {}
            ("http", Some(host)) if self.allow_http || is_loopback(host) => {}
            ("http", _) => return Err("the address is plain http to another machine"),
            _ => return Err("the address is neither https nor http"),
        }
        if !self.allow_link_local && url.host_str().is_some_and(egress::is_blocked_host) {
            return Err("the address is link-local, where machines keep metadata and credentials");
        }
        Ok(url)
    }
}

/// A client that is safe to point at an address from a configuration file.
pub(super) struct Http {
    client: Client,
    config: Config,
    clock: Arc<dyn Clock>,
}

/// What came back: the status and as much of the body as is worth keeping.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// At most 64 KiB where nothing else was asked for.
    pub(super) body: Vec<u8>,
    /// The destination's own wish, at most an hour.
    pub(super) retry_after: Option<Duration>,
    /// Secrets of the request, which the answer may repeat.
    secrets: Vec<String>,
}

impl Http {
    pub(super) fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let timeout = config.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.get_ref().unsigned());
        let mut builder = Client::builder()
            .user_agent(concat!("kmswatch/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .dns_resolver(Resolver { allow_link_local: config.allow_link_local });
        if let Some(path) = &config.ca_file {
            builder = builder.tls_certs_merge(authorities(path)?);
        }
        let client =
            builder.build().map_err(|error| BuildError::Wrong(format!("the HTTP client: {}", root(&error))))?;
        Ok(Self { client, config: config.clone(), clock })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// # Errors
    /// Parked: an address that cannot be used needs a person.
    pub(super) fn url(&self, text: &str) -> Result<Url, DeliveryError> {
        self.config.url(text).map_err(|why| DeliveryError::new(Class::Park, FailReason::Client, why))
    }

    /// Sends one request. Any status is an answer; see [`Answer::accepted`].
    ///
    /// # Errors
    /// When no answer came.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, DeliveryError> {
        self.send_and_read(request, BODY_MAX).await
    }

    /// [`Http::send`] for an answer of which more matters than the status: reads up to `most` bytes of it.
    ///
    /// # Errors
    /// As for [`Http::send`].
    pub(super) async fn send_and_read(&self, request: RequestBuilder, most: usize) -> Result<Answer, DeliveryError> {
        let (client, request) = request.build_split();
        let request = request.map_err(|error| no_answer(&error))?;
        let secrets = hide::secrets(&request);
        let response = client.execute(request).await.map_err(|error| no_answer(&error))?;
        Ok(self.read(response, secrets, most).await)
    }

    async fn read(&self, mut response: Response, secrets: Vec<String>, most: usize) -> Answer {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| retry_after(text, self.clock.now()));
        let mut body = vec![];
        // A body that breaks off is kept as far as it came: the status has been told already.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = most - body.len();
            body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            if chunk.len() > room {
                break;
            }
        }
        Answer { status, body, retry_after, secrets }
    }
}

impl Answer {
    /// Names one more secret that was sent: one that stands in the request's body.
    pub(super) fn hiding(mut self, secret: String) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Text of the answer that may be told on.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        hide::hide(text, &self.secrets)
    }

    /// Classifies by status alone; `what` says of which destination this is.
    pub(super) fn accepted(&self, what: &str) -> Result<(), DeliveryError> {
        let code = self.status.as_u16();
        let retry = Class::Retry { after: self.retry_after };
        let (class, reason) = match code {
            200..=299 => return Ok(()),
            401 | 403 | 407 => (Class::Park, FailReason::Auth),
            404 | 410 => (Class::Park, FailReason::NotFound),
            408 => (retry, FailReason::Timeout),
            413 => (Class::Reject, FailReason::TooLarge),
            429 => (retry, FailReason::RateLimited),
            400..=499 => (Class::Reject, FailReason::Client),
            500..=599 => (retry, FailReason::Server),
            // Redirects are not followed (they would carry the payload elsewhere), and nothing else is known.
            _ => (Class::Park, FailReason::Client),
        };
        let said = String::from_utf8_lossy(&self.body);
        let said = super::text::fit(self.without_secrets(&said).trim(), SAID_MAX);
        let detail =
            if said.is_empty() { format!("{what} answered {code}") } else { format!("{what} answered {code}: {said}") };
        let error = DeliveryError::new(class, reason, detail);
        // A gateway that lost its upstream cannot say whether the upstream took the request.
        Err(if matches!(code, 502 | 504) { error.unknown() } else { error })
    }
}

/// Classifies a request that got no answer. The address is left out: it may be the secret.
fn no_answer(error: &reqwest::Error) -> DeliveryError {
    if blocked(error) {
        let detail = "the host's address is link-local, where machines keep metadata and credentials; `http.allow_link_local = true` allows it";
        return DeliveryError::new(Class::Park, FailReason::Client, detail);
    }
    let retry = Class::Retry { after: None };
    if error.is_connect() {
        let reason = if error.is_timeout() { FailReason::Timeout } else { FailReason::Network };
        return DeliveryError::new(retry, reason, format!("could not connect: {}", root(error)));
    }
    if error.is_builder() {
        return DeliveryError::new(
            Class::Park,
            FailReason::Client,
            "the request could not be built from the address and headers",
        );
    }
    if error.is_timeout() {
        return DeliveryError::new(retry, FailReason::Timeout, "no answer in time").unknown();
    }
    DeliveryError::new(retry, FailReason::Network, format!("the connection broke: {}", root(error))).unknown()
}

/// The innermost cause, which names no address.
fn root(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut text = None;
    while let Some(inner) = cause {
        text = Some(inner.to_string());
        cause = inner.source();
    }
    text.unwrap_or_else(|| "no cause given".to_owned())
}

fn blocked(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if inner.is::<Blocked>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// RFC 9110 10.2.3: seconds or an HTTP date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Duration::try_from(until.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn authorities(path: &PathBuf) -> Result<Vec<reqwest::Certificate>, BuildError> {
    let wrong = |why: String| BuildError::Wrong(format!("`ca_file` {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| wrong("is not a PEM bundle".to_owned()))?;
    if found.is_empty() { Err(wrong("holds no certificate".to_owned())) } else { Ok(found) }
}

const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
const BODY_MAX: usize = 64 * 1024;
/// How much of a refusal is told on.
const SAID_MAX: usize = 160;

#[cfg(test)]
mod tests;
