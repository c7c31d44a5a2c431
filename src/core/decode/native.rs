//! KMS's own events, which need no trail (KMS developer guide, "Monitoring with Amazon EventBridge"), and the facts that
//! they and CloudTrail's service events both tell.

use jiff::Timestamp;

use super::key::{self, Home};
use super::read::{Object, text};
use crate::core::event::{Fact, FactKind, KeyRef, Outcome};

/// The kind of a native KMS event, by its detail-type.
pub(super) fn kind(source: &str, detail_type: &str) -> Option<FactKind> {
    (source == "aws.kms").then_some(())?;
    KINDS.iter().find(|(name, ..)| *name == detail_type).map(|(_, _, kind)| *kind)
}

/// The same fact as CloudTrail's service events tell it.
pub(super) fn fact_of_call(event_name: &str, outcome: Outcome, key: Option<&KeyRef>) -> Option<Fact> {
    let kind = KINDS.iter().find(|(_, name, _)| *name == event_name).map(|(.., kind)| *kind)?;
    let key_id = key?.id.clone()?;
    (outcome == Outcome::Success).then_some(Fact { kind, key_id })
}

pub(super) fn fact(kind: FactKind, key: Option<&KeyRef>) -> Option<Fact> {
    Some(Fact { kind, key_id: key?.id.clone()? })
}

/// The key, with the state that the happening leaves behind.
pub(super) fn key(kind: FactKind, envelope: &Object, detail: &Object, home: Home<'_>) -> Option<KeyRef> {
    let mut key = key::of_native(envelope, detail, home)?;
    if kind == FactKind::MaterialExpired {
        key.state = Some("PendingImport".to_owned());
    }
    Some(key)
}

/// Identity: kind + key + material id + time bucket, because KMS may send one deletion several times within seconds,
/// each with an id of its own.
pub(super) fn id(
    kind: FactKind,
    detail: &Object,
    key: Option<&KeyRef>,
    home: Home<'_>,
    time: Timestamp,
) -> Option<String> {
    let key = key?.id.as_deref()?;
    let kind = match kind {
        FactKind::Rotation => "rotation",
        FactKind::Deletion => "deletion",
        FactKind::MaterialExpired => "material-expired",
    };
    let material = text(detail, "current-key-material-id").or_else(|| text(detail, "key-material-id")).unwrap_or("-");
    let (account, region) = (home.account.unwrap_or("-"), home.region.unwrap_or("-"));
    let bucket = time.as_second().div_euclid(BUCKET_SECONDS);
    Some(format!("native/{kind}/{account}/{region}/{key}/{material}/{bucket}"))
}

/// Whether an object is the bare detail of a native event (`InputPath: $.detail`), which does not say what happened.
pub(super) fn is_bare_detail(object: &Object) -> bool {
    text(object, "key-id").is_some()
}

/// Detail-type, the CloudTrail service event for the same fact, and the fact.
const KINDS: &[(&str, &str, FactKind)] = &[
    ("KMS CMK Rotation", "RotateKey", FactKind::Rotation),
    ("KMS CMK Deletion", "DeleteKey", FactKind::Deletion),
    ("KMS Imported Key Material Expiration", "DeleteExpiredKeyMaterial", FactKind::MaterialExpired),
];

const BUCKET_SECONDS: i64 = 600;
