//! What KMS writes of itself (KMS developer guide, "Examples of AWS KMS log entries" and "Monitoring with EventBridge").

use super::{Form, Known, Names, call, read, write};

/// Every KMS event name: the calls, what the service does by itself, and the native events, which need no trail.
pub(super) const ROWS: &[Known] = &[
    // Life of a key.
    Known {
        names: Names::Key,
        request: r#"{"description":"","origin":"AWS_KMS","keyUsage":"ENCRYPT_DECRYPT","keySpec":"SYMMETRIC_DEFAULT","customerMasterKeySpec":"SYMMETRIC_DEFAULT","bypassPolicyLockoutSafetyCheck":false,"multiRegion":false}"#,
        response: r#"{"keyMetadata":{"aWSAccountId":"$ACCOUNT","keyId":"$ID","arn":"$ARN","creationDate":"$DATE","enabled":true,"description":"","keyUsage":"ENCRYPT_DECRYPT","keyState":"Enabled","origin":"AWS_KMS","keyManager":"CUSTOMER","keySpec":"SYMMETRIC_DEFAULT","customerMasterKeySpec":"SYMMETRIC_DEFAULT","encryptionAlgorithms":["SYMMETRIC_DEFAULT"],"multiRegion":false}}"#,
        more: &["policy", "tags", "customKeyStoreId", "xksKeyId"],
        ..write("CreateKey")
    },
    Known { response: KEY_ID, ..write("EnableKey") },
    Known { response: KEY_ID, ..write("DisableKey") },
    Known {
        request: r#"{"keyId":"$ID","pendingWindowInDays":30}"#,
        response: r#"{"keyId":"$ARN","keyState":"PendingDeletion","deletionDate":"$DELETION","pendingWindowInDays":30}"#,
        ..write("ScheduleKeyDeletion")
    },
    Known { response: KEY_ID, ..write("CancelKeyDeletion") },
    Known { form: Form::Service, request: "null", service: r#"{"keyId":"$ID"}"#, ..write("DeleteKey") },
    Known { request: r#"{"keyId":"$ID","description":"new description"}"#, ..write("UpdateKeyDescription") },
    read("DescribeKey"),
    Known { names: Names::Empty, request: "{}", more: &["limit", "marker"], ..read("ListKeys") },
    read("GetKeyLastUsage"),
    // Rotation.
    Known {
        form: Form::Service,
        request: "null",
        service: r#"{"rotationType":"AUTOMATIC","keyOrigin":"AWS_KMS","previousKeyMaterialId":"$MATERIAL","currentKeyMaterialId":"$NEXT","keyId":"$ID"}"#,
        ..write("RotateKey")
    },
    Known { response: r#"{"keyId":"$ID"}"#, ..write("RotateKeyOnDemand") },
    Known { request: r#"{"keyId":"$ID","rotationPeriodInDays":365}"#, response: KEY_ID, ..write("EnableKeyRotation") },
    write("DisableKeyRotation"),
    read("GetKeyRotationStatus"),
    Known { more: &["includeKeyMaterial", "limit", "marker"], ..read("ListKeyRotations") },
    // Imported key material.
    Known {
        request: r#"{"keyId":"$ID","wrappingAlgorithm":"RSAES_OAEP_SHA_256","wrappingKeySpec":"RSA_4096"}"#,
        ..read("GetParametersForImport")
    },
    Known {
        request: r#"{"keyId":"$ID","expirationModel":"KEY_MATERIAL_DOES_NOT_EXPIRE","importType":"NEW_KEY_MATERIAL"}"#,
        response: r#"{"keyId":"$ARN","keyMaterialId":"$MATERIAL"}"#,
        more: &["validTo", "keyMaterialDescription", "keyMaterialId"],
        ..write("ImportKeyMaterial")
    },
    Known {
        request: r#"{"keyId":"$ID","keyMaterialId":"$MATERIAL"}"#,
        response: r#"{"keyId":"$ARN","keyMaterialId":"$MATERIAL"}"#,
        ..write("DeleteImportedKeyMaterial")
    },
    Known {
        form: Form::Service,
        request: "null",
        service: r#"{"keyId":"$ID","keyMaterialId":"$MATERIAL"}"#,
        ..write("DeleteExpiredKeyMaterial")
    },
    // Policies and grants.
    Known {
        request: r#"{"keyId":"$ID","policyName":"default","policy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"Enable IAM User Permissions\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::$ACCOUNT:root\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}]}","bypassPolicyLockoutSafetyCheck":false}"#,
        ..write("PutKeyPolicy")
    },
    Known {
        request: r#"{"keyId":"$ARN","granteePrincipal":"arn:aws:iam::$ACCOUNT:role/worker","operations":["Decrypt","GenerateDataKey"]}"#,
        response: r#"{"keyId":"$ARN","grantId":"$GRANT"}"#,
        more: &[
            "constraints",
            "retiringPrincipal",
            "granteeServicePrincipal",
            "retiringServicePrincipal",
            "name",
            "grantTokens",
            "dryRun",
        ],
        ..write("CreateGrant")
    },
    Known { request: r#"{"keyId":"$ID","grantId":"$GRANT"}"#, more: &["dryRun"], ..write("RevokeGrant") },
    Known { request: "null", extra: r#"{"grantId":"$GRANT"}"#, ..write("RetireGrant") },
    Known { more: &["granteePrincipal", "grantId", "limit", "marker"], ..read("ListGrants") },
    Known {
        names: Names::Empty,
        request: r#"{"retiringPrincipal":"arn:aws:iam::$ACCOUNT:role/worker"}"#,
        more: &["limit", "marker"],
        ..read("ListRetirableGrants")
    },
    Known { request: r#"{"keyId":"$ID","policyName":"default"}"#, ..read("GetKeyPolicy") },
    Known { more: &["limit", "marker"], ..read("ListKeyPolicies") },
    // Aliases and tags.
    Known {
        names: Names::KeyAndAlias,
        request: r#"{"aliasName":"$ALIAS","targetKeyId":"$ID"}"#,
        response: KEY_ID,
        ..write("CreateAlias")
    },
    Known {
        names: Names::KeyAndAlias,
        request: r#"{"aliasName":"$ALIAS","targetKeyId":"$ID"}"#,
        response: KEY_ID,
        ..write("UpdateAlias")
    },
    Known { names: Names::KeyAndAlias, request: r#"{"aliasName":"$ALIAS"}"#, response: KEY_ID, ..write("DeleteAlias") },
    Known {
        request: r#"{"keyId":"$ID","tags":[{"tagKey":"team","tagValue":"payments"}]}"#,
        response: KEY_ID,
        ..write("TagResource")
    },
    Known { request: r#"{"keyId":"$ID","tagKeys":["team"]}"#, response: KEY_ID, ..write("UntagResource") },
    Known { names: Names::Empty, request: "{}", more: &["keyId", "limit", "marker"], ..read("ListAliases") },
    Known { more: &["limit", "marker"], ..read("ListResourceTags") },
    // Several Regions.
    Known {
        request: r#"{"keyId":"$ID","replicaRegion":"us-west-2","bypassPolicyLockoutSafetyCheck":false,"description":""}"#,
        response: r#"{"replicaKeyMetadata":{"aWSAccountId":"$ACCOUNT","keyId":"$ID","arn":"arn:aws:kms:us-west-2:$ACCOUNT:key/$ID","creationDate":"$DATE","enabled":false,"description":"","keyUsage":"ENCRYPT_DECRYPT","keyState":"Creating","origin":"AWS_KMS","keyManager":"CUSTOMER","multiRegion":true},"replicaPolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::$ACCOUNT:root\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}]}"}"#,
        more: &["policy", "tags"],
        ..write("ReplicateKey")
    },
    Known {
        request: r#"{"keyId":"$ID","primaryRegion":"us-west-2"}"#,
        response: KEY_ID,
        ..write("UpdatePrimaryRegion")
    },
    Known { request: "null", response: KEY_ID, ..write("SynchronizeMultiRegionKey") },
    // Custom key stores.
    store("ConnectCustomKeyStore"),
    Known {
        request: r#"{"customKeyStoreName":"ExampleKeyStore","cloudHsmClusterId":"cluster-1a23b4cdefg"}"#,
        response: r#"{"customKeyStoreId":"cks-1234567890abcdef0"}"#,
        more: &[
            "customKeyStoreType",
            "trustAnchorCertificate",
            "xksProxyUriEndpoint",
            "xksProxyUriPath",
            "xksProxyVpcEndpointServiceName",
            "xksProxyVpcEndpointServiceOwner",
            "xksProxyConnectivity",
        ],
        ..store("CreateCustomKeyStore")
    },
    store("DeleteCustomKeyStore"),
    store("DisconnectCustomKeyStore"),
    Known {
        request: r#"{"customKeyStoreId":"cks-1234567890abcdef0","clusterId":"cluster-1a23b4cdefg"}"#,
        more: &[
            "newCustomKeyStoreName",
            "cloudHsmClusterId",
            "xksProxyUriEndpoint",
            "xksProxyUriPath",
            "xksProxyVpcEndpointServiceName",
            "xksProxyVpcEndpointServiceOwner",
            "xksProxyConnectivity",
        ],
        ..store("UpdateCustomKeyStore")
    },
    Known { read_only: true, more: &["customKeyStoreName", "limit", "marker"], ..store("DescribeCustomKeyStores") },
    // Use.
    Known { request: CONTEXT, ..read("Encrypt") },
    Known { request: CONTEXT, extra: MATERIAL, more: &["recipient"], ..read("Decrypt") },
    Known {
        names: Names::TwoKeys,
        request: r#"{"sourceKeyId":"$ARN","destinationKeyId":"$OTHER","sourceEncryptionAlgorithm":"SYMMETRIC_DEFAULT","destinationEncryptionAlgorithm":"SYMMETRIC_DEFAULT","sourceEncryptionContext":{"Project":"Alpha"},"destinationEncryptionContext":{"Project":"Alpha"}}"#,
        ..read("ReEncrypt")
    },
    Known { request: DATA_KEY, extra: MATERIAL, more: &["numberOfBytes", "recipient"], ..read("GenerateDataKey") },
    Known { request: DATA_KEY, extra: MATERIAL, more: &["numberOfBytes"], ..read("GenerateDataKeyWithoutPlaintext") },
    Known { request: KEY_PAIR, more: &["recipient"], ..read("GenerateDataKeyPair") },
    Known { request: KEY_PAIR, ..read("GenerateDataKeyPairWithoutPlaintext") },
    Known { names: Names::Empty, request: r#"{"numberOfBytes":32}"#, more: &["recipient"], ..read("GenerateRandom") },
    Known { request: SIGNING, ..read("Sign") },
    Known { request: SIGNING, ..read("Verify") },
    Known { request: MAC, ..read("GenerateMac") },
    Known { request: MAC, ..read("VerifyMac") },
    Known { request: r#"{"keyId":"$ARN","keyAgreementAlgorithm":"ECDH"}"#, ..read("DeriveSharedSecret") },
    Known { request: r#"{"keyId":"$ARN"}"#, ..read("GetPublicKey") },
    // Native events.
    Known {
        request: r#"{"key-id":"$ID","key-origin":"AWS_KMS","rotation-type":"AUTOMATIC","previous-key-material-id":"$MATERIAL","current-key-material-id":"$NEXT"}"#,
        ..native("KMS CMK Rotation")
    },
    native("KMS CMK Deletion"),
    Known {
        request: r#"{"key-id":"$ID","key-material-id":"$MATERIAL"}"#,
        ..native("KMS Imported Key Material Expiration")
    },
];

/// KMS writes the key's ARN here even where the API returns nothing.
const KEY_ID: &str = r#"{"keyId":"$ARN"}"#;
const MATERIAL: &str = r#"{"keyMaterialId":"$MATERIAL"}"#;
const CONTEXT: &str =
    r#"{"keyId":"$ARN","encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"Project":"Alpha"}}"#;
const DATA_KEY: &str = r#"{"keyId":"$ARN","keySpec":"AES_256","encryptionContext":{"Project":"Alpha"}}"#;
const KEY_PAIR: &str = r#"{"keyId":"$ARN","keyPairSpec":"RSA_3072","encryptionContext":{"Project":"Alpha"}}"#;
const SIGNING: &str = r#"{"keyId":"$ARN","messageType":"RAW","signingAlgorithm":"RSASSA_PKCS1_V1_5_SHA_256"}"#;
const MAC: &str = r#"{"keyId":"$ARN","macAlgorithm":"HMAC_SHA_512"}"#;

/// A call about a custom key store: it names no key.
const fn store(name: &'static str) -> Known {
    Known {
        names: Names::Nothing,
        request: r#"{"customKeyStoreId":"cks-1234567890abcdef0"}"#,
        extra: r#"{"customKeyStoreName":"ExampleKeyStore","clusterId":"cluster-1a23b4cdefg"}"#,
        ..write(name)
    }
}

const fn native(name: &'static str) -> Known {
    Known { form: Form::Event, request: r#"{"key-id":"$ID"}"#, ..call("aws.kms", name, false) }
}
