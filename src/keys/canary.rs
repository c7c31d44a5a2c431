//! `[canaries.<name>]`, and the calls that canaries make.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId;
use aws_sdk_kms::types::Tag;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;
use tokio::sync::Mutex;

use super::Config;
use super::kms::{KeyArn, count};
use crate::base::aws::{Access, AssumeRole, AwsConfig, Failure, FailureClass};
use crate::base::diagnostic::Problem;
use crate::base::period::Period;
use crate::core::canary::{Answer, CALLS_KEPT, CallKind, Canary, TAG};

/// One call, from connecting to the answer. Not repeated by the SDK: each call has a request id of its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// `[canaries.<name>]`: a harmless KMS call that is made again and again, and has to come back through CloudTrail, EventBridge and
/// a queue: the proof that kmswatch hears. One for each queue, account and Region.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryConfig {
    /// The queue, by its name in `[queues.<name>]`, through which the call has to come back.
    #[schemars(with = "String")]
    pub queue: Spanned<String>,
    /// The ARN of the key that is called: a key of the account and Region whose events the queue gets; for `tag` one that serves
    /// nothing else.
    #[schemars(with = "String")]
    pub key: Spanned<String>,
    /// How often it is called. 10 seconds to 1 day.
    #[serde(default = "quarter")]
    #[schemars(with = "Period", default = "shown_quarter")]
    pub every: Spanned<Period>,
    /// How long the way back may take before kmswatch is said to be blind. 10 seconds to 6 hours; CloudTrail needs some minutes.
    #[serde(default = "quarter")]
    #[schemars(with = "Period", default = "shown_quarter")]
    pub slo: Spanned<Period>,
    /// What is called: `describe` (`kms:DescribeKey`, a read: for queues that are handed everything) or `tag` (`kms:TagResource`, which
    /// writes the tag `kmswatch-canary`). Default: `describe` where the queue's `delivers` is `full`, else `tag`.
    #[serde(default)]
    #[schemars(with = "Option<CallKind>")]
    pub call: Option<Spanned<CallKind>>,
    /// The role to take on before calling. Without one, that of `[lookups.assume_role.<account>]`, if there is one for the key's
    /// account.
    #[serde(default)]
    pub assume_role: Option<AssumeRole>,
}

fn quarter() -> Spanned<Period> {
    Spanned::new(0..0, Period::from_secs(15 * 60))
}

fn shown_quarter() -> &'static str {
    "15m"
}

impl CanaryConfig {
    /// Pure: no file, network or environment is read.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        if KeyArn::parse(self.key.get_ref()).is_none() {
            problems.push(
                Problem::error(self.key.span(), format!("`{}` is not the ARN of a key", self.key.get_ref())).hint(
                    "write it like \"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab\"; an alias will not do, it can be pointed elsewhere",
                ),
            );
        }
        let (least, day) = (Duration::from_secs(10), Duration::from_hours(24));
        for (name, value, most) in [("every", &self.every, day), ("slo", &self.slo, Duration::from_hours(6))] {
            if !(least..=most).contains(&value.get_ref().unsigned()) {
                let text = format!("`{name}` is {}, outside 10 s to {} h", value.get_ref(), most.as_secs() / 3600);
                problems.push(Problem::error(value.span(), text).hint("15 minutes suit most"));
            }
        }
        let (every, slo) = (self.every.get_ref().unsigned(), self.slo.get_ref().unsigned());
        if slo < Duration::from_mins(5) && slo >= least {
            problems.push(
                Problem::warning(
                    self.slo.span(),
                    "with `slo` below 5 min CloudTrail's own delay is taken for blindness",
                )
                .hint("leave it at 15 minutes; CloudTrail promises nothing, and mostly needs a few"),
            );
        }
        // More than half of what is remembered would be outstanding.
        if slo > every * u32::try_from(CALLS_KEPT / 2).unwrap_or(u32::MAX) {
            problems.push(
                Problem::error(
                    self.every.span(),
                    "`every` is so short that calls are forgotten before their `slo` is over",
                )
                .hint("call it every 15 minutes"),
            );
        }
        if let Some(role) = &self.assume_role {
            role.check(problems);
        }
    }

    /// What is to be called. `full` says that the queue is handed everything; `None` where the key is no key.
    pub fn canary(&self, name: &str, full: bool, lookups: &Config) -> Option<Canary> {
        let key = KeyArn::parse(self.key.get_ref())?;
        let default = if full { CallKind::Describe } else { CallKind::Tag };
        let role = self.assume_role.as_ref().or(lookups.assume_role.get(&key.account));
        Some(Canary {
            name: name.to_owned(),
            queue: self.queue.get_ref().clone(),
            key: key.text,
            account: key.account,
            region: key.region,
            call: self.call.as_ref().map_or(default, |call| *call.get_ref()),
            every: self.every.get_ref().signed(),
            slo: self.slo.get_ref().signed(),
            role: role.map(|role| role.role_arn.get_ref().clone()),
        })
    }
}

