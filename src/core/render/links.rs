//! Commands and links, built only from ARNs, Regions and ids that passed their grammar.

use serde_json::Value;

use crate::core::decode::arn::{KmsArn, is_region, partition_of};
use crate::core::event::{Event, Family, Outcome};
use crate::core::notification::Link;

/// The command that undoes a call on a key, or that finishes its recovery; `None` where there is none or where the ARN is
/// not a key's. The Region is the ARN's own.
pub fn undo_command(event_name: &str, key_arn: &str) -> Option<String> {
    let arn = KmsArn::parse(key_arn)?;
    arn.key_id()?;
    let command = |verb: &str| format!("aws kms {verb} --key-id {key_arn} --region {}", arn.region);
    match event_name {
        // Canceling a deletion leaves the key disabled (KMS API reference, CancelKeyDeletion).
        "DisableKey" | "CancelKeyDeletion" => Some(command("enable-key")),
        "ScheduleKeyDeletion" => Some(format!("{} && {}", command("cancel-key-deletion"), command("enable-key"))),
        "DisableKeyRotation" => Some(command("enable-key-rotation")),
        _ => None,
    }
}

/// The command that undoes an event. Only a success has something to undo.
pub fn undo(event: &Event) -> Option<String> {
    let arn = event.key.as_ref().and_then(|key| key.arn.as_deref());
    if event.family == Family::Observation {
        // Nobody is known to have done it, but what brings the key back is the same.
        return match event.key.as_ref()?.state.as_deref()? {
            "Disabled" => undo_command("DisableKey", arn?),
            "PendingDeletion" | "PendingReplicaDeletion" => undo_command("ScheduleKeyDeletion", arn?),
            _ => None,
        };
    }
    if event.outcome != Outcome::Success || event.family != Family::Call || event.source != "aws.kms" {
        return None;
    }
    let named = |path: &str| event.document.pointer(path).and_then(Value::as_str);
    match event.name.as_str() {
        "CreateGrant" => {
            let parsed = arn.and_then(KmsArn::parse).filter(|arn| arn.key_id().is_some())?;
            let grant = named("/detail/responseElements/grantId").filter(|id| is_hex(id))?;
            Some(format!("aws kms revoke-grant --key-id {} --grant-id {grant} --region {}", arn?, parsed.region))
        }
        "DisconnectCustomKeyStore" => {
            let store = named("/detail/requestParameters/customKeyStoreId").filter(|id| is_store(id))?;
            let region = event.region.as_deref().filter(|region| is_region(region))?;
            Some(format!("aws kms connect-custom-key-store --custom-key-store-id {store} --region {region}"))
        }
        name => undo_command(name, arn?),
    }
}

/// The key's page and the event's own record in the AWS console.
pub fn links(event: &Event) -> Vec<Link> {
    let key = event.key.as_ref().and_then(|key| {
        let arn = KmsArn::parse(key.arn.as_deref()?)?;
        // Links of an ARN whose Region lies in another partition lead nowhere.
        let host = (partition_of(arn.region) == arn.partition).then(|| host(arn.region)).flatten()?;
        let list = if key.manager.as_deref() == Some("AWS") { "defaultKeys" } else { "keys" };
        let href = format!("https://{host}/kms/home?region={}#/kms/{list}/{}", arn.region, arn.key_id()?);
        Some(Link { text: "key in the console".to_owned(), href })
    });
    let record = event.region.as_deref().filter(|region| is_region(region)).and_then(|region| {
        let id = event.document.pointer("/detail/eventID").and_then(Value::as_str).filter(|id| is_uuid(id))?;
        let href = format!("https://{}/cloudtrailv2/home?region={region}#/events?EventId={id}", host(region)?);
        Some(Link { text: "event in CloudTrail".to_owned(), href })
    });
    key.into_iter().chain(record).collect()
}

/// The console of a Region's partition; the isolated ones have none that can be reached from elsewhere.
fn host(region: &str) -> Option<String> {
    match partition_of(region) {
        "aws" => Some(format!("{region}.console.aws.amazon.com")),
        "aws-cn" => Some(format!("{region}.console.amazonaws.cn")),
        "aws-us-gov" => Some(format!("{region}.console.amazonaws-us-gov.com")),
        _ => None,
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

fn is_hex(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_store(text: &str) -> bool {
    text.strip_prefix("cks-")
        .is_some_and(|id| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()))
}
