use serde_json::json;

use super::*;
use crate::base::clock::SystemClock;
use crate::core::decide::Policy;
use crate::core::pipeline::{OurQueue, Ours};
use crate::core::rule::{RuleSet, builtin, classic};
use crate::engine::Nobody;
use crate::keys::NoLookups;
use crate::queue::memory::MemoryQueue;
use crate::store::{self, IncidentFilter, Store};

fn disabled(key: usize) -> String {
    let arn = format!("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-{key:012}");
    json!({
        "version": "0", "id": format!("e-{key}"), "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail",
        "account": "111122223333", "region": "eu-central-1", "time": "2026-03-02T10:00:00Z", "resources": [],
        "detail": {
            "eventVersion": "1.11", "eventSource": "kms.amazonaws.com", "eventName": "DisableKey", "awsRegion": "eu-central-1",
            "eventTime": "2026-03-02T10:00:00Z", "eventID": format!("{key}"), "readOnly": false, "eventType": "AwsApiCall",
            "recipientAccountId": "111122223333", "requestParameters": { "keyId": arn },
            "userIdentity": { "type": "IAMUser", "accountId": "111122223333", "arn": format!("arn:aws:iam::111122223333:user/{key}") },
            "resources": [{ "accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": arn }],
        },
    })
    .to_string()
}

struct Running {
    queue: Arc<MemoryQueue>,
    store: Arc<dyn Store>,
    stop: Stop,
    task: tokio::task::JoinHandle<()>,
}

async fn running(messages: usize) -> Running {
    running_with((0..messages).map(disabled), Policy { rules: RuleSet::new(classic()), ..Policy::default() }).await
}

async fn running_with(bodies: impl IntoIterator<Item = String>, policy: Policy) -> Running {
    let config = store::Config { memory: Some(store::memory::Config::default()), ..store::Config::default() };
    running_on(store::open(&config).await.unwrap(), bodies, policy)
}

fn running_on(store: Arc<dyn Store>, bodies: impl IntoIterator<Item = String>, policy: Policy) -> Running {
    let queue = Arc::new(MemoryQueue::new("prod", Duration::from_secs(30), Duration::from_secs(20)));
    for body in bodies {
        queue.send(body, None);
    }
    let policy = Policy { sinks: vec!["pager".into()], queues: vec!["prod".into()], ..policy };
    let engine = Arc::new(Engine::new(Arc::new(policy), Arc::clone(&store), Arc::new(SystemClock), Arc::new(Nobody)));
    let health: Arc<Health> = Arc::default();
    health.watch_queue("prod", Duration::from_secs(20));
    let stop = Stop::new();
    let ingest = Ingest {
        queue: Arc::clone(&queue) as Arc<dyn Queue>,
        engine,
        lookups: Arc::new(NoLookups),
        inspect: None,
        archive: None,
        health,
        stop: stop.clone(),
        delivered: None,
        settings: Settings::default(),
    };
    Running { queue, store, stop, task: tokio::spawn(ingest.run()) }
}

#[tokio::test(start_paused = true)]
async fn all_of_a_burst_is_decided_and_deleted() {
    let running = running(150).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(running.queue.held(), 0);
    let incidents = running.store.incidents(&IncidentFilter { open: true, limit: 1_000 }).await.unwrap();
    assert_eq!(incidents.len(), 150);
    running.stop.stop();
    tokio::time::timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap();
}

