//! Events that a pattern may match, made from the catalog: what templates are tried on when a rule is loaded.

use std::ops::ControlFlow;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::controls::Controls;
use super::shape;
use crate::core::access::{History, Trust, Version, assess};
use crate::core::audit::CHECKS;
use crate::core::event::EventId;
use crate::core::lint::{Identity, Named};
use crate::core::observe;
use crate::core::pattern::Node;
use crate::core::pipeline::{self, Ours};
use crate::core::rotation::Period;

/// One of them.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub outcome: &'static str,
    pub document: Value,
}

const OUTCOMES: [&str; 3] = ["success", "denied", "failed"];

/// Makes one event after the other, each as it comes and with all that may be known of it, until `look` has seen enough.
pub fn each(pattern: &Node, mut look: impl FnMut(&Sample) -> ControlFlow<()>) {
    let identity = Identity::of(pattern);
    for event in identity.events(&OUTCOMES) {
        for outcome in OUTCOMES.into_iter().filter(|outcome| identity.admits(&event, outcome)) {
            for known in [false, true] {
                let Some(document) = made(call(&event, outcome, known), known) else { continue };
                if look(&Sample { name: event.name.clone(), outcome, document }).is_break() {
                    return;
                }
            }
        }
    }
    let name = observe::DETAIL_TYPE.to_owned();
    if !identity.admits(&Named { name: name.clone(), source: observe::SOURCE.to_owned(), native: true }, "success") {
        return;
    }
    for state in ["Enabled", "Disabled", "PendingDeletion", "PendingImport", "Deleted"] {
        let Some(document) = made(observation(state), true) else { continue };
        if look(&Sample { name: name.clone(), outcome: "success", document }).is_break() {
            return;
        }
    }
}

fn time() -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_secs(1_793_610_000)).unwrap_or_default()
}

fn made(said: Value, known: bool) -> Option<Value> {
    let Value::Object(said) = said else { return None };
    let before = History {
        versions: vec![Version {
            at: Timestamp::UNIX_EPOCH,
            event: EventId("before".to_owned()),
            text: Some(BEFORE.to_owned()),
        }],
        periods: vec![Period { at: Timestamp::UNIX_EPOCH, event: EventId("before".to_owned()), days: 90 }],
    };
    let mut read = |event: &mut _| {
        assess(event, &Trust::default(), known.then_some(&before));
        pipeline::assess(event, &Ours::default());
    };
    shape::event(&said, &Controls::none(), time(), 1, &mut read).ok().map(|event| event.document)
}

/// What a test would say of it.
fn call(event: &Named, outcome: &str, known: bool) -> Value {
    let Named { name, source, native } = event;
    let mut said = json!({ "source": source, "outcome": outcome });
    let Some(members) = said.as_object_mut() else { return said };
    let mut detail = Map::new();
    if *native {
        members.insert("detail-type".to_owned(), json!(name));
    } else {
        detail.insert("eventName".to_owned(), json!(name));
    }
    if known {
        members.insert("key".to_owned(), key("Enabled"));
        if let Some(request) = request(name).filter(|_| outcome != "denied") {
            detail.insert("requestParameters".to_owned(), request);
        }
    }
    if !detail.is_empty() {
        members.insert("detail".to_owned(), Value::Object(detail));
    }
    said
}

/// What may stand in a request beside what stands there always.
fn request(name: &str) -> Option<Value> {
    match name {
        "CreateKey" | "PutKeyPolicy" | "ReplicateKey" => Some(json!({ "policy": AFTER })),
        "CreateGrant" => Some(json!({
            "granteePrincipal": "arn:aws:iam::444455556666:role/worker",
            "retiringPrincipal": "arn:aws:iam::111122223333:role/retiree",
            "operations": ["CreateGrant", "Decrypt"],
            "constraints": { "encryptionContextSubset": { "Project": "Alpha" } },
            "name": "sample",
        })),
        _ => None,
    }
}

/// The policy known before.
const BEFORE: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},
    {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/former"},"Action":"kms:Decrypt","Resource":"*"},
    {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:role/known"},"Action":"kms:Decrypt","Resource":"*"}
]}"#;

