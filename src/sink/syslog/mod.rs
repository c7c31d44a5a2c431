//! Syslog: one RFC 5424 message for each notification, over TLS (RFC 5425) or, if asked for, over TCP in clear.
//!
//! Syslog has no answer. That a message was accepted means here that the connection took it; a receiver that dies before it has
//! read what lies in its buffers loses it, and nobody is told. What can be seen is seen: a connection that the other side has
//! closed is noticed before it is written to, and one that was idle for long is made anew.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_spanned::Spanned;
use tokio::sync::Mutex;

use super::{BuildError, Character, Class, DeliveryError, Dispatch, FailReason, Receipt, Sink, SinkContext, http};
use crate::base::diagnostic::Problem;
use crate::base::period::Period;

mod line;
mod message;
mod tls;

use line::{Address, Line};
use message::Writer;

pub use message::{Facility, MessageFormat};
pub use tls::Config as TlsConfig;

/// `[sinks.<name>.syslog]`
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Host and port of the receiver, such as `logs.example.com:6514`.
    #[schemars(with = "String")]
    pub address: Spanned<String>,
    /// Send in clear, without TLS: for a relay on this machine. Default: `false`.
    #[serde(default)]
    #[schemars(with = "Option<bool>")]
    pub plain: Option<Spanned<bool>>,
    /// How TLS is spoken.
    #[serde(default)]
    pub tls: TlsConfig,
    /// The message's facility. Default: `auth`.
    #[serde(default)]
    pub facility: Facility,
    /// What the message calls this machine. Default: the system's host name.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub hostname: Option<Spanned<String>>,
    /// What follows the structured data. Default: `text`.
    #[serde(default)]
    pub format: MessageFormat,
    /// The longest message in bytes, 2048 to 65536; every receiver of TLS takes 2048, most take 8192. What is longer is cut, value by
    /// value. Default: 8192.
    #[serde(default)]
    #[schemars(with = "Option<u32>")]
    pub max_size: Option<Spanned<u32>>,
    /// The whole attempt. Between 1 and 60 seconds; default: 10 seconds.
    #[serde(default)]
    #[schemars(with = "Option<Period>")]
    pub timeout: Option<Spanned<Period>>,
}

impl Config {
    /// Ten a second.
    pub const MAX_PER_MINUTE: Option<u32> = Some(600);

    pub fn check(&self, _: Range<usize>, problems: &mut Vec<Problem>) {
        let plain = self.plain.as_ref().filter(|plain| *plain.get_ref());
        match Address::parse(self.address.get_ref()) {
            Err(why) => problems.push(
                Problem::error(self.address.span(), why).hint("write it like \"logs.example.com:6514\"; an IPv6 address stands in brackets"),
            ),
            Ok(address) => {
                if let Some(plain) = plain.filter(|_| !http::is_loopback(&address.host)) {
                    problems.push(
                        Problem::warning(plain.span(), "notifications go over the network unencrypted")
                            .hint("use TLS for everything but relays on this machine"),
                    );
                }
            }
        }
        if let Some(plain) = plain.filter(|_| self.tls != TlsConfig::default()) {
            problems.push(
                Problem::error(plain.span(), "`plain` and `tls` exclude each other").hint("leave one of them out"),
            );
        }
        self.tls.check(problems);
        if let Some(name) = self.hostname.as_ref().filter(|name| !message::is_hostname(name.get_ref())) {
            problems.push(
                Problem::error(name.span(), "this is not a host name that syslog can carry")
                    .hint("it has 1 to 255 ASCII letters, digits and signs, and no spaces"),
            );
        }
        if let Some(size) = self.max_size.as_ref().filter(|size| !SIZES.contains(size.get_ref())) {
            problems.push(
                Problem::error(size.span(), format!("`max_size` is {}, not between 2048 and 65536", size.get_ref()))
                    .hint("8192 suits most receivers"),
            );
        }
        if let Some(timeout) = &self.timeout {
            let length = timeout.get_ref().unsigned();
            if !(Duration::from_secs(1)..=Duration::from_mins(1)).contains(&length) {
                problems.push(
                    Problem::error(timeout.span(), format!("a timeout of {} is not between 1s and 60s", timeout.get_ref()))
                        .hint("10s suits most receivers"),
                );
            }
        }
    }

    pub fn build(&self, _: &SinkContext) -> Result<Arc<dyn Sink>, BuildError> {
        let address = Address::parse(self.address.get_ref()).map_err(|why| BuildError::Wrong(why.to_owned()))?;
        let plain = self.plain.as_ref().is_some_and(|plain| *plain.get_ref());
        let tls = if plain { None } else { Some(self.tls.open(&address.host)?) };
        let size = self.max_size.as_ref().map_or(SIZE, |size| *size.get_ref());
        Ok(Arc::new(Syslog {
            writer: Writer {
                facility: self.facility,
                hostname: self.hostname.as_ref().map_or_else(message::hostname, |name| name.get_ref().clone()),
                format: self.format,
                max: size as usize,
            },
            address,
            tls,
            timeout: self.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.get_ref().unsigned()),
            line: Mutex::new(None),
        }))
    }
}

struct Syslog {
    writer: Writer,
    address: Address,
    tls: Option<tls::Tls>,
    timeout: Duration,
    /// Taken out while it is written to: what was cut off in the middle of a message is never used again.
    line: Mutex<Option<Line>>,
}

#[async_trait]
impl Sink for Syslog {
    fn kind(&self) -> &'static str {
        "syslog"
    }

    fn character(&self) -> Character {
        Character::Machine
    }

    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError> {
        let message = self.writer.message(dispatch);
        let mut kept = self.line.lock().await;
        let deadline = tokio::time::Instant::now() + self.timeout;
        let mut line = match kept.take() {
            Some(line) => match line.if_usable().await {
                Some(line) => line,
                None => self.connect(deadline).await?,
            },
            None => self.connect(deadline).await?,
        };
        match tokio::time::timeout_at(deadline, line.write(&message)).await {
            Ok(Ok(())) => {
                *kept = Some(line);
                // Syslog knows no idempotency key; `delivery` in the structured data is the same.
                Ok(Receipt { memory: None, possible_double: dispatch.outcome_unknown })
            }
            Ok(Err(error)) => Err(failed(FailReason::Network, &format!("the connection broke: {error}")).unknown()),
            Err(_) => Err(failed(FailReason::Timeout, "the receiver took nothing in time").unknown()),
        }
    }

    /// Connects, and shakes hands if it is TLS. A message of no meaning would be one all the same.
    async fn probe(&self) -> Result<(), DeliveryError> {
        self.connect(tokio::time::Instant::now() + self.timeout).await.map(drop)
    }
}

impl Syslog {
    /// Nothing was sent if this fails.
    async fn connect(&self, deadline: tokio::time::Instant) -> Result<Line, DeliveryError> {
        match tokio::time::timeout_at(deadline, Line::connect(&self.address, self.tls.as_ref())).await {
            Ok(connected) => connected,
            Err(_) => Err(failed(FailReason::Timeout, "could not connect in time")),
        }
    }
}

fn failed(reason: FailReason, detail: &str) -> DeliveryError {
    DeliveryError::new(Class::Retry { after: None }, reason, detail)
}

const TIMEOUT: Duration = Duration::from_secs(10);
const SIZE: u32 = 8_192;
const SIZES: std::ops::RangeInclusive<u32> = 2_048..=65_536;

#[cfg(test)]
mod tests;
