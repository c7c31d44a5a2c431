//! Real-shaped events, as EventBridge puts them into a queue.

use serde_json::{Value, json};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "eu-central-1";

/// The ARN of the `n`th key.
pub(crate) fn key(n: usize) -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-{n:012}")
}

/// The next second: events of one second have no order, and then the danger wins.
pub(crate) fn soon() -> String {
    let now: jiff::Timestamp = now().parse().unwrap();
    jiff::Timestamp::from_second(now.as_second() + 1).unwrap().to_string()
}

pub(crate) fn now() -> String {
    let millis = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    jiff::Timestamp::from_second(i64::try_from(millis / 1000).unwrap()).unwrap().to_string()
}

/// `detail` of a call on a key that succeeded.
pub(crate) fn detail(name: &str, key: &str, id: &str, time: &str) -> Value {
    json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": "AROAEXAMPLEID:alice",
            "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice"),
            "accountId": ACCOUNT,
            "sessionContext": { "sessionIssuer": { "type": "Role", "arn": format!("arn:aws:iam::{ACCOUNT}:role/Admin"), "accountId": ACCOUNT, "userName": "Admin" } }
        },
        "eventTime": time,
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2.31.0",
        "requestParameters": { "keyId": key },
        "responseElements": { "keyId": key },
        "requestID": format!("req-{id}"),
        "eventID": id,
        "readOnly": false,
        "resources": [{ "accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key }],
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management"
    })
}

/// A denied decryption: no key but in the text of the error.
pub(crate) fn denied(key: &str, id: &str, time: &str) -> Value {
    let mut detail = detail("Decrypt", key, id, time);
    detail["errorCode"] = json!("AccessDenied");
    detail["errorMessage"] = json!(format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice is not authorized to perform: kms:Decrypt on resource: {key} because no resource-based policy allows the kms:Decrypt action"
    ));
    detail["requestParameters"] = Value::Null;
    detail["responseElements"] = Value::Null;
    detail["readOnly"] = json!(true);
    detail.as_object_mut().unwrap().remove("resources");
    detail
}

/// A rotation that KMS made by itself.
pub(crate) fn rotated(key: &str, id: &str, time: &str) -> Value {
    let mut detail = detail("RotateKey", key, id, time);
    detail["userIdentity"] = json!({ "accountId": ACCOUNT, "invokedBy": "AWS Internal" });
    detail["eventType"] = json!("AwsServiceEvent");
    detail["requestParameters"] = Value::Null;
    detail["responseElements"] = Value::Null;
    detail["serviceEventDetails"] = json!({ "keyId": key.rsplit('/').next().unwrap(), "rotationType": "AUTOMATIC" });
    detail
}

/// The EventBridge envelope around a detail.
pub(crate) fn envelope(detail: &Value) -> Value {
    let service = detail["eventType"] == "AwsServiceEvent";
    json!({
        "version": "0",
        "id": format!("envelope-{}", detail["eventID"].as_str().unwrap()),
        "detail-type": if service { "AWS Service Event via CloudTrail" } else { "AWS API Call via CloudTrail" },
        "source": "aws.kms",
        "account": ACCOUNT,
        "time": detail["eventTime"],
        "region": REGION,
        "resources": [],
        "detail": detail
    })
}

/// A call in its envelope, as text, happening now.
pub(crate) fn call(name: &str, key: &str, id: &str) -> String {
    envelope(&detail(name, key, id, &now())).to_string()
}
