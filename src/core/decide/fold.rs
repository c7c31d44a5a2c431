//! Folds evaluations and time into situations, one transition at a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::evaluate::{Candidate, Clear, Same};
use super::keys::Turn;
use super::notify::{self, Telling};
use super::{AlertEntry, Decision, Evaluation, HistoryEntry, NotTold, Policy, Snapshot, What};
use crate::core::event::EventId;
use crate::core::incident::{ACTORS_MAX, Fingerprint, HAPPENINGS_MAX, Incident, Situation, State, Voice};
use crate::core::notification::{Kind, Link, Reason};
use crate::core::observe::settled;
use crate::core::rule::template::UNPRINTED;
use crate::core::rule::{Rule, Severity, Texts, escalate};
use crate::core::silence::Silence;

/// Two events that tell one fact come this close together.
const SAME_FACT_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// What an incident was before an alert joined it.
#[derive(Clone, Copy)]
struct Before {
    severity: Severity,
    state: State,
    actors: usize,
    rules: usize,
}

/// One rule's alert on one event, which may be one that came before.
pub(super) type Alert<'a> = (Cow<'a, Candidate>, Cow<'a, Evaluation>);

/// An incident while alerts join it.
struct Joining {
    incident: Incident,
    fresh: bool,
    before: Before,
    /// All of them told what was told before.
    merged: bool,
    notice: bool,
    incomplete: bool,
    /// A mark before a date has passed.
    mark: bool,
    /// The event whose refusal was counted last: one event, however many rules it matches.
    counted: Option<EventId>,
}

impl Joining {
    fn new(incident: Incident) -> Self {
        let before = Before {
            severity: incident.severity,
            state: incident.state,
            actors: incident.actors.len(),
            rules: incident.rules.len(),
        };
        let fresh = incident.alerts == 0;
        Self { fresh, incident, before, merged: true, notice: false, incomplete: false, mark: false, counted: None }
    }
}

/// The working copy of a snapshot while a decision is made.
pub(super) struct Desk<'a> {
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    pub(super) snapshot: &'a Snapshot,
    pub(super) working: HashMap<Fingerprint, Situation>,
    /// Silences that this decision changes.
    pub(super) silences: BTreeMap<String, Silence>,
    seen: HashSet<EventId>,
    /// What the event at hand changes of the state of its key.
    turn: Option<Turn>,
    pub(super) decision: Decision,
}

impl<'a> Desk<'a> {
    pub(super) fn new(policy: &'a Policy, snapshot: &'a Snapshot, now: Timestamp) -> Self {
        let mut desk = Self {
            policy,
            now,
            snapshot,
            working: HashMap::new(),
            silences: BTreeMap::new(),
            seen: HashSet::new(),
            turn: None,
            decision: Decision::default(),
        };
        for fingerprint in snapshot.unreadable.keys() {
            let mut situation = desk.take(fingerprint);
            for (rule, condition) in &mut situation.conditions {
                if let Some(rule) = policy.rules.get(rule) {
                    condition.follow(rule);
                }
            }
            desk.put(situation);
        }
        desk
    }

    /// Takes a situation to work on; [`Desk::put`] brings it back.
    pub(super) fn take(&mut self, fingerprint: &Fingerprint) -> Situation {
        self.working
            .remove(fingerprint)
            .or_else(|| self.snapshot.situations.get(fingerprint).cloned())
            .unwrap_or_else(|| Situation::new(fingerprint.clone()))
    }

    pub(super) fn put(&mut self, mut situation: Situation) {
        self.schedule(&mut situation);
        self.working.insert(situation.fingerprint.clone(), situation);
    }

    /// Whether anything is remembered under a fingerprint.
    pub(super) fn knows(&self, fingerprint: &Fingerprint) -> bool {
        self.working.contains_key(fingerprint) || self.snapshot.situations.contains_key(fingerprint)
    }

