//! Who a statement speaks of, and whether they belong to us.

use std::collections::BTreeSet;

use super::trust::{Trust, is_account};
use crate::core::render::clean;

/// Somebody who can be let in or kept out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    Anybody,
    /// Anybody but these: `NotPrincipal`, or a condition that excludes.
    AllBut(BTreeSet<Party>),
    Organization(String),
    Account(String),
    /// An ARN, or a pattern of ARNs.
    Principal(String),
    Service(String),
    /// An identity provider that is no ARN of an account.
    Federated(String),
    /// The unique id that is left in a policy when its role or user is gone.
    Id(String),
    /// A kind of principal that nobody knows.
    Other(String),
}

/// Whether somebody belongs to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Ours,
    External,
    /// AWS's own, or of an account that is not known.
    Neither,
}

/// From where it is looked: who is trusted, and whose the key is.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub trust: &'a Trust,
    /// The account of the event: it always belongs to us.
    pub home: Option<&'a str>,
}

/// The account that owns the key, where a policy says it so.
const OWN_ACCOUNT: &str = "${aws:resourceaccount}";

impl Party {
    /// Reads a principal of the kind `AWS`: `*`, an account id, an ARN, or a unique id.
    pub fn of_aws(text: &str) -> Self {
        match text {
            "*" => Self::Anybody,
            text if is_account(text) => Self::Account(text.to_owned()),
            text if text.starts_with("arn:") => Self::of_arn(text),
            text if is_unique_id(text) => Self::Id(text.to_owned()),
            text => Self::Other(text.to_owned()),
        }
    }

    /// Reads a principal of the kind `Federated`: a provider of an account, or one of the whole world.
    pub fn of_provider(text: &str) -> Self {
        match Self::of_aws(text) {
            known @ (Self::Principal(_) | Self::Anybody) => known,
            _ => Self::Federated(text.to_owned()),
        }
    }

    /// The ARN of an account's root stands for the account.
    pub fn of_arn(arn: &str) -> Self {
        match account_of(arn) {
            Some(account) if arn.ends_with(":root") && arn.contains(":iam::") => Self::Account(account.to_owned()),
            _ => Self::Principal(arn.to_owned()),
        }
    }

    /// As a condition on the caller's account says it; `None` where it names none.
    pub fn of_account_value(value: &str) -> Option<Self> {
        let own = value.eq_ignore_ascii_case(OWN_ACCOUNT).then(|| OWN_ACCOUNT.to_owned());
        own.or_else(|| is_account(value).then(|| value.to_owned())).map(Self::Account)
    }

    /// Anybody, from wherever.
    pub fn is_broad(&self) -> bool {
        matches!(self, Self::Anybody | Self::AllBut(_))
    }

    /// The account it is of.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Account(account) => Some(account),
            Self::Principal(arn) => account_of(arn),
            _ => None,
        }
    }

    /// As fields hold it.
    pub fn label(&self) -> String {
        match self {
            Self::Anybody => "*".to_owned(),
            Self::AllBut(few) => format!("* but {}", list(few.iter().map(Self::label))),
            Self::Organization(text)
            | Self::Account(text)
            | Self::Principal(text)
            | Self::Service(text)
            | Self::Federated(text)
            | Self::Id(text)
            | Self::Other(text) => clean(text, LABEL_CHARS_MAX),
        }
    }
}

impl View<'_> {
    pub fn standing(&self, party: &Party) -> Standing {
        let ours = match party {
            Party::Anybody | Party::AllBut(_) | Party::Federated(_) => false,
            Party::Organization(id) => self.trust.has_organization(id),
            Party::Account(account) => self.is_home(account) || self.trust.has_account(account),
            Party::Principal(arn) => {
                account_of(arn).is_some_and(|account| self.is_home(account)) || self.trust.has_principal(arn)
            }
            Party::Service(_) | Party::Id(_) | Party::Other(_) => return Standing::Neither,
        };
        if ours { Standing::Ours } else { Standing::External }
    }

    /// Whether this is the account of the event.
    pub fn is_home(&self, account: &str) -> bool {
        account == OWN_ACCOUNT || self.home == Some(account)
    }

    /// As people read it, with what they must know of it.
    pub fn words(&self, party: &Party) -> String {
        let label = party.label();
        let words = match party {
            Party::Anybody => "anybody".to_owned(),
            Party::AllBut(few) => format!("anybody but {}", list(few.iter().map(|party| self.words(party)))),
            Party::Account(account) if self.is_home(account) => "the account itself".to_owned(),
            Party::Account(_) => format!("account {label}"),
            Party::Organization(_) => format!("organization {label}"),
            Party::Federated(_) => format!("whoever {label} lets in"),
            Party::Id(_) => format!("the principal that was {label}"),
            Party::Principal(_) | Party::Service(_) | Party::Other(_) => label,
        };
        match self.standing(party) {
            Standing::External if !party.is_broad() => format!("{words} (external)"),
            _ => words,
        }
    }
}

/// Characters of one name.
const LABEL_CHARS_MAX: usize = 400;
/// Names in one list.
const NAMES_MAX: usize = 4;

fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.take(NAMES_MAX + 1).collect();
    match names.get(..NAMES_MAX) {
        Some(shown) if names.len() > NAMES_MAX => format!("{}, …", shown.join(", ")),
        _ => names.join(", "),
    }
}

/// The account in an ARN, if it is named in full.
pub(super) fn account_of(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    (parts.next() == Some("arn")).then_some(())?;
    parts.nth(3).filter(|account| is_account(account))
}

/// `AROA…` and its kin (IAM user guide, "Unique identifiers").
pub(super) fn is_unique_id(text: &str) -> bool {
    (16..=128).contains(&text.len())
        && text.starts_with('A')
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}
