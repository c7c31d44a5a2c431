//! Slack, by incoming webhook or by bot token.
//!
//! With a token an incident is one message: edited in place as it changes, every change a reply in its thread, an
//! escalation broadcast to the channel. A webhook tells no message's address, so every transition is a message.
//!
//! Slack has no idempotency key. After an unknown outcome the bot looks for the metadata of its own message
//! (`conversations.history`, `conversations.replies`; needs `channels:history`); where it may not read, it sends
//! again and says that a double is possible.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use serde_spanned::Spanned;

use super::{BuildError, Character, Class, DeliveryError, Dispatch, FailReason, Receipt, Sink, SinkContext, http};
use crate::base::diagnostic::Problem;
use crate::base::secret::{Secret, SecretRef};
use crate::core::notification::{Kind, Notification, Reason};
use crate::core::rule::Severity;

mod api;
mod block;
mod card;

use api::{Api, Refusal};
use block::Mention;

/// What is posted, for tests of what people see.
#[cfg(test)]
pub(super) fn card_of(n: &Notification) -> Value {
    card::full(n, &[])
}

/// `[sinks.<name>.slack]`: either `webhook_url`, or `token` and `channel`.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Incoming webhook. Simple, but every transition is a new message.
    #[serde(default)]
    #[schemars(with = "Option<SecretRef>")]
    pub webhook_url: Option<Spanned<SecretRef>>,
    /// Bot token (`xoxb-…`) with `chat:write`, and `channels:history` (`groups:history` for private channels) so that a
    /// message whose fate is unknown can be found again instead of sent twice.
    #[serde(default)]
    #[schemars(with = "Option<SecretRef>")]
    pub token: Option<Spanned<SecretRef>>,
    /// The channel's id (`C0123456789`), with a token.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub channel: Option<Spanned<String>>,
    /// Where the Web API is, with a token. Default: `https://slack.com/api`; for governments: `https://slack-gov.com/api`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub api_url: Option<Spanned<String>>,
    /// Who is mentioned when an incident opens, escalates or is repeated.
    #[serde(default)]
    pub mentions: Mentions,
    /// How it talks HTTP.
    #[serde(default)]
    pub http: http::Config,
}

/// `<!here>`, `<!channel>`, `<!everyone>`, `<@U0123456789>` or `<!subteam^S0123456789>`, by severity.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mentions {
    /// For incidents of severity critical.
    #[schemars(with = "Vec<String>")]
    pub critical: Vec<Spanned<String>>,
    /// For incidents of severity high.
    #[schemars(with = "Vec<String>")]
    pub high: Vec<Spanned<String>>,
    /// For incidents of severity medium.
    #[schemars(with = "Vec<String>")]
    pub medium: Vec<Spanned<String>>,
    /// For incidents of severity low.
    #[schemars(with = "Vec<String>")]
    pub low: Vec<Spanned<String>>,
    /// For incidents of severity info.
    #[schemars(with = "Vec<String>")]
    pub info: Vec<Spanned<String>>,
}

impl Config {
    /// Slack takes about one message a second and a channel, and punishes more.
    pub const MAX_PER_MINUTE: Option<u32> = Some(50);

