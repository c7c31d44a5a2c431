use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::base::clock::ManualClock;
use crate::core::decide::{LookedUp, Policy};
use crate::core::decode::decode;
use crate::core::inspection::{Grants, KeyGrant, LastUsage, Part, Wants};
use crate::engine::Nobody;
use crate::keys::{Page, Refusal, Scope};
use crate::store::memory::{self, MemoryStore};

const NOW: &str = "2026-11-02T09:00:00Z";

/// KMS, which answers or keeps silent.
struct Kms {
    silent: bool,
}

#[async_trait]
impl Inspect for Kms {
    async fn list(&self, _: &Scope, _: Option<&str>) -> Part<Page> {
        Part::NotAsked
    }

    async fn aliases(&self, _: &Scope) -> Part<HashMap<String, Vec<String>>> {
        Part::NotAsked
    }

    async fn look(&self, _: &Scope, arn: &str, wants: Wants) -> Inspection {
        if self.silent {
            std::future::pending::<()>().await;
        }
        assert!(wants.last_usage && wants.grants && !wants.policy);
        let since = Some("2026-04-01T00:00:00Z".parse().unwrap());
        Inspection {
            last_usage: Part::Known(LastUsage { tracked_from: since, ..LastUsage::default() }),
            grants: Part::Known(Grants { all: vec![KeyGrant::default(); 3], more: false }),
            ..Inspection::of(arn, NOW.parse().unwrap())
        }
    }

    fn refusals(&self) -> Vec<Refusal> {
        vec![]
    }

    fn calls(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }
}

fn engine() -> Engine {
    let store = Arc::new(MemoryStore::new(&memory::Config::default()));
    let clock = Arc::new(ManualClock::at(NOW.parse().unwrap()));
    Engine::new(Arc::new(Policy::default()), store, clock, Arc::new(Nobody))
}

fn arn(key: usize) -> String {
    format!("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-{key:012}")
}

fn body(name: &str, key: usize) -> String {
    json!({
        "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "time": NOW, "account": "111122223333",
        "region": "eu-central-1", "detail": {
            "eventName": name, "eventSource": "kms.amazonaws.com", "eventTime": NOW, "eventID": format!("{name}-{key}"),
            "userIdentity": { "type": "IAMUser", "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:user/ana" },
            "resources": [{ "ARN": arn(key), "type": "AWS::KMS::Key" }]
        }
    })
    .to_string()
}

fn prepared(name: &str, looked_up: bool) -> Prepared {
    let event = decode(&body(name, 1)).events.remove(0);
    let state = LookedUp { state: "Disabled".to_owned(), read_at: NOW.parse().unwrap() };
    Prepared { event, marks: vec![], looked_up: looked_up.then_some(state) }
}

#[tokio::test]
async fn what_kms_records_is_added_where_it_may_be_asked() {
    let (engine, using) = (engine(), Using::new(Some(Arc::new(Kms { silent: false }))));
    using.glance(&engine, &body("Decrypt", 1));
    let disabled = prepared("DisableKey", true);
    let known = using.of(&engine, &disabled, &Trust::default()).await.unwrap();
    assert_eq!(known.users.shown, ["arn:aws:iam::111122223333:user/ana"]);
    assert_eq!((known.grants, known.more_grants), (Some(3), false));
    let recorded = known.last_recorded.unwrap();
    assert_eq!((recorded.at, recorded.tracked_from), (None, Some("2026-04-01T00:00:00Z".parse().unwrap())));

    let denied = using.of(&engine, &prepared("DisableKey", false), &Trust::default()).await.unwrap();
    assert_eq!((denied.grants, denied.users.shown.len()), (None, 1), "the key itself may not be asked about");
    for harmless in ["EnableKey", "Decrypt", "TagResource"] {
        assert_eq!(using.of(&engine, &prepared(harmless, true), &Trust::default()).await, None, "{harmless}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_kms_delays_the_page_by_its_deadline_and_no_more() {
    let (engine, using) = (engine(), Using::new(Some(Arc::new(Kms { silent: true }))));
    using.glance(&engine, &body("Decrypt", 1));
    let started = Instant::now();
    let known = using.of(&engine, &prepared("DisableKey", true), &Trust::default()).await.unwrap();
    assert_eq!((known.users.shown.len(), known.last_recorded), (1, None));
    assert_eq!(started.elapsed().as_secs(), RECORDED_WITHIN.as_secs());
}

#[tokio::test]
async fn a_flood_is_looked_at_in_part() {
    let (engine, using) = (engine(), Using::new(None));
    let most = usize::try_from(LOOKED_AT).unwrap();
    for key in 0..most + 100 {
        using.glance(&engine, &body("Decrypt", key));
    }
    let known = async |key: usize| {
        let key = KeyRef { arn: Some(arn(key)), ..KeyRef::default() };
        !engine.in_use(&key, &Trust::default()).await.is_empty()
    };
    assert!(known(0).await && known(most - 1).await);
    assert!(!known(most).await && !known(most + 99).await);
}
