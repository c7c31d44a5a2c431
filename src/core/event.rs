//! One decoded happening, and the document that rules match.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One decoded happening: a CloudTrail call, a service event, a native KMS event, or an event of
/// another service that the queue also carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Identity: two deliveries with the same id are duplicates.
    pub id: EventId,
    pub family: Family,
    /// `eventName` for CloudTrail events, the `detail-type` for all others.
    pub name: String,
    /// EventBridge's `source`, such as `aws.kms`. Derived from `eventSource` when there was no envelope.
    pub source: String,
    /// The account in which it happened (the recipient's, for CloudTrail).
    pub account: Option<String>,
    pub region: Option<String>,
    /// When it happened: `detail.eventTime`, else the envelope's `time`.
    pub time: Timestamp,
    pub read_only: Option<bool>,
    pub outcome: Outcome,
    pub denied_by: Option<DeniedBy>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    /// The key it is about; `None` where the event names none.
    pub key: Option<KeyRef>,
    /// Further keys it touches, such as the second one of a `ReEncrypt`.
    pub other_keys: Vec<KeyRef>,
    pub actor: Actor,
    /// Set where the event says of itself that it comes late.
    pub late: Option<Late>,
    /// CloudTrail's `sharedEventID`: the same call seen from two accounts.
    pub shared_id: Option<String>,
    /// One fact that two event families tell; such events merge into one alert.
    pub fact: Option<Fact>,
    /// What rules match: the EventBridge envelope as it came, plus `key`, `actor`, `outcome` and `denied_by`
    /// at top level. Absent members are absent, never empty.
    pub document: Value,
}

/// Account + Region + `eventID`; else the envelope's id; native KMS events: kind + key + material id + time bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub String);

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// `AWS API Call via CloudTrail` and its kin: somebody called an API.
    Call,
    /// `AWS Service Event via CloudTrail`: AWS did it by itself.
    Service,
    /// KMS's own events, which need no trail.
    Native,
    /// EventBridge's `Scheduled Event`: a heartbeat.
    Scheduled,
    /// A well-formed event of another kind.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Success,
    /// An authorization failure (`AccessDenied` and its kin).
    Denied,
    /// Any other error.
    Failed,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// Which policy family said no, read from the text of `errorMessage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeniedBy {
    IdentityPolicy,
    ResourcePolicy,
    SessionPolicy,
    PermissionsBoundary,
    ServiceControlPolicy,
    ResourceControlPolicy,
    VpcEndpointPolicy,
    /// "with an explicit deny", where the text does not say in which policy.
    ExplicitDeny,
    Unknown,
}

impl DeniedBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdentityPolicy => "identity_policy",
            Self::ResourcePolicy => "resource_policy",
            Self::SessionPolicy => "session_policy",
            Self::PermissionsBoundary => "permissions_boundary",
            Self::ServiceControlPolicy => "service_control_policy",
            Self::ResourceControlPolicy => "resource_control_policy",
            Self::VpcEndpointPolicy => "vpc_endpoint_policy",
            Self::ExplicitDeny => "explicit_deny",
            Self::Unknown => "unknown",
        }
    }
}

/// A KMS key as far as it is known. From the event first, from KMS lookups second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyRef {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The key id (`1234abcd-…` or `mrk-…`), without the ARN around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Alias names (`alias/prod-ebs`), sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// `KeyState` of DescribeKey, or what the event itself says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// `CUSTOMER` or `AWS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_region: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What `[[keys]]` of the configuration says of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl KeyRef {
    /// What a person calls it: the first alias, else the id, else the ARN.
    pub fn display_name(&self) -> &str {
        self.aliases.first().or(self.id.as_ref()).or(self.arn.as_ref()).map_or("unknown key", String::as_str)
    }
}

/// Who did it. `principal` is stable: the role, not the session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// `userIdentity.type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Role session name: the human behind single sign-on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// `invokedBy`: the AWS service that called on somebody's behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa: Option<bool>,
}

/// An event that says of itself that it is late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// CloudTrail's `addendum` with its reason (`DELIVERY_DELAY`, `UPDATED_DATA`, `SERVICE_OUTAGE`).
    Addendum { reason: String, original: Option<String> },
    /// An EventBridge archive replay, by its name.
    Replay { name: String },
}

/// A happening that both a CloudTrail service event and a native KMS event tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fact {
    pub kind: FactKind,
    /// The bare key id: native events and CloudTrail events agree on it.
    pub key_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    Rotation,
    Deletion,
    MaterialExpired,
}
