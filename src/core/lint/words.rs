//! Fields whose values are known: what can never be there is a slip of the pen.

use serde_json::{Value, json};

use super::facts::{self, NATIVE_MEMBERS};
use super::names::{self, NAMES, NATIVE};
use super::walk::{Branch, Clause, admits, word};
use crate::base::diagnostic::{Problem, closest, did_you_mean};
use crate::core::event::RECORDED;
use crate::core::observe;

/// Fields with few possible values.
const VALUES: &[(&str, &[&str])] = &[
    ("outcome", &["success", "denied", "failed"]),
    (
        "denied_by",
        &[
            "identity_policy",
            "resource_policy",
            "session_policy",
            "permissions_boundary",
            "service_control_policy",
            "resource_control_policy",
            "vpc_endpoint_policy",
            "explicit_deny",
            "unknown",
        ],
    ),
    (
        "key.state",
        &[
            "Creating",
            "Enabled",
            "Disabled",
            "PendingDeletion",
            "PendingImport",
            "PendingReplicaDeletion",
            "Deleted",
            "Unavailable",
            "Updating",
        ],
    ),
    ("access.external_gained", &["use", "administer", "grant", "delete", "cancel_deletion", "change_policy", "read"]),
    ("access.nobody_can", &["use", "administer", "grant", "delete", "cancel_deletion", "change_policy"]),
    ("access.perhaps_nobody_can", &["administer", "cancel_deletion", "change_policy"]),
    ("grant.kind", &["account", "user", "role", "session", "service", "instance", "id", "unknown"]),
    ("key.manager", &["CUSTOMER", "AWS"]),
    ("key.origin", &["AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"]),
    ("trail.records_kms", &["all", "writes", "reads", "none"]),
];

/// Fields that are true or false.
const BOOLEANS: &[&str] = &[
    "access.compared",
    "access.lockout",
    "access.public",
    "access.root",
    "actor.external",
    "actor.mfa",
    "detail.managementEvent",
    "detail.readOnly",
    "grant.can_create_grants",
    "grant.constrained",
    "grant.external",
    "grant.human",
    "key.multi_region",
    "pipeline.ours",
    "pipeline.reaches_us",
    "replica.allowed",
    "rotation.lengthened",
];

/// Fields whose values are text even where they consist of digits.
const TEXTS: &[&str] = &[
    "account",
    "region",
    "source",
    "detail-type",
    "key.account",
    "key.id",
    "key.arn",
    "actor.account",
    "actor.principal",
    "detail.eventName",
    "detail.eventSource",
    "detail.errorCode",
    "detail.recipientAccountId",
    "detail.userIdentity.accountId",
];

/// Kinds of identity; AWS adds to them, so only what resembles one is a slip.
const IDENTITIES: &[&str] = &[
    "AWSAccount",
    "AWSService",
    "AssumedRole",
    "Directory",
    "FederatedUser",
    "IAMUser",
    "IdentityCenterUser",
    "Role",
    "Root",
    "SAMLUser",
    "Unknown",
    "WebIdentityUser",
];

/// Members of `userIdentity`.
const IDENTITY_MEMBERS: &[&str] = &[
    "accessKeyId",
    "accountId",
    "arn",
    "credentialId",
    "identityProvider",
    "inScopeOf",
    "invokedBy",
    "invokedByDelegate",
    "onBehalfOf",
    "principalId",
    "sessionContext",
    "type",
    "userName",
];

const CALL: &[&str] =
    &["AWS API Call via CloudTrail", "AWS Network Activity Event via CloudTrail", "AWS Service Event via CloudTrail"];

