//! Deploys `deploy/cloudformation/kmswatch.yaml` to a CloudFormation-compatible server and sends events through it.
//!
//! That server ignores queue policies, so these are asserted on the parsed template.

#![cfg(test)]

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/sqs_client.rs"]
mod sqs_client;
#[path = "support/stack.rs"]
mod stack;
#[path = "support/venv.rs"]
mod venv;

use std::path::Path;

use serde_json::{Value, json};
use stack::{Stack, TEMPLATE, run};
use venv::venv;

const API_CALL: &str = "AWS API Call via CloudTrail";
const SERVICE_EVENT: &str = "AWS Service Event via CloudTrail";
const NATIVE: [&str; 3] = ["KMS CMK Rotation", "KMS CMK Deletion", "KMS Imported Key Material Expiration"];

const VOLUME: &str = "EBS Volume Notification";

fn ours(name: &str, member: &str, value: &str) -> Value {
    json!({ "eventName": name, "readOnly": false, "requestParameters": { member: value } })
}

fn volume(result: &str, cause: &str) -> Value {
    json!({ "event": "attachVolume", "result": result, "cause": cause })
}

/// What may happen to keys: detail-type, detail, and whether the lean and the full pattern let it through.
fn happenings() -> Vec<(&'static str, &'static str, &'static str, Value, bool, bool)> {
    let denied = json!({"eventName": "Decrypt", "readOnly": true, "errorCode": "AccessDenied"});
    vec![
        ("a write", "aws.kms", API_CALL, json!({"eventName": "DisableKey", "readOnly": false}), true, true),
        ("a denied read", "aws.kms", API_CALL, denied, true, true),
        ("a read", "aws.kms", API_CALL, json!({"eventName": "Decrypt", "readOnly": true}), false, true),
        ("a call of unknown kind", "aws.kms", API_CALL, json!({"eventName": "Rekey"}), true, true),
        ("a rotation", "aws.kms", SERVICE_EVENT, json!({"eventName": "RotateKey", "readOnly": false}), true, true),
        ("a deletion", "aws.kms", NATIVE[1], json!({"key-id": "k"}), true, true),
        ("an expiry", "aws.kms", NATIVE[2], json!({"key-id": "k"}), true, true),
        ("another service", "aws.s3", API_CALL, json!({"eventName": "PutObject", "readOnly": false}), false, false),
        ("a stopped trail", "aws.cloudtrail", API_CALL, json!({"eventName": "StopLogging"}), true, true),
        ("our rule", "aws.events", API_CALL, ours("DisableRule", "name", "kmswatch"), true, true),
        ("our target", "aws.events", API_CALL, ours("RemoveTargets", "rule", "kmswatch"), true, true),
        ("another rule", "aws.events", API_CALL, ours("DisableRule", "name", "nightly"), false, false),
        ("our queue", "aws.sqs", API_CALL, ours("PurgeQueue", "queueUrl", "https://sqs/kmswatch"), true, true),
        ("another queue", "aws.sqs", API_CALL, ours("PurgeQueue", "queueUrl", "https://sqs/orders"), false, false),
        ("a volume that fails", "aws.ec2", VOLUME, volume("failed", "arn:aws:kms:x:1:key/k is disabled."), true, true),
        ("a volume that works", "aws.ec2", VOLUME, volume("available", ""), false, false),
    ]
}

