use super::*;
use crate::core::rule::{RuleFile, compile};

fn spec(patterns: &str) -> RuleSpec {
    let text = format!("[[rule]]\nid = \"a\"\ntitle = \"A\"\nseverity = \"low\"\nnotice = true\n{patterns}\n");
    let mut file: RuleFile = toml::from_str(&text).unwrap();
    let spec = file.rule.remove(0);
    compile(&spec).unwrap();
    spec
}

fn found(patterns: &str) -> Vec<String> {
    let shown = |p: Problem| format!("{} ({})", p.message, p.hint.unwrap_or_default());
    check(&spec(patterns), None).into_iter().map(shown).collect()
}

fn undelivered(patterns: &str, words: &[&str]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Holder {
        d: Vec<Delivers>,
    }
    let holder: Holder = toml::from_str(&format!("d = [{}]", words.join(", "))).unwrap();
    check(&spec(patterns), Some(&holder.d)).into_iter().map(|p| p.message).collect()
}

fn full(patterns: &str) -> Vec<&'static str> {
    needs_full(&spec(patterns).matches)
}

#[test]
fn the_built_in_rules_can_fire() {
    for (name, text) in crate::core::rule::BUILTIN {
        let file: RuleFile = toml::from_str(text).unwrap();
        for spec in &file.rule {
            assert_eq!(check(spec, None), [], "{name}: {}", spec.id.get_ref());
        }
    }
}

