//! Names of `CloudTrail`'s record: where a Sigma field stands in the event, and which fields hold words whose case AWS documents.

use crate::core::lint::names::spelled;

/// Members that Sigma rules name, as `CloudTrail` spells them.
const MEMBERS: &[&str] = &[
    "additionalEventData",
    "additionalEventData.MFAUsed",
    "addendum",
    "apiVersion",
    "awsRegion",
    "errorCode",
    "errorMessage",
    "eventCategory",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "managementEvent",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "resources",
    "resources.ARN",
    "resources.accountId",
    "resources.type",
    "responseElements",
    "serviceEventDetails",
    "sessionCredentialFromConsole",
    "sharedEventID",
    "sourceIPAddress",
    "tlsDetails",
    "tlsDetails.cipherSuite",
    "tlsDetails.clientProvidedHostHeader",
    "tlsDetails.tlsVersion",
    "userAgent",
    "userIdentity",
    "userIdentity.accessKeyId",
    "userIdentity.accountId",
    "userIdentity.arn",
    "userIdentity.identityProvider",
    "userIdentity.invokedBy",
    "userIdentity.principalId",
    "userIdentity.sessionContext",
    "userIdentity.sessionContext.attributes",
    "userIdentity.sessionContext.attributes.creationDate",
    "userIdentity.sessionContext.attributes.mfaAuthenticated",
    "userIdentity.sessionContext.sessionIssuer",
    "userIdentity.sessionContext.sessionIssuer.accountId",
    "userIdentity.sessionContext.sessionIssuer.arn",
    "userIdentity.sessionContext.sessionIssuer.principalId",
    "userIdentity.sessionContext.sessionIssuer.type",
    "userIdentity.sessionContext.sessionIssuer.userName",
    "userIdentity.sessionContext.sourceIdentity",
    "userIdentity.type",
    "userIdentity.userName",
    "vpcEndpointAccountId",
    "vpcEndpointId",
];

/// Members that hold tables: patterns compare values, so these cannot be compared themselves.
const TABLES: &[&str] = &[
    "additionalEventData",
    "addendum",
    "requestParameters",
    "resources",
    "responseElements",
    "serviceEventDetails",
    "tlsDetails",
    "userIdentity",
    "userIdentity.sessionContext",
    "userIdentity.sessionContext.attributes",
    "userIdentity.sessionContext.sessionIssuer",
];

/// A field's place in the event document: the names from `detail` on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    /// What people look for first comes first.
    rank: u8,
    steps: Vec<String>,
}

impl Path {
    /// The place of a Sigma field; `None` if a part of its name is empty. The second part is false for a name that
    /// `CloudTrail`'s record does not have.
    pub(super) fn of_field(field: &str) -> Option<(Self, bool)> {
        let bare = field.strip_prefix("detail.").unwrap_or(field);
        let steps: Vec<&str> = bare.split('.').map(without_index).collect();
        if steps.iter().any(|step| step.is_empty()) {
            return None;
        }
        let mut name = String::new();
        let mut known = false;
        for step in steps {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(step);
            if let Some(member) = MEMBERS.iter().find(|member| member.eq_ignore_ascii_case(&name)) {
                known = true;
                (*member).clone_into(&mut name);
            }
        }
        Some((Self::of(&name), known))
    }

    /// The place of a member of `CloudTrail`'s record.
    pub(super) fn of(name: &str) -> Self {
        let rank = match name {
            "eventSource" => 0,
            "eventName" => 1,
            _ => 2,
        };
        Self { rank, steps: std::iter::once("detail").chain(name.split('.')).map(str::to_owned).collect() }
    }

    pub(super) fn steps(&self) -> &[String] {
        &self.steps
    }

    /// The dotted name inside of `detail`.
    pub(super) fn member(&self) -> String {
        self.steps.get(1..).unwrap_or_default().join(".")
    }

    pub(super) fn is_table(&self) -> bool {
        TABLES.contains(&self.member().as_str())
    }

    /// Whether one of the two lies inside of the other.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        self != other && (self.steps.starts_with(&other.steps) || other.steps.starts_with(&self.steps))
    }

    /// Whether the value is text in every event, also where it is made of digits.
    pub(super) fn is_text(&self) -> bool {
        let member = self.member();
        MEMBERS.contains(&member.as_str()) && !matches!(member.as_str(), "readOnly" | "managementEvent")
    }

    /// Whether the value is true or false in every event, and never a word.
    pub(super) fn is_boolean(&self) -> bool {
        matches!(self.member().as_str(), "readOnly" | "managementEvent")
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.steps.join("."))
    }
}

/// `items{}`, `resources[0]` and `resources[*]` mean any element, as a name without them does here.
fn without_index(step: &str) -> &str {
    let open = step.find(['{', '[']);
    match open.and_then(|open| step.split_at_checked(open)) {
        Some((name, index)) if index.ends_with(['}', ']']) => name,
        _ => step,
    }
}

/// How AWS spells this value, where the field holds words whose case is documented and this looks like one of them;
/// then a comparison with case loses nothing.
pub(super) fn documented(path: &Path, value: &str, whole: bool) -> Option<String> {
    let capital = value.starts_with(|c: char| c.is_ascii_uppercase());
    match path.member().as_str() {
        "eventSource" | "awsRegion" => Some(value.to_ascii_lowercase()),
        "eventName" => {
            let known = if whole { spelled(value) } else { None };
            known.map(str::to_owned).or_else(|| capital.then(|| value.to_owned()))
        }
        "errorCode" | "eventCategory" | "eventType" | "userIdentity.type" => capital.then(|| value.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_find_their_place() {
        let place = |field: &str| Path::of_field(field).map(|(path, known)| (path.to_string(), known));
        for (field, expected, known) in [
            ("eventName", "detail.eventName", true),
            ("eventname", "detail.eventName", true),
            ("detail.eventName", "detail.eventName", true),
            ("userIdentity.TYPE", "detail.userIdentity.type", true),
            ("requestParameters.Thing", "detail.requestParameters.Thing", true),
            ("resources[0].arn", "detail.resources.ARN", true),
            ("requestParameters.ipPermissions.items{}.x", "detail.requestParameters.ipPermissions.items.x", true),
            ("event.action", "detail.event.action", false),
        ] {
            assert_eq!(place(field), Some((expected.into(), known)), "{field}");
        }
        assert_eq!(place("a..b"), None);
        assert_eq!(place(""), None);
    }

    #[test]
    fn case_is_known_where_aws_documents_it() {
        let case = |field: &str, value: &str| documented(&Path::of(field), value, true);
        assert_eq!(case("eventName", "disablekey").as_deref(), Some("DisableKey"));
        assert_eq!(case("eventName", "NewThing").as_deref(), Some("NewThing"));
        assert_eq!(case("eventName", "newThing"), None);
        assert_eq!(case("eventSource", "KMS.amazonaws.com").as_deref(), Some("kms.amazonaws.com"));
        assert_eq!(case("userAgent", "Boto3"), None);
    }
}
