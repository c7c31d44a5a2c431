//! Sigma rules for AWS `CloudTrail`, turned into ours. Pure: texts come in, TOML and what is to be known about it goes out.
//!
//! A text is read into a bounded tree ([`yaml`]), a rule's detection into a formula over fields ([`detection`],
//! [`condition`]), the formula into the words of our patterns ([`lower`]), those into patterns ([`cases`]), and these are
//! written ([`rule`], [`write`](mod@write)) and loaded once, so that whatever comes out loads.

mod cases;
mod condition;
mod detection;
mod item;
mod lower;
mod names;
mod rule;
mod threshold;
mod value;
mod write;
mod yaml;

use detection::Formula;
use rule::{Meta, Read};
use threshold::{Correlation, Threshold};
use yaml::{Fault, Kind, Yaml, shortened};

pub use lower::{Effect, Note};
pub use rule::Options;
pub use yaml::SIZE_MAX;

/// One text that may hold several Sigma rules.
#[derive(Debug, Clone, Copy)]
pub struct Source<'s> {
    /// What messages call it.
    pub name: &'s str,
    pub text: &'s str,
}

/// One Sigma rule that became rules of ours.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The id of the first rule made of it; further ones add `.2`, `.3`, …
    pub id: String,
    pub title: String,
    /// The name of its text, and the line.
    pub source: String,
    pub line: usize,
    /// The rules, with what is to be known as comments above them.
    pub toml: String,
    /// How many rules the TOML holds.
    pub rules: usize,
    pub notes: Vec<Note>,
}

impl Imported {
    /// Whether it matches what its original matches.
    pub fn is_exact(&self) -> bool {
        self.notes.iter().all(|note| note.effect == Effect::Remark)
    }
}

/// Something that could not be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub source: String,
    pub line: usize,
    pub title: Option<String>,
    pub why: String,
}

/// What came of an import.
#[derive(Debug, Default)]
pub struct Import {
    pub rules: Vec<Imported>,
    pub refused: Vec<Refused>,
}

