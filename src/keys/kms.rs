//! Reads from KMS: `DescribeKey`, `ListAliases` and `ListResourceTags` at once, each of which may be denied by itself.

use std::collections::BTreeMap;
use std::error::Error;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use jiff::Timestamp;

use super::Config;
use super::clients::Clients;
use crate::base::aws::{Access, Failure, FailureClass, is_account, is_region, partition};
use crate::base::telemetry;
use crate::core::enrich::{KeyDetails, Lookup};
use crate::core::event::KeyRef;

/// How often the SDK tries.
const ATTEMPTS: u32 = 3;

/// Pages of aliases (100 each) and of tags (50 each); KMS allows 50 of each by default.
const PAGES_MAX: usize = 4;

/// A key's ARN, taken apart. Its parts have the form AWS gives them: a region becomes part of a host name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct KeyArn {
    pub(super) text: String,
    pub(super) region: String,
    pub(super) account: String,
}

impl KeyArn {
    /// `None` where the event does not say enough to find the key, or says it in a form that no key has.
    pub(super) fn of(key: &KeyRef) -> Option<Self> {
        if let Some(arn) = &key.arn {
            return Self::parse(arn);
        }
        let (id, account, region) = (key.id.as_deref()?, key.account.as_deref()?, key.region.as_deref()?);
        Self::parse(&format!("arn:{}:kms:{region}:{account}:key/{id}", partition(region)))
    }

    pub(super) fn parse(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", part, "kms", region, account, resource] = parts.as_slice() else {
            return None;
        };
        let id = resource.strip_prefix("key/")?;
        let fits = *part == partition(region)
            && is_region(region)
            && is_account(account)
            && (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        fits.then(|| Self { text: arn.to_owned(), region: (*region).to_owned(), account: (*account).to_owned() })
    }
}

/// Reads keys.
#[derive(Debug)]
pub(super) struct Kms {
    clients: Clients,
    /// Accounts whose keys our own credentials may list aliases and tags of; empty where that is not known.
    home: Vec<String>,
}

impl Kms {
    pub(super) fn new(config: Config, access: Access, home: Vec<String>) -> Self {
        Self { clients: Clients::new(config, access, ATTEMPTS), home }
    }

    /// Reads a key. `now` is when the reading begins.
    pub(super) async fn read(&self, arn: &KeyArn, now: Timestamp) -> Lookup {
        let place = self.clients.place(&arn.region, Some(&arn.account));
        let client = self.clients.get(&place).await;
        let config = &self.clients.config;
        let ours = place.role.is_some() || self.home.is_empty() || self.home.contains(&arn.account);
        let (key, aliases, tags) = tokio::join!(
            describe_key(&client, &arn.text),
            optional(config.aliases, ours, "list_aliases", list_aliases(&client, &arn.text)),
            optional(config.tags, ours, "list_tags", list_tags(&client, &arn.text)),
        );
        count("describe_key", key.as_ref().err());
        match key {
            Ok(key) => Lookup::Known(Box::new(details(arn, key, aliases, tags, now))),
            Err(failure) => {
                if failure.class == FailureClass::Credentials {
                    self.clients.forget(&place).await;
                }
                match failure {
                    Failure { code: Some(code), .. } if code == "NotFoundException" => Lookup::NotFound,
                    Failure { class: FailureClass::AccessDenied, .. } => Lookup::Denied,
                    Failure { class: FailureClass::Timeout, .. } => Lookup::TimedOut,
                    Failure { detail, .. } => Lookup::Failed(detail),
                }
            }
        }
    }
}

