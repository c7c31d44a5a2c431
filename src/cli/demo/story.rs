//! The story that the demo plays: real-shaped events of an evening on which somebody comes for the keys.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// One step: what happens, and the messages that tell it.
pub(super) struct Step {
    pub(super) pause: Duration,
    pub(super) text: &'static str,
    pub(super) bodies: fn(Timestamp) -> Vec<String>,
}

/// A key of the story: its ARN's id, alias and team tag.
pub(super) struct StoryKey {
    pub(super) id: &'static str,
    pub(super) alias: &'static str,
    pub(super) description: &'static str,
}

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-central-1";

const EBS: StoryKey = StoryKey {
    id: "1234abcd-12ab-34cd-56ef-1234567890ab",
    alias: "alias/prod-ebs",
    description: "volumes of the cluster",
};
const BACKUPS: StoryKey = StoryKey {
    id: "0987dcba-09fe-87dc-65ba-ab0987654321",
    alias: "alias/prod-backups",
    description: "database backups",
};
const STAGING: StoryKey =
    StoryKey { id: "5678efab-56ab-78cd-90ef-5678901234ab", alias: "alias/staging-ebs", description: "staging volumes" };

pub(super) fn keys() -> [StoryKey; 3] {
    [EBS, BACKUPS, STAGING]
}

impl StoryKey {
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{}", self.id)
    }
}

/// The whole story, in order.
pub(super) fn steps() -> Vec<Step> {
    let step = |seconds, text, bodies| Step { pause: Duration::from_secs(seconds), text, bodies };
    vec![
        step(1, "Every day: workloads decrypt, AWS Config looks around. Nobody needs to hear of it.", everyday),
        step(
            3,
            "KMS rotates the key of the cluster's volumes. Two event families tell it; it is one card, and no page.",
            rotation,
        ),
        step(4, "An engineer's laptop disables the STAGING key. Chat hears of it, nobody is paged.", staging),
        step(4, "A role that was re-created last week is denied at the backups' key.", denied),
        step(5, "In the night, somebody disables the key of the production volumes.", disabled),
        step(4, "EventBridge delivers the same event twice more. Nobody hears of it again.", duplicates),
        // Before the deletion: a key that waits for it can be neither enabled nor disabled.
        step(5, "A second principal disables it again: a new name on the same card, and no second page.", second_actor),
        step(
            5,
            "The first principal schedules the key's deletion, with the shortest waiting period: worse, so it pages again.",
            deletion,
        ),
        step(6, "On-call cancels the deletion. The key is still DISABLED, so nothing is resolved.", cancelled),
        step(6, "On-call enables the key. Everybody who heard of it hears that it is over.", enabled),
    ]
}

fn person(role: &str, session: &str) -> Value {
    json!({
        "type": "AssumedRole",
        "principalId": format!("AROAEXAMPLEID:{session}"),
        "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"),
        "accountId": ACCOUNT,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role", "principalId": "AROAEXAMPLEID", "arn": format!("arn:aws:iam::{ACCOUNT}:role/{role}"),
                "accountId": ACCOUNT, "userName": role
            },
            "attributes": { "mfaAuthenticated": "false" }
        }
    })
}

struct Call<'a> {
    name: &'a str,
    key: &'a StoryKey,
    who: Value,
    ip: &'a str,
    agent: &'a str,
    at: Timestamp,
    /// Makes the event's id.
    n: u32,
}

impl Call<'_> {
    fn detail(&self) -> Value {
        let arn = self.key.arn();
        json!({
            "eventVersion": "1.11",
            "userIdentity": self.who,
            "eventTime": self.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "eventSource": "kms.amazonaws.com",
            "eventName": self.name,
            "awsRegion": REGION,
            "sourceIPAddress": self.ip,
            "userAgent": self.agent,
            "requestParameters": { "keyId": arn },
            "responseElements": { "keyId": arn },
            "requestID": id(self.n + 5000),
            "eventID": id(self.n),
            "readOnly": false,
            "resources": [{ "accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn }],
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": ACCOUNT,
            "eventCategory": "Management"
        })
    }

    fn body(&self) -> String {
        envelope(&self.detail(), "AWS API Call via CloudTrail")
    }
}

fn id(n: u32) -> String {
    format!("a1b2c3d4-5678-90ab-cdef-{n:012}")
}

fn envelope(detail: &Value, kind: &str) -> String {
    json!({
        "version": "0", "id": detail["eventID"], "detail-type": kind, "source": "aws.kms", "account": ACCOUNT,
        "time": detail["eventTime"], "region": REGION, "resources": [], "detail": detail
    })
    .to_string()
}

fn disable(key: &StoryKey, who: Value, at: Timestamp, n: u32) -> Call<'_> {
    Call { name: "DisableKey", key, who, ip: "203.0.113.77", agent: "aws-cli/2.31.0", at, n }
}

