//! The example is complete, loads, and fits the schema; a slip of the pen in it does not.

#![cfg(test)]

use std::fs;
use std::path::Path;

use kmswatch::config;
use serde_json::Value;

const EXAMPLE: &str = "config/kmswatch.toml";

fn as_json(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn the_example_loads_without_a_finding() {
    let loaded = config::load(Path::new(EXAMPLE), []).unwrap_or_else(|found| {
        panic!("{}", found.iter().map(|d| d.render(false)).collect::<Vec<_>>().join("\n\n"));
    });
    let findings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{findings:#?}");
    assert!(loaded.policy.rules.rules.len() > 4, "{}", loaded.summary());
    assert!(loaded.config.sinks.len() >= 3 && loaded.policy.routes.len() >= 2, "{}", loaded.summary());
}

#[test]
fn the_example_fits_the_schema_and_a_typo_does_not() {
    let schema = config::schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let text = fs::read_to_string(EXAMPLE).unwrap();
    let example = as_json(&text);
    let errors: Vec<String> =
        validator.iter_errors(&example).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");

    for (right, wrong) in [
        ("[daemon]", "[deamon]"),
        ("max_per_minute", "max_per_minut"),
        ("severity = \"high\"", "severity = \"hihg\""),
        ("polls_max = 4", "polls_max = \"4\""),
    ] {
        assert!(text.contains(right), "{right}");
        assert!(!validator.is_valid(&as_json(&text.replace(right, wrong))), "{wrong} is accepted");
    }
}

#[test]
fn rule_files_have_a_schema_that_the_built_in_ones_fit() {
    let schema = config::rule_file_schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for (name, text) in kmswatch::core::rule::BUILTIN {
        let errors: Vec<String> = validator.iter_errors(&as_json(text)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        assert!(!validator.is_valid(&as_json(&text.replace("title", "titel"))), "{name}");
    }
}

/// Names of all properties, wherever in the schema they are.
fn properties(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                found.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| properties(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, found)),
        _ => {}
    }
}

#[test]
fn the_example_names_every_key() {
    let mut names = Vec::new();
    properties(&config::schema(), &mut names);
    assert!(names.len() > 50, "{names:?}");
    let text = fs::read_to_string(EXAMPLE).unwrap();
    let words: Vec<&str> = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let missing: Vec<&String> = names.iter().filter(|name| !words.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "the example says nothing of {missing:?}");
    let shown_off = text.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = ").map(|(key, _)| key));
    let shown_off: Vec<&str> = shown_off.filter(|key| key.chars().all(|c| c.is_alphanumeric() || c == '_')).collect();
    assert!(shown_off.len() > 8, "{shown_off:?}");
    for key in shown_off {
        assert!(names.iter().any(|name| name == key), "there is no key `{key}`");
    }
}

#[test]
fn every_key_is_explained() {
    fn unexplained(name: &str, schema: &Value, found: &mut Vec<String>) {
        let Value::Object(members) = schema else { return };
        for (key, member) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if member.get("description").is_none() && member.get("$ref").is_none() {
                found.push(format!("{name}.{key}"));
            }
        }
        members.iter().for_each(|(key, member)| unexplained(key, member, found));
    }
    let mut found = Vec::new();
    unexplained("", &config::schema(), &mut found);
    assert!(found.is_empty(), "no doc comment: {found:?}");
}
