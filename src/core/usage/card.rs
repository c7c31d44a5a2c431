//! What people are told of the use of a key that cannot be used any more, and the proof that it was needed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{KeyUsage, hints, needs_key};
use crate::core::event::{Event, Outcome};
use crate::core::inspection::{Grants, LastUsage};
use crate::core::keystate::KeyState;
use crate::core::render::clean;

/// Names of one kind on a card.
const SHOWN: usize = 8;
/// Callers and things kept of one incident's refusals.
const HARMED_MAX: usize = 20;
const TEXT_CHARS_MAX: usize = 200;

/// What is known of the use of a key at the time it became unusable. Every text is untrusted, cleaned and bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InUse {
    /// Principals seen using it, newest first.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub users: Names,
    /// What was encrypted with it, as far as AWS services say: `aws:ebs:id=vol-…`.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub things: Names,
    /// Its last successful use that came by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// What KMS itself recorded (`GetKeyLastUsage`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_recorded: Option<LastUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<usize>,
    /// There are more grants than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_grants: bool,
    /// Whom its policy lets use it.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub may_use: Names,
}

/// The first of several names, and how many more there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    pub shown: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Names {
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    fn of<'t>(names: impl ExactSizeIterator<Item = &'t str>) -> Self {
        let more = names.len().saturating_sub(SHOWN);
        Self { shown: names.take(SHOWN).map(|name| clean(name, TEXT_CHARS_MAX)).collect(), more }
    }
}

impl InUse {
    /// What the stream showed.
    pub fn seen(usage: &KeyUsage) -> Self {
        Self {
            users: Names::of(usage.users.iter().map(|(name, _)| name.as_str())),
            things: Names::of(usage.hints.iter().map(|(name, _)| name.as_str())),
            last_seen: usage.last,
            ..Self::default()
        }
    }

    /// Adds what KMS said.
    pub fn add_recorded(&mut self, last: Option<&LastUsage>, grants: Option<&Grants>) {
        self.last_recorded = last.cloned();
        self.grants = grants.map(|grants| grants.all.len());
        self.more_grants = grants.is_some_and(|grants| grants.more);
    }

    /// Keeps what KMS said of the same key before, where it was not asked, or did not answer, this time.
    pub fn keep_recorded(&mut self, before: &Self) {
        if self.last_recorded.is_none() {
            self.last_recorded.clone_from(&before.last_recorded);
        }
        if self.grants.is_none() {
            (self.grants, self.more_grants) = (before.grants, before.more_grants);
        }
    }

    /// Adds whom the policy known of the key lets use it.
    pub fn add_policy(&mut self, can_use: &[String]) {
        self.may_use = Names::of(can_use.iter().map(String::as_str));
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One use that was refused because the key cannot be used: the proof that it is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub who: Option<String>,
    /// What they tried to open.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub things: Vec<String>,
}

/// All the uses that were refused while an incident was open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Harm {
    pub refused: u64,
    /// At most 20 of them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub callers: BTreeSet<String>,
    /// What they tried to open; at most 20.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub things: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

impl Harm {
    /// Counts one; the same ones in any order make the same harm.
    pub fn add(&mut self, refused: &Refused, at: Timestamp) {
        self.refused += 1;
        self.last = self.last.max(Some(at));
        self.callers.extend(refused.who.clone());
        self.things.extend(refused.things.iter().cloned());
        for all in [&mut self.callers, &mut self.things] {
            while all.len() > HARMED_MAX {
                all.pop_last();
            }
        }
    }
}

/// Whether an event is such a refusal: a call that needs the key, or a volume that cannot be made or attached without it.
pub fn refused(event: &Event) -> Option<Refused> {
    if event.outcome != Outcome::Failed {
        return None;
    }
    let key = event.key.as_ref()?;
    key.arn.as_ref()?;
    let short = |text: &str| clean(text, TEXT_CHARS_MAX);
    if event.source == "aws.ec2" && event.name == "EBS Volume Notification" {
        let resources = event.document.get("resources").and_then(|all| all.as_array());
        let volumes =
            resources.into_iter().flatten().filter_map(|one| one.as_str()).filter(|arn| arn.contains(":volume/"));
        return Some(Refused { who: None, things: volumes.map(short).collect() });
    }
    let unusable = key.state.as_deref().map(KeyState::of).is_some_and(KeyState::is_danger);
    if event.source != "aws.kms" || !unusable || !needs_key(&event.name) {
        return None;
    }
    let who = event.actor.principal.as_deref().map(short);
    Some(Refused { who, things: hints(event).iter().map(|hint| short(hint)).collect() })
}
