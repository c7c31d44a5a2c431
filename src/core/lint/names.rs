//! Names of events that we know: all of KMS, and those of other services that bear on keys and on the way events take.

/// What a call does, as far as it decides whether `EventBridge` delivers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Write,
    /// `Describe…`, `Get…`, `List…`: read-only.
    Read,
    /// The key at work, which `CloudTrail` calls read-only too.
    Use,
    /// AWS itself: a service event.
    Service,
}

impl Kind {
    pub fn is_read_only(self) -> bool {
        matches!(self, Self::Read | Self::Use)
    }
}

/// One event name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub name: &'static str,
    /// `EventBridge`'s `source`.
    pub source: &'static str,
    pub kind: Kind,
}

const fn kms(name: &'static str, kind: Kind) -> Name {
    Name { name, source: "aws.kms", kind }
}

const fn write(source: &'static str, name: &'static str) -> Name {
    Name { name, source, kind: Kind::Write }
}

/// Names of KMS first, by name; then those of other services, which are not all they have.
pub const NAMES: &[Name] = &[
    kms("CancelKeyDeletion", Kind::Write),
    kms("ConnectCustomKeyStore", Kind::Write),
    kms("CreateAlias", Kind::Write),
    kms("CreateCustomKeyStore", Kind::Write),
    kms("CreateGrant", Kind::Write),
    kms("CreateKey", Kind::Write),
    kms("Decrypt", Kind::Use),
    kms("DeleteAlias", Kind::Write),
    kms("DeleteCustomKeyStore", Kind::Write),
    kms("DeleteExpiredKeyMaterial", Kind::Service),
    kms("DeleteImportedKeyMaterial", Kind::Write),
    kms("DeleteKey", Kind::Service),
    kms("DeriveSharedSecret", Kind::Use),
    kms("DescribeCustomKeyStores", Kind::Read),
    kms("DescribeKey", Kind::Read),
    kms("DisableKey", Kind::Write),
    kms("DisableKeyRotation", Kind::Write),
    kms("DisconnectCustomKeyStore", Kind::Write),
    kms("EnableKey", Kind::Write),
    kms("EnableKeyRotation", Kind::Write),
    kms("Encrypt", Kind::Use),
    kms("GenerateDataKey", Kind::Use),
    kms("GenerateDataKeyPair", Kind::Use),
    kms("GenerateDataKeyPairWithoutPlaintext", Kind::Use),
    kms("GenerateDataKeyWithoutPlaintext", Kind::Use),
    kms("GenerateMac", Kind::Use),
    kms("GenerateRandom", Kind::Use),
    kms("GetKeyLastUsage", Kind::Read),
    kms("GetKeyPolicy", Kind::Read),
    kms("GetKeyRotationStatus", Kind::Read),
    kms("GetParametersForImport", Kind::Read),
    kms("GetPublicKey", Kind::Use),
    kms("ImportKeyMaterial", Kind::Write),
    kms("ListAliases", Kind::Read),
    kms("ListGrants", Kind::Read),
    kms("ListKeyPolicies", Kind::Read),
    kms("ListKeyRotations", Kind::Read),
    kms("ListKeys", Kind::Read),
    kms("ListResourceTags", Kind::Read),
    kms("ListRetirableGrants", Kind::Read),
    kms("PutKeyPolicy", Kind::Write),
    kms("ReEncrypt", Kind::Use),
    kms("ReplicateKey", Kind::Write),
    kms("RetireGrant", Kind::Write),
    kms("RevokeGrant", Kind::Write),
    kms("RotateKey", Kind::Service),
    kms("RotateKeyOnDemand", Kind::Write),
    kms("ScheduleKeyDeletion", Kind::Write),
    kms("Sign", Kind::Use),
    kms("SynchronizeMultiRegionKey", Kind::Write),
    kms("TagResource", Kind::Write),
    kms("UntagResource", Kind::Write),
    kms("UpdateAlias", Kind::Write),
    kms("UpdateCustomKeyStore", Kind::Write),
    kms("UpdateKeyDescription", Kind::Write),
    kms("UpdatePrimaryRegion", Kind::Write),
    kms("Verify", Kind::Use),
    kms("VerifyMac", Kind::Use),
    write("aws.cloudtrail", "CreateTrail"),
    write("aws.cloudtrail", "DeleteTrail"),
    write("aws.cloudtrail", "PutEventSelectors"),
    write("aws.cloudtrail", "StartLogging"),
    write("aws.cloudtrail", "StopLogging"),
    write("aws.cloudtrail", "UpdateTrail"),
    write("aws.config", "DeleteConfigurationRecorder"),
    write("aws.config", "StopConfigurationRecorder"),
    write("aws.ec2", "CopySnapshot"),
    write("aws.ec2", "CreateVolume"),
    write("aws.ec2", "DisableEbsEncryptionByDefault"),
    write("aws.ec2", "EnableEbsEncryptionByDefault"),
    write("aws.ec2", "ModifyEbsDefaultKmsKeyId"),
    write("aws.ec2", "ResetEbsDefaultKmsKeyId"),
    write("aws.events", "DeleteRule"),
    write("aws.events", "DisableRule"),
    write("aws.events", "EnableRule"),
    write("aws.events", "PutRule"),
    write("aws.events", "PutTargets"),
    write("aws.events", "RemoveTargets"),
    write("aws.sqs", "DeleteQueue"),
    write("aws.sqs", "PurgeQueue"),
    write("aws.sqs", "SetQueueAttributes"),
];

/// The native KMS events, by their `detail-type`.
pub const NATIVE: &[&str] = &["KMS CMK Deletion", "KMS CMK Rotation", "KMS Imported Key Material Expiration"];

/// What is known of an event of that name.
pub fn known(name: &str) -> Option<&'static Name> {
    NAMES.iter().find(|known| known.name == name)
}

/// The source of events of that name.
pub fn source_of(name: &str) -> Option<&'static str> {
    known(name).map(|known| known.source)
}

/// How a name is really spelled, if it is a known one in another case.
pub fn spelled(name: &str) -> Option<&'static str> {
    NAMES.iter().map(|known| known.name).find(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_there_once_and_in_order() {
        let keys: Vec<_> = NAMES.iter().map(|known| (known.source != "aws.kms", known.source, known.name)).collect();
        assert!(keys.is_sorted());
        let mut names: Vec<_> = NAMES.iter().map(|known| known.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(spelled("disablekey"), Some("DisableKey"));
        assert_eq!(known("disablekey"), None);
        assert_eq!(source_of("StopLogging"), Some("aws.cloudtrail"));
    }
}
