//! What holds a notification back: a silence, another incident, the shadow mode of its rule. Only here is decided
//! whether what is to be told goes out. Incidents themselves never depend on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::fold::Desk;
use super::notify::Telling;
use super::{Decision, NotTold, Policy, Snapshot, What};
use crate::core::hold::{Gate, Held};
use crate::core::incident::{Fingerprint, Incident, State};
use crate::core::inhibit::{self, Inhibitor};
use crate::core::notification::{Kind, Reason};
use crate::core::route::Subject;
use crate::core::silence::{Holds, InForce, Silence};

/// What may hold notifications back beside the rules themselves: an input, like the state that is read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gates {
    pub silences: Vec<Arc<InForce>>,
    /// Open incidents that hold others.
    pub inhibitors: BTreeMap<Fingerprint, Arc<Inhibitor>>,
}

impl Gates {
    pub fn is_empty(&self) -> bool {
        self.silences.is_empty() && self.inhibitors.is_empty()
    }

    /// Takes in what a decision changed. Returns whether a gate may have opened: then held incidents need a look.
    pub fn learn(&mut self, policy: &Policy, decision: &Decision) -> bool {
        let mut opened = false;
        for changed in &decision.silences {
            let before = self.silences.len();
            self.silences.retain(|known| known.silence.id != changed.id);
            if changed.ended.is_some() {
                opened |= self.silences.len() < before;
            } else if let Ok(in_force) = InForce::new(changed.clone()) {
                self.silences.push(Arc::new(in_force));
            }
        }
        for situation in &decision.situations {
            let holds = situation.incident.as_ref().and_then(|incident| Inhibitor::of(&policy.inhibit, incident));
            let known = self.inhibitors.get(&situation.fingerprint);
            if known.map(AsRef::as_ref) == holds.as_ref() {
                continue;
            }
            // One that changed may hold fewer than before.
            opened |= known.is_some();
            match holds {
                Some(holds) => self.inhibitors.insert(situation.fingerprint.clone(), Arc::new(holds)),
                None => self.inhibitors.remove(&situation.fingerprint),
            };
        }
        opened
    }
}

impl Gate {
    fn not_told(&self) -> NotTold {
        match self {
            Self::Silence { .. } => NotTold::Silenced,
            Self::Inhibition { .. } => NotTold::Inhibited,
            Self::Shadow { .. } => NotTold::Shadow,
        }
    }
}

/// What stands between an incident and people.
#[derive(Default)]
struct Look {
    gate: Option<(Gate, Option<Timestamp>)>,
    /// Silences that hold it and wait for their first incident.
    unbound: Vec<Silence>,
    /// What a reader must know of silences that do not hold it.
    remarks: Vec<String>,
}

