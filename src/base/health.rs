//! What the loops know of their own health, for `/livez` and `/readyz`. The loops write, the admin door reads.
//!
//! *Live* means that no loop is stuck; failing it restarts the process, so trouble outside never fails it.
//! *Ready* means that events get in and are kept; failing it tells people, with the reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::aws::{is_account, is_region};

/// A receive attempt must end, either way, within so many times the long poll's wait.
const STALL_FACTOR: u32 = 3;

/// Even with a short wait a receive may need this long to end: connecting, time-outs, back-off.
const STALL_AT_LEAST: Duration = Duration::from_mins(1);

/// Receive errors that last shorter than this do not make the daemon unready.
const DEAF_AFTER: Duration = Duration::from_mins(1);

/// Accounts times Regions of one queue. Events name them, so their number must have a bound.
const PLACES_MAX: usize = 64;

/// A sink that fails shorter than this is no trouble: its deliveries are tried again.
const SINK_AFTER: Duration = Duration::from_mins(1);

/// Shared by all loops behind an `Arc`.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<String, QueueHealth>,
    /// Failing ones: since when, and why.
    sinks: BTreeMap<String, (Instant, String)>,
    canaries: BTreeMap<String, CanaryHealth>,
    store: Option<Result<(), String>>,
    config_loaded: bool,
    reload_failed: Option<String>,
    stopping: bool,
}

#[derive(Debug)]
struct QueueHealth {
    wait: Duration,
    last_end: Instant,
    last_ok: Option<Instant>,
    error: Option<(Instant, String)>,
    paused: Option<String>,
    /// Since when every receive has been answered.
    hearing_since: Option<Instant>,
    last_empty: Option<Instant>,
    last_message: Option<Timestamp>,
    /// Of the messages that came since somebody asked last, for the first time each.
    oldest: Option<Duration>,
    /// What is worth knowing of the queue itself.
    note: Option<String>,
    /// Accounts and Regions that events came from.
    places: BTreeSet<(String, String)>,
}

/// What is known of hearing from a queue; lengths are up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// How long every receive has been answered; `None` while receives fail or rest.
    pub hearing_for: Option<Duration>,
    /// How long ago the last receive was answered.
    pub last_answer: Option<Duration>,
    /// How long ago a receive came back empty: then nothing waited.
    pub last_empty: Option<Duration>,
    /// When the last message came, whatever it was.
    pub last_message: Option<Timestamp>,
}

#[derive(Debug)]
struct CanaryHealth {
    queue: String,
    /// Account and Region of its key.
    place: (String, String),
    proof: Proof,
}

/// What a canary proves now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: no call has come back yet, or not lately.
    None,
    /// Events come.
    Well,
    /// They do not, for this reason.
    Blind(String),
}

/// What may be said to somebody who waits for a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulse {
    Well,
    /// Not well, for these reasons.
    Trouble(Vec<String>),
    /// Neither is known, as after a start.
    Unsure,
}

/// The answer to "are you well?".
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub ok: bool,
    /// Why it is not ok.
    pub reasons: Vec<String>,
    /// What is worth knowing but does not count against it.
    pub notes: Vec<String>,
}

impl Health {
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on receives of `queue` are expected to end, each within three times `wait` (at least a minute).
    pub fn watch_queue(&self, queue: &str, wait: Duration) {
        let fresh = QueueHealth {
            wait,
            last_end: Instant::now(),
            last_ok: None,
            error: None,
            paused: None,
            hearing_since: None,
            last_empty: None,
            last_message: None,
            oldest: None,
            note: None,
            places: BTreeSet::new(),
        };
        self.state().queues.insert(queue.to_owned(), fresh);
    }

    pub fn forget_queue(&self, queue: &str) {
        self.state().queues.remove(queue);
    }

    /// A receive attempt ended: with an answer (empty ones too), or with the error class named.
    pub fn receive_ended(&self, queue: &str, error: Option<&str>) {
        let now = Instant::now();
        if let Some(queue) = self.state().queues.get_mut(queue) {
            queue.last_end = now;
            queue.paused = None;
            match error {
                None => {
                    queue.last_ok = Some(now);
                    queue.error = None;
                    queue.hearing_since.get_or_insert(now);
                }
                Some(class) => {
                    queue.hearing_since = None;
                    let since = queue.error.as_ref().map_or(now, |(since, _)| *since);
                    queue.error = Some((since, class.to_owned()));
                }
            }
        }
    }