    pub fn check(&self, span: Range<usize>, problems: &mut Vec<Problem>) {
        match (&self.webhook_url, &self.token) {
            (Some(_), Some(token)) => problems.push(
                Problem::error(token.span(), "`token` and `webhook_url` are both set")
                    .hint("keep `token` and `channel`: they allow threads and edits in place"),
            ),
            (None, None) => problems.push(
                Problem::error(span.clone(), "the Slack sink has neither `token` nor `webhook_url`")
                    .hint("set token = { file = \"/run/secrets/slack-token\" } and channel = \"C0123456789\""),
            ),
            (None, Some(_)) if self.channel.is_none() => problems.push(
                Problem::error(span, "a Slack `token` needs a `channel`")
                    .hint("copy the channel's id from its details in Slack, such as \"C0123456789\""),
            ),
            _ => {}
        }
        for secret in [&self.webhook_url, &self.token].into_iter().flatten() {
            secret.get_ref().check(secret.span(), problems);
        }
        for (name, value) in [("channel", &self.channel), ("api_url", &self.api_url)] {
            if let (Some(value), None, Some(_)) = (value, &self.token, &self.webhook_url) {
                problems.push(
                    Problem::error(value.span(), format!("`{name}` means nothing to a webhook"))
                        .hint("a webhook posts to the channel it was made for; leave it out"),
                );
            }
        }
        if let Some(channel) = self.channel.as_ref().filter(|channel| !is_channel_id(channel.get_ref())) {
            problems.push(
                Problem::error(channel.span(), "`channel` is not a channel's id")
                    .hint("names change and cannot be searched; copy the id from the channel's details, such as \"C0123456789\""),
            );
        }
        if let Some(url) = &self.api_url {
            self.http.check_url(url.get_ref(), url.span(), problems);
        }
        for mention in self.mentions.all().filter(|mention| Mention::parse(mention.get_ref()).is_none()) {
            problems.push(Problem::error(mention.span(), "this is not a mention").hint(
                "use \"<!here>\", \"<!channel>\", \"<@U0123456789>\" for a person or \"<!subteam^S0123456789>\" for a group",
            ));
        }
        for list in self.mentions.lists() {
            if let Some(first) = list.get(card::MENTIONS_MAX) {
                problems.push(
                    Problem::error(first.span(), format!("more than {} mentions", card::MENTIONS_MAX))
                        .hint("a Slack user group reaches many people with one mention"),
                );
            }
        }
        self.http.check(problems);
    }

    pub fn build(&self, context: &SinkContext) -> Result<Arc<dyn Sink>, BuildError> {
        let http = http::Http::new(&self.http, context.clock.clone())?;
        let door = match (&self.token, &self.channel, &self.webhook_url) {
            (Some(token), Some(channel), _) => {
                let base = self.api_url.as_ref().map_or(API, |url| url.get_ref().as_str()).trim_end_matches('/').to_owned();
                Door::Bot { api: Api { http, token: token.get_ref().open()?, base }, channel: channel.get_ref().clone() }
            }
            (_, _, Some(address)) => Door::Hook { http, address: address.get_ref().open()? },
            _ => return Err(BuildError::Wrong("the Slack sink needs `token` and `channel`, or `webhook_url`".to_owned())),
        };
        Ok(Arc::new(Slack { door, mentions: self.mentions.clone() }))
    }
}

impl Mentions {
    fn of(&self, severity: Severity) -> Vec<Mention> {
        let texts = match severity {
            Severity::Critical => &self.critical,
            Severity::High => &self.high,
            Severity::Medium => &self.medium,
            Severity::Low => &self.low,
            Severity::Info => &self.info,
        };
        texts.iter().filter_map(|text| Mention::parse(text.get_ref())).collect()
    }

    fn lists(&self) -> [&Vec<Spanned<String>>; 5] {
        [&self.critical, &self.high, &self.medium, &self.low, &self.info]
    }

    fn all(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.lists().into_iter().flatten()
    }
}

struct Slack {
    door: Door,
    mentions: Mentions,
}

enum Door {
    Hook { http: http::Http, address: Secret },
    Bot { api: Api, channel: String },
}

/// Where an incident's message is: [`Receipt::memory`], as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    channel: String,
    ts: String,
}

#[async_trait]
impl Sink for Slack {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn character(&self) -> Character {
        Character::Chat
    }

    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError> {
        let told = match &self.door {
            Door::Hook { http, address } => self.by_hook(http, address, dispatch).await,
            Door::Bot { api, channel } => self.by_bot(api, channel, dispatch).await,
        };
        told.map_err(|refusal| refusal.error)
    }

