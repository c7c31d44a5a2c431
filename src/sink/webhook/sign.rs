//! Standard Webhooks: `v1` signatures, HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::clock::Timestamp;
use crate::base::secret::{ExposeSecret, Secret};
use crate::sink::{Class, DeliveryError, FailReason};

/// `webhook-id` (the same on every attempt), `webhook-timestamp` (of this attempt) and, with secrets, `webhook-signature`.
pub(super) fn headers(id: &str, now: Timestamp, body: &[u8], secrets: &[Secret]) -> Result<Vec<(&'static str, String)>, DeliveryError> {
    let seconds = now.as_second().to_string();
    let mut signatures = vec![];
    for secret in secrets {
        let key = key(secret)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| unfit("cannot be used as a key"))?;
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(seconds.as_bytes());
        mac.update(b".");
        mac.update(body);
        signatures.push(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    }
    let mut headers = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", seconds)];
    if !signatures.is_empty() {
        headers.push(("webhook-signature", signatures.join(" ")));
    }
    Ok(headers)
}

/// The key inside a `whsec_` secret.
///
/// # Errors
/// Parked: a secret that is not base64 of 24 to 64 bytes needs a person.
pub(super) fn key(secret: &Secret) -> Result<Vec<u8>, DeliveryError> {
    let text = secret.current();
    let coded = text.expose_secret().strip_prefix("whsec_").ok_or_else(|| unfit("does not start with `whsec_`"))?;
    let key = STANDARD.decode(coded).map_err(|_| unfit("is not base64 after `whsec_`"))?;
    if (24..=64).contains(&key.len()) { Ok(key) } else { Err(unfit("is not 24 to 64 bytes long")) }
}

fn unfit(why: &str) -> DeliveryError {
    DeliveryError::new(Class::Park, FailReason::Secret, format!("the signing secret {why}; `openssl rand -base64 32` makes one to put after `whsec_`"))
}
