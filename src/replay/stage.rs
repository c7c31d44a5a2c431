//! One set of rules and everything it remembers, while recorded events and the time between them pass.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::line::{AlertLine, Line, NotificationLine};
use crate::core::access::Histories;
use crate::core::decide::{self, Decision, Evaluation, Gates, Policy, Prepared, Snapshot};
use crate::core::enrich::{Lookup, enrich};
use crate::core::event::{Event, EventId};
use crate::core::incident::{Condition, Fingerprint, Situation, State};
use crate::core::notification::Kind;
use crate::core::pipeline;
use crate::core::route::labels;
use crate::core::rule::Severity;

/// The daemon looks at its timers this often: a repeat comes that much late there, and so it does here.
const TICK_SECONDS: i64 = 10;
/// Timers looked at in one step.
const PAGE: usize = 200;

/// Duplicates lie next to each other once events are sorted; this is more than the widest time bucket of an identity.
const SEEN_FOR: SignedDuration = SignedDuration::from_hours(2);

/// Situations remembered. At the first bound those go that nothing can open again; beyond the second the replay stops.
const SITUATIONS: usize = 10_000;
const SITUATIONS_MAX: usize = 50_000;

pub(super) struct Stage<'p> {
    policy: &'p Policy,
    lookup: Lookup,
    situations: HashMap<Fingerprint, Situation>,
    /// The key policies and rotation periods known so far, for comparison.
    histories: Histories,
    /// When a situation was due to be looked at, as of some time; asked again before it is believed.
    due: BinaryHeap<Reverse<(Timestamp, Fingerprint)>>,
    /// Open incidents that hold others, and what they hold.
    gates: Arc<Gates>,
    held: BTreeSet<Fingerprint>,
    /// Something may hold no longer.
    opened: bool,
    seen: HashSet<EventId>,
    seen_in_order: VecDeque<(Timestamp, EventId)>,
    /// The number of situations at which it is worth looking for some to forget.
    crowded: usize,
    pub(super) duplicates: u64,
    /// Incidents of which nobody was told because no route takes them.
    pub(super) unrouted: u64,
    /// Incidents opened.
    pub(super) incidents: u64,
}

/// What is known of keys beyond the events. `wanted`: the daemon would ask KMS.
pub(super) fn lookup(wanted: bool) -> Lookup {
    if wanted { Lookup::Failed("a replay asks nobody".to_owned()) } else { Lookup::Off }
}

/// What one event, with what it says of access already added, means to the rules before any state is asked.
pub(super) fn evaluate(policy: &Policy, lookup: &Lookup, mut event: Event) -> (Event, Evaluation) {
    let lookup = event.key.as_ref().map(|_| lookup);
    let marks = enrich(&mut event, lookup, None, |document| labels(&policy.labels, document));
    let now = event.time;
    let prepared = Prepared { event, marks, looked_up: None };
    let evaluation = decide::evaluate(policy, &prepared, now);
    (prepared.event, evaluation)
}

type Say<'s> = &'s mut dyn FnMut(Line);

impl<'p> Stage<'p> {
    pub(super) fn new(policy: &'p Policy, lookups: bool) -> Self {
        Self {
            policy,
            lookup: lookup(lookups),
            situations: HashMap::new(),
            histories: Histories::default(),
            due: BinaryHeap::new(),
            gates: Arc::default(),
            held: BTreeSet::new(),
            opened: false,
            seen: HashSet::new(),
            seen_in_order: VecDeque::new(),
            crowded: SITUATIONS,
            duplicates: 0,
            unrouted: 0,
            incidents: 0,
        }
    }

