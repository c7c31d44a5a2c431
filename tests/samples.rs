//! Decodes a folder of recorded events against its table of expectations. The folder is named by `KMSWATCH_SAMPLES` and
//! holds `EXPECTED.tsv` (file, event name, outcome, key, principal, …, tab-separated) with the folders `kms` and `other`
//! (bare CloudTrail records), `envelopes` (EventBridge) and `wrappers` (other shapes). Without the variable nothing is
//! decoded, and the test says so.

#![cfg(test)]
use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use kmswatch::core::access;
use kmswatch::core::decide::{Policy, Prepared, evaluate};
use kmswatch::core::decode::{Decoded, Reason, decode};
use kmswatch::core::event::Event;
use kmswatch::core::pipeline;
use kmswatch::core::rule::Severity;

const VARIABLE: &str = "KMSWATCH_SAMPLES";

#[test]
fn recorded_events_decode_as_expected() {
    #[expect(clippy::disallowed_methods, reason = "the folder of recordings is the developer's own")]
    let Ok(folder) = std::env::var(VARIABLE) else {
        println!("skipped: {VARIABLE} is not set");
        return;
    };
    let folder = Path::new(&folder);
    let table = fs::read_to_string(folder.join("EXPECTED.tsv")).unwrap();
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    assert_eq!(header.get(..5).unwrap(), ["file", "event_name", "outcome", "key", "principal"]);

    let (mut checked, mut wrong) = (0, vec![]);
    for line in lines {
        let row: Vec<&str> = line.split('\t').collect();
        let [file, name, outcome, key, principal] = row.get(..5).unwrap().try_into().unwrap();
        let problems =
            compare(&decode(&fs::read_to_string(folder.join(file)).unwrap()), [name, outcome, key, principal]);
        println!("{} {file}", if problems.is_empty() { "ok   " } else { "WRONG" });
        checked += 1;
        if !problems.is_empty() {
            wrong.push(format!("{file}: {}", problems.join("; ")));
        }
    }
    let unlisted: Vec<_> = files(&folder.join("kms"))
        .into_iter()
        .filter(|f| !table.contains(f.file_name().unwrap().to_str().unwrap()))
        .collect();
    let (decoded, rejected) = others(folder, &mut wrong);
    println!("{checked} expected rows, {} wrong; others: {decoded} decoded, {rejected} rejected by name", wrong.len());
    assert!(checked > 0, "the table is empty");
    assert_eq!(unlisted, Vec::<PathBuf>::new(), "files without a row");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Everything that differs from the row.
fn compare(decoded: &Decoded, [name, outcome, key, principal]: [&str; 4]) -> Vec<String> {
    let ([event], []) = (decoded.events.as_slice(), decoded.rejected.as_slice()) else {
        return vec![format!("{} events, rejected: {:?}", decoded.events.len(), decoded.rejected)];
    };
    let mut problems = vec![];
    let mut same = |what: &str, found: &str, expected: &str| {
        if found != expected {
            problems.push(format!("{what} is {found:?}, expected {expected:?}"));
        }
    };
    same("name", &event.name, name);
    same("outcome", event.outcome.as_str(), outcome);
    same("principal", event.actor.principal.as_deref().unwrap_or("-"), principal);
    same("key", &key_of(event, key), key);
    problems
}

/// The key as the row spells it: an ARN, a bare id (which may have been completed), or `-`.
fn key_of(event: &Event, expected: &str) -> String {
    let key = event.key.as_ref();
    let found = if expected.starts_with("arn:") || expected == "-" {
        key.and_then(|k| k.arn.clone().or_else(|| k.id.clone()))
    } else {
        key.and_then(|k| k.id.clone())
    };
    found.unwrap_or_else(|| "-".to_owned())
}

#[test]
fn the_built_in_rules_page_for_what_they_should_and_for_nothing_else() {
    #[expect(clippy::disallowed_methods, reason = "the folder of recordings is the developer's own")]
    let Ok(folder) = std::env::var(VARIABLE) else {
        println!("skipped: {VARIABLE} is not set");
        return;
    };
    let folder = Path::new(&folder);
    let policy = kmswatch::config::load_rules(&[]).unwrap().policy;
    let table = fs::read_to_string(folder.join("EXPECTED.tsv")).unwrap();
    let at = table.lines().next().unwrap().split('\t').position(|name| name == "tier").unwrap();
    let mut wrong = vec![];
    for row in table.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>()) {
        let found = worst(&policy, &folder.join(row[0]));
        let tier = match found.as_ref().map(|(severity, _)| *severity) {
            Some(Severity::Critical | Severity::High) => "page",
            Some(Severity::Medium | Severity::Low) => "notify",
            Some(Severity::Info) | None => "record",
        };
        if tier != row[at] {
            wrong.push(format!("{}: {tier} by {found:?}, expected {}", row[0], row[at]));
        }
    }
    let mut pages = vec![];
    for part in ["other", "envelopes", "wrappers"] {
        for file in files(&folder.join(part)) {
            if let Some((Severity::Critical | Severity::High, rule)) = worst(&policy, &file) {
                pages.push(format!("{part}/{}: {rule}", file.file_name().unwrap().to_str().unwrap()));
            }
        }
    }
    println!("pages beyond the table:\n{}", pages.join("\n"));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The severest rule that one event alone sets off, at once.
fn worst(policy: &Policy, file: &Path) -> Option<(Severity, String)> {
    let mut alerts = vec![];
    for mut event in decode(&fs::read_to_string(file).unwrap()).events {
        access::assess(&mut event, &policy.trust, None);
        pipeline::assess(&mut event, &policy.ours);
        let now = event.time + SignedDuration::from_secs(1);
        let evaluation = evaluate(policy, &Prepared { event, marks: vec![], looked_up: None }, now);
        let alone =
            evaluation.alerts.into_iter().filter(|alert| alert.rule.window.is_none() && alert.rule.countdown.is_none());
        alerts.extend(alone.map(|alert| (alert.severity, alert.rule.id.clone())));
    }
    alerts.into_iter().max()
}

/// All other files must be decoded, or rejected for a reason of their own.
fn others(folder: &Path, wrong: &mut Vec<String>) -> (usize, usize) {
    let (mut decoded, mut rejected) = (0, 0);
    for part in ["other", "envelopes", "wrappers"] {
        for file in files(&folder.join(part)) {
            let found = decode(&fs::read_to_string(&file).unwrap());
            let shown = format!("{part}/{}", file.file_name().unwrap().to_str().unwrap());
            for bad in &found.rejected {
                println!("rejected {shown}: {} ({})", bad.reason.as_str(), bad.detail);
            }
            decoded += usize::from(!found.events.is_empty());
            rejected += usize::from(!found.rejected.is_empty());
            let nameless = found.rejected.iter().any(|bad| bad.reason == Reason::UnknownShape);
            if nameless || (found.events.is_empty() && found.rejected.is_empty() && found.notices.is_empty()) {
                wrong.push(format!("{shown}: neither decoded nor rejected by name"));
            }
        }
    }
    (decoded, rejected)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|p| p.is_file()).collect();
    found.sort();
    found
}
