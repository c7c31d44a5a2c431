//! AWS Security Hub, by `BatchImportFindings`: one finding for each incident, in the AWS Security Finding Format.
//!
//! A finding keeps its `Id` from the first notification to the last. The end archives it and leaves `Workflow` alone, which belongs
//! to the people who work with findings. The call is signed here: its SDK would be a hundred times as large as what is used of it.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use serde_spanned::Spanned;
use tokio::sync::OnceCell;

use super::{BuildError, Character, Class, DeliveryError, Dispatch, FailReason, Receipt, Sink, SinkContext, http};
use crate::base::aws::{
    Access, AssumeRole, AwsConfig, Failure, FailureClass, Signer, Unsigned, check_account, check_endpoint, check_region,
    class_of, dns_suffix, is_region, without_namespace,
};
use crate::base::diagnostic::Problem;

mod finding;

use finding::{Place, finding};

/// `[sinks.<name>.security_hub]`
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The Region whose Security Hub is told.
    #[schemars(with = "String")]
    pub region: Spanned<String>,
    /// The account whose Security Hub is told: the one that the credentials are of, as AWS asks. A key's own account stands in
    /// the finding.
    #[schemars(with = "String")]
    pub account: Spanned<String>,
    /// A role of that account to take on before calling.
    #[serde(default)]
    pub assume_role: Option<AssumeRole>,
    /// The profile of the shared AWS configuration files to take credentials from.
    #[serde(default)]
    pub profile: Option<String>,
    /// Scheme, host and port to call instead of Security Hub's own: a VPC endpoint or a local server.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<Spanned<String>>,
    /// Call the FIPS endpoint.
    #[serde(default)]
    pub fips: bool,
    /// How it talks HTTP.
    #[serde(default)]
    pub http: http::Config,
}

impl Config {
    /// Security Hub takes ten calls a second from an account; half of that leaves room for others.
    pub const MAX_PER_MINUTE: Option<u32> = Some(300);

    pub fn check(&self, _: Range<usize>, problems: &mut Vec<Problem>) {
        check_region(&self.region, problems);
        check_account(&self.account, problems);
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint, self.fips, false, problems);
        }
        if let Some(role) = &self.assume_role {
            role.check(problems);
            let owner = role.role_arn.get_ref().split(':').nth(4);
            if owner.is_some_and(|owner| owner != self.account.get_ref()) {
                problems.push(
                    Problem::error(role.role_arn.span(), "the role is of another account than the findings")
                        .hint("Security Hub takes findings of an account from that account only: `account` is the role's"),
                );
            }
        }
        self.http.check(problems);
    }

    pub fn build(&self, context: &SinkContext) -> Result<Arc<dyn Sink>, BuildError> {
        let region = self.region.get_ref().clone();
        // The name of a host is made of it.
        if !is_region(&region) {
            return Err(BuildError::Wrong(format!("`{region}` is not a region")));
        }
        let host = if self.fips { "securityhub-fips" } else { "securityhub" };
        let own = format!("https://{host}.{region}.{}", dns_suffix(&region));
        let endpoint = self.endpoint.as_ref().map_or(own, |endpoint| endpoint.get_ref().trim_end_matches('/').to_owned());
        let aws = AwsConfig {
            region: Some(region.clone()),
            profile: self.profile.clone(),
            assume_role: self.assume_role.clone(),
            ..AwsConfig::default()
        };
        Ok(Arc::new(SecurityHub {
            http: http::Http::new(&self.http, context.clock.clone())?,
            endpoint,
            place: Place { account: self.account.get_ref().clone(), region },
            aws,
            access: context.aws.clone(),
            signer: OnceCell::new(),
        }))
    }
}

struct SecurityHub {
    http: http::Http,
    endpoint: String,
    place: Place,
    aws: AwsConfig,
    access: Access,
    signer: OnceCell<Signer>,
}

#[async_trait]
impl Sink for SecurityHub {
    fn kind(&self) -> &'static str {
        "security_hub"
    }

    fn character(&self) -> Character {
        Character::Machine
    }

    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError> {
        let body = json!({ "Findings": [finding(dispatch.notification, &self.place)] }).to_string();
        let answer = self.call(Method::POST, "/findings/import", body).await?;
        // A repeat under the same `Id` changes nothing.
        imported(&answer).map(|()| Receipt::default())
    }

    /// `DescribeHub`: whether Security Hub is switched on. Needs `securityhub:DescribeHub`, which deliveries do not.
    async fn probe(&self) -> Result<(), DeliveryError> {
        self.call(Method::GET, "/accounts", String::new()).await.map(drop)
    }
}

