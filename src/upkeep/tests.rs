//! What queues say of themselves becomes incidents that end.

use std::sync::Mutex;

use async_trait::async_trait;

use super::queues::{Signals, Watched};
use super::*;
use crate::base::clock::SystemClock;
use crate::core::decide::Policy;
use crate::core::enrich::{KeyDetails, Lookup};
use crate::core::event::KeyRef;
use crate::core::signals::Limits;
use crate::engine::Nobody;
use crate::queue::{DeadLetters, DeleteFailed, Handle, Message, Queue, QueueError, QueueErrorClass, QueueFacts};
use crate::store::{self, IncidentFilter};

/// A queue that says of itself what it is told to.
struct Talkative(Mutex<Result<QueueFacts, QueueError>>);

#[async_trait]
impl Queue for Talkative {
    fn name(&self) -> &'static str {
        "prod"
    }

    fn visibility(&self) -> Duration {
        Duration::from_mins(1)
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(20)
    }

    async fn receive(&self) -> Result<Vec<Message>, QueueError> {
        Ok(vec![])
    }

    async fn delete(&self, _: &[Handle]) -> Result<Vec<DeleteFailed>, QueueError> {
        Ok(vec![])
    }

    async fn extend(&self, _: &[Handle], _: Duration) -> Result<Vec<Handle>, QueueError> {
        Ok(vec![])
    }

    async fn facts(&self) -> Result<QueueFacts, QueueError> {
        self.0.lock().unwrap().clone()
    }
}

/// KMS says this of every key.
struct Oracle(Mutex<Lookup>);

#[async_trait]
impl KeyLookup for Oracle {
    async fn describe(&self, _: &KeyRef) -> Lookup {
        self.0.lock().unwrap().clone()
    }

    async fn invalidate(&self, _: &str) {}
}

const QUEUE_ARN: &str = "arn:aws:sqs:eu-central-1:111122223333:kmswatch";

fn facts() -> QueueFacts {
    QueueFacts {
        arn: Some(QUEUE_ARN.to_owned()),
        waiting: Some(0),
        in_flight: Some(3),
        dead_letters: Some(DeadLetters { arn: format!("{QUEUE_ARN}-dead"), receives_max: 5, depth: Ok(0) }),
        ..QueueFacts::default()
    }
}

struct Scene {
    upkeep: Upkeep,
    queue: Arc<Talkative>,
    oracle: Arc<Oracle>,
    signals: Signals,
}

impl Scene {
    fn new() -> Self {
        let store: Arc<dyn store::Store> = Arc::new(store::memory::MemoryStore::new(&store::memory::Config::default()));
        let policy = Policy { sinks: vec!["pager".into()], queues: vec!["prod".into()], ..Policy::default() };
        let queue = Arc::new(Talkative(Mutex::new(Ok(facts()))));
        let oracle = Arc::new(Oracle(Mutex::new(Lookup::Off)));
        let limits = Limits { behind_after: jiff::SignedDuration::from_mins(15), in_flight: 100_000 };
        let health = Health::new();
        health.watch_queue("prod", Duration::from_secs(20));
        let upkeep = Upkeep {
            engine: Arc::new(Engine::new(Arc::new(policy), store, Arc::new(SystemClock), Arc::new(Nobody))),
            queues: vec![Watched { queue: Arc::clone(&queue) as Arc<dyn Queue>, limits }],
            lookups: Arc::clone(&oracle) as Arc<dyn KeyLookup>,
            health: Arc::new(health),
            stop: Stop::new(),
            retention: store::Config::default().retention(),
        };
        Self { upkeep, queue, oracle, signals: Signals::default() }
    }

    async fn look(&mut self) -> Vec<String> {
        self.signals.look(&self.upkeep).await;
        // Reports of one millisecond are one.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let filter = IncidentFilter { open: true, limit: 10 };
        let open = self.upkeep.engine.store().incidents(&filter).await.unwrap();
        let mut open: Vec<String> = open.into_iter().map(|incident| incident.family).collect();
        open.sort();
        open
    }

    fn says(&self, change: impl FnOnce(&mut QueueFacts)) {
        let mut said = facts();
        change(&mut said);
        *self.queue.0.lock().unwrap() = Ok(said);
    }
}

#[tokio::test]
async fn dead_letters_and_messages_in_flight_are_told_and_taken_back() {
    let mut scene = Scene::new();
    assert!(scene.look().await.is_empty());
    scene.says(|facts| {
        facts.in_flight = Some(110_000);
        facts.dead_letters.as_mut().unwrap().depth = Ok(2);
    });
    assert_eq!(scene.look().await, ["kmswatch.dead-letters", "kmswatch.in-flight"]);
    // A queue that says nothing takes nothing back.
    *scene.queue.0.lock().unwrap() = Err(QueueError { class: QueueErrorClass::AccessDenied, detail: String::new() });
    assert_eq!(scene.look().await.len(), 2);
    scene.says(|_| {});
    assert!(scene.look().await.is_empty());
}

#[tokio::test]
async fn falling_behind_takes_two_looks() {
    let mut scene = Scene::new();
    let late = |scene: &Scene| {
        let age = Some(Duration::from_hours(2));
        scene.upkeep.health.messages_came("prod", 1, age, scene.upkeep.engine.now());
        scene.says(|facts| facts.waiting = Some(5000));
    };
    late(&scene);
    assert!(scene.look().await.is_empty(), "the rest of a backlog, perhaps");
    late(&scene);
    assert_eq!(scene.look().await, ["kmswatch.behind"]);
    scene.says(|facts| facts.waiting = Some(1));
    assert_eq!(scene.look().await, ["kmswatch.behind"], "nothing came, and something waits");
    scene.says(|_| {});
    assert!(scene.look().await.is_empty());
}

#[tokio::test]
async fn a_queue_is_as_safe_as_its_key() {
    let mut scene = Scene::new();
    let key =
        |state: &str| Lookup::Known(Box::new(KeyDetails { state: Some(state.to_owned()), ..KeyDetails::default() }));
    scene.says(|facts| facts.kms_key = Some("1234abcd-12ab-34cd-56ef-1234567890ab".to_owned()));
    assert!(scene.look().await.is_empty());
    let notes = scene.upkeep.health.ready().notes;
    assert!(notes.iter().any(|note| note.contains("encrypted with the KMS key 1234abcd")), "{notes:?}");
    *scene.oracle.0.lock().unwrap() = key("Disabled");
    assert_eq!(scene.look().await, ["kmswatch.queue-key"]);
    *scene.oracle.0.lock().unwrap() = Lookup::Denied;
    assert_eq!(scene.look().await, ["kmswatch.queue-key"], "not to know is no good news");
    *scene.oracle.0.lock().unwrap() = key("Enabled");
    assert!(scene.look().await.is_empty());
    *scene.oracle.0.lock().unwrap() = Lookup::NotFound;
    assert_eq!(scene.look().await, ["kmswatch.queue-key"]);
    scene.says(|_| {});
    assert!(scene.look().await.is_empty(), "it has no key of its own now");
    assert!(!scene.upkeep.health.ready().notes.iter().any(|note| note.contains("encrypted")));
}
