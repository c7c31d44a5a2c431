//! Who belongs to us: `[trust]`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

use super::action::fits;
use super::party::account_of;
use crate::base::diagnostic::Problem;
use crate::base::region::is_region;

/// `[trust]`: who belongs to us. Whoever is neither here nor of the account of the event is "external".
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrustSpec {
    /// Ids of accounts that are ours, twelve digits each. The account in which an event happened always is.
    #[schemars(with = "Vec<String>")]
    pub accounts: Vec<Spanned<String>>,
    /// Ids of organizations that are ours, such as "o-a1b2c3d4e5".
    #[schemars(with = "Vec<String>")]
    pub organizations: Vec<Spanned<String>>,
    /// Regions that keys may be replicated into, such as "eu-west-1". Without any, no Region is better than another.
    #[schemars(with = "Vec<String>")]
    pub regions: Vec<Spanned<String>>,
    /// ARNs of principals that are trusted although their account is not; `*` stands for any characters.
    #[schemars(with = "Vec<String>")]
    pub principals: Vec<Spanned<String>>,
}

impl TrustSpec {
    pub fn check(&self, problems: &mut Vec<Problem>) {
        for account in &self.accounts {
            if !is_account(account.get_ref()) {
                problems.push(
                    Problem::error(account.span(), format!("`{}` is not an account id", account.get_ref()))
                        .hint("an account id has twelve digits, such as \"111122223333\""),
                );
            }
        }
        for organization in &self.organizations {
            if !is_organization(organization.get_ref()) {
                problems.push(
                    Problem::error(
                        organization.span(),
                        format!("`{}` is not an organization's id", organization.get_ref()),
                    )
                    .hint("it begins with `o-` and has 10 to 32 lower-case letters and digits: `aws organizations describe-organization`"),
                );
            }
        }
        for region in &self.regions {
            if !is_region(region.get_ref()) {
                problems.push(
                    Problem::error(region.span(), format!("`{}` is not a region", region.get_ref()))
                        .hint("write it like \"eu-central-1\""),
                );
            }
        }
        for principal in &self.principals {
            check_principal(principal, problems);
        }
    }

    pub fn compile(&self) -> Trust {
        let texts = |list: &[Spanned<String>]| list.iter().map(|text| text.get_ref().clone()).collect();
        Trust {
            accounts: texts(&self.accounts),
            organizations: texts(&self.organizations),
            regions: texts(&self.regions),
            principals: self.principals.iter().map(|text| text.get_ref().clone()).collect(),
        }
    }
}

fn check_principal(principal: &Spanned<String>, problems: &mut Vec<Problem>) {
    let text = principal.get_ref();
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", _, _, _, account, _] = parts.as_slice() else {
        problems.push(
            Problem::error(principal.span(), format!("`{text}` is not the ARN of a principal"))
                .hint("write \"arn:aws:iam::444455556666:role/backup-*\", or name a whole account in `accounts`"),
        );
        return;
    };
    if !is_account(account) {
        problems.push(
            Problem::error(principal.span(), "this trusts principals of every account, an attacker's too")
                .hint("name the account in full: \"arn:aws:iam::444455556666:role/backup-*\""),
        );
    }
}

/// Who belongs to us beside the account of the event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    accounts: BTreeSet<String>,
    organizations: BTreeSet<String>,
    regions: BTreeSet<String>,
    principals: Vec<String>,
}

impl Trust {
    pub(super) fn has_account(&self, account: &str) -> bool {
        self.accounts.contains(account)
    }

    pub(super) fn has_organization(&self, id: &str) -> bool {
        self.organizations.contains(id)
    }

    /// Whether a key may be replicated into a Region; `None` where nobody says which.
    pub(super) fn allows_region(&self, region: &str) -> Option<bool> {
        (!self.regions.is_empty()).then(|| self.regions.contains(region))
    }

    /// Whether an ARN, or each of those that a pattern may stand for, is of ours.
    pub(super) fn has_principal(&self, arn: &str) -> bool {
        account_of(arn).is_some_and(|account| self.has_account(account))
            || self.principals.iter().any(|ours| fits(ours.as_bytes(), arn.as_bytes()))
    }
}

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn is_organization(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|id| {
        (10..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        let spec: TrustSpec = toml::from_str(toml).unwrap();
        let mut problems = vec![];
        spec.check(&mut problems);
        assert!(problems.iter().all(|p| p.hint.is_some() && !p.span.is_empty()), "{problems:?}");
        problems.into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn each_mistake_is_named() {
        for (toml, expected) in [
            ("accounts = ['11112222333']", "`11112222333` is not an account id"),
            ("organizations = ['O-A1B2C3D4E5']", "is not an organization's id"),
            ("organizations = ['o-*']", "is not an organization's id"),
            ("regions = ['eu-west']", "`eu-west` is not a region"),
            ("regions = ['*']", "`*` is not a region"),
            ("regions = ['EU-WEST-1']", "`EU-WEST-1` is not a region"),
            ("principals = ['*']", "`*` is not the ARN of a principal"),
            ("principals = ['arn:aws:iam::*:role/backup']", "every account"),
            ("principals = ['arn:aws:iam::4444*:role/backup']", "every account"),
        ] {
            let found = problems(toml);
            assert!(found.len() == 1 && found[0].contains(expected), "{toml}: {found:?}");
        }
        assert_eq!(
            problems(
                "accounts = ['111122223333']\norganizations = ['o-a1b2c3d4e5']\nregions = ['eu-west-1', 'us-gov-east-1']\nprincipals = ['arn:aws:iam::444455556666:role/backup-*']"
            ),
            [""; 0]
        );
    }

    #[test]
    fn a_pattern_is_trusted_only_if_all_it_stands_for_is() {
        let trust =
            Trust { principals: vec!["arn:aws:iam::444455556666:role/backup-*".to_owned()], ..Trust::default() };
        assert!(trust.has_principal("arn:aws:iam::444455556666:role/backup-db"));
        assert!(trust.has_principal("arn:aws:iam::444455556666:role/backup-*"));
        assert!(!trust.has_principal("arn:aws:iam::444455556666:role/*"));
        assert!(!trust.has_principal("arn:aws:iam::444455556666:role/other"));
    }
}