    /// Everything that changed, in a stable order.
    pub(super) fn finish(mut self) -> Decision {
        let snapshot = self.snapshot;
        let is_news = |s: &Situation| {
            if snapshot.unreadable.contains_key(&s.fingerprint) {
                // An empty one would forget which incident was the last.
                s.incident.is_some()
            } else {
                snapshot.situations.get(&s.fingerprint) != Some(s)
            }
        };
        let mut changed: Vec<Situation> = self.working.into_values().filter(is_news).collect();
        changed.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        self.decision.situations = changed;
        self.decision.silences = self.silences.into_values().collect();
        self.decision
    }

    /// One event, unless it is a duplicate.
    pub(super) fn event(&mut self, evaluation: &Evaluation) {
        if self.snapshot.seen.contains(&evaluation.id) || !self.seen.insert(evaluation.id.clone()) {
            self.decision.duplicates += 1;
            return;
        }
        let alerts = self.decision.alerts.len();
        self.turn = self.learn(evaluation);
        // Clears that a lookup spoke come first, so that an alert whose danger is past never pages. What an observation says is of one
        // moment: its danger stands before the others end, so that nothing ends in between.
        let (past, rest): (Vec<_>, Vec<_>) =
            evaluation.clears.iter().partition(|clear| clear.by_lookup && !evaluation.observed);
        for clear in past {
            self.clear_by(clear, evaluation);
        }
        self.alerts(evaluation);
        if let Some(turn) = self.turn.clone() {
            self.is_whole(&turn, evaluation);
        }
        for clear in rest {
            self.clear_by(clear, evaluation);
        }
        if let Some(turn) = self.turn.take() {
            self.tell_of_turn(&turn, evaluation);
        }
        // KMS is asked about thousands of keys again and again: what says nothing new is not worth remembering.
        if !evaluation.observed || self.decision.alerts.len() > alerts {
            self.decision.seen.push((evaluation.id.clone(), self.now));
        }
    }

    fn clear_by(&mut self, clear: &Clear, evaluation: &Evaluation) {
        if !evaluation.observed || self.clears_something(clear) {
            self.clear(clear, evaluation);
        }
    }

    /// Time has passed for one situation: a danger may have ended, a repeat may be due.
    pub(super) fn time(&mut self, fingerprint: &Fingerprint) {
        self.overdue(fingerprint);
        self.count_on(fingerprint);
        let mut situation = self.take(fingerprint);
        self.lapse(&mut situation);
        if let Some(mut incident) = situation.incident.take() {
            self.refresh(&situation, &mut incident);
            self.look_again(&mut incident);
            if incident.state == State::Open && repeat_due(&incident, self.now) {
                incident.last_notified_at = Some(self.now);
                self.tell(&mut incident, Telling::told(Kind::Update, Reason::Repeat));
            }
            situation.incident = Some(incident);
        }
        self.put(situation);
    }

    /// Ends an incident whose time has run out. Events do this too before they join: whether the timer or the event
    /// comes first (after an outage it is the event) must make no difference.
    fn lapse(&mut self, situation: &mut Situation) {
        if situation.active(self.now) {
            return;
        }
        let at = situation.cleared_at(self.now).unwrap_or(self.now);
        if let Some(incident) = situation.incident.as_mut().filter(|incident| incident.state != State::Resolved) {
            self.resolve(incident, at, Reason::Expired, None);
        }
    }

    /// What the event's rules make of it. Alerts that join one incident at the same moment are told together: one event
    /// is one page, however many rules it matches, and a burst is told when it is complete.
    fn alerts(&mut self, evaluation: &Evaluation) {
        let mut together: BTreeMap<&Fingerprint, Vec<Alert<'_>>> = BTreeMap::new();
        for step in &evaluation.steps {
            let ripe = self.step(step, evaluation);
            together.entry(&step.fingerprint).or_default().extend(ripe);
        }
        let turn = self.turn.clone();
        for candidate in &evaluation.alerts {
            if !self.is_news(candidate, evaluation, turn.as_ref()) {
                continue;
            }
            let alerts = together.entry(&candidate.fingerprint).or_default();
            match (&candidate.rule.window, &candidate.rule.countdown) {
                (Some(window), _) => alerts.extend(self.remember(window, candidate, evaluation)),
                (None, Some(_)) => alerts.extend(self.count(candidate, evaluation)),
                (None, None) => alerts.push((Cow::Borrowed(candidate), Cow::Borrowed(evaluation))),
            }
        }
        for (fingerprint, alerts) in together {
            self.join(fingerprint, alerts);
        }
    }

