//! What the fuzz targets do with their input. `tests/corpus.rs` of the main crate runs the same on stable Rust.

use kmswatch::core::access::{Change, Rights, Trust, View, diff, parse};
use kmswatch::core::decode;
use kmswatch::core::pattern::{Node, Pattern};
use kmswatch::core::rule::index::Index;

/// The first line is a pattern, the rest an event; both JSON.
pub(crate) fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, event) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(pattern) = serde_json::from_str(pattern) else { return };
    let Ok(pattern) = Pattern::compile(&Node::from_json(&pattern)) else { return };
    let Ok(event) = serde_json::from_str(event) else { return };
    let candidates = Index::new([(7, &pattern)]).candidates(&event);
    if pattern.matches(&event) {
        assert_eq!(candidates, [7], "the index lost a match");
    }
}

/// A message's body. It may be refused; it must not panic, and what was decoded must not be lost on the fast path.
pub(crate) fn decode(data: &[u8]) {
    let Ok(body) = std::str::from_utf8(data) else { return };
    let decoded = decode::decode(body);
    let Some(peek) = decode::peek(body) else { return };
    for event in &decoded.events {
        let pinned = |member: &str| event.document.get(member).and_then(serde_json::Value::as_str);
        assert_eq!(pinned("source"), Some(&*peek.source), "peeking and decoding disagree");
        assert_eq!(pinned("detail-type"), Some(&*peek.detail_type), "peeking and decoding disagree");
        let wanted = serde_json::json!({
            "source": [&peek.source],
            "detail-type": [&peek.detail_type],
            "outcome": [event.outcome.as_str()],
        });
        if let Ok(pattern) = Pattern::compile(&Node::from_json(&wanted))
            && pattern.matches(&event.document)
        {
            assert!(Index::new([(0, &pattern)]).concerned(&peek), "the index lost a match");
        }
    }
}

/// The first line is a key policy, the rest another; as JSON text, or as the text of a JSON string.
pub(crate) fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (before, after) = text.split_once('\n').unwrap_or((text, "{}"));
    let trust = Trust::default();
    let view = View { trust: &trust, home: Some("111122223333") };
    let read = |text: &str| {
        let parsed = parse(&serde_json::Value::from(text));
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
