//! What the engine remembers under one fingerprint, as values that do not depend on the order of arrival.
//!
//! Every member rule has a [`Condition`]: the newest danger and the newest clearance, both in event time. A
//! condition is a join of maxima, so the same events in any order give the same answer; the danger wins a
//! tie. An incident is open while any of its conditions is active. A clearance that speaks of one key material only is kept
//! beside them, and counts while no other material keeps the danger up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::countdown::{self, Countdown, Deadline};
use super::event::KeyRef;
use super::hold::Held;
use super::keystate::{KeyRecord, MATERIALS_MAX};
use super::notification::{EventCard, Link};
use super::rule::{Rule, Severity};
use super::usage::{Harm, InUse};
use super::window::WindowState;

/// Which incident an alert joins: a hash of the rule (or the family it names) and the group-by values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything remembered under one fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    pub fingerprint: Fingerprint,
    /// By rule id. A condition without an incident is a dated marker: a resolve that came before its alert.
    pub conditions: BTreeMap<String, Condition>,
    /// By rule id: what rules that look at several events together remember of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub windows: BTreeMap<String, WindowState>,
    /// What rules with `countdown` count down to, by rule id, or by the [name](countdown::name) of a rule and a key material.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub countdowns: BTreeMap<String, Countdown>,
    /// What is known of the state of the key, where incidents move with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record: Option<KeyRecord>,
    /// The newest incident; older ones live on in the store's history.
    pub incident: Option<Incident>,
}

