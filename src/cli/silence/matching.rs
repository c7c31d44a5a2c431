//! From what a person types to a pattern over the incident document.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config;
use crate::core::pattern::{Node, NodeKind};
use crate::core::route::IncidentPattern;

/// The pattern as JSON, or everything that is wrong with it.
pub(super) fn pattern(fields: &[String], whole: Option<&str>, rules: &[&str]) -> Result<Value, Vec<String>> {
    let mut mistakes = Vec::new();
    let mut members = Map::new();
    if let Some(text) = whole {
        match read(text) {
            Ok(found) => members = found,
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let given = members.clone();
    for field in fields {
        if let Err(mistake) = put(&mut members, &given, field) {
            mistakes.push(mistake);
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let pattern = Value::Object(members);
    let node = Node::from_json(&pattern);
    let mut problems = IncidentPattern::compile(&node).err().unwrap_or_default();
    config::check_incident_pattern(&node, rules, &mut problems);
    if problems.is_empty() {
        return Ok(pattern);
    }
    let said = |message: String, hint: Option<String>| match hint {
        Some(hint) => format!("{message}: {hint}"),
        None => message,
    };
    Err(problems.into_iter().map(|problem| said(problem.message, problem.hint)).collect())
}

/// A pattern in JSON, as a TOML table in braces, or as lines of TOML.
fn read(text: &str) -> Result<Map<String, Value>, String> {
    #[derive(Deserialize)]
    struct Holder {
        pattern: Node,
    }
    if let Ok(Value::Object(members)) = serde_json::from_str(text) {
        return Ok(members);
    }
    let braced = toml::from_str::<Holder>(&format!("pattern = {text}")).map(|holder| holder.pattern);
    let node = match braced {
        Ok(node) => node,
        Err(error) => toml::from_str::<Node>(text).map_err(|lines| {
            let error = if text.trim_start().starts_with('{') { error } else { lines };
            format!(
                "the pattern cannot be read: {}: write {{ severity = [\"high\"] }}, or the same in JSON",
                error.message().lines().next().unwrap_or_default()
            )
        })?,
    };
    match (&node.kind, node.to_json()) {
        (NodeKind::Table(_), Value::Object(members)) => Ok(members),
        _ => Err("a pattern is a table of fields: write { severity = [\"high\"] }".to_owned()),
    }
}

/// Adds `key.arn=*:key/1234*`. The same field again is one more value that will do.
fn put(members: &mut Map<String, Value>, given: &Map<String, Value>, field: &str) -> Result<(), String> {
    let example = "write FIELD=VALUE, such as key.aliases=alias/prod-*";
    let (path, value) = field.split_once('=').ok_or_else(|| format!("`{field}` has no `=`: {example}"))?;
    if path.is_empty() || value.is_empty() || path.split('.').any(str::is_empty) {
        return Err(format!("`{field}` lacks a field or a value: {example}"));
    }
    let steps = steps(path);
    if at(given, &steps).is_some() {
        return Err(format!("`{path}` is in the pattern already: add the value there"));
    }
    let Some((last, tables)) = steps.split_last() else { return Ok(()) };
    let mut inside = members;
    for step in tables {
        let entry = inside.entry(*step).or_insert_with(|| Value::Object(Map::new()));
        inside = entry.as_object_mut().ok_or_else(|| format!("`{path}`: `{step}` has values, so it has no members"))?;
    }
    let slot = inside.entry(*last).or_insert_with(|| json!([])).as_array_mut();
    slot.ok_or_else(|| format!("`{path}` has members, so it has no value: name one of them"))?.extend(values(value));
    Ok(())
}

fn at<'v>(members: &'v Map<String, Value>, steps: &[&str]) -> Option<&'v Value> {
    let (first, rest) = steps.split_first()?;
    let found = members.get(*first)?;
    if rest.is_empty() { Some(found) } else { at(found.as_object()?, rest) }
}

/// Names of tags and labels may hold dots.
fn steps(path: &str) -> Vec<&str> {
    let free = ["key.tags.", "key.labels."].iter().find(|start| path.starts_with(**start));
    match free.and_then(|start| path.split_at_checked(start.len())) {
        Some((start, name)) => start.trim_end_matches('.').split('.').chain([name]).collect(),
        None => path.split('.').collect(),
    }
}

fn values(text: &str) -> Vec<Value> {
    match text {
        // Two fields are no text.
        "true" => vec![json!("true"), json!(true)],
        "false" => vec![json!("false"), json!(false)],
        wild if wild.contains('*') => vec![json!({ "wildcard": wild.replace('\\', "\\\\") })],
        plain => vec![json!(plain)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str], whole: Option<&str>) -> Result<Value, String> {
        let fields: Vec<String> = fields.iter().map(|&field| field.to_owned()).collect();
        pattern(&fields, whole, &["kms.key-disabled"]).map_err(|mistakes| mistakes.join("\n"))
    }

    #[test]
    fn fields_become_a_pattern() {
        assert_eq!(
            of(&["severity=high", "severity=low", "key.arn=*:key/1*", "key.tags.app.kubernetes.io/name=x"], None)
                .unwrap(),
            json!({
                "severity": ["high", "low"],
                "key": { "arn": [{ "wildcard": "*:key/1*" }], "tags": { "app.kubernetes.io/name": ["x"] } }
            })
        );
        assert_eq!(of(&["key.multi_region=true"], None).unwrap(), json!({ "key": { "multi_region": ["true", true] } }));
        // A number that is a name stays text.
        assert_eq!(of(&["account=111122223333"], None).unwrap(), json!({ "account": ["111122223333"] }));
    }

    #[test]
    fn a_whole_pattern_is_toml_or_json() {
        let wanted = json!({ "severity": ["high"], "key": { "labels": { "team": [{ "prefix": "d" }] } } });
        for text in [
            "{ severity = [\"high\"], key.labels.team = [{ prefix = \"d\" }] }",
            "severity = [\"high\"]\nkey.labels.team = [{ prefix = \"d\" }]",
            "{ \"severity\": [\"high\"], \"key\": { \"labels\": { \"team\": [{ \"prefix\": \"d\" }] } } }",
        ] {
            assert_eq!(of(&[], Some(text)).unwrap(), wanted, "{text}");
        }
        let both = of(&["account=111122223333", "key.region=eu-*"], Some("{ key.labels.team = [\"d\"] }")).unwrap();
        assert_eq!(
            both,
            json!({ "account": ["111122223333"], "key": { "labels": { "team": ["d"] }, "region": [{ "wildcard": "eu-*" }] } })
        );
    }

    #[test]
    fn mistakes_say_what_to_do() {
        for (fields, whole, why) in [
            (&["severity"][..], None, "no `=`"),
            (&["severity="], None, "lacks a field or a value"),
            (&["=x"], None, "lacks a field or a value"),
            (&["severity=hihg"], None, "did you mean `high`?"),
            (&["rule=kms.key-disable"], None, "did you mean `kms.key-disabled`?"),
            (&["kay.arn=x"], None, "nothing here has a field `kay.arn`"),
            (&["key=x", "key.arn=y"], None, "so it has no members"),
            (&["key.arn=y", "key=x"], None, "so it has no value"),
            (&["severity=high"], Some("{ severity = [\"low\"] }"), "in the pattern already"),
            (&[], Some("severity"), "the pattern cannot be read"),
            (&[], Some("{ severity = \"high\" }"), "list"),
            (&[], Some("[1]"), "a pattern is a table of fields"),
            (&[], Some("{}"), "empty"),
        ] {
            let mistake = of(fields, whole).unwrap_err();
            assert!(mistake.contains(why), "{fields:?} {whole:?}: {mistake}");
        }
    }
}
