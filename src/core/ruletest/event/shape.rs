//! Makes a whole event of a partial one: the catalog's event of that name, the shape that its outcome gives it, what the
//! test says laid over it; decoded as it would be in the daemon, and filled as a lookup would fill it.

mod identity;
mod outcome;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::CONTROLS;
use super::controls::Controls;
use crate::core::catalog::{self, Form, Scene};
use crate::core::decode::arn::{KmsArn, Resource};
use crate::core::decode::decode;
use crate::core::event::{Actor, Event, FIELDS, KeyRef};
use crate::core::observe::{By, DETAIL_TYPE, Observation};
use crate::core::pattern::node::Name;
use crate::core::pattern::{Node, NodeKind};

type Object = Map<String, Value>;

/// Why a partial event makes no event.
#[derive(Debug)]
pub(super) struct Fault {
    /// The member that is wrong; none where it is the whole event.
    pub(super) member: Option<&'static str>,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Fault {
    fn new(member: Option<&'static str>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { member, message: message.into(), hint: hint.into() }
    }
}

/// What the test says, as JSON. `{ is-null = true }` is how TOML writes null, in patterns too.
pub(super) fn members(written: &[(Name, Node)]) -> Object {
    written.iter().map(|(name, value)| (name.text.clone(), json_of(value))).collect()
}

fn json_of(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Table(members) => match members.as_slice() {
            [(name, value)] if name.text == "is-null" && value.kind == NodeKind::Boolean(true) => Value::Null,
            all => Value::Object(all.iter().map(|(name, value)| (name.text.clone(), json_of(value))).collect()),
        },
        NodeKind::Array(items) => Value::Array(items.iter().map(json_of).collect()),
        _ => node.to_json(),
    }
}

/// The event as the daemon would have it before rules are asked. `assess` adds what policies, grants and rotation periods mean.
pub(super) fn event(
    said: &Object,
    controls: &Controls,
    time: Timestamp,
    number: u64,
    assess: &mut dyn FnMut(&mut Event),
) -> Result<Event, Fault> {
    if said.get("detail-type").and_then(Value::as_str) == Some(DETAIL_TYPE) {
        return observation(said, time, number, assess);
    }
    let mut envelope = whole(said, time, number)?;
    for path in &controls.without {
        remove(&mut envelope, path);
    }
    let mut decoded = decode(&envelope.to_string());
    if let Some(rejected) = decoded.rejected.first() {
        let hint = rejected.hint.clone().unwrap_or_else(|| "say what it lacks".to_owned());
        return Err(Fault::new(None, format!("such an event cannot be decoded: {}", rejected.detail), hint));
    }
    let mut event = decoded.events.pop().ok_or_else(|| Fault::new(None, "this makes no event", "name its `detail`"))?;
    assess(&mut event);
    overlay(&mut event, said)?;
    Ok(event)
}

/// What KMS was found to say: of the `key` of the test, with the further members of its `detail`.
fn observation(
    said: &Object,
    time: Timestamp,
    number: u64,
    assess: &mut dyn FnMut(&mut Event),
) -> Result<Event, Fault> {
    let scene = scene(said, time, number)?;
    let mut key = said.get("key").cloned().unwrap_or_else(|| json!({}));
    put(&mut key, "arn", scene.key.into());
    let mut key = serde_json::from_value::<KeyRef>(key).map_err(|error| wrong("key", &error))?;
    key.state.get_or_insert_with(|| "Enabled".to_owned());
    key.manager.get_or_insert_with(|| "CUSTOMER".to_owned());
    let detail = said.get("detail").and_then(Value::as_object);
    let text = |name: &str| detail.and_then(|detail| detail.get(name));
    let by = if text("by").and_then(Value::as_str) == Some("verification") { By::Verification } else { By::Sweep };
    let first = text("first").and_then(Value::as_bool).unwrap_or(false);
    let Some(observation) = Observation::new(by, time, key) else {
        return Err(Fault::new(Some("key"), "this is no key that KMS has", "write key.id = \"1234abcd-…\""));
    };
    let more = detail.cloned().unwrap_or_default();
    let mut event = Observation { first, more, ..observation }.event();
    assess(&mut event);
    overlay(&mut event, said)?;
    Ok(event)
}

