//! Whether production and development meet at a key: what its label, its tags and its aliases say, against each other and against the
//! names of those who may do something with it. Names are a custom, not a proof; where they say nothing, nothing is found.

use std::collections::BTreeMap;

use super::row::Row;
use super::{Findings, Judge, checks, some_of};

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

pub(super) fn judge(_: &Judge<'_>, row: &Row, findings: &mut Findings) {
    // Who says it, by environment.
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut say = |environment: String, who: String| said.entry(environment).or_default().push(who);
    if let Some(label) = row.key.labels.get("environment") {
        say(meant(label), format!("the label {label}"));
    }
    for (name, value) in &row.key.tags {
        if TAGS.contains(&name.to_ascii_lowercase().as_str()) {
            say(meant(value), format!("the tag {name}={value}"));
        }
    }
    for alias in &row.key.aliases {
        if let Some(environment) = named(alias) {
            say(environment.to_owned(), alias.clone());
        }
    }
    if said.len() > 1 {
        let sides: Vec<String> = said.iter().map(|(what, who)| format!("{what} by {}", some_of(who))).collect();
        findings.add(&checks::ENVIRONMENTS_MIXED, &format!("it is said to belong to {}", sides.join("; ")));
        return;
    }
    let Some(own) = said.into_keys().next() else { return };
    let strangers = strangers(row, &own);
    if !strangers.is_empty() {
        findings.add(
            &checks::ENVIRONMENTS_MIXED,
            &format!("it belongs to {own}, and may be used or changed by {}", some_of(&strangers)),
        );
    }
}

/// Principals whose own name says another environment.
fn strangers(row: &Row, own: &str) -> Vec<String> {
    let Some(who) = &row.who else { return Vec::new() };
    let all = [&who.uses, &who.administer, &who.grant, &who.delete, &who.change_policy, &who.by_grant];
    let mut found: Vec<String> = all
        .into_iter()
        .flatten()
        .filter(|principal| {
            let name = principal.rsplit([':', '/']).next().unwrap_or_default();
            principal.starts_with("arn:") && named(name).is_some_and(|environment| environment != own)
        })
        .cloned()
        .collect();
    found.sort_unstable();
    found.dedup();
    found
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