impl Situation {
    pub fn new(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            conditions: BTreeMap::new(),
            windows: BTreeMap::new(),
            countdowns: BTreeMap::new(),
            record: None,
            incident: None,
        }
    }

    /// Whether its incident owes people something that is held back.
    pub fn is_held(&self) -> bool {
        self.incident.as_ref().is_some_and(|incident| incident.held.is_some())
    }

    /// What can be made of a situation that does not read back, out of its newest incident. Dangers stand until something says
    /// that they are past; which rules have fired is forgotten, so that the next alert is told as a new danger.
    #[must_use]
    pub fn rebuilt(fingerprint: Fingerprint, mut incident: Incident) -> Self {
        let mut situation = Self::new(fingerprint);
        for rule in &incident.rules {
            // Which of them was the worst is still known, or each may have been.
            let unknown = || Fired { severity: incident.severity, tags: incident.tags.clone() };
            incident.fired.entry(rule.clone()).or_insert_with(unknown);
        }
        if incident.state != State::Resolved {
            let standing = Condition { last_danger: Some(incident.last_alert_at), ..Condition::default() };
            let rules = std::mem::take(&mut incident.rules);
            situation.conditions = rules.into_iter().map(|rule| (rule, standing.clone())).collect();
        }
        situation.incident = Some(incident);
        situation
    }

    /// What is left of it when everything else is forgotten; `None` if nothing is.
    pub fn learnt(&self) -> Option<Self> {
        let learnt = self.windows.iter().filter_map(|(rule, window)| Some((rule.clone(), window.learnt()?)));
        let windows: BTreeMap<_, _> = learnt.collect();
        (!windows.is_empty()).then(|| Self { windows, ..Self::new(self.fingerprint.clone()) })
    }

    /// Whether any member rule's danger still stands.
    pub fn active(&self, now: Timestamp) -> bool {
        self.standing(now).next().is_some()
    }

    /// The conditions whose danger still stands, by rule.
    pub fn standing(&self, now: Timestamp) -> impl Iterator<Item = (&String, &Condition)> {
        self.conditions.iter().filter(move |(rule, condition)| condition.active(self.cleared(rule, now), now))
    }

    /// The newest clearance of a rule's danger that counts.
    pub fn cleared(&self, rule: &str, now: Timestamp) -> Option<Timestamp> {
        let condition = self.conditions.get(rule)?;
        let of_one = condition.cleared_of_one().filter(|_| !self.keeps_up(rule, now));
        condition.last_clear.max(of_one)
    }

    /// Whether a danger stands whatever is said of one key material: another is lost, and the key needs all of them; KMS says that
    /// the key cannot be used for another reason; or another expires, and people were told, or are to be told now.
    fn keeps_up(&self, rule: &str, now: Timestamp) -> bool {
        let told = |countdown: &Countdown| countdown.alerted || countdown.due.is_some_and(|due| due <= now);
        self.record.as_ref().is_some_and(KeyRecord::keeps_up)
            || self.standing_countdowns().any(|(of, known)| of == rule && known.date > now && told(known))
    }

    /// When the last of the dangers ended; `None` while one stands or none ever was.
    pub fn cleared_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.active(now) {
            return None;
        }
        let ends = self.conditions.iter().filter_map(|(rule, known)| known.cleared_at(self.cleared(rule, now), now));
        ends.max()
    }

    /// When this situation next needs a look although nothing happens: a danger that ends by time, a repeat notice,
    /// something expected that did not come, a mark before a date, or the end of what holds a notification back.
    pub fn next_due(&self) -> Option<Timestamp> {
        let windows = self.windows.values().filter_map(|window| window.due);
        let countdowns = self.countdowns.values().filter_map(|countdown| countdown.due);
        windows.chain(countdowns).chain(self.incident_due()).min()
    }

    /// The countdowns that nothing has ended, by rule.
    pub fn standing_countdowns(&self) -> impl Iterator<Item = (&str, &Countdown)> {
        let standing = self.countdowns.iter().filter(|(name, countdown)| self.counts(name, countdown));
        standing.map(|(name, countdown)| (countdown::parts(name).0, countdown))
    }

    /// Of what a rule counts down to, the name of the earliest date after `now`.
    pub fn nearest(&self, rule: &str, now: Timestamp) -> Option<&str> {
        let of_rule = |name: &str| countdown::parts(name).0 == rule;
        let ahead = self.countdowns.iter().filter(|(name, known)| of_rule(name) && known.date > now);
        let standing = ahead.filter(|(name, known)| self.counts(name, known));
        standing.min_by_key(|(name, known)| (known.date, *name)).map(|(name, _)| name.as_str())
    }

    /// Whether nothing has ended a countdown, and nothing newer was said of the date.
    pub fn counts(&self, name: &str, countdown: &Countdown) -> bool {
        let (rule, material) = countdown::parts(name);
        let condition = self.conditions.get(rule);
        if !countdown.stands(condition.and_then(|condition| condition.last_clear)) {
            return false;
        }
        if let Some(material) = material {
            let cleared = condition.and_then(|condition| condition.materials.get(material).copied());
            let whole = self.countdowns.get(rule);
            return countdown.stands(cleared) && whole.is_none_or(|whole| whole.leaves(countdown));
        }
        // Whose date KMS named is not known, so what is said of one material does not end it: KMS will say another.
        let of_one = |other: &String| matches!(countdown::parts(other), (of, Some(_)) if of == rule);
        let newest = self.countdowns.iter().filter(|(other, _)| of_one(other)).map(|(_, one)| one.at).max();
        let cleared = condition.and_then(Condition::cleared_of_one);
        countdown.settled.is_some() || countdown.stands(newest.max(cleared))
    }

    fn incident_due(&self) -> Option<Timestamp> {
        let incident = self.incident.as_ref().filter(|incident| incident.state != State::Resolved)?;
        let stands = |(rule, known): &(&String, &Condition)| {
            // A date that is still ahead keeps its danger up, and is a timer of its own.
            let cleared = self.cleared(rule, Timestamp::MIN);
            known.last_danger.is_some_and(|danger| cleared.is_none_or(|clear| clear <= danger))
        };
        let mut standing = self.conditions.iter().filter(stands).map(|(_, known)| known.ends_at());
        // The last danger to end ends the incident; one that has no end of its own keeps it open.
        let ends = standing.try_fold(None, |latest, end| end.map(|end| latest.max(Some(end)))).flatten();
        let repeat = (incident.state == State::Open)
            .then(|| incident.last_notified_at?.checked_add(incident.repeat?).ok())
            .flatten();
        // What holds a notification back may end by itself.
        let opens = incident.held.as_ref().and_then(|held| held.until);
        [ends, repeat, opens].into_iter().flatten().min()
    }
}

