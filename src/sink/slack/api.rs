//! Slack's two doors, and what their answers mean.
//!
//! The Web API answers errors as HTTP 200 with `ok: false` and a word; incoming webhooks with a status and a word.

use std::time::Duration;

use serde_json::Value;

use super::super::http::{Answer, Http};
use super::super::text::fit;
use super::super::{Class, DeliveryError, FailReason};
use crate::base::secret::{ExposeSecret, Secret};

/// The Web API with a bot token.
pub(super) struct Api {
    pub(super) http: Http,
    pub(super) token: Secret,
    /// `https://slack.com/api`, or the one for governments, without a slash at the end.
    pub(super) base: String,
}

/// A refusal, with Slack's own word for it where it gave one.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: DeliveryError,
    word: Option<String>,
}

impl Api {
    /// Calls a method that changes something.
    pub(super) async fn post(&self, method: &str, body: &Value) -> Result<Value, Refusal> {
        let url = self.http.url(&format!("{}/{method}", self.base))?;
        self.answer(method, self.http.client().post(url).json(body)).await
    }

    /// Calls a method that only reads.
    pub(super) async fn get(&self, method: &str, query: &[(&str, &str)]) -> Result<Value, Refusal> {
        let mut url = self.http.url(&format!("{}/{method}", self.base))?;
        url.query_pairs_mut().extend_pairs(query);
        self.answer(method, self.http.client().get(url)).await
    }

    async fn answer(&self, method: &str, request: reqwest::RequestBuilder) -> Result<Value, Refusal> {
        let request = request.bearer_auth(self.token.current().expose_secret());
        let answer = self.http.send_and_read(request, ANSWER_MAX).await?;
        let what = format!("Slack ({method})");
        answer.accepted(&what)?;
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok().filter(Value::is_object);
        let Some(body) = body else {
            let retry = Class::Retry { after: None };
            return Err(DeliveryError::new(retry, FailReason::Server, format!("{what} gave an answer that is not JSON")).unknown().into());
        };
        if body["ok"] == true {
            return Ok(body);
        }
        let mut refusal = refused(&what, &body, answer.retry_after);
        refusal.error.detail = answer.without_secrets(&refusal.error.detail);
        Err(refusal)
    }
}

/// Posts to an incoming webhook.
pub(super) async fn hook(http: &Http, address: &Secret, body: &Value) -> Result<(), Refusal> {
    let url = http.url(address.current().expose_secret())?;
    let answer = http.send(http.client().post(url).json(body)).await?;
    hooked(&answer)
}

/// Posts nothing to an incoming webhook: a live one says `no_text`.
pub(super) async fn hook_probe(http: &Http, address: &Secret) -> Result<(), Refusal> {
    match hook(http, address, &serde_json::json!({"text": ""})).await {
        Err(refusal) if refusal.is("no_text") => Ok(()),
        other => other,
    }
}

impl Refusal {
    /// Slack did not like the form of the message; a simpler one may pass.
    pub(super) fn is_form(&self) -> bool {
        self.word.as_deref().is_some_and(|word| FORM.contains(&word))
    }

    /// The message to edit or answer is gone or closed; a new one will do.
    pub(super) fn is_gone(&self) -> bool {
        self.word.as_deref().is_some_and(|word| GONE.contains(&word))
    }

    fn is(&self, word: &str) -> bool {
        self.word.as_deref() == Some(word)
    }
}

impl From<DeliveryError> for Refusal {
    fn from(error: DeliveryError) -> Self {
        Self { error, word: None }
    }
}

fn hooked(answer: &Answer) -> Result<(), Refusal> {
    let Err(error) = answer.accepted("the Slack webhook") else { return Ok(()) };
    let word = word(&String::from_utf8_lossy(&answer.body));
    // The statuses carry the class (403, 404 and 410 park, 429 and 500 retry), but some words know better.
    let error = match word.as_deref().and_then(class) {
        Some((class, reason)) if error.class == Class::Reject => DeliveryError { class, reason, ..error },
        _ => error,
    };
    Err(Refusal { error, word })
}

fn refused(what: &str, body: &Value, retry_after: Option<Duration>) -> Refusal {
    let Some(word) = body["error"].as_str().and_then(word) else {
        let retry = Class::Retry { after: None };
        return DeliveryError::new(retry, FailReason::Server, format!("{what} said no without a reason")).into();
    };
    // An unknown word is parked: kept, retried slowly and reported, so that nothing is lost to it.
    let (class, reason) = class(&word).unwrap_or((Class::Park, FailReason::Client));
    let class = if let (Class::Retry { after: None }, Some(wait)) = (class, retry_after) { Class::Retry { after: Some(wait) } } else { class };
    let hints: Vec<&str> = body["response_metadata"]["messages"].as_array().into_iter().flatten().filter_map(Value::as_str).take(2).collect();
    let detail = if hints.is_empty() { format!("{what} said {word}") } else { format!("{what} said {word}: {}", fit(&hints.join("; "), 160)) };
    let error = DeliveryError::new(class, reason, detail);
    // "It is possible some aspect of the operation succeeded before the error was raised."
    let error = if MAYBE_DONE.contains(&word.as_str()) { error.unknown() } else { error };
    Refusal { error, word: Some(word) }
}

