//! Rules that count down to a date: what an event says of the date, and what comes out when a mark before it passes.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Evaluation;
use super::evaluate::Candidate;
use super::fold::{Alert, Desk};
use crate::core::countdown::{self, Countdown};
use crate::core::incident::{Fingerprint, Situation, State};
use crate::core::notification::Reason;
use crate::core::observe::settled;
use crate::core::rule::Rule;
use crate::core::window::Waiting;

/// A date that moves by more than this is another date, and all marks before it are told anew.
const SAME_DATE_WITHIN: SignedDuration = SignedDuration::from_hours(48);

/// One date that an event names.
struct Statement<'a> {
    /// Of one key material, or of the key as a whole.
    material: Option<&'a str>,
    date: Timestamp,
    /// As KMS says it when it is asked.
    by_kms: bool,
}

impl Desk<'_> {
    /// An event names the date. The newest statement counts; KMS's word that only confirms the date changes nothing.
    pub(super) fn count(&mut self, candidate: &Candidate, evaluation: &Evaluation) -> Vec<Alert<'static>> {
        let own = candidate.material.as_ref().and_then(|(material, date)| Some((material.as_str(), (*date)?)));
        let of_one = own.map(|(material, date)| Statement { material: Some(material), date, by_kms: false });
        // What an event about one material does not say itself, a look-up said, of the key as a whole.
        let by_kms = evaluation.observed || candidate.material.is_some();
        let whole = candidate.date.filter(|date| own.is_none_or(|(_, own)| own != *date));
        let whole = whole.map(|date| Statement { material: None, date, by_kms });
        if of_one.is_none() && whole.is_none() {
            return vec![];
        }
        let mut situation = self.take(&candidate.fingerprint);
        let said: Vec<Statement<'_>> = of_one.into_iter().chain(whole).collect();
        let stood = situation.active(self.now);
        let mut news = false;
        for one in &said {
            let new = self.state(&mut situation, one, candidate, evaluation);
            self.put_off(&mut situation, one, new, candidate, evaluation);
            news |= new;
        }
        // Another material's date may be the nearest now.
        self.schedule(&mut situation);
        let over = stood && !situation.active(self.now);
        if let Some(mut incident) = situation.incident.take() {
            if incident.state != State::Resolved && (news || over) {
                // The card shows the date as it is known now, also where no mark has passed.
                self.refresh(&situation, &mut incident);
                if over {
                    let end = situation.cleared_at(self.now).unwrap_or(evaluation.event.time);
                    self.resolve(&mut incident, end, Reason::Resolved, Some(evaluation));
                }
            }
            situation.incident = Some(incident);
        }
        self.put(situation);
        self.marks_passed(&candidate.fingerprint, &candidate.rule)
    }

    /// A date before which no mark has passed is no danger yet: what was told of an earlier one is over, unless another material
    /// keeps it up.
    fn put_off(
        &self,
        situation: &mut Situation,
        said: &Statement<'_>,
        new: bool,
        candidate: &Candidate,
        evaluation: &Evaluation,
    ) {
        let (rule, at) = (&candidate.rule.id, evaluation.event.time);
        // KMS confirms a date again and again.
        if self.policy.marks.passed(said.date, at).is_some() || said.by_kms && !new {
            return;
        }
        let at = if said.by_kms { settled(at, self.policy.engine.settle) } else { at };
        let condition = situation.conditions.entry(rule.clone()).or_default();
        // Like what is said of one material, it ends no countdown but its own.
        condition.clear(Some(said.material.unwrap_or_default()), at);
    }

    /// Takes in one statement of a date. Answers whether it says something new.
    fn state(
        &self,
        situation: &mut Situation,
        said: &Statement<'_>,
        candidate: &Candidate,
        evaluation: &Evaluation,
    ) -> bool {
        let Statement { material, date, by_kms } = *said;
        let (rule, at) = (&candidate.rule, evaluation.event.time);
        let name = countdown::name(&rule.id, material);
        let known = situation.countdowns.get(&name);
        let newer = known.is_none_or(|known| (known.at, &known.id) < (at, &evaluation.id));
        if !newer || by_kms && confirms(situation, &rule.id, date) {
            return false;
        }
        if by_kms && named_alike(situation, &rule.id, date) {
            return true;
        }
        let known = situation.countdowns.get(&name).filter(|known| situation.counts(&name, known));
        // KMS does not say of which material it speaks: what was told of any of them near that date holds.
        let others = situation.standing_countdowns().filter(|(of, _)| by_kms && *of == rule.id).map(|(_, other)| other);
        let same = known.into_iter().chain(others).find(|other| near(other.date, date));
        let told = match same {
            Some(same) => same.told,
            // Nobody was told of it before.
            None if by_kms => None,
            // Whoever set the date knows what had passed by then.
            None => self.policy.marks.passed(date, at),
        };
        let alerted = same.is_some_and(|same| same.alerted);
        let waiting = Waiting {
            severity: candidate.severity,
            watching: candidate.watching.clone(),
            texts: candidate.texts.clone(),
            // Each mark is a happening of its own.
            evaluation: Evaluation { same: None, ..evaluation.remembered() },
        };
        let (id, waiting) = (evaluation.id.clone(), Box::new(waiting));
        let settled = by_kms.then(|| settled(at, self.policy.engine.settle));
        let countdown = Countdown { at, id, date, settled, alerted, told, due: None, waiting };
        situation.countdowns.insert(name, countdown);
        bound(situation, &rule.id, self.now);
        true
    }

    /// Time has passed: a mark may have.
    pub(super) fn count_on(&mut self, fingerprint: &Fingerprint) {
        let mut situation = self.take(fingerprint);
        let policy = self.policy;
        let rule_of = |name: &str| policy.rules.get(countdown::parts(name).0);
        // Nobody counts any more for a rule that is gone, or asks otherwise now.
        situation.countdowns.retain(|name, _| rule_of(name).is_some_and(|rule| rule.countdown.is_some()));
        let is_due = |countdown: &Countdown| countdown.due.is_some_and(|due| due <= self.now);
        let due = situation.countdowns.iter().filter(|(_, countdown)| is_due(countdown));
        let mut due: Vec<&Arc<Rule>> = due.filter_map(|(name, _)| rule_of(name)).collect();
        due.dedup_by_key(|rule| &rule.id);
        self.put(situation);
        for rule in due {
            let passed = self.marks_passed(fingerprint, rule);
            self.join(fingerprint, passed);
        }
    }

    /// Notes when each countdown has to be looked at next: of the materials of a key, the one that expires first is told of, and the
    /// others when its date is past.
    pub(super) fn schedule(&self, situation: &mut Situation) {
        let dues: Vec<Option<Timestamp>> = situation
            .countdowns
            .iter()
            .map(|(name, known)| {
                let rule = countdown::parts(name).0;
                let nearest = situation.nearest(rule, self.now)?;
                let stands = situation.counts(name, known) && known.date > self.now;
                let next = self.policy.marks.next(known.date, known.told).filter(|_| stands)?;
                let first = situation.countdowns.get(nearest).filter(|_| nearest != name);
                Some(first.map_or(next, |first| next.max(first.date)))
            })
            .collect();
        for (known, due) in situation.countdowns.values_mut().zip(dues) {
            known.due = due;
        }
    }

    fn marks_passed(&mut self, fingerprint: &Fingerprint, rule: &Arc<Rule>) -> Vec<Alert<'static>> {
        let mut situation = self.take(fingerprint);
        let nearest = situation.nearest(&rule.id, self.now).map(str::to_owned);
        let countdown = nearest.and_then(|name| situation.countdowns.get_mut(&name));
        let alert = countdown.and_then(|countdown| {
            let mark = countdown.ripe(&self.policy.marks, self.now)?;
            let passed = countdown.date.checked_sub(mark).unwrap_or(Timestamp::MIN).max(countdown.at);
            let Waiting { severity, watching, texts, evaluation } = (*countdown.waiting).clone();
            let plain = Candidate::plain(Arc::clone(rule), fingerprint.clone());
            let candidate = Candidate { severity, watching, texts, at: Some(passed), ..plain };
            Some((Cow::Owned(candidate), Cow::Owned(evaluation)))
        });
        self.put(situation);
        alert.into_iter().collect()
    }
}

