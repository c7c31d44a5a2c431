//! Loading: files, the environment over them, rules from everywhere, and what is said of a configuration that works.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use kmswatch::base::diagnostic::Level;
use kmswatch::base::telemetry::{LogFormat, LogLevel};
use kmswatch::config::{self, Loaded};
use kmswatch::core::rule::Severity;

const QUEUE: &str = "[queues.main]\nurl = \"https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch\"\n";
const SINK: &str = "[sinks.console.stdout]\n[sinks.console-2.stdout]\n";
const ROUTE: &str = "[[routes]]\nsinks = [\"console\", \"console-2\"]\n";
const RULE: &str = "[[rule]]\nid = \"team.one\"\ntitle = \"One\"\nseverity = \"low\"\nmatch = { source = [\"aws.kms\"] }\nnotice = true\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, env: &[(&str, &str)]) -> Loaded {
        config::load(&self.path("kmswatch.toml"), env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
            .unwrap_or_else(|found| panic!("{found:#?}"))
    }
}

fn load(text: String, env: &[(&str, &str)]) -> Loaded {
    Folder::with(&[("kmswatch.toml", text)]).load(env)
}

fn ids(loaded: &Loaded) -> Vec<&str> {
    loaded.policy.rules.rules.iter().map(|rule| rule.id.as_str()).collect()
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(|warning| warning.problem.message.clone()).collect()
}

#[test]
fn the_environment_lies_over_the_file() {
    let loaded = load(
        format!("{QUEUE}{SINK}{ROUTE}[log]\nlevel = \"warn\"\n"),
        &[
            ("KMSWATCH__SINKS__CONSOLE_2__MAX_PER_MINUTE", "10"),
            ("KMSWATCH__LOG__FORMAT", "json"),
            ("KMSWATCH__ADMIN__LISTEN", "0.0.0.0:9000"),
            ("KMSWATCH__RULES__DISABLE", "[\"kms.key-disabled\"]"),
        ],
    );
    assert_eq!(loaded.config.sinks["console-2"].limit(), Some(10));
    assert_eq!(loaded.config.log.level, LogLevel::Warn);
    assert_eq!(loaded.config.log.format, LogFormat::Json);
    assert_eq!(loaded.config.admin.listen.port(), 9000);
    assert!(!ids(&loaded).contains(&"kms.key-disabled"));
}

#[test]
fn rules_come_from_the_pack_from_files_and_from_the_configuration() {
    let second = RULE.replace("team.one", "team.two");
    let folder = Folder::with(&[
        ("kmswatch.toml", format!("{QUEUE}{SINK}{ROUTE}{RULE}[rules]\nfiles = [\"rules/*.toml\"]\n")),
        ("rules/two.toml", second),
        ("rules/.hidden.toml", "not even TOML".to_owned()),
    ]);
    let loaded = folder.load(&[]);
    let ids = ids(&loaded);
    assert!(ids.contains(&"kms.key-disabled") && ids.contains(&"team.one") && ids.contains(&"team.two"), "{ids:?}");
    assert!(warnings(&loaded).is_empty(), "{:?}", warnings(&loaded));
    assert_eq!(
        loaded.files,
        [folder.path("kmswatch.toml"), folder.path("rules"), folder.path("rules/two.toml")],
        "a new file in the folder is worth a reload too"
    );
    assert_eq!(loaded.summary(), format!("{} rules, 2 sinks, 1 route, 1 queue", ids.len()));
}

#[test]
fn rules_are_changed_and_switched_off_by_id() {
    let loaded = load(
        format!(
            "{QUEUE}{SINK}{ROUTE}{RULE}[rules]\nbuilt_in = false\n[rules.override.\"team.one\"]\nseverity = \"high\"\nexcept = [{{ account = [\"111122223333\"] }}]\nrunbook = \"https://example.com/r\"\n"
        ),
        &[],
    );
    let rule = loaded.policy.rules.get("team.one").unwrap();
    assert_eq!((rule.severity, rule.except.len()), (Severity::High, 1));
    assert_eq!(rule.runbook.as_deref(), Some("https://example.com/r"));
    assert_eq!(ids(&loaded), ["team.one"]);
    let loaded = load(format!("{QUEUE}{SINK}{ROUTE}{RULE}enabled = false\n[rules]\nbuilt_in = false\n"), &[]);
    assert!(ids(&loaded).is_empty());
    assert_eq!(warnings(&loaded), ["no rule is in force, so nothing will ever be told"]);
}