/// Imports all rules of the texts together: a correlation may name rules of another text.
pub fn import(sources: &[Source<'_>], options: &Options) -> Import {
    let mut import = Import::default();
    let mut rules: Vec<Found> = vec![];
    let mut correlations: Vec<(String, Meta, Correlation)> = vec![];
    for source in sources {
        let (documents, fault) = yaml::documents(source.text);
        for document in assembled(documents) {
            let title = document.get("title").and_then(Yaml::text).map(|title| shortened(&title));
            if let Some(correlation) = document.get("correlation") {
                let read = threshold::correlation(&document, correlation);
                correlations.push((source.name.to_owned(), Meta::read(&document), read));
                continue;
            }
            let read = match (&document.kind, document.get("filter")) {
                (Kind::Map(_), None) => rule::read(&document),
                (Kind::Map(_), Some(_)) => {
                    Err(Fault::at(document.line, "a Sigma filter changes other rules; write an `except` instead"))
                }
                _ => Err(Fault::at(document.line, "this is no Sigma rule: a rule is a map with a `detection`")),
            };
            match read {
                Ok(read) => rules.push(Found { source: source.name.to_owned(), read, alone: true }),
                Err(fault) => import.refuse(source.name, title, fault),
            }
        }
        if let Some(fault) = fault {
            import.refuse(source.name, None, fault);
        }
    }
    let mut counted = vec![];
    for (source, meta, correlation) in correlations {
        match correlated(&mut rules, &meta, correlation) {
            Ok(read) => counted.push(Found { source, read, alone: true }),
            Err(fault) => import.refuse(&source, Some(meta.title), fault),
        }
    }
    let found = rules.into_iter().filter(|rule| rule.alone).chain(counted);
    for found in found {
        import.add(&found, options);
    }
    import
}

/// A rule that was read, and whether it is to be told of by itself.
struct Found {
    source: String,
    read: Read,
    alone: bool,
}

/// The rule that a correlation makes of the rules it names. These no longer stand for themselves, unless it says so, or
/// unless nothing comes of it.
fn correlated(rules: &mut [Found], meta: &Meta, correlation: Correlation) -> Result<Read, Fault> {
    let Correlation { rules: named, generate, threshold, notes } = correlation;
    let joined = threshold.and_then(|threshold| joined(rules, meta, &named, threshold, notes));
    let its_own = |rule: &&mut Found| named.iter().any(|word| rule.read.meta.is_called(word));
    for rule in rules.iter_mut().filter(its_own) {
        if joined.is_ok() {
            rule.alone &= generate;
        } else {
            let text = format!("told of by itself: the correlation \"{}\" could not be carried over", meta.title);
            rule.read.notes.push(Note { effect: Effect::Wider, line: rule.read.meta.line, text });
        }
    }
    joined
}

fn joined(
    rules: &[Found],
    meta: &Meta,
    named: &[String],
    threshold: Option<Threshold>,
    mut notes: Vec<Note>,
) -> Result<Read, Fault> {
    let mut formulas = vec![];
    for word in named {
        let Some(rule) = rules.iter().find(|rule| rule.read.meta.is_called(word)) else {
            let message = format!("there is no rule `{}` here that it could count", shortened(word));
            return Err(Fault::at(meta.line, message));
        };
        if rule.read.threshold.is_some() {
            return Err(Fault::at(meta.line, "it counts a rule that counts itself"));
        }
        formulas.push(rule.read.formula.clone());
        notes.extend(rule.read.notes.iter().cloned());
    }
    if formulas.is_empty() {
        return Err(Fault::at(meta.line, "the correlation names no rules"));
    }
    Ok(Read { meta: meta.clone(), formula: Formula::Any(formulas), threshold, notes })
}

impl Import {
    fn refuse(&mut self, source: &str, title: Option<String>, fault: Fault) {
        self.refused.push(Refused { source: source.to_owned(), line: fault.line, title, why: fault.message });
    }

    fn add(&mut self, found: &Found, options: &Options) {
        let Found { source, read, .. } = found;
        let meta = &read.meta;
        let plain = rule::slug(&options.prefix, &meta.title);
        let taken = |id: &str| self.rules.iter().any(|rule| rule.id == id);
        let mut id = plain.clone();
        let mut number = 1;
        while taken(&id) {
            number += 1;
            // Not with a dot: that is how the parts of one rule are told apart.
            id = format!("{plain}-{number}");
        }
        let place = format!("{source}:{}", meta.line);
        match rule::write(read, &id, &place, options) {
            Ok((toml, rules, notes)) => self.rules.push(Imported {
                id,
                title: meta.title.clone(),
                source: source.clone(),
                line: meta.line,
                toml,
                rules,
                notes,
            }),
            Err(fault) => self.refuse(source, Some(shortened(&meta.title)), fault),
        }
    }
}

/// Puts together what old collections spread over documents: `action: global` gives what all that follow share, `repeat`
/// takes over the document before.
fn assembled(documents: Vec<Yaml>) -> Vec<Yaml> {
    let mut shared: Option<Yaml> = None;
    let mut last: Option<Yaml> = None;
    let mut all = vec![];
    for document in documents {
        let action = document.get("action").and_then(Yaml::text).unwrap_or_default();
        match action.as_str() {
            "global" => shared = Some(document),
            "reset" => shared = None,
            _ => {
                let below = if action == "repeat" { &last } else { &shared };
                let whole = match below {
                    Some(below) => over(below, &document),
                    None => document,
                };
                last = Some(whole.clone());
                all.push(whole);
            }
        }
    }
    all
}

/// `above` laid over `below`, member by member. Both are as deep as the reader allows, and no deeper.
fn over(below: &Yaml, above: &Yaml) -> Yaml {
    let (Kind::Map(old), Kind::Map(new)) = (&below.kind, &above.kind) else { return above.clone() };
    let mut members = old.clone();
    members.retain(|(name, _)| name != "action");
    for (name, value) in new {
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = over(known, value),
            None => members.push((name.clone(), value.clone())),
        }
    }
    Yaml { line: above.line, kind: Kind::Map(members) }
}

#[cfg(test)]
mod tests;
