//! One call of S3: `PutObject`. Its SDK is too heavy for that.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect};
use tokio::sync::OnceCell;

use super::config::S3Config;
use crate::base::aws::{Access, AwsConfig, FailureClass, Signer, Unsigned, class_of, dns_suffix};
use crate::base::clock::Clock;

const TIMEOUT: Duration = Duration::from_mins(1);
/// How much of a refusal is read, and told on.
const BODY_MAX: usize = 16 * 1024;
const SAID_MAX: usize = 200;

/// Why an object is not in the bucket.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(super) struct PutError {
    detail: String,
    /// It will not mend itself.
    pub(super) needs_a_person: bool,
}

impl PutError {
    /// Trouble on this side.
    pub(super) fn local(detail: &str) -> Self {
        Self { detail: detail.to_owned(), needs_a_person: true }
    }

    pub(super) fn passing(detail: String) -> Self {
        Self { detail, needs_a_person: false }
    }
}

pub(super) struct S3 {
    /// Where keys begin: ends with a slash.
    base: String,
    bucket: String,
    region: String,
    headers: Vec<(&'static str, String)>,
    aws: AwsConfig,
    access: Access,
    clock: Arc<dyn Clock>,
    signer: OnceCell<Signer>,
    client: OnceCell<Client>,
}

impl S3 {
    pub(super) fn new(config: &S3Config, access: &Access, clock: Arc<dyn Clock>) -> Self {
        let (bucket, region) = (config.bucket.get_ref(), config.region.get_ref());
        let suffix = dns_suffix(region);
        let base = match &config.endpoint {
            Some(endpoint) => format!("{}/{bucket}/", endpoint.get_ref().trim_end_matches('/')),
            // A dot in the name does not fit the certificate of the bucket's own host.
            None if bucket.contains('.') => format!("https://s3.{region}.{suffix}/{bucket}/"),
            None => format!("https://{bucket}.s3.{region}.{suffix}/"),
        };
        let mut headers = vec![("content-type", "application/gzip".to_owned())];
        if let Some(key) = &config.kms_key {
            headers.push(("x-amz-server-side-encryption", "aws:kms".to_owned()));
            headers.push(("x-amz-server-side-encryption-aws-kms-key-id", key.get_ref().clone()));
        }
        if let Some(owner) = &config.bucket_owner {
            headers.push(("x-amz-expected-bucket-owner", owner.get_ref().clone()));
        }
        Self {
            base,
            bucket: bucket.clone(),
            region: region.clone(),
            headers,
            aws: AwsConfig {
                region: Some(region.clone()),
                profile: config.profile.clone(),
                assume_role: config.assume_role.clone(),
                ..AwsConfig::default()
            },
            access: access.clone(),
            clock,
            signer: OnceCell::new(),
            client: OnceCell::new(),
        }
    }

    /// Writes an object; again under the same key, it is the same object.
    pub(super) async fn put(&self, key: &str, body: Vec<u8>) -> Result<(), PutError> {
        let client = self
            .client
            .get_or_try_init(async || {
                let builder = Client::builder().redirect(redirect::Policy::none()).timeout(TIMEOUT);
                builder.user_agent(concat!("kmswatch/", env!("CARGO_PKG_VERSION"))).build()
            })
            .await
            .map_err(|error| PutError::local(&format!("the HTTP client: {error}")))?;
        let signer = self.signer.get_or_init(|| Signer::new("s3", &self.region, &self.aws, &self.access)).await;
        let url = format!("{}{key}", self.base);
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let unsigned = Unsigned { method: "PUT", url: &url, headers: &headers, body: &body };
        let signature = signer.headers(unsigned, self.clock.now()).await.map_err(|failure| PutError {
            needs_a_person: failure.class != FailureClass::Credentials,
            detail: format!("no AWS credentials for the archive: {}", failure.detail),
        })?;
        let mut request = client.put(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in &signature {
            request = request.header(*name, value);
        }
        let mut answer = request.body(body).send().await.map_err(|error| {
            let why = if error.is_timeout() { "no answer in time" } else { "no connection" };
            PutError::passing(format!("the bucket `{}` cannot be reached: {why}", self.bucket))
        })?;
        let status = answer.status().as_u16();
        if answer.status().is_success() {
            return Ok(());
        }
        let mut said = vec![];
        while let Ok(Some(chunk)) = answer.chunk().await {
            said.extend_from_slice(&chunk);
            if said.len() > BODY_MAX {
                break;
            }
        }
        let said = String::from_utf8_lossy(&said);
        let code = element(&said, "Code").unwrap_or_default();
        let class = class_of(code, status);
        if class == FailureClass::Credentials || class == FailureClass::AccessDenied {
            signer.forget().await;
        }
        let words: Vec<String> = [element(&said, "Code"), element(&said, "Message")]
            .into_iter()
            .flatten()
            .map(|text| text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_MAX).collect())
            .collect();
        let said = if words.is_empty() { String::new() } else { format!(": {}", words.join(": ")) };
        let mends = matches!(class, FailureClass::Throttled | FailureClass::Server | FailureClass::Timeout);
        Err(PutError {
            needs_a_person: !mends && status != 429,
            detail: format!("the bucket `{}` answered {status}{said}", self.bucket),
        })
    }
}

/// The text of S3's one level of XML.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}
