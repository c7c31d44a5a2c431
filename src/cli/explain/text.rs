//! An explanation as people read it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::core::decode::Undecodable;
use crate::core::explain::{ExceptStory, Explanation, IncidentStory, RouteStory, RuleStory, Verdict};
use crate::core::pattern::verdict::Field;
use crate::core::render::clean;

/// Longest line of prose.
const WIDTH: usize = 100;

/// The story of one event.
pub(super) fn event(told: &Explanation) -> String {
    let mut out = String::new();
    prose(&mut out, "", &clean(&told.said, 400));
    facts(&mut out, told);
    out.push('\n');
    prose(&mut out, "", verdict(told));
    for remark in &told.remarks {
        prose(&mut out, "  ", &clean(remark, 600));
    }
    for story in &told.rules {
        rule(&mut out, story);
    }
    if told.rules.is_empty() || told.far > 0 {
        let far = match (told.rules.is_empty(), told.far) {
            (true, 0) => "There is no rule.".to_owned(),
            (true, far) => format!("None of {far} rules asks for such an event."),
            (false, 1) => "1 other rule asks for something else.".to_owned(),
            (false, far) => format!("{far} other rules ask for something else."),
        };
        out.push('\n');
        prose(&mut out, "", &far);
    }
    for story in &told.incidents {
        incident(&mut out, story);
    }
    out
}

fn verdict(told: &Explanation) -> &'static str {
    match told.verdict {
        Verdict::Refused if told.far == 0 && told.rules.len() == 1 => "It raises no alert: the rule does not take it.",
        Verdict::Alert => "It raises an alert.",
        Verdict::Resolves => "It raises no alert: it ends a danger.",
        Verdict::Remembered => {
            "It raises no alert by itself: it is remembered for a rule that looks at several events."
        }
        Verdict::Excepted => "It raises no alert: an exemption takes it.",
        Verdict::Off => "It raises no alert: the rule that would take it is not in force.",
        Verdict::Duplicate => "It does nothing: it was seen before.",
        Verdict::Refused => "It raises no alert: no rule takes it.",
    }
}

fn facts(out: &mut String, told: &Explanation) {
    let event = &told.event;
    let mut outcome = event.outcome.as_str().to_owned();
    if let Some(by) = event.denied_by {
        _ = write!(outcome, " by {}", by.as_str());
    }
    if let Some(code) = &event.error_code {
        _ = write!(outcome, " ({code})");
    }
    let key = told.key.as_ref();
    let names = |list: &[String]| list.join(", ");
    let rows = [
        ("event", Some(format!("{} from {}, {}", event.name, event.source, event.time))),
        ("outcome", Some(outcome)),
        ("key", key.map(|key| key.arn.clone().unwrap_or_else(|| key.display_name().to_owned()))),
        ("aliases", key.filter(|key| !key.aliases.is_empty()).map(|key| names(&key.aliases))),
        ("actor", event.actor.principal.clone()),
        ("through", event.actor.service.clone().filter(|service| Some(service) != event.actor.principal.as_ref())),
        ("error", event.error_message.clone()),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            _ = writeln!(out, "  {name:<8} {}", clean(&value, 400));
        }
    }
}

fn rule(out: &mut String, story: &RuleStory) {
    out.push('\n');
    let end = match story.verdict {
        Verdict::Alert => "takes it",
        Verdict::Resolves => "takes it as the end of a danger",
        Verdict::Remembered => "remembers it",
        Verdict::Excepted => "takes it, and exempts it",
        Verdict::Off => "would take it, but is not in force",
        Verdict::Duplicate | Verdict::Refused => "does not take it",
    };
    _ = writeln!(out, "{} ({}, \"{}\") {end}", story.rule, story.severity.as_str(), clean(&story.title, 120));
    // What ends a danger is not what `match` asks for.
    if story.verdict != Verdict::Resolves {
        fields(out, "  match", &story.fields);
    }
    for except in &story.excepts {
        exemption(out, except);
    }
    for remark in &story.remarks {
        prose(out, "  ", &clean(remark, 600));
    }
}

fn exemption(out: &mut String, except: &ExceptStory) {
    let name = match (except.matched, except.unsure) {
        (true, false) => format!("  exemption {}, which takes it", except.number),
        (true, true) => format!("  exemption {}, which does not count", except.number),
        _ => format!("  exemption {}, which does not take it", except.number),
    };
    fields(out, &name, &except.fields);
}

/// Each field with its verdict, the value that was there and what was wanted.
fn fields(out: &mut String, title: &str, fields: &[Field]) {
    if fields.is_empty() {
        return;
    }
    _ = writeln!(out, "{title}:");
    let width = fields.iter().map(|field| field.path.chars().count()).max().unwrap_or_default();
    for field in fields {
        let mark = if field.passed { "yes" } else { "NO " };
        let saw = saw(&field.saw);
        let wanted = clean(&field.wanted, 160);
        _ = writeln!(out, "    {mark}  {:<width$}  is {saw}, wanted {wanted}", field.path);
    }
}

fn saw(values: &[Value]) -> String {
    if values.is_empty() {
        return "absent".to_owned();
    }
    let shown: Vec<String> = values.iter().map(|value| clean(&value.to_string(), 160)).collect();
    shown.join(" and ")
}

fn incident(out: &mut String, story: &IncidentStory) {
    out.push('\n');
    let id = story.id.as_ref().map_or_else(|| "no incident".to_owned(), |id| format!("incident {id}"));
    _ = writeln!(out, "{id} ({})", clean(&story.family, 120));
    for line in &story.lines {
        prose(out, "  ", line);
    }
    for route in &story.routes {
        self::route(out, route);
    }
}

fn route(out: &mut String, story: &RouteStory) {
    let verdict = if story.taken { "takes it" } else { "does not take it" };
    let why = story.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    _ = writeln!(out, "  route {} to {} {verdict}{why}", story.number, story.sinks.join(", "));
    if !story.taken {
        for line in story.fields.iter().filter(|field| !field.passed) {
            _ = writeln!(out, "    NO   {}  is {}, wanted {}", line.path, saw(&line.saw), clean(&line.wanted, 160));
        }
    }
}

/// What is no event, why, and what to do.
pub(super) fn undecodable(rejected: &Undecodable) -> String {
    let mut out = String::new();
    prose(&mut out, "", "This is no event, so no rule was asked.");
    _ = writeln!(out, "  reason   {}", rejected.reason.as_str());
    _ = writeln!(out, "  found    {}", clean(&rejected.detail, 400));
    if let Some(hint) = &rejected.hint {
        prose(&mut out, "  ", &format!("What to do: {hint}."));
    }
    let salvage = &rejected.salvage;
    for (name, value) in [("event", &salvage.event_name), ("key", &salvage.key_arn), ("account", &salvage.account)] {
        if let Some(value) = value {
            _ = writeln!(out, "  it seems to speak of: {name} {}", clean(value, 200));
        }
    }
    prose(
        &mut out,
        "  ",
        "In the daemon no such message is lost: it goes to the queue's dead-letter queue, or into the store if there is \
         none, and somebody is told.",
    );
    out
}

/// Text in lines of bearable length, each behind `indent`.
fn prose(out: &mut String, indent: &str, text: &str) {
    let mut line = String::from(indent);
    for word in text.split_whitespace() {
        let room = line.chars().count() + 1 + word.chars().count() <= WIDTH;
        if line.len() > indent.len() {
            if room {
                line.push(' ');
            } else {
                out.push_str(&line);
                out.push('\n');
                line = format!("{indent}{}", if indent.is_empty() { "" } else { "  " });
            }
        }
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}
