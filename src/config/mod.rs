//! Composes the parts' own configurations. Every error has a file, a line, a column and a hint, and all of them come in one run.
//!
//! A file is parsed into a tree that knows its places ([`document`]), the environment is laid over it
//! ([`overrides`]), the tree is read into [`Config`], each part checks its own values, what refers to something else is checked
//! ([`references`]), and rules are gathered and compiled ([`rules`]). Nothing here touches more of the world than the
//! configuration and rule files: no network, no credentials, no secret.

mod countdown;
mod document;
mod fields;
mod mask;
mod overrides;
mod references;
mod rules;
mod sections;
mod swept;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::diagnostic::{Diagnostic, Level, Problem};
use crate::base::telemetry::LogConfig;
use crate::core::access::TrustSpec;
use crate::core::canary::Canary;
use crate::core::decide::Policy;
use crate::core::inhibit::InhibitSpec;
use crate::core::lint::Delivers;
use crate::core::pipeline::Ours;
use crate::core::route::{KeysSpec, RouteSpec};
use crate::core::rule::{RuleFile, RuleSet, RuleSpec};
use crate::{keys, queue, sink, spool, store};
use document::Document;
use rules::{Gathered, Scrutiny};

pub use countdown::CountdownConfig;
pub use fields::check_incident_pattern;
pub use overrides::environment;
pub use rules::Suite;
pub use sections::{AdminConfig, DaemonConfig, EngineConfig, RuleOverride, RulesConfig, ThresholdChange};

/// The configuration of kmswatch.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "kmswatch configuration")]
pub struct Config {
    /// Where messages come from: `[queues.<name>]`.
    pub queues: BTreeMap<String, queue::Config>,
    /// What survives a restart, where, and for how long.
    pub store: store::Config,
    /// Who is told: `[sinks.<name>.<kind>]`.
    pub sinks: BTreeMap<String, sink::SinkTable>,
    /// Calls of our own that must come back: `[canaries.<name>]`.
    pub canaries: BTreeMap<String, keys::CanaryConfig>,
    /// The sign of life for a service that misses it.
    pub heartbeat: Option<sink::ping::Config>,
    /// Where raw events are kept, if anywhere.
    pub archive: spool::Config,
    /// Key details read from KMS.
    pub lookups: keys::Config,
    /// KMS asked about all keys again and again.
    pub sweep: keys::SweepConfig,
    /// What we know about keys that AWS does not: `[[keys]]`.
    pub keys: Vec<KeysSpec>,
    /// Who belongs to us.
    pub trust: TrustSpec,
    /// Which sinks hear of what: `[[routes]]`. Every route that matches adds its sinks.
    pub routes: Vec<RouteSpec>,
    /// What is not told while something worse is open: `[[inhibit]]`.
    pub inhibit: Vec<InhibitSpec>,
    /// Rules of your own: `[[rule]]`.
    pub rule: Vec<RuleSpec>,
    /// Which rules are in force.
    pub rules: RulesConfig,
    /// The times that decisions work with.
    pub engine: EngineConfig,
    /// When people are told again of a date that comes nearer.
    pub countdown: CountdownConfig,
    /// The HTTP listener for health and metrics.
    pub admin: AdminConfig,
    /// What is written to standard error.
    pub log: LogConfig,
    /// How the process behaves.
    pub daemon: DaemonConfig,
}

/// The configuration file that commands read where none is named.
pub const DEFAULT_PATH: &str = "kmswatch.toml";

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub policy: Policy,
    /// Warnings and notes; no errors.
    pub warnings: Vec<Diagnostic>,
    /// Files and folders whose change makes it worth loading again.
    pub files: Vec<PathBuf>,
    /// Every rule there is, in force or not, with the tests it carries.
    pub suites: Vec<Suite>,
}

impl Config {
    /// What is to be called.
    pub fn canaries(&self) -> Vec<Canary> {
        let full = |name: &str| {
            let delivers = self.queues.get(name).and_then(|queue| queue.delivers.as_ref());
            delivers.is_some_and(Delivers::is_full)
        };
        let all = self.canaries.iter();
        all.filter_map(|(name, canary)| canary.canary(name, full(canary.queue.get_ref()), &self.lookups)).collect()
    }
}