/// One member rule's condition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_danger: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_clear: Option<Timestamp>,
    /// The newest clearance that speaks of one key material only, by its id; at most [`MATERIALS_MAX`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub materials: BTreeMap<String, Timestamp>,
    /// For rules that end by time: the danger ends this long after the newest alert.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolve_after: Option<SignedDuration>,
    /// The resolve pattern that was in force when the danger came, as JSON: an incident keeps the resolve conditions
    /// it opened with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolve: Option<serde_json::Value>,
    /// The group-by paths then in force: a rule that groups otherwise now cannot speak for this condition.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub group_by: Vec<String>,
}

impl Condition {
    /// Takes over how the rule lets a danger end, and how it groups.
    pub fn follow(&mut self, rule: &Rule) {
        self.resolve_after = rule.resolve_after;
        self.resolve.clone_from(&rule.resolve_source);
        self.group_by.clone_from(&rule.group_by);
    }

    /// The newest thing heard of it.
    pub fn newest(&self) -> Option<Timestamp> {
        self.last_danger.max(self.last_clear).max(self.cleared_of_one())
    }

    /// The newest clearance that speaks of one key material only.
    fn cleared_of_one(&self) -> Option<Timestamp> {
        self.materials.values().copied().max()
    }

    /// A danger is past, as far as this material goes, or altogether.
    pub fn clear(&mut self, material: Option<&str>, at: Timestamp) {
        let Some(material) = material else {
            self.last_clear = self.last_clear.max(Some(at));
            return;
        };
        let known = self.materials.entry(material.to_owned()).or_insert(at);
        *known = at.max(*known);
        while self.materials.len() > MATERIALS_MAX {
            let oldest = self.materials.iter().min_by_key(|(id, at)| (**at, (*id).clone())).map(|(id, _)| id.clone());
            oldest.map(|oldest| self.materials.remove(&oldest));
        }
    }

    /// Whether the danger still stands at `now`; `cleared` is the newest clearance that counts.
    fn active(&self, cleared: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(danger) = self.last_danger else { return false };
        if cleared.is_some_and(|clear| clear > danger) {
            return false;
        }
        self.ends_at().is_none_or(|end| now < end)
    }

    /// When the danger ends by itself, if nothing else clears or renews it.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.last_danger?.checked_add(self.resolve_after?).ok()
    }

    /// The instant at which the danger ended, for a condition that is not active at `now`.
    fn cleared_at(&self, cleared: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let danger = self.last_danger?;
        let by_event = cleared.filter(|clear| *clear > danger);
        let by_time = self.ends_at().filter(|end| *end <= now);
        match (by_event, by_time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }
}

