//! Fills an event with what is known of its key: from the event first, from KMS lookups second, from memory third.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::decode::arn::KmsArn;
use super::event::{Event, FactKind, KeyRef};
use super::render::clean;

/// What a lookup in KMS gave. Parts that could not be read are absent, and named in `unread`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyDetails {
    pub arn: Option<String>,
    pub id: Option<String>,
    /// Alias names with their `alias/` prefix.
    pub aliases: Vec<String>,
    /// `KeyState` of `DescribeKey`.
    pub state: Option<String>,
    /// `CUSTOMER` or `AWS`.
    pub manager: Option<String>,
    pub origin: Option<String>,
    pub multi_region: Option<bool>,
    pub tags: BTreeMap<String, String>,
    /// When KMS will delete it: the only reliable deadline there is.
    pub deletion_date: Option<Timestamp>,
    /// When imported material expires.
    pub valid_to: Option<Timestamp>,
    /// When KMS gave this answer.
    pub read_at: Timestamp,
    /// Parts that could not be read ("aliases", "tags") with the reason in words.
    pub unread: BTreeMap<String, String>,
}

/// How a lookup ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lookup {
    Known(Box<KeyDetails>),
    Denied,
    TimedOut,
    /// KMS knows no such key: for a deleted key a confirmation, not a failure.
    NotFound,
    /// Why it failed, in words.
    Failed(String),
    /// Lookups are turned off.
    Off,
}

/// Fills `event.key` and rewrites `key` in its document. Gives the marks a reader must see: what could not be looked up.
///
/// `remembered` is the same key as it was last known; `labels` gives the configuration's labels for a document. Labels
/// are matched on the union of what is known now and what is remembered, so that deleting an alias or a tag never
/// lowers them. A tag that changed its value has both there, as a list: any of a list's elements may match.
pub fn enrich(
    event: &mut Event,
    lookup: Option<&Lookup>,
    remembered: Option<&KeyRef>,
    labels: impl Fn(&Value) -> BTreeMap<String, String>,
) -> Vec<String> {
    let Some(mut key) = event.key.take() else { return Vec::new() };
    let details = match lookup {
        Some(Lookup::Known(details)) => Some(details),
        _ => None,
    };
    if let Some(details) = details {
        fill_from_lookup(&mut key, details);
    }
    if let Some(old) = remembered {
        let unread = |part: &str| details.is_none_or(|d| d.unread.contains_key(part));
        fill_from_memory(&mut key, old, unread("aliases"), unread("tags"));
    }
    put_key(event, union(&key, remembered));
    key.labels = labels(&event.document);
    put_key(event, serde_json::to_value(&key).unwrap_or_default());
    let marks = marks(event, lookup);
    event.key = Some(key);
    marks
}

/// The labels of a key of which no event tells: matched as [`enrich`] does, on what it has and what it had.
pub fn labels_of(
    key: &KeyRef,
    remembered: Option<&KeyRef>,
    labels: impl Fn(&Value) -> BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    labels(&json!({ "account": key.account, "region": key.region, "key": union(key, remembered) }))
}

/// What to remember of an event's key once it is enriched. `None` where no ARN is known.
pub fn remember(event: &Event, before: Option<&KeyRef>) -> Option<KeyRef> {
    event.key.as_ref().filter(|key| key.arn.is_some()).map(|key| join(key, before))
}

/// What is remembered of a key when this becomes known of it: everything known before, and what is new. Old aliases and
/// tags are kept first, so that nobody can push them out with a flood of new ones.
pub fn join(key: &KeyRef, before: Option<&KeyRef>) -> KeyRef {
    let nothing = KeyRef::default();
    let old = before.unwrap_or(&nothing);
    let mut key = key.clone();
    fill_from_memory(&mut key, old, true, true);
    let kept: BTreeSet<&String> = old.aliases.iter().collect();
    let fresh = key.aliases.iter().filter(|alias| !kept.contains(alias));
    let room = REMEMBERED_MAX.saturating_sub(kept.len());
    let mut aliases: Vec<String> = old.aliases.iter().chain(fresh.take(room)).cloned().collect();
    aliases.sort();
    key.aliases = aliases;
    while key.tags.len() > REMEMBERED_MAX {
        let Some(new) = key.tags.keys().find(|name| !old.tags.contains_key(*name)).cloned() else { break };
        key.tags.remove(&new);
    }
    // A state is of its moment, and labels are the configuration's.
    key.state = None;
    (key.deletion_date, key.valid_to) = (None, None);
    key.labels = BTreeMap::new();
    key
}