impl SecurityHub {
    /// Signs and sends; an answer that is no success has become an error.
    async fn call(&self, method: Method, path: &str, body: String) -> Result<Value, DeliveryError> {
        let url = self.http.url(&format!("{}{path}", self.endpoint))?;
        let signer = self
            .signer
            .get_or_init(|| Signer::new("securityhub", &self.place.region, &self.aws, &self.access))
            .await;
        let unsigned =
            Unsigned { method: method.as_str(), url: url.as_str(), headers: &[("content-type", JSON)], body: body.as_bytes() };
        let signature = signer.headers(unsigned, self.http.now()).await.map_err(|failure| no_signature(&failure))?;
        let mut request = self.http.client().request(method, url.clone()).header(CONTENT_TYPE, JSON);
        for (name, value) in signature {
            request = signed(request, name, &value)?;
        }
        let answer = self.http.send(request.body(body)).await?;
        let error = match judge(&answer) {
            Ok(()) => return Ok(serde_json::from_slice(&answer.body).unwrap_or_default()),
            Err(error) => error,
        };
        if error.reason == FailReason::Auth {
            signer.forget().await;
        }
        Err(error)
    }
}

fn signed(request: RequestBuilder, name: &'static str, value: &str) -> Result<RequestBuilder, DeliveryError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| DeliveryError::new(Class::Park, FailReason::Secret, "the credentials cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(request.header(name, value))
}

fn no_signature(failure: &Failure) -> DeliveryError {
    let class = if failure.class == FailureClass::Credentials { Class::Retry { after: None } } else { Class::Reject };
    DeliveryError::new(class, FailReason::Auth, format!("no AWS credentials: {}", failure.detail))
}

/// Classifies by the error's code, and by status where there is none.
fn judge(answer: &http::Answer) -> Result<(), DeliveryError> {
    let by_status = answer.accepted("Security Hub");
    let Err(error) = by_status else { return Ok(()) };
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(code) = ["__type", "Code", "code"].iter().find_map(|name| body[name].as_str()) else { return Err(error) };
    let retry = Class::Retry { after: answer.retry_after };
    let (class, reason) = match class_of(code, answer.status.as_u16()) {
        FailureClass::Throttled => (retry, FailReason::RateLimited),
        FailureClass::Server => (retry, FailReason::Server),
        FailureClass::Timeout => (retry, FailReason::Timeout),
        FailureClass::AccessDenied | FailureClass::Credentials => (Class::Park, FailReason::Auth),
        // Security Hub is not switched on in this account and Region.
        _ if without_namespace(code) == "InvalidAccessException" => (Class::Park, FailReason::NotFound),
        _ => return Err(error),
    };
    Err(DeliveryError { class, reason, ..error })
}

/// A success may hold failures.
fn imported(answer: &Value) -> Result<(), DeliveryError> {
    if let Some(failed) = answer["FailedFindings"].as_array().and_then(|failed| failed.first()) {
        let said = |name: &str| failed[name].as_str().unwrap_or_default();
        let detail = format!("Security Hub did not take the finding: {}: {}", said("ErrorCode"), said("ErrorMessage"));
        let retry = Class::Retry { after: None };
        let (class, reason) = match class_of(said("ErrorCode"), 400) {
            FailureClass::Throttled => (retry, FailReason::RateLimited),
            FailureClass::Server => (retry, FailReason::Server),
            FailureClass::AccessDenied | FailureClass::Credentials => (Class::Park, FailReason::Auth),
            _ => (Class::Reject, FailReason::Client),
        };
        return Err(DeliveryError::new(class, reason, detail));
    }
    if answer["SuccessCount"] == 1 {
        return Ok(());
    }
    let detail = "the answer is not Security Hub's: it counts no finding";
    Err(DeliveryError::new(Class::Park, FailReason::Client, detail).unknown())
}

const JSON: &str = "application/json";

#[cfg(test)]
mod tests;