impl Loaded {
    /// Ids of rules that hear of events only where an `EventBridge` rule delivers everything, and of no queue it is known
    /// that it is handed everything.
    pub fn need_full(&self) -> Vec<&str> {
        let full = self.config.queues.values().any(|queue| queue.delivers.as_ref().is_some_and(Delivers::is_full));
        let needy = self.policy.rules.rules.iter().filter(|rule| !full && !rule.needs_full.is_empty());
        needy.map(|rule| rule.id.as_str()).collect()
    }

    /// Names of queues without a canary: that their events come is unproven.
    pub fn unproven(&self) -> Vec<&str> {
        let has = |name: &str| self.config.canaries.values().any(|canary| canary.queue.get_ref() == name);
        self.config.queues.keys().map(String::as_str).filter(|name| !has(name)).collect()
    }

    /// What there is, in words: `12 rules, 2 sinks, 2 routes, 1 queue`.
    pub fn summary(&self) -> String {
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        [
            count(self.policy.rules.rules.len(), "rule"),
            count(self.config.sinks.len(), "sink"),
            count(self.config.routes.len(), "route"),
            count(self.config.queues.len(), "queue"),
        ]
        .join(", ")
    }
}

/// Loads a configuration file, with the environment (see [`environment`]) laid over it, and its rule files.
///
/// # Errors
/// Everything found, warnings and notes included, if there is at least one error.
pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Vec<Diagnostic>> {
    load_with(path, env, false)
}

