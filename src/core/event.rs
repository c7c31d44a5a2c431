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
    /// What rules match: the EventBridge envelope as it came, plus `key`, `actor`, `outcome`, `denied_by`, `access`,
    /// `grant`, `replica`, `pipeline` and `trail` at top level. Absent members are absent, never empty.
    pub document: Value,
}

impl Event {
    /// Adds a member to the document that rules read, where there is something to add.
    pub fn put<T: Serialize>(&mut self, name: &str, value: Option<&T>) {
        if let (Some(document), Some(value)) = (self.document.as_object_mut(), value)
            && let Ok(value) = serde_json::to_value(value)
        {
            document.insert(name.to_owned(), value);
        }
    }
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
    /// What KMS answered when kmswatch asked: see [`observe`](super::observe). No message is one.
    Observation,
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
    /// `KeyState` of `DescribeKey`, or what the event itself says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// `CUSTOMER` or `AWS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_region: Option<bool>,
    /// When it will be destroyed, where that is scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_date: Option<Timestamp>,
    /// When its imported material expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
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
    /// Belongs neither to the account of the event nor to `[trust]`, and is no AWS service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
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

/// One field that we add to the document: what the reference prints and the linter of rules knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its path in the document, as rules write it.
    pub name: &'static str,
    /// What it holds, for the reference.
    pub doc: &'static str,
    /// Where the value comes from.
    pub derived: &'static str,
}

/// The field of that path. Members of `key.tags` and `key.labels` are free, so `key.tags.team` finds `key.tags`.
pub fn field(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| {
        path == field.name
            || (matches!(field.name, "key.tags" | "key.labels")
                && path.strip_prefix(field.name).is_some_and(|rest| rest.starts_with('.')))
    })
}

/// Members of the `EventBridge` envelope: what `EventBridge` itself sees.
pub const ENVELOPE: &[&str] =
    &["account", "detail", "detail-type", "id", "region", "replay-name", "resources", "source", "time", "version"];

/// Members of a `CloudTrail` record, below `detail` (CloudTrail user guide, "Record contents").
pub const RECORDED: &[&str] = &[
    "addendum",
    "additionalEventData",
    "apiVersion",
    "awsRegion",
    "edgeDeviceDetails",
    "errorCode",
    "errorMessage",
    "eventCategory",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "managementEvent",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "resources",
    "responseElements",
    "serviceEventDetails",
    "sessionCredentialFromConsole",
    "sharedEventID",
    "sourceIPAddress",
    "tlsDetails",
    "userAgent",
    "userIdentity",
    "vpcEndpointAccountId",
    "vpcEndpointId",
];

