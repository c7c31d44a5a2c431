//! Whose keys, where: from the command line first, from `[lookups]` second, from the AWS environment third.

use serde_spanned::Spanned;

use super::Args;
use crate::base::aws::{AssumeRole, is_account, is_region};
use crate::config::Loaded;
use crate::core::render::clean;
use crate::keys::{Config, Inspector, Scope};

/// More than any set of Regions and accounts that one audit makes sense for.
const SCOPES_MAX: usize = 1_000;

/// `[lookups]` of the configuration, with the role of the command line.
pub(super) fn lookups(args: &Args, loaded: Option<&Loaded>) -> Result<Config, String> {
    let mut lookups = loaded.map(|loaded| loaded.config.lookups.clone()).unwrap_or_default();
    if let Some(role) = &args.role {
        let account = account_of(role).ok_or_else(|| {
            format!(
                "`{}` is not the ARN of a role, such as arn:aws:iam::111122223333:role/kmswatch-audit",
                clean(role, 200)
            )
        })?;
        let spanned = |text: &String| Spanned::new(0..0, text.clone());
        let role = AssumeRole {
            role_arn: spanned(role),
            external_id: args.external_id.as_ref().map(spanned),
            session_name: None,
            endpoint: lookups.assume_role.get(account).and_then(|known| known.endpoint.clone()),
        };
        lookups.assume_role.insert(account.to_owned(), role);
    }
    Ok(lookups)
}

/// All scopes, each once.
pub(super) async fn find(args: &Args, lookups: &Config, inspector: &Inspector) -> Result<Vec<Scope>, String> {
    let accounts = accounts(args, lookups)?;
    let mut regions: Vec<String> = args.region.clone();
    if regions.is_empty() {
        regions = lookups.regions.iter().map(|region| region.get_ref().clone()).collect();
    }
    if regions.is_empty() {
        regions.extend(inspector.default_region().await);
    }
    if regions.is_empty() {
        return Err("no Region is known: name one with --region, or set AWS_REGION".to_owned());
    }
    if let Some(wrong) = regions.iter().find(|region| !is_region(region)) {
        return Err(format!("`{}` is not a Region, such as eu-central-1", clean(wrong, 60)));
    }
    let mut scopes: Vec<Scope> = accounts
        .iter()
        .flat_map(|account| regions.iter().map(|region| Scope { account: account.clone(), region: region.clone() }))
        .collect();
    scopes.sort();
    scopes.dedup();
    if scopes.len() > SCOPES_MAX {
        return Err(format!("{} accounts and Regions are too many for one audit", scopes.len()));
    }
    Ok(scopes)
}

/// Accounts whose roles are taken on; `None` is our own.
fn accounts(args: &Args, lookups: &Config) -> Result<Vec<Option<String>>, String> {
    if let Some(account) = args.role.as_deref().and_then(account_of) {
        return Ok(vec![Some(account.to_owned())]);
    }
    if args.account.is_empty() {
        let known = lookups.assume_role.keys().cloned().map(Some);
        return Ok(std::iter::once(None).chain(known).collect());
    }
    for account in &args.account {
        if !lookups.assume_role.contains_key(account) {
            return Err(format!(
                "account `{}` has no role: add [lookups.assume_role.{}] to the configuration, or name the role with --role",
                clean(account, 40),
                clean(account, 40)
            ));
        }
    }
    Ok(args.account.iter().cloned().map(Some).collect())
}

/// The account in the ARN of a role.
fn account_of(role: &str) -> Option<&str> {
    let parts: Vec<&str> = role.splitn(6, ':').collect();
    let ["arn", _, "iam", "", account, resource] = parts.as_slice() else { return None };
    (is_account(account) && resource.starts_with("role/")).then_some(*account)
}
