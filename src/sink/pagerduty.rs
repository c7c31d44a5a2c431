//! PagerDuty, by Events API v2.
//!
//! One dedup key per incident and escalation step: an acknowledged PagerDuty incident does not page again, so a rise
//! needs a key of its own; a resolve closes the keys of all steps. Good news goes out as change events, which wake nobody.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use serde_spanned::Spanned;

use super::text::{fit, shrink};
use super::words::{change, facts, line};
use super::{BuildError, Character, Class, DeliveryError, Dispatch, FailReason, Receipt, Sink, SinkContext, http};
use crate::base::diagnostic::Problem;
use crate::base::secret::{ExposeSecret, Secret, SecretRef};
use crate::core::notification::{Kind, Notification, Reason};
use crate::core::rule::Severity;

/// `[sinks.<name>.pagerduty]`
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Integration key of an Events API v2 integration: 32 characters.
    #[schemars(with = "SecretRef")]
    pub routing_key: Spanned<SecretRef>,
    /// Where the account is. Default: `us`.
    #[serde(default)]
    pub region: Region,
    /// Another endpoint, for tests; only on this machine.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<Spanned<String>>,
    /// Where PagerDuty's "View in kmswatch" leads, such as a dashboard.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub client_url: Option<Spanned<String>>,
    /// How it talks HTTP.
    #[serde(default)]
    pub http: http::Config,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    #[default]
    Us,
    Eu,
}

impl Region {
    fn endpoint(self) -> &'static str {
        match self {
            Self::Us => "https://events.pagerduty.com",
            Self::Eu => "https://events.eu.pagerduty.com",
        }
    }
}

impl Config {
    /// PagerDuty takes about 120 calls a minute and integration key.
    pub const MAX_PER_MINUTE: Option<u32> = Some(100);

    pub fn check(&self, _: Range<usize>, problems: &mut Vec<Problem>) {
        self.routing_key.get_ref().check(self.routing_key.span(), problems);
        if let Some(endpoint) = self.endpoint.as_ref().filter(|endpoint| !is_local(endpoint.get_ref())) {
            problems.push(
                Problem::error(endpoint.span(), "`endpoint` is not on this machine")
                    .hint("it exists for tests; `region` chooses between PagerDuty's own hosts"),
            );
        }
        if let Some(url) = self.client_url.as_ref().filter(|url| !url.get_ref().starts_with("https://")) {
            problems.push(Problem::error(url.span(), "`client_url` does not start with https://").hint("people will click on it"));
        }
        self.http.check(problems);
    }

    pub fn build(&self, context: &SinkContext) -> Result<Arc<dyn Sink>, BuildError> {
        let endpoint = match &self.endpoint {
            Some(endpoint) if is_local(endpoint.get_ref()) => endpoint.get_ref().trim_end_matches('/').to_owned(),
            Some(_) => return Err(BuildError::Wrong("PagerDuty's `endpoint` is not on this machine".to_owned())),
            None => self.region.endpoint().to_owned(),
        };
        Ok(Arc::new(PagerDuty {
            http: http::Http::new(&self.http, context.clock.clone())?,
            routing_key: self.routing_key.get_ref().open()?,
            endpoint,
            client_url: self.client_url.as_ref().map(|url| url.get_ref().clone()),
        }))
    }
}

struct PagerDuty {
    http: http::Http,
    routing_key: Secret,
    endpoint: String,
    client_url: Option<String>,
}

#[async_trait]
impl Sink for PagerDuty {
    fn kind(&self) -> &'static str {
        "pagerduty"
    }

    fn character(&self) -> Character {
        Character::Pager
    }

    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError> {
        let n = dispatch.notification;
        let step = n.incident.step;
        match (n.kind, n.reason) {
            (Kind::Notice, _) => self.send("/v2/change/enqueue", change_event(n)).await?,
            (Kind::Resolve, _) => self.all_steps(n, "resolve").await?,
            // Somebody has it: PagerDuty need not wake anybody for it.
            (Kind::Update, Reason::AcknowledgedByHand) => self.all_steps(n, "acknowledge").await?,
            // A rise has a step, and with it a key, of its own. Under a known key PagerDuty takes the news into the open
            // incident's log and pages nobody.
            (Kind::Trigger | Kind::Update, _) => self.send("/v2/enqueue", trigger(n, step.min(STEPS_MAX), self.client_url.as_deref())).await?,
        }
        Ok(Receipt::default())
    }

    /// Events API v2 has no call without an effect. This checks the key's shape and that the host answers over TLS;
    /// whether the key is in use shows only with the first event.
    async fn probe(&self) -> Result<(), DeliveryError> {
        self.key()?;
        let url = self.http.url(&self.endpoint)?;
        self.http.send(self.http.client().get(url)).await.map(drop)
    }
}

impl PagerDuty {
    async fn all_steps(&self, n: &Notification, action: &str) -> Result<(), DeliveryError> {
        for step in 0..=n.incident.step.min(STEPS_MAX) {
            let event = json!({"event_action": action, "dedup_key": fit(&n.dedup_key(step), DEDUP_MAX)});
            self.send("/v2/enqueue", event).await?;
        }
        Ok(())
    }

    async fn send(&self, path: &str, mut event: Value) -> Result<(), DeliveryError> {
        let key = self.key()?;
        if let Some(members) = event.as_object_mut() {
            members.insert("routing_key".to_owned(), key.clone().into());
        }
        let url = self.http.url(&format!("{}{path}", self.endpoint))?;
        let answer = self.http.send(self.http.client().post(url).json(&event)).await?.hiding(key);
        answer.accepted("PagerDuty").map_err(patient)
    }

