//! `userIdentity` to a stable principal: the role, not the session (CloudTrail user guide, "userIdentity element").

use super::read::{Object, account, boolean, object, owned, text};
use crate::core::event::Actor;

/// Reads who did it. `userIdentity` may be missing, a string or null in hand-edited data; then only the address and
/// the user agent are known.
pub(super) fn actor(detail: &Object) -> Actor {
    let nothing = Object::new();
    let identity = object(detail, "userIdentity").unwrap_or(&nothing);
    let arn = text(identity, "arn").map(Arn::of);
    let session = object(identity, "sessionContext");
    Actor {
        principal: principal(identity, arn.as_ref()),
        kind: owned(identity, "type"),
        account: account(identity, "accountId").or_else(|| arn.as_ref().and_then(|a| a.account.map(str::to_owned))),
        session: session
            .and_then(|s| owned(s, "sourceIdentity"))
            .or_else(|| arn.as_ref().and_then(|a| a.session().map(str::to_owned)))
            .or_else(|| session_of_principal_id(identity)),
        service: service(identity),
        ip: owned(detail, "sourceIPAddress"),
        user_agent: owned(detail, "userAgent"),
        mfa: session.and_then(|s| object(s, "attributes")).and_then(|a| boolean(a, "mfaAuthenticated")),
        // Only the configuration knows who belongs to us.
        external: None,
    }
}

fn principal(identity: &Object, arn: Option<&Arn>) -> Option<String> {
    let id = || account(identity, "accountId");
    let best = || arn.map(Arn::stable);
    let found = match text(identity, "type").unwrap_or_default() {
        "AssumedRole" | "FederatedUser" => issuer(identity).or_else(best),
        "Root" => id()
            .map(|id| format!("arn:{}:iam::{id}:root", arn.map_or("aws", |a| a.partition)))
            .or_else(|| arn.map(|a| a.text.to_owned())),
        "AWSService" => service(identity),
        "AWSAccount" => id().or_else(|| service(identity)),
        "IdentityCenterUser" => identity_center(identity),
        "SAMLUser" | "WebIdentityUser" => owned(identity, "principalId").or_else(|| federated(identity)),
        // Service events have no type: `{accountId, invokedBy: "AWS Internal"}`.
        "" => service(identity).or_else(|| issuer(identity)).or_else(best),
        // IAMUser, Role, Directory, Unknown, and what AWS invents next.
        _ => best(),
    };
    found.or_else(best).or_else(id).or_else(|| service(identity)).or_else(|| owned(identity, "principalId"))
}

/// The role (or the user) that issued the session.
fn issuer(identity: &Object) -> Option<String> {
    owned(object(object(identity, "sessionContext")?, "sessionIssuer")?, "arn")
}

fn identity_center(identity: &Object) -> Option<String> {
    let on_behalf_of = object(identity, "onBehalfOf")?;
    let user = text(on_behalf_of, "userId")?;
    let store = text(on_behalf_of, "identityStoreArn");
    Some(store.map_or_else(|| user.to_owned(), |store| format!("{store}/{user}")))
}

fn federated(identity: &Object) -> Option<String> {
    let user = text(identity, "userName")?;
    let provider = text(identity, "identityProvider");
    Some(provider.map_or_else(|| user.to_owned(), |provider| format!("{provider}:{user}")))
}

/// `invokedBy`. China writes "Amazon Internal" where others write "AWS Internal"; a number may follow ("AWS Internal/5").
fn service(identity: &Object) -> Option<String> {
    let name = text(identity, "invokedBy")?;
    let plain = name.split('/').next().unwrap_or(name);
    Some(if matches!(plain, "AWS Internal" | "Amazon Internal") { "AWS Internal".to_owned() } else { name.to_owned() })
}

/// `AROA…:session`, which cross-account copies carry without an ARN.
fn session_of_principal_id(identity: &Object) -> Option<String> {
    let (id, session) = text(identity, "principalId")?.split_once(':')?;
    (id.starts_with("AROA") && !session.is_empty()).then(|| session.to_owned())
}

