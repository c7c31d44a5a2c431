//! Everything KMS says of one key at one time, part by part: each may be known, denied, failed, or not asked for.
//!
//! All texts in it are whatever somebody wrote into KMS: untrusted, and cleaned where people read them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decode::arn::KmsArn;
use super::enrich::{KeyDetails, Lookup};
use super::event::KeyRef;

/// One part of an inspection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part<T> {
    Known(T),
    /// We are not allowed to ask.
    Denied,
    /// KMS knows no such key: for a deleted key a confirmation.
    NotFound,
    /// Why there is no answer, in words.
    Failed(String),
    /// Not wanted, or it makes no sense for such a key.
    #[default]
    NotAsked,
}

impl<T> Part<T> {
    pub fn known(&self) -> Option<&T> {
        if let Self::Known(value) = self { Some(value) } else { None }
    }

    /// Why it is not known, in words, if it was asked for.
    pub fn gap(&self) -> Option<&str> {
        match self {
            Self::Known(_) | Self::NotAsked => None,
            Self::Denied => Some("denied"),
            Self::NotFound => Some("KMS knows no such key"),
            Self::Failed(why) => Some(why),
        }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Part<U> {
        match self {
            Self::Known(value) => Part::Known(change(value)),
            Self::Denied => Part::Denied,
            Self::NotFound => Part::NotFound,
            Self::Failed(why) => Part::Failed(why),
            Self::NotAsked => Part::NotAsked,
        }
    }
}

/// What to ask of a key beside `DescribeKey`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    pub aliases: bool,
    pub tags: bool,
    pub rotation: bool,
    pub rotations: bool,
    pub policy: bool,
    pub grants: bool,
    pub last_usage: bool,
    /// Whether to ask so of the keys too that AWS manages for its services.
    pub managed_by_aws: bool,
    /// A page waits for the answer: it does not queue behind looks for which nobody waits.
    pub urgent: bool,
}

impl Wants {
    pub const NOTHING: Self = Self {
        aliases: false,
        tags: false,
        rotation: false,
        rotations: false,
        policy: false,
        grants: false,
        last_usage: false,
        managed_by_aws: false,
        urgent: false,
    };
    pub const ALL: Self = Self {
        aliases: true,
        tags: true,
        rotation: true,
        rotations: true,
        policy: true,
        grants: true,
        last_usage: true,
        managed_by_aws: true,
        urgent: false,
    };
}

/// What KMS says of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspection {
    pub arn: String,
    /// When the reading began.
    pub read_at: Timestamp,
    pub details: Part<Details>,
    /// Alias names with their `alias/` prefix, sorted.
    pub aliases: Part<Vec<String>>,
    pub tags: Part<BTreeMap<String, String>>,
    pub rotation: Part<Rotation>,
    /// Its key materials, oldest first as KMS gives them.
    pub rotations: Part<Vec<Material>>,
    /// The key policy's text.
    pub policy: Part<String>,
    pub grants: Part<Grants>,
    pub last_usage: Part<LastUsage>,
}

/// What `DescribeKey` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    pub id: String,
    /// `KeyState`.
    pub state: Option<String>,
    /// `CUSTOMER` or `AWS`.
    pub manager: Option<String>,
    /// `AWS_KMS`, `EXTERNAL`, `AWS_CLOUDHSM` or `EXTERNAL_KEY_STORE`.
    pub origin: Option<String>,
    pub spec: Option<String>,
    pub usage: Option<String>,
    pub description: Option<String>,
    pub created: Option<Timestamp>,
    /// When KMS will delete it: the only reliable deadline there is.
    pub deletion_date: Option<Timestamp>,
    /// The waiting period of a primary key whose replicas are still there.
    pub pending_window_days: Option<i32>,
    /// When the first of its imported materials expires.
    pub valid_to: Option<Timestamp>,
    /// `KEY_MATERIAL_EXPIRES` or `KEY_MATERIAL_DOES_NOT_EXPIRE`.
    pub expiration_model: Option<String>,
    pub key_store: Option<String>,
    pub multi_region: Option<MultiRegion>,
}

/// One of the keys that are the same key in several Regions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MultiRegion {
    pub primary: bool,
    /// ARN of the primary key.
    pub primary_key: Option<String>,
    /// ARNs of the replicas.
    pub replicas: Vec<String>,
}

/// What `GetKeyRotationStatus` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rotation {
    pub enabled: bool,
    pub period_days: Option<i32>,
    pub next: Option<Timestamp>,
    /// When a rotation on demand began that has not ended.
    pub on_demand_start: Option<Timestamp>,
}

/// One key material, as `ListKeyRotations` says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Material {
    pub id: Option<String>,
    /// `CURRENT`, `NON_CURRENT`, `PENDING_ROTATION` and so on.
    pub state: Option<String>,
    /// `IMPORTED` or `PENDING_IMPORT`.
    pub import_state: Option<String>,
    pub valid_to: Option<Timestamp>,
    /// Absent for the first material.
    pub rotated: Option<Timestamp>,
    /// `AUTOMATIC` or `ON_DEMAND`.
    pub kind: Option<String>,
}

