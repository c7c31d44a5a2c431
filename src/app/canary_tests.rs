//! The whole way in one process, with time as told: calls, a relay in the place of `CloudTrail` and `EventBridge`, a queue,
//! the ingest loop, the engine.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::core::canary::{Answer, CallKind, TAG};
use crate::core::decide::Policy;
use crate::core::rule::{RuleSet, RuleSpec, compile};
use crate::engine::Nobody;
use crate::ingest::Settings;
use crate::keys::{CanaryCalls, NoLookups};
use crate::queue::memory::MemoryQueue;
use crate::store::{IncidentFilter, Store};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const MINUTE: Duration = Duration::from_mins(1);

/// A wall clock that goes with tokio's.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let base = Timestamp::from_second(1_790_000_000).unwrap();
        base.checked_add(SignedDuration::try_from(self.0.elapsed()).unwrap()).unwrap()
    }
}

/// KMS, `CloudTrail` and `EventBridge`: a call is in the queue a minute later.
struct Relay {
    clock: Arc<PausedClock>,
    queue: Arc<MemoryQueue>,
    calls: AtomicUsize,
    cut: AtomicBool,
    refuses: AtomicBool,
    /// How long the way takes.
    delay: Mutex<Duration>,
    /// How long KMS takes to answer: longer than the way, if it is slow.
    thinks: Mutex<Duration>,
}

fn body(request: &str, name: &str, tag: &str, time: Timestamp) -> String {
    json!({
        "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "time": time.to_string(),
        "account": "111122223333", "region": "eu-central-1", "id": request,
        "detail": {
            "eventSource": "kms.amazonaws.com", "eventName": name, "eventID": format!("e-{request}"), "eventVersion": "1.11",
            "eventTime": time.to_string(), "awsRegion": "eu-central-1", "eventType": "AwsApiCall", "requestID": request,
            "userIdentity": { "type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/kmswatch/kmswatch" },
            "requestParameters": { "keyId": KEY, "tags": [{ "tagKey": TAG, "tagValue": tag }] },
            "resources": [{ "type": "AWS::KMS::Key", "ARN": KEY }]
        }
    })
    .to_string()
}

#[async_trait]
impl CanaryCalls for Relay {
    async fn call(&self, _: &Canary, token: &str) -> Answer {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            return Answer { failed: Some("AccessDenied: no".to_owned()), ..Answer::default() };
        }
        let request = format!("00000000-0000-4000-8000-{number:012}");
        if !self.cut.load(Ordering::SeqCst) {
            let body = body(&request, "TagResource", token, self.clock.now());
            let (queue, clock, delay) = (Arc::clone(&self.queue), Arc::clone(&self.clock), *self.delay.lock().unwrap());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                queue.send(body, Some(clock.now()));
            });
        }
        let thinks = *self.thinks.lock().unwrap();
        tokio::time::sleep(thinks).await;
        Answer { request: Some(request), ..Answer::default() }
    }
}

