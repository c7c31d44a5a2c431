use std::time::Duration;

use super::*;
use crate::base::clock::SystemClock;
use crate::core::notification::Kind;
use crate::store::{self, DeliveryState};

/// The store takes everything; nobody is told without it.
pub(crate) struct Nobody;

#[async_trait]
impl Post for Nobody {
    fn wake(&self, _: &Decision) {}

    async fn page_directly(&self, subject: &str, _: Notification) {
        panic!("{subject}");
    }
}

#[tokio::test]
async fn damage_costs_no_page_and_is_reported_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let sqlite = store::sqlite::Config { path: path.clone() };
    let store = store::open(&store::Config { sqlite: Some(sqlite), ..store::Config::default() }).await.unwrap();
    let policy = Policy { sinks: vec!["pager".to_owned()], queues: vec!["prod".to_owned()], ..Policy::default() };
    let engine = Engine::new(Arc::new(policy), Arc::clone(&store), Arc::new(SystemClock), Arc::new(Nobody));
    let deaf = OwnSubject::Deaf { queue: "prod".to_owned() };
    engine.report(&deaf, "denied").await;
    store::sqlite::damage(&path).await;
    // Reports of one millisecond are one.
    tokio::time::sleep(Duration::from_millis(5)).await;
    engine.report(&deaf, "denied again").await;

    let told = store.deliveries(&DeliveryState::ALL, 10).await.unwrap();
    let told: Vec<_> = told.iter().map(|d| (d.notification.incident.rule.as_str(), d.notification.kind)).collect();
    let wanted =
        [("kmswatch.deaf", Kind::Trigger), ("kmswatch.deaf", Kind::Update), ("kmswatch.state-damaged", Kind::Trigger)];
    assert_eq!(told, wanted);
    assert_eq!(store.stats().await.unwrap().quarantined, 1);

    // What is read at the start is made anew at the start.
    store::sqlite::damage(&path).await;
    let policy = engine.policy().without_rules();
    engine.adopt(policy).await.unwrap();
    let open = store.open_situations(None, 10).await.unwrap();
    assert!(open.len() == 2 && open.iter().all(|situation| situation.incident.is_some()), "{open:?}");
    store.close().await;
}
