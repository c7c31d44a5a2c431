//! Our own Sigma rules, imported and asked of events by the matcher that runs.

mod random;

use serde_json::{Value, json};

use super::*;
use crate::core::rule::{Rule, RuleFile, compile};

fn one(text: &str) -> Import {
    import(&[Source { name: "x.yml", text }], &Options::default())
}

/// The rules of an import that takes everything.
fn rules(import: &Import) -> Vec<Rule> {
    assert_eq!(import.refused, []);
    let texts: Vec<&str> = import.rules.iter().map(|rule| rule.toml.as_str()).collect();
    let file: RuleFile = toml::from_str(&texts.join("\n")).unwrap_or_else(|e| panic!("{e}\n{}", texts.join("\n")));
    file.rule.iter().map(|spec| compile(spec).unwrap_or_else(|p| panic!("{p:?}\n{}", texts.join("\n")))).collect()
}

/// A rule for `CloudTrail` with this `detection`, indented by four.
fn sigma(detection: &str) -> String {
    format!(
        "title: A rule\nlevel: high\nlogsource:\n    product: aws\n    service: cloudtrail\ndetection:\n{detection}"
    )
}

fn alerts(rules: &[Rule], detail: &Value) -> bool {
    let document = json!({ "source": "aws.kms", "detail": detail });
    rules
        .iter()
        .any(|rule| rule.matches.matches(&document) && !rule.except.iter().any(|except| except.matches(&document)))
}

/// Imports a detection, and asks it of events that must and must not match. Answers the notes.
fn asked(detection: &str, yes: &[Value], no: &[Value]) -> Vec<Note> {
    let import = one(&sigma(detection));
    let rules = rules(&import);
    for (events, expected) in [(yes, true), (no, false)] {
        for event in events {
            assert_eq!(alerts(&rules, event), expected, "{event}\n{}", import.rules[0].toml);
        }
    }
    import.rules[0].notes.iter().filter(|note| note.effect != Effect::Remark).cloned().collect()
}

fn exact(detection: &str, yes: &[Value], no: &[Value]) {
    assert_eq!(asked(detection, yes, no), []);
}

fn refused(text: &str) -> String {
    let import = one(text);
    assert!(import.rules.is_empty(), "{}", import.rules[0].toml);
    import.refused[0].why.clone()
}