/// Every field that kmswatch adds to the EventBridge envelope. All but `outcome` may be absent; none is ever empty.
pub const FIELDS: &[Field] = &[
    Field {
        name: "key.arn",
        doc: "the key's ARN",
        derived: "resources, responseElements, serviceEventDetails, requestParameters, then errorMessage; a bare key id is \
                  completed from account and Region",
    },
    Field { name: "key.id", doc: "the key id without the ARN around it", derived: "as key.arn" },
    Field { name: "key.account", doc: "the account that owns the key", derived: "the key's ARN" },
    Field { name: "key.region", doc: "the Region of the key", derived: "the key's ARN" },
    Field {
        name: "key.aliases",
        doc: "alias names with their `alias/` prefix, sorted",
        derived: "the event's alias ARNs, aliasName and keyId; then ListAliases",
    },
    Field {
        name: "key.state",
        doc: "the key state after the event, spelled as KMS spells it (`Enabled`, `Disabled`, `PendingDeletion`, …)",
        derived: "keyState of the event, what a success implies (DisableKey: `Disabled`), the text of a failure; then \
                  DescribeKey",
    },
    Field {
        name: "key.manager",
        doc: "`CUSTOMER` or `AWS`",
        derived: "keyMetadata.keyManager, an alias below `alias/aws/`; then DescribeKey",
    },
    Field {
        name: "key.origin",
        doc: "`AWS_KMS`, `EXTERNAL`, `AWS_CLOUDHSM` or `EXTERNAL_KEY_STORE`",
        derived: "keyMetadata.origin or requestParameters.origin; then DescribeKey",
    },
    Field {
        name: "key.multi_region",
        doc: "whether it is a multi-Region key",
        derived: "an id that begins with `mrk-`, keyMetadata.multiRegion; then DescribeKey",
    },
    Field {
        name: "key.deletion_date",
        doc: "when the key will be destroyed, as in `2026-11-30T00:00:00Z`; absent while it waits for its replicas",
        derived: "DescribeKey; else responseElements.deletionDate of ScheduleKeyDeletion, or its waiting period (30 days \
                  where it names none)",
    },
    Field {
        name: "key.valid_to",
        doc: "when the key's imported material expires",
        derived: "requestParameters.validTo of ImportKeyMaterial; then DescribeKey",
    },
    Field {
        name: "key.tags",
        doc: "the key's tags, as one member each",
        derived: "the tags of CreateKey, ReplicateKey and TagResource; then ListResourceTags",
    },
    Field {
        name: "key.labels",
        doc: "what the configuration's `[[keys]]` say of the key",
        derived: "the configuration, over the aliases and tags known now and before",
    },
    Field {
        name: "actor.principal",
        doc: "who did it, stable over sessions: the role and not its session, a user, a root user, an account id, or the \
              AWS service (`AWS Internal`)",
        derived: "userIdentity",
    },
    Field { name: "actor.type", doc: "kind of identity (`AssumedRole`, …)", derived: "userIdentity.type" },
    Field {
        name: "actor.account",
        doc: "the account of whoever did it",
        derived: "userIdentity.accountId, else its ARN",
    },
    Field {
        name: "actor.session",
        doc: "the source identity, else the role session's name: the person behind single sign-on",
        derived: "userIdentity.sessionContext.sourceIdentity, else userIdentity.arn or principalId",
    },
    Field {
        name: "actor.service",
        doc: "the AWS service that called on somebody's behalf; `Amazon Internal` is spelled `AWS Internal`",
        derived: "userIdentity.invokedBy",
    },
    Field {
        name: "actor.ip",
        doc: "the caller's IP address, or the name of the AWS service that called",
        derived: "sourceIPAddress",
    },
    Field { name: "actor.user_agent", doc: "the caller's program, as it names itself", derived: "userAgent" },
    Field {
        name: "actor.mfa",
        doc: "whether the session was opened with a second factor",
        derived: "userIdentity.sessionContext.attributes.mfaAuthenticated",
    },
    Field {
        name: "actor.external",
        doc: "whether the caller's account is neither the account of the event nor in `[trust]`; false for AWS services; \
              absent where no account is known",
        derived: "actor.account, actor.principal, `[trust]`",
    },
    Field {
        name: "outcome",
        doc: "`success`, `denied` (an authorization failure) or `failed` (any other error, a successful dry run included)",
        derived: "errorCode, errorMessage; `result` of events that no trail recorded",
    },
    Field {
        name: "denied_by",
        doc: "the policy family that said no: `identity_policy`, `resource_policy`, `session_policy`, \
              `permissions_boundary`, `service_control_policy`, `resource_control_policy`, `vpc_endpoint_policy`, \
              `explicit_deny` where the text does not say in which policy, or `unknown`",
        derived: "the text of errorMessage",
    },
    Field {
        name: "access.public",
        doc: "whether anybody in any account may do something with the key: an Allow for every principal without a \
              condition that binds callers to named accounts, organizations or principals",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.external",
        doc: "accounts, organizations (`o-…`) and principals that may do something and are neither of the key's \
              account nor in `[trust]`, sorted",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey, `[trust]`",
    },
    Field {
        name: "access.new_external",
        doc: "those of `access.external` that the policy known before did not let in; all of them where none was known",
        derived: "the same, and the policy known before",
    },
    Field {
        name: "access.stronger_external",
        doc: "those of `access.external` that the policy known before let in already, and that may do more now",
        derived: "the same, and the policy known before",
    },
    Field {
        name: "access.external_gained",
        doc: "what those in `access.stronger_external` gained, each by a permission at least: of `use`, `administer`, \
              `grant`, `delete`, `cancel_deletion`, `change_policy`, `read`",
        derived: "the same, and the policy known before",
    },
    Field {
        name: "access.services",
        doc: "AWS services that are let in by name, sorted",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.root",
        doc: "whether the statement for the key's account itself stands: all of `kms:*`, without a condition; \
              without it IAM policies count for nothing",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.lockout",
        doc: "whether nobody of the key's account may change the policy, as far as conditions can be judged: only \
              AWS support could",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.nobody_can",
        doc: "what nobody of the key's account may do, of `use`, `administer`, `grant`, `delete`, `cancel_deletion`, \
              `change_policy`",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.perhaps_nobody_can",
        doc: "of `administer`, `cancel_deletion` and `change_policy`, what nobody of the key's account may do if a Deny \
              holds whose conditions cannot be judged; what is in `access.nobody_can` is not repeated",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.can_use",
        doc: "who may encrypt, decrypt, sign, …: account ids, `o-…`, principals, services, `*` for anybody; sorted",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.can_administer",
        doc: "who may manage the key (enable, rotate, tag, alias, import, replicate, …)",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.can_grant",
        doc: "who may make grants (`kms:CreateGrant`)",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.can_delete",
        doc: "who may make the key unusable (`kms:ScheduleKeyDeletion`, `kms:DisableKey`, \
              `kms:DeleteImportedKeyMaterial`)",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.can_cancel_deletion",
        doc: "who may call a deletion off (`kms:CancelKeyDeletion`)",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.can_change_policy",
        doc: "who may change the policy (`kms:PutKeyPolicy`)",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.given",
        doc: "who may do what, a line of text each: `account 444455556666 (external) has use, grant`",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.denied",
        doc: "what is denied to whom, a line of text each",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "access.compared",
        doc: "whether a policy known before was there to compare with",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey, and what was seen before",
    },
    Field {
        name: "access.gained",
        doc: "who gained what against the policy known before, a line of text each: `account 444455556666 (external) \
              gained use, grant`",
        derived: "the same",
    },
    Field {
        name: "access.lost",
        doc: "who lost what against the policy known before, a line of text each",
        derived: "the same",
    },
    Field {
        name: "access.unknown",
        doc: "what of the policy could not be understood, a line of text each; the other fields may then be \
              incomplete, and are absent if nothing could be read",
        derived: "the policy in PutKeyPolicy, CreateKey or ReplicateKey",
    },
    Field {
        name: "grant.grantee",
        doc: "who is granted something, as the request says it",
        derived: "granteePrincipal or granteeServicePrincipal of CreateGrant",
    },
    Field {
        name: "grant.kind",
        doc: "what the grantee is: `account`, `user`, `role`, `session`, `service`, `instance`, `id` (of a principal \
              that is gone) or `unknown`",
        derived: "the same",
    },
    Field { name: "grant.account", doc: "the account the grantee belongs to", derived: "the same" },
    Field {
        name: "grant.service",
        doc: "the AWS service that is the grantee, or that acts for the instance that is",
        derived: "the same",
    },
    Field {
        name: "grant.external",
        doc: "whether the grantee is neither of the account of the event nor in `[trust]`; false for AWS services; \
              absent where its account is not known",
        derived: "the same, `[trust]`",
    },
    Field {
        name: "grant.human",
        doc: "whether a principal asked for the grant (a person, or a program of somebody's), and not an AWS service",
        derived: "userIdentity, sourceIPAddress",
    },
    Field { name: "grant.operations", doc: "what is granted, sorted", derived: "operations of CreateGrant" },
    Field {
        name: "grant.can_create_grants",
        doc: "whether the grantee may make grants in turn",
        derived: "operations of CreateGrant",
    },
    Field {
        name: "grant.constrained",
        doc: "whether an encryption context or a source ARN narrows the grant",
        derived: "constraints of CreateGrant",
    },
    Field {
        name: "grant.retiree",
        doc: "who may retire the grant",
        derived: "retiringPrincipal or retiringServicePrincipal of CreateGrant",
    },
    Field {
        name: "replica.allowed",
        doc: "whether the Region that a key is replicated into is among `regions` of `[trust]`; absent where those name none",
        derived: "replicaRegion of ReplicateKey, `[trust]`",
    },
    Field {
        name: "rotation.period_days",
        doc: "days between automatic rotations from now on; 365, KMS's default, where the call names none",
        derived: "rotationPeriodInDays of an EnableKeyRotation that succeeded; what KMS says in a review",
    },
    Field {
        name: "rotation.period_before",
        doc: "the period known before; absent where none was",
        derived: "the same, and what was seen before",
    },
    Field {
        name: "rotation.lengthened",
        doc: "whether the period is longer than the one known before; absent where none was",
        derived: "the same",
    },
    Field {
        name: "pipeline.ours",
        doc: "whether events come to kmswatch on the queue or the EventBridge rule that a call is about",
        derived: "queueUrl of SQS, the rule's name and eventBusName of EventBridge, `[queues.*]`",
    },
    Field {
        name: "pipeline.queue",
        doc: "the ARN of the queue that a call is about, however the call wrote it",
        derived: "queueUrl of SQS",
    },
    Field {
        name: "pipeline.rule",
        doc: "the EventBridge rule that a call is about: its name, on another event bus than the default one behind the bus's: \
              `bus/rule`",
        derived: "name or rule, and eventBusName, of DeleteRule, DisableRule, EnableRule, PutRule, PutTargets and RemoveTargets",
    },
    Field {
        name: "pipeline.reaches_us",
        doc: "whether the targets put include a queue of ours that is handed the events as they are; absent where none was put",
        derived: "targets and failedEntries of PutTargets, `[queues.*]`",
    },
    Field {
        name: "trail.name",
        doc: "the trail that a call is about: its name, also where the call gives its ARN; the ARN of a trail of another account \
              or Region",
        derived: "name or trailName of CreateTrail, DeleteTrail, PutEventSelectors, StartLogging, StopLogging and UpdateTrail",
    },
    Field {
        name: "trail.records_kms",
        doc: "which calls of KMS the trail records from now on: `all`, `writes`, `reads` or `none`; where some are left out by name, \
              as if all were",
        derived: "eventSelectors or advancedEventSelectors of PutEventSelectors",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::access::{Access, Grant, Replica};
    use crate::core::pipeline::{Pipeline, Trail};
    use crate::core::rotation::Rotation;

    #[test]
    fn the_table_lists_exactly_what_the_document_gets() {
        let full = |text: &str| Some(text.to_owned());
        let map = || BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let key = KeyRef {
            arn: full("x"),
            id: full("x"),
            account: full("x"),
            region: full("x"),
            aliases: vec!["x".to_owned()],
            state: full("x"),
            manager: full("x"),
            origin: full("x"),
            multi_region: Some(true),
            deletion_date: Some(Timestamp::UNIX_EPOCH),
            valid_to: Some(Timestamp::UNIX_EPOCH),
            tags: map(),
            labels: map(),
        };
        let actor = Actor {
            principal: full("x"),
            kind: full("x"),
            account: full("x"),
            session: full("x"),
            service: full("x"),
            ip: full("x"),
            user_agent: full("x"),
            mfa: Some(true),
            external: Some(true),
        };
        let list = || vec!["x".to_owned()];
        let access = Access {
            public: Some(true),
            external: list(),
            new_external: list(),
            stronger_external: list(),
            external_gained: list(),
            services: list(),
            root: Some(true),
            lockout: Some(true),
            nobody_can: list(),
            perhaps_nobody_can: list(),
            can_use: list(),
            can_administer: list(),
            can_grant: list(),
            can_delete: list(),
            can_cancel_deletion: list(),
            can_change_policy: list(),
            given: list(),
            denied: list(),
            compared: Some(true),
            gained: list(),
            lost: list(),
            unknown: list(),
        };
        let grant = Grant {
            grantee: full("x"),
            kind: Some("role"),
            account: full("x"),
            service: full("x"),
            external: Some(true),
            human: Some(true),
            operations: list(),
            can_create_grants: Some(true),
            constrained: Some(true),
            retiree: full("x"),
        };
        let names = |prefix: &str, value: Value| -> Vec<String> {
            value.as_object().unwrap().keys().map(|name| format!("{prefix}.{name}")).collect()
        };
        let mut written: BTreeSet<String> = ["outcome".to_owned(), "denied_by".to_owned()].into();
        written.extend(names("key", serde_json::to_value(key).unwrap()));
        written.extend(names("actor", serde_json::to_value(actor).unwrap()));
        written.extend(names("access", serde_json::to_value(access).unwrap()));
        written.extend(names("grant", serde_json::to_value(grant).unwrap()));
        written.extend(names("replica", serde_json::to_value(Replica { allowed: Some(true) }).unwrap()));
        let rotation = Rotation { period_days: Some(1), period_before: Some(1), lengthened: Some(true) };
        written.extend(names("rotation", serde_json::to_value(rotation).unwrap()));
        let pipeline = Pipeline { ours: Some(true), queue: full("x"), rule: full("x"), reaches_us: Some(true) };
        written.extend(names("pipeline", serde_json::to_value(pipeline).unwrap()));
        let trail = Trail { name: full("x"), records_kms: Some("all") };
        written.extend(names("trail", serde_json::to_value(trail).unwrap()));
        let listed: BTreeSet<String> = FIELDS.iter().map(|f| f.name.to_owned()).collect();
        assert_eq!(listed, written);
        assert_eq!(listed.len(), FIELDS.len(), "each once");
    }

    #[test]
    fn fields_are_found_by_path() {
        assert_eq!(field("key.tags.team").map(|f| f.name), Some("key.tags"));
        assert_eq!(field("key.labels").map(|f| f.name), Some("key.labels"));
        assert_eq!(field("key.tagsx"), None);
        assert_eq!(field("actor.principal.x"), None);
    }

    #[test]
    fn nothing_known_is_nothing_written() {
        assert_eq!(serde_json::to_value(KeyRef::default()).unwrap(), serde_json::json!({}));
        assert_eq!(serde_json::to_value(Actor::default()).unwrap(), serde_json::json!({}));
        assert_eq!(serde_json::to_value(Access::default()).unwrap(), serde_json::json!({}));
        assert_eq!(serde_json::to_value(Grant::default()).unwrap(), serde_json::json!({}));
        assert_eq!(serde_json::to_value(Replica::default()).unwrap(), serde_json::json!({}));
        assert_eq!(serde_json::to_value(Rotation::default()).unwrap(), serde_json::json!({}));
        assert_eq!(serde_json::to_value(Pipeline::default()).unwrap(), serde_json::json!({}));
        assert_eq!(serde_json::to_value(Trail::default()).unwrap(), serde_json::json!({}));
        assert_eq!(KeyRef::default().display_name(), "unknown key");
    }
}
