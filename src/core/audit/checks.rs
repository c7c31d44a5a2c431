//! The table of all checks.
//!
//! Controls of others are named only where theirs asks the same of a key: AWS Security Hub's controls for KMS, and the CIS AWS
//! Foundations Benchmark as Security Hub maps it.

use serde::Serialize;

use crate::core::rule::Severity;

/// One thing that an audit looks at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    #[serde(rename = "check")]
    pub id: &'static str,
    /// How bad it usually is; circumstances may raise a finding.
    #[serde(skip)]
    pub severity: Severity,
    pub title: &'static str,
    pub why: &'static str,
    pub action: &'static str,
    /// Controls of others that ask the same.
    #[serde(skip_serializing_if = "is_empty")]
    pub controls: &'static [&'static str],
}

fn is_empty(controls: &&'static [&'static str]) -> bool {
    controls.is_empty()
}

/// Writes the table once: a constant for each check, and the list of all.
macro_rules! checks {
    ($($name:ident = $severity:ident, $id:literal, $title:literal, [$($control:literal),*], $why:literal, $action:literal;)+) => {
        $(pub(super) static $name: Check = Check {
            id: $id, severity: Severity::$severity, title: $title, why: $why, action: $action, controls: &[$($control),*],
        };)+

        /// Every check there is.
        pub static CHECKS: &[&Check] = &[$(&$name),+];
    };
}