#[test]
fn a_whole_rule() {
    let import = one(r#"
title: Imported Key Material Taken Away
id: 11111111-2222-4333-8444-555555555555
status: experimental
description: |
    The material of a key "that matters"
    is gone.
references:
    - https://example.com/a
author: Somebody \ Else
date: 2026-01-02
tags:
    - attack.impact
    - attack.t1485
    - attack.t1608.003
logsource:
    product: aws
    service: cloudtrail
detection:
    selection:
        eventSource: kms.amazonaws.com
        eventName:
            - DeleteImportedKeyMaterial
            - importkeymaterial
    filter_service:
        userIdentity.type: AWSService
    condition: selection and not 1 of filter_*
falsepositives:
    - Planned work
    - Unknown
level: high
"#);
    insta::with_settings!({ snapshot_path => "tests", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("a_whole_rule", import.rules[0].toml);
    });
    assert!(import.rules[0].is_exact());
    let rules = rules(&import);
    assert_eq!(rules[0].group_by, ["key.arn"]);
    assert_eq!(rules[0].tags, ["attack.impact", "attack.T1485", "attack.T1608.003"]);
    let event = |name: &str, kind: &str| json!({ "eventSource": "kms.amazonaws.com", "eventName": name, "userIdentity": { "type": kind } });
    assert!(alerts(&rules, &event("ImportKeyMaterial", "IAMUser")));
    assert!(!alerts(&rules, &event("ImportKeyMaterial", "AWSService")));
    assert!(!alerts(&rules, &event("DisableKey", "IAMUser")));
    assert!(alerts(&rules, &json!({ "eventSource": "kms.amazonaws.com", "eventName": "ImportKeyMaterial" })));
}

#[test]
fn maps_are_and_lists_are_or() {
    exact(
        "    selection:\n        eventName: [DisableKey, ScheduleKeyDeletion]\n        awsRegion: eu-west-1\n    condition: selection\n",
        &[json!({"eventName": "DisableKey", "awsRegion": "eu-west-1"})],
        &[
            json!({"eventName": "DisableKey", "awsRegion": "eu-west-2"}),
            json!({"eventName": "EnableKey", "awsRegion": "eu-west-1"}),
        ],
    );
    exact(
        "    selection:\n        - eventName: DisableKey\n          awsRegion: eu-west-1\n        - errorCode: AccessDenied\n    condition: selection\n",
        &[json!({"eventName": "DisableKey", "awsRegion": "eu-west-1"}), json!({"errorCode": "AccessDenied"})],
        &[json!({"eventName": "DisableKey"}), json!({})],
    );
}

#[test]
fn conditions() {
    let all =
        "    sel_a:\n        eventName: A\n    sel_b:\n        userAgent: b\n    _hidden:\n        vpcEndpointId: c\n";
    let a = json!({"eventName": "A"});
    let b = json!({"userAgent": "B"});
    let c = json!({"vpcEndpointId": "C"});
    let ab = json!({"eventName": "A", "userAgent": "b"});
    let with = |condition: &str| format!("{all}    condition: {condition}\n");
    exact(&with("1 of sel*"), &[a.clone(), b.clone(), ab.clone()], std::slice::from_ref(&c));
    exact(&with("all of sel*"), std::slice::from_ref(&ab), &[a.clone(), b.clone()]);
    exact(&with("1 of them"), &[a.clone(), b.clone()], std::slice::from_ref(&c));
    exact(&with("all of them"), std::slice::from_ref(&ab), &[a.clone(), c.clone()]);
    exact(&with("sel_a and not sel_b"), std::slice::from_ref(&a), &[b.clone(), ab.clone()]);
    exact(&with("sel_a or (sel_b and _hidden)"), &[a.clone(), ab.clone()], &[b.clone(), c.clone()]);
    exact(&with("not (sel_a or sel_b)"), &[json!({"eventSource": "x"})], &[a.clone(), b.clone()]);
    exact(
        &with("sel_a and not (sel_b and _hidden)"),
        &[a.clone(), ab.clone()],
        &[json!({"eventName": "A", "userAgent": "b", "vpcEndpointId": "c"})],
    );
    exact(&with("not sel_a and sel_b"), std::slice::from_ref(&b), &[ab.clone(), a.clone()]);
    exact(&format!("{all}    condition:\n        - sel_a\n        - sel_b\n"), &[a, b, ab], &[c]);
}

#[test]
fn not_is_true_of_what_is_absent() {
    // Within an alternative the "not" becomes part of the pattern; beside everything else it becomes an exemption.
    exact(
        "    a:\n        eventName: A\n    b:\n        eventName: B\n    f:\n        userAgent|startswith: aws\n    condition: a or (b and not f)\n",
        &[
            json!({"eventName": "A", "userAgent": "aws"}),
            json!({"eventName": "B"}),
            json!({"eventName": "B", "userAgent": "x"}),
        ],
        &[json!({"eventName": "B", "userAgent": "AWS-cli"})],
    );
    exact(
        "    a:\n        eventName: A\n    b:\n        eventName: B\n    f:\n        userIdentity.type: Root\n    condition: a or (b and not f)\n",
        &[json!({"eventName": "B"}), json!({"eventName": "B", "userIdentity": {"type": "Role"}})],
        &[json!({"eventName": "B", "userIdentity": {"type": "Root"}})],
    );
}

#[test]
fn values_are_compared_without_case_where_aws_documents_none() {
    exact(
        "    s:\n        requestParameters.name: 'Prod'\n    condition: s\n",
        &[json!({"requestParameters": {"name": "PROD"}})],
        &[json!({"requestParameters": {"name": "prod2"}})],
    );
    exact(
        "    s:\n        requestParameters.name|cased: 'Prod'\n    condition: s\n",
        &[json!({"requestParameters": {"name": "Prod"}})],
        &[json!({"requestParameters": {"name": "PROD"}})],
    );
    exact(
        "    s:\n        eventName: scheduleKEYdeletion\n    condition: s\n",
        &[json!({"eventName": "ScheduleKeyDeletion"})],
        &[],
    );
    exact("    s:\n        eventName: somethingNew\n    condition: s\n", &[json!({"eventName": "SomethingNew"})], &[]);
}

#[test]
fn wildcards_and_modifiers() {
    exact(
        "    s:\n        eventName: 'Delete*'\n    condition: s\n",
        &[json!({"eventName": "DeleteAlias"})],
        &[json!({"eventName": "CreateAlias"})],
    );
    exact(
        "    s:\n        eventSource|startswith: KMS\n        sourceIPAddress|endswith: '.1'\n    condition: s\n",
        &[json!({"eventSource": "kms.amazonaws.com", "sourceIPAddress": "192.0.2.1"})],
        &[json!({"eventSource": "kms.amazonaws.com", "sourceIPAddress": "192.0.2.10"})],
    );
    exact(
        "    s:\n        eventName|contains: Key\n    condition: s\n",
        &[json!({"eventName": "DisableKeyRotation"})],
        &[json!({"eventName": "CreateAlias"})],
    );
    let notes = asked(
        "    s:\n        userAgent|contains: Kali\n    condition: s\n",
        &[json!({"userAgent": "x Kali y"}), json!({"userAgent": "kali"})],
        &[json!({"userAgent": "other"})],
    );
    assert_eq!(notes[0].effect, Effect::Narrower);
    exact(
        "    s:\n        eventName|contains|all: ['Key', 'Delet']\n    condition: s\n",
        &[json!({"eventName": "ScheduleKeyDeletion"})],
        &[json!({"eventName": "DeleteAlias"}), json!({"eventName": "CreateKey"})],
    );
    let notes = asked(
        "    s:\n        eventName: 'Key?'\n    condition: s\n",
        &[json!({"eventName": "Key1"})],
        &[json!({"eventName": "Kez"})],
    );
    assert_eq!(notes[0].effect, Effect::Wider);
    exact(
        "    s:\n        requestParameters.x: 'a\\*b'\n    condition: s\n",
        &[json!({"requestParameters": {"x": "A*B"}})],
        &[json!({"requestParameters": {"x": "axb"}})],
    );
}

#[test]
fn regular_expressions_that_are_plain() {
    exact(
        "    s:\n        eventName|re: '^(Disable|Schedule).*Key'\n    condition: s\n",
        &[json!({"eventName": "DisableKey"}), json!({"eventName": "ScheduleKeyDeletion"})],
        &[json!({"eventName": "EnableKey"})],
    );
    let notes = asked(
        "    s:\n        eventName: DisableKey\n        userAgent|re: '[a-z]+'\n    condition: s\n",
        &[json!({"eventName": "DisableKey"})],
        &[],
    );
    assert!(notes[0].effect == Effect::Wider && notes[0].text.contains("regular expression"), "{notes:?}");
}

#[test]
fn numbers_booleans_null_and_presence() {
    exact(
        "    s:\n        requestParameters.pendingWindowInDays|lt: 14\n        requestParameters.pendingWindowInDays|gte: 7\n    condition: s\n",
        &[json!({"requestParameters": {"pendingWindowInDays": 7}})],
        &[json!({"requestParameters": {"pendingWindowInDays": 14}}), json!({"requestParameters": {}})],
    );
    exact(
        "    s:\n        requestParameters.n: 7\n    condition: s\n",
        &[json!({"requestParameters": {"n": 7}}), json!({"requestParameters": {"n": "7"}})],
        &[json!({"requestParameters": {"n": 8}})],
    );
    exact(
        "    s:\n        requestParameters.b: true\n        readOnly: false\n    condition: s\n",
        &[
            json!({"requestParameters": {"b": true}, "readOnly": false}),
            json!({"requestParameters": {"b": "True"}, "readOnly": false}),
        ],
        &[json!({"requestParameters": {"b": false}, "readOnly": false}), json!({"requestParameters": {"b": true}})],
    );
    exact(
        "    s:\n        eventName: A\n        errorCode: null\n    condition: s\n",
        &[json!({"eventName": "A"}), json!({"eventName": "A", "errorCode": null})],
        &[json!({"eventName": "A", "errorCode": "X"})],
    );
    exact(
        "    s:\n        eventName: A\n    f:\n        errorCode: null\n    condition: s and not f\n",
        &[json!({"eventName": "A", "errorCode": "X"})],
        &[json!({"eventName": "A"}), json!({"eventName": "A", "errorCode": null})],
    );
    exact(
        "    s:\n        eventName: A\n        errorCode|exists: true\n        userAgent|exists: false\n    condition: s\n",
        &[json!({"eventName": "A", "errorCode": ""})],
        &[json!({"eventName": "A"}), json!({"eventName": "A", "errorCode": "x", "userAgent": "y"})],
    );
    exact(
        "    s:\n        eventName: A\n    n:\n        errorCode: null\n        errorCode|exists: true\n    condition: n and (s or n)\n",
        &[json!({"eventName": "B", "errorCode": null})],
        &[json!({"eventName": "A"}), json!({"eventName": "A", "errorCode": "x"})],
    );
    exact(
        "    s:\n        requestParameters.x: ''\n    condition: s\n",
        &[json!({"requestParameters": {"x": ""}})],
        &[json!({"requestParameters": {"x": "a"}}), json!({})],
    );
    exact(
        "    s:\n        eventName|neq: A\n        awsRegion: r\n    condition: s\n",
        &[json!({"awsRegion": "r"}), json!({"awsRegion": "r", "eventName": "B"})],
        &[json!({"awsRegion": "r", "eventName": "A"})],
    );
}

#[test]
fn networks() {
    exact(
        "    s:\n        eventName: A\n    f:\n        sourceIPAddress|cidr: ['10.1.2.3/8', '192.0.2.7/32', '2001:db8::/32']\n    condition: s and not f\n",
        &[
            json!({"eventName": "A", "sourceIPAddress": "11.0.0.1"}),
            json!({"eventName": "A", "sourceIPAddress": "kms.amazonaws.com"}),
        ],
        &[
            json!({"eventName": "A", "sourceIPAddress": "10.9.9.9"}),
            json!({"eventName": "A", "sourceIPAddress": "192.0.2.7"}),
            json!({"eventName": "A", "sourceIPAddress": "2001:db8::1"}),
        ],
    );
}

#[test]
fn what_patterns_have_no_word_for_widens_and_is_said() {
    for part in [
        "userAgent|base64: x",
        "userAgent|fieldref: eventName",
        "userAgent|windash: '-x'",
        "userAgent|expand: '%x%'",
        "userAgent|re: 'a{2}'",
        "userAgent|sounds: x",
        "requestParameters|exists: true",
        "requestParameters: null",
        "'|all': [x, y]",
        "userAgent: {a: b}",
        "eventTime|hour: 3",
        "sourceIPAddress|cidr: nowhere",
    ] {
        let detection = format!("    s:\n        eventName: A\n        {part}\n    condition: s\n");
        let notes = asked(&detection, &[json!({"eventName": "A"})], &[json!({"eventName": "B"})]);
        assert_eq!(notes.iter().map(|note| note.effect).collect::<Vec<_>>(), [Effect::Wider], "{part}");
        assert!(notes[0].line >= 7, "{part}: {notes:?}");
        // Denied, it exempts nothing.
        let detection = format!("    s:\n        eventName: A\n    f:\n        {part}\n    condition: s and not f\n");
        let notes = asked(&detection, &[json!({"eventName": "A", "userAgent": "x"})], &[json!({"eventName": "B"})]);
        assert_eq!(notes[0].effect, Effect::Wider, "{part}");
        // Alone, nothing is left of it.
        let why = refused(&sigma(&format!("    s:\n        {part}\n    condition: s\n")));
        assert!(why.contains("carried over"), "{part}: {why}");
    }
    let notes = asked(
        "    keywords:\n        - word\n    s:\n        eventName: A\n    condition: s and keywords\n",
        &[json!({"eventName": "A"})],
        &[],
    );
    assert!(notes[0].text.contains("`word`"), "{notes:?}");
}

#[test]
fn alternatives_with_different_exemptions_become_several_rules() {
    let import = one(&sigma(
        "    a:\n        eventName: A\n    b:\n        eventName: B\n    f:\n        userAgent|contains: '1'\n        awsRegion: r\n    condition: a or (b and not (f))\n    g:\n        requestParameters.x: 5\n",
    ));
    let found = rules(&import);
    assert!(alerts(&found, &json!({"eventName": "B", "userAgent": "2", "awsRegion": "r"})));
    assert!(!alerts(&found, &json!({"eventName": "B", "userAgent": "1", "awsRegion": "r"})));

    let import = one(&sigma(
        "    a:\n        eventName: A\n    b:\n        eventName: B\n    g:\n        requestParameters.x: 5\n    condition: a or (b and not g)\n",
    ));
    let found = rules(&import);
    assert_eq!(import.rules[0].rules, 2);
    assert!(found.iter().all(|rule| rule.family == "sigma.a-rule"));
    assert!(alerts(&found, &json!({"eventName": "A", "requestParameters": {"x": 5}})));
    assert!(!alerts(&found, &json!({"eventName": "B", "requestParameters": {"x": "5"}})));
    assert!(alerts(&found, &json!({"eventName": "B"})));
}

#[test]
fn other_sources_and_broken_rules_are_refused_with_a_reason() {
    let why = refused(
        "title: X\nlogsource:\n    product: windows\n    service: security\ndetection:\n    s:\n        a: b\n    condition: s\n",
    );
    assert_eq!(why, "its logsource is windows/security; kmswatch sees the events of aws/cloudtrail only");
    for (text, expected) in [
        ("just text", "no Sigma rule"),
        ("a: [", "not YAML"),
        ("title: X\n", "logsource"),
        (&sigma("    s:\n        eventName: A\n    condition: t\n"), "no search identifier `t`"),
        (&sigma("    s:\n        eventName: A\n    condition: 1 of t*\n"), "fits `t*`"),
        (&sigma("    s:\n        eventName: A\n"), "no `condition`"),
        (&sigma("    s: {}\n    condition: s\n"), "empty"),
        (&sigma("    s:\n        eventName: []\n    condition: s\n"), "empty list"),
        (&sigma("    s:\n        eventName: A\n    t:\n        eventName: B\n    condition: s and t\n"), "contradicts"),
        (
            &sigma("    s:\n        requestParameters.a: 1\n        requestParameters.a.b: 2\n    condition: s\n"),
            "inside of it",
        ),
        ("title: X\nfilter:\n    rules: [a]\n", "filter"),
    ] {
        let why = refused(text);
        assert!(why.contains(expected), "{text}\n{why}");
    }
}

#[test]
fn several_documents_and_shared_parts() {
    let import = one(
        "action: global\ntitle: Shared\nlogsource: {product: aws, service: cloudtrail}\nlevel: low\n---\ndetection:\n    s: {eventName: A}\n    condition: s\n---\ntitle: Other\ndetection:\n    s: {eventName: B}\n    condition: s\n---\naction: reset\n---\ntitle: Broken\n",
    );
    let ids: Vec<&str> = import.rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["sigma.shared", "sigma.other"]);
    assert_eq!(import.refused.len(), 1);
    let twice = "title: Same\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n    s: {eventName: A}\n    condition: s\n";
    let import = one(&format!("{twice}---\n{twice}"));
    assert_eq!(import.rules[1].id, "sigma.same-2");
}

