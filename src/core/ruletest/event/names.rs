//! A misspelt member of a partial event changes nothing and makes the test mean something else: such names are warned of.

use std::collections::BTreeSet;

use super::CONTROLS;
use crate::base::diagnostic::{Problem, closest, did_you_mean};
use crate::core::catalog::{self, Known};
use crate::core::event::{ENVELOPE, FIELDS, RECORDED, field};
use crate::core::pattern::node::Name;
use crate::core::pattern::{Node, NodeKind};

/// Of the records of Insights events, which rules do not ask for.
const INSIGHT: &str = "insightDetails";

type Members = [(Name, Node)];

pub(super) fn check(members: &Members, problems: &mut Vec<Problem>) {
    let groups: BTreeSet<&str> = FIELDS.iter().filter_map(|field| field.name.split('.').next()).collect();
    for (name, value) in members {
        let word = name.text.as_str();
        if let NodeKind::Table(below) = &value.kind
            && groups.contains(word)
        {
            derived(word, below, problems);
        } else if !ENVELOPE.contains(&word)
            && !CONTROLS.iter().any(|(control, _)| *control == word)
            && !groups.contains(word)
        {
            let known: Vec<&str> = ENVELOPE
                .iter()
                .copied()
                .chain(groups.iter().copied())
                .chain(CONTROLS.iter().map(|(c, _)| *c))
                .collect();
            warn(name, word, &did_you_mean(word, &known, "known members"), problems);
        }
    }
    let detail_type = text(members, "detail-type");
    if let Some(detail) = table(members, "detail")
        && detail_type.is_none_or(|kind| kind.ends_with(" via CloudTrail"))
    {
        record(detail, problems);
    }
}

/// Members of `key`, `actor` and their kin.
fn derived(group: &str, members: &Members, problems: &mut Vec<Problem>) {
    for (name, value) in members {
        let path = format!("{group}.{}", name.text);
        if field(&path).is_some() {
            continue;
        }
        if let NodeKind::Table(below) = &value.kind
            && FIELDS.iter().any(|field| field.name.starts_with(&format!("{path}.")))
        {
            derived(&path, below, problems);
            continue;
        }
        let prefix = format!("{group}.");
        let known: Vec<&str> = FIELDS.iter().map(|field| field.name).filter(|n| n.starts_with(&prefix)).collect();
        warn(name, &path, &did_you_mean(&path, &known, "known fields"), problems);
    }
}

fn record(detail: &Members, problems: &mut Vec<Problem>) {
    let known = || RECORDED.iter().copied().chain([INSIGHT]);
    for (name, _) in detail.iter().filter(|(name, _)| !known().any(|member| member == name.text)) {
        let word = name.text.as_str();
        let hint = closest(word, known()).map_or_else(
            || "CloudTrail's records have no such member".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        warn(name, &format!("detail.{word}"), &hint, problems);
    }
    let Some(known) = text(detail, "eventName").and_then(|name| unknown_name(name, detail, problems)) else { return };
    let names = known.parameters();
    for (name, _) in table(detail, "requestParameters").into_iter().flatten() {
        let word = name.text.as_str();
        // What a call may ask for grows with AWS; only what looks like a slip is one.
        if !names.iter().any(|known| known == word)
            && let Some(near) = closest(word, names.iter().map(String::as_str))
        {
            warn(name, &format!("detail.requestParameters.{word}"), &format!("did you mean `{near}`?"), problems);
        }
    }
}

/// The event of that name; a name like a known one is remarked.
fn unknown_name(name: &str, detail: &Members, problems: &mut Vec<Problem>) -> Option<&'static Known> {
    let known = catalog::known(name);
    if known.is_none()
        && let Some(near) = closest(name, catalog::all().map(|known| known.name))
        && let Some((_, value)) = detail.iter().find(|(member, _)| member.text == "eventName")
    {
        problems.push(
            Problem::note(value.span.clone(), format!("no event is called `{}`", name.escape_debug())).hint(format!(
                "if `{near}` is meant: names are case-sensitive; else a plain call of this name is played"
            )),
        );
    }
    known
}

fn warn(name: &Name, path: &str, hint: &str, problems: &mut Vec<Problem>) {
    problems.push(
        Problem::warning(name.span.clone(), format!("no event has a member `{}`", path.escape_debug())).hint(hint),
    );
}

fn table<'m>(members: &'m Members, name: &str) -> Option<&'m Members> {
    members.iter().find(|(member, _)| member.text == name).and_then(|(_, value)| match &value.kind {
        NodeKind::Table(below) => Some(below.as_slice()),
        _ => None,
    })
}

fn text<'m>(members: &'m Members, name: &str) -> Option<&'m str> {
    members.iter().find(|(member, _)| member.text == name).and_then(|(_, value)| match &value.kind {
        NodeKind::String(text) => Some(text.as_str()),
        _ => None,
    })
}
