//! What the fuzz targets do with their input. `tests/corpus.rs` of the main crate runs the same on stable Rust.

use std::sync::Arc;

use kmswatch::core::access::{Change, Rights, Trust, View, diff, parse};
use kmswatch::core::decode;
use kmswatch::core::lint;
use kmswatch::core::pattern::{Node, Pattern};
use kmswatch::core::peek::{Paths, Peek};
use kmswatch::core::rule::index::Index;
use kmswatch::core::rule::{RuleFile, RuleSet, compile};
use kmswatch::sigma;
use serde_json::Value;

/// The first line is a pattern, the rest an event; both JSON.
pub(crate) fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, body) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(pattern) = serde_json::from_str(pattern) else { return };
    let Ok(pattern) = Pattern::compile(&Node::from_json(&pattern)) else { return };
    let index = Index::new([(7, &pattern)]);
    let event: Option<Value> = serde_json::from_str(body).ok();

    // Bytes are never taken for what they are not, and give the same answer.
    let paths = Paths::new(pattern.clauses().map(|clause| clause.steps().collect()));
    if let Some(peek) = Peek::read(body, &paths, 64) {
        let Some(event) = &event else { panic!("taken for JSON") };
        let possible = (0..pattern.combinations().count()).any(|place| pattern.admits(place, peek.view()));
        assert_eq!(possible, pattern.matches(event), "bytes and value disagree");
    }
    whole_way(&index, &pattern, body);

    let Some(event) = event else { return };
    let matches = pattern.matches(&event);
    assert_eq!(!index.matching(&event).is_empty(), matches, "the index disagrees");
    assert!(!matches || index.candidates(&event) == [7], "the index lost a match");
    // The event as the detail of a message that is surely peeked at.
    let mut envelope = serde_json::json!({ "source": "s", "detail-type": "t", "time": "2026-01-01T00:00:00Z" });
    envelope["detail"] = event;
    whole_way(&index, &pattern, &envelope.to_string());
}

/// A message that is passed over has no event that matches.
fn whole_way(index: &Index, pattern: &Pattern, body: &str) {
    let Some(peek) = index.peek(body) else { return };
    let decoded = decode::decode(body);
    let [event] = decoded.events.as_slice() else { panic!("a peek stands for one event") };
    assert!(index.concerned(&peek) || !pattern.matches(&event.document), "peeking lost a match");
}

/// A message's body. It may be refused; it must not panic, and what was decoded must not be lost on the fast path.
pub(crate) fn decode(data: &[u8]) {
    let Ok(body) = std::str::from_utf8(data) else { return };
    let decoded = decode::decode(body);
    for event in &decoded.events {
        let plain = |member: &str| serde_json::json!([event.document.get(member)]);
        let wanted = serde_json::json!({
            "source": plain("source"),
            "detail-type": plain("detail-type"),
            "outcome": plain("outcome"),
            "account": plain("account"),
        });
        if let Ok(pattern) = Pattern::compile(&Node::from_json(&wanted))
            && pattern.matches(&event.document)
        {
            whole_way(&Index::new([(0, &pattern)]), &pattern, body);
        }
    }
    if let Some(peek) = Index::new([]).peek(body) {
        assert!(decoded.rejected.is_empty(), "peeking and decoding disagree");
        assert!(!Index::new([]).concerned(&peek), "nobody asks");
    }
}

/// A rule file. Whatever is in it, it is refused with a place or compiled, and what is compiled can be asked.
pub(crate) fn rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(file) = toml::from_str::<RuleFile>(text) else { return };
    let mut rules = vec![];
    for spec in &file.rule {
        for problem in lint::check(spec, None) {
            assert!(problem.span.end <= text.len(), "a finding outside of the file");
        }
        match compile(spec) {
            Ok(rule) => rules.push(Arc::new(rule)),
            Err(problems) => {
                assert!(!problems.is_empty(), "refused without a reason");
                for problem in problems {
                    assert!(problem.span.end <= text.len() && !problem.message.is_empty(), "{problem:?}");
                }
            }
        }
    }
    let event =
        serde_json::json!({ "source": "aws.kms", "detail": { "eventName": "DisableKey" }, "outcome": "success" });
    let set = RuleSet::new(rules);
    let asked = set.rules.iter().filter(|rule| rule.patterns().any(|pattern| pattern.matches(&event))).count();
    assert!(set.candidates(&event).count() >= asked, "the index lost a rule");
    for templates in set.rules.iter().filter_map(|rule| rule.templates.as_ref()) {
        let texts = templates.render(&event);
        assert!(texts.title.is_none_or(|title| title.chars().count() <= 121), "a title without an end");
    }
}

/// The first line is a key policy, the rest another; as JSON text, or as the text of a JSON string.
pub(crate) fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (before, after) = text.split_once('\n').unwrap_or((text, "{}"));
    let trust = Trust::default();
    let view = View { trust: &trust, home: Some("111122223333") };
    let read = |text: &str| {
        let parsed = parse(&Value::from(text));
        if let (Ok(object), Ok(parsed)) = (serde_json::from_str(text), &parsed) {
            let of_object = parse(&object).map(|policy| policy.statements);
            assert_eq!(of_object.as_ref(), Ok(&parsed.statements), "an object and its text differ");
        }
        parsed.map(|policy| Rights::of(&policy, None, view))
    };
    let (before, after) = (read(before), read(after));
    for rights in [&before, &after].into_iter().flatten() {
        assert_eq!(diff(rights, rights, view), Change::default(), "a policy differs from itself");
        assert!(rights.lines(view).iter().all(|line| !line.contains('\n')), "a line is no line");
    }
    if let (Ok(before), Ok(after)) = (&before, &after) {
        let (there, back) = (diff(before, after, view), diff(after, before, view));
        assert_eq!(there.gained.is_empty(), back.lost.is_empty(), "gained there, not lost back");
        assert_eq!(there.lost.is_empty(), back.gained.is_empty(), "lost there, not gained back");
    }
}

/// Sigma rules. They may be refused; what is imported must load.
pub(crate) fn sigma(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let import = sigma::import(&[sigma::Source { name: "input", text }], &sigma::Options::default());
    for rule in import.rules {
        assert!(rule.toml.contains("[[rule]]") && rule.rules > 0, "an import without a rule");
    }
}
