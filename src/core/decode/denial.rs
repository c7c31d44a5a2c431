//! How a call ended, and which policy family said no.

use super::read::{Object, text};
use crate::core::event::{DeniedBy, Outcome};

/// Reads the outcome from `errorCode` and `errorMessage`. The codes are never listed in full: what is not known as
/// an authorization failure is a failure.
///
/// `DryRunOperationException` is `Failed` too, although it means that the call *would* have succeeded; rules that
/// look for probing match the code.
pub(super) fn outcome(detail: &Object) -> (Outcome, Option<DeniedBy>) {
    let message = text(detail, "errorMessage");
    match text(detail, "errorCode") {
        Some(code) if is_denial(code) => (Outcome::Denied, Some(denied_by(message.unwrap_or_default()))),
        Some(_) => (Outcome::Failed, None),
        None if message.is_some() => (Outcome::Failed, None),
        None => (Outcome::Success, None),
    }
}

/// `AccessDenied` is what KMS events carry, `AccessDeniedException` what the API calls it, `VpceAccessDenied` what
/// network activity events say, `Client.UnauthorizedOperation` what EC2 says.
pub(crate) fn is_denial(code: &str) -> bool {
    ["AccessDenied", "Unauthorized", "NotAuthorized", "AuthorizationError"].iter().any(|word| code.contains(word))
}

/// Reads the policy family from the end of the text: what stands before "because" names the caller and the key and
/// is partly of the caller's choosing.
pub(crate) fn denied_by(message: &str) -> DeniedBy {
    let explicit = message.rsplit_once("with an explicit deny").map(|(_, cause)| cause);
    let cause = explicit.or_else(|| message.rsplit_once(" because ").map(|(_, cause)| cause)).unwrap_or_default();
    let cause = cause.to_ascii_lowercase();
    let unsaid = if explicit.is_some() { DeniedBy::ExplicitDeny } else { DeniedBy::Unknown };
    FAMILIES.iter().find(|(words, _)| cause.contains(words)).map_or(unsaid, |(_, family)| *family)
}

/// The words AWS uses for each family (IAM user guide, "Troubleshoot access denied error messages").
const FAMILIES: &[(&str, DeniedBy)] = &[
    ("identity-based polic", DeniedBy::IdentityPolicy),
    ("resource-based polic", DeniedBy::ResourcePolicy),
    ("session polic", DeniedBy::SessionPolicy),
    ("permissions boundar", DeniedBy::PermissionsBoundary),
    ("service control polic", DeniedBy::ServiceControlPolicy),
    ("resource control polic", DeniedBy::ResourceControlPolicy),
    ("vpc endpoint polic", DeniedBy::VpcEndpointPolicy),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(code: &str, message: &str) -> (Outcome, Option<DeniedBy>) {
        outcome(json!({ "errorCode": code, "errorMessage": message }).as_object().unwrap())
    }

    #[test]
    fn both_spellings_of_a_denial_count() {
        for code in ["AccessDenied", "AccessDeniedException", "VpceAccessDenied", "Client.UnauthorizedOperation"] {
            assert_eq!(of(code, "").0, Outcome::Denied, "{code}");
        }
        for code in ["DisabledException", "KMSInvalidStateException", "DryRunOperationException", "NeverSeenException"]
        {
            assert_eq!(of(code, ""), (Outcome::Failed, None), "{code}");
        }
        assert_eq!(outcome(&Object::new()), (Outcome::Success, None));
        assert_eq!(outcome(json!({ "errorCode": null }).as_object().unwrap()).0, Outcome::Success);
        assert_eq!(outcome(json!({ "errorMessage": "Failed authentication" }).as_object().unwrap()).0, Outcome::Failed);
    }

    #[test]
    fn the_policy_family_is_read_from_the_text() {
        let who = "User: arn:aws:sts::111122223333:assumed-role/app/s is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
        for (cause, family) in [
            ("because no identity-based policy allows the kms:Decrypt action", DeniedBy::IdentityPolicy),
            ("because no resource-based policy allows the kms:Decrypt action", DeniedBy::ResourcePolicy),
            ("because no session policy allows the kms:Decrypt action", DeniedBy::SessionPolicy),
            ("because no permissions boundary allows the kms:Decrypt action", DeniedBy::PermissionsBoundary),
            ("because no service control policy allows the kms:Decrypt action", DeniedBy::ServiceControlPolicy),
            ("because no VPC endpoint policy allows the kms:Decrypt action", DeniedBy::VpcEndpointPolicy),
            ("with an explicit deny in an identity-based policy", DeniedBy::IdentityPolicy),
            ("with an explicit deny in a resource-based policy", DeniedBy::ResourcePolicy),
            ("with an explicit deny in a service control policy", DeniedBy::ServiceControlPolicy),
            ("with an explicit deny in a resource control policy", DeniedBy::ResourceControlPolicy),
            ("with an explicit deny", DeniedBy::ExplicitDeny),
            (
                "on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access",
                DeniedBy::ResourcePolicy,
            ),
            ("", DeniedBy::Unknown),
        ] {
            assert_eq!(of("AccessDenied", &format!("{who} {cause}")).1, Some(family), "{cause}");
        }
    }
}
