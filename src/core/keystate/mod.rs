//! In which state a key is, out of dated facts.
//!
//! A [`KeyRecord`] keeps the newest fact of each kind, and of each key material, in event time: a join of maxima, so the same facts
//! in any order, any number of times, make the same record. [`KeyRecord::standing`] is a total function of it; ARCHITECTURE.md
//! draws it.

mod facts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::core::observe::settled;

pub use facts::{fact, material, pattern, tells};

/// The incident family whose incidents move with their key. A rule joins it by naming it in `incident`.
pub const FAMILY: &str = "key-unusable";

/// What the situations of [`FAMILY`] that keep a record are grouped by.
pub const GROUP_BY: &str = "key.arn";

/// The states of a key, from the best to the worst (KMS developer guide, "Key states of KMS keys"; `Deleted` is what
/// remains when there is no key any more, `Unknown` what nothing was heard of).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyState {
    Unknown,
    Enabled,
    Creating,
    Updating,
    Unavailable,
    Disabled,
    PendingImport,
    PendingReplicaDeletion,
    PendingDeletion,
    Deleted,
}

impl KeyState {
    pub const ALL: [Self; 10] = [
        Self::Unknown,
        Self::Enabled,
        Self::Creating,
        Self::Updating,
        Self::Unavailable,
        Self::Disabled,
        Self::PendingImport,
        Self::PendingReplicaDeletion,
        Self::PendingDeletion,
        Self::Deleted,
    ];

    /// As KMS spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Enabled => "Enabled",
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::Unavailable => "Unavailable",
            Self::Disabled => "Disabled",
            Self::PendingImport => "PendingImport",
            Self::PendingReplicaDeletion => "PendingReplicaDeletion",
            Self::PendingDeletion => "PendingDeletion",
            Self::Deleted => "Deleted",
        }
    }

    /// What KMS says; a word that is new to us is `Unknown`.
    pub fn of(text: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Unknown)
    }

    /// Whether what needs the key fails, now or at its next use.
    pub fn is_danger(self) -> bool {
        self >= Self::Unavailable
    }

    /// The end of it is scheduled.
    fn is_scheduled(self) -> bool {
        matches!(self, Self::PendingDeletion | Self::PendingReplicaDeletion)
    }
}

/// Who says in which state a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// An event that changes whether the key may be used: enabled, disabled, scheduled, cancelled, deleted.
    Life,
    /// An event about one of its imported materials: lost, or imported again.
    Material,
    /// KMS itself, asked. It is eventually consistent.
    Kms,
    /// KMS, in the text of an error.
    Refusal,
}

impl Witness {
    /// Whether KMS says it, and not an event that made it so.
    pub fn is_kms(self) -> bool {
        matches!(self, Self::Kms | Self::Refusal)
    }
}

/// A key was in this state after this moment, says the witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    pub at: Timestamp,
    pub state: KeyState,
    pub by: Witness,
}

impl Fact {
    /// What is destroyed stays so; else the newest counts, and of several at one moment (CloudTrail has whole seconds) the worst.
    fn order(&self) -> (bool, Timestamp, KeyState, Witness) {
        let terminal = self.state == KeyState::Deleted && !self.by.is_kms();
        (terminal, self.at, self.state, self.by)
    }
}

/// What is known of one key: the newest fact of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    life: Option<Fact>,
    /// Of imported material that no event names, and of whatever was imported last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    material: Option<Fact>,
    /// Of each imported material, by its id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    materials: BTreeMap<String, Fact>,
    /// Whatever was lost before this moment was there again at it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    whole: Option<Timestamp>,
    /// The newest loss of material that was heard of, whatever came after it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    last_loss: Option<Timestamp>,
    /// When KMS, asked, said last that material is missing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pending: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    kms: Option<Fact>,
}

/// Materials remembered of one key; KMS allows fewer.
pub const MATERIALS_MAX: usize = 64;

impl KeyRecord {
    /// Takes a fact in; `material` is the one that it is about, where it names one. KMS may not know yet what happened within the
    /// settle time before it was asked.
    pub fn learn(&mut self, fact: Fact, material: Option<&str>, settle: SignedDuration) {
        let usable = fact.state == KeyState::Enabled;
        match (fact.by, material) {
            _ if fact.state == KeyState::Unknown => {}
            // Nobody can enable a key that lacks material (KMS developer guide, "Key state table").
            (Witness::Life, _) => {
                join(&mut self.life, fact);
                self.whole = self.whole.max(usable.then_some(fact.at));
            }
            (Witness::Material, Some(id)) => {
                self.learn_of(id, fact);
                if usable {
                    join(&mut self.material, fact);
                }
            }
            // An event that names no material is of a time when a key had one.
            (Witness::Material, None) => {
                join(&mut self.material, fact);
                self.whole = self.whole.max(usable.then_some(fact.at));
            }
            (Witness::Kms | Witness::Refusal, _) => {
                join(&mut self.kms, fact);
                self.whole = self.whole.max(usable.then(|| settled(fact.at, settle)));
                // Who was refused may never be able to ask; who asks can ask again.
                let asked = fact.by == Witness::Kms && fact.state == KeyState::PendingImport;
                self.pending = self.pending.max(asked.then_some(fact.at));
            }
        }
        if fact.state == KeyState::PendingImport {
            self.last_loss = self.last_loss.max(Some(fact.at));
        }
    }

