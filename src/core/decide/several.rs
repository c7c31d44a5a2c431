//! Rules that look at several events of a group together: what an event adds to their windows, and what comes out as alerts.

use std::borrow::Cow;

use super::evaluate::{Candidate, Clear, Step};
use super::fold::{Alert, Desk};
use super::{EngineSettings, Evaluation};
use crate::core::incident::Fingerprint;
use crate::core::rule::window::Window;
use crate::core::window::{Bounds, Mark, Part, Waiting};

impl EngineSettings {
    /// How long windows wait for what comes late.
    pub fn bounds(&self) -> Bounds {
        Bounds { lateness: self.reopen_within, grace: self.late_after }
    }
}

impl Desk<'_> {
    /// A rule with a window matched: an alert now, or later, or never.
    pub(super) fn remember(
        &mut self,
        window: &Window,
        candidate: &Candidate,
        evaluation: &Evaluation,
    ) -> Vec<Alert<'static>> {
        let waiting = Waiting {
            severity: candidate.severity,
            watching: candidate.watching.clone(),
            texts: candidate.texts.clone(),
            evaluation: evaluation.remembered(),
        };
        let mark = Mark {
            at: evaluation.event.time,
            id: evaluation.id.clone(),
            part: Part::Match,
            seen: Some(self.now),
            value: candidate.value.clone(),
            told: false,
            waiting: Some(Box::new(waiting)),
        };
        self.mark(window, &candidate.rule.id, &candidate.fingerprint, mark);
        self.come_out(window, candidate)
    }

    /// The event is one that a window waits for, before or after its main one.
    pub(super) fn step(&mut self, step: &Step, evaluation: &Evaluation) -> Vec<Alert<'static>> {
        let Step { rule, fingerprint, part } = step;
        let Some(window) = &rule.window else { return vec![] };
        let at = evaluation.event.time;
        let mark =
            Mark { at, id: evaluation.id.clone(), part: *part, seen: None, value: None, told: false, waiting: None };
        self.mark(window, &rule.id, fingerprint, mark);
        if let Window::Absent { .. } = window {
            // It came after all.
            self.clear(&Clear::by_event(&rule.id, fingerprint.clone(), at), evaluation);
        }
        self.come_out(window, &Candidate::plain(std::sync::Arc::clone(rule), fingerprint.clone()))
    }

    /// Time has passed: what was expected by now did not come.
    pub(super) fn overdue(&mut self, fingerprint: &Fingerprint) {
        let mut situation = self.take(fingerprint);
        let policy = self.policy;
        // Nobody asks any more for what a rule that is gone, or asks otherwise now, remembered.
        situation.windows.retain(|rule, _| policy.rules.get(rule).is_some_and(|rule| rule.window.is_some()));
        let due: Vec<String> = situation
            .windows
            .iter()
            .filter(|(_, window)| window.due.is_some_and(|due| due <= self.now))
            .map(|(rule, _)| rule.clone())
            .collect();
        self.put(situation);
        for rule in due.iter().filter_map(|rule| policy.rules.get(rule)) {
            if let Some(window) = &rule.window {
                let late = self.come_out(window, &Candidate::plain(std::sync::Arc::clone(rule), fingerprint.clone()));
                self.join(fingerprint, late);
            }
        }
    }

    fn mark(&mut self, window: &Window, rule: &str, fingerprint: &Fingerprint, mark: Mark) {
        let bounds = self.policy.engine.bounds();
        let mut situation = self.take(fingerprint);
        situation.windows.entry(rule.to_owned()).or_default().add(window, mark, bounds);
        self.put(situation);
    }

    /// What is ripe now.
    fn come_out(&mut self, window: &Window, like: &Candidate) -> Vec<Alert<'static>> {
        let bounds = self.policy.engine.bounds();
        let mut situation = self.take(&like.fingerprint);
        let ripe = situation.windows.get_mut(&like.rule.id).map(|state| state.ripe(window, bounds, self.now));
        self.put(situation);
        let alert = |waiting: Waiting| {
            let Waiting { severity, watching, texts, evaluation } = waiting;
            let candidate = Candidate { severity, watching, texts, value: None, ..like.clone() };
            (Cow::Owned(candidate), Cow::Owned(evaluation))
        };
        ripe.into_iter().flatten().map(alert).collect()
    }
}