/// The names of the events that arrive in the queue when everything in [`happenings`] happens.
async fn arrived(stack: &Stack) -> Vec<String> {
    let events = stack.event_bridge();
    for (name, source, detail_type, mut detail, _, _) in happenings() {
        detail["name"] = json!(name);
        events.put(source, detail_type, &[], &detail).await;
    }
    let (sqs, url) = (stack.sqs(), stack.output("QueueUrl"));
    let mut arrived = vec![];
    loop {
        let receive = sqs.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(1);
        let messages = receive.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            return arrived;
        }
        for message in messages {
            let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            arrived.push(event["detail"]["name"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lean_delivers_what_matters_and_no_successful_reads() {
    let Some(venv) = venv("deploying the template with the lean pattern") else { return };
    let deployed = Stack::deploy(venv, &[("Pattern", "lean"), ("RoleFor", "eks-pod-identity")]);
    let expected: Vec<_> = happenings().into_iter().filter(|event| event.4).map(|event| event.0).collect();
    assert_eq!(sorted(arrived(&deployed).await), sorted(expected.into_iter().map(str::to_owned).collect()));

    let rule = deployed.json(&["events", "describe-rule", "--name", "kmswatch"]);
    assert_eq!(rule["State"], "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS");
    let targets = deployed.json(&["events", "list-targets-by-rule", "--rule", "kmswatch"]);
    let queue = &targets["Targets"][0];
    assert_eq!(queue["Arn"], deployed.output("QueueArn"));
    assert!(queue["DeadLetterConfig"]["Arn"].as_str().unwrap().ends_with(":kmswatch-undelivered"));

    let queue =
        ["sqs", "get-queue-attributes", "--attribute-names", "All", "--queue-url", &deployed.output("QueueUrl")];
    let attributes = &deployed.json(&queue)["Attributes"];
    assert_eq!(attributes["VisibilityTimeout"], "60");
    assert_eq!(attributes["MessageRetentionPeriod"], "1209600");
    let redrive: Value = serde_json::from_str(attributes["RedrivePolicy"].as_str().unwrap()).unwrap();
    assert_eq!(redrive["maxReceiveCount"].to_string().trim_matches('"'), "5");
    assert!(redrive["deadLetterTargetArn"].as_str().unwrap().ends_with(":kmswatch-dead"));

    let arn = deployed.output("RoleArn");
    let made = deployed.json(&["iam", "get-role", "--role-name", arn.rsplit('/').next().unwrap()]);
    let trusted = &made["Role"]["AssumeRolePolicyDocument"]["Statement"][0];
    assert_eq!(trusted["Principal"]["Service"], "pods.eks.amazonaws.com");
    assert_eq!(trusted["Action"], json!(["sts:AssumeRole", "sts:TagSession"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_delivers_everything_of_kms_and_what_touches_the_pipeline() {
    let Some(venv) = venv("deploying the template with the full pattern") else { return };
    let deployed = Stack::deploy(venv, &[("Pattern", "full"), ("KeyDetails", "no")]);
    let expected: Vec<_> = happenings().into_iter().filter(|event| event.5).map(|event| event.0).collect();
    assert_eq!(sorted(arrived(&deployed).await), sorted(expected.into_iter().map(str::to_owned).collect()));
    let outputs = deployed.json(&["cloudformation", "describe-stacks", "--stack-name", "kmswatch"]).to_string();
    assert!(!outputs.contains("RoleArn"), "no role unless asked for");
    assert!(!outputs.contains("LookUpKeys"), "no look-ups when they are not wanted");
    assert!(!outputs.contains("CanaryKeyArn"), "no canary unless asked for");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

/// The template as JSON, short forms such as `!Ref` written out.
fn parsed(venv: &Path) -> Value {
    let script = "import json, sys; from cfnlint.decode import cfn_yaml; print(json.dumps(cfn_yaml.load(sys.argv[1])))";
    serde_json::from_str(&run(venv, "python", &["-c", script, TEMPLATE])).unwrap()
}

#[test]
fn only_the_rule_may_send_and_only_over_tls() {
    let Some(venv) = venv("the template's policies") else { return };
    let resources = &parsed(&venv)["Resources"];
    let rule = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/${Name}";
    for (policy, queue) in [("QueuePolicy", "Queue"), ("UndeliveredQueuePolicy", "UndeliveredQueue")] {
        let properties = &resources[policy]["Properties"];
        assert_eq!(properties["Queues"], json!([{"Ref": queue}]));
        let statements = properties["PolicyDocument"]["Statement"].as_array().unwrap();
        let allowed: Vec<_> = statements.iter().filter(|statement| statement["Effect"] == "Allow").collect();
        assert_eq!(allowed.len(), 1, "{policy}");
        assert_eq!(allowed[0]["Principal"], json!({"Service": "events.amazonaws.com"}));
        assert_eq!(allowed[0]["Action"], "sqs:SendMessage");
        assert_eq!(allowed[0]["Resource"], json!({"Fn::GetAtt": [queue, "Arn"]}));
        assert_eq!(
            allowed[0]["Condition"],
            json!({"ArnEquals": {"aws:SourceArn": [{"Fn::Sub": rule}, {"Fn::Sub": format!("{rule}-pipeline")}]}})
        );
        let denied = statements.iter().find(|statement| statement["Effect"] == "Deny").unwrap();
        assert_eq!(denied["Condition"], json!({"Bool": {"aws:SecureTransport": "false"}}));
    }
    for rule in ["Rule", "PipelineRule"] {
        let depends = &resources[rule]["DependsOn"];
        assert_eq!(*depends, json!(["QueuePolicy", "UndeliveredQueuePolicy"]), "or the first events are lost");
    }
}

#[test]
fn both_patterns_name_both_trails_types_and_the_native_ones() {
    let Some(venv) = venv("the template's patterns") else { return };
    let rule = parsed(&venv)["Resources"]["Rule"]["Properties"].clone();
    assert_eq!(rule["State"], "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS");
    let choice = rule["EventPattern"]["Fn::If"].as_array().unwrap();
    assert_eq!(choice[0], "Lean");
    for pattern in &choice[1..] {
        let text = pattern.to_string();
        for detail_type in [API_CALL, SERVICE_EVENT].iter().chain(&NATIVE) {
            assert!(text.contains(&format!("\"{detail_type}\"")), "{detail_type} in {text}");
        }
    }
}

#[test]
fn the_daemon_may_do_what_it_needs_and_no_more() {
    let Some(venv) = venv("the template's permissions") else { return };
    let resources = &parsed(&venv)["Resources"];
    let policies = resources.as_object().unwrap().iter().filter(|(name, _)| *name != "AuditKeys");
    let policies = policies.map(|(_, part)| part).filter(|part| part["Type"] == "AWS::IAM::ManagedPolicy");
    let policy: String = policies.map(|part| part["Properties"]["PolicyDocument"].to_string()).collect();
    let expected = [
        "kms:DescribeKey",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:ListAliases",
        "kms:ListGrants",
        "kms:ListKeyRotations",
        "kms:ListKeys",
        "kms:ListResourceTags",
        "kms:TagResource",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    ];
    assert_eq!(actions(&policy), expected);
    assert!(!policy.contains("iam:") && !policy.contains("sts:"), "{policy}");
    let canary = &resources["CallCanary"]["Properties"]["PolicyDocument"]["Statement"][0];
    assert_eq!(canary["Resource"], json!({"Fn::GetAtt": ["CanaryKey", "Arn"]}), "its own key, and no other");
    let tag = kmswatch::core::canary::TAG;
    assert_eq!(canary["Condition"], json!({"ForAllValues:StringEquals": {"aws:TagKeys": [tag]}}));
    assert_eq!(resources["CallCanary"]["Condition"], "HasCanary");
    let given = resources["Role"]["Properties"]["ManagedPolicyArns"].as_array().unwrap();
    assert!(
        given.contains(&json!({"Fn::If": ["HasCanary", {"Ref": "CallCanary"}, {"Ref": "AWS::NoValue"}]})),
        "{given:?}"
    );
    let read = &resources["ReadQueue"]["Properties"]["PolicyDocument"]["Statement"];
    let queues = json!([{"Fn::GetAtt": ["Queue", "Arn"]}, {"Fn::GetAtt": ["UndeliveredQueue", "Arn"]}]);
    assert_eq!(read[0]["Resource"], queues, "what EventBridge could not deliver can be read, too");
    assert_eq!(read[1]["Resource"], json!({"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}), "the daemon's own DLQ cannot");
}

/// The actions in a policy's text, sorted.
fn actions(policy: &str) -> Vec<&str> {
    let mut actions: Vec<_> =
        policy.split('"').filter(|word| word.starts_with("sqs:") || word.starts_with("kms:")).collect();
    actions.sort_unstable();
    actions.dedup();
    actions
}

#[test]
fn an_audit_may_read_about_keys_if_it_is_switched_on() {
    let Some(venv) = venv("the template's permissions for an audit") else { return };
    let policy = &parsed(&venv)["Resources"]["AuditKeys"];
    assert_eq!(policy["Condition"], "Audits");
    let text = policy["Properties"]["PolicyDocument"].to_string();
    // What the program may ask, it is allowed; and nothing else.
    let docs = std::fs::read_to_string("docs/audit.md").unwrap();
    let documented = docs.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(actions(&text), actions(documented));
    let expected = [
        "kms:DescribeKey",
        "kms:GetKeyLastUsage",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:ListAliases",
        "kms:ListGrants",
        "kms:ListKeyRotations",
        "kms:ListKeys",
        "kms:ListResourceTags",
    ];
    assert_eq!(actions(&text), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_gets_the_role_by_a_profile() {
    let Some(venv) = venv("deploying the template for a machine") else { return };
    let deployed = Stack::deploy(venv, &[("RoleFor", "ec2"), ("Canary", "yes"), ("Audit", "yes")]);
    let arn = deployed.output("InstanceProfileArn");
    let name = arn.rsplit('/').next().unwrap();
    let profile = deployed.json(&["iam", "get-instance-profile", "--instance-profile-name", name]);
    assert_eq!(profile["InstanceProfile"]["Roles"][0]["Arn"], deployed.output("RoleArn"));
    let keys = deployed.json(&["kms", "list-keys"]).to_string();
    assert!(keys.contains(&deployed.output("CanaryKeyArn")), "{keys}");
}