/// Makes the calls of canaries.
#[async_trait]
pub trait CanaryCalls: Send + Sync {
    /// Makes one call; a tag is given `token` as its value. Never takes longer than some seconds.
    async fn call(&self, canary: &Canary, token: &str) -> Answer;
}

/// The real thing, with a client for each canary.
pub struct CanaryCaller {
    lookups: Config,
    access: Access,
    roles: BTreeMap<String, Option<AssumeRole>>,
    clients: Mutex<HashMap<String, Made>>,
    /// Where STS is, in tests.
    sts: Option<String>,
}

/// A client, and who calls by it.
#[derive(Clone)]
struct Made {
    client: Client,
    by: Option<String>,
}

impl CanaryCaller {
    /// Endpoint and profile are those of `[lookups]`. Makes no request.
    pub fn new(canaries: &BTreeMap<String, CanaryConfig>, lookups: &Config, access: &Access) -> Self {
        let roles = canaries.iter().map(|(name, canary)| (name.clone(), canary.assume_role.clone())).collect();
        Self { lookups: lookups.clone(), access: access.clone(), roles, clients: Mutex::default(), sts: None }
    }

    /// The client, and who calls by it; asked for again where STS did not say.
    async fn client(&self, canary: &Canary) -> Made {
        let mut clients = self.clients.lock().await;
        if let Some(made) = clients.get(&canary.name).filter(|made| made.by.is_some()) {
            return made.clone();
        }
        let own = self.roles.get(&canary.name).cloned().flatten();
        let aws = AwsConfig {
            region: Some(canary.region.clone()),
            endpoint: self.lookups.endpoint.as_ref().map(|url| url.get_ref().clone()),
            fips: self.lookups.fips,
            dual_stack: self.lookups.dual_stack,
            profile: self.lookups.profile.clone(),
            assume_role: own.or_else(|| self.lookups.assume_role.get(&canary.account).cloned()),
        };
        let shared = aws.load(&self.access).await;
        let limits = shared
            .timeout_config()
            .map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder)
            .operation_timeout(CALL_TIMEOUT);
        let config = aws_sdk_kms::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits.build());
        let by = match &aws.assume_role {
            Some(role) => Some(role.role_arn.get_ref().clone()),
            None => match aws.identity(&self.access, self.sts.as_deref()).await {
                Ok(arn) => Some(arn),
                Err(failure) => {
                    let error = failure.detail;
                    tracing::debug!(canary.name = %canary.name, error, "STS does not say who we are; a canary is known by its request id alone");
                    None
                }
            },
        };
        let made = Made { client: Client::from_conf(config.build()), by };
        clients.insert(canary.name.clone(), made.clone());
        made
    }

    async fn answer<O: RequestId, E>(
        &self,
        canary: &Canary,
        by: Option<String>,
        verb: &'static str,
        result: Result<O, SdkError<E, HttpResponse>>,
    ) -> Answer
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match result {
            Ok(output) => {
                count(verb, None);
                Answer { request: output.request_id().map(str::to_owned), by, failed: None }
            }
            Err(error) => {
                let request = error.request_id().map(str::to_owned);
                let failure = Failure::of(&error);
                count(verb, Some(&failure));
                if failure.class == FailureClass::Credentials {
                    // The SDK would keep the credentials of a rotated file for ever.
                    self.clients.lock().await.remove(&canary.name);
                }
                Answer { request, by, failed: Some(failure.detail) }
            }
        }
    }
}