#[test]
fn what_only_informs_is_told_once() {
    let text = sigma("    s:\n        eventName: A\n    condition: s\n").replace("level: high", "level: informational");
    let found = rules(&one(&text));
    assert!(found[0].notice && found[0].resolve_after.is_none());
    assert_eq!(found[0].group_by, ["actor.principal"], "no rule about keys");
}

#[test]
fn counts_become_thresholds() {
    let text = sigma(
        "    s:\n        eventSource: kms.amazonaws.com\n        errorCode: AccessDenied\n    timeframe: 10m\n    condition: s | count(requestParameters.keyId) by userIdentity.arn > 5\n",
    );
    let import = one(&text);
    let found = rules(&import);
    assert!(import.rules[0].is_exact());
    assert!(
        import.rules[0]
            .toml
            .contains("threshold = { count = 6, within = \"10m\", distinct = \"detail.requestParameters.keyId\" }"),
        "{}",
        import.rules[0].toml
    );
    assert_eq!(found[0].group_by, ["detail.userIdentity.arn"]);
    assert!(found[0].window.is_some());
    let other = one(&text.replace("> 5", "< 5"));
    assert!(rules(&other)[0].window.is_none() && !other.rules[0].is_exact());
    assert!(rules(&one(&text.replace("> 5", "> 0")))[0].window.is_none(), "one is no threshold");
    let many = one(&text.replace("> 5", "> 5000"));
    assert!(many.rules[0].toml.contains("count = 500,") && !many.rules[0].is_exact());
}

