//! To whom a grant gives what.

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "callers write it in place")]
fn granted(request: Value) -> Value {
    let mut event = call("CreateGrant", 1, &request, &json!({ "grantId": "abc", "keyId": KEY }));
    assess(&mut event, &trust("principals = ['arn:aws:iam::444455556666:user/team/*']"), None);
    event.document["grant"].clone()
}

#[test]
fn every_form_of_a_grantee_is_read() {
    for (grantee, kind, account, service, external) in [
        ("arn:aws:iam::111122223333:role/app", "role", Some(HOME), None, Some(false)),
        ("arn:aws:iam::444455556666:user/team/bo", "user", Some(STRANGER), None, Some(false)),
        ("arn:aws:iam::444455556666:role/app", "role", Some(STRANGER), None, Some(true)),
        ("arn:aws:sts::444455556666:assumed-role/app/bo", "session", Some(STRANGER), None, Some(true)),
        ("arn:aws:iam::444455556666:root", "account", Some(STRANGER), None, Some(true)),
        ("444455556666", "account", Some(STRANGER), None, Some(true)),
        ("lambda.amazonaws.com", "service", None, Some("lambda.amazonaws.com"), Some(false)),
        ("lambda.amazonaws.com.cn", "service", None, Some("lambda.amazonaws.com.cn"), Some(false)),
        ("arn:aws:iam::444455556666:role/svc.amazonaws.com", "role", Some(STRANGER), None, Some(true)),
        ("arn:aws:iam::444455556666:user/svc.amazonaws.com.cn", "user", Some(STRANGER), None, Some(true)),
        ("arn:aws:sts::444455556666:assumed-role/x/s3.amazonaws.com", "session", Some(STRANGER), None, Some(true)),
        ("444455556666:s3.amazonaws.com", "unknown", None, None, None),
        ("AWS Internal", "service", None, Some("AWS Internal"), Some(false)),
        (
            "111122223333:aws:ec2-infrastructure:i-0a1b2c3d4e5f67890",
            "instance",
            Some(HOME),
            Some("ec2-infrastructure"),
            Some(false),
        ),
        (
            "arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/i-0a1b2c3d4e5f67890",
            "instance",
            Some(HOME),
            Some("ec2-infrastructure"),
            Some(false),
        ),
        ("AROAEXAMPLEEXAMPLE00", "id", None, None, None),
        ("somebody", "unknown", None, None, None),
        ("arn:aws:iam::cloudfront:user/x", "user", None, None, None),
    ] {
        let grant = granted(json!({ "keyId": KEY, "granteePrincipal": grantee, "operations": ["Decrypt"] }));
        let text = |name: &str| grant.get(name).and_then(Value::as_str);
        assert_eq!(text("grantee"), Some(grantee));
        assert_eq!((text("kind"), text("account"), text("service")), (Some(kind), account, service), "{grantee}");
        assert_eq!(grant.get("external").and_then(Value::as_bool), external, "{grantee}");
    }
    let service = granted(
        json!({ "granteeServicePrincipal": "bedrock.amazonaws.com", "retiringServicePrincipal": "s3.amazonaws.com", "operations": [] }),
    );
    assert_eq!((&service["kind"], &service["service"]), (&json!("service"), &json!("bedrock.amazonaws.com")));
    assert_eq!(service["retiree"], "s3.amazonaws.com");
}

#[test]
fn what_it_gives_and_what_narrows_it() {
    let grant = |operations: Value, constraints: Value| {
        granted(
            json!({ "granteePrincipal": APP, "operations": operations, "constraints": constraints, "retiringPrincipal": ADMIN }),
        )
    };
    let open = grant(json!(["GenerateDataKey", "CreateGrant", "Decrypt", "Decrypt", 7]), Value::Null);
    assert_eq!(open["operations"], json!(["CreateGrant", "Decrypt", "GenerateDataKey"]));
    assert_eq!(
        (&open["can_create_grants"], &open["constrained"], &open["retiree"]),
        (&json!(true), &json!(false), &json!(ADMIN))
    );
    for narrow in [
        json!({ "encryptionContextEquals": { "a": "b" } }),
        json!({ "encryptionContextSubset": { "a": "b" } }),
        json!({ "sourceArn": "arn:aws:s3:::bucket" }),
    ] {
        let grant = grant(json!(["Decrypt"]), narrow);
        assert_eq!((&grant["can_create_grants"], &grant["constrained"]), (&json!(false), &json!(true)));
    }
    assert_eq!(grant(json!(["Decrypt"]), json!({ "encryptionContextSubset": {} }))["constrained"], false);
    let old = granted(json!({ "granteePrincipal": APP }));
    assert!(old.get("operations").is_none() && old.get("can_create_grants").is_none(), "{old}");
}

#[test]
fn a_service_that_asks_is_no_person() {
    let from = |identity: Value, address: Value| {
        let event =
            call("CreateGrant", 1, &json!({ "granteePrincipal": APP, "operations": ["Decrypt"] }), &Value::Null);
        let mut body = event.document.clone();
        body["detail"]["userIdentity"] = identity;
        body["detail"]["sourceIPAddress"] = address;
        let mut event = decode(&body.to_string()).events.remove(0);
        assess(&mut event, &Trust::default(), None);
        event.document["grant"].get("human").and_then(Value::as_bool)
    };
    let human = |identity: Value| from(identity, json!("203.0.113.7"));
    let ana = json!({ "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ana" });
    assert_eq!(human(ana.clone()), Some(true));
    assert_eq!(from(ana.clone(), json!("AWS Internal/5")), Some(false));
    assert_eq!(from(ana, json!("lambda.amazonaws.com")), Some(false));
    assert_eq!(
        human(
            json!({ "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ana", "invokedBy": "lambda.amazonaws.com" })
        ),
        Some(false)
    );
    assert_eq!(human(json!({ "type": "AWSService", "invokedBy": "dynamodb.amazonaws.com" })), Some(false));
    assert_eq!(human(json!({})), None);
}

#[test]
fn a_grant_is_only_where_one_is_made() {
    for (name, request) in [
        ("CreateGrant", Value::Null),
        ("CreateGrant", json!({ "keyId": KEY })),
        ("RevokeGrant", json!({ "keyId": KEY, "grantId": "abc" })),
        ("Decrypt", json!({ "granteePrincipal": APP })),
    ] {
        let mut event = call(name, 1, &request, &Value::Null);
        assess(&mut event, &Trust::default(), None);
        assert_eq!((event.document.get("grant"), event.document.get("access")), (None, None), "{name} {request}");
    }
}
