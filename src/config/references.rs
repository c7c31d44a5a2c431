//! What only the whole can know: names that have to exist, routes nobody reaches, sinks nobody hears of.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::json;
use serde_spanned::Spanned;

use super::Config;
use super::document::Document;
use crate::base::diagnostic::{Problem, did_you_mean};
use crate::core::canary::CallKind;
use crate::core::lint::Delivers;
use crate::core::pattern::{Node, NodeKind, Pattern};
use crate::core::route::RouteSpec;
use crate::core::rule::{Rule, Severity};

/// Checks what refers to something else.
pub(super) fn check(config: &Config, document: &Document<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let sinks = document.names("sinks");
    check_presence(config, document, &mut problems);
    check_names(document, &mut problems);
    check_routes(config, document, &sinks, &mut problems);
    check_fallbacks(config, &sinks, &mut problems);
    check_memory(config, &mut problems);
    check_canaries(config, document, &mut problems);
    check_heartbeat(config, document, &mut problems);
    problems
}

/// A heartbeat says that events come; without a canary it only says that we ask for them.
fn check_heartbeat(config: &Config, document: &Document<'_>, problems: &mut Vec<Problem>) {
    if config.heartbeat.is_none() {
        return;
    }
    let canaries = document.names("canaries");
    let proven: Vec<&str> = config.canaries.values().map(|canary| canary.queue.get_ref().as_str()).collect();
    let without: Vec<&str> = config.queues.keys().map(String::as_str).filter(|queue| !proven.contains(queue)).collect();
    // A canary that could not be read may be the one that seems to be missing.
    if canaries.len() == config.canaries.len() && !without.is_empty() {
        let message = format!("this heartbeat proves less: no canary comes back through {}", without.join(", "));
        problems.push(
            Problem::warning(document.place(&["heartbeat"]), message)
                .hint("add `[canaries.<name>]`; without one the heartbeat goes on while the trail is switched off"),
        );
    }
}

/// A canary that cannot come back would page for ever.
fn check_canaries(config: &Config, document: &Document<'_>, problems: &mut Vec<Problem>) {
    let queues = document.names("queues");
    let known: Vec<&str> = queues.iter().map(String::as_str).collect();
    let mut places = BTreeMap::new();
    for (name, canary) in &config.canaries {
        let queue = canary.queue.get_ref().as_str();
        if !known.contains(&queue) {
            problems.push(
                Problem::error(canary.queue.span(), format!("there is no queue `{queue}`")).hint(did_you_mean(
                    queue,
                    &known,
                    "configured queues",
                )),
            );
            continue;
        }
        let delivers = config.queues.get(queue).and_then(|queue| queue.delivers.as_ref());
        let full = delivers.is_some_and(Delivers::is_full);
        let Some(canary_of) = canary.canary(name, full, &config.lookups) else { continue };
        let place = canary.call.as_ref().map_or_else(|| canary.queue.span(), Spanned::span);
        let (event, read) = (canary_of.call.event_name(), canary_of.call == CallKind::Describe);
        match delivers {
            Some(delivers) if !delivers.lets_through(event, read) => {
                let hint = if read {
                    "call = \"tag\" writes a tag on a key of its own, which every rule delivers; or let the EventBridge rule deliver everything (`full`)"
                } else {
                    "let the EventBridge rule deliver it, or correct `delivers` of the queue"
                };
                let message = format!("queue `{queue}` is not handed `{event}`, so this would never come back");
                problems.push(Problem::error(place, message).hint(hint));
            }
            None if read => problems.push(
                Problem::warning(
                    place,
                    format!(
                        "a read comes back only where everything is delivered, and queue `{queue}` does not say that"
                    ),
                )
                .hint("add `delivers = \"full\"` to the queue if it is so, or write call = \"tag\""),
            ),
            _ => {}
        }
        if let Some(other) = places.insert((queue, canary_of.account, canary_of.region), name) {
            problems.push(
                Problem::warning(canary.key.span(), format!("canary `{other}` proves the same way already"))
                    .hint("one is enough for each queue, account and Region"),
            );
        }
    }
}