struct Scene {
    clock: Arc<PausedClock>,
    relay: Arc<Relay>,
    store: Arc<dyn Store>,
    health: Arc<Health>,
    life: Option<(Stop, Vec<JoinHandle<()>>)>,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(PausedClock(Instant::now()));
        let queue = Arc::new(MemoryQueue::new("prod", MINUTE, Duration::from_secs(20)));
        let relay = Relay {
            clock: Arc::clone(&clock),
            queue,
            calls: AtomicUsize::new(0),
            cut: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            delay: Mutex::new(MINUTE),
            thinks: Mutex::default(),
        };
        let store = Arc::new(store::memory::MemoryStore::new(&store::memory::Config::default()));
        Self { clock, relay: Arc::new(relay), store, health: Arc::default(), life: None }
    }

    /// A life of the daemon.
    async fn start(&mut self) {
        let tags: RuleSpec = toml::from_str(
            "id = 'tagged'\ntitle = 'Tagged'\nseverity = 'high'\nresolve_after = '1d'\nmatch = { detail.eventName = ['TagResource'] }",
        )
        .unwrap();
        let policy = Policy {
            rules: RuleSet::new(vec![Arc::new(compile(&tags).unwrap())]),
            sinks: vec!["pager".into()],
            queues: vec!["prod".into()],
            canaries: vec!["main".into()],
            ..Policy::default()
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let engine = Arc::new(Engine::new(Arc::new(policy), Arc::clone(&self.store), clock, Arc::new(Nobody)));
        let stop = Stop::new();
        self.health = Arc::default();
        self.health.config_loaded();
        self.health.store_ok();
        self.health.watch_queue("prod", Duration::from_secs(20));
        let canary = Canary {
            name: "main".to_owned(),
            queue: "prod".to_owned(),
            key: KEY.to_owned(),
            account: "111122223333".to_owned(),
            region: "eu-central-1".to_owned(),
            call: CallKind::Tag,
            every: SignedDuration::from_mins(15),
            slo: SignedDuration::from_mins(10),
            role: Some("arn:aws:iam::111122223333:role/kmswatch".to_owned()),
        };
        let canaries = Canaries {
            engine: Arc::clone(&engine),
            caller: Arc::clone(&self.relay) as Arc<dyn CanaryCalls>,
            health: Arc::clone(&self.health),
            stop: stop.clone(),
            all: vec![(canary, MINUTE)],
        };
        canaries.load().await;
        let ingest = Ingest {
            queue: Arc::clone(&self.relay.queue) as Arc<dyn Queue>,
            engine: Arc::clone(&engine),
            lookups: Arc::new(NoLookups),
            inspect: None,
            health: Arc::clone(&self.health),
            stop: stop.clone(),
            archive: None,
            delivered: None,
            settings: Settings::default(),
        };
        self.life = Some((stop, vec![tokio::spawn(canaries.run()), tokio::spawn(ingest.run())]));
    }

    async fn stop(&mut self) {
        let (stop, loops) = self.life.take().unwrap();
        stop.stop();
        for one in loops {
            one.await.unwrap();
        }
    }

    async fn restart(&mut self, after: Duration) {
        self.stop().await;
        tokio::time::sleep(after).await;
        self.start().await;
    }

    async fn open(&self) -> Vec<String> {
        let open = self.store.incidents(&IncidentFilter { open: true, limit: 10 }).await.unwrap();
        open.into_iter().map(|incident| incident.family).collect()
    }

    async fn ever(&self) -> usize {
        self.store.incidents(&IncidentFilter { open: false, limit: 10 }).await.unwrap().len()
    }

    fn calls(&self) -> usize {
        self.relay.calls.load(Ordering::SeqCst)
    }

    /// Whether it becomes so within a time.
    async fn becomes(&self, within: Duration, wanted: &[&str]) -> bool {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if self.open().await == wanted {
                return true;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        false
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_is_quiet_and_what_does_not_pages_until_it_does() {
    let mut scene = Scene::new();
    scene.start().await;
    assert!(!scene.health.proven("prod"), "nothing has come back yet");
    tokio::time::sleep(MINUTE * 60).await;
    assert!((4..=5).contains(&scene.calls()), "{}", scene.calls());
    assert_eq!(scene.ever().await, 0, "its own calls are quiet");
    assert!(scene.health.proven("prod") && scene.health.ready().ok, "{:?}", scene.health.ready());
    assert_eq!(scene.relay.queue.held(), 0, "its messages are gone");

    scene.relay.cut.store(true, Ordering::SeqCst);
    assert!(scene.becomes(MINUTE * 26, &["kmswatch.blind"]).await, "within SLO and one interval");
    let reasons = scene.health.ready().reasons;
    assert!(reasons.iter().any(|why| why.contains("canary main") && why.contains("the call to KMS")), "{reasons:?}");
    assert!(!scene.becomes(MINUTE * 60, &[]).await);
    assert_eq!(scene.ever().await, 1, "one incident, however long it lasts");

    scene.relay.cut.store(false, Ordering::SeqCst);
    assert!(scene.becomes(MINUTE * 17, &[]).await, "one interval, and the way back");
    assert!(scene.health.proven("prod"));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn any_other_call_of_our_role_is_as_loud_as_the_rules_make_it() {
    let mut scene = Scene::new();
    scene.start().await;
    tokio::time::sleep(MINUTE * 5).await;
    let stranger = body("99999999-0000-4000-8000-000000000000", "TagResource", "main-1", scene.clock.now());
    scene.relay.queue.send(stranger, Some(scene.clock.now()));
    assert!(scene.becomes(MINUTE, &["tagged"]).await);
    // The same event again, and a canary's own that comes twice: no news.
    let twice = body("00000000-0000-4000-8000-000000000000", "TagResource", "x", scene.clock.now());
    scene.relay.queue.send(twice, Some(scene.clock.now()));
    tokio::time::sleep(MINUTE).await;
    assert_eq!((scene.ever().await, scene.relay.queue.held()), (1, 0));
    assert!(scene.health.proven("prod"));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_may_be_faster_than_the_answer() {
    let mut scene = Scene::new();
    *scene.relay.thinks.lock().unwrap() = Duration::from_secs(9);
    *scene.relay.delay.lock().unwrap() = Duration::from_secs(1);
    scene.start().await;
    tokio::time::sleep(MINUTE * 16).await;
    assert_eq!((scene.calls(), scene.ever().await), (2, 0));
    assert!(scene.health.proven("prod"));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_neither_forgets_nor_pages_falsely() {
    let mut scene = Scene::new();
    scene.start().await;
    // The second call's event is put into the queue while nobody listens, and waits there far beyond the SLO.
    tokio::time::sleep(MINUTE * 15 + Duration::from_secs(10)).await;
    assert_eq!(scene.calls(), 2);
    scene.restart(MINUTE * 120).await;
    tokio::time::sleep(MINUTE * 30).await;
    assert_eq!(scene.ever().await, 0, "it was in the queue in time");
    assert!(scene.health.proven("prod"));

    // A call that is lost while the daemon starts again is missed all the same.
    scene.relay.cut.store(true, Ordering::SeqCst);
    let calls = scene.calls();
    while scene.calls() == calls {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    scene.restart(MINUTE).await;
    assert_eq!(scene.calls(), calls + 1, "a restart is no reason for another call");
    assert!(scene.becomes(MINUTE * 12, &["kmswatch.blind"]).await);
    // And what an earlier life said is taken back by a later one.
    scene.restart(MINUTE).await;
    scene.relay.cut.store(false, Ordering::SeqCst);
    assert!(scene.becomes(MINUTE * 20, &[]).await);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn slow_ways_and_refused_calls_are_told_apart() {
    let mut scene = Scene::new();
    *scene.relay.delay.lock().unwrap() = MINUTE * 12;
    scene.start().await;
    assert!(scene.becomes(MINUTE * 11, &["kmswatch.blind"]).await);
    tokio::time::sleep(MINUTE * 3).await;
    let reasons = scene.health.ready().reasons;
    assert!(reasons.iter().any(|why| why.contains("after 12m, not within 10m")), "{reasons:?}");
    assert_eq!(scene.open().await, ["kmswatch.blind"], "late is not in time");
    *scene.relay.delay.lock().unwrap() = MINUTE;
    assert!(scene.becomes(MINUTE * 17, &[]).await);

    scene.relay.refuses.store(true, Ordering::SeqCst);
    let calls = scene.calls();
    assert!(scene.becomes(MINUTE * 26, &["kmswatch.blind"]).await);
    assert!(scene.calls() > calls + 5, "what fails is tried again soon");
    let reasons = scene.health.ready().reasons;
    assert!(reasons.iter().any(|why| why.contains("AccessDenied: no")), "{reasons:?}");
    scene.relay.refuses.store(false, Ordering::SeqCst);
    assert!(scene.becomes(MINUTE * 3, &[]).await);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_canaries_nothing_is_called_and_the_loop_stays() {
    let scene = Scene::new();
    let clock = Arc::clone(&scene.clock) as Arc<dyn Clock>;
    let engine = Arc::new(Engine::new(Arc::default(), Arc::clone(&scene.store), clock, Arc::new(Nobody)));
    let stop = Stop::new();
    let canaries = Canaries {
        engine: Arc::clone(&engine),
        caller: Arc::clone(&scene.relay) as Arc<dyn CanaryCalls>,
        health: Arc::clone(&scene.health),
        stop: stop.clone(),
        all: vec![],
    };
    canaries.load().await;
    assert!(!engine.canaries().hints().may_hold(&body("r", "TagResource", "x", scene.clock.now())));
    let running = tokio::spawn(canaries.run());
    tokio::time::sleep(MINUTE).await;
    assert!(!running.is_finished());
    stop.stop();
    running.await.unwrap();
}
