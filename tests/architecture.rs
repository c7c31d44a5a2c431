//! Imports only point down, modules on one floor never see each other, and the core stays pure.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first. A new top-level module needs a place here.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["core"],
    &["queue", "store", "sink", "keys", "pipeline", "localsqs", "archive", "spool", "sigma"],
    &["config", "engine"],
    &["ingest", "deliver", "upkeep", "admin", "canary", "heartbeat", "sweep", "replay"],
    &["app"],
    &["cli"],
];

/// What the core must never name.
const IMPURE: &[&str] = &[
    "tokio",
    "reqwest",
    "sqlx",
    "aws_",
    "axum",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "fastrand",
    "async fn",
    ".await",
];

/// Crates that only one port may name.
const OWNED: &[(&str, &[&str])] = &[
    ("aws_sdk_sqs", &["queue"]),
    ("aws_sdk_kms", &["keys"]),
    ("aws_sdk_sts", &["base"]),
    ("sqlx", &["store"]),
    ("reqwest", &["sink", "spool"]),
    ("flate2", &["archive", "spool"]),
    ("libdeflater", &["archive"]),
    ("saphyr_parser", &["sigma"]),
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|x| x == "rs") {
            found.push(path);
        }
    }
}

/// Code without comments: a module's name in prose is no import.
fn code(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Top-level modules named after `crate::`, with `crate::{a, b::c}` groups opened.
fn imports(source: &str) -> Vec<String> {
    let mut found = vec![];
    for (at, _) in source.match_indices("crate::") {
        let rest = source.get(at + "crate::".len()..).unwrap();
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut item) = (1, String::new());
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (c == ',' && depth == 1) {
                    found.push(std::mem::take(&mut item));
                } else {
                    item.push(c);
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.push(rest.to_owned());
        }
    }
    found
        .iter()
        .map(|item| item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Every breach in one file's source.
fn breaches(relative: &str, source: &str) -> Vec<String> {
    let me = relative.split('/').next().unwrap().trim_end_matches(".rs");
    if me == "lib" || me == "main" {
        return vec![];
    }
    let Some(my_floor) = floor(me) else {
        return vec![format!("{relative}: `{me}` has no floor: give it a place in FLOORS")];
    };
    let code = code(source);
    let mut bad = vec![];
    for to in imports(&code) {
        match floor(&to) {
            _ if to == me => {}
            None => bad.push(format!("{relative}: imports `{to}`, which has no floor")),
            Some(theirs) if theirs >= my_floor => bad.push(format!("{relative}: `{me}` must not import `{to}`")),
            Some(_) => {}
        }
    }
    if me == "core" {
        // Tests inside the core may print and read what they like.
        let shipped = code.split("#[cfg(test)]").next().unwrap_or("");
        bad.extend(
            IMPURE
                .iter()
                .filter(|word| shipped.contains(**word))
                .map(|word| format!("{relative}: the core must not name `{word}`")),
        );
    }
    for (name, owners) in OWNED {
        let shipped = code.split("#[cfg(test)]").next().unwrap_or("");
        if shipped.contains(&format!("{name}::")) && !owners.contains(&me) {
            bad.push(format!("{relative}: only {owners:?} may name `{name}`"));
        }
    }
    bad
}

#[test]
fn imports_point_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![];
    rust_files(&root, &mut files);
    assert!(files.len() > 10, "the walk found too little: {files:?}");
    let bad: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let relative = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            breaches(&relative, &fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}

#[test]
fn a_breach_is_seen() {
    assert_eq!(breaches("core/x.rs", "use crate::sink::Sink;").len(), 1);
    assert_eq!(breaches("core/x.rs", "use crate::{event, store::{Store, Lease}};").len(), 2, "`event` has no floor");
    assert_eq!(breaches("core/x.rs", "let now = Timestamp::now();").len(), 1);
    assert_eq!(breaches("sink/slack.rs", "use crate::store::Store;").len(), 1);
    assert_eq!(breaches("ingest.rs", "let c = aws_sdk_sqs::Client::new();").len(), 1);
    assert_eq!(breaches("mystery.rs", "").len(), 1);
    assert!(breaches("sink/slack.rs", "// crate::store is not for us\nuse crate::core::event;").is_empty());
}
