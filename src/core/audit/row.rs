//! What is kept of a key once it is judged: enough for every report, and little enough for a hundred thousand keys.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Finding;
use crate::core::event::KeyRef;
use crate::core::inspection::{Inspection, LastUsage, Rotation};
use crate::core::render;
use crate::core::rule::Severity;

/// One key with what is said of it. Its texts are clean and bounded, and still untrusted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub key: KeyRef,
    pub read_at: Timestamp,
    pub managed_by_aws: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Whether KMS could rotate it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_rotate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rotation: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_usage: Option<LastUsage>,
    /// Regions of the keys that are the same key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deadlines: Vec<Deadline>,
    /// What could not be read, and why, by permission.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gaps: BTreeMap<String, String>,
    /// The parts that could be judged in full: what is not found in them is not there.
    #[serde(skip)]
    pub judged: Vec<&'static str>,
    /// The worst first. Reports tell them by themselves.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

/// Who may do what, by the key's policy; what IAM policies add is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Who {
    #[serde(rename = "use")]
    pub uses: Vec<String>,
    pub administer: Vec<String>,
    pub grant: Vec<String>,
    pub delete: Vec<String>,
    pub change_policy: Vec<String>,
    /// Who holds a grant.
    pub by_grant: Vec<String>,
    /// The account's root has every permission: IAM policies of the account give more than is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<bool>,
}

/// Something will happen to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Deadline {
    pub at: Timestamp,
    pub kind: DeadlineKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineKind {
    Deletion,
    MaterialExpires,
    Rotation,
}

impl DeadlineKind {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Deletion => "is deleted",
            Self::MaterialExpires => "material expires",
            Self::Rotation => "rotates",
        }
    }
}

impl Row {
    /// The row of an inspection, with nothing judged yet.
    pub(super) fn of(inspection: &Inspection, key: &KeyRef) -> Self {
        let details = inspection.details.known();
        let gaps = inspection.gaps().into_iter();
        let multi_region = details.and_then(|details| details.multi_region.as_ref());
        let regions = multi_region.map(|all| all.primary_key.iter().chain(&all.replicas)).into_iter().flatten();
        let mut regions: Vec<String> =
            regions.filter_map(|arn| Some(render::clean(arn.split(':').nth(3)?, 40))).take(40).collect();
        regions.sort_unstable();
        regions.dedup();
        Self {
            key: render::key(key),
            read_at: inspection.read_at,
            managed_by_aws: details.is_some_and(crate::core::inspection::Details::is_managed_by_aws),
            created: details.and_then(|details| details.created),
            spec: details.and_then(|details| Some(render::clean(details.spec.as_deref()?, 60))),
            usage: details.and_then(|details| Some(render::clean(details.usage.as_deref()?, 60))),
            rotation: inspection.rotation.known().cloned(),
            can_rotate: details.and_then(crate::core::inspection::Details::rotates_by_itself),
            last_rotation: inspection.last_rotation(),
            last_usage: inspection.last_usage.known().cloned(),
            regions,
            who: None,
            grants: inspection.grants.known().map(|grants| grants.all.len()),
            deadlines: Vec::new(),
            gaps: gaps.map(|(permission, why)| (permission.to_owned(), render::clean(why, 200))).collect(),
            judged: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// What a person calls it.
    pub fn name(&self) -> &str {
        self.key.display_name()
    }

    /// Whether KMS said what the key is. Where it did not, whatever else could be read is not all that is to be said.
    pub fn is_judged(&self) -> bool {
        !self.gaps.contains_key("kms:DescribeKey")
    }

    /// The worst that is said of it.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