/// Values and names of one combination that can never be there.
pub(super) fn check(branch: &Branch<'_>, problems: &mut Vec<Problem>) {
    let kms = facts::is_kms(branch);
    for clause in branch {
        if let Some((_, words)) = VALUES.iter().find(|(path, _)| *path == clause.path) {
            none_of(clause, words, problems);
        }
        match clause.path.as_str() {
            path if BOOLEANS.contains(&path) => booleans(clause, problems),
            "detail-type" if kms => {
                let known: Vec<&str> = CALL.iter().chain(NATIVE).copied().collect();
                none_of(clause, &known, problems);
            }
            "detail-type" => families(clause, problems),
            "actor.type" | "detail.userIdentity.type" => resembling(clause, IDENTITIES, |_| true, problems),
            "detail.eventName" => event_names(clause, kms, problems),
            "source" => sources(clause, problems),
            "detail.eventSource" => event_sources(clause, problems),
            _ => {}
        }
        if TEXTS.contains(&clause.path.as_str()) {
            texts(clause, problems);
        }
        member(clause, kms || is_recorded(branch), kms, problems);
    }
}

/// Values none of which the field can have.
fn none_of(clause: &Clause<'_>, words: &[&str], problems: &mut Vec<Problem>) {
    for item in clause.items() {
        let list = json!([item.to_json()]);
        if admits(&list, None) || words.iter().any(|known| admits(&list, Some(&Value::from(*known)))) {
            continue;
        }
        let (shown, hint) = match word(item) {
            Some(text) => (format!("`{text}`"), did_you_mean(text, words, "possible values")),
            None => ("this".to_owned(), format!("possible values: `{}`", words.join("`, `"))),
        };
        let message = format!("`{}` is never {shown}", clause.path);
        problems.push(Problem::warning(item.span.clone(), message).hint(hint));
    }
}

/// Families of events that are meant to be CloudTrail's or KMS's and are almost so. Other services have theirs.
fn families(clause: &Clause<'_>, problems: &mut Vec<Problem>) {
    const OTHERS: &[&str] =
        &["AWS Console Action via CloudTrail", "AWS Console Sign In via CloudTrail", "AWS Insight via CloudTrail"];
    let known: Vec<&str> = CALL.iter().chain(NATIVE).chain(OTHERS).chain(&[observe::DETAIL_TYPE]).copied().collect();
    let meant = |text: &str| {
        let folded = text.to_ascii_lowercase();
        folded.ends_with("cloudtrail") || folded.starts_with("kms ")
    };
    resembling(clause, &known, meant, problems);
}

/// Values that are almost, but not quite, a known one.
fn resembling(clause: &Clause<'_>, words: &[&str], meant: impl Fn(&str) -> bool, problems: &mut Vec<Problem>) {
    for item in clause.items() {
        let Some(text) = word(item).filter(|text| !words.contains(text) && meant(text)) else { continue };
        if let Some(near) = closest(text, words.iter().copied()) {
            let message = format!("`{}` is never `{text}` as far as kmswatch knows", clause.path);
            problems.push(Problem::warning(item.span.clone(), message).hint(format!("did you mean `{near}`?")));
        }
    }
}

fn booleans(clause: &Clause<'_>, problems: &mut Vec<Problem>) {
    for item in clause.items() {
        let list = json!([item.to_json()]);
        let possible = [Some(json!(true)), Some(json!(false)), None];
        if !possible.iter().any(|value| admits(&list, value.as_ref())) {
            let message = format!("`{}` is either true or false", clause.path);
            problems.push(Problem::warning(item.span.clone(), message).hint("write true or false without quotes"));
        }
    }
}

fn texts(clause: &Clause<'_>, problems: &mut Vec<Problem>) {
    for item in clause.items() {
        let plain = item.to_json();
        let digits = plain.as_object().and_then(|op| op.get("numeric")).is_some();
        if plain.is_number() || plain.is_boolean() || digits {
            let message = format!("`{}` is text, which no number equals", clause.path);
            problems.push(Problem::warning(item.span.clone(), message).hint("put the value in quotes"));
        }
    }
}