fn near(date: Timestamp, other: Timestamp) -> bool {
    date.duration_since(other).abs() <= SAME_DATE_WITHIN
}

/// Whether KMS's date is the earliest that events have named, so that nothing has to be known of the key as a whole beside them.
fn named_alike(situation: &mut Situation, rule: &str, date: Timestamp) -> bool {
    let Some(whole) = situation.countdowns.remove(rule) else { return false };
    let earliest = situation.nearest(rule, Timestamp::MIN).map(str::to_owned);
    let named = earliest.and_then(|name| situation.countdowns.get_mut(&name)).filter(|named| named.date == date);
    if let Some(named) = named {
        if near(whole.date, date) {
            named.told = named.told.into_iter().chain(whole.told).min();
            named.alerted |= whole.alerted;
        }
        return true;
    }
    situation.countdowns.insert(rule.to_owned(), whole);
    false
}

/// Whether KMS's date is what is counted down to already, or was until somebody ended it.
fn confirms(situation: &Situation, rule: &str, date: Timestamp) -> bool {
    let of_rule = |name: &str| countdown::parts(name).0 == rule;
    let standing = situation.standing_countdowns().filter(|(of, _)| *of == rule).map(|(_, known)| known.date).min();
    let known = || situation.countdowns.iter().any(|(name, known)| of_rule(name) && known.date == date);
    standing.map_or_else(known, |standing| standing == date)
}

/// Keeps what is remembered of one rule small: what is over goes first, then what is furthest away.
fn bound(situation: &mut Situation, rule: &str, now: Timestamp) {
    let of_one = |name: &str| matches!(countdown::parts(name), (of, Some(_)) if of == rule);
    while situation.countdowns.keys().filter(|name| of_one(name)).count() > countdown::MATERIALS_MAX {
        let ones = situation.countdowns.iter().filter(|(name, _)| of_one(name));
        let last =
            ones.max_by_key(|(name, known)| (known.date <= now, known.date, *name)).map(|(name, _)| name.clone());
        last.map(|last| situation.countdowns.remove(&last));
    }
}