#[test]
fn correlations_become_thresholds() {
    let base = |name: &str, event: &str| {
        format!(
            "title: Base {name}\nname: {name}\nlogsource: {{product: aws, service: cloudtrail}}\nlevel: low\ndetection:\n    s: {{eventName: {event}}}\n    condition: s\n---\n"
        )
    };
    let correlation = |rest: &str| {
        format!(
            "{}{}title: Many\nlevel: high\ncorrelation:\n    rules: [a, b]\n    group-by: [userIdentity.arn]\n    timespan: 1h\n{rest}",
            base("a", "DisableKey"),
            base("b", "ScheduleKeyDeletion")
        )
    };
    let import = one(&correlation("    type: event_count\n    condition: {gte: 3}\n"));
    let found = rules(&import);
    assert_eq!(found.len(), 1, "those counted do not stand for themselves");
    assert!(import.rules[0].toml.contains("threshold = { count = 3, within = \"1h\" }"), "{}", import.rules[0].toml);
    assert!(
        alerts(&found, &json!({"eventName": "ScheduleKeyDeletion"}))
            && alerts(&found, &json!({"eventName": "DisableKey"}))
    );
    let import = one(&correlation("    type: event_count\n    generate: true\n    condition: {gte: 3, lte: 9}\n"));
    assert_eq!(rules(&import).len(), 3);
    assert_eq!(import.rules[2].notes[0].effect, Effect::Wider);
    let import = one(&correlation("    type: value_count\n    condition: {gt: 3, field: requestParameters.keyId}\n"));
    assert!(import.rules[0].toml.contains("distinct"), "{}", import.rules[0].toml);
    let import = one(&correlation("    type: temporal\n"));
    assert_eq!(import.rules.len(), 2, "their events are not lost");
    assert!(import.refused[0].why.contains("`temporal`") && !import.rules[0].is_exact());
    let import =
        one(&correlation("    type: event_count\n    condition: {gte: 3}\n").replace("rules: [a, b]", "rules: [a, c]"));
    assert!(import.refused[0].why.contains("no rule `c`"), "{:?}", import.refused);
}

