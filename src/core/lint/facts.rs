//! What follows from what a pattern asks: a success has no `errorCode`, KMS's own events have no `eventName`, a write is not
//! read-only. A pattern that asks for the opposite never matches.

use serde_json::{Value, json};

use super::names::{self, Kind, NATIVE};
use super::walk::{Branch, Clause, clause};
use crate::core::event::RECORDED;
use crate::core::rotation;

/// Members of KMS's own events, below `detail`.
pub(super) const NATIVE_MEMBERS: &[&str] = &[
    "current-key-material-id",
    "key-id",
    "key-material-id",
    "key-origin",
    "previous-key-material-id",
    "rotation-type",
];

/// Services whose `source` and `eventSource` are made from one name.
const SERVICES: &[&str] = &[
    "backup",
    "cloudtrail",
    "config",
    "dynamodb",
    "ec2",
    "events",
    "iam",
    "kms",
    "lambda",
    "logs",
    "rds",
    "s3",
    "secretsmanager",
    "sns",
    "sqs",
    "sts",
];

/// Calls that carry a key policy, from which `access` is made.
pub(super) const POLICIES: &[&str] = &["CreateKey", "PutKeyPolicy", "ReplicateKey"];

/// Something that holds of every event that a pattern can match.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) path: String,
    /// Also of everything below the path.
    pub(super) below: bool,
    /// What the field may be.
    pub(super) list: Value,
    /// Why, as the beginning of a sentence.
    pub(super) why: String,
}

impl Fact {
    fn new(path: &str, list: Value, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), below: false, list, why: why.into() }
    }

    fn absent(path: &str, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), below: true, list: json!([{ "exists": false }]), why: why.into() }
    }

    /// Whether it says something of this path.
    pub(super) fn is_about(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        rest.is_some_and(|rest| rest.is_empty() || (self.below && rest.starts_with('.')))
    }
}

/// What follows from everything but the event's name.
pub(super) fn of_branch(branch: &Branch<'_>) -> Vec<Fact> {
    let mut facts = vec![];
    of_source(branch, &mut facts);
    of_family(branch, &mut facts);
    of_outcome(branch, &mut facts);
    facts
}

/// Whether a pattern asks for events of KMS and no others.
pub(super) fn is_kms(branch: &Branch<'_>) -> bool {
    let only = |path: &str, word: &str| {
        clause(branch, path).and_then(Clause::words).is_some_and(|words| words.iter().all(|known| *known == word))
    };
    only("source", "aws.kms") || only("detail.eventSource", "kms.amazonaws.com")
}

fn of_source(branch: &Branch<'_>, facts: &mut Vec<Fact>) {
    let one = |path: &str| clause(branch, path).and_then(Clause::words).filter(|words| words.len() == 1);
    if let Some([source]) = one("source").as_deref()
        && let Some(service) = source.strip_prefix("aws.").filter(|service| SERVICES.contains(service))
    {
        let list = json!([format!("{service}.amazonaws.com"), { "exists": false }]);
        facts.push(Fact::new(
            "detail.eventSource",
            list,
            format!("events of `{source}` have the eventSource `{service}.amazonaws.com`"),
        ));
    }
    if let Some([source]) = one("detail.eventSource").as_deref()
        && let Some(service) = source.strip_suffix(".amazonaws.com").filter(|service| SERVICES.contains(service))
    {
        facts.push(Fact::new(
            "source",
            json!([format!("aws.{service}")]),
            format!("`{source}` is the source `aws.{service}`"),
        ));
    }
}

fn of_family(branch: &Branch<'_>, facts: &mut Vec<Fact>) {
    let Some(types) = clause(branch, "detail-type").and_then(Clause::words) else { return };
    if types.iter().all(|kind| NATIVE.contains(kind)) {
        let why = "KMS's own events are no records of CloudTrail";
        facts.extend(RECORDED.iter().map(|member| Fact::absent(&format!("detail.{member}"), why)));
        facts.push(Fact::new("source", json!(["aws.kms"]), "KMS's own events have the source `aws.kms`"));
    }
    if types.iter().all(|kind| kind.ends_with(" via CloudTrail")) {
        let why = "only KMS's own events have it, not records of CloudTrail";
        facts.extend(NATIVE_MEMBERS.iter().map(|member| Fact::absent(&format!("detail.{member}"), why)));
    }
}