fn details(
    arn: &KeyArn,
    key: aws_sdk_kms::types::KeyMetadata,
    aliases: Result<Vec<String>, String>,
    tags: Result<BTreeMap<String, String>, String>,
    now: Timestamp,
) -> KeyDetails {
    let mut unread = BTreeMap::new();
    let aliases = aliases.unwrap_or_else(|why| {
        unread.insert("aliases".to_owned(), why);
        Vec::new()
    });
    let tags = tags.unwrap_or_else(|why| {
        unread.insert("tags".to_owned(), why);
        BTreeMap::new()
    });
    KeyDetails {
        arn: key.arn.or_else(|| Some(arn.text.clone())),
        id: Some(key.key_id),
        aliases,
        state: key.key_state.map(|state| state.as_str().to_owned()),
        manager: key.key_manager.map(|manager| manager.as_str().to_owned()),
        origin: key.origin.map(|origin| origin.as_str().to_owned()),
        multi_region: key.multi_region,
        tags,
        deletion_date: timestamp(key.deletion_date),
        valid_to: timestamp(key.valid_to),
        read_at: now,
        unread,
    }
}

/// As KMS writes times, with a fraction of a second.
pub(super) fn timestamp(date: Option<aws_sdk_kms::primitives::DateTime>) -> Option<Timestamp> {
    date.and_then(|date| date.to_millis().ok()).and_then(|millis| Timestamp::from_millisecond(millis).ok())
}

pub(super) async fn describe_key(client: &Client, arn: &str) -> Result<aws_sdk_kms::types::KeyMetadata, Failure> {
    let answer = client.describe_key().key_id(arn).send().await.map_err(failure)?;
    answer.key_metadata.ok_or_else(|| Failure {
        class: FailureClass::Other,
        code: None,
        detail: "DescribeKey answered without the key".to_owned(),
    })
}

/// Alias names, sorted.
async fn list_aliases(client: &Client, arn: &str) -> Result<Vec<String>, Failure> {
    let mut names = vec![];
    let mut marker = None;
    for _ in 0..PAGES_MAX {
        let answer = client.list_aliases().key_id(arn).set_marker(marker.take()).send().await.map_err(failure)?;
        names.extend(answer.aliases.unwrap_or_default().into_iter().filter_map(|alias| alias.alias_name));
        marker = answer.next_marker.filter(|_| answer.truncated);
        if marker.is_none() {
            break;
        }
    }
    names.sort_unstable();
    Ok(names)
}

async fn list_tags(client: &Client, arn: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    let mut marker = None;
    for _ in 0..PAGES_MAX {
        let answer = client.list_resource_tags().key_id(arn).set_marker(marker.take()).send().await.map_err(failure)?;
        tags.extend(answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.tag_key, tag.tag_value)));
        marker = answer.next_marker.filter(|_| answer.truncated);
        if marker.is_none() {
            break;
        }
    }
    Ok(tags)
}

/// A part that the answer can do without: empty where it is switched off, else why it could not be read, in words.
async fn optional<T: Default>(
    wanted: bool,
    ours: bool,
    call: &'static str,
    part: impl Future<Output = Result<T, Failure>>,
) -> Result<T, String> {
    if !wanted {
        return Ok(T::default());
    }
    if !ours {
        return Err("the key is in another account".to_owned());
    }
    let result = part.await;
    count(call, result.as_ref().err());
    result.map_err(|failure| match failure.class {
        FailureClass::AccessDenied => "denied".to_owned(),
        FailureClass::Timeout => "no answer in time".to_owned(),
        _ => failure.detail,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` takes")]
pub(super) fn failure<E: ProvideErrorMetadata + Error + 'static>(error: SdkError<E, HttpResponse>) -> Failure {
    Failure::of(&error)
}

pub(super) fn count(call: &'static str, failure: Option<&Failure>) {
    let outcome = match failure {
        None => "ok",
        Some(failure) if failure.code.as_deref() == Some("NotFoundException") => "not_found",
        Some(failure) => match failure.class {
            FailureClass::AccessDenied => "denied",
            FailureClass::Credentials => "credentials",
            FailureClass::Throttled => "throttled",
            FailureClass::Network => "network",
            FailureClass::Timeout => "timeout",
            FailureClass::Server => "server",
            FailureClass::Other => "other",
        },
    };
    telemetry::kms_request(call, outcome);
}