#[test]
fn a_text_of_a_rule_is_no_template() {
    let text = sigma("    s: {eventName: A}\n    condition: s\n").replace("A rule", "'{{ actor }} {%x%} {#y'");
    let found = rules(&one(&text));
    assert_eq!(found[0].title, "{ { actor }} { %x%} { #y");
    assert!(found[0].templates.is_none());
}

#[test]
fn nothing_in_a_rule_breaks_out_of_its_place() {
    let nasty = r#"a"""]] # \u0000 '''"#;
    let text = format!(
        "title: '{0}'\nid: '{0}'\nauthor: |\n    x\n    [[rule]]\n    id = 5\nlogsource: {{product: aws, service: cloudtrail}}\ntags: ['{0}']\nreferences: ['{0}']\ndescription: '{0}'\ndetection:\n    s:\n        'requestParameters.{0}': '{0}'\n    condition: s\n",
        nasty.replace('\'', "''")
    );
    let import = one(&text);
    assert_eq!(rules(&import).len(), 1, "{}", import.rules[0].toml);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]
    #[test]
    fn any_text_is_taken(text in proptest::prelude::any::<String>()) {
        one(&text);
    }

    #[test]
    fn anything_like_a_rule_is_taken(pieces in proptest::collection::vec("[a-z|*?()\\\\:{}\\[\\]'\"#&!> \n-]{0,12}|condition: |selection|    |\n    |not |and |1 of |\\|re: |\\|all: ", 0..40)) {
        one(&sigma(&pieces.concat()));
        one(&pieces.concat());
    }
}

#[test]
fn large_and_deep_texts_take_no_time() {
    let before = std::time::Instant::now();
    let long = format!("a{}", ",a".repeat(200_000));
    for text in [
        "[".repeat(1_000_000),
        "{a: ".repeat(200_000),
        "- ".repeat(500_000),
        "? ".repeat(500_000),
        "a:\n ".repeat(100_000),
        format!("[{long}]"),
        format!("\"{}", "x".repeat(1_000_000)),
        "&a ".repeat(300_000),
        "!!str ".repeat(150_000),
        "| \n".repeat(300_000),
        sigma(&format!("    s:\n        eventName|re: '{}'\n    condition: s\n", "(a|b)".repeat(20_000))),
        sigma(&format!("    s:\n        eventName: A\n    condition: s{}\n", " or s".repeat(900))),
        sigma(&format!("    s:\n        eventName: ['{}']\n    condition: s\n", "*a".repeat(30_000))),
    ] {
        one(&text);
    }
    assert!(before.elapsed() < std::time::Duration::from_mins(1), "{:?}", before.elapsed());
}