#[async_trait]
impl CanaryCalls for CanaryCaller {
    async fn call(&self, canary: &Canary, token: &str) -> Answer {
        let Made { client, by } = self.client(canary).await;
        match canary.call {
            CallKind::Describe => {
                let result = Box::pin(client.describe_key().key_id(&canary.key).send()).await;
                self.answer(canary, by, "canary_describe", result).await
            }
            CallKind::Tag => {
                let tag = match Tag::builder().tag_key(TAG).tag_value(token).build() {
                    Ok(tag) => tag,
                    Err(error) => return Answer { failed: Some(error.to_string()), ..Answer::default() },
                };
                let result = Box::pin(client.tag_resource().key_id(&canary.key).tags(tag).send()).await;
                self.answer(canary, by, "canary_tag", result).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::aws::fake::{Reply, Server};

    const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn config(more: &str) -> CanaryConfig {
        toml::from_str(&format!("queue = \"main\"\nkey = \"{KEY}\"\n{more}")).unwrap()
    }

    fn caller(server: &Server, config: &CanaryConfig) -> (CanaryCaller, Config) {
        let lookups: Config = toml::from_str(&format!("endpoint = \"{}\"", server.url)).unwrap();
        let all = BTreeMap::from([("main".to_owned(), config.clone())]);
        let caller =
            CanaryCaller { sts: Some(server.url.clone()), ..CanaryCaller::new(&all, &lookups, &Access::unchecked()) };
        (caller, lookups)
    }

    #[tokio::test]
    async fn a_tag_is_written_and_the_request_id_is_known() {
        let server = Server::start(|_, _| Reply::ok(&json!({})).header("x-amzn-requestid", "r-1")).await;
        let config = config("");
        let (caller, lookups) = caller(&server, &config);
        let canary = config.canary("main", false, &lookups).unwrap();
        let answer = caller.call(&canary, "main-1790000000000").await;
        assert_eq!(
            answer,
            Answer { request: Some("r-1".to_owned()), ..Answer::default() },
            "STS does not say who we are"
        );
        let requests = server.requests();
        let operations: Vec<&str> = requests.iter().map(|request| request.operation.as_str()).collect();
        assert_eq!(operations, ["GetCallerIdentity", "TagResource"]);
        assert_eq!(requests[1].body["KeyId"], KEY);
        assert_eq!(requests[1].body["Tags"], json!([{ "TagKey": TAG, "TagValue": "main-1790000000000" }]));
    }

    #[tokio::test]
    async fn a_refused_read_has_a_request_id_and_is_not_repeated() {
        let server = Server::start(|_, _| {
            Reply::error(400, "AccessDeniedException", "not you").header("x-amzn-requestid", "r-2")
        })
        .await;
        let config = config("call = \"describe\"");
        let (caller, lookups) = caller(&server, &config);
        let answer = caller.call(&config.canary("main", false, &lookups).unwrap(), "").await;
        assert_eq!(answer.request.as_deref(), Some("r-2"));
        assert!(answer.failed.unwrap().contains("not you"));
        let throttled = Server::start(|_, _| Reply::error(500, "KMSInternalException", "later")).await;
        let (caller, _) = self::caller(&throttled, &config);
        assert!(caller.call(&config.canary("main", false, &lookups).unwrap(), "").await.failed.is_some());
        assert_eq!(throttled.count("DescribeKey"), 1, "each call is one event");
    }

    #[tokio::test]
    async fn who_calls_is_asked_once() {
        let arn = "arn:aws:sts::111122223333:assumed-role/kmswatch/i-1";
        let server = Server::start(move |request, _| match request.operation.as_str() {
            "GetCallerIdentity" => Reply::text(
                200,
                &format!(
                    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                     <Arn>{arn}</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
                ),
            ),
            _ => Reply::ok(&json!({})),
        })
        .await;
        let config = config("");
        let (caller, lookups) = caller(&server, &config);
        let canary = config.canary("main", false, &lookups).unwrap();
        for _ in 0..2 {
            assert_eq!(caller.call(&canary, "x").await.by.as_deref(), Some(arn));
        }
        assert_eq!((server.count("GetCallerIdentity"), server.count("TagResource")), (1, 2));
    }

    #[test]
    fn what_is_called_follows_from_what_the_queue_is_handed() {
        let lookups: Config =
            toml::from_str("[assume_role.111122223333]\nrole_arn = \"arn:aws:iam::111122223333:role/reader\"").unwrap();
        let canary = |more: &str, full| config(more).canary("main", full, &lookups).unwrap();
        assert_eq!(canary("", true).call, CallKind::Describe);
        assert_eq!(canary("", false).call, CallKind::Tag);
        assert_eq!(canary("call = \"tag\"", true).call, CallKind::Tag);
        assert_eq!(canary("", true).role.as_deref(), Some("arn:aws:iam::111122223333:role/reader"));
        let own = canary("assume_role = { role_arn = \"arn:aws:iam::111122223333:role/canary\" }", true);
        assert_eq!(own.role.as_deref(), Some("arn:aws:iam::111122223333:role/canary"));
        assert_eq!((own.account.as_str(), own.region.as_str()), ("111122223333", "eu-central-1"));
    }

    #[test]
    fn each_mistake_is_named() {
        let problems = |toml: &str| {
            let config: CanaryConfig = toml::from_str(toml).unwrap();
            let mut problems = vec![];
            config.check(&mut problems);
            assert!(problems.iter().all(|p| p.hint.is_some() && !p.span.is_empty()), "{problems:?}");
            problems.into_iter().map(|p| p.message).collect::<Vec<_>>()
        };
        let key = format!("queue = \"main\"\nkey = \"{KEY}\"\n");
        assert!(problems(&key).is_empty());
        assert!(problems(&format!("{key}every = \"10s\"\nslo = \"5m\"")).is_empty());
        for (toml, expected) in [
            ("queue = \"main\"\nkey = \"alias/canary\"".to_owned(), "is not the ARN of a key"),
            (format!("{key}every = \"9s\""), "`every` is 9s, outside 10 s to 24 h"),
            (format!("{key}slo = \"7h\""), "`slo` is 7h, outside 10 s to 6 h"),
            (format!("{key}slo = \"1m\""), "CloudTrail's own delay"),
            (format!("{key}every = \"10s\"\nslo = \"6h\""), "forgotten before their `slo`"),
            (format!("{key}assume_role = {{ role_arn = \"x\" }}"), "is not the ARN of a role"),
        ] {
            let found = problems(&toml);
            assert!(found.iter().any(|p| p.contains(expected)), "{toml}: {found:?}");
        }
    }
}
