//! Rules that count down to a date: what an event says of the date, and what comes out when a mark before it passes.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Evaluation;
use super::evaluate::Candidate;
use super::fold::{Alert, Desk};
use crate::core::countdown::Countdown;
use crate::core::incident::{Fingerprint, Situation, State};
use crate::core::rule::Rule;
use crate::core::window::Waiting;

/// A date that moves by more than this is another date, and all marks before it are told anew.
const SAME_DATE_WITHIN: SignedDuration = SignedDuration::from_hours(48);

impl Desk<'_> {
    /// An event names the date. The newest statement counts; an observation that only confirms the date changes nothing.
    pub(super) fn count(&mut self, candidate: &Candidate, evaluation: &Evaluation) -> Vec<Alert<'static>> {
        let Some(date) = candidate.date else { return vec![] };
        let (rule, at) = (&candidate.rule, evaluation.event.time);
        let mut situation = self.take(&candidate.fingerprint);
        let cleared = situation.conditions.get(&rule.id).and_then(|condition| condition.last_clear);
        let known = situation.countdowns.get(&rule.id);
        let newer = known.is_none_or(|known| (known.at, &known.id) < (at, &evaluation.id));
        let confirms = evaluation.observed && known.is_some_and(|known| known.date == date);
        if newer && !confirms {
            let same = known
                .filter(|known| known.stands(cleared) && date.duration_since(known.date).abs() <= SAME_DATE_WITHIN);
            let told = match same {
                Some(known) => known.told,
                // Nobody was told of it before.
                None if evaluation.observed => None,
                // Whoever set the date knows what had passed by then.
                None => self.policy.marks.passed(date, at),
            };
            let waiting = Waiting {
                severity: candidate.severity,
                watching: candidate.watching.clone(),
                texts: candidate.texts.clone(),
                // Each mark is a happening of its own.
                evaluation: Evaluation { same: None, ..evaluation.remembered() },
            };
            let id = evaluation.id.clone();
            let countdown = Countdown { at, id, date, told, due: None, waiting: Box::new(waiting) };
            situation.countdowns.insert(rule.id.clone(), countdown);
            // The card shows the date as it is known now, also where no mark has passed.
            if let Some(mut incident) = situation.incident.take() {
                if incident.state != State::Resolved {
                    self.refresh(&situation, &mut incident);
                }
                situation.incident = Some(incident);
            }
        }
        self.put(situation);
        self.marks_passed(&candidate.fingerprint, rule)
    }

    /// Time has passed: a mark may have.
    pub(super) fn count_on(&mut self, fingerprint: &Fingerprint) {
        let mut situation = self.take(fingerprint);
        let policy = self.policy;
        // Nobody counts any more for a rule that is gone, or asks otherwise now.
        situation.countdowns.retain(|rule, _| policy.rules.get(rule).is_some_and(|rule| rule.countdown.is_some()));
        let is_due = |countdown: &Countdown| countdown.due.is_some_and(|due| due <= self.now);
        let due: Vec<&Arc<Rule>> = situation
            .countdowns
            .iter()
            .filter(|(_, countdown)| is_due(countdown))
            .filter_map(|(rule, _)| policy.rules.get(rule))
            .collect();
        self.put(situation);
        for rule in due {
            let passed = self.marks_passed(fingerprint, rule);
            self.join(fingerprint, passed);
        }
    }

    /// Notes when each countdown has to be looked at next.
    pub(super) fn schedule(&self, situation: &mut Situation) {
        let Situation { countdowns, conditions, .. } = situation;
        for (rule, countdown) in countdowns {
            let cleared = conditions.get(rule).and_then(|condition| condition.last_clear);
            let stands = countdown.stands(cleared) && countdown.date > self.now;
            countdown.due = stands.then(|| self.policy.marks.next(countdown.date, countdown.told)).flatten();
        }
    }

    fn marks_passed(&mut self, fingerprint: &Fingerprint, rule: &Arc<Rule>) -> Vec<Alert<'static>> {
        let mut situation = self.take(fingerprint);
        let cleared = situation.conditions.get(&rule.id).and_then(|condition| condition.last_clear);
        let countdown = situation.countdowns.get_mut(&rule.id).filter(|countdown| countdown.stands(cleared));
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