    fn key(&self) -> Result<String, DeliveryError> {
        let key = self.routing_key.current();
        let key = key.expose_secret();
        if key.len() == 32 && key.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(key.to_owned());
        }
        let detail = "the routing key is not 32 letters and digits, as an integration key of Events API v2 is";
        Err(DeliveryError::new(Class::Park, FailReason::Secret, detail))
    }
}

/// What is sent, for tests of what people see.
#[cfg(test)]
pub(super) fn body(n: &Notification) -> Value {
    match n.kind {
        Kind::Notice => change_event(n),
        Kind::Resolve => json!({"event_action": "resolve", "dedup_key": n.dedup_key(n.incident.step)}),
        Kind::Trigger | Kind::Update => trigger(n, n.incident.step.min(STEPS_MAX), None),
    }
}

fn trigger(n: &Notification, step: u32, client_url: Option<&str>) -> Value {
    let mut event = json!({
        "event_action": "trigger",
        "dedup_key": fit(&n.dedup_key(step), DEDUP_MAX),
        "client": "kmswatch",
        "payload": {
            "summary": summary(n),
            "source": source(n),
            "severity": severity(n.incident.severity),
            "timestamp": n.event.time.to_string(),
            "component": fit(n.key.as_ref().map_or("unknown key", |key| key.display_name()), 255),
            "group": fit(&n.incident.family, 255),
            "class": fit(&n.incident.rule, 255),
        },
        "links": links(n),
    });
    if let (Some(url), Some(members)) = (client_url, event.as_object_mut()) {
        members.insert("client_url".to_owned(), url.into());
    }
    with_details(event, n)
}

fn change_event(n: &Notification) -> Value {
    let event = json!({
        "payload": { "summary": summary(n), "source": source(n), "timestamp": n.event.time.to_string() },
        "links": links(n),
    });
    with_details(event, n)
}

/// Adds `custom_details`, every value cut harder and harder until the whole fits.
fn with_details(mut event: Value, n: &Notification) -> Value {
    let details = details(n);
    for max in [16_000, 4_000, 1_000, 200] {
        let mut cut = details.clone();
        shrink(&mut cut, max, 100);
        if let Some(payload) = event["payload"].as_object_mut() {
            payload.insert("custom_details".to_owned(), cut);
        }
        // The routing key is added later.
        if event.to_string().len() + 100 <= PAYLOAD_MAX {
            break;
        }
    }
    event
}

fn details(n: &Notification) -> Value {
    let mut said: BTreeMap<String, Value> = facts(n).into_iter().map(|fact| (fit(&fact.label, 80), fit(&fact.value, 16_000).into())).collect();
    let mut say = |label: &str, value: Option<&str>| {
        if let Some(value) = value {
            said.insert(label.to_owned(), fit(value, 16_000).into());
        }
    };
    say("What changed", Some(&change(n)));
    say("What it means", n.meaning.as_deref());
    say("What to do", n.action.as_deref());
    say("Undo", n.undo.as_deref());
    say("Key ARN", n.key.as_ref().and_then(|key| key.arn.as_deref()));
    say("Incident", Some(&n.incident.id));
    say("Rule", Some(&n.incident.rule));
    say("Reason", Some(n.reason.as_str()));
    say("User agent", n.event.actor.user_agent.as_deref());
    say("Event", Some(&n.event.id));
    let list = |items: &[String]| items.iter().map(|item| fit(item, 1_000)).collect::<Vec<_>>();
    for (label, items) in [("Principals", list(&n.incident.actors)), ("Tags", list(&n.incident.tags)), ("Remarks", list(&n.marks))] {
        if !items.is_empty() {
            said.insert(label.to_owned(), items.into());
        }
    }
    json!(said)
}

fn summary(n: &Notification) -> String {
    // PagerDuty shows severity and state beside it.
    let line = line(n, &n.summary);
    fit(&n.banner.as_ref().map_or(line.clone(), |banner| format!("[{banner}] {line}")), SUMMARY_MAX)
}

fn source(n: &Notification) -> String {
    let key = n.key.as_ref().and_then(|key| key.arn.as_deref());
    fit(key.or(n.event.account.as_deref()).unwrap_or(&n.event.source), 255)
}

fn links(n: &Notification) -> Vec<Value> {
    let web = n.links.iter().filter(|link| link.href.starts_with("https://") && link.href.len() <= 4_000);
    web.take(20).map(|link| json!({"href": link.href, "text": fit(&link.text, 255)})).collect()
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}

/// PagerDuty asks for minutes of patience after a 429, and for 30 seconds between tries.
fn patient(error: DeliveryError) -> DeliveryError {
    match error.class {
        Class::Retry { after } if error.reason == FailReason::RateLimited => {
            let after = after.unwrap_or_default().max(Duration::from_secs(30));
            DeliveryError { class: Class::Retry { after: Some(after) }, ..error }
        }
        _ => error,
    }
}

fn is_local(endpoint: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(endpoint) else { return false };
    url.host_str().is_some_and(http::is_loopback) && matches!(url.scheme(), "http" | "https")
}

/// Bytes of a whole event, as the API's schema has it.
const PAYLOAD_MAX: usize = 512_000;
const SUMMARY_MAX: usize = 1_024;
const DEDUP_MAX: usize = 255;
/// A rise, a new danger and each mark before a date have a step; beyond so many they share the last one's key.
const STEPS_MAX: u32 = 32;

#[cfg(test)]
#[path = "pagerduty_tests.rs"]
mod tests;
