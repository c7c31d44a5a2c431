//! The calls of canaries.

use jiff::SignedDuration;

use super::fixture::{Shared, at};
use crate::core::canary::{CALLS_KEPT, Call};
use crate::store::Retention;

fn call(canary: &str, second: i64) -> Call {
    Call {
        id: format!("{canary}-{second}"),
        canary: canary.to_owned(),
        at: at(second),
        request: None,
        by: None,
        failed: None,
        returned: None,
    }
}

async fn keep(store: &Shared, calls: &[Call]) {
    for call in calls {
        store.keep_canary_call(call).await.unwrap();
    }
}

async fn ids(store: &Shared) -> Vec<String> {
    store.canary_calls().await.unwrap().into_iter().map(|call| call.id).collect()
}

pub(super) async fn a_call_is_kept_as_it_was_kept_last(store: &Shared) {
    assert_eq!(ids(store).await, Vec::<String>::new());
    keep(store, &[call("a", 5), call("b", 3), call("a", 1)]).await;
    assert_eq!(ids(store).await, ["a-1", "b-3", "a-5"], "oldest first");
    let answered = Call { request: Some("r'1\u{202e}".to_owned()), by: Some("arn".to_owned()), ..call("a", 1) };
    let failed = Call { failed: Some("denied".to_owned()), ..call("b", 3) };
    let back = Call { returned: Some(at(2)), ..answered.clone() };
    keep(store, &[answered, failed.clone(), back.clone()]).await;
    assert_eq!(store.canary_calls().await.unwrap(), [back, failed, call("a", 5)]);
}

pub(super) async fn of_each_canary_the_newest_calls_are_kept(store: &Shared) {
    let kept = i64::try_from(CALLS_KEPT).unwrap();
    let calls: Vec<Call> = (0..kept + 3).map(|second| call("a", second)).collect();
    keep(store, &[call("b", 0)]).await;
    keep(store, &calls).await;
    let found = ids(store).await;
    assert_eq!(found.len(), CALLS_KEPT + 1);
    assert_eq!(found[..2], ["b-0", "a-3"]);
    assert_eq!(found.last().unwrap(), &calls.last().unwrap().id);
}

pub(super) async fn old_calls_are_forgotten(store: &Shared) {
    keep(store, &[call("gone", 0), call("a", 100)]).await;
    let length = SignedDuration::from_secs(50);
    let retention = Retention { seen: length, history: length, markers: length };
    assert_eq!(store.prune(at(50), &retention, &[]).await.unwrap(), 0);
    assert_eq!(store.prune(at(51), &retention, &[]).await.unwrap(), 1);
    assert_eq!(ids(store).await, ["a-100"]);
}