    fn learn_of(&mut self, material: &str, fact: Fact) {
        let mut known = self.materials.get(material).copied();
        join(&mut known, fact);
        self.materials.extend(known.map(|known| (material.to_owned(), known)));
        while self.materials.len() > MATERIALS_MAX {
            // What is there is forgotten first: forgetting a loss could end an incident too early.
            let order = |(id, fact): (&String, &Fact)| (fact.state.is_danger(), fact.at, id.clone());
            let oldest = self.materials.iter().min_by_key(|entry| order(*entry)).map(|(id, _)| id.clone());
            oldest.map(|oldest| self.materials.remove(&oldest));
        }
    }

    /// The newest loss of a material that is not there again: the key needs all of them.
    fn lost(&self) -> Option<Fact> {
        let all = self.materials.values().chain(&self.material);
        let missing = |fact: &&Fact| fact.state.is_danger() && self.whole.is_none_or(|whole| fact.at >= whole);
        all.filter(missing).max_by_key(|fact| fact.at).copied()
    }

    /// Whether a material was lost and, as far as is known, is not there again.
    pub fn lacks_material(&self) -> bool {
        self.lost().is_some() || self.is_pending()
    }

    /// KMS was asked and said that material is missing, and it does not say which: an import of one may not be enough, so only what
    /// proves that all of it is there takes that back.
    fn is_pending(&self) -> bool {
        self.pending.is_some_and(|said| self.whole.is_none_or(|whole| said >= whole))
    }

    /// Whether an event within the settle time before made the key usable, so that KMS may not have known of it yet.
    pub fn usable_just_before(&self, at: Timestamp, settle: SignedDuration) -> bool {
        let newest = [self.life, self.material].into_iter().flatten().filter(|fact| fact.state == KeyState::Enabled);
        newest.map(|fact| fact.at).any(|event| settled(at, settle) < event && event <= at)
    }

    /// Whether what is said of one material does not count: another is missing, or KMS says that the key cannot be used for
    /// another reason, so that whoever was refused will be again.
    pub fn keeps_up(&self) -> bool {
        let said = self.standing(SignedDuration::ZERO).filter(|fact| fact.by.is_kms() && fact.state.is_danger());
        self.lacks_material() || said.is_some_and(|fact| fact.state != KeyState::PendingImport)
    }

    /// Whether this, which `before` has become by what KMS said, is worth keeping although the state is the same: what imports of
    /// material mean from now on is not.
    pub fn says_more(&self, before: &Self) -> bool {
        self.is_pending() != before.is_pending()
    }

    /// The fact that says in which state the key is; `None` where nothing was heard.
    ///
    /// What KMS says counts where no event is newer, and only from a settle time after the newest event on: before, KMS may
    /// not know yet of what has just happened.
    pub fn standing(&self, settle: SignedDuration) -> Option<Fact> {
        let event = self.by_events();
        let Some(told) = self.kms else { return event };
        let Some(event) = event else { return Some(told) };
        if event.order().0 {
            return Some(event);
        }
        let settled = event.at.checked_add(settle).unwrap_or(Timestamp::MAX);
        Some(if told.at >= settled { told } else { event })
    }

    /// The state now.
    pub fn state(&self, settle: SignedDuration) -> KeyState {
        self.standing(settle).map_or(KeyState::Unknown, |fact| fact.state)
    }

    /// The newest thing heard of it.
    pub fn newest(&self) -> Option<Timestamp> {
        let facts = [self.life, self.material, self.kms].into_iter().flatten();
        facts.chain(self.materials.values().copied()).map(|fact| fact.at).max()
    }

    /// Losing its material does not change the state of a key that waits for its deletion (KMS API reference,
    /// `DeleteImportedKeyMaterial`).
    fn by_events(&self) -> Option<Fact> {
        match (self.life, self.lost().or(self.restored())) {
            (Some(life), Some(_)) if life.state.is_scheduled() => Some(life),
            (Some(life), Some(material)) => Some(if material.order() > life.order() { material } else { life }),
            (one, other) => one.or(other),
        }
    }

    /// The import that made the key usable again: nothing is missing any more. One of material that is there (it may move the date of
    /// its end) changes nothing, so it speaks only where a loss is newer than whatever else says in which state the key is.
    fn restored(&self) -> Option<Fact> {
        let loss = self.last_loss.filter(|_| !self.is_pending())?;
        let other = self.kms.filter(|fact| fact.state != KeyState::PendingImport);
        let newer = [self.life, other].into_iter().flatten().all(|fact| fact.at < loss);
        self.material.filter(|fact| newer && fact.state == KeyState::Enabled)
    }
}

fn join(slot: &mut Option<Fact>, fact: Fact) {
    if slot.is_none_or(|known| known.order() < fact.order()) {
        *slot = Some(fact);
    }
}
