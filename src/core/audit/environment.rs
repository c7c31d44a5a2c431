//! Whether production and development meet at a key: what its label, its tags and its aliases say, against each other and against the
//! names of those who used it or may do something with it. Names are a custom, not a proof; where they say nothing, nothing is found.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::row::Row;
use super::{Findings, Judge, Known, checks, day, some_of};
use crate::core::event::KeyRef;
use crate::core::inspection::Inspection;

/// Tags that people write an environment into.
const TAGS: &[&str] = &["environment", "env", "stage"];

/// Words of names that stand for an environment.
const WORDS: &[(&str, &str)] = &[
    ("production", "production"),
    ("prod", "production"),
    ("prd", "production"),
    ("staging", "staging"),
    ("stage", "staging"),
    ("stg", "staging"),
    ("preprod", "staging"),
    ("testing", "test"),
    ("test", "test"),
    ("qa", "test"),
    ("uat", "test"),
    ("development", "development"),
    ("dev", "development"),
    ("sandbox", "development"),
];

/// Whoever used the key within so many days counts as a user of it.
const RECENT_DAYS: i64 = 30;

pub(super) fn judge(judge: &Judge<'_>, inspection: &Inspection, known: Known<'_>, row: &Row, findings: &mut Findings) {
    let said = said(inspection, known, row);
    if said.len() > 1 {
        let sides: Vec<String> = said.iter().map(|(what, who)| format!("{what} by {}", some_of(who))).collect();
        findings.add(&checks::ENVIRONMENTS_MIXED, &format!("it is said to belong to {}", sides.join("; ")));
        return;
    }
    let Some(own) = said.into_keys().next() else { return };
    let recent = known.users.iter().filter(|(who, at)| judge.days_since(*at) <= RECENT_DAYS && is_stranger(who, &own));
    let recent: Vec<&(String, Timestamp)> = recent.collect();
    let users: Vec<&str> = recent.iter().map(|(who, _)| who.as_str()).collect();
    let mut strangers = strangers(row, &own);
    strangers.retain(|who| !users.contains(&who.as_str()));
    let mut seen = vec![];
    if let Some(last) = recent.iter().map(|(_, at)| *at).max() {
        seen.push(format!("was used by {}, last on {}", some_of(&users), day(last)));
    }
    if !strangers.is_empty() {
        seen.push(format!("may be used or changed by {}", some_of(&strangers)));
    }
    if !seen.is_empty() {
        findings.add(&checks::ENVIRONMENTS_MIXED, &format!("it belongs to {own}, and {}", seen.join("; it ")));
    }
}

/// Whether nobody was forgotten who would count as a user.
pub(super) fn knows_users(judge: &Judge<'_>, known: Known<'_>) -> bool {
    known.forgotten.is_none_or(|at| judge.days_since(at) > RECENT_DAYS)
}

/// Who says to which environment the key belongs, by environment. What could not be read is as it was last known; and where
/// nothing says anything any more, what once did still counts.
fn said(inspection: &Inspection, known: Known<'_>, row: &Row) -> BTreeMap<String, Vec<String>> {
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if let Some(label) = row.key.labels.get("environment") {
        said.entry(meant(label)).or_default().push(format!("the label {label}"));
    }
    by_tags(&row.key, &mut said);
    by_aliases(&row.key, &mut said);
    if let Some(old) = known.remembered {
        let silent = said.is_empty();
        if silent || inspection.tags.known().is_none() {
            by_tags(old, &mut said);
        }
        if silent || inspection.aliases.known().is_none() {
            by_aliases(old, &mut said);
        }
    }
    said
}

fn by_tags(key: &KeyRef, said: &mut BTreeMap<String, Vec<String>>) {
    for (name, value) in &key.tags {
        if TAGS.contains(&name.to_ascii_lowercase().as_str()) {
            said.entry(meant(value)).or_default().push(format!("the tag {name}={value}"));
        }
    }
}

fn by_aliases(key: &KeyRef, said: &mut BTreeMap<String, Vec<String>>) {
    for alias in &key.aliases {
        if let Some(environment) = named(alias) {
            said.entry(environment.to_owned()).or_default().push(alias.clone());
        }
    }
}

/// Principals who may do something with it and whose own name says another environment.
fn strangers(row: &Row, own: &str) -> Vec<String> {
    let Some(who) = &row.who else { return Vec::new() };
    let all = [&who.uses, &who.administer, &who.grant, &who.delete, &who.change_policy, &who.by_grant];
    let mut found: Vec<String> =
        all.into_iter().flatten().filter(|principal| is_stranger(principal, own)).cloned().collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a principal's own name says another environment. Of a session that is the name of its role, not the one that it gave itself.
fn is_stranger(principal: &str, own: &str) -> bool {
    let resource = principal.rsplit(':').next().unwrap_or_default();
    let name = match resource.strip_prefix("assumed-role/") {
        Some(session) => session.split('/').next(),
        None => resource.rsplit('/').next(),
    };
    let environment = name.and_then(named);
    principal.starts_with("arn:") && environment.is_some_and(|environment| environment != own)
}

/// What a label or a tag means.
fn meant(value: &str) -> String {
    let value = value.trim().to_ascii_lowercase();
    WORDS.iter().find(|(word, _)| *word == value).map_or(value, |(_, environment)| (*environment).to_owned())
}

/// The environment in a name, if it names exactly one.
pub(super) fn named(name: &str) -> Option<&'static str> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
    let mut found = words.filter_map(|word| WORDS.iter().find(|(known, _)| *known == word).map(|(_, what)| *what));
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}