    async fn digest(&self, notifications: &[Notification], more: usize) -> Result<(), DeliveryError> {
        let loudest = notifications.iter().filter(|n| is_loud(n)).max_by_key(|n| n.incident.severity);
        let mentions = loudest.map(|n| self.mentions.of(n.incident.severity)).unwrap_or_default();
        let message = card::digest(notifications, more, &mentions);
        let told = match &self.door {
            Door::Hook { http, address } => api::hook(http, address, &message).await,
            Door::Bot { api, channel } => api.post("chat.postMessage", &joined(message, json!({"channel": channel}))).await.map(drop),
        };
        told.map_err(|refusal| refusal.error)
    }

    async fn probe(&self) -> Result<(), DeliveryError> {
        let answer = match &self.door {
            Door::Hook { http, address } => api::hook_probe(http, address).await,
            Door::Bot { api, .. } => api.post("auth.test", &json!({})).await.map(drop),
        };
        answer.map_err(|refusal| refusal.error)
    }
}

impl Slack {
    async fn by_hook(&self, http: &http::Http, address: &Secret, d: &Dispatch<'_>) -> Result<Receipt, Refusal> {
        let mentions = self.mentions(d.notification);
        let told = match api::hook(http, address, &card::full(d.notification, &mentions)).await {
            Err(refusal) if refusal.is_form() => {
                tracing::warn!(error = %refusal.error, notification = d.notification.id, "Slack refused the card; sending the plain form");
                api::hook(http, address, &card::plain(d.notification, &mentions)).await
            }
            other => other,
        };
        told.map(|()| Receipt { memory: None, possible_double: d.outcome_unknown })
    }

    async fn by_bot(&self, api: &Api, channel: &str, d: &Dispatch<'_>) -> Result<Receipt, Refusal> {
        let n = d.notification;
        let root = d.memory.and_then(|memory| serde_json::from_str::<Place>(memory).ok());
        if let (Some(root), Kind::Update | Kind::Resolve) = (root, n.kind) {
            match self.continue_thread(api, &root, d).await {
                Err(refusal) if refusal.is_gone() => {
                    tracing::info!(error = %refusal.error, notification = n.id, "the incident's message is gone; starting a new one");
                }
                other => return other,
            }
        }
        let mut possible_double = false;
        if d.outcome_unknown {
            match find(api, channel, None, d).await {
                Search::Found(place) => return Ok(receipt(&place, false)),
                Search::Absent => {}
                Search::Unreadable => possible_double = true,
            }
        }
        let to = json!({"channel": channel, "metadata": metadata(d)});
        let mentions = self.mentions(n);
        let place = post(api, card::full(n, &mentions), card::plain(n, &mentions), to, d).await?;
        Ok(receipt(&place, possible_double))
    }

    /// Brings the incident's message up to date (which may be repeated), then says in its thread what changed.
    async fn continue_thread(&self, api: &Api, root: &Place, d: &Dispatch<'_>) -> Result<Receipt, Refusal> {
        let n = d.notification;
        let at = json!({"channel": root.channel, "ts": root.ts, "metadata": metadata(d)});
        // An edit notifies nobody: the mention is for the reply.
        let edit = api.post("chat.update", &joined(card::full(n, &[]), at.clone())).await;
        match edit {
            Err(refusal) if refusal.is_form() => api.post("chat.update", &joined(card::plain(n, &[]), at)).await?,
            other => other?,
        };
        let mut possible_double = false;
        if d.outcome_unknown {
            match find(api, &root.channel, Some(&root.ts), d).await {
                Search::Found(_) => return Ok(receipt(root, false)),
                Search::Absent => {}
                Search::Unreadable => possible_double = true,
            }
        }
        let reply = card::reply(n, &self.mentions(n));
        let broadcast = n.asks_again();
        let to = json!({"channel": root.channel, "thread_ts": root.ts, "reply_broadcast": broadcast, "metadata": metadata(d)});
        post(api, reply.clone(), reply, to, d).await?;
        Ok(receipt(root, possible_double))
    }

