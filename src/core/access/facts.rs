//! What the document gets of a key policy and of a grant. Absent members are absent, never empty.

use serde::Serialize;

/// `access` of the document: what the key policy that an event carries gives, and to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Access {
    /// Anybody in any account may do something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Accounts, organizations and principals that do not belong to us and may do something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<String>,
    /// Those of `external` that the policy known before did not let in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_external: Vec<String>,
    /// Those of `external` that the policy known before let in already, and that may do more now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stronger_external: Vec<String>,
    /// Abilities of which those in `stronger_external` gained something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_gained: Vec<String>,
    /// AWS services that are let in by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// The account's root has every permission without a condition, so that IAM policies count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<bool>,
    /// Nobody of the key's account may change the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout: Option<bool>,
    /// Abilities that nobody of the key's account has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nobody_can: Vec<String>,
    /// Abilities that mend a key and that nobody of its account has if Denies hold whose conditions cannot be judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub perhaps_nobody_can: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_use: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_administer: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_grant: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_delete: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_cancel_deletion: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_change_policy: Vec<String>,
    /// What is denied to whom, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<String>,
    /// Who has what now, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// Whether there was an earlier policy to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<bool>,
    /// Who gained what against the policy known before, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gained: Vec<String>,
    /// Who lost what, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// Parts that could not be understood, in words; the other members may then be incomplete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// `replica` of the document: what `[trust]` says of a `ReplicateKey`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// The Region is among those of `[trust]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<bool>,
}

/// `grant` of the document: what a `CreateGrant` gives, and to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Grant {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grantee: Option<String>,
    /// `account`, `user`, `role`, `session`, `service`, `instance`, `id` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The account the grantee belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The AWS service that is the grantee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The grantee belongs neither to the account of the event nor to `[trust]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
    /// A principal asked for it, not an AWS service on somebody's behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub human: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    /// `CreateGrant` is among its operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_create_grants: Option<bool>,
    /// An encryption context or a source ARN narrows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constrained: Option<bool>,
    /// Who may retire it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retiree: Option<String>,
}