impl Desk<'_> {
    /// What may go out now. What may not is kept in the incident until the gate opens.
    ///
    /// Who heard the trigger hears that somebody has taken the incident and that it is over, whatever stands between.
    pub(super) fn pass(&mut self, incident: &mut Incident, mut telling: Telling) -> Option<Telling> {
        let over = telling.kind == Kind::Resolve;
        if over {
            self.resolved(incident);
        }
        if over || telling.reason == Reason::AcknowledgedByHand {
            let owed = if over { incident.held.take() } else { incident.held.clone() };
            // A sink that was told of an earlier opening knows that one to be over.
            if let Some(owed) = owed.filter(|owed| owed.kind == Kind::Trigger) {
                self.held_back(incident, NotTold::NeverTold, owed.gate);
                return None;
            }
            return Some(telling);
        }
        let look = self.look(incident);
        if let Some((gate, until)) = look.gate {
            if incident.state != State::Resolved {
                self.hold(incident, gate.clone(), until, telling.kind, telling.reason);
                self.bind(incident, look.unbound);
            }
            let reason = gate.not_told();
            self.held_back(incident, reason, gate);
            return None;
        }
        telling.remarks.extend(look.remarks);
        if let Some(held) = incident.held.take() {
            telling.remarks.push(format!("held back until now by {}", held.gate));
            telling.join(held.kind, held.reason, incident.is_incomplete());
        }
        Some(telling)
    }

    /// Tells what is owed, if nothing stands between any more.
    pub(super) fn look_again(&mut self, incident: &mut Incident) {
        if incident.state == State::Resolved {
            return;
        }
        self.note_shadow(incident);
        let Some(held) = incident.held.clone() else { return };
        let look = self.look(incident);
        let Some((gate, until)) = look.gate else {
            self.tell(incident, Telling::of(held.kind, held.reason, incident.is_incomplete()));
            if held.kind == Kind::Trigger && incident.state == State::Acknowledged {
                self.tell(incident, Telling::told(Kind::Update, Reason::AcknowledgedByHand));
            }
            return;
        };
        self.bind(incident, look.unbound);
        let another = gate != held.gate;
        incident.held = Some(Held { gate: gate.clone(), until, ..held });
        if another {
            let reason = gate.not_told();
            self.held_back(incident, reason, gate);
        }
    }

    /// Whether every rule that fired is on trial; notes it in the incident, and holds what was told before it was.
    pub(super) fn note_shadow(&mut self, incident: &mut Incident) {
        let gate = self.shadow(incident);
        incident.shadow = gate.is_some();
        if let Some((gate, until)) = gate
            && incident.state == State::Open
            && incident.held.is_none()
            && !incident.told.is_empty()
        {
            self.hold(incident, gate, until, Kind::Update, Reason::Repeat);
        }
    }

    fn look(&self, incident: &Incident) -> Look {
        let mut look = Look { gate: self.shadow(incident), ..Look::default() };
        let gates = &self.snapshot.gates;
        if look.gate.is_some() || (gates.silences.is_empty() && self.policy.inhibit.is_empty()) {
            return look;
        }
        let subject = Subject::of(incident);
        // Of several the one that lasts longest.
        for in_force in &gates.silences {
            let known = &in_force.silence;
            let silence = self.silences.get(&known.id).unwrap_or(known);
            if !silence.in_force(self.now) {
                continue;
            }
            match in_force.holds_subject(&subject, incident) {
                Holds::No => {}
                Holds::Partly => look.remarks.push(format!(
                    "silence {} of {} does not hold this back: {}",
                    silence.id,
                    silence.by,
                    in_force.beyond(&subject)
                )),
                Holds::Unsure => look.remarks.push(format!(
                    "silence {} of {} reads key details that are unknown, so it does not hold this back",
                    silence.id, silence.by
                )),
                Holds::Yes if silence.pierced_by(incident) => look
                    .remarks
                    .push(format!("told in spite of silence {} of {}: it rose to critical", silence.id, silence.by)),
                Holds::Yes => {
                    if silence.until_resolved && silence.waits_for.is_empty() {
                        look.unbound.push(silence.clone());
                    }
                    if look.gate.as_ref().is_none_or(|(_, until)| *until < Some(silence.ends_at)) {
                        look.gate = Some((silence_gate(silence), Some(silence.ends_at)));
                    }
                }
            }
        }
        if look.gate.is_none() {
            match self.inhibited(incident, &subject) {
                Some((gate, None)) => look.gate = Some((gate, None)),
                Some((gate, Some(why))) => look.remarks.push(format!("{gate} does not hold this back: {why}")),
                None => {}
            }
        }
        look
    }

    fn shadow(&self, incident: &Incident) -> Option<(Gate, Option<Timestamp>)> {
        let mut found = None;
        for id in &incident.rules {
            let rule = self.policy.rules.get(id).filter(|rule| rule.in_shadow(self.now))?;
            found = Some((Gate::Shadow { rule: id.clone() }, rule.shadow.as_ref().and_then(|shadow| shadow.live_from)));
        }
        found
    }

    /// What holds it, or would if it took the worst that fired, and why it does not. Critical incidents, and what kmswatch says
    /// of itself, nobody holds but a person.
    fn inhibited(&self, incident: &Incident, subject: &Subject<'_>) -> Option<(Gate, Option<String>)> {
        let rules = &self.policy.inhibit;
        let exempt = incident.severity == crate::core::rule::Severity::Critical || incident.is_own();
        if exempt || !inhibit::is_target(rules, subject) {
            return None;
        }
        // What this very decision changed counts as it is now.
        let fresh = self.working.iter().filter(|(print, _)| **print != incident.fingerprint);
        let mut fresh: Vec<&Incident> = fresh.filter_map(|(_, situation)| situation.incident.as_ref()).collect();
        fresh.sort_by(|a, b| a.id.cmp(&b.id));
        let fresh: Vec<Inhibitor> = fresh.into_iter().filter_map(|other| Inhibitor::of(rules, other)).collect();
        let known = self.snapshot.gates.inhibitors.iter();
        let known = known.filter(|(print, _)| **print != incident.fingerprint && !self.working.contains_key(*print));
        let all: Vec<&Inhibitor> = known.map(|(_, inhibitor)| &**inhibitor).chain(&fresh).collect();
        let holds = all.iter().find_map(|inhibitor| inhibit::gate(rules, inhibitor, subject));
        let partly = || all.iter().find_map(|inhibitor| inhibit::partly(rules, inhibitor, subject));
        holds.map(|gate| (gate, None)).or_else(|| partly().map(|(gate, why)| (gate, Some(why))))
    }

    fn hold(&mut self, incident: &mut Incident, gate: Gate, until: Option<Timestamp>, kind: Kind, reason: Reason) {
        let mut held =
            incident.held.take().unwrap_or(Held { gate: gate.clone(), since: self.now, until, kind, reason });
        (held.gate, held.until) = (gate, until);
        held.join(kind, reason);
        incident.held = Some(held);
    }

    /// A silence that ends with an incident and has none yet takes the first that it holds.
    fn bind(&mut self, incident: &Incident, silences: Vec<Silence>) {
        for mut silence in silences {
            silence.waits_for.insert(incident.id.clone(), incident.fingerprint.clone());
            self.silences.insert(silence.id.clone(), silence);
        }
    }

    /// Silences that waited for this incident do so no longer.
    fn resolved(&mut self, incident: &Incident) {
        for in_force in &self.snapshot.gates.silences {
            let known = &in_force.silence;
            let mut silence = self.silences.get(&known.id).unwrap_or(known).clone();
            if silence.resolved(&incident.id, self.now) {
                self.silences.insert(silence.id.clone(), silence);
            }
        }
    }

    fn held_back(&mut self, incident: &Incident, reason: NotTold, gate: Gate) {
        self.history(incident, What::NotTold { reason, held: Some(gate) });
    }
}