checks! {
    PENDING_DELETION = Critical, "pending-deletion", "Scheduled for deletion", ["Security Hub KMS.3"],
        "What is encrypted under it cannot be read now, and never again once it is deleted.",
        "If nobody meant this, cancel the deletion and enable the key; if somebody did, make sure that nothing is left under it.";
    DISABLED = Medium, "disabled", "Disabled", [],
        "Nothing under it can be read until it is enabled again. Who uses it fails, at the latest when a cached data key runs out.",
        "Enable it, or move what it protects and schedule its deletion.";
    NO_MATERIAL = High, "no-material", "No key material", [],
        "The key cannot be used at all until the very same material is imported again.",
        "Import the material; if it is lost, so is everything under the key.";
    MATERIAL_MISSING = High, "material-missing", "One of its key materials is not imported", [],
        "A key that holds several materials is unusable while any one of them is missing.",
        "Import the missing material again.";
    UNAVAILABLE = High, "unavailable", "Its key store does not answer", [],
        "A key in a custom key store works only while KMS reaches that store.",
        "Reconnect the store, and look at its cluster or its proxy.";
    MATERIAL_EXPIRES = Medium, "material-expires", "Imported key material expires", [],
        "At that moment KMS deletes the material and the key is unusable. KMS tells nobody beforehand.",
        "Import the material again with a later date, or without one.";
    IMPORTED_MATERIAL = Info, "imported-material", "Key material of your own", [],
        "KMS keeps no copy that would bring lost material back: only whoever imported it can.",
        "Make sure that the material is kept outside of AWS, and that somebody has tried to import it again.";
    OWN_KEY_STORE = Info, "own-key-store", "Kept in a custom key store", [],
        "Its availability is that of your own cluster or proxy, not that of KMS.",
        "Watch the store as closely as the key.";
    ROTATION_OFF = Medium, "rotation-off", "Does not rotate", [
        "Security Hub KMS.4", "CIS AWS Foundations 5.0.0/3.6", "CIS AWS Foundations 3.0.0/3.6", "CIS AWS Foundations 1.4.0/3.8",
        "CIS AWS Foundations 1.2.0/2.8"],
        "The same material protects everything that is ever encrypted under it.",
        "Enable automatic rotation. Old material stays, so nothing needs to be encrypted anew.";
    ROTATION_OVERDUE = Medium, "rotation-overdue", "Rotation is overdue", [],
        "It should have rotated by now and has not.",
        "Rotate it on demand, and find out why it did not happen.";
    ROTATION_SLOW = Low, "rotation-slow", "Rotates less often than it should", [],
        "The longer one material is in use, the more depends on it.",
        "Set a shorter rotation period.";
    ROTATIONS_USED_UP = Low, "rotations-used-up", "Few rotations on demand are left", [],
        "KMS allows 25 of them in the life of a key, and the number cannot be raised.",
        "Use automatic rotation, or plan a new key.";
    PUBLIC = Critical, "public", "Anybody may do something with it", ["Security Hub KMS.5"],
        "The policy lets in principals of any account, or keeps nobody out by who they are.",
        "Name the principals, or add a condition on the caller's account or organization.";
    EXTERNAL = High, "external", "Others than we may do something with it", [],
        "Accounts, organizations or principals that do not belong to us have permissions in the policy.",
        "Take them out; if they belong to us, name them in `[trust]`.";
    LOCKED_OUT = High, "locked-out", "Nobody of the account may change the policy", [],
        "Only AWS Support can make the key manageable again.",
        "Ask AWS Support; then give the account's root its permissions back.";
    LOCKOUT_PRONE = Medium, "lockout-prone", "One principal alone may change the policy", [],
        "If that role or user is deleted, nobody can manage the key any more.",
        "Give the account's root all permissions, or at least name a second principal.";
    NO_ROOT = Low, "no-root", "IAM policies do not count", [],
        "The account's root does not have every permission, so this policy alone says who may do what. That may be meant.",
        "Check that whoever must act in an emergency is named.";
    ALL_POWERFUL = Medium, "all-powerful", "Somebody may do everything with it", [],
        "Who uses a key need not be able to delete it, to open it to others or to change its policy.",
        "Split `kms:*` into what each principal does.";
    USER_CHANGES_POLICY = Low, "user-changes-policy", "Who uses it may change its policy", [],
        "Somebody who takes over the application takes over the key.",
        "Leave the policy to a role that does not use the key.";
    NOBODY_CAN_CANCEL = Medium, "nobody-can-cancel", "Nobody of the account may cancel a deletion", [],
        "A deletion by mistake could be stopped only after the policy is changed.",
        "Allow `kms:CancelKeyDeletion` to whoever answers the page.";
    PRINCIPAL_GONE = Low, "principal-gone", "The policy names somebody who is gone", [],
        "Of a deleted role or user only its id is left. A new one of the same name is somebody else and has no access.",
        "Name the new role, or take the id out.";
    POLICY_UNCLEAR = Low, "policy-unclear", "Parts of the policy were not understood", [],
        "What is not understood is not judged.",
        "Read these parts yourself.";
    GRANT_EXTERNAL = High, "grant-external", "A grant to others than us", [],
        "A grant works beside the policy, and outlives a change of credentials.",
        "Revoke it; if the grantee belongs to us, name it in `[trust]`.";
    GRANT_SPREADS = Medium, "grant-spreads", "A grant lets its grantee grant on", [],
        "Who holds it can let in others, and nobody sees that in the policy.",
        "Revoke it, or issue it again without `CreateGrant`.";
    GRANT_GONE = Low, "grant-gone", "A grant to somebody who is gone", [],
        "It helps nobody; what took the name of its grantee is denied, often without anybody noticing.",
        "Revoke it, and let whoever needs it ask for a new one.";
    GRANT_OPEN = Info, "grant-open", "A grant to decrypt without a constraint", [],
        "It lets its grantee decrypt everything that is under the key.",
        "Constrain it by an encryption context or a source ARN where the grantee allows that.";
    UNUSED = Low, "unused", "No use for long", [],
        "A key that nobody uses is a risk without a benefit, and costs money each month.",
        "Find out what it protects, disable it for a while, then delete it.";
    NO_ALIAS = Info, "no-alias", "No alias", [],
        "Nobody knows what it is for when an alert names it.",
        "Give it an alias that says whose it is.";
    MULTI_REGION = Info, "multi-region", "The same key in several Regions", [],
        "Each replica has a policy, grants and a deletion of its own.",
        "Audit and watch every Region it is in.";
    ENVIRONMENTS_MIXED = Medium, "environments-mixed", "Environments meet at it", [],
        "What is weak in one environment opens what is dear in the other.",
        "Give each environment its own key.";
}