#[test]
fn each_kind_of_finding_and_its_neighbour_that_is_fine() {
    for (wrong, message, right) in [
        (
            r#"detail.eventName = ["disablekey"]"#,
            "no event is called `disablekey` (did you mean `DisableKey`?",
            r#"detail.eventName = ["DisableKey"]"#,
        ),
        (
            r#"source = ["aws.kms"], detail.eventName = ["DisabelKey"]"#,
            "did you mean `DisableKey`?",
            r#"source = ["aws.lambda"], detail.eventName = ["DisabelKey"]"#,
        ),
        (
            r#"source = ["aws.kms"], detail.eventName = [{ prefix = "disable" }]"#,
            "has such a name",
            r#"source = ["aws.kms"], detail.eventName = [{ prefix = "Disable" }]"#,
        ),
        (
            r#"source = ["aws.kms"], detail.eventName = ["StopLogging"]"#,
            "`StopLogging` is an event of `aws.cloudtrail`",
            r#"source = ["aws.cloudtrail"], detail.eventName = ["StopLogging"]"#,
        ),
        (r#"source = ["kms.amazonaws.com"]"#, "did you mean `aws.kms`?", r#"source = ["aws.kms"]"#),
        (
            r#"detail.eventSource = ["aws.kms"]"#,
            "did you mean `kms.amazonaws.com`?",
            r#"detail.eventSource = ["kms.amazonaws.com"]"#,
        ),
        (
            r#"source = ["aws.kms"], detail.eventSource = ["sqs.amazonaws.com"]"#,
            "have the eventSource `kms.amazonaws.com`",
            r#"source = ["aws.kms", "aws.sqs"], detail.eventSource = ["sqs.amazonaws.com"]"#,
        ),
        (
            r#"outcome = ["succes"]"#,
            "`outcome` is never `succes` (did you mean `success`?",
            r#"outcome = [{ anything-but = "succes" }]"#,
        ),
        (
            r#"outcome = ["success"], detail.errorCode = [{ exists = true }]"#,
            "a success has no error",
            r#"outcome = ["success", "failed"], detail.errorCode = [{ exists = true }]"#,
        ),
        (
            r#"outcome = ["denied"], detail.errorCode = [{ exists = false }]"#,
            "a denial has an error code",
            r#"outcome = ["denied"], detail.errorCode = ["AccessDenied"]"#,
        ),
        (
            r#"outcome = ["failed"], denied_by = ["unknown"]"#,
            "only a denial is `denied_by` something",
            r#"outcome = ["denied"], denied_by = ["unknown"]"#,
        ),
        (
            r#"source = ["aws.kms"], outcome = ["denied"], detail.requestParameters.keyId = [{ exists = true }]"#,
            "carries neither parameters nor resources",
            r#"source = ["aws.kms"], outcome = ["failed"], detail.requestParameters.keyId = [{ exists = true }]"#,
        ),
        (
            r#"detail-type = ["KMS CMK Rotation"], detail.eventName = ["RotateKey"]"#,
            "no records of CloudTrail",
            r#"detail-type = ["AWS Service Event via CloudTrail"], detail.eventName = ["RotateKey"]"#,
        ),
        (
            r#"detail-type = ["AWS API Call via CloudTrail"], detail.eventName = ["RotateKey"]"#,
            "`RotateKey` is a service event",
            r#"detail-type = ["AWS API Call via CloudTrail"], detail.eventName = ["RotateKeyOnDemand"]"#,
        ),
        (
            r#"detail-type = ["AWS API Call via CloudTrail"], detail.key-id = ["x"]"#,
            "only KMS's own events have it",
            r#"detail-type = ["KMS CMK Rotation"], detail.key-id = ["x"]"#,
        ),
        (
            r#"detail.eventName = ["Decrypt"], detail.readOnly = [false]"#,
            "`Decrypt` is a read-only call",
            r#"detail.eventName = ["DisableKey"], detail.readOnly = [false]"#,
        ),
        (
            r#"detail.eventName = ["DisableKey"], detail.readOnly = ["false"]"#,
            "either true or false",
            r#"detail.eventName = ["DisableKey"], detail.readOnly = [false]"#,
        ),
        (r"account = [111122223333]", "is text, which no number equals", r#"account = ["111122223333"]"#),
        (
            r#"source = ["aws.kms"], detail.eventname = ["DisableKey"]"#,
            "did you mean `detail.eventName`?",
            r#"source = ["aws.ec2"], detail.event = ["attachVolume"]"#,
        ),
        (
            r#"source = ["aws.kms"], detail.bypass = [true]"#,
            "events have no `detail.bypass`",
            r#"source = ["aws.kms"], detail.requestParameters.bypassPolicyLockoutSafetyCheck = [true]"#,
        ),
        (
            r#"detail.eventName = ["PutKeyPolicy"], detail.userIdentity.username = ["x"]"#,
            "did you mean `detail.userIdentity.userName`?",
            r#"detail.eventName = ["PutKeyPolicy"], detail.userIdentity.userName = ["x"]"#,
        ),
        (
            r#"detail.eventName = ["CreateGrant"], access.public = [true]"#,
            "`CreateGrant` carries no policy",
            r#"detail.eventName = ["PutKeyPolicy"], access.public = [true]"#,
        ),
        (
            r#"detail.eventName = ["PutKeyPolicy"], grant.external = [true]"#,
            "makes no grant",
            r#"detail.eventName = ["CreateGrant"], grant.external = [true]"#,
        ),
        (
            r#"detail.eventName = ["DisableKeyRotation"], rotation.lengthened = [true]"#,
            "sets no rotation period",
            r#"detail.eventName = ["EnableKeyRotation"], rotation.lengthened = [true]"#,
        ),
        (
            r#"detail.eventName = ["EnableKeyRotation"], outcome = ["denied"], rotation.period_days = [365]"#,
            "only a success sets a rotation period",
            r#"detail.eventName = ["EnableKeyRotation"], outcome = ["success"], rotation.period_days = [365]"#,
        ),
        (r#"access.public = ["true"]"#, "either true or false", r"access.public = [true]"),
        (r#"grant.kind = ["person"]"#, "`grant.kind` is never `person`", r#"grant.kind = ["role"]"#),
        (r#"key.state = ["enabled"]"#, "`key.state` is never `enabled`", r#"key.state = ["Enabled"]"#),
        (r#"key.multi_region = ["true"]"#, "either true or false", r"key.multi_region = [true]"),
        (r#"actor.type = ["assumedrole"]"#, "did you mean `AssumedRole`?", r#"actor.type = ["SomethingNewFromAws"]"#),
        (
            r#"source = ["aws.kms"], detail-type = ["KMS CMK Rotated"]"#,
            "did you mean `KMS CMK Rotation`?",
            r#"source = ["aws.ec2"], detail-type = ["EBS Volume Notification"]"#,
        ),
        (
            r#"detail-type = ["AWS API Call Via CloudTrail"]"#,
            "did you mean `AWS API Call via CloudTrail`?",
            r#"detail-type = ["GuardDuty Finding", "EBS Snapshot Notification", "AWS Insight via CloudTrail"]"#,
        ),
        (
            r#"detail.eventName = ["ScheduleKeyDeletion"], detail.requestParameters.pendingWindowInDay = [7]"#,
            "did you mean `detail.requestParameters.pendingWindowInDays`?",
            r#"detail.eventName = ["ScheduleKeyDeletion"], detail.requestParameters.pendingWindowInDays = [7]"#,
        ),
        (
            r#"source = ["aws.kms"], detail.requestParameters.window = [7]"#,
            "no event that this can match has `detail.requestParameters.window`",
            r#"source = ["aws.sqs"], detail.requestParameters.window = [7]"#,
        ),
        (
            r#"detail.eventName = ["ScheduleKeyDeletion"], detail.requestParameters.pendingWindowInDays = ["7"]"#,
            "is a number, which this never equals",
            r#"detail.eventName = ["ScheduleKeyDeletion"], detail.requestParameters.pendingWindowInDays = [{ numeric = ["<", 8] }]"#,
        ),
        (
            r#"detail.eventName = ["CreateKey"], detail.requestParameters.multiRegion = ["true"]"#,
            "is true or false, which this never equals",
            r#"detail.eventName = ["CreateKey"], detail.requestParameters.multiRegion = [true, "true"]"#,
        ),
        (
            r#"detail.eventName = ["DeleteAlias"], detail.requestParameters.aliasName = [7]"#,
            "is text, which this never equals",
            r#"detail.eventName = ["DeleteAlias"], detail.requestParameters.aliasName = [{ prefix = "alias/prod" }]"#,
        ),
    ] {
        let said = found(&format!("match = {{ {wrong} }}"));
        assert_eq!(said.iter().filter(|line| line.contains(message)).count(), 1, "{wrong}: {said:#?}");
        assert_eq!(said.len(), 1, "{wrong}: {said:#?}");
        assert_eq!(found(&format!("match = {{ {right} }}")), [""; 0], "{right}");
    }
}

#[test]
fn an_alternative_is_judged_by_itself() {
    let said = found(
        r#"match = { outcome = ["success"], "$or" = [{ detail.eventName = ["DisableKey"] }, { detail.errorCode = ["X"] }] }"#,
    );
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn exemptions_that_leave_nothing() {
    let rule = |except: &str| {
        found(&format!(
            "match = {{ source = [\"aws.kms\"], detail.eventName = [\"DisableKey\"] }}\nexcept = [{except}]"
        ))
    };
    for (all, some) in [
        (
            r#"{ detail.eventName = [{ prefix = "Disable" }] }"#,
            r#"{ detail.eventName = ["DisableKey"], outcome = ["failed"] }"#,
        ),
        (r#"{ source = ["aws.kms"] }"#, r#"{ source = ["aws.kms"], actor.type = ["Root"] }"#),
    ] {
        assert!(rule(all)[0].contains("exempts all"), "{all}");
        assert_eq!(rule(some), [""; 0]);
    }
}

#[test]
fn paths_that_lead_nowhere() {
    let rule = |rest: &str| {
        let names = r#"["ScheduleKeyDeletion", "DisableKey"]"#;
        found(&format!("match = {{ source = [\"aws.kms\"], detail.eventName = {names} }}\n{rest}"))
    };
    for (wrong, messages, right) in [
        (
            "threshold = { count = 5, within = '1h', distinct = 'detail.requestParameters.keyid' }",
            [
                "`detail.requestParameters.keyid`",
                "so nothing is ever counted",
                "did you mean `detail.requestParameters.keyId`?",
            ],
            "threshold = { count = 5, within = '1h', distinct = 'detail.requestParameters.keyId' }",
        ),
        (
            "group_by = ['account', 'detail.requestParameters.nothing']",
            ["`detail.requestParameters.nothing`", "all of them are one group", "if AWS has added it since"],
            "group_by = ['account', 'detail.requestParameters.pendingWindowInDays']",
        ),
        (
            "group_by = ['detail.sourceIpAdress']",
            ["`detail.sourceIpAdress`", "one group", "did you mean `detail.sourceIPAddress`?"],
            "group_by = ['detail.sourceIPAddress', 'detail.userIdentity.accountId']",
        ),
        (
            "new_value = { of = 'grant.grantee', within = '30d' }",
            ["`grant.grantee`", "no value is ever new", "name a field"],
            "new_value = { of = 'actor.principal', within = '30d' }",
        ),
    ] {
        let said = rule(wrong);
        assert_eq!(said.len(), 1, "{wrong}: {said:?}");
        assert!(messages.iter().all(|message| said[0].contains(message)), "{said:?}");
        assert_eq!(rule(right), [""; 0], "{right}");
    }
    // What is not known of an event is not held against it.
    for fine in [
        r#"match = { source = ["aws.iam"], detail.eventName = ["CreateUser"] }"#,
        r#"match = { detail.eventName = ["NewCall"] }"#,
        r#"match = { detail-type = ["GuardDuty Finding"] }"#,
        r#"match = { source = ["aws.ec2"], detail-type = ["EBS Volume Notification"] }"#,
    ] {
        assert_eq!(
            found(&format!("{fine}\ngroup_by = ['detail.requestParameters.userName', 'detail.cause']")),
            [""; 0]
        );
    }
}

#[test]
fn what_never_applies_beside_match() {
    let rule = |rest: &str| {
        let text =
            r#"match = { source = ["aws.kms"], detail.eventName = ["ScheduleKeyDeletion"], outcome = ["success"] }"#;
        found(&format!("{text}\n{rest}"))
    };
    let rises = |when: &str| rule(&format!("escalate = [{{ when = {{ {when} }}, severity = 'critical' }}]"));
    let exempts = |except: &str| rule(&format!("except = [{{ {except} }}]"));
    for (wrong, path) in [
        (r#"detail.eventName = ["DisableKey"], actor.type = ["Root"]"#, "detail.eventName"),
        (r#"outcome = ["denied"], actor.type = ["Root"]"#, "outcome"),
        ("access.public = [true]", "access.public"),
        (r#"detail.errorCode = ["AccessDenied"]"#, "detail.errorCode"),
        (r#"detail-type = ["KMS CMK Deletion"]"#, "detail-type"),
    ] {
        for (said, so) in [(rises(wrong), "it never rises to that"), (exempts(wrong), "nothing is ever exempted")] {
            let message = format!("`match` and this `{path}` exclude each other, so {so} (");
            assert!(said.len() == 1 && said[0].starts_with(&message), "{wrong}: {said:?}");
        }
    }
    let said = exempts("detail.requestParameters.pendingWindowInDay = [30]");
    assert!(
        said.len() == 1 && said[0].contains("did you mean `detail.requestParameters.pendingWindowInDays`"),
        "{said:?}"
    );
    assert_eq!(exempts("detail.requestParameters.pendingWindowInDays = [30]"), [""; 0]);
    assert_eq!(exempts(r#""$or" = [{ outcome = ["denied"] }, { actor.type = ["Root"] }]"#), [""; 0], "one is enough");
    assert_eq!(rises("incident.alerts = [{ numeric = ['>', 5] }]"), [""; 0]);
    let either = found(
        r#"match = { "$or" = [{ detail.eventName = ["DisableKey"] }, { detail.eventName = ["ScheduleKeyDeletion"] }] }
        except = [{ detail.requestParameters.pendingWindowInDays = [30] }]"#,
    );
    assert_eq!(either, [""; 0]);
    let pasted = found(r#"match = '{ "source": ["aws.kms"], "detail": { "eventName": ["DisabelKey"] } }'"#);
    assert!(
        pasted.len() == 1 && pasted[0].contains("did you mean `DisableKey`?"),
        "a pattern pasted as JSON: {pasted:?}"
    );
}

#[test]
fn what_no_queue_is_handed() {
    let decrypt = r#"match = { source = ["aws.kms"], detail.eventName = ["Decrypt"], outcome = ["success"] }"#;
    let denied = r#"match = { source = ["aws.kms"], detail.eventName = ["Decrypt"], outcome = ["denied"] }"#;
    let nothing = "no queue's EventBridge rule delivers an event that this matches";
    assert_eq!(undelivered(decrypt, &["'lean'"]), [nothing]);
    assert_eq!(undelivered(decrypt, &["'full'"]), [""; 0]);
    assert_eq!(undelivered(decrypt, &["'lean'", "'full'"]), [""; 0], "one queue is enough");
    assert_eq!(undelivered(denied, &["'lean'"]), [""; 0]);
    assert_eq!(undelivered(denied, &["'writes'"]), [nothing]);
    let both =
        r#"match = { source = ["aws.kms"], detail.eventName = ["Decrypt", "DisableKey"], outcome = ["success"] }"#;
    assert_eq!(
        undelivered(both, &["'lean'"]),
        ["no queue's EventBridge rule delivers `Decrypt` as it is asked for here"]
    );
    let trail = r#"match = { source = ["aws.cloudtrail"], detail.eventName = ["StopLogging"] }"#;
    assert_eq!(undelivered(trail, &["'full'"]), [""; 0]);
    let people = r#"match = { source = ["aws.iam"], detail.eventName = ["CreateUser"] }"#;
    assert_eq!(undelivered(people, &["'full'"]), [nothing]);
    assert_eq!(undelivered(trail, &["{ source = ['aws.kms', 'aws.cloudtrail'] }"]), [""; 0]);
    let rotation = r#"match = { source = ["aws.kms"], "$or" = [{ detail.eventName = ["RotateKey"] }, { detail-type = ["KMS CMK Rotation"] }] }"#;
    assert_eq!(undelivered(rotation, &["'writes'"]), [""; 0]);
    assert_eq!(
        undelivered(rotation, &["{ source = ['aws.kms'], detail-type = ['AWS API Call via CloudTrail'] }"]),
        [nothing, nothing]
    );
    let everything = r#"match = { source = ["aws.kms"], outcome = ["denied"] }"#;
    assert_eq!(undelivered(everything, &["'writes'"]), [""; 0], "denied writes come");
}

#[test]
fn who_needs_everything() {
    assert_eq!(
        full(
            r#"match = { source = ["aws.kms"], detail.eventName = ["Decrypt", "DisableKey"], outcome = ["success"] }"#
        ),
        ["Decrypt"]
    );
    assert_eq!(full(r#"match = { detail.eventName = [{ prefix = "GenerateM" }] }"#), ["GenerateMac"]);
    for none in [
        r#"detail.eventName = ["Decrypt"], outcome = ["denied"]"#,
        r#"detail.eventName = ["Decrypt"], detail.errorCode = [{ exists = true }]"#,
        r#"source = ["aws.kms"], outcome = ["success"]"#,
        r#"detail.eventName = [{ anything-but = "Decrypt" }]"#,
        r#"source = ["aws.iam"], detail.eventName = [{ prefix = "List" }]"#,
        r#"detail.eventName = ["DisableKey"]"#,
    ] {
        assert_eq!(full(&format!("match = {{ {none} }}")), [""; 0], "{none}");
    }
}

#[test]
fn the_words_for_what_is_delivered_are_patterns() {
    for word in ["writes", "lean", "full"] {
        let pattern = Node::from_json(&delivered_by(word).unwrap());
        crate::core::pattern::Pattern::compile(&pattern).unwrap();
    }
    assert_eq!(delivered_by("none"), None);
}