/// The class of each word worth telling apart.
fn class(word: &str) -> Option<(Class, FailReason)> {
    let retry = |seconds: Option<u64>, reason| (Class::Retry { after: seconds.map(Duration::from_secs) }, reason);
    Some(match word {
        "ratelimited" | "rate_limited" => retry(None, FailReason::RateLimited),
        "message_limit_exceeded" => retry(Some(60), FailReason::RateLimited),
        "fatal_error" | "internal_error" | "service_unavailable" | "accesslimited" | "team_added_to_org" | "rollup_error" => retry(None, FailReason::Server),
        "request_timeout" => retry(None, FailReason::Timeout),
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" | "no_permission" | "missing_scope"
        | "not_allowed_token_type" | "access_denied" | "ekm_access_denied" | "org_login_required" | "team_access_not_granted"
        | "enterprise_is_restricted" | "two_factor_setup_required" | "invalid_token" | "action_prohibited" => (Class::Park, FailReason::Auth),
        "channel_not_found" | "not_in_channel" | "is_archived" | "channel_is_archived" | "no_service" | "no_team" | "no_active_hooks"
        | "team_not_found" | "user_not_found" => (Class::Park, FailReason::NotFound),
        word if word.starts_with("restricted_action") || word.starts_with("posting_to_general") => (Class::Park, FailReason::Auth),
        "msg_too_long" | "msg_blocks_too_long" | "too_many_attachments" => (Class::Reject, FailReason::TooLarge),
        word if FORM.contains(&word) => (Class::Reject, FailReason::Client),
        _ => return None,
    })
}

/// An error word: short, lower case, nothing that could be text of somebody else's.
fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let fine = (1..=60).contains(&text.len()) && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
    fine.then(|| text.to_owned())
}

/// Slack repeats a whole message in its answer (everything beyond ASCII as `\u` escapes, six or twelve bytes a character), and a page of
/// history is 200 of them. An answer that is cut cannot be read, and what Slack accepted would be sent again.
const ANSWER_MAX: usize = 4 * 1024 * 1024;

const FORM: &[&str] = &[
    "invalid_attachments",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_payload",
    "invalid_metadata_format",
    "invalid_metadata_schema",
    "missing_text_or_fallback_or_attachments",
    "metadata_too_large",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "too_many_attachments",
];
const GONE: &[&str] = &["cant_update_message", "edit_window_closed", "is_inactive", "message_not_found", "thread_not_found"];
const MAYBE_DONE: &[&str] = &["fatal_error", "internal_error", "request_timeout"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(word: &str) -> Refusal {
        refused("Slack", &json!({"ok": false, "error": word}), None)
    }

    #[test]
    fn every_word_has_a_class() {
        for (word, class, reason) in [
            ("rate_limited", Class::Retry { after: None }, FailReason::RateLimited),
            ("internal_error", Class::Retry { after: None }, FailReason::Server),
            ("invalid_auth", Class::Park, FailReason::Auth),
            ("token_revoked", Class::Park, FailReason::Auth),
            ("account_inactive", Class::Park, FailReason::Auth),
            ("restricted_action_read_only_channel", Class::Park, FailReason::Auth),
            ("channel_not_found", Class::Park, FailReason::NotFound),
            ("not_in_channel", Class::Park, FailReason::NotFound),
            ("is_archived", Class::Park, FailReason::NotFound),
            ("msg_blocks_too_long", Class::Reject, FailReason::TooLarge),
            ("invalid_blocks", Class::Reject, FailReason::Client),
            ("a_word_of_tomorrow", Class::Park, FailReason::Client),
        ] {
            let error = said(word).error;
            assert_eq!((error.class, error.reason), (class, reason), "{word}");
            assert!(error.detail.contains(word));
        }
    }

    #[test]
    fn what_may_have_happened_is_unknown() {
        assert!(said("fatal_error").error.outcome_unknown);
        assert!(!said("channel_not_found").error.outcome_unknown);
    }

    #[test]
    fn a_strange_word_is_not_repeated() {
        let error = said("<!channel> hello").error;
        assert!(!error.detail.contains("channel"), "{error}");
        assert!(matches!(error.class, Class::Retry { .. }));
    }

    #[test]
    fn retry_after_counts_for_a_rate_limit_in_a_200() {
        let refusal = refused("Slack", &json!({"ok": false, "error": "ratelimited"}), Some(Duration::from_secs(7)));
        assert_eq!(refusal.error.class, Class::Retry { after: Some(Duration::from_secs(7)) });
    }
}
