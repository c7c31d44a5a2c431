use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::clock::ManualClock;
use crate::core::decide::Policy;
use crate::core::notification::Kind;
use crate::core::observe::By;
use crate::core::rule::{RuleSet, builtin};
use crate::core::usage::Sighting;
use crate::engine::Nobody;
use crate::store::memory::{self, MemoryStore};
use crate::store::{DeliveryState, Store};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const MINUTE: Duration = Duration::from_mins(1);

struct Bench {
    engine: Engine,
    store: Arc<dyn Store>,
    clock: ManualClock,
}

impl Bench {
    async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&memory::Config::default()));
        let clock = ManualClock::at("2026-11-02T09:00:00Z".parse().unwrap());
        Self::on(store, clock).await
    }

    async fn on(store: Arc<dyn Store>, clock: ManualClock) -> Self {
        let policy =
            Policy { rules: RuleSet::new(builtin().to_vec()), sinks: vec!["pager".to_owned()], ..Policy::default() };
        let engine = Engine::new(
            Arc::new(policy.without_rules()),
            Arc::clone(&store),
            Arc::new(clock.clone()),
            Arc::new(Nobody),
        );
        engine.adopt(policy).await.unwrap();
        engine.load_uses().await;
        Self { engine, store, clock }
    }

    fn observation(&self, key: &str, state: &str) -> Observation {
        let key = KeyRef { arn: Some(key.to_owned()), state: Some(state.to_owned()), ..KeyRef::default() };
        Observation::new(By::Verification, self.engine.now(), key).unwrap()
    }

    async fn observe(&self, state: &str) {
        self.engine.observe(&[self.observation(KEY, state)]).await.unwrap();
    }

    async fn told(&self) -> Vec<Kind> {
        let told = self.store.deliveries(&DeliveryState::ALL, 100).await.unwrap();
        told.into_iter().map(|delivery| delivery.notification.kind).collect()
    }

    fn due(&self) -> Vec<String> {
        self.engine.keys_to_verify(10).into_iter().filter_map(|key| key.arn).collect()
    }
}

#[tokio::test]
async fn kms_is_asked_while_an_incident_is_open_and_once_after_its_end() {
    let bench = Bench::new().await;
    bench.observe("Disabled").await;
    assert_eq!(bench.told().await, [Kind::Trigger]);
    assert_eq!(bench.due(), [""; 0], "KMS would not know better yet");
    bench.clock.advance(6 * MINUTE);
    assert_eq!(bench.due(), [KEY]);
    assert_eq!(bench.due(), [""; 0]);
    bench.observe("Disabled").await;
    assert_eq!(bench.told().await, [Kind::Trigger], "that is known");
    bench.clock.advance(15 * MINUTE);
    assert_eq!(bench.due(), [KEY], "again and again while it is open");
    bench.observe("Enabled").await;
    assert_eq!(bench.told().await, [Kind::Trigger, Kind::Resolve]);
    bench.clock.advance(6 * MINUTE);
    assert_eq!(bench.due(), [KEY], "whether it lasts");
    bench.observe("Disabled").await;
    assert_eq!(bench.told().await, [Kind::Trigger, Kind::Resolve, Kind::Trigger], "it did not");
}

#[tokio::test]
async fn a_restart_asks_about_what_is_open() {
    let bench = Bench::new().await;
    bench.observe("PendingDeletion").await;
    let again = Bench::on(Arc::clone(&bench.store), bench.clock.clone()).await;
    assert_eq!(again.due(), [KEY]);
}

#[tokio::test]
async fn every_open_key_has_its_turn_however_many_there_are() {
    let bench = Bench::new().await;
    let keys: std::collections::BTreeSet<String> =
        (0..40).map(|n| format!("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-{n:012}")).collect();
    let all: Vec<Observation> = keys.iter().map(|key| bench.observation(key, "Disabled")).collect();
    bench.engine.observe(&all).await.unwrap();
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..4 {
        // All that were asked about are due again.
        bench.clock.advance(16 * MINUTE);
        asked.extend(bench.due());
    }
    assert_eq!(asked, keys);
}

#[tokio::test]
async fn healthy_keys_leave_nothing_behind() {
    let bench = Bench::new().await;
    let keys: Vec<String> = (0..120)
        .map(|n| format!("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-{n:012}"))
        .collect();
    for _ in 0..3 {
        bench.clock.advance(15 * MINUTE);
        let all: Vec<Observation> = keys.iter().map(|key| bench.observation(key, "Enabled")).collect();
        let decisions = bench.engine.observe(&all).await.unwrap();
        assert!(decisions.iter().all(Decision::is_empty), "{decisions:?}");
    }
    // Nor does one that is as unusable as before.
    bench.observe("Disabled").await;
    bench.clock.advance(15 * MINUTE);
    let again = bench.engine.observe(&[bench.observation(KEY, "Disabled")]).await.unwrap();
    assert!(again.iter().all(Decision::is_empty), "{again:?}");
}

#[tokio::test]
async fn who_uses_a_key_survives_a_restart_and_comes_onto_the_card() {
    let bench = Bench::new().await;
    let who = "arn:aws:iam::111122223333:role/payments";
    bench.engine.saw_use(&Sighting {
        key: KEY.into(),
        at: bench.engine.now(),
        who: Some(who.into()),
        hints: vec!["aws:ebs:id=vol-1".to_owned()],
    });
    bench.engine.flush_uses().await;
    let again = Bench::on(Arc::clone(&bench.store), bench.clock.clone()).await;
    again.observe("PendingDeletion").await;
    let told = again.store.deliveries(&DeliveryState::ALL, 10).await.unwrap();
    let in_use = told[0].notification.incident.in_use.as_ref().unwrap();
    assert_eq!(
        (in_use.users.shown.as_slice(), in_use.things.shown.as_slice()),
        (&[who.to_owned()][..], &["aws:ebs:id=vol-1".to_owned()][..])
    );
}