#[test]
fn a_threshold_is_changed_in_part() {
    let with = |change: &str| {
        let text = format!("{QUEUE}{SINK}{ROUTE}[rules.override.\"kms.denied-burst-on-key\"]\n{change}\n");
        let loaded = load(text, &[]);
        loaded.policy.rules.get("kms.denied-burst-on-key").unwrap().window.as_ref().unwrap().in_words()
    };
    assert_eq!(with("severity = \"low\""), "3 different values of `actor.principal` within 10m");
    assert_eq!(with("threshold = { count = 9 }"), "9 different values of `actor.principal` within 10m");
    assert_eq!(with("threshold = { within = \"2h\" }"), "3 different values of `actor.principal` within 2h");
}

#[test]
fn a_forgotten_route_is_told() {
    let loaded = load(format!("{QUEUE}{SINK}"), &[]);
    assert_eq!(warnings(&loaded), ["there are no routes"]);
    let loaded = load(
        format!(
            "{QUEUE}{SINK}{RULE}[rules]\nbuilt_in = false\n[[routes]]\nmatch = {{ severity = [\"critical\"] }}\nsinks = [\"console\"]\n"
        ),
        &[],
    );
    assert_eq!(warnings(&loaded), ["no route names sink `console-2`", "no route takes these rules: team.one"]);
    let high = RULE.replace("\"low\"", "\"high\"");
    let loaded = load(
        format!(
            "{QUEUE}{SINK}{high}[rules]\nbuilt_in = false\n[[routes]]\nmatch = {{ severity = [\"low\"], key.aliases = [\"alias/a\"] }}\nsinks = [\"console\", \"console-2\"]\n"
        ),
        &[],
    );
    assert_eq!(warnings(&loaded), ["no route takes these critical and high rules: team.one"]);
    assert_eq!(loaded.warnings[0].problem.level, Level::Note, "every sink hears of it");
}

#[test]
fn times_of_the_engine_reach_the_core() {
    let loaded = load(format!("{QUEUE}{SINK}{ROUTE}[engine]\nrepeat = \"0s\"\nsettle = \"10m\"\n"), &[]);
    assert_eq!(loaded.policy.engine.repeat, None, "never");
    assert_eq!(loaded.policy.engine.settle, jiff::SignedDuration::from_mins(10));
    let defaults = load(format!("{QUEUE}{SINK}{ROUTE}"), &[]).policy.engine;
    assert_eq!(defaults, kmswatch::core::decide::EngineSettings::default(), "one set of defaults, not two");
}

#[test]
fn a_file_that_is_not_there_is_said_so() {
    let found = config::load(Path::new("tests/none.toml"), []).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "tests/none.toml: error: the file `tests/none.toml` is not there (check the name and the folder)"
    );
}

#[test]
fn commands_without_a_configuration_have_rules_all_the_same() {
    assert!(ids(&config::load_rules(&[]).unwrap()).contains(&"kms.key-disabled"));
    let folder = Folder::with(&[("own.toml", RULE.to_owned()), ("bad.toml", RULE.replace("low", "lwo"))]);
    let own = folder.path("own.toml");
    assert!(config::is_rule_file(&own) && !config::is_rule_file(Path::new("config/kmswatch.toml")));
    assert_eq!(ids(&config::load_rules(&[own]).unwrap()), ["team.one"]);
    let found = config::load_rules(&[folder.path("bad.toml")]).unwrap_err();
    assert_eq!(found[0].problem.hint.as_deref(), Some("did you mean `low`?"));
}