/// The envelope as it would arrive.
fn whole(said: &Object, time: Timestamp, number: u64) -> Result<Value, Fault> {
    let detail = said.get("detail").and_then(Value::as_object);
    let in_detail = |name: &str| detail.and_then(|detail| detail.get(name)).and_then(Value::as_str);
    let detail_type = said.get("detail-type").and_then(Value::as_str);
    let native = detail_type.filter(|kind| !kind.ends_with(" via CloudTrail"));
    let Some(name) = native.or_else(|| in_detail("eventName")) else {
        return Err(Fault::new(
            None,
            "nothing says which event it is",
            "write detail.eventName = \"DisableKey\", or detail-type = \"KMS CMK Rotation\"",
        ));
    };
    let known = catalog::known(name);
    let source = said
        .get("source")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .or_else(|| in_detail("eventSource").and_then(|s| s.strip_suffix(".amazonaws.com")).map(|s| format!("aws.{s}")))
        .unwrap_or_else(|| known.map_or("aws.kms", |known| known.source).to_owned());
    let scene = scene(said, time, number)?;
    let mut envelope = catalog::envelope(name, &source, known, &scene);
    if native.is_some() && known.is_none_or(|known| known.form != Form::Event) {
        // Nothing is known of it, so its detail is what the test says and nothing else.
        put(&mut envelope, "detail-type", json!(name));
        put(&mut envelope, "detail", json!({}));
    }
    if let Some(actor) = said.get("actor").and_then(Value::as_object) {
        identity::put(&mut envelope, actor, &scene);
    }
    outcome::put(&mut envelope, said, name, &scene)?;
    for (name, value) in said.iter().filter(|(name, _)| !ours(name)) {
        merge(envelope.as_object_mut(), name, value);
    }
    Ok(envelope)
}

/// Members that are no part of what arrives.
fn ours(name: &str) -> bool {
    CONTROLS.iter().any(|(control, _)| *control == name)
        || FIELDS.iter().any(|field| field.name.split('.').next() == Some(name))
}

fn scene(said: &Object, time: Timestamp, number: u64) -> Result<Scene, Fault> {
    let mut scene = Scene::new(time);
    scene.number = number;
    let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
    let key = |name: &str| said.get("key").and_then(|key| key.get(name)).and_then(Value::as_str);
    if let Some(arn) = key("arn") {
        let Some(KmsArn { account, region, resource: Resource::Key(_), .. }) = KmsArn::parse(arn) else {
            return Err(Fault::new(
                Some("key"),
                format!("`{}` is no key's ARN", arn.escape_debug()),
                "write arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            ));
        };
        (scene.account, scene.region, scene.key) = (account.to_owned(), region.to_owned(), arn.to_owned());
    }
    scene.account = text("account").unwrap_or(scene.account);
    scene.region = text("region").unwrap_or(scene.region);
    if key("arn").is_none() {
        let owner = key("account").map_or_else(|| scene.account.clone(), str::to_owned);
        let place = key("region").map_or_else(|| scene.region.clone(), str::to_owned);
        let id = key("id").unwrap_or_else(|| scene.key.rsplit_once('/').map_or("", |(_, id)| id)).to_owned();
        scene.key = format!("arn:aws:kms:{place}:{owner}:key/{id}");
    }
    Ok(scene)
}

/// Lays one member over what is there: tables are joined, everything else is replaced.
fn merge(into: Option<&mut Object>, name: &str, value: &Value) {
    let Some(into) = into else { return };
    match (into.get_mut(name), value) {
        (Some(Value::Object(there)), Value::Object(members)) => {
            for (name, value) in members {
                merge(Some(there), name, value);
            }
        }
        _ => {
            into.insert(name.to_owned(), value.clone());
        }
    }
}

fn put(value: &mut Value, name: &str, member: Value) {
    if let Some(members) = value.as_object_mut() {
        members.insert(name.to_owned(), member);
    }
}

fn remove(value: &mut Value, path: &str) {
    let Some(members) = value.as_object_mut() else { return };
    if members.remove(path).is_none()
        && let Some((name, rest)) = path.split_once('.')
        && let Some(below) = members.get_mut(name)
    {
        remove(below, rest);
    }
}

/// Lays what the test says of `key`, `actor` and their kin over what decoding found, as enrichment would.
fn overlay(event: &mut Event, said: &Object) -> Result<(), Fault> {
    for (name, value) in said.iter().filter(|(name, _)| ours(name) && !CONTROLS.iter().any(|(c, _)| c == name)) {
        merge(event.document.as_object_mut(), name, value);
    }
    let typed = |name: &str| event.document.get(name).cloned();
    if said.contains_key("key")
        && let Some(key) = typed("key")
    {
        event.key = Some(serde_json::from_value::<KeyRef>(key).map_err(|error| wrong("key", &error))?);
    }
    if said.contains_key("actor")
        && let Some(actor) = typed("actor")
    {
        event.actor = serde_json::from_value::<Actor>(actor).map_err(|error| wrong("actor", &error))?;
    }
    if let Some(denied_by) = said.get("denied_by") {
        let denied_by = serde_json::from_value(denied_by.clone()).map_err(|error| wrong("denied_by", &error))?;
        event.denied_by = Some(denied_by);
    }
    if let Some(outcome) = said.get("outcome") {
        event.outcome = serde_json::from_value(outcome.clone()).map_err(|error| wrong("outcome", &error))?;
    }
    Ok(())
}

fn wrong(what: &'static str, error: &serde_json::Error) -> Fault {
    Fault::new(
        Some(what),
        format!("`{what}` has a value of the wrong kind: {error}"),
        "docs/rules.md lists the fields and what they hold",
    )
}