/// As [`load`], saying also which rules can never fire.
///
/// # Errors
/// As for [`load`].
pub fn load_strict(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Vec<Diagnostic>> {
    load_with(path, env, true)
}

fn load_with(
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    strict: bool,
) -> Result<Loaded, Vec<Diagnostic>> {
    let text = fs::read_to_string(path).map_err(|error| vec![rules::unreadable(path, &error)])?;
    let layers = overrides::read(env, text.len());
    let mut document = Document::parse(path, &text)?;
    let mut problems = document.overlay(&layers);
    let (config, found) = document.read::<Config>();
    problems.extend(found);
    let Some(config) = config else { return Err(document.diagnostics(problems)) };
    check_parts(&config, &document, &mut problems);
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    // Of a queue that does not say what it is handed, everything may come.
    let delivers = config.queues.values().map(|queue| queue.delivers.clone()).collect();
    let scrutiny = Scrutiny { strict, delivers };
    let mut gathered = rules::of_config(&config.rule, &config.rules, &document, folder, scrutiny);
    problems.append(&mut gathered.problems);
    let ids: Vec<&str> = gathered.ids.iter().map(String::as_str).collect();
    let mut routes = Vec::new();
    for route in &config.routes {
        routes.extend(route.compile().map_err(|found| problems.extend(found)));
        fields::check_route(route, &ids, &mut problems);
    }
    let mut labels = Vec::new();
    for spec in &config.keys {
        labels.extend(spec.compile().map_err(|found| problems.extend(found)));
        fields::check_keys(spec, &mut problems);
    }
    let mut inhibit = Vec::new();
    for spec in &config.inhibit {
        inhibit.extend(spec.compile().map_err(|found| problems.extend(found)));
        fields::check_inhibit(spec, &ids, &mut problems);
    }
    problems.extend(references::check(&config, &document));
    if !problems.iter().any(|problem| problem.level == Level::Error) && gathered.diagnostics.is_empty() {
        problems.extend(references::reach(&config, &document, &gathered.rules));
    }
    for problem in problems.iter_mut().filter(|problem| !problem.has_place()) {
        // Of something that is not there at all, the first line is as good a place as any.
        problem.span = 0..1;
    }
    let mut diagnostics = document.diagnostics(problems);
    diagnostics.append(&mut gathered.diagnostics);
    sort(&mut diagnostics, path);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let mut files = vec![path.to_owned()];
    files.append(&mut gathered.watched);
    let policy = Policy {
        rules: RuleSet::new(gathered.rules),
        routes,
        labels,
        trust: config.trust.compile(),
        ours: Ours::new(config.queues.values().filter_map(queue::Config::ours)),
        inhibit,
        sinks: config.sinks.keys().cloned().collect(),
        queues: config.queues.keys().cloned().collect(),
        canaries: config.canaries.keys().cloned().collect(),
        places: config.swept().iter().map(ToString::to_string).collect(),
        engine: config.engine.settings(),
        marks: config.countdown.marks(),
        legacy: Vec::new(),
    };
    Ok(Loaded { config, policy, warnings: diagnostics, files, suites: gathered.suites })
}

/// Loads rule files alone, or the built-in rules if none is named: for commands that run without a configuration.
///
/// # Errors
/// As for [`load`].
pub fn load_rules(names: &[PathBuf]) -> Result<Loaded, Vec<Diagnostic>> {
    load_rules_with(names, false)
}

/// As [`load_rules`], saying also which rules can never fire.
///
/// # Errors
/// As for [`load`].
pub fn load_rules_strict(names: &[PathBuf]) -> Result<Loaded, Vec<Diagnostic>> {
    load_rules_with(names, true)
}

fn load_rules_with(names: &[PathBuf], strict: bool) -> Result<Loaded, Vec<Diagnostic>> {
    let scrutiny = Scrutiny { strict, delivers: None };
    let Gathered { rules, diagnostics, watched, suites, .. } = rules::of_files(names, scrutiny);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let policy = Policy { rules: RuleSet::new(rules), ..Policy::default() };
    Ok(Loaded { config: Config::default(), policy, warnings: diagnostics, files: watched, suites })
}

/// Whether a file holds rules and nothing else.
pub fn is_rule_file(path: &Path) -> bool {
    let table = fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    table.is_some_and(|table| !table.is_empty() && table.keys().all(|key| key == "rule"))
}

/// The JSON Schema of the configuration, draft 2020-12.
pub fn schema() -> serde_json::Value {
    schema_of::<Config>()
}

/// The JSON Schema of a rule file, draft 2020-12.
pub fn rule_file_schema() -> serde_json::Value {
    schema_of::<RuleFile>()
}

fn schema_of<T: JsonSchema>() -> serde_json::Value {
    schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// The configuration's findings in the order of its lines, then the environment's and the rule files'.
fn sort(diagnostics: &mut [Diagnostic], path: &Path) {
    diagnostics.sort_by(|a, b| {
        let order = |d: &Diagnostic| (d.file != path, d.file.clone(), d.position());
        order(a).cmp(&order(b))
    });
}

/// Lets every part check its own values.
fn check_parts(config: &Config, document: &Document<'_>, problems: &mut Vec<Problem>) {
    let mut of = |path: &[&str], check: &dyn Fn(&mut Vec<Problem>)| {
        let place = document.place(path);
        let broken = document.is_broken(&place);
        let mut found = Vec::new();
        check(&mut found);
        for mut problem in found {
            if !problem.has_place() {
                problem.span = place.clone();
            }
            // What seems to be missing from a table that could not be read in full may be there.
            if !broken || (problem.span != place && !document.is_header(&problem.span)) {
                problems.push(problem);
            }
        }
    };
    for (name, queue) in &config.queues {
        of(&["queues", name], &|found| queue.check(found));
    }
    for (name, sink) in &config.sinks {
        let place = document.place(&["sinks", name]);
        of(&["sinks", name], &|found| sink.check(place.clone(), found));
    }
    of(&["store"], &|found| config.store.check(found));
    for (name, canary) in &config.canaries {
        of(&["canaries", name], &|found| canary.check(found));
    }
    if let Some(heartbeat) = &config.heartbeat {
        of(&["heartbeat"], &|found| heartbeat.check(found));
    }
    of(&["archive"], &|found| config.archive.check(found));
    of(&["lookups"], &|found| config.lookups.check(found));
    of(&["sweep"], &|found| config.sweep.check(found));
    of(&["trust"], &|found| config.trust.check(found));
    of(&["engine"], &|found| config.engine.check(found));
    of(&["countdown"], &|found| config.countdown.check(found));
    of(&["daemon"], &|found| config.daemon.check(found));
}
