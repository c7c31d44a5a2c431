//! One condition of a statement: what it asks of the caller, and whom it thereby lets in.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::party::{Party, Standing, View, account_of};
use super::trust::is_organization;
use crate::core::render::clean;

/// One operator on one key, in lower case; its values are "one of these".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    pub key: String,
    /// Without the quantifier and without `IfExists`.
    pub operator: String,
    pub quantifier: Quantifier,
    pub if_exists: bool,
    pub values: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantifier {
    None,
    AnyValue,
    AllValues,
}

/// What remains of a statement's conditions once it is known whom they let in; shared by all it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terms(Arc<Weighed>);

/// Conditions, and what they mean to us: asked once, not for each principal.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Weighed {
    conditions: BTreeSet<Condition>,
    /// One of them lets in nobody but ours.
    ours: bool,
    /// Somebody of ours meets them without trouble.
    easy: bool,
}

impl Terms {
    pub fn of(conditions: BTreeSet<Condition>, view: View<'_>) -> Self {
        let for_ours = |condition: &Condition| condition.binds().is_some_and(|parties| are_ours(&parties, view));
        let ours = conditions.iter().any(for_ours);
        let easy = conditions.iter().all(|condition| condition.is_harmless() || for_ours(condition));
        Self(Arc::new(Weighed { conditions, ours, easy }))
    }

    pub fn is_none(&self) -> bool {
        self.0.conditions.is_empty()
    }

    pub fn are_for_ours(&self) -> bool {
        self.0.ours
    }

    pub fn are_easy(&self) -> bool {
        self.0.easy
    }

    /// Whether whoever meets the others meets these.
    pub fn ask_no_more_than(&self, others: &Self) -> bool {
        self.0.conditions.is_subset(&others.0.conditions)
    }

    /// As people read them, after "has something"; empty where there are none.
    pub fn words(&self) -> String {
        let all = &self.0.conditions;
        let shown: Vec<String> = all.iter().take(TERMS_SHOWN).map(Condition::words).collect();
        let more = if all.len() > shown.len() { " and …" } else { "" };
        if shown.is_empty() { String::new() } else { format!(" if {}{more}", shown.join(" and ")) }
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self(Arc::new(Weighed { conditions: BTreeSet::new(), ours: false, easy: true }))
    }
}

/// Whether all of them belong to us.
pub(super) fn are_ours(parties: &BTreeSet<Party>, view: View<'_>) -> bool {
    parties.iter().all(|party| view.standing(party) == Standing::Ours)
}

impl Condition {
    pub fn new(operator: &str, key: &str, values: BTreeSet<String>) -> Self {
        let operator = operator.to_ascii_lowercase();
        let (quantifier, operator) = match operator.split_once(':') {
            Some(("foranyvalue", rest)) => (Quantifier::AnyValue, rest.to_owned()),
            Some(("forallvalues", rest)) => (Quantifier::AllValues, rest.to_owned()),
            _ => (Quantifier::None, operator),
        };
        let (operator, if_exists) = match operator.strip_suffix("ifexists") {
            Some(plain) => (plain.to_owned(), true),
            None => (operator, false),
        };
        Self { key: key.to_ascii_lowercase(), operator, quantifier, if_exists, values }
    }

    pub fn is_known(&self) -> bool {
        OPERATORS.contains(&self.operator.as_str())
    }

    /// The only ones that this condition lets in, if it binds the caller. A condition that holds when the value is absent
    /// (`IfExists`, `ForAllValues`) binds nobody.
    pub fn binds(&self) -> Option<BTreeSet<Party>> {
        let positive = POSITIVE.contains(&self.operator.as_str());
        if positive && !self.if_exists && self.quantifier != Quantifier::AllValues { self.parties() } else { None }
    }

    /// The only ones that this condition does not hold for, if it is one of "anybody but".
    pub fn excludes(&self) -> Option<BTreeSet<Party>> {
        let negative = NEGATIVE.contains(&self.operator.as_str());
        if negative && self.quantifier != Quantifier::AnyValue { self.parties() } else { None }
    }

    /// One of "anybody but".
    pub fn is_negative(&self) -> bool {
        NEGATIVE.contains(&self.operator.as_str())
    }

    /// What holds of every call by a principal: it says nothing.
    pub fn is_certain(&self) -> bool {
        let all = |wanted: &str| self.values.iter().all(|value| value.eq_ignore_ascii_case(wanted));
        match self.operator.as_str() {
            _ if self.values.is_empty() => false,
            "null" => all("false") && ALWAYS_THERE.contains(&self.key.as_str()),
            // KMS takes no other connection.
            "bool" => all("true") && self.key == "aws:securetransport",
            "stringlike" | "arnlike" => {
                ALWAYS_THERE.contains(&self.key.as_str()) && self.values.iter().any(|value| is_anything(value))
            }
            _ => false,
        }
    }

