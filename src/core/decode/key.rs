//! Which key an event is about. The sources in order of trust: `resources`, what KMS answered, what KMS says of its
//! own doing, what the caller typed, the text of the error (KMS developer guide, "Logging with CloudTrail").

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::arn::{self, KmsArn, Resource};
use super::read::{Object, array, object, text};
use crate::core::event::{KeyRef, Outcome};
use crate::core::render::event_date;

/// Where the event happened: what a bare key id is completed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home<'a> {
    pub(super) account: Option<&'a str>,
    pub(super) region: Option<&'a str>,
}

/// The key the event is about, and further keys it touches.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Keys {
    pub(super) main: Option<KeyRef>,
    pub(super) others: Vec<KeyRef>,
}

/// Finds the keys of a KMS call or service event.
pub(super) fn of_kms(detail: &Object, name: &str, outcome: Outcome, home: Home<'_>) -> Keys {
    let nothing = Object::new();
    let request = object(detail, "requestParameters").unwrap_or(&nothing);
    let response = object(detail, "responseElements").unwrap_or(&nothing);
    let created = object(response, "keyMetadata");
    let replica = object(response, "replicaKeyMetadata");

    let mut found = Found { home, main: None, others: Vec::new(), aliases: Vec::new() };
    // ReEncrypt carries two keys, the source first; alias events a key and an alias, both typed as keys.
    for arn in resource_arns(detail) {
        found.also(arn);
    }
    found.main(text(response, "keyId"));
    found.main(created.and_then(|m| text(m, "arn").or_else(|| text(m, "keyId"))));
    found.main(object(detail, "serviceEventDetails").and_then(|d| text(d, "keyId")));
    for member in ["keyId", "targetKeyId", "sourceKeyId"] {
        found.main(text(request, member));
    }
    found.also_if_any(replica.and_then(|m| text(m, "arn")));
    found.also_if_any(text(request, "destinationKeyId"));
    found.alias_name(text(request, "aliasName"));
    if found.main.is_none() && outcome != Outcome::Success {
        found.error(text(detail, "errorMessage").unwrap_or_default());
    }

    let mut keys = found.into_keys();
    if let Some(key) = &mut keys.main {
        describe(key, name, outcome, detail, request, response, created.or(replica));
    }
    keys
}

/// The key of a native KMS event: `resources[0]` holds the ARN, `detail.key-id` the bare id.
pub(super) fn of_native(envelope: &Object, detail: &Object, home: Home<'_>) -> Option<KeyRef> {
    let mut found = Found { home, main: None, others: Vec::new(), aliases: Vec::new() };
    for resource in array(envelope, "resources").into_iter().flatten().filter_map(Value::as_str) {
        found.main(Some(resource).filter(|r| KmsArn::parse(r).is_some()));
    }
    found.main(text(detail, "key-id"));
    found.into_keys().main
}

/// The key another service's event names: typed `resources`, a few members known to hold a key's ARN, and the `cause`
/// of a failed EBS volume. ARNs only; never found by searching values.
pub(super) fn of_other(detail: &Object, home: Home<'_>) -> Keys {
    let mut found = Found { home, main: None, others: Vec::new(), aliases: Vec::new() };
    for arn in resource_arns(detail).filter(|arn| KmsArn::parse(arn).is_some()) {
        found.also(arn);
    }
    for part in ["responseElements", "requestParameters"] {
        for member in FOREIGN_KEY_MEMBERS {
            let named = object(detail, part).and_then(|p| text(p, member));
            found.main(named.filter(|arn| KmsArn::parse(arn).is_some()));
        }
    }
    if found.main.is_none()
        && let Some(first) = text(detail, "cause").and_then(|cause| arn::words(cause).next())
    {
        found.take(&first);
    }
    found.into_keys()
}

/// Members in which S3, EC2 and others name the key they use.
const FOREIGN_KEY_MEMBERS: &[&str] =
    &["kmsKeyId", "kmsKeyArn", "x-amz-server-side-encryption-aws-kms-key-id", "SSEKMSKeyId"];

/// At most so many further keys are kept.
const OTHERS_MAX: usize = 16;

/// Longest text CloudTrail keeps of an `errorMessage` (1 KB); an ARN that ends there may be cut.
const MESSAGE_BYTES_WHOLE: usize = 1000;

fn resource_arns(detail: &Object) -> impl Iterator<Item = &str> {
    array(detail, "resources").into_iter().flatten().filter_map(|entry| match entry {
        Value::String(arn) => Some(arn.as_str()),
        Value::Object(entry) => text(entry, "ARN").or_else(|| text(entry, "arn")),
        _ => None,
    })
}