fn check_presence(config: &Config, document: &Document<'_>, problems: &mut Vec<Problem>) {
    // A misspelt table is reported already, and is most likely the one that seems to be missing.
    if document.unknown_tables {
        return;
    }
    if document.names("queues").is_empty() {
        problems.push(
            Problem::error(document.place(&["queues"]), "no queue is configured, so nothing can be heard")
                .hint("add `[queues.main]` with `url = \"https://sqs.<region>.amazonaws.com/<account>/<name>\"`"),
        );
    }
    if document.names("sinks").is_empty() {
        problems.push(Problem::error(document.place(&["sinks"]), "no sink is configured, so nobody can be told").hint(
            "add `[sinks.security.slack]`, `[sinks.oncall.pagerduty]` or, to begin with, `[sinks.console.stdout]`",
        ));
    }
    for (at, keys) in config.keys.iter().enumerate() {
        if keys.labels.is_empty() {
            problems.push(
                Problem::warning(keys.matches.span.clone(), format!("`keys` table {} gives no labels", at + 1))
                    .hint("add `labels = { environment = \"production\" }`, or remove the table"),
            );
        }
    }
}

/// Names become parts of idempotency keys, which travel in HTTP headers, and of variables' names.
fn check_names(document: &Document<'_>, problems: &mut Vec<Problem>) {
    for (table, what) in [("queues", "queue"), ("sinks", "sink"), ("canaries", "canary")] {
        for name in document.names(table) {
            let fits = (1..=60).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            if !fits {
                problems.push(
                    Problem::error(document.place(&[table, &name]), format!("this is not a name for a {what}"))
                        .hint("a name has up to 60 letters (a to z), digits, `-`, `_` and `.`"),
                );
            }
        }
    }
}

fn check_routes(config: &Config, document: &Document<'_>, sinks: &[String], problems: &mut Vec<Problem>) {
    let known: Vec<&str> = sinks.iter().map(String::as_str).collect();
    let mut stops: Vec<(&RouteSpec, usize)> = Vec::new();
    for route in &config.routes {
        for sink in route.sinks.iter().filter(|sink| !known.contains(&sink.get_ref().as_str())) {
            problems.push(
                Problem::error(sink.span(), format!("there is no sink `{}`", sink.get_ref())).hint(did_you_mean(
                    sink.get_ref(),
                    &known,
                    "configured sinks",
                )),
            );
        }
        let place = place_of(route, document);
        if route.sinks.is_empty() && !route.stop {
            problems.push(
                Problem::warning(place.clone(), "this route names no sink, so it does nothing")
                    .hint("name sinks, or write `stop = true` if what it matches is meant to reach no further route"),
            );
        }
        if let Some((_, line)) = stops.iter().find(|(stop, _)| covers(stop, route)) {
            problems.push(
                Problem::error(place.clone(), "no incident reaches this route").hint(format!(
                    "the route on line {line} takes everything this one does, and stops: move this one above it, or remove its `stop`"
                )),
            );
        }
        if route.stop && !document.is_broken(&place) {
            stops.push((route, document.line(&place)));
        }
    }
}

fn place_of(route: &RouteSpec, document: &Document<'_>) -> Range<usize> {
    let inside = route.sinks.first().map(Spanned::span);
    let inside = inside.or_else(|| route.matches.as_ref().map(|node| node.span.clone()));
    document.entry_around("routes", inside.as_ref())
}

/// Whether everything the second route takes is taken by the first. Errs on the side of no.
fn covers(first: &RouteSpec, second: &RouteSpec) -> bool {
    match (&first.matches, &second.matches) {
        (None, _) => true,
        (Some(first), Some(second)) => narrows(second, first),
        (Some(_), None) => false,
    }
}

/// Whether `narrow` asks for all that `wide` asks for: the same members with the same or fewer plain values.
fn narrows(narrow: &Node, wide: &Node) -> bool {
    match (&narrow.kind, &wide.kind) {
        (NodeKind::Table(have), NodeKind::Table(want)) => want.iter().all(|(name, wide)| {
            name.text != "$or" && have.iter().any(|(other, narrow)| other.text == name.text && narrows(narrow, wide))
        }),
        (NodeKind::Array(have), NodeKind::Array(want)) => {
            have.iter().all(|item| want.iter().any(|other| item.to_json() == other.to_json()))
        }
        _ => narrow.to_json() == wide.to_json(),
    }
}

/// What the store forgets, the engine cannot open again.
fn check_memory(config: &Config, problems: &mut Vec<Problem>) {
    let reopen = &config.engine.reopen_within;
    for (name, kept) in [("keep_history", &config.store.keep_history), ("keep_markers", &config.store.keep_markers)] {
        if kept.get_ref() < reopen.get_ref() {
            let place = if kept.span() == (0..0) { reopen.span() } else { kept.span() };
            problems.push(
                Problem::error(place, format!("`store.{name}` is shorter than `engine.reopen_within`"))
                    .hint(format!("keep at least {}, or reopen within less", reopen.get_ref())),
            );
        }
    }
}

