//! From a row of the catalog to a whole envelope.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Form, Known, Names};

/// Where and when an event happens, and to which key.
#[derive(Debug, Clone)]
pub struct Scene {
    pub account: String,
    pub region: String,
    /// The key's ARN.
    pub key: String,
    /// The alias that alias events name.
    pub alias: String,
    pub time: Timestamp,
    /// Tells events of one scene apart.
    pub number: u64,
}

impl Scene {
    /// AWS's own example account and key.
    pub fn new(time: Timestamp) -> Self {
        Self {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            key: format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY}"),
            alias: "alias/example".to_owned(),
            time,
            number: 1,
        }
    }

    fn key_id(&self) -> &str {
        self.key.rsplit_once(":key/").map_or(self.key.as_str(), |(_, id)| id)
    }

    /// The account that the key's ARN names.
    fn key_owner(&self) -> &str {
        self.key.split(':').nth(4).filter(|account| !account.is_empty()).unwrap_or(&self.account)
    }

    fn placed(&self, text: &str) -> String {
        let Some(_) = text.find('$') else { return text.to_owned() };
        let english = |time: Timestamp| time.strftime("%b %-d, %Y, %-I:%M:%S %p").to_string();
        let deletion = self.time.checked_add(SignedDuration::from_hours(30 * 24)).unwrap_or(self.time);
        [
            ("$TRAIL", format!("arn:aws:cloudtrail:{}:{}:trail/main", self.region, self.account)),
            ("$QUEUE", format!("https://sqs.{}.amazonaws.com/{}/kmswatch", self.region, self.account)),
            ("$OTHER", format!("arn:aws:kms:{}:{}:key/{OTHER_KEY}", self.region, self.account)),
            ("$MATERIAL", "a".repeat(64)),
            ("$NEXT", "b".repeat(64)),
            ("$GRANT", "c".repeat(64)),
            ("$DELETION", english(deletion)),
            ("$DATE", english(self.time)),
            ("$ACCOUNT", self.account.clone()),
            ("$REGION", self.region.clone()),
            ("$ALIAS", self.alias.clone()),
            ("$ARN", self.key.clone()),
            ("$ID", self.key_id().to_owned()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    fn place(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.placed(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.place(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.place(member)),
            _ => {}
        }
    }
}

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-central-1";
const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER_KEY: &str = "0987dcba-09fe-87dc-65ba-ab0987654321";

/// An envelope as EventBridge sends it for a success. `known` may be `None`: then it is a call of that name and source
/// of which nothing is known.
pub fn envelope(name: &str, source: &str, known: Option<&Known>, scene: &Scene) -> Value {
    let form = known.map_or(Form::Call, |known| known.form);
    let (detail_type, mut detail, mut resources) = match form {
        Form::Event => (name, known.map_or(Value::Null, |known| json(known.request)), json!([])),
        Form::Call => ("AWS API Call via CloudTrail", record(name, source, known, scene), json!([])),
        Form::Service => ("AWS Service Event via CloudTrail", record(name, source, known, scene), json!([])),
    };
    if form == Form::Event {
        resources = match source {
            "aws.kms" => json!([scene.key]),
            "aws.ec2" => {
                json!([format!("arn:aws:ec2:{}:{}:volume/vol-0abcdef0123456789", scene.region, scene.account)])
            }
            _ => json!([]),
        };
    }
    scene.place(&mut detail);
    json!({
        "version": "0",
        "id": id(scene.number, 1),
        "detail-type": detail_type,
        "source": source,
        "account": scene.account,
        "time": scene.time.to_string(),
        "region": scene.region,
        "resources": resources,
        "detail": detail,
    })
}

/// The CloudTrail record.
fn record(name: &str, source: &str, known: Option<&Known>, scene: &Scene) -> Value {
    let service = known.is_some_and(|known| known.form == Form::Service);
    let kms = source == "aws.kms";
    let (request, response) = match known {
        Some(known) => (json(known.request), json(known.response)),
        None if kms => (json!({ "keyId": "$ID" }), Value::Null),
        None => (json!({}), Value::Null),
    };
    let read_only = known.map_or_else(|| reads(name), |known| known.read_only);
    let mut record = json!({
        "eventVersion": "1.11",
        "userIdentity": if service { json!({ "accountId": "$ACCOUNT", "invokedBy": "AWS Internal" }) } else { admin(scene.time) },
        "eventTime": scene.time.to_string(),
        "eventSource": format!("{}.amazonaws.com", source.strip_prefix("aws.").unwrap_or(source)),
        "eventName": name,
        "awsRegion": scene.region,
        "sourceIPAddress": if service { "AWS Internal" } else { "203.0.113.7" },
        "userAgent": if service { "AWS Internal" } else { "aws-cli/2.31.0" },
        "requestParameters": request,
        "responseElements": response,
        "eventID": id(scene.number, 2),
        "readOnly": read_only,
        "eventType": if service { "AwsServiceEvent" } else { "AwsApiCall" },
        "managementEvent": source != "aws.s3",
        "recipientAccountId": scene.account,
        "eventCategory": if source == "aws.s3" { "Data" } else { "Management" },
    });
    let Some(members) = record.as_object_mut() else { return record };
    let names = known.map_or(if kms { Names::Key } else { Names::Nothing }, |known| known.names);
    if let Some(resources) = resources(names, scene) {
        members.insert("resources".to_owned(), resources);
    }
    if !service {
        members.insert("requestID".to_owned(), Value::from(id(scene.number, 3)));
    }
    let parts = known
        .map_or([("", ""); 2], |known| [("additionalEventData", known.extra), ("serviceEventDetails", known.service)]);
    for (name, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
        members.insert(name.to_owned(), json(text));
    }
    record
}

/// A person with an administrator's role, signed in with a second factor.
fn admin(time: Timestamp) -> Value {
    json!({
        "type": "AssumedRole",
        "principalId": "AROAEXAMPLE:alice@example.org",
        "arn": "arn:aws:sts::$ACCOUNT:assumed-role/platform-admin/alice@example.org",
        "accountId": "$ACCOUNT",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAEXAMPLE",
                "arn": "arn:aws:iam::$ACCOUNT:role/platform-admin",
                "accountId": "$ACCOUNT",
                "userName": "platform-admin",
            },
            "attributes": { "creationDate": time.to_string(), "mfaAuthenticated": "true" },
        },
    })
}

fn resources(names: Names, scene: &Scene) -> Option<Value> {
    let entry = |arn: &str| json!({ "accountId": scene.key_owner(), "type": "AWS::KMS::Key", "ARN": arn });
    let alias = || entry(&format!("arn:aws:kms:{}:{}:{}", scene.region, scene.account, scene.alias));
    Some(match names {
        Names::Nothing => return None,
        Names::Empty => json!([]),
        Names::Key => json!([entry("$ARN")]),
        Names::KeyAndAlias => json!([entry("$ARN"), alias()]),
        Names::TwoKeys => json!([entry("$ARN"), entry("$OTHER")]),
    })
}

/// Names that AWS's read-only calls begin with.
fn reads(name: &str) -> bool {
    ["Get", "List", "Describe"].iter().any(|prefix| name.starts_with(prefix))
}

/// An id that is the same each time, and of the shape AWS uses.
fn id(number: u64, kind: u8) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

/// JSON of the tables, which a test reads in full.
pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