    /// Alerts of one fingerprint join its incident, oldest first; of those of one event the worst comes last and speaks.
    pub(super) fn join(&mut self, fingerprint: &Fingerprint, mut alerts: Vec<Alert<'_>>) {
        if alerts.is_empty() {
            return;
        }
        alerts
            .sort_by(|(a, ea), (b, eb)| (ea.event.time, &ea.id, a.severity).cmp(&(eb.event.time, &eb.id, b.severity)));
        let mut situation = self.take(fingerprint);
        self.lapse(&mut situation);
        let mut joining: Option<Joining> = None;
        let now = self.now;
        for (candidate, evaluation) in &alerts {
            // KMS may refuse a use a little while after the key has been enabled: an echo, not a new danger.
            let echo = evaluation.refused.is_some() && situation.record.is_some();
            let since =
                if echo { settled(evaluation.event.time, self.policy.engine.settle) } else { evaluation.event.time };
            endanger(&mut situation, &candidate.rule, since);
            let at = candidate.at.unwrap_or(evaluation.event.time);
            if let Some(done) = joining.take_if(|one| !joins(&one.incident, at, self.policy.engine.reopen_within)) {
                situation.incident = Some(self.conclude(&situation, done));
            }
            let mut one = joining.take().unwrap_or_else(|| {
                let incident = match situation.incident.take() {
                    Some(known) if joins(&known, at, self.policy.engine.reopen_within) => known,
                    known => {
                        let last =
                            known.map(|known| known.episode).or(self.snapshot.unreadable.get(fingerprint).copied());
                        let mut new = open(candidate, evaluation, last.unwrap_or(0).saturating_add(1));
                        candidate.rule.family_at(at.min(now)).clone_into(&mut new.family);
                        new.began_in_shadow = candidate.rule.in_shadow(now);
                        new
                    }
                };
                Joining::new(incident)
            });
            let incident = &mut one.incident;
            let merged = merge(incident, candidate, evaluation);
            one.merged &= merged;
            if let Some(refused) = evaluation.refused.as_ref().filter(|_| !merged)
                && one.counted.as_ref() != Some(&evaluation.id)
            {
                incident.harm.get_or_insert_default().add(refused, evaluation.event.time);
                one.counted = Some(evaluation.id.clone());
            }
            one.notice = candidate.rule.notice;
            one.mark |= candidate.at.is_some();
            one.incomplete |= evaluation.incomplete;
            self.rise(incident);
            if situation.windows.get(&candidate.rule.id).is_some_and(|window| window.dropped > 0) {
                incident.marks.insert("more happened than is remembered: the count is a lower bound".to_owned());
            }
            incident.repeat = [incident.repeat, self.repeat(&candidate.rule)].into_iter().flatten().min();
            self.decision.alerts.push(AlertEntry {
                incident: incident.id.clone(),
                fingerprint: fingerprint.clone(),
                rule: candidate.rule.id.clone(),
                severity: candidate.severity,
                event: evaluation.event.clone(),
                shadow: candidate.rule.in_shadow(now),
            });
            joining = Some(one);
        }
        if let Some(done) = joining {
            situation.incident = Some(self.conclude(&situation, done));
        }
        self.put(situation);
    }