struct Found<'a> {
    home: Home<'a>,
    main: Option<KeyRef>,
    others: Vec<KeyRef>,
    aliases: Vec<(String, Option<String>, Option<String>)>,
}

impl Found<'_> {
    /// A source that can only name the main key.
    fn main(&mut self, named: Option<&str>) {
        if let Some(key) = named.and_then(|named| self.read(named))
            && self.main.is_none()
        {
            self.main = Some(key);
        }
    }

    /// A source whose first key is the main one and whose others are further keys.
    fn also(&mut self, named: &str) {
        if let Some(key) = self.read(named) {
            self.keep(key);
        }
    }

    /// A source that can only name a further key, unless there is no other key at all.
    fn also_if_any(&mut self, named: Option<&str>) {
        if let Some(named) = named.filter(|n| !n.starts_with("alias/")) {
            self.also(named);
        }
    }

    fn keep(&mut self, key: KeyRef) {
        let Some(main) = &self.main else {
            self.main = Some(key);
            return;
        };
        let known = |k: &KeyRef| k.arn == key.arn && k.id == key.id;
        if !known(main) && !self.others.iter().any(known) && self.others.len() < OTHERS_MAX {
            self.others.push(key);
        }
    }

    fn take(&mut self, arn: &KmsArn<'_>) {
        if let Some(key) = self.key_of(arn) {
            self.keep(key);
        }
    }

    fn alias_name(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|name| arn::is_alias(name)) {
            self.alias(name, self.home.account, self.home.region);
        }
    }

    fn alias(&mut self, name: &str, account: Option<&str>, region: Option<&str>) {
        self.aliases.push((name.to_owned(), account.map(str::to_owned), region.map(str::to_owned)));
    }

    /// Reads a key's ARN or bare id; an alias is noted and gives none.
    fn read(&mut self, named: &str) -> Option<KeyRef> {
        if let Some(arn) = KmsArn::parse(named) {
            return self.key_of(&arn);
        }
        if arn::is_alias(named) {
            self.alias(named, self.home.account, self.home.region);
            return None;
        }
        let id = Some(named).filter(|id| arn::is_key_id(id))?;
        let arn = self.home.account.zip(self.home.region).and_then(|(a, r)| arn::key_arn(id, a, r));
        Some(KeyRef {
            arn,
            id: Some(id.to_owned()),
            account: self.home.account.map(str::to_owned),
            region: self.home.region.map(str::to_owned),
            multi_region: multi_region(id),
            ..KeyRef::default()
        })
    }

    fn key_of(&mut self, arn: &KmsArn<'_>) -> Option<KeyRef> {
        match arn.resource {
            Resource::Alias(name) => {
                self.alias(name, Some(arn.account), Some(arn.region));
                None
            }
            Resource::Key(id) => Some(KeyRef {
                arn: Some(format!("arn:{}:kms:{}:{}:key/{id}", arn.partition, arn.region, arn.account)),
                id: Some(id.to_owned()),
                account: Some(arn.account.to_owned()),
                region: Some(arn.region.to_owned()),
                multi_region: multi_region(id),
                ..KeyRef::default()
            }),
        }
    }

    /// A denied call carries its key only in the text. The word after "on resource:" is KMS's own; without it, a text that
    /// begins with the caller's name says nothing of a key; in all other texts the ARN must be a word of its own.
    fn error(&mut self, message: &str) {
        let after = match message.split_once(" on resource: ") {
            Some((_, after)) => after.split_whitespace().next().unwrap_or_default(),
            None if message.starts_with("User: ") => return,
            None => message,
        };
        let cut = message.len() >= MESSAGE_BYTES_WHOLE;
        if let Some(arn) = arn::words(after).next() {
            let last = arn.key_id().is_some_and(|id| message.ends_with(id));
            if !(cut && last) {
                self.take(&arn);
            }
        }
    }

    fn into_keys(self) -> Keys {
        let mut main = self.main;
        if let Some((_, account, region)) = self.aliases.first() {
            let key = main.get_or_insert_with(|| KeyRef {
                account: account.clone(),
                region: region.clone(),
                ..KeyRef::default()
            });
            key.aliases = self.aliases.iter().map(|(name, ..)| name.clone()).collect();
            key.aliases.sort();
            key.aliases.dedup();
        }
        Keys { main, others: self.others }
    }
}

/// Only multi-Region keys have ids that begin with `mrk-`.
fn multi_region(id: &str) -> Option<bool> {
    id.starts_with("mrk-").then_some(true)
}