    /// Receiving rests on purpose (the store cannot commit). Also a sign of life: call it again at every step
    /// of the wait.
    pub fn receive_paused(&self, queue: &str, why: &str) {
        if let Some(queue) = self.state().queues.get_mut(queue) {
            queue.last_end = Instant::now();
            queue.paused = Some(why.to_owned());
            queue.hearing_since = None;
        }
    }

    /// A receive was answered with so many messages, the last of them now. `oldest` is the age of the oldest that came for the first
    /// time: one that comes again has waited for something else than for us.
    pub fn messages_came(&self, queue: &str, messages: usize, oldest: Option<Duration>, now: Timestamp) {
        if let Some(queue) = self.state().queues.get_mut(queue) {
            if messages == 0 {
                queue.last_empty = Some(Instant::now());
            } else {
                queue.last_message = Some(now);
            }
            queue.oldest = queue.oldest.max(oldest);
        }
    }

    /// Age of the oldest message that has come since this was asked last.
    pub fn take_oldest(&self, queue: &str) -> Option<Duration> {
        self.state().queues.get_mut(queue)?.oldest.take()
    }

    /// How we hear from a queue.
    pub fn heard(&self, queue: &str) -> Heard {
        let state = self.state();
        let Some(queue) = state.queues.get(queue) else { return Heard::default() };
        let ago = |at: Option<Instant>| at.map(|at| at.elapsed());
        Heard {
            hearing_for: ago(queue.hearing_since),
            last_answer: ago(queue.last_ok),
            last_empty: ago(queue.last_empty),
            last_message: queue.last_message,
        }
    }

    /// Says what is worth knowing of a queue itself, or takes it back.
    pub fn note_queue(&self, queue: &str, note: Option<String>) {
        if let Some(queue) = self.state().queues.get_mut(queue) {
            queue.note = note;
        }
    }

    pub fn store_ok(&self) {
        let mut state = self.state();
        if state.store != Some(Ok(())) {
            state.store = Some(Ok(()));
        }
    }

    /// `kind` is the error's kind, such as `disk_full`.
    pub fn store_failed(&self, kind: &str) {
        self.state().store = Some(Err(kind.to_owned()));
    }

    /// A configuration is in force; clears what an earlier failed reload left.
    pub fn config_loaded(&self) {
        let mut state = self.state();
        state.config_loaded = true;
        state.reload_failed = None;
    }

    /// The new configuration did not load; the old one stays in force.
    pub fn reload_failed(&self, why: &str) {
        self.state().reload_failed = Some(why.to_owned());
    }

    pub fn sink_failing(&self, sink: &str, reason: &str) {
        let mut state = self.state();
        let since = state.sinks.get(sink).map_or_else(Instant::now, |(since, _)| *since);
        state.sinks.insert(sink.to_owned(), (since, reason.to_owned()));
    }

    /// The sink works again, or is gone.
    pub fn sink_recovered(&self, sink: &str) {
        self.state().sinks.remove(sink);
    }

    /// From now on a canary of a queue is expected to prove that events of its account and Region come; it has proven nothing yet.
    pub fn watch_canary(&self, canary: &str, queue: &str, account: &str, region: &str) {
        let (queue, place) = (queue.to_owned(), (account.to_owned(), region.to_owned()));
        self.state().canaries.insert(canary.to_owned(), CanaryHealth { queue, place, proof: Proof::None });
    }

    /// What a canary proves.
    pub fn canary(&self, canary: &str, proof: Proof) {
        if let Some(canary) = self.state().canaries.get_mut(canary) {
            canary.proof = proof;
        }
    }

    /// An event of this account and Region came through a queue. `true` if that is news, and no canary proves that they always do.
    pub fn event_from(&self, queue: &str, account: &str, region: &str) -> bool {
        // It is shown to people.
        if !is_account(account) || !is_region(region) {
            return false;
        }
        let mut state = self.state();
        let State { queues, canaries, .. } = &mut *state;
        let Some(places) = queues.get_mut(queue).map(|queue| &mut queue.places) else { return false };
        let is = |(a, r): &(String, String)| a == account && r == region;
        if places.len() >= PLACES_MAX || places.iter().any(is) {
            return false;
        }
        places.insert((account.to_owned(), region.to_owned()));
        !canaries.values().any(|canary| canary.queue == queue && is(&canary.place))
    }