    /// Says what alerts that joined at once mean for the incident.
    fn conclude(&mut self, situation: &Situation, joined: Joining) -> Incident {
        let Joining { mut incident, fresh, before, merged, notice, incomplete, mark, .. } = joined;
        self.refresh(situation, &mut incident);
        self.note_shadow(&mut incident);
        let active = situation.active(self.now);
        let resolved = incident.state == State::Resolved;
        // The second telling of a fact may be newer than the clearance of the first: then the danger stands.
        if merged && !(active && resolved) {
            self.not_told(&incident, NotTold::SameFact);
        } else if notice && (fresh || resolved) {
            self.notice(&mut incident, fresh, Reason::Notice, incomplete);
        } else if active {
            self.standing(&mut incident, fresh, before, incomplete, mark);
        } else if fresh {
            incident.resolved_at = situation.cleared_at(self.now);
            self.notice(&mut incident, true, Reason::OpenedAndResolved, incomplete);
        } else {
            incident.resolved_at = situation.cleared_at(self.now).or(incident.resolved_at);
            self.not_told(&incident, NotTold::Outdated);
        }
        // What is known now may not be what is held back.
        self.look_again(&mut incident);
        incident
    }

    /// Escalations that waited for the incident to grow.
    fn rise(&self, incident: &mut Incident) {
        if incident.watching.is_empty() {
            return;
        }
        let document = escalate::incident_document(incident);
        let met = incident.watching.iter().filter_map(|watched| {
            let (rule, number) = watched.rsplit_once('#')?;
            let escalation = self.policy.rules.get(rule)?.escalations.get(number.parse::<usize>().ok()?)?;
            escalation.incident.as_ref()?.matches(&document).then(|| (rule.to_owned(), escalation.severity))
        });
        for (rule, severity) in met.collect::<Vec<_>>() {
            incident.fire(&rule, severity, &[]);
        }
    }

    /// How often incidents of a rule are told again.
    fn repeat(&self, rule: &Rule) -> Option<SignedDuration> {
        rule.repeat.or(self.policy.engine.repeat.filter(|_| rule.severity >= Severity::High))
    }

    /// An alert whose danger stands: open, open again, escalate, or say nothing new.
    fn standing(&mut self, incident: &mut Incident, fresh: bool, before: Before, incomplete: bool, mark: bool) {
        let state = before.state;
        if !fresh && incident.severity > before.severity && incident.severity == Severity::Critical {
            incident.rose_at = Some(self.now);
        }
        if fresh || state == State::Resolved {
            let reason = if fresh { Reason::Opened } else { Reason::Reopened };
            incident.resolved_at = None;
            incident.taken = None;
            self.transition(incident, (!fresh).then_some(state), State::Open, reason, None);
            self.tell(incident, Telling::routed(Kind::Trigger, reason, incomplete));
        } else if let Some(reason) = self.worse(incident, before, mark) {
            incident.step += 1;
            // A rise, or a new danger, asks for a person again, even if somebody had taken it.
            self.transition(incident, Some(state), State::Open, reason, None);
            self.tell(incident, Telling::routed(Kind::Update, reason, incomplete));
        } else if self.turn_of(incident).is_some_and(Turn::is_better) {
            self.tell(incident, Telling::told(Kind::Update, Reason::Downgraded));
        } else if incident.actors.len() > before.actors {
            self.tell(incident, Telling::told(Kind::Update, Reason::NewActor));
        } else {
            self.not_told(incident, NotTold::NothingNew);
        }
    }

    /// Why people are asked again about an incident that is open: it is worse than before, or there is less time.
    fn worse(&self, incident: &Incident, before: Before, mark: bool) -> Option<Reason> {
        let turn = self.turn_of(incident);
        let more = incident.rules.len() > before.rules && !turn.is_some_and(|turn| turn.is_better() || turn.is_known());
        if incident.severity > before.severity {
            Some(Reason::Escalated)
        } else if turn.is_some_and(Turn::is_worse) {
            Some(Reason::NewDanger)
        } else if mark {
            Some(Reason::Countdown)
        } else {
            more.then_some(Reason::NewDanger)
        }
    }

    fn turn_of(&self, incident: &Incident) -> Option<&Turn> {
        self.turn.as_ref().filter(|turn| turn.fingerprint == incident.fingerprint)
    }

