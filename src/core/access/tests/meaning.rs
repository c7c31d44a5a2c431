//! Who may do what.

use super::*;

#[test]
fn the_default_policy_leaves_everything_to_the_account() {
    let access = meaning(&[root()]);
    assert_eq!((access.public, access.root, access.lockout), (Some(false), Some(true), Some(false)));
    assert_eq!(access.nobody_can, [""; 0]);
    assert_eq!(access.can_change_policy, [HOME]);
    assert_eq!(access.given, ["the account itself has everything"]);
    assert!(access.external.is_empty() && access.unknown.is_empty() && access.denied.is_empty(), "{access:?}");
}

#[test]
fn the_policy_that_the_console_writes_is_read() {
    let grants = statement(
        "Allow",
        json!({ "AWS": [APP] }),
        json!(["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"]),
        json!({ "Bool": { "kms:GrantIsForAWSResource": "true" } }),
    );
    let access = meaning(&[
        root(),
        allow(
            json!({ "AWS": ADMIN }),
            json!([
                "kms:Create*",
                "kms:Describe*",
                "kms:Enable*",
                "kms:List*",
                "kms:Put*",
                "kms:Update*",
                "kms:Revoke*",
                "kms:Disable*",
                "kms:Get*",
                "kms:Delete*",
                "kms:TagResource",
                "kms:UntagResource",
                "kms:ScheduleKeyDeletion",
                "kms:CancelKeyDeletion",
                "kms:RotateKeyOnDemand"
            ]),
        ),
        allow(
            json!({ "AWS": [APP] }),
            json!(["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]),
        ),
        grants,
    ]);
    assert_eq!(access.can_use, [HOME, APP]);
    assert_eq!(access.can_delete, [HOME, ADMIN]);
    assert_eq!(access.can_cancel_deletion, [HOME, ADMIN]);
    assert_eq!(access.can_grant, [HOME, ADMIN, APP]);
    assert!(
        access.given.iter().any(|line| line.starts_with("arn:aws:iam::111122223333:role/app has ")
            && line.ends_with(" if kms:grantisforawsresource = true")),
        "{:#?}",
        access.given
    );
    assert!(access.unknown.is_empty(), "{:?}", access.unknown);
}

#[test]
fn anybody_is_public_unless_a_condition_says_who() {
    let with = |condition: Value| meaning(&[root(), statement("Allow", json!("*"), json!("kms:Decrypt"), condition)]);
    for open in [
        json!(null),
        json!({}),
        json!({ "StringEquals": { "kms:ViaService": "s3.eu-central-1.amazonaws.com" } }),
        json!({ "IpAddress": { "aws:SourceIp": "192.0.2.0/24" } }),
        json!({ "StringEqualsIfExists": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" } }),
        json!({ "ForAllValues:StringEquals": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" } }),
        json!({ "StringNotEquals": { "aws:PrincipalAccount": HOME } }),
        json!({ "StringLike": { "aws:PrincipalOrgID": "o-*" } }),
        json!({ "StringLike": { "aws:PrincipalArn": "arn:aws:iam::*:role/app" } }),
        json!({ "StringEquals": { "aws:PrincipalAccount": [HOME, "*"] } }),
        json!({ "Null": { "aws:PrincipalOrgID": "false" } }),
        json!({ "StringEquals": { "aws:PrincipalAccount": [] } }),
        json!({ "StringMatches": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" } }),
    ] {
        assert_eq!(with(open.clone()).public, Some(true), "{open}");
        assert!(with(open).can_use.contains(&"*".to_owned()));
    }
    for ours in [
        json!({ "StringEquals": { "kms:CallerAccount": HOME, "kms:ViaService": "s3.eu-central-1.amazonaws.com" } }),
        json!({ "StringEquals": { "AWS:principalaccount": HOME } }),
        json!({ "StringLike": { "aws:SourceArn": "arn:aws:sns:eu-central-1:111122223333:*" } }),
        json!({ "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::111122223333:role/app-*" } }),
        json!({ "StringEquals": { "aws:SourceAccount": "${aws:ResourceAccount}" } }),
    ] {
        let access = with(ours.clone());
        assert_eq!((access.public, access.external.len()), (Some(false), 0), "{ours}");
    }
}

#[test]
fn an_organization_is_ours_only_if_it_is_trusted() {
    let everybody_in = |operator: &str, key: &str, value: &str| {
        statement("Allow", json!({ "AWS": "*" }), json!("kms:Decrypt"), json!({ operator: { key: value } }))
    };
    for statement in [
        everybody_in("StringEquals", "aws:PrincipalOrgID", "o-a1b2c3d4e5"),
        everybody_in("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", "o-a1b2c3d4e5/r-ab12/ou-ab12-*"),
    ] {
        let strange = meaning(&[root(), statement.clone()]);
        assert_eq!(
            (strange.public, strange.external.as_slice()),
            (Some(false), ["o-a1b2c3d4e5".to_owned()].as_slice())
        );
        let ours = meaning_with(&[root(), statement], &trust("organizations = ['o-a1b2c3d4e5']"));
        assert_eq!((ours.public, ours.external.len()), (Some(false), 0));
        assert_eq!(ours.can_use, [HOME, "o-a1b2c3d4e5"]);
    }
}

#[test]
fn strangers_are_those_who_are_not_in_trust() {
    let statements = [
        root(),
        allow(
            json!({ "AWS": ["arn:aws:iam::444455556666:root", "arn:aws:iam::444455556666:role/backup-db"] }),
            json!("kms:Decrypt"),
        ),
        allow(
            json!({ "AWS": [APP, "AROAEXAMPLEEXAMPLE00"], "Service": "logs.eu-central-1.amazonaws.com" }),
            json!("kms:Encrypt"),
        ),
    ];
    let access = meaning(&statements);
    assert_eq!(access.external, [STRANGER, "arn:aws:iam::444455556666:role/backup-db"]);
    assert_eq!(access.new_external, access.external, "nothing was known before");
    assert_eq!(access.services, ["logs.eu-central-1.amazonaws.com"]);
    assert!(
        access.given.contains(&"account 444455556666 (external) has use (Decrypt)".to_owned()),
        "{:#?}",
        access.given
    );
    assert!(access.given.iter().any(|line| line.starts_with("the principal that was AROAEXAMPLEEXAMPLE00 has")));
    let some = meaning_with(&statements, &trust("principals = ['arn:aws:iam::444455556666:role/backup-*']"));
    assert_eq!(some.external, [STRANGER]);
    assert_eq!(meaning_with(&statements, &trust("accounts = ['444455556666']")).external, [""; 0]);
    let federated = allow(
        json!({ "Federated": ["cognito-identity.amazonaws.com", "arn:aws:iam::111122223333:saml-provider/sso"] }),
        json!("kms:Decrypt"),
    );
    assert_eq!(meaning(&[root(), federated]).external, ["cognito-identity.amazonaws.com"]);
}

#[test]
fn a_stranger_bound_to_our_organization_is_none() {
    let bound = statement(
        "Allow",
        json!({ "AWS": STRANGER }),
        json!("kms:Decrypt"),
        json!({ "StringEquals": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" } }),
    );
    let trusted = trust("organizations = ['o-a1b2c3d4e5']");
    assert_eq!(meaning_with(&[root(), bound.clone()], &trusted).external, [""; 0]);
    assert_eq!(meaning(&[root(), bound]).external, [STRANGER]);
}

#[test]
fn not_principal_and_not_action_mean_the_rest() {
    let open = json!({ "Effect": "Allow", "NotPrincipal": { "AWS": APP }, "Action": "kms:Decrypt", "Resource": "*" });
    let access = meaning(&[root(), open]);
    assert_eq!(access.public, Some(true));
    assert_eq!(access.can_use, [format!("* but {APP}"), HOME.to_owned()]);
    let rest = json!({ "Effect": "Allow", "Principal": { "AWS": ADMIN }, "NotAction": ["kms:PutKeyPolicy", "kms:Decrypt"], "Resource": "*" });
    let access = meaning(&[root(), rest]);
    assert!(access.can_delete.contains(&ADMIN.to_owned()) && !access.can_change_policy.contains(&ADMIN.to_owned()));
}

#[test]
fn an_account_keeps_what_one_of_its_principals_keeps_and_no_more() {
    let but = |effect: &str, who: &str| json!({ "Effect": effect, "NotPrincipal": { "AWS": who }, "Action": "kms:*", "Resource": "*" });
    let denied = |who: &str| statement("Deny", json!({ "AWS": who }), json!("kms:*"), Value::Null);
    assert_eq!(meaning(&[root(), but("Deny", ADMIN)]).lockout, Some(false));
    assert_eq!(meaning(&[root(), but("Deny", ADMIN), denied(ADMIN)]).lockout, Some(true), "nobody is left");
    assert_eq!(meaning(&[root(), but("Deny", ADMIN), but("Deny", APP)]).lockout, Some(true), "nobody is in both");
    assert_eq!(
        meaning(&[root(), but("Deny", ADMIN), but("Deny", HOME)]).lockout,
        Some(false),
        "the first is in the second"
    );
    let left_out = meaning(&[but("Allow", APP), but("Deny", APP), but("Deny", HOME)]);
    assert_eq!(left_out.lockout, Some(true), "the one that is left has nothing");
}

#[test]
fn without_anybody_who_can_mend_it_a_key_is_locked() {
    let only = |who: &str, action: &str| meaning(&[allow(json!({ "AWS": who }), json!(action))]);
    let stranger = only(STRANGER, "kms:*");
    assert_eq!((stranger.lockout, stranger.root), (Some(true), Some(false)));
    assert_eq!(stranger.nobody_can, ["use", "administer", "grant", "delete", "cancel_deletion", "change_policy"]);
    let app = only(APP, "kms:Decrypt");
    assert_eq!(app.nobody_can, ["administer", "grant", "delete", "cancel_deletion", "change_policy"]);
    assert_eq!(only(ADMIN, "kms:PutKeyPolicy").lockout, Some(false));
    assert_eq!(meaning(&[]).lockout, Some(true));

    let deny = |who: Value, condition: Value| meaning(&[root(), statement("Deny", who, json!("kms:*"), condition)]);
    let everybody = deny(json!("*"), Value::Null);
    assert_eq!((everybody.lockout, everybody.root, everybody.can_use.len()), (Some(true), Some(true), 0));
    assert_eq!(deny(json!({ "AWS": HOME }), Value::Null).lockout, Some(true));
    assert_eq!(
        deny(json!("*"), json!({ "StringNotEquals": { "aws:PrincipalAccount": STRANGER } })).lockout,
        Some(true)
    );
    assert_eq!(
        deny(json!("*"), json!({ "StringNotEquals": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" } })).lockout,
        Some(true)
    );
    assert_eq!(deny(json!("*"), json!({ "ArnNotLike": { "aws:PrincipalArn": ADMIN } })).lockout, Some(false));
    assert_eq!(deny(json!("*"), json!({ "Bool": { "aws:SecureTransport": "false" } })).lockout, Some(false));
    let but_admin = json!({ "Effect": "Deny", "NotPrincipal": { "AWS": ADMIN }, "Action": "kms:*", "Resource": "*" });
    assert_eq!(meaning(&[root(), but_admin]).lockout, Some(false));

    let on_terms =
        |condition: Value| meaning(&[statement("Allow", json!({ "AWS": ADMIN }), json!("kms:*"), condition)]).lockout;
    assert_eq!(on_terms(json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" } })), Some(false));
    assert_eq!(
        on_terms(json!({ "StringEquals": { "aws:SourceVpc": "vpc-0123456789abcdef0" } })),
        Some(true),
        "nobody can tell"
    );
}

#[test]
fn a_deny_does_not_hide_behind_conditions_that_always_hold() {
    let deny = |condition: Value| {
        let what = json!(["kms:PutKeyPolicy", "kms:CancelKeyDeletion"]);
        meaning(&[root(), statement("Deny", json!("*"), what, condition)])
    };
    for certain in [
        json!({ "Null": { "aws:PrincipalArn": "false" } }),
        json!({ "Bool": { "aws:SecureTransport": "true" } }),
        json!({ "StringLike": { "aws:PrincipalArn": "*" } }),
        json!({ "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::*:*" } }),
        json!({ "StringNotEquals": { "aws:PrincipalArn": "arn:aws:iam::444455556666:role/x" }, "Bool": { "aws:SecureTransport": "true" } }),
        json!({ "StringNotEquals": { "aws:PrincipalAccount": STRANGER, "aws:PrincipalOrgID": "o-a1b2c3d4e5" } }),
    ] {
        let access = deny(certain.clone());
        assert_eq!(access.lockout, Some(true), "{certain}");
        assert_eq!(access.nobody_can, ["cancel_deletion", "change_policy"], "{certain}");
        assert_eq!(access.perhaps_nobody_can, [""; 0], "{certain}");
    }
    let but_one = deny(
        json!({ "ArnNotEquals": { "aws:PrincipalArn": ADMIN }, "StringNotEquals": { "aws:PrincipalAccount": STRANGER } }),
    );
    assert_eq!((but_one.lockout, but_one.perhaps_nobody_can.len()), (Some(false), 0), "an administrator is left");
}

#[test]
fn a_deny_whose_condition_cannot_be_judged_may_leave_nobody() {
    let with = |more: &[Value]| meaning(&[&[root()], more].concat()).perhaps_nobody_can;
    let deny = |who: Value, condition: Value| statement("Deny", who, json!("kms:PutKeyPolicy"), condition);
    let anybody = |condition: Value| with(&[deny(json!("*"), condition)]);
    let network = json!({ "StringNotEquals": { "aws:SourceVpce": "vpce-0123456789abcdef0" } });
    let change_policy = vec!["change_policy".to_owned()];
    for doubtful in [
        network.clone(),
        json!({ "DateGreaterThan": { "aws:CurrentTime": "2020-01-01T00:00:00Z" } }),
        json!({ "IpAddress": { "aws:SourceIp": "0.0.0.0/0" } }),
        json!({ "Null": { "aws:PrincipalTag/x": "true" } }),
        json!({ "StringEquals": { "aws:PrincipalAccount": HOME, "aws:RequestedRegion": "eu-central-1" } }),
        json!({ "ArnNotLike": { "aws:PrincipalArn": "arn:aws:iam::444455556666:role/*" }, "NumericLessThan": { "aws:x": "5" } }),
        json!({ "StringMatches": { "aws:PrincipalArn": "x" } }),
    ] {
        assert_eq!(anybody(doubtful.clone()), change_policy, "{doubtful}");
    }
    for escaped in [
        Value::Null,
        json!({ "Bool": { "aws:SecureTransport": "false" } }),
        json!({ "BoolIfExists": { "aws:MultiFactorAuthPresent": "false" } }),
        json!({ "Bool": { "kms:BypassPolicyLockoutSafetyCheck": "true" } }),
        json!({ "StringEquals": { "kms:ViaService": "ec2.eu-central-1.amazonaws.com" } }),
        json!({ "StringEquals": { "aws:PrincipalAccount": STRANGER, "aws:RequestedRegion": "eu-central-1" } }),
        json!({ "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::*:role/dev-*" } }),
        json!({ "ArnNotLike": { "aws:PrincipalArn": ADMIN }, "StringNotEquals": { "aws:SourceVpce": "vpce-0" } }),
        json!({ "ArnNotLike": { "aws:PrincipalArn": "arn:aws:iam::*:role/a*" }, "StringNotEquals": { "aws:SourceVpce": "vpce-0" } }),
    ] {
        assert_eq!(anybody(escaped.clone()), [""; 0], "{escaped}");
    }
    assert_eq!(with(&[deny(json!({ "AWS": HOME }), network.clone())]), change_policy);
    assert_eq!(with(&[deny(json!({ "AWS": APP }), network.clone())]), [""; 0], "the account has others");
    assert_eq!(
        with(&[statement("Deny", json!("*"), json!("kms:Decrypt"), network.clone())]),
        [""; 0],
        "it is only use"
    );
    let but =
        |who: &str| json!({ "Effect": "Deny", "NotPrincipal": { "AWS": who }, "Action": "kms:*", "Resource": "*" });
    assert_eq!(
        with(&[but(ADMIN), deny(json!({ "AWS": ADMIN }), network.clone())]),
        change_policy,
        "one denies it to all but the administrator, the other to the administrator"
    );
    let mut but_admin = but(ADMIN);
    but_admin["Condition"] = network;
    assert_eq!(with(&[but_admin.clone()]), [""; 0]);
    let mut but_app = but(APP);
    but_app["Condition"] = but_admin["Condition"].clone();
    assert_eq!(with(&[but_admin, but_app]).len(), 3, "nobody is left out of both");
}

#[test]
fn a_deny_takes_away_and_narrows() {
    let app = allow(json!({ "AWS": APP }), json!(["kms:Decrypt", "kms:Encrypt"]));
    let access = meaning(&[root(), app, statement("Deny", json!({ "AWS": APP }), json!("kms:Decrypt"), Value::Null)]);
    assert!(access.given.contains(&format!("{APP} has use (Encrypt)")), "{:?}", access.given);
    assert_eq!(access.denied, [format!("{APP} is denied use (Decrypt)")]);

    let anybody = allow(json!("*"), json!("kms:Decrypt"));
    let but_ours = statement(
        "Deny",
        json!("*"),
        json!("kms:*"),
        json!({ "StringNotEquals": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" } }),
    );
    let access = meaning_with(&[root(), anybody, but_ours], &trust("organizations = ['o-a1b2c3d4e5']"));
    assert_eq!((access.public, access.external.len()), (Some(false), 0));
    assert_eq!(access.can_use, [HOME, "o-a1b2c3d4e5"]);
}

#[test]
fn a_statement_about_another_resource_gives_nothing() {
    let mut other = allow(json!("*"), json!("kms:Decrypt"));
    for (resource, public) in [
        (json!("arn:aws:kms:eu-central-1:111122223333:key/other"), false),
        (json!(KEY), true),
        (json!(["x", "arn:aws:kms:*:111122223333:key/*"]), true),
    ] {
        other["Resource"] = resource;
        let access = meaning(&[root(), other.clone()]);
        assert_eq!((access.public, access.unknown.is_empty()), (Some(public), public), "{access:?}");
    }
    let rest = json!({ "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "NotResource": "arn:aws:s3:::x" });
    assert_eq!(meaning(&[root(), rest]).public, Some(true));
}

#[test]
fn what_is_not_understood_is_said() {
    let odd = json!({ "Effect": "Permit", "Principal": "*", "Action": "kms:*", "Resource": "*" });
    let access = meaning(&[
        root(),
        odd,
        json!(7),
        json!({ "Effect": "Allow", "Action": "kms:*", "Resource": "*" }),
        json!({ "Effect": "Allow", "Principal": { "CanonicalUser": "abc" }, "Action": ["kms:NewThing", "s3:*", {}], "Resource": "*", "Wish": 1 }),
        statement(
            "Allow",
            json!({ "AWS": APP }),
            json!("kms:Sign"),
            json!({ "StringMatches": { "aws:x": "y" }, "Bool": 7 }),
        ),
    ]);
    assert_eq!(
        access.unknown,
        [
            "statement 2: its Effect is Permit",
            "statement 3 is no object",
            "statement 4: it has no Principal",
            "statement 5: the element `Wish`",
            "statement 5: a principal of the kind `CanonicalUser`",
            "statement 5: the principal `abc`",
            "statement 5: a value that is no text",
            "statement 5: the action `kms:NewThing`",
            "statement 5: the action `s3:*`",
            "statement 6: the condition `Bool` is no object",
            "statement 6: the condition operator `StringMatches`",
        ]
    );
    assert!(access.can_use.contains(&APP.to_owned()), "the rest is read");
}

#[test]
fn what_is_no_policy_is_said_and_nothing_else() {
    let mut event = put_policy(1, &json!({}));
    for (policy, expected) in [
        (json!("{"), "the policy is no JSON (line 1, column 1)"),
        (json!("[1]"), "the policy is no JSON object"),
        (json!(5), "the policy is neither text nor an object"),
        (
            json!(format!("{{\"Id\":\"{}\"}}", "x".repeat(130 * 1024))),
            "the policy has 133129 bytes, more than KMS takes",
        ),
        (json!(format!("{}{}", "[".repeat(5000), "]".repeat(5000))), "the policy is no JSON (line 1, column 128)"),
    ] {
        event.document["detail"]["requestParameters"]["policy"] = policy;
        assess(&mut event, &Trust::default(), None);
        assert_eq!(event.document["access"], json!({ "unknown": [expected] }));
    }
}

#[test]
fn an_object_in_place_of_the_text_and_other_spellings_will_do() {
    let spelled = json!({ "statement": { "effect": "allow", "principal": { "aws": "*" }, "action": "KMS:decrypt", "resource": "*" } });
    let mut event = put_policy(1, &json!({}));
    event.document["detail"]["requestParameters"]["policy"] = spelled;
    assess(&mut event, &Trust::default(), None);
    assert_eq!(event.document["access"]["public"], true);
    assert_eq!(event.document["access"].get("unknown"), None);
}

#[test]
fn a_huge_policy_takes_no_long_time_and_says_what_was_left_out() {
    let many: Vec<Value> = (0..20_000).map(|_| json!({})).collect();
    assert!(meaning(&many).unknown.last().unwrap().starts_with("and "));
    let crowd: Vec<String> = (0..4000).map(|n| format!("{n:012}")).collect();
    let mut statements = vec![root(), allow(json!({ "AWS": crowd }), json!("kms:Decrypt"))];
    for n in 0..300 {
        statements.push(json!({ "Effect": "Deny", "NotPrincipal": { "AWS": format!("{n:012}") }, "Action": "kms:Sign", "Resource": "*" }));
    }
    let view = View { trust: &Trust::default(), home: Some(HOME) };
    let parsed = parse(&policy(&statements)).unwrap();
    let access = describe(&Rights::of(&parsed, None, view), None, view);
    assert_eq!(access.external.len(), 4000);
    assert_eq!(access.given.last().unwrap(), "and 3951 more");
    assert!(
        access.unknown.iter().any(|line| line.starts_with("more than 64 different exclusions")),
        "{:?}",
        access.unknown
    );
}

#[test]
fn what_hides_behind_its_double_is_said() {
    let mut event = put_policy(1, &json!({}));
    let (open, closed) = (policy(&[allow(json!("*"), json!("kms:*"))]), policy(&[root()]));
    let doubled = format!("{{\"Statement\":{},\"Statement\":{}}}", open["Statement"], closed["Statement"]);
    event.document["detail"]["requestParameters"]["policy"] = json!(doubled);
    assess(&mut event, &Trust::default(), None);
    assert_eq!(
        event.document["access"]["unknown"],
        json!(["the element `Statement` is there twice: only the last was read"])
    );
}

#[test]
fn what_was_not_read_counts_as_the_worse_case() {
    let many = |n: usize| -> Vec<String> { (0..n).map(|n| format!("{n:012}")).collect() };
    let access = meaning(&[
        allow(json!({ "AWS": ADMIN }), json!("kms:*")),
        statement("Deny", json!("*"), json!("kms:Sign"), json!({ "StringEquals": { "aws:x": many(5001) } })),
        allow(json!({ "AWS": APP }), json!(vec!["kms:Sign"; 5001])),
        statement("Allow", json!("*"), json!("kms:Sign"), json!({ "StringEquals": { "aws:PrincipalAccount": HOME } })),
        json!({ "Effect": "Deny", "NotPrincipal": { "AWS": many(5001) }, "Action": "kms:*", "Resource": "*" }),
    ]);
    assert_eq!(access.lockout, Some(false), "the last Deny is not weighed");
    assert_eq!(access.can_delete, ["*", ADMIN, APP], "actions were not all read");
    assert_eq!(access.public, Some(true), "the condition was not read");
    let lines: Vec<&str> = access.unknown.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["statement 2", "statement 3", "statement 4", "statement 5"]);
}

#[test]
fn the_caller_is_a_stranger_or_not() {
    let external = |identity: Value, trusted: &str| {
        let mut event = call("Decrypt", 1, &json!({ "keyId": KEY }), &Value::Null);
        event.actor = Actor::default();
        let mut body = event.document.clone();
        body["detail"]["userIdentity"] = identity;
        let mut event = decode(&body.to_string()).events.remove(0);
        assess(&mut event, &trust(trusted), None);
        assert_eq!(event.document["actor"].get("external").and_then(Value::as_bool), event.actor.external);
        event.actor.external
    };
    let account = |id: &str| json!({ "type": "AWSAccount", "accountId": id, "principalId": "AROAEXAMPLE:x" });
    assert_eq!(external(account(HOME), ""), Some(false));
    assert_eq!(external(account(STRANGER), ""), Some(true));
    assert_eq!(external(account(STRANGER), "accounts = ['444455556666']"), Some(false));
    let role = json!({ "type": "AssumedRole", "arn": "arn:aws:sts::444455556666:assumed-role/backup-db/x", "accountId": STRANGER });
    assert_eq!(external(role.clone(), "principals = ['arn:aws:iam::444455556666:role/backup-*']"), Some(false));
    assert_eq!(external(role, "principals = ['arn:aws:iam::444455556666:role/other']"), Some(true));
    assert_eq!(external(json!({ "type": "AWSService", "invokedBy": "s3.amazonaws.com" }), ""), Some(false));
    assert_eq!(external(json!({ "accountId": STRANGER, "invokedBy": "AWS Internal" }), ""), Some(false));
    assert_eq!(external(json!({}), ""), None);
}