/// The grants of a key, as far as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    pub all: Vec<KeyGrant>,
    /// There are more than were read.
    pub more: bool,
}

/// One grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyGrant {
    pub id: Option<String>,
    pub name: Option<String>,
    pub created: Option<Timestamp>,
    pub grantee: Option<String>,
    pub grantee_service: Option<String>,
    pub retiree: Option<String>,
    pub operations: Vec<String>,
    /// An encryption context or a source ARN narrows it.
    pub constrained: bool,
}

/// What `GetKeyLastUsage` says. Without `at`, no successful use was recorded since `tracked_from`; a key that is older may have
/// been used before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastUsage {
    pub at: Option<Timestamp>,
    pub operation: Option<String>,
    /// `CloudTrail`'s id of that call.
    pub event_id: Option<String>,
    pub tracked_from: Option<Timestamp>,
}

impl Details {
    /// Whether AWS made it for one of its services: nobody can change it.
    pub fn is_managed_by_aws(&self) -> bool {
        self.manager.as_deref() == Some("AWS")
    }

    /// Symmetric keys for encryption have materials that follow each other. `None` where it is not known.
    pub fn has_rotations(&self) -> Option<bool> {
        let symmetric = self.spec.as_deref()? == "SYMMETRIC_DEFAULT";
        let store = matches!(self.origin.as_deref()?, "AWS_CLOUDHSM" | "EXTERNAL_KEY_STORE");
        Some(symmetric && !store)
    }

    /// Whether KMS can rotate it by itself.
    pub fn rotates_by_itself(&self) -> Option<bool> {
        Some(self.has_rotations()? && self.origin.as_deref()? == "AWS_KMS")
    }
}

impl Inspection {
    pub fn of(arn: &str, read_at: Timestamp) -> Self {
        Self { arn: arn.to_owned(), read_at, ..Self::default() }
    }

    /// KMS itself says that there is no such key.
    pub fn is_gone(&self) -> bool {
        self.details == Part::NotFound
    }

    /// The newest rotation of which there is a record.
    pub fn last_rotation(&self) -> Option<Timestamp> {
        self.rotations.known()?.iter().filter_map(|material| material.rotated).max()
    }

    /// The key as events carry it, without labels.
    pub fn key(&self) -> KeyRef {
        let arn = KmsArn::parse(&self.arn);
        let details = self.details.known();
        KeyRef {
            arn: Some(self.arn.clone()),
            id: arn.and_then(|arn| arn.key_id()).map(str::to_owned),
            account: arn.map(|arn| arn.account.to_owned()),
            region: arn.map(|arn| arn.region.to_owned()),
            aliases: self.aliases.known().cloned().unwrap_or_default(),
            state: details.and_then(|details| details.state.clone()),
            manager: details.and_then(|details| details.manager.clone()),
            origin: details.and_then(|details| details.origin.clone()),
            multi_region: details.map(|details| details.multi_region.is_some()),
            deletion_date: details.and_then(|details| details.deletion_date),
            valid_to: details.and_then(|details| details.valid_to),
            tags: self.tags.known().cloned().unwrap_or_default(),
            labels: BTreeMap::new(),
        }
    }

    /// The same as a lookup's answer.
    pub fn lookup(&self) -> Lookup {
        match &self.details {
            Part::Known(details) => {
                let key = self.key();
                let gaps = [("aliases", self.aliases.gap()), ("tags", self.tags.gap())];
                let unread = gaps.into_iter().filter_map(|(part, why)| Some((part.to_owned(), why?.to_owned())));
                Lookup::Known(Box::new(KeyDetails {
                    arn: key.arn,
                    id: Some(details.id.clone()),
                    aliases: key.aliases,
                    state: key.state,
                    manager: key.manager,
                    origin: key.origin,
                    multi_region: key.multi_region,
                    tags: key.tags,
                    deletion_date: details.deletion_date,
                    valid_to: details.valid_to,
                    read_at: self.read_at,
                    unread: unread.collect(),
                }))
            }
            Part::Denied => Lookup::Denied,
            Part::NotFound => Lookup::NotFound,
            Part::Failed(why) => Lookup::Failed(why.clone()),
            Part::NotAsked => Lookup::Off,
        }
    }

    /// What was asked for and could not be read: the permission, and why.
    pub fn gaps(&self) -> Vec<(&'static str, &str)> {
        [
            ("kms:DescribeKey", self.details.gap()),
            ("kms:ListAliases", self.aliases.gap()),
            ("kms:ListResourceTags", self.tags.gap()),
            ("kms:GetKeyRotationStatus", self.rotation.gap()),
            ("kms:ListKeyRotations", self.rotations.gap()),
            ("kms:GetKeyPolicy", self.policy.gap()),
            ("kms:ListGrants", self.grants.gap()),
            ("kms:GetKeyLastUsage", self.last_usage.gap()),
        ]
        .into_iter()
        .filter_map(|(permission, why)| Some((permission, why?)))
        .collect()
    }
}