    /// Told once, never open.
    fn notice(&mut self, incident: &mut Incident, fresh: bool, reason: Reason, incomplete: bool) {
        incident.resolved_at = incident.resolved_at.or(Some(incident.last_alert_at));
        let from = (!fresh).then_some(incident.state);
        self.transition(incident, from, State::Resolved, reason, None);
        self.tell(incident, Telling::routed(Kind::Notice, reason, incomplete));
    }

    /// A danger is past.
    pub(super) fn clear(&mut self, clear: &Clear, evaluation: &Evaluation) {
        let mut situation = self.take(&clear.fingerprint);
        self.lapse(&mut situation);
        let condition = situation.conditions.entry(clear.rule.clone()).or_default();
        // A pattern that the rules no longer have speaks only for a danger that came while they had it.
        let applies = clear.only_for.is_none() || clear.only_for == condition.resolve;
        if applies {
            condition.clear(clear.material.as_deref(), clear.at);
        }
        // Another material's date may be the nearest now.
        self.schedule(&mut situation);
        let (active, cleared_at) = (situation.active(self.now), situation.cleared_at(self.now));
        if let Some(mut incident) = situation.incident.take() {
            self.refresh(&situation, &mut incident);
            let over = applies && !active;
            if over && incident.state == State::Resolved {
                // The newest clearance is the end, in whatever order they come.
                incident.resolved_at = cleared_at.or(incident.resolved_at);
            } else if over {
                self.resolve(&mut incident, cleared_at.unwrap_or(clear.at), Reason::Resolved, Some(evaluation));
            }
            situation.incident = Some(incident);
        }
        self.put(situation);
    }

    /// The incident ends; who heard the trigger hears of it.
    pub(super) fn resolve(&mut self, incident: &mut Incident, at: Timestamp, reason: Reason, by: Option<&Evaluation>) {
        let from = incident.state;
        if let Some(by) = by.filter(|by| by.key.is_some()) {
            incident.key = join_keys(incident.key.take(), by.key.clone(), true);
        }
        incident.resolved_at = Some(at);
        self.transition(incident, Some(from), State::Resolved, reason, None);
        let mut telling = Telling::told(Kind::Resolve, reason);
        telling.event = by.map(|evaluation| evaluation.event.clone());
        self.tell(incident, telling);
    }

    pub(super) fn transition(
        &mut self,
        incident: &mut Incident,
        from: Option<State>,
        to: State,
        reason: Reason,
        by: Option<(&str, &str)>,
    ) {
        incident.state = to;
        self.history(
            incident,
            What::Transition {
                from,
                to,
                severity: incident.severity,
                reason,
                by: by.map(|(who, _)| who.to_owned()),
                why: by.map(|(_, why)| why.to_owned()),
            },
        );
    }

    /// Makes the deliveries of one notification, or records why there are none.
    pub(super) fn tell(&mut self, incident: &mut Incident, telling: Telling) {
        let Some(telling) = self.pass(incident, telling) else { return };
        match notify::tell(self.policy, incident, telling, self.now) {
            Ok((deliveries, what)) => {
                self.decision.deliveries.extend(deliveries);
                self.history(incident, what);
            }
            Err(reason) => self.not_told(incident, reason),
        }
    }

    fn not_told(&mut self, incident: &Incident, reason: NotTold) {
        self.history(incident, What::NotTold { reason, held: None });
    }

    pub(super) fn history(&mut self, incident: &Incident, what: What) {
        self.decision.history.push(HistoryEntry {
            at: self.now,
            fingerprint: incident.fingerprint.clone(),
            incident: incident.id.clone(),
            what,
        });
    }
}

fn repeat_due(incident: &Incident, now: Timestamp) -> bool {
    let due = incident.last_notified_at.zip(incident.repeat).and_then(|(last, every)| last.checked_add(every).ok());
    due.is_some_and(|due| due <= now)
}

