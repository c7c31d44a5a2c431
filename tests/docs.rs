//! The documentation says what the program does: its tables come out of the program, its examples load, its links lead
//! somewhere. `KMSWATCH_UPDATE_DOCS=1 cargo test --test docs` writes the tables anew.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use kmswatch::base::telemetry::{METRICS, MetricKind};
use kmswatch::config;
use kmswatch::core::audit::CHECKS;
use kmswatch::core::event::FIELDS;
use kmswatch::core::incident::Taken;
use kmswatch::core::pattern::op::OPS;
use kmswatch::core::rule::builtin;
use kmswatch::core::ruletest::CONTROLS;
use kmswatch::sink::sample::{Sample, sample_notification};
use serde_json::Value;

/// Every page of the documentation.
fn pages() -> Vec<PathBuf> {
    let folder = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        folder.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.extend(["README.md", "ARCHITECTURE.md"].map(PathBuf::from));
    pages.sort();
    pages
}

/// Holds the part of `file` between the markers for `name` to `wanted`, or writes it there.
fn generated(file: &str, name: &str, wanted: &str) {
    let text = fs::read_to_string(file).unwrap();
    let (start, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->");
    let (head, rest) = text.split_once(&start).unwrap_or_else(|| panic!("{file} has no place for {name}"));
    let (now, tail) = rest.split_once(end).unwrap();
    if now.trim() == wanted.trim() {
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, not of the program")]
    let update = std::env::var("KMSWATCH_UPDATE_DOCS").is_ok();
    if update {
        fs::write(file, format!("{head}{start}\n{}\n\n{end}{tail}", wanted.trim())).unwrap();
        return;
    }
    panic!("{file} is not up to date: run KMSWATCH_UPDATE_DOCS=1 cargo test --test docs\n--- wanted ---\n{wanted}");
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// The schema's tables as Markdown, in the order in which they are met.
struct Reference<'s> {
    root: &'s Value,
    tables: Vec<(String, String)>,
}

impl<'s> Reference<'s> {
    /// The schema behind references and behind "or nothing".
    fn resolve(&self, schema: &'s Value) -> &'s Value {
        if let Some(name) = schema["$ref"].as_str() {
            return &self.root["$defs"][name.rsplit('/').next().unwrap()];
        }
        let any = schema["anyOf"].as_array();
        let some = any.filter(|any| any.len() == 2).and_then(|any| any.iter().find(|one| one["type"] != "null"));
        some.map_or(schema, |one| self.resolve(one))
    }

    fn table(&mut self, path: &str, schema: &'s Value, closing: &str) {
        if self.tables.iter().any(|(known, _)| known == path) {
            return;
        }
        let mut text = String::new();
        writeln!(text, "### `{path}{closing}`\n").unwrap();
        if let Some(said) = schema["description"].as_str() {
            // What stands before a colon repeats the heading.
            let repeats = said.starts_with("`[") || said.starts_with("One `[");
            let said = said.split_once(": ").filter(|_| repeats).map_or(said, |(_, rest)| rest);
            let said = if said.starts_with("`[") || said == "One `[[rule]]` table." { "" } else { said };
            if !said.is_empty() {
                let mut chars = cell(said).replace("\\|", "|");
                if let Some(first) = chars.get_mut(0..1) {
                    first.make_ascii_uppercase();
                }
                writeln!(text, "{}{}\n", chars, if chars.ends_with('.') { "" } else { "." }).unwrap();
            }
        }
        let place = self.tables.len();
        self.tables.push((path.to_owned(), String::new()));
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let inner = path.trim_start_matches('[');
        let mut rows = String::new();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let target = self.resolve(member);
            let entries = self.resolve(&target["additionalProperties"]);
            let below = if inner.is_empty() { name.clone() } else { format!("{inner}.{name}") };
            if target["properties"].is_object() || is_empty_table(target) {
                self.table(&format!("[{below}"), target, "]");
            } else if entries["properties"].is_object() {
                self.table(&format!("[{below}.<{}>", entry_name(name)), entries, "]");
            } else if self.resolve(&target["items"])["properties"].is_object() {
                self.table(&format!("[[{below}"), self.resolve(&target["items"]), "]]");
            } else {
                let said = member["description"].as_str().or(target["description"].as_str()).unwrap_or_default();
                let (said, default) = without_default(said);
                let given = match &member["default"] {
                    _ if required.contains(&name.as_str()) => "required".to_owned(),
                    Value::Null => cell(default),
                    default => format!("`{default}`"),
                };
                writeln!(rows, "| `{name}` | {} | {given} | {} |", self.kind(target), cell(said)).unwrap();
            }
        }
        if !rows.is_empty() {
            write!(text, "| key | type | default | meaning |\n|---|---|---|---|\n{rows}").unwrap();
        }
        self.tables[place].1 = text;
    }

    fn kind(&self, schema: &'s Value) -> String {
        let named = self.root["$defs"].as_object().unwrap().iter().find(|(_, one)| std::ptr::eq(*one, schema));
        let named = named.map(|(name, _)| name.as_str());
        if let Some(known) = [
            ("Period", "duration"),
            ("Moment", "date"),
            ("SecretRef", "secret"),
            ("Text", "text or secret"),
            ("Pattern", "pattern"),
            ("PartialEvent", "event"),
            ("Words", "text or list of texts"),
            ("Delivers", "`writes`, `lean`, `full`, or pattern"),
        ]
        .iter()
        .find(|(name, _)| Some(*name) == named)
        {
            return known.1.to_owned();
        }
        let consts: Vec<&Value> = schema["oneOf"].as_array().into_iter().flatten().map(|one| &one["const"]).collect();
        let values = schema["enum"].as_array().map_or(consts, |values| values.iter().collect());
        if !values.is_empty() {
            return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
            kind => kind.as_str(),
        };
        match kind {
            Some("string") => "text".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("integer") => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
                (Some(min), Some(max)) => format!("number, {min} to {max}"),
                _ => "number".to_owned(),
            },
            Some("array") => format!("list of {}", plural(&self.kind(self.resolve(&schema["items"])))),
            Some("object") => {
                format!("table of {}", plural(&self.kind(self.resolve(&schema["additionalProperties"]))))
            }
            other => panic!("a schema of kind {other:?} is not described: {schema}"),
        }
    }
}

/// A text and the default at its end: "… Default "30s".".
fn without_default(said: &str) -> (&str, &str) {
    match said.rsplit_once(" Default") {
        Some((head, tail)) if !tail.contains(". ") => (head, tail.trim_start_matches(':').trim().trim_end_matches('.')),
        _ => (said, ""),
    }
}

fn plural(kind: &str) -> String {
    kind.replace("text", "texts").replace("secret", "secrets").replace("pattern", "patterns").replace("event", "events")
}

/// `[store.memory]`: a table that is its own meaning.
fn is_empty_table(schema: &Value) -> bool {
    schema["type"] == "object" && schema["additionalProperties"] == false && schema["properties"].is_null()
}

/// What names an entry of a table of tables.
fn entry_name(table: &str) -> &'static str {
    match table {
        "assume_role" => "account",
        "override" => "id",
        _ => "name",
    }
}

