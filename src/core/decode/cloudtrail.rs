//! CloudTrail's records (CloudTrail user guide, "record contents"), alone or as the `detail` of an envelope.

use serde_json::Value;

use super::read::{Object, account, boolean, object, owned, text};
use crate::core::event::Late;

/// Whether an object is a CloudTrail record of its own. Services' notifications use the same names with
/// `eventSource: "aws:s3"`.
pub(super) fn is_record(object: &Object) -> bool {
    text(object, "eventName").is_some() && text(object, "eventSource").is_some_and(|s| !s.starts_with("aws:"))
}

/// Builds the envelope EventBridge would have put around a bare record.
pub(super) fn envelop(detail: Object) -> Object {
    let mut envelope = Object::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            envelope.insert(name.to_owned(), Value::String(value));
        }
    };
    put("source", text(&detail, "eventSource").map(source));
    let kind = detail_type(text(&detail, "eventType").unwrap_or_default(), boolean(&detail, "readOnly"));
    put("detail-type", Some(kind.to_owned()));
    put("account", recipient(&detail));
    put("region", owned(&detail, "awsRegion"));
    put("time", owned(&detail, "eventTime"));
    envelope.insert("detail".to_owned(), Value::Object(detail));
    envelope
}

/// The account whose trail wrote the record; old records have only the caller's.
pub(super) fn recipient(detail: &Object) -> Option<String> {
    account(detail, "recipientAccountId")
        .or_else(|| object(detail, "userIdentity").and_then(|identity| account(identity, "accountId")))
}

/// What the record says of its own lateness (`addendum`).
pub(super) fn late(detail: &Object) -> Option<Late> {
    let addendum = object(detail, "addendum")?;
    Some(Late::Addendum {
        reason: owned(addendum, "reason").unwrap_or_else(|| "UNKNOWN".to_owned()),
        original: owned(addendum, "originalEventID"),
    })
}

/// A remark when the record's format is of a major version that this decoder does not know ("equal on major, greater
/// or equal on minor" is CloudTrail's promise). It is decoded all the same: a lost page is worse than a gap.
pub(super) fn version_remark(detail: &Object) -> Option<String> {
    let version = text(detail, "eventVersion")?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major != 1).then(|| {
        format!(
            "CloudTrail record of eventVersion {}: only 1.x is known, members may be missing",
            super::read::short(version, 20)
        )
    })
}

/// `kms.amazonaws.com` is `aws.kms` on EventBridge.
pub(super) fn source(event_source: &str) -> String {
    let service = event_source.split_once(".amazonaws.com").map_or(event_source, |(service, _)| service);
    ["aws.", service].concat()
}

/// The `detail-type` EventBridge uses for the record. A service event is never read-only: documentation shows Decrypt
/// calls of services with that `eventType`.
pub(super) fn detail_type(event_type: &str, read_only: Option<bool>) -> &'static str {
    match event_type {
        "AwsServiceEvent" if read_only != Some(true) => "AWS Service Event via CloudTrail",
        "AwsConsoleSignIn" => "AWS Console Sign In via CloudTrail",
        "AwsConsoleAction" => "AWS Console Action via CloudTrail",
        "AwsVpceEvent" | "AwsVpceEvents" => "AWS Network Activity Event via CloudTrail",
        "AwsCloudTrailInsight" => "AWS Insight via CloudTrail",
        _ => "AWS API Call via CloudTrail",
    }
}
