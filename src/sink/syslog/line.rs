//! One connection to a receiver: made when it is needed, kept while it is in use, and looked at before it is written to.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::failed;
use super::tls::Tls;
use crate::sink::{Class, DeliveryError, FailReason, http};

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    port: u16,
}

impl Address {
    /// # Errors
    /// What is wrong, for a person.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, port) = text.rsplit_once(':').ok_or("the address names no port")?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or("the address names no port")?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let fits = if let Some(address) = bracketed {
            address.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            let letters = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            host.len() <= 253 && host.bytes().all(letters) && !host.split('.').any(str::is_empty)
        };
        if fits {
            Ok(Self { host: bracketed.unwrap_or(host).to_owned(), port })
        } else {
            Err("the address names no host")
        }
    }
}

trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for T {}

pub(super) struct Line {
    wire: Box<dyn Wire>,
    used: Instant,
}

impl Line {
    /// # Errors
    /// Nothing was sent.
    pub(super) async fn connect(address: &Address, tls: Option<&Tls>) -> Result<Self, DeliveryError> {
        let no_way = |error: io::Error| failed(FailReason::Network, &format!("could not connect: {error}"));
        let found: Vec<_> =
            tokio::net::lookup_host((address.host.as_str(), address.port)).await.map_err(no_way)?.collect();
        let open: Vec<_> = found.iter().copied().filter(|found| !http::is_blocked(found.ip())).collect();
        if open.is_empty() && !found.is_empty() {
            let detail = "the host's address is link-local, where machines keep metadata and credentials";
            return Err(DeliveryError::new(Class::Park, FailReason::Client, detail));
        }
        let stream = TcpStream::connect(open.as_slice()).await.map_err(no_way)?;
        stream.set_nodelay(true).map_err(no_way)?;
        let wire: Box<dyn Wire> = match tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.shake_hands(stream).await.map_err(no_way)?),
        };
        Ok(Self { wire, used: Instant::now() })
    }

    /// Itself, if the other side is still there as far as this side knows. Receivers never speak; one that does, or has closed, is
    /// left.
    pub(super) async fn if_usable(mut self) -> Option<Self> {
        let mut byte = [0; 1];
        let fresh = self.used.elapsed() <= IDLE_MAX;
        let silent = fresh && tokio::time::timeout(LISTEN, self.wire.read(&mut byte)).await.is_err();
        silent.then_some(self)
    }

    /// Writes one message, counted in octets (RFC 5425, 4.3).
    pub(super) async fn write(&mut self, message: &[u8]) -> io::Result<()> {
        let mut framed = format!("{} ", message.len()).into_bytes();
        framed.extend_from_slice(message);
        self.wire.write_all(&framed).await?;
        self.wire.flush().await?;
        self.used = Instant::now();
        Ok(())
    }
}

/// Firewalls forget idle connections without a word.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Long enough for a close that has arrived to be seen.
const LISTEN: Duration = Duration::from_millis(2);