    /// Whether a queue has a canary, and all it has come back.
    pub fn proven(&self, queue: &str) -> bool {
        let state = self.state();
        let mut of_queue = state.canaries.values().filter(|canary| canary.queue == queue).peekable();
        of_queue.peek().is_some() && of_queue.all(|canary| canary.proof == Proof::Well)
    }

    /// What a heartbeat may say: whether all is well, for `sinks` and everything else.
    pub fn pulse(&self, sinks: &BTreeSet<String>) -> Pulse {
        let state = self.state();
        let mut reasons = vec![];
        let mut unsure = state.stopping || !state.config_loaded || state.store.is_none();
        if let Some(Err(kind)) = &state.store {
            reasons.push(format!("store: {kind}"));
        }
        for (name, queue) in &state.queues {
            match (&queue.paused, &queue.error) {
                (Some(why), _) => reasons.push(format!("queue {name}: receiving is paused: {why}")),
                (None, Some((since, class))) if since.elapsed() >= DEAF_AFTER => {
                    reasons.push(format!("queue {name}: cannot receive: {class}"));
                }
                (None, error) => unsure |= error.is_some() || queue.last_ok.is_none(),
            }
        }
        for (name, canary) in &state.canaries {
            match &canary.proof {
                Proof::Well => {}
                Proof::None => unsure = true,
                Proof::Blind(why) => reasons.push(format!("canary {name}: {why}")),
            }
        }
        for (name, (since, why)) in state.sinks.iter().filter(|(name, _)| sinks.contains(*name)) {
            if since.elapsed() >= SINK_AFTER {
                reasons.push(format!("sink {name} is failing: {why}"));
            } else {
                unsure = true;
            }
        }
        match (reasons.is_empty(), unsure) {
            (false, _) => Pulse::Trouble(reasons),
            (true, true) => Pulse::Unsure,
            (true, false) => Pulse::Well,
        }
    }

    pub fn stopping(&self) {
        self.state().stopping = true;
    }

    /// Fails when a queue's receive attempts no longer end.
    pub fn live(&self) -> Report {
        let state = self.state();
        let reasons = state.queues.iter().filter_map(|(name, queue)| {
            let silent = queue.last_end.elapsed();
            (!state.stopping && silent > (queue.wait * STALL_FACTOR).max(STALL_AT_LEAST))
                .then(|| format!("queue {name}: no receive has ended for {} s", silent.as_secs()))
        });
        Report::new(reasons.collect(), vec![])
    }