/// Adds what the event itself says of the key's state and nature.
fn describe(
    key: &mut KeyRef,
    name: &str,
    outcome: Outcome,
    detail: &Object,
    request: &Object,
    response: &Object,
    metadata: Option<&Object>,
) {
    let said = |member: &str| metadata.and_then(|m| text(m, member)).map(str::to_owned);
    if outcome == Outcome::Success {
        key.state = said("keyState").or_else(|| text(response, "keyState").map(str::to_owned));
        key.manager = said("keyManager");
        key.origin = said("origin").or_else(|| text(request, "origin").map(str::to_owned));
        if let Some(multi) = metadata.and_then(|m| m.get("multiRegion")).and_then(Value::as_bool) {
            key.multi_region = Some(multi);
        }
        if matches!(name, "CreateKey" | "ReplicateKey" | "TagResource") {
            key.tags = tags(request);
        }
        if key.aliases.iter().any(|alias| alias.starts_with("alias/aws/")) {
            key.manager = Some("AWS".to_owned());
        }
    }
    if key.state.is_none() {
        key.state = implied_state(name, outcome, text(detail, "errorMessage")).map(str::to_owned);
    }
}

/// When the material that is imported expires.
pub(super) fn valid_to(request: &Object, response: &Object) -> Option<Timestamp> {
    let ends = text(request, "expirationModel") != Some("KEY_MATERIAL_DOES_NOT_EXPIRE");
    let said = text(request, "validTo").or_else(|| text(response, "validTo"));
    said.filter(|_| ends).and_then(event_date)
}

/// Adds the dates that a success names: when the key will be destroyed, and when its imported material expires.
pub(super) fn dates(key: &mut KeyRef, name: &str, detail: &Object, time: Timestamp) {
    let nothing = Object::new();
    let request = object(detail, "requestParameters").unwrap_or(&nothing);
    let response = object(detail, "responseElements").unwrap_or(&nothing);
    match name {
        // A primary key that waits for its replicas has no date yet.
        "ScheduleKeyDeletion" if key.state.as_deref() == Some("PendingDeletion") => {
            let days = [response, request].into_iter().find_map(|part| part.get("pendingWindowInDays")?.as_i64());
            let days = days.filter(|days| (1..=WINDOW_DAYS_MAX).contains(days)).unwrap_or(WINDOW_DAYS_DEFAULT);
            let by_window = || time.checked_add(SignedDuration::from_hours(24 * days)).ok();
            key.deletion_date = text(response, "deletionDate").and_then(event_date).or_else(by_window);
        }
        "ImportKeyMaterial" => key.valid_to = valid_to(request, response),
        _ => {}
    }
}

/// Waiting periods of `ScheduleKeyDeletion` (KMS API reference).
const WINDOW_DAYS_MAX: i64 = 30;
const WINDOW_DAYS_DEFAULT: i64 = 30;

fn tags(request: &Object) -> BTreeMap<String, String> {
    array(request, "tags")
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter_map(|tag| {
            Some((
                text(tag, "tagKey")?.to_owned(),
                tag.get("tagValue").and_then(Value::as_str).unwrap_or("").to_owned(),
            ))
        })
        .collect()
}

/// The state a success leaves behind, or the state KMS gives as the reason of a failure. The error's code is not asked:
/// wrong combinations of code and text are seen in the wild.
fn implied_state(name: &str, outcome: Outcome, message: Option<&str>) -> Option<&'static str> {
    match outcome {
        Outcome::Success => match name {
            "EnableKey" => Some("Enabled"),
            "DisableKey" | "CancelKeyDeletion" => Some("Disabled"),
            "ScheduleKeyDeletion" => Some("PendingDeletion"),
            "DeleteImportedKeyMaterial" | "DeleteExpiredKeyMaterial" => Some("PendingImport"),
            _ => None,
        },
        Outcome::Failed => {
            let message = message?;
            STATES_IN_MESSAGES.iter().find(|(words, _)| message.contains(words)).map(|(_, state)| *state)
        }
        Outcome::Denied => None,
    }
}

/// KMS developer guide, "Key states": the words of the errors. " is not pending deletion" matches none of them.
const STATES_IN_MESSAGES: &[(&str, &str)] = &[
    (" is disabled", "Disabled"),
    (" is pending deletion", "PendingDeletion"),
    (" is pending replica deletion", "PendingReplicaDeletion"),
    (" is pending import", "PendingImport"),
    (" is unavailable", "Unavailable"),
    (" is creating", "Creating"),
    (" is updating", "Updating"),
];

#[cfg(test)]
mod tests;