fn event_names(clause: &Clause<'_>, kms: bool, problems: &mut Vec<Problem>) {
    let of_kms = || NAMES.iter().filter(|known| known.source == "aws.kms").map(|known| known.name);
    for item in clause.items() {
        let list = json!([item.to_json()]);
        let fits = |name: &str| admits(&list, Some(&Value::from(name)));
        if admits(&list, None) || NAMES.iter().any(|known| fits(known.name)) {
            continue;
        }
        let Some(text) = word(item) else {
            if kms && !of_kms().any(fits) {
                problems.push(
                    Problem::warning(item.span.clone(), "no event of KMS that kmswatch knows has such a name")
                        .hint("names are case-sensitive, such as `DisableKey`"),
                );
            }
            continue;
        };
        if let Some(spelled) = names::spelled(text) {
            problems.push(
                Problem::warning(item.span.clone(), format!("no event is called `{text}`"))
                    .hint(format!("did you mean `{spelled}`? Names are case-sensitive")),
            );
        } else if kms {
            let hint = match closest(text, of_kms()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "if AWS has added it since, this is no mistake".to_owned(),
            };
            problems.push(
                Problem::warning(item.span.clone(), format!("kmswatch knows no event of KMS called `{text}`"))
                    .hint(hint),
            );
        }
    }
}

fn sources(clause: &Clause<'_>, problems: &mut Vec<Problem>) {
    for item in clause.items() {
        let Some(text) = word(item) else { continue };
        let meant = match text.strip_suffix(".amazonaws.com") {
            Some(service) => Some(format!("aws.{service}")),
            None => Some(text.to_ascii_lowercase()).filter(|lower| lower.starts_with("aws.") && lower != text),
        };
        if let Some(meant) = meant {
            problems.push(
                Problem::warning(item.span.clone(), format!("no event has the source `{text}`"))
                    .hint(format!("did you mean `{meant}`?")),
            );
        }
    }
}

fn event_sources(clause: &Clause<'_>, problems: &mut Vec<Problem>) {
    for item in clause.items() {
        let Some(text) = word(item) else { continue };
        let meant = match text.strip_prefix("aws.") {
            Some(service) => Some(format!("{service}.amazonaws.com")),
            None => Some(text.to_ascii_lowercase()).filter(|lower| lower.ends_with(".amazonaws.com") && lower != text),
        };
        if let Some(meant) = meant {
            problems.push(
                Problem::warning(item.span.clone(), format!("no event has the eventSource `{text}`"))
                    .hint(format!("did you mean `{meant}`?")),
            );
        }
    }
}

/// Whether the pattern asks for records of `CloudTrail`.
fn is_recorded(branch: &Branch<'_>) -> bool {
    branch.iter().any(|clause| match clause.path.as_str() {
        "detail.eventName" | "detail.eventSource" => true,
        "detail-type" => clause.words().is_some_and(|words| words.iter().all(|word| word.ends_with(" via CloudTrail"))),
        _ => false,
    })
}

/// Members of `detail` that nobody fills.
fn member(clause: &Clause<'_>, recorded: bool, kms: bool, problems: &mut Vec<Problem>) {
    let mut steps = clause.path.split('.');
    if !recorded || steps.next() != Some("detail") {
        return;
    }
    let (Some(first), second) = (steps.next(), steps.next()) else { return };
    let known = || RECORDED.iter().chain(NATIVE_MEMBERS).copied();
    let (unknown, near, certain) = match second {
        Some(second) if first == "userIdentity" => {
            let near = closest(second, IDENTITY_MEMBERS.iter().copied());
            (!IDENTITY_MEMBERS.contains(&second), near.map(|near| format!("detail.userIdentity.{near}")), false)
        }
        _ => {
            (!known().any(|member| member == first), closest(first, known()).map(|near| format!("detail.{near}")), kms)
        }
    };
    if !unknown || (near.is_none() && !certain) {
        return;
    }
    let hint = near.map_or_else(
        || "see the fields of CloudTrail's record; parameters stand below `detail.requestParameters`".to_owned(),
        |near| format!("did you mean `{near}`? Names are case-sensitive"),
    );
    let message = format!("events have no `{}` that kmswatch knows", clause.path);
    problems.push(Problem::warning(clause.name.span.clone(), message).hint(hint));
}