/// Aliases and tags remembered of one key; KMS allows 50 of each by default.
const REMEMBERED_MAX: usize = 100;

fn fill_from_lookup(key: &mut KeyRef, details: &KeyDetails) {
    let KeyDetails { arn, id, aliases, state, manager, origin, multi_region, tags, .. } = details;
    or(&mut key.arn, arn.as_ref());
    or(&mut key.id, id.as_ref());
    if let Some(arn) = key.arn.as_deref().and_then(KmsArn::parse) {
        key.account.get_or_insert_with(|| arn.account.to_owned());
        key.region.get_or_insert_with(|| arn.region.to_owned());
    }
    or(&mut key.state, state.as_ref());
    or(&mut key.manager, manager.as_ref());
    or(&mut key.origin, origin.as_ref());
    or(&mut key.multi_region, multi_region.as_ref());
    // What KMS says of dates is better than the text of an event.
    key.deletion_date = details.deletion_date.or(key.deletion_date);
    key.valid_to = details.valid_to.or(key.valid_to);
    add_aliases(key, aliases);
    add_tags(key, tags);
}

fn fill_from_memory(key: &mut KeyRef, old: &KeyRef, aliases: bool, tags: bool) {
    or(&mut key.arn, old.arn.as_ref());
    or(&mut key.id, old.id.as_ref());
    or(&mut key.account, old.account.as_ref());
    or(&mut key.region, old.region.as_ref());
    or(&mut key.manager, old.manager.as_ref());
    or(&mut key.origin, old.origin.as_ref());
    or(&mut key.multi_region, old.multi_region.as_ref());
    if aliases {
        add_aliases(key, &old.aliases);
    }
    if tags {
        add_tags(key, &old.tags);
    }
}

fn or<T: Clone>(known: &mut Option<T>, other: Option<&T>) {
    if known.is_none() {
        *known = other.cloned();
    }
}

fn add_aliases(key: &mut KeyRef, more: &[String]) {
    key.aliases.extend(more.iter().cloned());
    key.aliases.sort();
    key.aliases.dedup();
}

fn add_tags(key: &mut KeyRef, more: &BTreeMap<String, String>) {
    for (name, value) in more {
        key.tags.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

/// The key with everything it has and had: for matching labels only.
fn union(key: &KeyRef, remembered: Option<&KeyRef>) -> Value {
    let mut all = key.clone();
    all.labels = BTreeMap::new();
    if let Some(old) = remembered {
        fill_from_memory(&mut all, old, true, true);
    }
    let mut value = serde_json::to_value(&all).unwrap_or_default();
    for (name, old) in remembered.into_iter().flat_map(|old| &old.tags) {
        let now = all.tags.get(name);
        if let (Some(now), Some(slot)) =
            (now.filter(|now| *now != old), value.pointer_mut("/tags").and_then(|t| t.get_mut(name)))
        {
            *slot = Value::from(vec![now.clone(), old.clone()]);
        }
    }
    value
}

fn put_key(event: &mut Event, key: Value) {
    if let Some(document) = event.document.as_object_mut() {
        document.insert("key".to_owned(), key);
    }
}

fn marks(event: &Event, lookup: Option<&Lookup>) -> Vec<String> {
    let could_not = |why: &str| vec![format!("key details could not be looked up: {why}")];
    match lookup {
        None | Some(Lookup::Off) => Vec::new(),
        Some(Lookup::Known(details)) => details
            .unread
            .iter()
            .map(|(part, why)| format!("the key's {} could not be looked up: {}", clean(part, 40), clean(why, 160)))
            .collect(),
        Some(Lookup::Denied) => could_not("access denied"),
        Some(Lookup::TimedOut) => could_not("no answer in time"),
        Some(Lookup::NotFound) => {
            let gone = event.fact.as_ref().is_some_and(|fact| fact.kind == FactKind::Deletion);
            if gone { Vec::new() } else { could_not("KMS knows no such key") }
        }
        Some(Lookup::Failed(why)) => could_not(&clean(why, 160)),
    }
}

#[cfg(test)]
mod tests;