    /// Fails when events do not get in or are not kept. Failing sinks are named only: events are safe in the outbox. So is what no
    /// canary proves.
    pub fn ready(&self) -> Report {
        let state = self.state();
        let mut reasons = vec![];
        if state.stopping {
            reasons.push("stopping".to_owned());
        }
        if !state.config_loaded {
            reasons.push("no configuration is loaded".to_owned());
        }
        match &state.store {
            None => reasons.push("store: not opened yet".to_owned()),
            Some(Err(kind)) => reasons.push(format!("store: {kind}")),
            Some(Ok(())) => {}
        }
        for (name, queue) in &state.queues {
            if let Some(why) = &queue.paused {
                reasons.push(format!("queue {name}: receiving is paused: {why}"));
            } else if let Some((since, class)) = &queue.error {
                let lasting = since.elapsed();
                if queue.last_ok.is_none() || lasting >= DEAF_AFTER {
                    reasons.push(format!("queue {name}: cannot receive for {} s: {class}", lasting.as_secs()));
                }
            } else if queue.last_ok.is_none() {
                reasons.push(format!("queue {name}: nothing received yet"));
            }
        }
        for (name, canary) in &state.canaries {
            if let Proof::Blind(why) = &canary.proof {
                reasons.push(format!("canary {name}: {why}"));
            }
        }
        let mut notes: Vec<String> =
            state.sinks.iter().map(|(name, (_, reason))| format!("sink {name} is failing: {reason}")).collect();
        let of_queues = state.queues.iter().filter_map(|(name, queue)| Some((name, queue.note.as_ref()?)));
        notes.extend(of_queues.map(|(name, note)| format!("queue {name}: {note}")));
        for name in state.queues.keys().filter(|name| state.canaries.values().all(|canary| canary.queue != **name)) {
            notes.push(format!("queue {name}: unproven, it has no canary"));
        }
        let proven = |queue: &str, place: &(String, String)| {
            let mut canaries = state.canaries.values().filter(|canary| canary.queue == queue).peekable();
            canaries.peek().is_none() || canaries.any(|canary| canary.place == *place)
        };
        for (name, queue) in &state.queues {
            let unproven = queue.places.iter().filter(|place| !proven(name, place));
            notes.extend(unproven.map(|(account, region)| {
                format!("queue {name}: unproven for account {account} in {region}: events come from there, and no canary does")
            }));
        }
        let silent = state.canaries.iter().filter(|(_, canary)| canary.proof == Proof::None);
        notes
            .extend(silent.map(|(name, canary)| {
                format!("queue {}: unproven, canary {name} has not come back yet", canary.queue)
            }));
        if let Some(why) = &state.reload_failed {
            notes.push(format!("the last reload failed, the earlier configuration is in force: {why}"));
        }
        Report::new(reasons, notes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while holding the lock leaves plain values behind, never half-written ones.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    fn new(reasons: Vec<String>, notes: Vec<String>) -> Self {
        Self { ok: reasons.is_empty(), reasons, notes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Health {
        let health = Health::new();
        health.config_loaded();
        health.store_ok();
        health.watch_queue("prod", Duration::from_secs(20));
        health.receive_ended("prod", None);
        health.watch_canary("main", "prod", "111122223333", "eu-central-1");
        health.canary("main", Proof::Well);
        health
    }

    #[tokio::test(start_paused = true)]
    async fn a_pulse_is_well_only_where_everything_is_known_to_be() {
        let sinks = BTreeSet::from(["oncall".to_owned()]);
        let trouble = |reason: &str| Pulse::Trouble(vec![reason.to_owned()]);
        assert_eq!(Health::new().pulse(&sinks), Pulse::Unsure, "nothing is known yet");
        let health = healthy();
        assert_eq!(health.pulse(&sinks), Pulse::Well);

        health.canary("main", Proof::None);
        assert_eq!(health.pulse(&sinks), Pulse::Unsure);
        health.canary("main", Proof::Blind("nothing came".to_owned()));
        assert_eq!(health.pulse(&sinks), trouble("canary main: nothing came"));
        health.canary("main", Proof::Well);

        health.receive_ended("prod", Some("network"));
        assert_eq!(health.pulse(&sinks), Pulse::Unsure, "it may pass");
        tokio::time::advance(DEAF_AFTER).await;
        health.receive_ended("prod", Some("network"));
        assert_eq!(health.pulse(&sinks), trouble("queue prod: cannot receive: network"));
        health.receive_ended("prod", None);

        health.sink_failing("chat", "network");
        health.sink_failing("oncall", "auth");
        assert_eq!(health.pulse(&sinks), Pulse::Unsure);
        tokio::time::advance(SINK_AFTER).await;
        health.sink_failing("oncall", "server");
        assert_eq!(health.pulse(&sinks), trouble("sink oncall is failing: server"), "the other is not critical");
        health.sink_recovered("oncall");

        health.store_failed("disk_full");
        assert_eq!(health.pulse(&sinks), trouble("store: disk_full"));
        health.store_ok();
        assert_eq!(health.pulse(&sinks), Pulse::Well);
        health.stopping();
        assert_eq!(health.pulse(&sinks), Pulse::Unsure, "to stop is no trouble, and no proof");
    }

    #[test]
    fn what_no_canary_proves_is_named() {
        let health = healthy();
        assert!(health.proven("prod") && health.ready().ok);
        health.watch_canary("second", "prod", "444455556666", "eu-central-1");
        assert!(!health.proven("prod"));
        assert_eq!(health.ready().notes, ["queue prod: unproven, canary second has not come back yet"]);
        health.canary("second", Proof::Blind("nothing came".to_owned()));
        assert_eq!(health.ready().reasons, ["canary second: nothing came"]);
        assert!(!health.event_from("prod", "111122223333", "eu-central-1"), "that one is proven");
        assert!(
            health.event_from("prod", "111122223333", "us-east-1")
                && !health.event_from("prod", "111122223333", "us-east-1")
        );
        let note =
            "queue prod: unproven for account 111122223333 in us-east-1: events come from there, and no canary does";
        assert_eq!(health.ready().notes, [note]);
        assert!(
            !health.event_from("prod", "nobody's", "eu-west-1") && !health.event_from("prod", "111122223333", "<b>")
        );
        for number in 0..99 {
            health.event_from("prod", "111122223333", &format!("xx-nowhere-{number}"));
        }
        assert_eq!(health.ready().notes.len(), PLACES_MAX - 1, "made-up ones are bounded");
        health.watch_queue("dev", Duration::from_secs(20));
        assert!(!health.proven("dev"));
        assert!(health.ready().notes.contains(&"queue dev: unproven, it has no canary".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn live_until_receives_stop_ending() {
        let health = healthy();
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(health.live().ok);
        health.receive_ended("prod", Some("network"));
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(health.live().ok, "an error is an end too");
        tokio::time::advance(Duration::from_secs(1)).await;
        let report = health.live();
        assert_eq!(
            (report.ok, report.reasons.as_slice()),
            (false, &["queue prod: no receive has ended for 61 s".into()][..])
        );
        health.receive_paused("prod", "disk_full");
        assert!(health.live().ok, "a rest on purpose is no stall");
    }

    #[tokio::test(start_paused = true)]
    async fn short_errors_are_forgiven_lasting_ones_are_not() {
        let health = healthy();
        assert!(health.ready().ok, "{:?}", health.ready());
        health.receive_ended("prod", Some("network"));
        tokio::time::advance(Duration::from_secs(59)).await;
        health.receive_ended("prod", Some("access_denied"));
        assert!(health.ready().ok);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(health.ready().reasons, ["queue prod: cannot receive for 60 s: access_denied"]);
        health.receive_ended("prod", None);
        assert!(health.ready().ok);
    }

    #[tokio::test(start_paused = true)]
    async fn it_knows_how_we_hear_from_a_queue() {
        let health = healthy();
        let (minute, at) = (Duration::from_mins(1), Timestamp::UNIX_EPOCH);
        tokio::time::advance(minute).await;
        health.receive_ended("prod", None);
        health.messages_came("prod", 2, Some(minute), at);
        health.messages_came("prod", 1, None, at);
        health.messages_came("prod", 0, None, at);
        tokio::time::advance(minute).await;
        let heard = health.heard("prod");
        assert_eq!((heard.hearing_for, heard.last_answer), (Some(minute * 2), Some(minute)));
        assert_eq!((heard.last_empty, heard.last_message), (Some(minute), Some(at)));
        assert_eq!((health.take_oldest("prod"), health.take_oldest("prod")), (Some(minute), None));
        for interrupt in [
            |health: &Health| health.receive_ended("prod", Some("network")),
            |health: &Health| {
                health.receive_paused("prod", "disk_full");
            },
        ] {
            interrupt(&health);
            assert_eq!(health.heard("prod").hearing_for, None);
            health.receive_ended("prod", None);
            assert_eq!(health.heard("prod").hearing_for, Some(Duration::ZERO));
        }
        assert_eq!(health.heard("other"), Heard::default());
        health.note_queue("prod", Some("its key is watched".to_owned()));
        assert_eq!(health.ready().notes, ["queue prod: its key is watched"]);
        health.note_queue("prod", None);
        assert!(health.ready().notes.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn unready_says_why() {
        let health = Health::new();
        health.watch_queue("prod", Duration::from_secs(20));
        assert_eq!(
            health.ready().reasons,
            ["no configuration is loaded", "store: not opened yet", "queue prod: nothing received yet"]
        );
        health.config_loaded();
        health.store_failed("disk_full");
        health.receive_paused("prod", "the store cannot commit");
        assert_eq!(
            health.ready().reasons,
            ["store: disk_full", "queue prod: receiving is paused: the store cannot commit"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn failing_sinks_and_reloads_are_named_only() {
        let health = healthy();
        health.sink_failing("oncall", "network");
        health.reload_failed("kmswatch.toml:3:1");
        let report = health.ready();
        assert!(report.ok);
        assert_eq!(report.notes.len(), 2);
        assert!(report.notes.iter().any(|note| note == "sink oncall is failing: network"));
        health.sink_recovered("oncall");
        health.config_loaded();
        assert_eq!(health.ready().notes, Vec::<String>::new());
        health.stopping();
        assert!(!health.ready().ok);
    }
}