/// One with everything in it that the document says something of, a statement each.
const AFTER: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},
    {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":["kms:Decrypt","kms:CreateGrant"],"Resource":"*"},
    {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:role/known"},"Action":["kms:Decrypt","kms:Sign"],"Resource":"*"},
    {"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:Verify","Resource":"*"},
    {"Effect":"Allow","Principal":{"Service":"logs.amazonaws.com"},"Action":"kms:Encrypt","Resource":"*"},
    {"Effect":"Deny","Principal":"*","Action":"kms:CancelKeyDeletion","Resource":"*"},
    {"Effect":"Deny","Principal":"*","Action":"kms:PutKeyPolicy","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}},
    {"Effect":"Deny","Principal":{"Unknown":"x"},"Action":"kms:Decrypt","Resource":"*"}
]}"#;

/// All that a look-up and the configuration may add.
fn key(state: &str) -> Value {
    json!({
        "aliases": ["alias/sample", "alias/other"], "state": state, "manager": "CUSTOMER", "origin": "EXTERNAL", "multi_region": false,
        "deletion_date": "2026-12-24T00:00:00Z", "valid_to": "2026-12-24T00:00:00Z",
        "tags": { "team": "payments" }, "labels": { "environment": "production" },
    })
}

fn observation(state: &str) -> Value {
    let found = CHECKS.iter().map(|check| {
        (check.id.to_owned(), json!({ "severity": check.severity.as_str(), "seen": "this is what was seen" }))
    });
    let found: Map<String, Value> = found.collect();
    json!({
        "detail-type": observe::DETAIL_TYPE, "key": key(state),
        "detail": {
            "by": "sweep", "first": false, "found": found, "last_rotation": "2026-01-02T03:04:05Z",
            "judged": ["details", "aliases", "tags", "rotation", "policy", "grants", "environment"],
            "rotation": { "enabled": true, "period_days": 365 },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn samples(pattern: &Value) -> Vec<Sample> {
        let mut all = vec![];
        each(&Node::from_json(pattern), |sample| {
            all.push(Sample { name: sample.name.clone(), outcome: sample.outcome, document: sample.document.clone() });
            ControlFlow::Continue(())
        });
        all
    }

    #[test]
    fn they_have_the_fields_that_real_ones_have() {
        let all = samples(&json!({ "detail": { "eventName": ["CreateGrant", "PutKeyPolicy"] } }));
        assert_eq!(all.len(), 12);
        let has = |name: &str, outcome: &str, path: &str| {
            let mut of = all.iter().filter(|one| one.name == name && one.outcome == outcome);
            of.any(|one| one.document.pointer(path).is_some_and(|value| !value.is_null()))
        };
        for field in crate::core::event::FIELDS.iter().filter(|f| f.name.starts_with("grant.")) {
            let path = format!("/{}", field.name.replace('.', "/"));
            assert_eq!(has("CreateGrant", "success", &path), field.name != "grant.service", "{}", field.name);
        }
        let of_access = crate::core::event::FIELDS.iter().map(|f| f.name).filter(|name| name.starts_with("access."));
        let missing = of_access.filter(|name| !has("PutKeyPolicy", "success", &format!("/{}", name.replace('.', "/"))));
        assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
        assert!(has("CreateGrant", "denied", "/denied_by") && has("CreateGrant", "failed", "/detail/errorCode"));
        assert!(has("CreateGrant", "success", "/key/labels/environment") && has("CreateGrant", "denied", "/key/arn"));
        assert!(!has("CreateGrant", "denied", "/detail/requestParameters"));
        assert!(all.iter().any(|one| one.document.pointer("/key/aliases").is_none()), "nothing was looked up");
    }

    #[test]
    fn what_says_something_of_a_period_has_one_before_it() {
        let all = samples(&json!({ "source": ["aws.kms", "kmswatch"] }));
        let longer = all.iter().filter(|one| one.document.pointer("/rotation/lengthened") == Some(&json!(true)));
        let names: BTreeSet<&str> = longer.map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["EnableKeyRotation", observe::DETAIL_TYPE].into());
    }

    #[test]
    fn every_known_event_is_made() {
        let all = samples(&json!({ "detail": [{ "exists": true }] }));
        assert!(all.len() >= 6 * crate::core::catalog::all().count() - 60, "{}", all.len());
        let only = samples(&json!({ "source": ["kmswatch"] }));
        assert_eq!(only.len(), 5);
        assert!(only[0].document.pointer("/detail/found/rotation-overdue/seen").is_some());
    }
}