/// A rule's danger stands since `at`.
pub(super) fn endanger(situation: &mut Situation, rule: &Rule, at: Timestamp) {
    if rule.notice {
        return;
    }
    let condition = situation.conditions.entry(rule.id.clone()).or_default();
    if condition.last_danger.is_none_or(|known| known < at) {
        condition.last_danger = Some(at);
    }
    condition.follow(rule);
}

/// Whether an alert at `at` belongs to this incident. After its end plus the re-open time a new one begins.
fn joins(incident: &Incident, at: Timestamp, reopen_within: SignedDuration) -> bool {
    match incident.resolved_at.filter(|_| incident.state == State::Resolved) {
        None => true,
        Some(end) => end.max(incident.last_alert_at).checked_add(reopen_within).is_ok_and(|bound| at <= bound),
    }
}

/// An incident as it stands after its first alert; for reports that cannot go through the store.
pub(super) fn first_incident(candidate: &Candidate, evaluation: &Evaluation) -> Incident {
    let mut incident = open(candidate, evaluation, 1);
    merge(&mut incident, candidate, evaluation);
    incident
}

fn open(candidate: &Candidate, evaluation: &Evaluation, episode: u32) -> Incident {
    let Candidate { rule, fingerprint, severity, .. } = candidate;
    let at = candidate.at.unwrap_or(evaluation.event.time);
    Incident {
        id: Incident::id_of(fingerprint, episode),
        fingerprint: fingerprint.clone(),
        episode,
        family: rule.family.clone(),
        rules: BTreeSet::new(),
        severity: *severity,
        state: State::Open,
        opened_at: at,
        last_alert_at: at,
        resolved_at: None,
        deadline: None,
        alerts: 0,
        actors: BTreeSet::new(),
        key: evaluation.key.clone(),
        tags: BTreeSet::new(),
        fired: BTreeMap::new(),
        first: evaluation.event.clone(),
        latest: evaluation.event.clone(),
        told: BTreeSet::new(),
        step: 0,
        transitions: 0,
        last_notified_at: None,
        taken: None,
        marks: BTreeSet::new(),
        repeat: None,
        voice: Voice::default(),
        said: evaluation.said.clone(),
        undo: evaluation.undo.clone(),
        links: evaluation.links.clone(),
        watching: BTreeSet::new(),
        happenings: BTreeMap::new(),
        held: None,
        shadow: false,
        began_in_shadow: false,
        rose_at: None,
        harm: None,
        in_use: None,
    }
}

/// Joins an alert into its incident with operations that do not depend on the order. Returns whether the same
/// happening was counted before.
fn merge(incident: &mut Incident, candidate: &Candidate, evaluation: &Evaluation) -> bool {
    let Candidate { rule, severity, watching, texts, .. } = candidate;
    let at = candidate.at.unwrap_or(evaluation.event.time);
    let merged = same_happening(incident, rule, evaluation);
    if !merged {
        incident.alerts += 1;
    }
    incident.fire(&rule.id, *severity, &rule.tags);
    incident.watching.extend(watching.iter().cloned());
    incident.opened_at = incident.opened_at.min(at);
    if let Some(principal) = &evaluation.event.actor.principal {
        incident.actors.insert(principal.clone());
        if incident.actors.len() > ACTORS_MAX {
            incident.actors.pop_last();
        }
    }
    let order = |card: &crate::core::notification::EventCard| (card.time, card.id.clone());
    if order(&evaluation.event) < order(&incident.first) {
        incident.first = evaluation.event.clone();
    }
    let newest = order(&evaluation.event) >= order(&incident.latest);
    let first = incident.voice.rule.is_empty();
    if newest || first {
        incident.marks = evaluation.marks.iter().cloned().collect();
    }
    // A mark that passes is what there is to say now, however old the event that named the date.
    if newest || first || candidate.at.is_some() {
        incident.last_alert_at = incident.last_alert_at.max(at);
        incident.latest = evaluation.event.clone();
        let said = texts.summary.as_ref().or(rule.summary.as_ref()).unwrap_or(&evaluation.said);
        incident.said.clone_from(said);
        incident.undo.clone_from(&evaluation.undo);
        incident.links.clone_from(&evaluation.links);
        let further = rule.references.iter().map(|href| Link { text: "Reference".to_owned(), href: href.clone() });
        incident.links.extend(further);
        incident.voice = Voice {
            rule: rule.id.clone(),
            title: texts.title.as_ref().unwrap_or(&rule.title).clone(),
            runbook: rule.runbook.clone(),
            owner: rule.owner.clone(),
            meaning: meaning(rule, texts),
            action: texts.action.as_ref().or(rule.action.as_ref()).cloned(),
        };
        if texts.failed {
            incident.marks.insert(UNPRINTED.to_owned());
        }
    }
    if let Some(mut in_use) = evaluation.in_use.clone().filter(|_| newest || incident.in_use.is_none()) {
        if let Some(before) = &incident.in_use {
            in_use.keep_recorded(before);
        }
        incident.in_use = Some(in_use);
    }
    incident.key = join_keys(incident.key.take(), evaluation.key.clone(), newest);
    merged
}

