//! Any HTTP receiver: our own JSON, `CloudEvents`, OCSF, Alertmanager's payload or a template, signed by Standard Webhooks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_spanned::Spanned;

use super::{BodyFormat, BuildError, Character, Class, DeliveryError, Dispatch, FailReason, Receipt, Sink, SinkContext, http};
use crate::base::diagnostic::Problem;
use crate::base::secret::{ExposeSecret, OpenText, Secret, SecretRef, Text};

mod body;
mod sign;
mod template;

use template::Template;

/// `[sinks.<name>.webhook]`
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to send. As `{ env = … }` or `{ file = … }` if it holds a secret.
    #[schemars(with = "Text")]
    pub url: Spanned<Text>,
    /// The request's method. Default: `POST`.
    #[serde(default)]
    pub method: Method,
    /// What the body looks like. Default: `kmswatch`.
    #[serde(default)]
    pub format: Format,
    /// Jinja template of the body, with `format = "template"`. It sees `type`, `timestamp` and `data` of our own JSON;
    /// `{{ data.summary | tojson }}` writes a JSON string. A name that does not exist is an error.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub template: Option<Spanned<String>>,
    /// Content type of the template's result. Default: `application/json`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub content_type: Option<Spanned<String>>,
    /// Further headers.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Text>")]
    pub headers: BTreeMap<String, Spanned<Text>>,
    /// Signing secrets by Standard Webhooks (`whsec_…`), two while one replaces the other; a signature is sent for each.
    #[serde(default)]
    #[schemars(with = "Vec<SecretRef>")]
    pub secrets: Vec<Spanned<SecretRef>>,
    /// How it talks HTTP.
    #[serde(default)]
    pub http: http::Config,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
    Get,
    Delete,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Our own documented JSON: `type`, `timestamp`, `data`.
    #[default]
    Kmswatch,
    /// A `CloudEvents` 1.0 event in structured mode.
    CloudEvents,
    /// An OCSF Detection Finding: the incident.
    Ocsf,
    /// An OCSF API Activity: the call behind the notification. What is no call goes out as a Detection Finding.
    #[serde(rename = "ocsf_activity")]
    OcsfActivity,
    /// What Alertmanager's webhook receiver sends, version 4.
    Alertmanager,
    /// The result of `template`.
    Template,
}

impl Config {
    /// One a second: what an unknown receiver surely bears.
    pub const MAX_PER_MINUTE: Option<u32> = Some(600);

    pub fn check(&self, span: Range<usize>, problems: &mut Vec<Problem>) {
        match self.url.get_ref() {
            Text::Plain(url) => {
                self.http.check_url(url, self.url.span(), problems);
                let parsed = reqwest::Url::parse(url).ok();
                if parsed.as_ref().is_some_and(names_a_secret) {
                    problems.push(
                        Problem::warning(self.url.span(), "the address seems to hold a secret")
                            .hint("keep the address outside the file: url = { env = \"NAME\" } or { file = \"/path\" }"),
                    );
                }
                if parsed.is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
                    problems.push(
                        Problem::error(self.url.span(), "the address holds a user name or password")
                            .hint("keep the address outside the file: url = { env = \"NAME\" } or { file = \"/path\" }"),
                    );
                }
            }
            Text::Secret(secret) => secret.check(self.url.span(), problems),
        }
        self.check_headers(problems);
        self.check_template(span, problems);
        for secret in &self.secrets {
            secret.get_ref().check(secret.span(), problems);
        }
        if let Some(third) = self.secrets.get(2) {
            problems.push(
                Problem::error(third.span(), "more than two signing secrets")
                    .hint("two are enough to replace one by the other; receivers try every signature"),
            );
        }
        self.http.check(problems);
    }

    fn check_headers(&self, problems: &mut Vec<Problem>) {
        for (name, value) in &self.headers {
            let span = value.span();
            let lower = name.to_ascii_lowercase();
            if HeaderName::try_from(name.as_str()).is_err() {
                problems.push(Problem::error(span, format!("`{}` is not the name of a header", super::text::fit(name, 60))));
                continue;
            }
            if OURS.contains(&lower.as_str()) {
                problems.push(Problem::error(span, format!("`{lower}` is set by kmswatch")).hint("leave it out"));
                continue;
            }
            match value.get_ref() {
                Text::Secret(secret) => secret.check(span, problems),
                Text::Plain(_) if SECRET_HEADERS.contains(&lower.as_str()) => problems.push(
                    Problem::error(span, format!("`{lower}` holds a secret"))
                        .hint("secrets are not written into the file; use { env = \"NAME\" } or { file = \"/path\" }"),
                ),
                Text::Plain(text) if HeaderValue::from_str(text).is_err() => {
                    problems.push(Problem::error(span, format!("the value of `{lower}` cannot be sent in a header")));
                }
                Text::Plain(_) => {}
            }
        }
    }

    fn check_template(&self, span: Range<usize>, problems: &mut Vec<Problem>) {
        match (&self.template, self.format) {
            (Some(template), Format::Template) => {
                if let Err(why) = Template::new(template.get_ref()) {
                    problems.push(
                        Problem::error(template.span(), format!("the template does not work: {why}"))
                            .hint("it is tried on sample notifications; `{{ data | tojson }}` shows all there is"),
                    );
                }
            }
            (None, Format::Template) => problems.push(
                Problem::error(span, "`format = \"template\"` needs a `template`").hint("template = '{\"text\": {{ data.summary | tojson }}}'"),
            ),
            (Some(template), _) => problems.push(
                Problem::error(template.span(), "`template` has no effect").hint("add format = \"template\", or leave it out"),
            ),
            (None, _) => {}
        }
        if let Some(content_type) = &self.content_type {
            if self.format != Format::Template {
                problems.push(
                    Problem::error(content_type.span(), "`content_type` has no effect")
                        .hint("the other formats have a content type of their own; leave it out"),
                );
            } else if HeaderValue::from_str(content_type.get_ref()).is_err() {
                problems.push(Problem::error(content_type.span(), "this is not a content type"));
            }
        }
    }

    pub fn build(&self, context: &SinkContext) -> Result<Arc<dyn Sink>, BuildError> {
        let template = match (&self.template, self.format) {
            (Some(text), Format::Template) => {
                Some(Template::new(text.get_ref()).map_err(|why| BuildError::Wrong(format!("the template does not work: {why}")))?)
            }
            _ => None,
        };
        let mut headers = vec![];
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| BuildError::Wrong("a header's name is wrong".to_owned()))?;
            headers.push((name, value.get_ref().open()?));
        }
        let mut secrets = vec![];
        for secret in &self.secrets {
            let opened = secret.get_ref().open()?;
            sign::key(&opened).map_err(|error| BuildError::Wrong(error.detail))?;
            secrets.push(opened);
        }
        Ok(Arc::new(Webhook {
            http: http::Http::new(&self.http, context.clock.clone())?,
            url: self.url.get_ref().open()?,
            method: self.method.into(),
            format: self.format,
            template,
            content_type: self.content_type.as_ref().map_or_else(|| JSON.to_owned(), |text| text.get_ref().clone()),
            headers,
            secrets,
        }))
    }
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Get => Self::GET,
            Method::Delete => Self::DELETE,
        }
    }
}