    /// One event happens.
    pub(super) fn event(&mut self, mut event: Event, say: Say<'_>) -> io::Result<()> {
        let now = event.time;
        self.histories.assess(&mut event, &self.policy.trust);
        pipeline::assess(&mut event, &self.policy.ours);
        let (event, evaluation) = evaluate(self.policy, &self.lookup, event);
        if evaluation.is_idle() {
            return Ok(());
        }
        let evaluations = [evaluation];
        let reads = Evaluation::reads(&evaluations);
        let snapshot = Snapshot {
            seen: reads.events.iter().filter(|id| self.seen.contains(id)).cloned().collect(),
            situations: self.of(&reads.fingerprints),
            gates: Arc::clone(&self.gates),
            ..Snapshot::default()
        };
        let decision = decide::decide(self.policy, &evaluations, &snapshot, now);
        drop(snapshot);
        self.take(decision, now, Some(&event), say)?;
        self.look_at_held(now, say)
    }

    /// Time passes up to `end`.
    pub(super) fn pass(&mut self, end: Timestamp, say: Say<'_>) -> io::Result<()> {
        while let Some(now) = self.due.peek().and_then(|Reverse((at, _))| next_tick(*at)).filter(|now| *now <= end) {
            let mut page = Vec::new();
            while page.len() < PAGE
                && let Some(Reverse((at, _))) = self.due.peek()
                && *at <= now
                && let Some(Reverse((_, fingerprint))) = self.due.pop()
            {
                let due = self.situations.get(&fingerprint).and_then(Situation::next_due);
                if due.is_some_and(|due| due <= now) {
                    page.push(fingerprint);
                }
            }
            if page.is_empty() {
                continue;
            }
            self.tick(&page, now, say)?;
            self.look_at_held(now, say)?;
        }
        Ok(())
    }

    fn tick(&mut self, prints: &[Fingerprint], now: Timestamp, say: Say<'_>) -> io::Result<()> {
        let snapshot = Snapshot { situations: self.of(prints), gates: Arc::clone(&self.gates), ..Snapshot::default() };
        let decision = decide::tick(self.policy, &snapshot, now);
        drop(snapshot);
        self.take(decision, now, None, say)
    }

    /// Tells what nothing holds any more, as the daemon does at once.
    fn look_at_held(&mut self, now: Timestamp, say: Say<'_>) -> io::Result<()> {
        if std::mem::take(&mut self.opened) {
            let held: Vec<Fingerprint> = self.held.iter().cloned().collect();
            for page in held.chunks(PAGE) {
                self.tick(page, now, say)?;
            }
        }
        Ok(())
    }

    fn of(&self, fingerprints: &[Fingerprint]) -> HashMap<Fingerprint, Situation> {
        let known = fingerprints.iter().filter_map(|print| self.situations.get_key_value(print));
        known.map(|(print, situation)| (print.clone(), situation.clone())).collect()
    }

    /// Stores a decision, and says what is in it.
    fn take(&mut self, decision: Decision, now: Timestamp, event: Option<&Event>, say: Say<'_>) -> io::Result<()> {
        self.opened |= Arc::make_mut(&mut self.gates).learn(self.policy, &decision);
        self.duplicates += decision.duplicates as u64;
        for (id, at) in decision.seen {
            if self.seen.insert(id.clone()) {
                self.seen_in_order.push_back((at, id));
            }
        }
        while self.seen_in_order.front().is_some_and(|(at, _)| now.duration_since(*at) > SEEN_FOR) {
            let old = self.seen_in_order.pop_front();
            old.map(|(_, id)| self.seen.remove(&id));
        }
        for entry in &decision.history {
            self.count(&entry.what);
        }
        let keys: HashMap<&Fingerprint, Option<String>> = decision
            .situations
            .iter()
            .map(|s| (&s.fingerprint, s.incident.as_ref().and_then(|i| i.key.as_ref()?.arn.clone())))
            .collect();
        for alert in &decision.alerts {
            say(Line::Alert(alert_line(alert, event, keys.get(&alert.fingerprint).cloned().flatten())));
        }
        for delivery in &decision.deliveries {
            let n = &delivery.notification;
            say(Line::Notification(NotificationLine {
                reason: n.reason,
                sink: delivery.sink.clone(),
                incident: n.incident.id.clone(),
                severity: n.incident.severity,
                summary: n.summary.clone(),
                at: n.at,
                what: n.kind,
                page: n.kind == Kind::Trigger || n.asks_again(),
            }));
        }
        for situation in decision.situations {
            if situation.is_held() {
                self.held.insert(situation.fingerprint.clone());
            } else {
                self.held.remove(&situation.fingerprint);
            }
            if let Some(due) = situation.next_due() {
                self.due.push(Reverse((due, situation.fingerprint.clone())));
            }
            self.situations.insert(situation.fingerprint.clone(), situation);
        }
        if self.situations.len() > self.crowded {
            self.forget(now);
        }
        if self.situations.len() > SITUATIONS_MAX {
            let open = "more than 50,000 situations at once, more than a replay holds in memory: narrow it down with \
                        --from and --to, or group the rules' alerts more widely";
            return Err(io::Error::other(open));
        }
        Ok(())
    }

