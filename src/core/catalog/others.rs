//! Events of other services that touch a key, or the pipeline by which its events reach us.

use super::{Form, Known, Names, call};

/// Calls, and EBS's own word that a volume's key cannot be used.
pub(super) const ROWS: &[Known] = &[
    // The trail.
    trail("StopLogging"),
    trail("StartLogging"),
    trail("DeleteTrail"),
    Known {
        request: r#"{"name":"$TRAIL","isMultiRegionTrail":true}"#,
        response: r#"{"name":"main","s3BucketName":"example-trail","includeGlobalServiceEvents":true,"isMultiRegionTrail":true,"trailARN":"$TRAIL","logFileValidationEnabled":true,"isOrganizationTrail":false}"#,
        more: &["s3BucketName", "kmsKeyId", "enableLogFileValidation", "includeGlobalServiceEvents", "snsTopicName"],
        ..trail("UpdateTrail")
    },
    Known {
        request: r#"{"trailName":"main","eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"dataResources":[],"excludeManagementEventSources":[]}]}"#,
        response: r#"{"trailARN":"$TRAIL","eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"dataResources":[],"excludeManagementEventSources":[]}]}"#,
        more: &["advancedEventSelectors"],
        ..trail("PutEventSelectors")
    },
    // EventBridge.
    events("DisableRule"),
    events("EnableRule"),
    events("DeleteRule"),
    Known {
        request: r#"{"rule":"kmswatch","ids":["kmswatch"]}"#,
        more: &["eventBusName", "force"],
        ..events("RemoveTargets")
    },
    Known {
        request: r#"{"name":"kmswatch","eventPattern":"{\"source\":[\"aws.kms\"]}","state":"ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS","eventBusName":"default"}"#,
        response: r#"{"ruleArn":"arn:aws:events:$REGION:$ACCOUNT:rule/kmswatch"}"#,
        more: &["description", "scheduleExpression", "roleArn"],
        ..events("PutRule")
    },
    Known {
        request: r#"{"rule":"kmswatch","targets":[{"id":"kmswatch","arn":"arn:aws:sqs:$REGION:$ACCOUNT:kmswatch"}]}"#,
        more: &["eventBusName"],
        ..events("PutTargets")
    },
    // The queue.
    Known {
        request: r#"{"queueUrl":"$QUEUE","attributes":{"VisibilityTimeout":"30"}}"#,
        ..queue("SetQueueAttributes")
    },
    queue("DeleteQueue"),
    queue("PurgeQueue"),
    // Volumes.
    Known {
        form: Form::Event,
        request: r#"{"result":"available","cause":"","event":"createVolume","request-id":"01234567-0123-0123-0123-0123456789ab"}"#,
        ..ec2("EBS Volume Notification")
    },
    Known {
        request: r#"{"size":"100","zone":"$REGIONa","volumeType":"gp3","encrypted":true,"kmsKeyId":"$ARN"}"#,
        response: r#"{"volumeId":"vol-0abcdef0123456789","size":"100","zone":"$REGIONa","status":"creating","encrypted":true,"kmsKeyId":"$ARN"}"#,
        ..ec2("CreateVolume")
    },
    Known {
        request: r#"{"sourceRegion":"$REGION","sourceSnapshotId":"snap-0abcdef0123456789","encrypted":true,"kmsKeyId":"$ARN"}"#,
        response: r#"{"snapshotId":"snap-0123456789abcdef0"}"#,
        ..ec2("CopySnapshot")
    },
    Known {
        request: r#"{"ModifyEbsDefaultKmsKeyIdRequest":{"KmsKeyId":"$ARN"}}"#,
        response: r#"{"ModifyEbsDefaultKmsKeyIdResponse":{"kmsKeyId":"$ARN"}}"#,
        ..ec2("ModifyEbsDefaultKmsKeyId")
    },
    // Objects: data events, which a trail records only if told to.
    object("CopyObject"),
    object("PutObject"),
    // A schedule's beat.
    Known { form: Form::Event, request: "{}", names: Names::Nothing, ..call("aws.events", "Scheduled Event", false) },
];

const fn trail(name: &'static str) -> Known {
    Known { names: Names::Nothing, request: r#"{"name":"$TRAIL"}"#, ..call("aws.cloudtrail", name, false) }
}

const fn events(name: &'static str) -> Known {
    Known {
        names: Names::Nothing,
        request: r#"{"name":"kmswatch","eventBusName":"default"}"#,
        more: &["force"],
        ..call("aws.events", name, false)
    }
}

const fn queue(name: &'static str) -> Known {
    Known { names: Names::Nothing, request: r#"{"queueUrl":"$QUEUE"}"#, ..call("aws.sqs", name, false) }
}

const fn ec2(name: &'static str) -> Known {
    Known { names: Names::Nothing, ..call("aws.ec2", name, false) }
}

const fn object(name: &'static str) -> Known {
    Known {
        names: Names::Nothing,
        request: r#"{"bucketName":"example-data","key":"report.csv","x-amz-server-side-encryption":"aws:kms","x-amz-server-side-encryption-aws-kms-key-id":"$ARN"}"#,
        response: r#"{"x-amz-server-side-encryption":"aws:kms","x-amz-server-side-encryption-aws-kms-key-id":"$ARN"}"#,
        more: &["x-amz-copy-source", "Host"],
        ..call("aws.s3", name, false)
    }
}
