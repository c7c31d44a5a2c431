//! Policies and grants of the shapes that are seen in the wild, and what they mean.

mod changes;
mod grants;
mod meaning;
mod random;

use serde_json::{Value, json};

use super::*;
use crate::core::decode::decode;

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const HOME: &str = "111122223333";
const ADMIN: &str = "arn:aws:iam::111122223333:role/admin";
const APP: &str = "arn:aws:iam::111122223333:role/app";
const STRANGER: &str = "444455556666";

fn trust(toml: &str) -> Trust {
    toml::from_str::<TrustSpec>(toml).unwrap().compile()
}

/// A call of KMS in its envelope, at a second of the day.
fn call(name: &str, second: u32, request: &Value, response: &Value) -> Event {
    let body = json!({
        "version": "0", "id": format!("env-{second}"), "detail-type": "AWS API Call via CloudTrail", "source": "aws.kms",
        "account": HOME, "time": "2026-03-01T00:00:00Z", "region": "eu-central-1", "resources": [],
        "detail": {
            "eventVersion": "1.11",
            "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ana", "accountId": HOME },
            "eventTime": format!("2026-03-01T00:00:{second:02}Z"), "eventSource": "kms.amazonaws.com", "eventName": name,
            "awsRegion": "eu-central-1", "requestParameters": request, "responseElements": response,
            "eventID": format!("{name}-{second}"), "readOnly": false, "eventType": "AwsApiCall", "recipientAccountId": HOME,
            "resources": [{ "accountId": HOME, "type": "AWS::KMS::Key", "ARN": KEY }]
        }
    });
    let mut decoded = decode(&body.to_string());
    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    decoded.events.remove(0)
}

fn put_policy(second: u32, policy: &Value) -> Event {
    let request = json!({ "keyId": KEY, "policyName": "default", "policy": policy.to_string() });
    call("PutKeyPolicy", second, &request, &Value::Null)
}

/// A statement with every resource.
#[expect(clippy::needless_pass_by_value, reason = "callers write it in place")]
fn statement(effect: &str, principal: Value, action: Value, condition: Value) -> Value {
    let mut statement = json!({ "Effect": effect, "Principal": principal, "Action": action, "Resource": "*" });
    if !condition.is_null() {
        statement["Condition"] = condition;
    }
    statement
}

fn allow(principal: Value, action: Value) -> Value {
    statement("Allow", principal, action, Value::Null)
}

fn policy(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Id": "key-default-1", "Statement": statements })
}

fn root() -> Value {
    allow(json!({ "AWS": "arn:aws:iam::111122223333:root" }), json!("kms:*"))
}

/// What a policy means with these trusted.
fn meaning_with(statements: &[Value], trusted: &Trust) -> Access {
    let view = View { trust: trusted, home: Some(HOME) };
    let parsed = parse(&policy(statements)).unwrap();
    describe(&Rights::of(&parsed, Some(KEY), view), None, view)
}

fn meaning(statements: &[Value]) -> Access {
    meaning_with(statements, &Trust::default())
}

/// What changed between two policies.
fn change(before: &[Value], after: &[Value]) -> Change {
    let trusted = Trust::default();
    let view = View { trust: &trusted, home: Some(HOME) };
    let rights = |statements: &[Value]| Rights::of(&parse(&policy(statements)).unwrap(), Some(KEY), view);
    diff(&rights(before), &rights(after), view)
}