fn silence_gate(silence: &Silence) -> Gate {
    Gate::Silence { id: silence.id.clone(), by: silence.by.clone(), why: silence.why.clone() }
}

/// A person begins a silence. The open incidents of the snapshot that it matches are held from now on, and told when it
/// ends if they are open then; one that waits for incidents waits for these.
pub fn begin_silence(policy: &Policy, snapshot: &Snapshot, silence: &Silence, now: Timestamp) -> Decision {
    let mut desk = Desk::new(policy, snapshot, now);
    let mut silence = silence.clone();
    if let Ok(in_force) = InForce::new(silence.clone()) {
        let mut prints: Vec<&Fingerprint> = snapshot.situations.keys().collect();
        prints.sort();
        for print in prints {
            let mut situation = desk.take(print);
            let open = situation.incident.as_mut().filter(|i| i.state != State::Resolved && !i.shadow);
            if let Some(incident) = open.filter(|incident| in_force.holds(incident) == Holds::Yes) {
                if silence.until_resolved {
                    silence.waits_for.insert(incident.id.clone(), print.clone());
                }
                if incident.state == State::Open && incident.held.is_none() && !incident.told.is_empty() {
                    let gate = silence_gate(&silence);
                    desk.hold(incident, gate.clone(), Some(silence.ends_at), Kind::Update, Reason::Repeat);
                    desk.held_back(incident, NotTold::Silenced, gate);
                }
            }
            desk.put(situation);
        }
    }
    desk.silences.insert(silence.id.clone(), silence);
    desk.finish()
}

/// Silences that wait for incidents which are over, as the snapshot has them: resolved where nobody knew of the silence.
pub fn settle_silences(policy: &Policy, snapshot: &Snapshot, now: Timestamp) -> Decision {
    let mut desk = Desk::new(policy, snapshot, now);
    for in_force in &snapshot.gates.silences {
        let mut silence = in_force.silence.clone();
        for (id, print) in &in_force.silence.waits_for {
            let incident = snapshot.situations.get(print).and_then(|situation| situation.incident.as_ref());
            if !incident.is_some_and(|incident| incident.id == *id && incident.state != State::Resolved) {
                silence.resolved(id, now);
            }
        }
        if silence != in_force.silence {
            desk.silences.insert(silence.id.clone(), silence);
        }
    }
    desk.finish()
}