fn check_fallbacks(config: &Config, sinks: &[String], problems: &mut Vec<Problem>) {
    let known: Vec<&str> = sinks.iter().map(String::as_str).collect();
    let mut told = BTreeSet::new();
    for (name, sink) in &config.sinks {
        let Some(fallback) = &sink.fallback else { continue };
        if !known.contains(&fallback.get_ref().as_str()) {
            problems.push(
                Problem::error(fallback.span(), format!("there is no sink `{}` to fall back to", fallback.get_ref()))
                    .hint(did_you_mean(fallback.get_ref(), &known, "configured sinks")),
            );
            continue;
        }
        let ring = ring_from(config, name);
        if let Some(ring) = ring
            && told.insert(ring.iter().copied().collect::<BTreeSet<_>>())
        {
            let message = if ring.len() == 1 {
                format!("sink `{name}` falls back to itself")
            } else {
                format!("these sinks fall back to each other in a circle: {} → {name}", ring.join(" → "))
            };
            problems.push(
                Problem::error(fallback.span(), message)
                    .hint("when all of them fail nobody hears of it; let the last one have no `fallback`"),
            );
        }
    }
}

/// The sinks from `start` along their fallbacks back to it.
fn ring_from<'c>(config: &'c Config, start: &'c str) -> Option<Vec<&'c str>> {
    let mut ring = vec![start];
    let mut at = start;
    while ring.len() <= config.sinks.len() {
        at = config.sinks.get(at)?.fallback.as_ref()?.get_ref();
        if at == start {
            return Some(ring);
        }
        ring.push(at);
    }
    None
}

/// Sinks that hear of nothing, and rules that nobody hears of. Worth asking only where everything else is right.
pub(super) fn reach(config: &Config, document: &Document<'_>, rules: &[Arc<Rule>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.routes.is_empty() {
        problems.push(
            Problem::warning(document.place(&["sinks"]), "there are no routes")
                .hint("critical and high incidents go to every sink, others to none; `[[routes]]` with `sinks = [\"…\"]` alone takes everything"),
        );
        return problems;
    }
    let first_route = document.entry_around("routes", None);
    let named: BTreeSet<&str> =
        config.routes.iter().flat_map(|route| &route.sinks).map(|sink| sink.get_ref().as_str()).collect();
    let fallbacks: BTreeSet<&str> =
        config.sinks.values().filter_map(|sink| sink.fallback.as_ref()).map(|name| name.get_ref().as_str()).collect();
    for name in config.sinks.keys().filter(|name| !named.contains(name.as_str()) && !fallbacks.contains(name.as_str()))
    {
        problems.push(
            Problem::warning(document.place(&["sinks", name]), format!("no route names sink `{name}`"))
                .hint("name it in a route's `sinks` or as a `fallback`, or remove it"),
        );
    }
    let untaken = |bad: fn(Severity) -> bool| {
        let ids: Vec<&str> = rules
            .iter()
            .filter(|rule| bad(rule.severity) && !config.routes.iter().any(|route| may_take(route, rule)))
            .map(|rule| rule.id.as_str())
            .collect();
        (!ids.is_empty()).then(|| ids.join(", "))
    };
    if let Some(ids) = untaken(|severity| severity >= Severity::High) {
        problems.push(
            Problem::note(first_route.clone(), format!("no route takes these critical and high rules: {ids}")).hint(
                "their incidents go to every sink, so that no page is lost; add a route to choose who hears of them",
            ),
        );
    }
    if let Some(ids) = untaken(|severity| severity < Severity::High) {
        problems.push(
            Problem::warning(first_route, format!("no route takes these rules: {ids}"))
                .hint("their incidents are recorded and told to nobody; add a route that takes them"),
        );
    }
    problems
}

/// Whether a route may take incidents of a rule, by what is known of them before they happen. Errs on the side of yes.
fn may_take(route: &RouteSpec, rule: &Rule) -> bool {
    if route.sinks.is_empty() {
        return false;
    }
    let Some(Node { span, kind: NodeKind::Table(members) }) = &route.matches else { return true };
    let known = ["rule", "incident", "tags"];
    // An incident's severity rises with its alerts; other rules of the family may raise it.
    let members: Vec<_> = members
        .iter()
        .filter(|(name, _)| known.contains(&name.text.as_str()) || name.text == "severity")
        .cloned()
        .collect();
    if members.is_empty() {
        return true;
    }
    let document = json!({
        "severity": rule.severity.as_str(),
        "rule": [rule.id],
        "incident": rule.family,
        "tags": rule.tags,
    });
    let node = Node { span: span.clone(), kind: NodeKind::Table(members) };
    Pattern::compile(&node).is_ok_and(|pattern| pattern.matches(&document))
}