/// A call of SQS, as EventBridge tells it.
fn deleted(queue: &str) -> String {
    json!({
        "version": "0", "id": format!("q-{queue}"), "source": "aws.sqs", "detail-type": "AWS API Call via CloudTrail",
        "account": "111122223333", "region": "eu-central-1", "time": "2026-03-02T10:00:00Z", "resources": [],
        "detail": {
            "eventSource": "sqs.amazonaws.com", "eventName": "DeleteQueue", "awsRegion": "eu-central-1",
            "eventTime": "2026-03-02T10:00:00Z", "eventID": queue, "readOnly": false, "eventType": "AwsApiCall",
            "requestParameters": { "queueUrl": format!("https://sqs.eu-central-1.amazonaws.com/111122223333/{queue}") },
        },
    })
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_ours_is_known_under_any_name() {
    let rules = builtin().iter().filter(|rule| rule.id == "pipeline.queue-cut").cloned().collect();
    let policy = Policy {
        rules: RuleSet::new(rules),
        ours: Ours::new([OurQueue { name: "security-events".to_owned(), ..OurQueue::default() }]),
        ..Policy::default()
    };
    let running = running_with([deleted("orders"), deleted("security-events")], policy).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(running.queue.held(), 0);
    let incidents = running.store.incidents(&IncidentFilter { open: false, limit: 10 }).await.unwrap();
    let rules: Vec<_> = incidents.iter().flat_map(|incident| &incident.rules).collect();
    assert_eq!(rules, ["pipeline.queue-cut"], "one of the two queues is ours");
    running.stop.stop();
    tokio::time::timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_when_it_stops_is_decided_and_deleted() {
    let running = running(150).await;
    // Some are received, and wait to be decided with others.
    while running.queue.in_flight() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.stop.stop();
    tokio::time::timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap();
    let decided = running.store.incidents(&IncidentFilter { open: true, limit: 1_000 }).await.unwrap().len();
    assert!(decided > 0);
    assert_eq!((running.queue.held(), running.queue.in_flight()), (150 - decided, 0));
}

/// Somebody sets the rotation period of a key, or tries to.
fn period(id: &str, time: &str, days: u32, error: Option<&str>) -> String {
    let mut body: serde_json::Value = serde_json::from_str(&disabled(1)).unwrap();
    let detail = body["detail"].as_object_mut().unwrap();
    detail["requestParameters"]["rotationPeriodInDays"] = json!(days);
    detail.extend(error.map(|error| ("errorCode".to_owned(), json!(error))));
    for (name, value) in [("eventName", "EnableKeyRotation"), ("eventID", id), ("eventTime", time)] {
        detail[name] = json!(value);
    }
    body.to_string()
}

#[tokio::test]
async fn the_rotation_period_known_before_outlives_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let file = store::sqlite::Config { path: folder.path().join("state.db") };
    let config = store::Config { sqlite: Some(file), ..store::Config::default() };
    // What comes, before the daemon is restarted, and the titles of what is known by then.
    let run = async |bodies: &[String], rules: &[&str]| {
        let rules = builtin().iter().filter(|rule| rules.contains(&rule.id.as_str())).cloned().collect();
        let policy = Policy { rules: RuleSet::new(rules), ..Policy::default() };
        let running = running_on(store::open(&config).await.unwrap(), bodies.to_vec(), policy);
        let deleted = async {
            while running.queue.held() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), deleted).await.unwrap();
        running.stop.stop();
        tokio::time::timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap();
        let incidents = running.store.incidents(&IncidentFilter { open: false, limit: 10 }).await.unwrap();
        running.store.close().await;
        let mut told: Vec<_> = incidents.iter().map(|one| (one.voice.title.clone(), one.alerts)).collect();
        told.sort();
        told
    };
    let both = ["kms.rotation-period-lengthened", "kms.rotation-period-long"];
    let first = [period("e1", "2026-03-02T10:00:00Z", 90, None)];
    assert_eq!(run(&first, &[]).await, [], "no rule asks for it");
    let refused = [period("e2", "2026-03-02T11:00:00Z", 730, Some("DisabledException"))];
    assert_eq!(run(&refused, &both).await, []);
    let longer = [period("e3", "2026-03-02T12:00:00Z", 400, None)];
    let told = [
        ("Rotation period lengthened from 90 to 400 days".to_owned(), 1),
        ("Rotation period set to 400 days".to_owned(), 1),
    ];
    assert_eq!(run(&longer, &both).await, told, "longer than before, and longer than a year");
    let again = [longer[0].clone(), first[0].clone(), period("e0", "2026-03-02T09:00:00Z", 180, None)];
    assert_eq!(run(&again, &both).await, told, "it comes again, and what is older comes late");
    let next = [period("e4", "2026-04-02T12:00:00Z", 401, None)];
    let titles = run(&next, &both).await;
    assert!(titles.contains(&("Rotation period lengthened from 400 to 401 days".to_owned(), 1)), "{titles:?}");
}