/// open → acknowledged → resolved; holds the alerts of one fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Derived from the fingerprint and the episode, not from chance.
    pub id: String,
    pub fingerprint: Fingerprint,
    /// Counts the incidents of this fingerprint from 1.
    pub episode: u32,
    /// The family it belongs to, or the rule's id.
    pub family: String,
    /// Member rules that have fired.
    pub rules: BTreeSet<String>,
    pub severity: Severity,
    pub state: State,
    /// Event time of the oldest alert.
    pub opened_at: Timestamp,
    pub last_alert_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved_at: Option<Timestamp>,
    pub alerts: u64,
    /// Stable principals seen, at most [`ACTORS_MAX`].
    pub actors: BTreeSet<String>,
    pub key: Option<KeyRef>,
    /// Rule tags, joined.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// What each rule that fired brought: what takes something away from people must hold for the worst of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub fired: BTreeMap<String, Fired>,
    /// The oldest and the newest alert's event, for cards.
    pub first: EventCard,
    pub latest: EventCard,
    /// Sinks that were told of it: they hear the rest, whatever routes say now.
    pub told: BTreeSet<String>,
    /// Escalation step: rises with the severity, so that an acknowledged page pages again.
    pub step: u32,
    /// Counts its notified transitions; orders deliveries and makes their ids.
    pub transitions: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_notified_at: Option<Timestamp>,
    /// Who acknowledged or resolved it by hand, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken: Option<Taken>,
    /// What a reader must know about the quality of what is said here ("KMS lookups were denied").
    #[serde(default)]
    pub marks: BTreeSet<String>,
    /// Repeat notices while open, this often.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repeat: Option<SignedDuration>,
    /// The rule that fired last, and what it has to say on cards.
    #[serde(default)]
    pub voice: Voice,
    /// The newest alert in one plain line.
    #[serde(default)]
    pub said: String,
    /// The command that undoes the newest alert's event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undo: Option<String>,
    /// Links to the newest alert's event and key.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Escalations that now only wait for the incident to grow, as `rule#number`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub watching: BTreeSet<String>,
    /// Happenings already counted, so that a second event that tells the same one is not; at most [`HAPPENINGS_MAX`].
    #[serde(default)]
    pub happenings: BTreeMap<String, Timestamp>,
    /// What people were not told yet, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held: Option<Held>,
    /// Its rule is on trial: recorded, told to nobody.
    #[serde(default)]
    pub shadow: bool,
    /// Its rule was on trial when it opened, so that it may stand beside the incident that the rule would join now.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub began_in_shadow: bool,
    /// The date it counts down to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deadline: Option<Deadline>,
    /// Uses that were refused because the key cannot be used: the proof that it was needed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub harm: Option<Harm>,
    /// What was known of the use of its key when that became unusable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_use: Option<InUse>,
    /// When its severity last rose to critical.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rose_at: Option<Timestamp>,
}

impl Incident {
    /// Whether it is about kmswatch itself; rules of the configuration may not use such a family.
    pub fn is_own(&self) -> bool {
        self.family.starts_with("kmswatch.")
    }

    /// Whether key details could not be looked up for the newest alert.
    pub fn is_incomplete(&self) -> bool {
        !self.marks.is_empty()
    }

    /// An alert of a rule joins.
    pub fn fire(&mut self, rule: &str, severity: Severity, tags: &[String]) {
        self.rules.insert(rule.to_owned());
        self.tags.extend(tags.iter().cloned());
        self.severity = self.severity.max(severity);
        let fired = self.fired.entry(rule.to_owned()).or_insert(Fired { severity, tags: BTreeSet::new() });
        fired.severity = fired.severity.max(severity);
        fired.tags.extend(tags.iter().cloned());
    }

    /// Of the rules that fired, those with the most severe alerts, and their tags. Where an older version did not note what
    /// a rule brought, it may have been the worst.
    pub fn worst(&self) -> BTreeMap<&str, &BTreeSet<String>> {
        let unknown = self.rules.iter().map(|rule| (rule.as_str(), (self.severity, &self.tags)));
        let known = self.fired.iter().map(|(rule, fired)| (rule.as_str(), (fired.severity, &fired.tags)));
        let mut all: BTreeMap<&str, (Severity, &BTreeSet<String>)> = unknown.chain(known).collect();
        let worst = all.values().map(|(severity, _)| *severity).max();
        all.retain(|_, (severity, _)| Some(*severity) == worst);
        all.into_iter().map(|(rule, (_, tags))| (rule, tags)).collect()
    }
}

impl Incident {
    /// The id of a fingerprint's n-th incident.
    pub fn id_of(fingerprint: &Fingerprint, episode: u32) -> String {
        let short: String = fingerprint.0.chars().take(16).collect();
        format!("{short}-{episode}")
    }

    /// Which one an id names.
    pub fn episode_of(id: &str) -> Option<u32> {
        id.rsplit_once('-')?.1.parse().ok()
    }
}

/// What a rule says on cards; kept, so that an incident can be told of after its rule is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voice {
    pub rule: String,
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runbook: Option<String>,
    /// Who looks after the rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meaning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action: Option<String>,
}

/// What one rule brought to an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// The most severe of its alerts.
    pub severity: Severity,
    pub tags: BTreeSet<String>,
}

/// Bound on the happenings remembered in one incident.
pub const HAPPENINGS_MAX: usize = 64;

/// Bound on the principals kept in one incident.
pub const ACTORS_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub by: String,
    pub why: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    Acknowledged,
    Resolved,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}
