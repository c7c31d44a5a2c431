//! Whole bodies: every wrapper, every family, every trap.

mod families;
mod hostile;
pub(super) mod peeking;
mod wrappers;

use serde_json::{Value, json};

use super::*;

const DISABLE: &str = include_str!("../../../tests/data/events/disable-key.json");
const DENIED: &str = include_str!("../../../tests/data/events/decrypt-denied.json");
const ROTATE: &str = include_str!("../../../tests/data/events/rotate-key-service-event.json");
const DELETION: &str = include_str!("../../../tests/data/events/native-deletion.json");
const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The one event of a body that has nothing else.
#[track_caller]
fn only(body: &str) -> Event {
    let mut decoded = decode(body);
    assert_eq!(decoded.rejected, []);
    assert_eq!(decoded.events.len(), 1, "{:?}", decoded.notices);
    decoded.events.remove(0)
}

/// The reason why a body is no event.
#[track_caller]
fn refused(body: &str) -> Reason {
    let decoded = decode(body);
    assert_eq!(decoded.events, []);
    let [one] = decoded.rejected.as_slice() else { panic!("{:?}", decoded.rejected) };
    one.reason
}
