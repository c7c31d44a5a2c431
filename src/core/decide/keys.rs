//! Incidents that move with their key: what an event changes of the state of a key, and what that means for the incident.

use jiff::{SignedDuration, Timestamp};

use super::Evaluation;
use super::evaluate::{Candidate, Clear, States};
use super::fold::{Desk, endanger};
use super::notify::Telling;
use crate::core::countdown::{Deadline, Ending};
use crate::core::incident::{Fingerprint, Incident, Situation, State};
use crate::core::keystate::{KeyState, Witness};
use crate::core::notification::{Kind, Reason};
use crate::core::render;

/// How one event changed what is known of the state of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) fingerprint: Fingerprint,
    from: KeyState,
    to: KeyState,
    /// What the event itself says.
    said: KeyState,
    /// The event is about the key's state, and not a use of the key that was refused.
    about: bool,
    /// A danger stood before it.
    stood: bool,
}

impl Turn {
    /// The key is better off than before, and still unusable. (Usable again, the incident ends, or will once KMS is believed.)
    pub(super) fn is_better(&self) -> bool {
        self.to < self.from && self.to.is_danger()
    }

    pub(super) fn is_worse(&self) -> bool {
        self.from != KeyState::Unknown && self.to > self.from && self.to.is_danger()
    }

    /// The event only says of the key what is known already: another witness of the same.
    pub(super) fn is_known(&self) -> bool {
        self.about && self.from == self.to && self.said == self.to
    }

    /// What the event says was not known before.
    fn is_news(&self) -> bool {
        self.from != self.to && self.to == self.said
    }
}

/// KMS says that the key still cannot be used: what would end by time stands longer. Not each time: half of it is early enough.
fn still_stands(situation: &mut Situation, at: Timestamp, now: Timestamp) {
    let state = situation.record.as_ref().map(|record| record.state(SignedDuration::ZERO));
    if !state.is_some_and(|state| state.is_danger() && state != KeyState::Deleted) {
        return;
    }
    let standing: Vec<String> = situation.standing(now).map(|(rule, _)| rule.clone()).collect();
    for (_, condition) in situation.conditions.iter_mut().filter(|(rule, _)| standing.contains(rule)) {
        let Some((after, ends)) = condition.resolve_after.zip(condition.ends_at()) else { continue };
        if ends.duration_since(at) < after / 2 {
            condition.last_danger = condition.last_danger.max(Some(at));
        }
    }
}

