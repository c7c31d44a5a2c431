//! What a key policy or a grant in an event means, as lines of a card.

use std::collections::BTreeMap;

use serde_json::Value;

use super::clean;
use crate::core::event::Event;

/// Label and text of each: who gained and lost what, or who has what where nothing was known before; what to look at first.
pub(super) fn details(event: &Event) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut add = |label: &str, text: String| {
        if !text.is_empty() {
            found.insert(label.to_owned(), text);
        }
    };
    if let Some(access) = event.document.get("access") {
        let lines = |name: &str| lines(access, name);
        let is = |name: &str| access.get(name).and_then(Value::as_bool) == Some(true);
        if is("compared") {
            let (gained, lost) = (lines("gained"), lines("lost"));
            if gained.is_empty() && lost.is_empty() {
                add("access", "as before".to_owned());
            }
            add("access gained", join(&gained));
            add("access lost", join(&lost));
        } else {
            add("access given", join(&lines("given")));
            add("access denied", join(&lines("denied")));
        }
        let mut warnings = Vec::new();
        if is("public") {
            warnings.push("anybody in any account is let in");
        }
        if access.get("external").is_some() {
            warnings.push("strangers are let in");
        }
        if access.get("stronger_external").is_some() {
            warnings.push("strangers may do more than before");
        }
        if is("lockout") {
            warnings.push("nobody of the account may change the policy any more");
        }
        if access.get("perhaps_nobody_can").is_some() {
            warnings.push("a Deny on conditions may keep everybody of the account from mending the key");
            add("access denied", join(&lines("denied")));
        }
        add("access warning", warnings.join("; "));
        add("not understood", join(&lines("unknown")));
    }
    if let Some(grant) = event.document.get("grant") {
        let is = |name: &str, wanted: bool| grant.get(name).and_then(Value::as_bool) == Some(wanted);
        let mut warnings = Vec::new();
        if is("external", true) {
            warnings.push("the grantee is a stranger");
        }
        if is("can_create_grants", true) {
            warnings.push("the grantee may make grants in turn");
        }
        // Services grant without constraints all the time.
        if !warnings.is_empty() && is("constrained", false) {
            warnings.push("no constraint narrows it");
        }
        add("grant warning", warnings.join("; "));
    }
    found
}

fn lines<'v>(access: &'v Value, name: &str) -> Vec<&'v str> {
    access.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Lines shown of one list, and the characters of all of them.
const LINES_SHOWN: usize = 6;
const CHARS_MAX: usize = 900;

fn join(lines: &[&str]) -> String {
    let shown: Vec<&str> = lines.iter().copied().take(LINES_SHOWN).collect();
    let mut text = clean(&shown.join("; "), CHARS_MAX);
    if lines.len() > shown.len() {
        text = format!("{text}; and {} more", lines.len() - shown.len());
    }
    text
}