    /// Where a Deny asks for it: what a person or program of ours need not meet. A connection that is not encrypted, a second
    /// factor that is missing or old, a call on somebody's behalf, a check that is passed over.
    pub fn is_easily_escaped(&self) -> bool {
        let all = |wanted: &str| !self.values.is_empty() && self.values.iter().all(|v| v.eq_ignore_ascii_case(wanted));
        match (self.operator.as_str(), self.key.as_str()) {
            ("bool", "aws:securetransport" | "aws:multifactorauthpresent") => all("false"),
            ("null", "aws:multifactorauthpresent" | "aws:multifactorauthage") => all("true"),
            ("bool", "kms:bypasspolicylockoutsafetycheck" | "aws:viaawsservice" | "aws:principalisawsservice") => {
                all("true")
            }
            ("numericgreaterthan" | "numericgreaterthanequals", "aws:multifactorauthage")
            | (
                "stringequals" | "stringlike",
                "kms:viaservice" | "aws:calledvia" | "aws:calledviafirst" | "aws:calledvialast",
            ) => true,
            _ => false,
        }
    }

    /// What a person or program of ours meets without trouble: a second factor, an encrypted connection.
    pub fn is_harmless(&self) -> bool {
        let asks_for_true = self.values.iter().all(|value| value.eq_ignore_ascii_case("true"));
        self.operator == "bool"
            && asks_for_true
            && matches!(self.key.as_str(), "aws:multifactorauthpresent" | "aws:securetransport")
    }

    /// Whom the values name, if each of them names somebody.
    fn parties(&self) -> Option<BTreeSet<Party>> {
        self.named(|_| None)
    }

    /// Whom the values of a comparison with the caller name, if each of them names somebody; `or` reads the ARNs that name no
    /// account in full.
    pub fn named(&self, or: impl Fn(&str) -> Option<Party>) -> Option<BTreeSet<Party>> {
        if !self.is_negative() && !POSITIVE.contains(&self.operator.as_str()) {
            return None;
        }
        let party = |value: &String| match self.key.as_str() {
            "aws:principalorgid" | "aws:sourceorgid" => organization(value),
            "aws:principalorgpaths" | "aws:sourceorgpaths" => organization(value.split('/').next()?),
            "aws:principalaccount" | "kms:calleraccount" | "aws:sourceaccount" => Party::of_account_value(value),
            "aws:principalarn" | "aws:sourcearn" => principal(value).or_else(|| or(value)),
            _ => None,
        };
        let parties: Option<BTreeSet<Party>> = self.values.iter().map(party).collect();
        parties.filter(|parties| !parties.is_empty())
    }

    /// As people read it: `kms:viaservice = ec2.eu-central-1.amazonaws.com`.
    pub fn words(&self) -> String {
        let values: Vec<String> = self.values.iter().take(VALUES_SHOWN).map(|value| clean(value, 80)).collect();
        let more = if self.values.len() > values.len() { ", …" } else { "" };
        let all = match self.quantifier {
            Quantifier::None => "",
            Quantifier::AnyValue => "any ",
            Quantifier::AllValues => "all ",
        };
        let operator = match self.operator.as_str() {
            "stringequals" | "arnequals" | "bool" | "numericequals" => "=".to_owned(),
            "stringlike" | "arnlike" => "like".to_owned(),
            "stringnotequals" | "arnnotequals" => "≠".to_owned(),
            "stringnotlike" | "arnnotlike" => "not like".to_owned(),
            other => clean(other, 40),
        };
        let exists = if self.if_exists { " if there" } else { "" };
        format!("{all}{} {operator} {}{more}{exists}", clean(&self.key, 80), values.join(", "))
    }
}

const VALUES_SHOWN: usize = 3;
const TERMS_SHOWN: usize = 3;

const POSITIVE: &[&str] = &["stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"];
const NEGATIVE: &[&str] =
    &["stringnotequals", "stringnotequalsignorecase", "stringnotlike", "arnnotequals", "arnnotlike"];

/// Keys that every call by a principal has (IAM user guide, "AWS global condition context keys").
const ALWAYS_THERE: &[&str] = &[
    "aws:currenttime",
    "aws:epochtime",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principaltype",
    "aws:requestedregion",
    "aws:securetransport",
    "aws:userid",
    "kms:calleraccount",
];

/// A pattern that leaves nothing out.
fn is_anything(pattern: &str) -> bool {
    matches!(pattern, "*" | "arn:*" | "arn:*:*" | "arn:aws:*" | "arn:aws:iam::*" | "arn:aws:iam::*:*")
        || (!pattern.is_empty() && pattern.bytes().all(|b| b == b'*'))
}

/// IAM user guide, "Condition operators".
const OPERATORS: &[&str] = &[
    "stringequals",
    "stringnotequals",
    "stringequalsignorecase",
    "stringnotequalsignorecase",
    "stringlike",
    "stringnotlike",
    "numericequals",
    "numericnotequals",
    "numericlessthan",
    "numericlessthanequals",
    "numericgreaterthan",
    "numericgreaterthanequals",
    "dateequals",
    "datenotequals",
    "datelessthan",
    "datelessthanequals",
    "dategreaterthan",
    "dategreaterthanequals",
    "bool",
    "binaryequals",
    "ipaddress",
    "notipaddress",
    "arnequals",
    "arnlike",
    "arnnotequals",
    "arnnotlike",
    "null",
];

fn organization(value: &str) -> Option<Party> {
    is_organization(value).then(|| Party::Organization(value.to_owned()))
}

/// An ARN whose account is named in full. One without an account (a bucket's) names its resource and nobody else.
fn principal(value: &str) -> Option<Party> {
    if account_of(value).is_some() {
        return Some(Party::of_arn(value));
    }
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", _, service, _, "", resource] if !service.is_empty() && !resource.is_empty() && !value.contains(['*', '?', '$']))
        .then(|| Party::Principal(value.to_owned()))
}