impl Desk<'_> {
    /// Takes in what an event says of the state of its key. An observation of a key in good health of which nothing is remembered
    /// leaves nothing behind, and neither does one that only says what is known.
    pub(super) fn learn(&mut self, evaluation: &Evaluation) -> Option<Turn> {
        let States { fingerprint, facts, material } = evaluation.states.as_ref()?;
        let first = facts.first()?;
        let said = first.state;
        if evaluation.observed && !said.is_danger() && !self.knows(fingerprint) {
            return None;
        }
        let settle = self.policy.engine.settle;
        let mut situation = self.take(fingerprint);
        let known = situation.record.clone().unwrap_or_default();
        let stood = situation.active(self.now);
        let mut learnt = known.clone();
        for fact in facts {
            // Nothing is the matter, and KMS may not know of the import yet: the next answer tells.
            let outdated = fact.by == Witness::Kms && fact.state == KeyState::PendingImport && !stood;
            if !(outdated && learnt.usable_just_before(fact.at, settle)) {
                learnt.learn(*fact, material.as_deref(), settle);
            }
        }
        let (from, to) = (known.state(settle), learnt.state(settle));
        let about = evaluation.observed || !first.by.is_kms();
        let turn = Turn { fingerprint: fingerprint.clone(), from, to, said, about, stood };
        let known = evaluation.observed && turn.from == turn.to && !learnt.says_more(&known);
        if !known && learnt.newest().is_some() {
            situation.record = Some(learnt);
        }
        if evaluation.observed && turn.is_known() {
            still_stands(&mut situation, evaluation.event.time, self.now);
        }
        self.put(situation);
        Some(turn)
    }

    /// All of its material is there again, so what was said of one counts now, and ends the incident.
    pub(super) fn is_whole(&mut self, turn: &Turn, evaluation: &Evaluation) {
        let mut situation = self.take(&turn.fingerprint);
        let over = turn.stood && !situation.active(self.now);
        if let Some(mut incident) = situation.incident.take() {
            if over && incident.state != State::Resolved {
                let at = situation.cleared_at(self.now).unwrap_or(evaluation.event.time);
                self.refresh(&situation, &mut incident);
                self.resolve(&mut incident, at, Reason::Resolved, Some(evaluation));
            }
            situation.incident = Some(incident);
        }
        self.put(situation);
    }

    /// Whether an observation's match is an alert: it says something new of its key. What stands open under its rule already only
    /// stands longer.
    pub(super) fn is_news(&mut self, candidate: &Candidate, evaluation: &Evaluation, turn: Option<&Turn>) -> bool {
        if !evaluation.observed || candidate.rule.countdown.is_some() {
            return true;
        }
        if let Some(turn) = turn.filter(|turn| turn.fingerprint == candidate.fingerprint) {
            return turn.is_news();
        }
        if !self.knows(&candidate.fingerprint) {
            return true;
        }
        let mut situation = self.take(&candidate.fingerprint);
        let open = situation.incident.as_ref().is_some_and(|incident| incident.state != State::Resolved);
        let stands = situation.standing(self.now).any(|(rule, _)| *rule == candidate.rule.id);
        if open && stands && candidate.rule.resolve_after.is_some() {
            endanger(&mut situation, &candidate.rule, evaluation.event.time);
        }
        self.put(situation);
        !(open && stands)
    }

    /// Whether an observation's clearance has anything to clear.
    pub(super) fn clears_something(&self, clear: &Clear) -> bool {
        let working = self.working.get(&clear.fingerprint);
        let Some(situation) = working.or_else(|| self.snapshot.situations.get(&clear.fingerprint)) else {
            return false;
        };
        let condition = situation.conditions.get(&clear.rule);
        let counts = situation.standing_countdowns().any(|(rule, _)| rule == clear.rule);
        let cleared = situation.cleared(&clear.rule, self.now);
        counts || condition.is_some_and(|known| known.last_danger.is_some() && cleared <= known.last_danger)
    }

    /// The key is better off and no rule said so: whoever was told of the danger hears it.
    pub(super) fn tell_of_turn(&mut self, turn: &Turn, evaluation: &Evaluation) {
        let spoken = evaluation.alerts.iter().any(|alert| alert.fingerprint == turn.fingerprint);
        if spoken || !turn.is_better() {
            return;
        }
        let mut situation = self.take(&turn.fingerprint);
        if let Some(mut incident) = situation.incident.take() {
            self.refresh(&situation, &mut incident);
            if incident.state != State::Resolved {
                let mut telling = Telling::told(Kind::Update, Reason::Downgraded);
                telling.event = Some(evaluation.event.clone());
                self.tell(&mut incident, telling);
            }
            situation.incident = Some(incident);
        }
        self.put(situation);
    }

    /// Brings an incident up to what is known of its key, and to the date it counts down to.
    pub(super) fn refresh(&self, situation: &Situation, incident: &mut Incident) {
        let rules = &self.policy.rules;
        let record = situation.record.as_ref();
        let state = record.map_or(KeyState::Unknown, |record| record.state(self.policy.engine.settle));
        // What was saved is not destroyed, even if nobody has told the countdown yet.
        let saved = !matches!(state, KeyState::Unknown | KeyState::PendingDeletion);
        let ahead = situation.standing_countdowns().filter(|(_, countdown)| countdown.date > self.now);
        let dates = ahead.filter_map(|(rule, countdown)| {
            let path = rules.get(rule)?.countdown.as_deref()?;
            Some(Deadline::of(path, countdown.date)).filter(|deadline| !(saved && deadline.what == Ending::Destroyed))
        });
        incident.deadline = dates.min_by_key(|deadline| deadline.at);
        let Some(key) = incident.key.as_mut().filter(|_| state != KeyState::Unknown) else { return };
        key.state = Some(state.as_str().to_owned());
        let arn = key.arn.as_deref().unwrap_or_default();
        match state {
            // Whatever was heard last, this is what brings the key back.
            KeyState::Disabled => incident.undo = render::undo_command("DisableKey", arn),
            KeyState::PendingDeletion | KeyState::PendingReplicaDeletion => {
                incident.undo = render::undo_command("ScheduleKeyDeletion", arn);
            }
            _ => {}
        }
        let known = incident.deadline.map(|deadline| deadline.at).or(key.deletion_date);
        key.deletion_date = known.filter(|_| state == KeyState::PendingDeletion);
    }
}