fn everyday(at: Timestamp) -> Vec<String> {
    let mut bodies: Vec<String> = (0..40)
        .map(|n| {
            let who = person("ebs-worker", "i-0123456789abcdef0");
            let call =
                Call { name: "Decrypt", key: &EBS, who, ip: "ec2.amazonaws.com", agent: "ec2.amazonaws.com", at, n };
            let mut detail = call.detail();
            detail["readOnly"] = json!(true);
            detail["requestParameters"] = json!({ "encryptionContext": { "aws:ebs:id": format!("vol-{n:017x}") } });
            detail["responseElements"] = Value::Null;
            envelope(&detail, "AWS API Call via CloudTrail")
        })
        .collect();
    let mut config = denial(&BACKUPS, person("config-recorder", "AWSConfig-Describe"), at, 90);
    config["userIdentity"]["invokedBy"] = json!("config.amazonaws.com");
    bodies.push(envelope(&config, "AWS API Call via CloudTrail"));
    bodies
}

fn rotation(at: Timestamp) -> Vec<String> {
    let mut detail = disable(&EBS, json!({ "accountId": ACCOUNT, "invokedBy": "AWS Internal" }), at, 100).detail();
    detail["eventName"] = json!("RotateKey");
    detail["eventType"] = json!("AwsServiceEvent");
    detail["sourceIPAddress"] = json!("AWS Internal");
    detail["userAgent"] = json!("AWS Internal");
    detail["requestParameters"] = Value::Null;
    detail["responseElements"] = Value::Null;
    detail["serviceEventDetails"] = json!({ "keyId": EBS.id, "keyOrigin": "AWS_KMS", "rotationType": "AUTOMATIC" });
    let native = json!({
        "version": "0", "id": id(101), "detail-type": "KMS CMK Rotation", "source": "aws.kms", "account": ACCOUNT,
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "region": REGION, "resources": [EBS.arn()],
        "detail": { "key-id": EBS.id, "key-origin": "AWS_KMS", "rotation-type": "AUTOMATIC" }
    });
    vec![native.to_string(), envelope(&detail, "AWS Service Event via CloudTrail")]
}

fn staging(at: Timestamp) -> Vec<String> {
    vec![disable(&STAGING, person("Engineer", "maria"), at, 110).body()]
}

fn denial(key: &StoryKey, who: Value, at: Timestamp, n: u32) -> Value {
    let mut detail =
        Call { name: "Decrypt", key, who, ip: "198.51.100.23", agent: "aws-sdk-go-v2/1.40", at, n }.detail();
    let arn = detail["userIdentity"]["arn"].as_str().unwrap_or_default().to_owned();
    detail["errorCode"] = json!("AccessDenied");
    detail["errorMessage"] = json!(format!(
        "User: {arn} is not authorized to perform: kms:Decrypt on resource: {} because no resource-based policy allows the kms:Decrypt action",
        key.arn()
    ));
    detail["requestParameters"] = Value::Null;
    detail["responseElements"] = Value::Null;
    detail["readOnly"] = json!(true);
    if let Some(members) = detail.as_object_mut() {
        members.remove("resources");
    }
    detail
}

fn denied(at: Timestamp) -> Vec<String> {
    let once =
        |n| envelope(&denial(&BACKUPS, person("backup-restore", "restore-job"), at, n), "AWS API Call via CloudTrail");
    vec![once(120), once(121), once(122)]
}

fn disabled(at: Timestamp) -> Vec<String> {
    vec![disable(&EBS, person("ci-deploy", "build-4711"), at, 130).body()]
}

fn duplicates(at: Timestamp) -> Vec<String> {
    let body = disable(&EBS, person("ci-deploy", "build-4711"), at, 130).body();
    vec![body.clone(), body]
}

fn deletion(at: Timestamp) -> Vec<String> {
    let mut detail = disable(&EBS, person("ci-deploy", "build-4711"), at, 140).detail();
    detail["eventName"] = json!("ScheduleKeyDeletion");
    detail["requestParameters"]["pendingWindowInDays"] = json!(7);
    detail["responseElements"]["pendingWindowInDays"] = json!(7);
    detail["responseElements"]["keyState"] = json!("PendingDeletion");
    if let Ok(end) = at.checked_add(SignedDuration::from_hours(7 * 24)) {
        detail["responseElements"]["deletionDate"] = json!(end.strftime("%b %-d, %Y, %-I:%M:%S %p").to_string());
    }
    vec![envelope(&detail, "AWS API Call via CloudTrail")]
}

fn second_actor(at: Timestamp) -> Vec<String> {
    vec![disable(&EBS, person("break-glass", "unknown"), at, 150).body()]
}

fn on_call(name: &str, at: Timestamp, n: u32) -> String {
    let who = person("OnCall", "jo");
    Call { name, key: &EBS, who, ip: "192.0.2.10", agent: "aws-cli/2.31.0", at, n }.body()
}

fn cancelled(at: Timestamp) -> Vec<String> {
    vec![on_call("CancelKeyDeletion", at, 160)]
}

fn enabled(at: Timestamp) -> Vec<String> {
    vec![on_call("EnableKey", at, 170)]
}