/// Names of all properties, wherever in the schema they are.
fn names<'s>(schema: &'s Value, found: &mut BTreeSet<&'s str>) {
    match schema {
        Value::Object(members) => {
            let properties = members.get("properties").and_then(Value::as_object);
            found.extend(properties.into_iter().flatten().map(|(name, _)| name.as_str()));
            for member in members.values() {
                names(member, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                names(item, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_of_the_configuration_is_in_the_reference() {
    let schema = config::schema();
    let mut reference = Reference { root: &schema, tables: vec![] };
    reference.table("", &schema, "");
    let parts: Vec<&str> = reference.tables.iter().skip(1).map(|(_, text)| text.as_str()).collect();
    assert!(parts.len() > 20, "{parts:?}");
    generated("docs/configuration.md", "configuration", &parts.join("\n"));

    // The walk above leaves nothing out: every name of the schema stands in the page.
    let page = fs::read_to_string("docs/configuration.md").unwrap();
    let words: BTreeSet<&str> = page.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let mut found = BTreeSet::new();
    names(&schema, &mut found);
    let missing: Vec<_> = found.difference(&words).collect();
    assert!(found.len() > 80 && missing.is_empty(), "{missing:?}");
}

#[test]
fn every_metric_is_in_the_table() {
    let mut table = "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for metric in METRICS {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(table, "| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), cell(metric.help)).unwrap();
    }
    generated("docs/metrics.md", "metrics", &table);
}

#[test]
fn every_check_of_an_audit_is_in_the_table() {
    let mut table = "| check | severity | finds | why | what to do |\n|---|---|---|---|---|\n".to_owned();
    for check in CHECKS {
        let controls =
            if check.controls.is_empty() { String::new() } else { format!(" ({})", check.controls.join(", ")) };
        let row = [check.title, check.why, check.action].map(cell);
        writeln!(
            table,
            "| `{}` | {} | {}{controls} | {} | {} |",
            check.id,
            check.severity.as_str(),
            row[0],
            row[1],
            row[2]
        )
        .unwrap();
    }
    generated("docs/audit.md", "checks", &table);
}

#[test]
fn rules_fields_and_operators_are_in_their_tables() {
    let mut rules =
        "| rule | severity | one incident for each | ends | what it tells |\n|---|---|---|---|---|\n".to_owned();
    for rule in builtin() {
        let mut ends: Vec<String> = vec![];
        if rule.notice {
            ends.push("told once, never open".to_owned());
        }
        if rule.resolve_source.is_some() {
            ends.push("by its `resolve` event".to_owned());
        }
        if rule.recovered.is_some() {
            ends.push("when a lookup says so".to_owned());
        }
        if let Some(after) = rule.resolve_after {
            ends.push(format!("{after:#} after the newest alert"));
        }
        let groups: Vec<String> = rule.group_by.iter().map(|path| format!("`{path}`")).collect();
        writeln!(
            rules,
            "| `{}` | {} | {} | {} | {} |",
            rule.id,
            rule.severity.as_str(),
            groups.join(" + "),
            ends.join(", or "),
            cell(&format!("{}. {}", rule.title, rule.meaning.as_deref().unwrap_or_default()))
        )
        .unwrap();
    }
    generated("docs/rules.md", "built-in rules", &rules);

    let mut fields = "| field | holds | taken from |\n|---|---|---|\n".to_owned();
    for field in FIELDS {
        writeln!(fields, "| `{}` | {} | {} |", field.name, cell(field.doc), cell(field.derived)).unwrap();
    }
    generated("docs/rules.md", "fields", &fields);

    let mut operators = "| operator | matches if |\n|---|---|\n".to_owned();
    for op in OPS {
        writeln!(operators, "| `{}` | {} |", op.name, cell(op.doc)).unwrap();
    }
    generated("docs/rules.md", "operators", &operators);

    let mut controls = "| member | says |\n|---|---|\n".to_owned();
    for (name, doc) in CONTROLS {
        writeln!(controls, "| `{name}` | {} |", cell(doc)).unwrap();
    }
    generated("docs/rules.md", "events of a test", &controls);
}

/// Names of all members, but of those that an operator or AWS names.
fn members(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members_here) => {
            for (name, member) in members_here {
                found.insert(name.clone());
                if !["labels", "tags", "details"].contains(&name.as_str()) {
                    members(member, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| members(item, found)),
        _ => {}
    }
}

#[test]
fn every_member_of_our_own_json_is_explained() {
    let mut found = BTreeSet::from(["type", "timestamp", "data", "delivery"].map(str::to_owned));
    for sample in Sample::ALL {
        let mut n = sample_notification(sample, Timestamp::UNIX_EPOCH);
        n.banner = Some("x".to_owned());
        n.marks = vec!["x".to_owned()];
        n.incident.taken = Some(Taken { by: "x".to_owned(), why: "x".to_owned(), at: n.at });
        n.event.actor.service = Some("x".to_owned());
        let key = n.key.as_mut().unwrap();
        (key.origin, key.multi_region) = (Some("x".to_owned()), Some(true));
        key.tags.insert("x".to_owned(), "x".to_owned());
        members(&serde_json::to_value(&n).unwrap(), &mut found);
    }
    let page = fs::read_to_string("docs/webhook.md").unwrap();
    let missing: Vec<&String> = found.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(found.len() > 60 && missing.is_empty(), "docs/webhook.md says nothing of {missing:?}");
}

#[test]
fn examples_that_are_complete_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in text.split("```toml complete\n").skip(1) {
            let block = block.split_once("\n```").unwrap().0;
            let path = folder.path().join("kmswatch.toml");
            fs::write(&path, block).unwrap();
            let loaded =
                if config::is_rule_file(&path) { config::load_rules(&[path]) } else { config::load(&path, []) };
            let loaded = loaded.unwrap_or_else(|found| {
                let found: Vec<String> = found.iter().map(|finding| finding.render(false)).collect();
                panic!("{}: {}", page.display(), found.join("\n"))
            });
            let findings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            assert!(findings.is_empty(), "{}: {findings:?}", page.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen} complete examples");
}

#[test]
fn every_command_is_in_the_readme() {
    let help = Command::new(env!("CARGO_BIN_EXE_kmswatch")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let names: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() >= 7, "{names:?}");
    let readme = fs::read_to_string("README.md").unwrap();
    for name in names {
        assert!(readme.contains(&format!("`{name}")), "README.md does not name `{name}`");
    }
}

#[test]
fn links_within_the_repository_lead_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split_once(')').unwrap().0;
            if target.starts_with("http") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = page.parent().unwrap_or(Path::new("")).join(file);
            let path = if file.is_empty() { page.clone() } else { path };
            assert!(path.exists(), "{} links to {target}", page.display());
            if !anchor.is_empty() {
                let linked = fs::read_to_string(&path).unwrap();
                let headings = linked.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| {
                    let line = line.trim_start_matches('#').trim().to_lowercase();
                    let kept: String = line.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
                    kept.replace(' ', "-")
                });
                assert!(anchors.any(|known| known == anchor), "{} links to {target}", page.display());
            }
        }
    }
}