/// `arn:<partition>:<service>:<region>:<account>:<resource>`, as far as it is one.
struct Arn<'a> {
    text: &'a str,
    partition: &'a str,
    service: &'a str,
    account: Option<&'a str>,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn of(text: &'a str) -> Self {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", partition, service, _, account, resource] => Self {
                text,
                partition,
                service,
                account: Some(*account).filter(|a| super::arn::is_account(a)),
                resource,
            },
            _ => Self { text, partition: "aws", service: "", account: None, resource: "" },
        }
    }

    /// Role and session of an assumed-role ARN. The role's name may hold colons (`aws:ec2-infrastructure`).
    fn assumed(&self) -> Option<(&'a str, &'a str)> {
        (self.service == "sts").then_some(())?;
        let rest = self.resource.strip_prefix("assumed-role/")?;
        rest.rsplit_once('/').filter(|(role, _)| !role.is_empty()).or(Some((rest, "")))
    }

    fn session(&self) -> Option<&'a str> {
        self.assumed().map(|(_, session)| session).filter(|s| !s.is_empty())
    }

    /// The role's own ARN for a session of it (its path is lost on the way), else the ARN as it is.
    fn stable(&self) -> String {
        match (self.assumed(), self.account) {
            (Some((role, _)), Some(account)) => format!("arn:{}:iam::{account}:role/{role}", self.partition),
            _ => self.text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(identity: &Value) -> Actor {
        actor(json!({ "userIdentity": identity, "sourceIPAddress": "192.0.2.7" }).as_object().unwrap())
    }

    fn principal_of(identity: &Value) -> String {
        of(identity).principal.unwrap_or_default()
    }

    #[test]
    fn every_type_has_a_stable_principal() {
        let a = "111122223333";
        for (identity, expected) in [
            (
                json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ops/Ana", "accountId": a}),
                "arn:aws:iam::111122223333:user/ops/Ana",
            ),
            (
                json!({"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/Deploy/ci-7", "accountId": a,
                       "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/team/Deploy"}}}),
                "arn:aws:iam::111122223333:role/team/Deploy",
            ),
            (
                json!({"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/Deploy/ci-7", "sessionContext": {"sessionIssuer": {}}}),
                "arn:aws:iam::111122223333:role/Deploy",
            ),
            (
                json!({"type": "AssumedRole", "arn": "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0123"}),
                "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0123",
            ),
            (
                json!({"type": "AssumedRole", "arn": "arn:aws-cn:sts::111122223333:assumed-role/aws:ec2-infrastructure/i-0a1b"}),
                "arn:aws-cn:iam::111122223333:role/aws:ec2-infrastructure",
            ),
            (
                json!({"type": "Root", "arn": "arn:aws:iam::111122223333:root", "accountId": a}),
                "arn:aws:iam::111122223333:root",
            ),
            (
                json!({"type": "Root", "accountId": a, "sessionContext": {"assumedRoot": "true"}}),
                "arn:aws:iam::111122223333:root",
            ),
            (
                json!({"type": "FederatedUser", "arn": "arn:aws:sts::111122223333:federated-user/bo",
                       "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:user/Ana"}}}),
                "arn:aws:iam::111122223333:user/Ana",
            ),
            (
                json!({"type": "FederatedUser", "arn": "arn:aws:sts::111122223333:federated-user/bo"}),
                "arn:aws:sts::111122223333:federated-user/bo",
            ),
            (json!({"type": "AWSService", "invokedBy": "dynamodb.amazonaws.com"}), "dynamodb.amazonaws.com"),
            (
                json!({"type": "AWSAccount", "accountId": "444455556666", "principalId": "AROAEXAMPLE:x"}),
                "444455556666",
            ),
            (json!({"type": "AWSAccount", "invokedBy": "s3.amazonaws.com"}), "s3.amazonaws.com"),
            (
                json!({"type": "IdentityCenterUser", "accountId": a, "onBehalfOf": {"userId": "u-1", "identityStoreArn": "arn:aws:identitystore::111122223333:identitystore/d-1"}}),
                "arn:aws:identitystore::111122223333:identitystore/d-1/u-1",
            ),
            (json!({"type": "SAMLUser", "principalId": "provider:ana", "userName": "ana"}), "provider:ana"),
            (
                json!({"type": "WebIdentityUser", "userName": "ana", "identityProvider": "accounts.example.com"}),
                "accounts.example.com:ana",
            ),
            (json!({"type": "Unknown", "accountId": a}), a),
            (
                json!({"type": "Directory", "arn": "arn:aws:ds:eu-central-1:111122223333:user/x"}),
                "arn:aws:ds:eu-central-1:111122223333:user/x",
            ),
            (json!({"accountId": a, "invokedBy": "AWS Internal"}), "AWS Internal"),
            (json!({"accountId": a, "invokedBy": "Amazon Internal"}), "AWS Internal"),
            (json!({"accountId": a, "invokedBy": "AWS Internal/5"}), "AWS Internal"),
            (json!({"type": 7, "accountId": 111_122_223_333_u64}), a),
        ] {
            assert_eq!(principal_of(&identity), expected, "{identity}");
        }
    }

    #[test]
    fn the_session_is_kept_apart() {
        let named =
            json!({"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/Deploy/ana@example.com"});
        assert_eq!(of(&named).session.as_deref(), Some("ana@example.com"));
        let identified = json!({"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/Deploy/whatever",
                                "sessionContext": {"sourceIdentity": "ana"}});
        assert_eq!(of(&identified).session.as_deref(), Some("ana"), "the caller cannot choose the source identity");
        assert_eq!(of(&json!({"type": "AWSAccount", "principalId": "AROAEXAMPLE:bo"})).session.as_deref(), Some("bo"));
        assert_eq!(of(&json!({"type": "IAMUser", "principalId": "AIDAEXAMPLE:x"})).session, None);
    }

    #[test]
    fn a_human_stays_visible_behind_a_service() {
        let on_behalf = of(
            &json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/Ana", "invokedBy": "lambda.amazonaws.com"}),
        );
        assert_eq!(on_behalf.principal.as_deref(), Some("arn:aws:iam::111122223333:user/Ana"));
        assert_eq!(on_behalf.service.as_deref(), Some("lambda.amazonaws.com"));
    }

    #[test]
    fn mfa_is_read_from_text_and_boolean() {
        for (value, expected) in
            [(json!("true"), Some(true)), (json!("False"), Some(false)), (json!(true), Some(true)), (json!(1), None)]
        {
            let identity = json!({"type": "IAMUser", "sessionContext": {"attributes": {"mfaAuthenticated": value}}});
            assert_eq!(of(&identity).mfa, expected);
        }
    }

    #[test]
    fn an_odd_identity_is_no_reason_to_fail() {
        for odd in
            [json!(null), json!("..."), json!([]), json!({}), json!({"type": {}, "arn": 5, "sessionContext": "x"})]
        {
            let actor = of(&odd);
            assert_eq!(actor.principal, None, "{odd}");
            assert_eq!(actor.ip.as_deref(), Some("192.0.2.7"));
        }
        assert_eq!(principal_of(&json!({"type": "AssumedRole", "arn": "nonsense"})), "nonsense");
    }
}