struct Webhook {
    http: http::Http,
    url: OpenText,
    method: reqwest::Method,
    format: Format,
    template: Option<Template>,
    content_type: String,
    headers: Vec<(HeaderName, OpenText)>,
    secrets: Vec<Secret>,
}

#[async_trait]
impl Sink for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn character(&self) -> Character {
        Character::Machine
    }

    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError> {
        let url = self.http.url(self.url.current().expose_secret())?;
        let (content_type, body) = self.body(dispatch);
        let mut headers = self.own_headers()?;
        headers.insert(reqwest::header::CONTENT_TYPE, value(&content_type, "the content type")?);
        for (name, text) in sign::headers(dispatch.idempotency_key, self.http.now(), body.as_bytes(), &self.secrets)? {
            headers.insert(name, value(&text, name)?);
        }
        let request = self.http.client().request(self.method.clone(), url).headers(headers).body(body);
        self.http.send(request).await?.accepted("the webhook").map(|()| Receipt::default())
    }

    /// A receiver of unknown kind has no call without an effect: checks the secrets and that the host answers HTTP.
    async fn probe(&self) -> Result<(), DeliveryError> {
        let mut url = self.http.url(self.url.current().expose_secret())?;
        self.own_headers()?;
        for secret in &self.secrets {
            sign::key(secret)?;
        }
        url.set_path("/");
        url.set_query(None);
        self.http.send(self.http.client().head(url)).await.map(drop)
    }
}

impl Webhook {
    /// The configured headers. A secret that changed since the start may have become unfit.
    fn own_headers(&self) -> Result<HeaderMap, DeliveryError> {
        let mut headers = HeaderMap::new();
        for (name, text) in &self.headers {
            let mut value = value(text.current().expose_secret(), name.as_str())?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }

    fn body(&self, d: &Dispatch<'_>) -> (String, String) {
        let own = |failed: Option<String>| (JSON.to_owned(), body::own(d, failed).to_string());
        match (self.format, &self.template) {
            (Format::CloudEvents, _) => {
                ("application/cloudevents+json".to_owned(), BodyFormat::CloudEvents.document(d).to_string())
            }
            (Format::Ocsf, _) => (JSON.to_owned(), BodyFormat::Ocsf.document(d).to_string()),
            (Format::OcsfActivity, _) => (JSON.to_owned(), BodyFormat::OcsfActivity.document(d).to_string()),
            (Format::Alertmanager, _) => (JSON.to_owned(), body::alertmanager(d).to_string()),
            (Format::Template, Some(template)) => match template.render(&body::own(d, None)) {
                Ok(text) => (self.content_type.clone(), text),
                // A template must never cost a page.
                Err(why) => {
                    tracing::warn!(error = why, notification = d.notification.id, "the template failed; sending our own form");
                    own(Some(why))
                }
            },
            (Format::Kmswatch | Format::Template, _) => own(None),
        }
    }
}

fn names_a_secret(url: &reqwest::Url) -> bool {
    url.query_pairs().any(|(name, _)| ["key", "secret", "sig", "token"].iter().any(|word| name.to_lowercase().contains(word)))
}

fn value(text: &str, name: &str) -> Result<HeaderValue, DeliveryError> {
    HeaderValue::from_str(text).map_err(|_| {
        DeliveryError::new(Class::Park, FailReason::Secret, format!("the value of `{name}` cannot be sent in a header"))
    })
}

const JSON: &str = "application/json";
const OURS: &[&str] = &["content-length", "content-type", "host", "transfer-encoding", "webhook-id", "webhook-signature", "webhook-timestamp"];
const SECRET_HEADERS: &[&str] = &["api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"];

#[cfg(test)]
mod tests;
