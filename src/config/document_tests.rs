use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::base::period::Period;
use crate::config::overrides;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Top {
    sinks: BTreeMap<String, Sink>,
    rule: Vec<Rule>,
    wait: Option<Spanned<Period>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sink {
    rate: Option<Spanned<u32>>,
    name: Option<String>,
    slack: Option<Slack>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slack {
    #[serde(rename = "channel")]
    _channel: String,
    #[serde(default, rename = "token")]
    _token: Option<Reference>,
}

#[derive(Debug)]
struct Reference;

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let _: String = Deserialize::deserialize(deserializer)?;
        Err(serde::de::Error::custom("a secret does not belong into the file; write { env = \"NAME\" }"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    level: Level,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Level {
    High,
    Low,
}

/// What is left, and the one-line form of every error.
fn read(text: &str, env: &[(&str, &str)]) -> (Top, Vec<String>) {
    let layers = overrides::read(env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())), text.len());
    let mut document = Document::parse(Path::new("x.toml"), text).unwrap();
    let mut problems = document.overlay(&layers);
    let (top, found) = document.read::<Top>();
    problems.extend(found);
    let lines = document.diagnostics(problems).iter().map(ToString::to_string).collect();
    (top.unwrap(), lines)
}

#[test]
fn every_error_is_found_in_one_run_and_the_rest_is_read() {
    let text = r#"
wait = "soon"
[sinks.a]
rate = "fast"
nam = "x"
[sinks.a.slack]
chanel = "C1"
[sinks.b]
rate = -1
name = "good"
[[rule]]
id = "one"
level = "hihg"
[[rule]]
id = "two"
level = "low"
[[rule]]
level = "low"
[sink.c]
"#;
    let (top, lines) = read(text, &[]);
    let expected = [
        "x.toml:2:8: error: `soon` is not a duration",
        "x.toml:4:8: error: expected a whole number from 0 up, found text",
        "x.toml:5:1: error: unknown key `nam` in `sinks.a` (did you mean `name`?)",
        "x.toml:6:10: error: `channel` is missing in `sinks.a.slack`",
        "x.toml:7:1: error: unknown key `chanel` in `sinks.a.slack` (did you mean `channel`?)",
        "x.toml:9:8: error: the number -1 is out of range",
        "x.toml:13:9: error: `hihg` is not one of the possible values (did you mean `high`?)",
        "x.toml:17:1: error: `id` is missing in `rule`",
        "x.toml:19:2: error: unknown key `sink` at the top of the file (did you mean `sinks`?)",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    assert_eq!(top.sinks["b"].name.as_deref(), Some("good"));
    assert_eq!(top.rule.len(), 1);
    assert_eq!((top.rule[0].id.as_str(), &top.rule[0].level), ("two", &Level::Low));
}

#[test]
fn what_is_broken_is_known_by_its_place() {
    let text = "[sinks.a]\nrate = 'x'\nname = 'n'\n[sinks.b]\nname = 'm'\n";
    let mut document = Document::parse(Path::new("x.toml"), text).unwrap();
    document.read::<Top>();
    assert!(document.is_broken(&document.place(&["sinks", "a"])));
    assert!(!document.is_broken(&document.place(&["sinks", "b"])));
    assert_eq!(document.names("sinks"), ["a", "b"]);
}

#[test]
fn secrets_are_not_shown() {
    let text = "[sinks.a.slack]\nchannel = 'C1'\ntoken = 'hush-hush'\ntokem = 'psst-psst'\n";
    let mut document = Document::parse(Path::new("x.toml"), text).unwrap();
    let (_, problems) = document.read::<Top>();
    let shown: String = document.diagnostics(problems).iter().map(|d| d.render(false) + &d.to_string()).collect();
    assert!(shown.contains("'*********'") && shown.matches("'*********'").count() >= 2, "{shown}");
    assert!(!shown.contains("hush") && !shown.contains("psst"), "{shown}");
}

#[test]
fn an_error_of_the_environment_names_the_variable() {
    let (top, lines) =
        read("[sinks.a]\nrate = 3\n", &[("KMSWATCH__SINKS__A__RATE", "many"), ("KMSWATCH__SINK__X", "1")]);
    assert_eq!(
        lines,
        [
            "environment variable KMSWATCH__SINKS__A__RATE: error: expected a whole number from 0 up, found text (correct the variable, or unset it to use the file's value)",
            "environment variable KMSWATCH__SINK__X: error: unknown key `sink` at the top of the file (did you mean `sinks`?)",
        ]
    );
    assert_eq!(top.sinks["a"].rate.as_ref().map(|r| *r.get_ref()), None);
}

#[test]
fn a_number_of_the_environment_can_be_text() {
    let (top, lines) = read("[sinks.a]\n", &[("KMSWATCH__SINKS__A__NAME", "0123"), ("KMSWATCH__SINKS__A__RATE", "7")]);
    assert!(lines.is_empty(), "{lines:?}");
    assert_eq!(top.sinks["a"].name.as_deref(), Some("0123"));
    assert_eq!(top.sinks["a"].rate.as_ref().map(|r| *r.get_ref()), Some(7));
}

#[test]
fn a_syntax_error_shows_no_secret() {
    let text = "[sinks.chat.slack]\ntoken = \"open sesame\nchannel = C0123\n";
    let found = Document::parse(Path::new("x.toml"), text).unwrap_err();
    let shown: Vec<String> = found.iter().map(|diagnostic| diagnostic.render(false)).collect();
    let all = format!("{} {found:?}", shown.join("\n"));
    assert!(!all.contains("sesame"), "{all}");
    assert!(all.contains("token = \"***********"), "{all}");
    assert_eq!(found[0].position().unwrap().line, 2);
}

#[test]
fn several_syntax_errors_are_told_at_once() {
    let lines: Vec<String> = Document::parse(Path::new("x.toml"), "a = \nb = 2\nc = \"x\nd = 1 2\n")
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(lines.len() >= 3, "{lines:#?}");
    assert!(lines[0].starts_with("x.toml:1:"), "{lines:#?}");
    assert!(lines[1].starts_with("x.toml:3:"), "{lines:#?}");
}