    fn mentions(&self, n: &Notification) -> Vec<Mention> {
        if is_loud(n) { self.mentions.of(n.incident.severity) } else { vec![] }
    }
}

/// Whether people are mentioned: never for what is only played, good news, or over.
fn is_loud(n: &Notification) -> bool {
    n.banner.is_none()
        && (n.kind == Kind::Trigger || n.asks_again() || (n.kind == Kind::Update && n.reason == Reason::Repeat))
}

async fn post(api: &Api, full: Value, plain: Value, to: Value, d: &Dispatch<'_>) -> Result<Place, Refusal> {
    let answer = match api.post("chat.postMessage", &joined(full, to.clone())).await {
        Err(refusal) if refusal.is_form() => {
            tracing::warn!(error = %refusal.error, notification = d.notification.id, "Slack refused the card; sending the plain form");
            api.post("chat.postMessage", &joined(plain, to)).await?
        }
        other => other?,
    };
    place(&answer["channel"], &answer["ts"]).ok_or_else(|| {
        let detail = "Slack accepted the message without saying where it is";
        DeliveryError::new(Class::Retry { after: None }, FailReason::Server, detail).unknown().into()
    })
}

enum Search {
    Found(Place),
    Absent,
    /// The token may not read the channel, or Slack did not answer.
    Unreadable,
}

/// Looks for our own message of this notification, in the channel or in a thread.
async fn find(api: &Api, channel: &str, thread: Option<&str>, d: &Dispatch<'_>) -> Search {
    // Nothing of ours is older than the decision; a minute for clocks that disagree.
    let oldest = d.notification.at.checked_sub(SignedDuration::from_mins(1)).unwrap_or(d.notification.at);
    let oldest = format!("{}.000000", oldest.as_second());
    let (method, ts) = thread.map_or(("conversations.history", ""), |ts| ("conversations.replies", ts));
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let mut query = vec![("channel", channel), ("oldest", &oldest), ("limit", "200"), ("include_all_metadata", "true")];
        query.extend(thread.map(|_| ("ts", ts)));
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let Ok(page) = api.get(method, &query).await else { return Search::Unreadable };
        let Some(messages) = page["messages"].as_array() else { return Search::Unreadable };
        let ours = |message: &&Value| message["metadata"]["event_payload"]["delivery"] == d.idempotency_key && Some(&message["ts"]) != thread.map(Value::from).as_ref();
        if let Some(message) = messages.iter().find(ours) {
            return place(&channel.into(), &message["ts"]).map_or(Search::Unreadable, Search::Found);
        }
        match page["response_metadata"]["next_cursor"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut cursor),
            _ => return Search::Absent,
        }
    }
    // Too much was written since: it may be further back.
    Search::Unreadable
}

fn metadata(d: &Dispatch<'_>) -> Value {
    json!({
        "event_type": "kmswatch_notification",
        "event_payload": { "incident": d.notification.incident.id, "notification": d.notification.id, "delivery": d.idempotency_key },
    })
}

fn place(channel: &Value, ts: &Value) -> Option<Place> {
    Some(Place { channel: channel.as_str()?.to_owned(), ts: ts.as_str()?.to_owned() })
}

fn receipt(place: &Place, possible_double: bool) -> Receipt {
    Receipt { memory: serde_json::to_string(place).ok(), possible_double }
}

fn joined(mut message: Value, more: Value) -> Value {
    if let (Some(members), Value::Object(more)) = (message.as_object_mut(), more) {
        members.extend(more);
    }
    message
}

fn is_channel_id(text: &str) -> bool {
    text.starts_with(['C', 'G', 'D']) && (9..=20).contains(&text.len()) && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

const API: &str = "https://slack.com/api";
const PAGES_MAX: usize = 3;

#[cfg(test)]
mod tests;
