//! What the key's policy and its grants give, and to whom.

use super::row::{Row, Who};
use super::{Findings, Judge, checks, some_of};
use crate::core::access::{Grant, Reading, read_grant, read_policy};
use crate::core::inspection::{Grants, Inspection};
use crate::core::render::clean;

/// Names kept of each list.
const KEPT_MAX: usize = 50;

/// Says whether the policy was there and could be understood.
pub(super) fn judge(judge: &Judge<'_>, inspection: &Inspection, row: &mut Row, findings: &mut Findings) -> bool {
    let mut understood = false;
    if let Some(policy) = inspection.policy.known() {
        match read_policy(policy, &inspection.arn, judge.trust) {
            Ok(reading) => {
                understood = true;
                row.who = Some(who(&reading));
                by_policy(&reading, findings);
            }
            Err(why) => findings.add(&checks::POLICY_UNCLEAR, &why),
        }
    }
    if let Some(grants) = inspection.grants.known() {
        by_grants(judge, inspection, grants, row, findings);
    }
    understood
}

fn who(reading: &Reading) -> Who {
    let kept = |names: &[String]| names.iter().take(KEPT_MAX).cloned().collect();
    let access = &reading.access;
    Who {
        uses: kept(&access.can_use),
        administer: kept(&access.can_administer),
        grant: kept(&access.can_grant),
        delete: kept(&access.can_delete),
        change_policy: kept(&access.can_change_policy),
        by_grant: Vec::new(),
        root: access.root,
    }
}

fn by_policy(reading: &Reading, findings: &mut Findings) {
    let access = &reading.access;
    if access.public == Some(true) {
        let broad = access.given.iter().filter(|line| line.starts_with("anybody")).cloned().collect::<Vec<_>>();
        findings.add(&checks::PUBLIC, &some_of(&broad));
    }
    if !access.external.is_empty() {
        findings.add(&checks::EXTERNAL, &format!("the policy lets in {}", some_of(&access.external)));
    }
    if access.lockout == Some(true) {
        findings.add(&checks::LOCKED_OUT, "nobody of the account has kms:PutKeyPolicy by the policy");
    } else if access.root == Some(false) {
        // The account itself may still change the policy, through IAM, without having everything.
        let itself = access.can_change_policy.len() > reading.own_editors.len();
        match reading.own_editors.as_slice() {
            [only] if !itself => findings.add(&checks::LOCKOUT_PRONE, &format!("only {only} may change the policy")),
            _ => findings.add(&checks::NO_ROOT, "the account's root does not have every permission"),
        }
    }
    if access.nobody_can.iter().any(|ability| ability == "cancel_deletion") && access.lockout != Some(true) {
        findings.add(&checks::NOBODY_CAN_CANCEL, "nobody of the account has kms:CancelKeyDeletion by the policy");
    }
    if !reading.all_powerful.is_empty() && access.public != Some(true) {
        findings.add(&checks::ALL_POWERFUL, &format!("everything is allowed to {}", some_of(&reading.all_powerful)));
    }
    let both: Vec<&String> = reading
        .own_editors
        .iter()
        .filter(|editor| access.can_use.contains(editor) && !reading.all_powerful.contains(editor))
        .collect();
    if !both.is_empty() {
        findings.add(&checks::USER_CHANGES_POLICY, &format!("both is allowed to {}", some_of(&both)));
    }
    if !reading.gone.is_empty() {
        findings.add(&checks::PRINCIPAL_GONE, &format!("of deleted principals there are {}", some_of(&reading.gone)));
    }
    if !access.unknown.is_empty() {
        findings.add(&checks::POLICY_UNCLEAR, &some_of(&access.unknown));
    }
}

fn by_grants(judge: &Judge<'_>, inspection: &Inspection, grants: &Grants, row: &mut Row, findings: &mut Findings) {
    let read: Vec<Grant> =
        grants.all.iter().filter_map(|grant| read_grant(grant, &inspection.arn, judge.trust)).collect();
    let names = |wanted: &dyn Fn(&Grant) -> bool| {
        let mut names: Vec<String> =
            read.iter().filter(|grant| wanted(grant)).filter_map(|grant| grant.grantee.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let by_service = |grant: &Grant| grant.service.is_some();
    let mut tell = |check: &'static checks::Check, found: Vec<String>| {
        if !found.is_empty() {
            findings.add(check, &format!("the grantees are {}", some_of(&found)));
        }
    };
    tell(&checks::GRANT_EXTERNAL, names(&|grant| grant.external == Some(true)));
    tell(&checks::GRANT_SPREADS, names(&|grant| grant.can_create_grants == Some(true) && !by_service(grant)));
    tell(&checks::GRANT_GONE, names(&|grant| grant.kind == Some("id")));
    let decrypts = |grant: &Grant| grant.operations.iter().any(|name| name == "Decrypt");
    tell(
        &checks::GRANT_OPEN,
        names(&|grant| decrypts(grant) && grant.constrained == Some(false) && !by_service(grant)),
    );
    let who = row.who.get_or_insert_with(Who::default);
    who.by_grant = names(&|_| true).iter().take(KEPT_MAX).map(|name| clean(name, 200)).collect();
}
