//! Paths into an event that leads nowhere, and values of a kind that is never there: what the catalog's samples show of the
//! parameters of each call.

use serde_json::Value;
use serde_spanned::Spanned;

use super::facts::{self, NATIVE_MEMBERS};
use super::identity::{Identity, Named};
use super::walk::{Branch, Clause};
use crate::base::diagnostic::{Problem, closest};
use crate::core::catalog::{self, Form, Known};
use crate::core::event::RECORDED;
use crate::core::pattern::Node;
use crate::core::rule::RuleSpec;

const REQUEST: &str = "detail.requestParameters.";
const OUTCOMES: [&str; 3] = ["success", "denied", "failed"];

/// Fields of one combination that none of the events it admits has, and values of them that these never have.
pub(super) fn check(branch: &Branch<'_>, among: &[Clause<'_>], problems: &mut Vec<Problem>) {
    let asked = || among.iter().filter(|clause| clause.path.starts_with(REQUEST));
    if asked().next().is_none() {
        return;
    }
    let events = Identity::of_branch(branch).events(&OUTCOMES);
    for clause in asked() {
        match missing(&clause.path, &events) {
            Some(hint) => {
                let message = format!("no event that this can match has `{}` as far as kmswatch knows", clause.path);
                problems.push(Problem::warning(clause.name.span.clone(), message).hint(hint));
            }
            None => kinds(clause, &events, problems),
        }
    }
}

/// Paths of a rule that lead to nothing in any event that its `match` admits.
pub(super) fn of_rule(rule: &RuleSpec, matches: &Node, problems: &mut Vec<Problem>) {
    let distinct = rule.threshold.as_ref().and_then(|threshold| threshold.distinct.as_ref());
    let of = rule.new_value.as_ref().map(|new| &new.of);
    let grouped = rule.group_by.iter().map(|path| (path, "all of them are one group"));
    let paths = grouped
        .chain(distinct.map(|path| (path, "nothing is ever counted")))
        .chain(of.map(|path| (path, "no value is ever new")))
        .chain(rule.countdown.as_ref().map(|path| (path, "there is no date to count down to")));
    let paths: Vec<(&Spanned<String>, &str)> = paths.filter(|(path, _)| is_particular(path.get_ref())).collect();
    if paths.is_empty() {
        return;
    }
    let events = Identity::of(matches).events(&OUTCOMES);
    for (path, so) in paths {
        if let Some(hint) = missing(path.get_ref(), &events) {
            let message =
                format!("no event that this rule matches has `{}` as far as kmswatch knows, so {so}", path.get_ref());
            problems.push(Problem::warning(path.span(), message).hint(hint));
        }
    }
}

/// Whether only some events have what is there.
fn is_particular(path: &str) -> bool {
    ["detail", "access", "grant"].contains(&path.split('.').next().unwrap_or_default())
}

/// What to do about a path that none of these events has; `None` where one may have it.
fn missing(path: &str, events: &[Named]) -> Option<String> {
    if events.is_empty() || events.iter().any(|event| may_have(event, path)) {
        return None;
    }
    let known = events.iter().filter_map(of_catalog);
    if let Some(parameter) = path.strip_prefix(REQUEST) {
        let names: Vec<String> = known.flat_map(Known::parameters).collect();
        let first = parameter.split('.').next().unwrap_or_default();
        return Some(match closest(first, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{REQUEST}{near}`? Names are case-sensitive"),
            None => "see the parameters of the call; if AWS has added it since, this is no mistake".to_owned(),
        });
    }
    let member = path.split('.').nth(1).unwrap_or_default();
    let members = RECORDED.iter().chain(NATIVE_MEMBERS).copied();
    Some(match closest(member, members).filter(|_| path.starts_with("detail.")) {
        Some(near) => format!("did you mean `detail.{near}`? Names are case-sensitive"),
        None => "name a field that the events of `match` have".to_owned(),
    })
}

fn of_catalog(event: &Named) -> Option<&'static Known> {
    catalog::known(&event.name).filter(|known| known.source == event.source)
}

/// False only if it is known that such an event has nothing there.
fn may_have(event: &Named, path: &str) -> bool {
    let mut steps = path.split('.');
    let (first, second, third) = (steps.next(), steps.next(), steps.next());
    let kms = event.source == "aws.kms";
    let Some(known) = of_catalog(event) else { return true };
    match (first, second, third) {
        (Some("access"), ..) => !event.native && kms && facts::POLICIES.contains(&known.name),
        (Some("grant"), ..) => !event.native && kms && known.name == "CreateGrant",
        (Some("detail"), Some(member), _) if event.native => {
            !kms || known.parameters().iter().any(|name| name == member) || NATIVE_MEMBERS.contains(&member)
        }
        (Some("detail"), Some("requestParameters"), Some(parameter)) => {
            let names = known.parameters();
            if names.is_empty() {
                // What is empty in the samples may hold after all what other calls hold.
                return known.form == Form::Call
                    && catalog::all().any(|other| other.parameters().iter().any(|name| name == parameter));
            }
            // What other services take is not known in full.
            let certain = kms || closest(parameter, names.iter().map(String::as_str)).is_some();
            names.iter().any(|name| name == parameter) || !certain
        }
        (Some("detail"), Some(member), _) => RECORDED.contains(&member) || !kms,
        _ => true,
    }
}

/// Values that a parameter never equals, because it is of another kind in every sample.
fn kinds(clause: &Clause<'_>, events: &[Named], problems: &mut Vec<Problem>) {
    let Some(parameter) = clause.path.strip_prefix(REQUEST).filter(|path| !path.contains('.')) else { return };
    let all = events.iter().filter(|event| may_have(event, &clause.path));
    let samples: Option<Vec<Value>> =
        all.map(|event| of_catalog(event).filter(|k| k.form == Form::Call)?.sample(parameter)).collect();
    let Some(samples) = samples.filter(|samples| !samples.is_empty()) else { return };
    let all_are = |is: fn(&Value) -> bool| samples.iter().all(is);
    let (kind, hint) = if all_are(Value::is_number) {
        ("a number", "write numbers without quotes")
    } else if all_are(Value::is_boolean) {
        ("true or false", "write true or false without quotes")
    } else if all_are(Value::is_string) {
        ("text", "put text in quotes")
    } else {
        return;
    };
    let never = |item: &Node| {
        let plain = item.to_json();
        let operator = plain.as_object().and_then(|op| op.keys().next()).map_or("", String::as_str);
        let of_text =
            plain.is_string() || ["prefix", "suffix", "wildcard", "equals-ignore-case", "cidr"].contains(&operator);
        let of_numbers = plain.is_number() || operator == "numeric";
        match kind {
            "a number" => of_text || plain.is_boolean(),
            "text" => of_numbers || plain.is_boolean(),
            _ => of_text || of_numbers,
        }
    };
    // Beside a value that fits, another spelling is caution.
    if clause.items().iter().all(never)
        && let Some(first) = clause.items().first()
    {
        let message = format!("`{}` is {kind}, which this never equals", clause.path);
        problems.push(Problem::warning(first.span.clone(), message).hint(hint));
    }
}