fn of_outcome(branch: &Branch<'_>, facts: &mut Vec<Fact>) {
    let Some(outcomes) = clause(branch, "outcome").and_then(Clause::words) else { return };
    let only = |allowed: &[&str]| outcomes.iter().all(|outcome| allowed.contains(outcome));
    if only(&["success"]) {
        facts.push(Fact::absent("detail.errorCode", "a success has no error"));
        facts.push(Fact::absent("detail.errorMessage", "a success has no error"));
    }
    if only(&["denied"]) {
        facts.push(Fact::new("detail.errorCode", json!([{ "exists": true }]), "a denial has an error code"));
        if is_kms(branch) {
            let why = "a denied call of KMS carries neither parameters nor resources";
            for member in [
                "detail.requestParameters",
                "detail.responseElements",
                "detail.resources",
                "access",
                "grant",
                "replica",
            ] {
                facts.push(Fact::absent(member, why));
            }
        }
    }
    if only(&["denied", "failed"]) {
        facts.push(Fact::absent("rotation", "only a success sets a rotation period"));
    }
    if only(&["success", "failed"]) {
        facts.push(Fact::absent("denied_by", "only a denial is `denied_by` something"));
    }
}

/// What follows from the event's name; with `usual` also what is so in all but odd events.
pub(super) fn of_name(name: &str, branch: &Branch<'_>, usual: bool) -> Vec<Fact> {
    let Some(known) = names::known(name) else { return vec![] };
    let mut facts = vec![];
    if !POLICIES.contains(&name) {
        facts.push(Fact::absent("access", format!("`{name}` carries no policy")));
    }
    if name != "CreateGrant" {
        facts.push(Fact::absent("grant", format!("`{name}` makes no grant")));
    }
    if name != "ReplicateKey" {
        facts.push(Fact::absent("replica", format!("`{name}` makes no replica")));
    }
    if name != rotation::SETS {
        facts.push(Fact::absent("rotation", format!("`{name}` sets no rotation period")));
    }
    // Names such as TagResource exist in many services.
    let other = clause(branch, "source").and_then(Clause::words).is_some_and(|words| !words.contains(&known.source));
    if other {
        return facts;
    }
    if known.source != "aws.cloudtrail" {
        facts.push(Fact::absent("trail", format!("`{name}` is about no trail")));
    }
    if !["aws.events", "aws.sqs"].contains(&known.source) {
        facts.push(Fact::absent("pipeline", format!("`{name}` is about no queue and no EventBridge rule")));
    }
    let read_only = match known.kind {
        Kind::Read | Kind::Use => json!([true]),
        Kind::Write | Kind::Service => json!([false, { "exists": false }]),
    };
    let what = if known.kind.is_read_only() { "is a read-only call" } else { "is no read-only call" };
    facts.push(Fact::new("detail.readOnly", read_only, format!("`{name}` {what}")));
    facts.push(Fact::new("source", json!([known.source]), format!("`{name}` is an event of `{}`", known.source)));
    let (types, what) = match known.kind {
        Kind::Service => (json!(["AWS Service Event via CloudTrail"]), "is a service event"),
        // Some records of cryptographic calls call themselves service events.
        Kind::Use if !usual => (json!([{ "suffix": " via CloudTrail" }]), "is recorded by CloudTrail"),
        Kind::Use | Kind::Read | Kind::Write => {
            (json!(["AWS API Call via CloudTrail", "AWS Network Activity Event via CloudTrail"]), "is an API call")
        }
    };
    facts.push(Fact::new("detail-type", types, format!("`{name}` {what}")));
    facts
}