/// What the rule says it means. A rule that asks for what the lean event pattern leaves out says so: its silence means
/// nothing where only that is deployed.
fn meaning(rule: &Rule, texts: &Texts) -> Option<String> {
    let said = texts.meaning.as_ref().or(rule.meaning.as_ref());
    if rule.needs_full.is_empty() {
        return said.cloned();
    }
    let remark = "This rule sees only what the full event pattern delivers.";
    Some(said.map_or_else(|| remark.to_owned(), |said| format!("{said} {remark}")))
}

/// Fields joined, none dropped: the newer event's values win, the older one's fill the gaps.
fn join_keys(
    known: Option<crate::core::event::KeyRef>,
    new: Option<crate::core::event::KeyRef>,
    newest: bool,
) -> Option<crate::core::event::KeyRef> {
    let (first, second) = match (known, new) {
        (Some(known), Some(new)) if newest => (new, known),
        (Some(known), Some(new)) => (known, new),
        (one, other) => return one.or(other),
    };
    let or = |a: Vec<String>, b: Vec<String>| if a.is_empty() { b } else { a };
    let or_map = |a: BTreeMap<String, String>, b| if a.is_empty() { b } else { a };
    Some(crate::core::event::KeyRef {
        arn: first.arn.or(second.arn),
        id: first.id.or(second.id),
        account: first.account.or(second.account),
        region: first.region.or(second.region),
        aliases: or(first.aliases, second.aliases),
        state: first.state.or(second.state),
        manager: first.manager.or(second.manager),
        origin: first.origin.or(second.origin),
        multi_region: first.multi_region.or(second.multi_region),
        deletion_date: first.deletion_date.or(second.deletion_date),
        valid_to: first.valid_to.or(second.valid_to),
        tags: or_map(first.tags, second.tags),
        labels: or_map(first.labels, second.labels),
    })
}

fn same_happening(incident: &mut Incident, rule: &Rule, evaluation: &Evaluation) -> bool {
    let Some(same) = &evaluation.same else { return false };
    let at = evaluation.event.time;
    // The same happening may concern several rules of one family: each counts it once.
    let name = match same {
        Same::Shared(id) => format!("{}|shared|{id}", rule.id),
        Same::Fact(kind, key) => format!("{}|{kind:?}|{key}", rule.id),
    };
    let known = incident.happenings.get(&name).copied();
    let again = known.is_some_and(|known| match same {
        Same::Shared(_) => true,
        Same::Fact(..) => at.duration_since(known).abs() <= SAME_FACT_WITHIN,
    });
    if !again {
        incident.happenings.insert(name, at);
        while incident.happenings.len() > HAPPENINGS_MAX {
            let oldest =
                incident.happenings.iter().min_by_key(|(name, at)| (**at, (*name).clone())).map(|(n, _)| n.clone());
            oldest.map(|oldest| incident.happenings.remove(&oldest));
        }
    }
    again
}
