//! One use of a key, as an event tells it.

use std::borrow::Cow;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::Value;

use crate::core::decode::arn::KmsArn;
use crate::core::event::{Event, Outcome};
use crate::core::pattern::tree::Tree;
use crate::core::peek::{Paths, Peek, View};

/// A key was used with success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting<'e> {
    /// The key's ARN.
    pub key: Cow<'e, str>,
    pub at: Timestamp,
    /// The principal.
    pub who: Option<Cow<'e, str>>,
    /// What was opened, or sealed: `aws:ebs:id=vol-0123456789abcdef0`.
    pub hints: Vec<String>,
}

/// Calls that need the key to be usable.
const USES: &[&str] = &[
    "Decrypt",
    "DeriveSharedSecret",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "ReEncrypt",
    "Sign",
    "Verify",
    "VerifyMac",
];

/// Members of encryption contexts by which AWS services say what they encrypt.
const HINTS: &[&str] = &[
    "aws:backup:backup-vault",
    "aws:cloudtrail:arn",
    "aws:dynamodb:tableName",
    "aws:ebs:id",
    "aws:lambda:FunctionArn",
    "aws:logs:arn",
    "aws:rds:db-id",
    "aws:rds:dbc-id",
    "aws:s3:arn",
    "aws:sns:topicArn",
    "aws:sqs:arn",
    "PARAMETER_ARN",
    "SecretARN",
];

static PATHS: LazyLock<Paths> = LazyLock::new(|| {
    let members: &[&[&str]] = &[
        &["source"],
        &["detail", "eventName"],
        &["detail", "errorCode"],
        &["detail", "eventTime"],
        &["detail", "resources", "ARN"],
        &["detail", "userIdentity", "arn"],
        &["detail", "userIdentity", "invokedBy"],
        &["detail", "userIdentity", "sessionContext", "sessionIssuer", "arn"],
    ];
    let hints = HINTS.iter().map(|hint| vec!["detail", "requestParameters", "encryptionContext", *hint]);
    Paths::new(members.iter().map(|path| path.to_vec()).chain(hints))
});

/// Values nested deeper than this are none of KMS's records.
const DEPTH_MAX: usize = 32;

/// Hands what the body of a plain EventBridge envelope tells of a key's use to `told`; nothing where it tells none.
pub fn peeked(body: &str, told: impl FnOnce(&Sighting<'_>)) {
    if let Some(peek) = Peek::read(body, &PATHS, DEPTH_MAX)
        && let Some(sighting) = of_peek(&peek)
    {
        told(&sighting);
    }
}

fn of_peek<'p>(peek: &'p Peek<'_>) -> Option<Sighting<'p>> {
    let is_use = peek.text(&["source"]) == Some("aws.kms")
        && peek.text(&["detail", "errorCode"]).is_none()
        && peek.text(&["detail", "eventName"]).is_some_and(|name| USES.contains(&name));
    if !is_use {
        return None;
    }
    let detail = peek.view().member("detail")?;
    let resources = detail.member("resources")?.elements()?;
    let key = resources.filter_map(|one| one.member("ARN")?.text()).find(|arn| is_key(arn))?;
    let at = peek.text(&["detail", "eventTime"])?.parse().ok()?;
    let identity = detail.member("userIdentity");
    let member = |path: &[&str]| path.iter().try_fold(identity?, |view, name| view.member(name)).and_then(View::text);
    let who = member(&["sessionContext", "sessionIssuer", "arn"])
        .or_else(|| member(&["arn"]))
        .or_else(|| member(&["invokedBy"]));
    let context = detail.member("requestParameters").and_then(|request| request.member("encryptionContext"));
    let hint = |name: &&str| Some(format!("{name}={}", context?.member(name)?.text()?));
    Some(Sighting { key: key.into(), at, who: who.map(Cow::from), hints: HINTS.iter().filter_map(hint).collect() })
}

fn is_key(arn: &str) -> bool {
    KmsArn::parse(arn).is_some_and(|arn| arn.key_id().is_some())
}

impl<'e> Sighting<'e> {
    /// What a decoded event tells; `None` where it is no use that succeeded.
    pub fn of(event: &'e Event) -> Option<Self> {
        let is_use =
            event.source == "aws.kms" && event.outcome == Outcome::Success && USES.contains(&event.name.as_str());
        let key = event.key.as_ref()?.arn.as_deref().filter(|_| is_use)?;
        let who = event.actor.principal.as_deref();
        Some(Self { key: key.into(), at: event.time, who: who.map(Cow::from), hints: hints(event) })
    }
}

/// Whether a call of KMS fails where the key cannot be used.
pub fn needs_key(event_name: &str) -> bool {
    event_name == "CreateGrant" || USES.contains(&event_name)
}

/// What a call says of the things behind the key: of one that failed, what somebody could not open.
pub fn hints(event: &Event) -> Vec<String> {
    let context = event.document.pointer("/detail/requestParameters/encryptionContext").and_then(Value::as_object);
    let hint = |name: &&str| Some(format!("{name}={}", context?.get(*name)?.as_str()?));
    HINTS.iter().filter_map(hint).collect()
}