    fn count(&mut self, what: &decide::What) {
        use decide::{NotTold, What};
        match what {
            What::Transition { from: None, .. } => self.incidents += 1,
            What::NotTold { reason: NotTold::NoRoute, .. } => self.unrouted += 1,
            _ => {}
        }
    }

    /// Forgets what is over for so long that no event to come can open it again; if it happens again, its incidents count
    /// from one.
    fn forget(&mut self, now: Timestamp) {
        let bound = now.checked_sub(self.policy.engine.reopen_within).unwrap_or(Timestamp::MIN);
        self.situations.retain(|_, situation| {
            let newest = situation.conditions.values().filter_map(Condition::newest).max();
            let ended = situation.incident.as_ref().map(|incident| {
                let resolved = incident.state == State::Resolved;
                incident.resolved_at.filter(|_| resolved).map(|end| end.max(incident.last_alert_at))
            });
            let over = match ended {
                Some(end) => end.is_some_and(|end| end < bound),
                None => newest.is_none_or(|at| at < bound),
            };
            !over || keeps_more(situation)
        });
        self.crowded = SITUATIONS.max(self.situations.len() + SITUATIONS / 2);
    }

    /// Incidents that are not resolved, by severity.
    pub(super) fn open(&self) -> BTreeMap<Severity, u64> {
        let mut open = BTreeMap::new();
        for incident in self.situations.values().filter_map(|situation| situation.incident.as_ref()) {
            if incident.state != State::Resolved {
                *open.entry(incident.severity).or_default() += 1;
            }
        }
        open
    }
}

/// Whether a situation remembers, or waits for, something beside its conditions and its incident.
fn keeps_more(situation: &Situation) -> bool {
    !situation.windows.is_empty() || situation.next_due().is_some()
}

/// When the daemon's timers next go off.
fn next_tick(due: Timestamp) -> Option<Timestamp> {
    let whole = due.as_second() + i64::from(due.subsec_nanosecond() > 0);
    let second = whole.checked_add(TICK_SECONDS - 1)?.div_euclid(TICK_SECONDS) * TICK_SECONDS;
    Timestamp::from_second(second).ok()
}

fn alert_line(alert: &decide::AlertEntry, event: Option<&Event>, incident_key: Option<String>) -> AlertLine {
    let card = &alert.event;
    let own = event.filter(|event| event.id.0 == card.id);
    let key_arn = match own {
        Some(event) => event.key.as_ref().and_then(|key| key.arn.clone()),
        None => incident_key,
    };
    AlertLine {
        rule: alert.rule.clone(),
        severity: alert.severity,
        event_id: recorded_id(&card.id).to_owned(),
        event_time: card.time,
        event_name: card.name.clone(),
        outcome: card.outcome,
        key_arn,
        actor: card.actor.principal.clone(),
        account: card.account.clone(),
        region: card.region.clone(),
        fingerprint: alert.fingerprint.clone(),
        shadow: alert.shadow,
        incident: alert.incident.clone(),
    }
}

/// CloudTrail's `eventID` out of an identity, which has account and Region before it and may have a reason after it.
fn recorded_id(id: &str) -> &str {
    let mut parts = id.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(account), Some(_), Some(recorded)) if account != "native" => {
            recorded.split_once('+').map_or(recorded, |(recorded, _)| recorded)
        }
        _ => id,
    }
}
