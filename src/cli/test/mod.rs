//! `kmswatch test`: runs the tests that rules carry. Pure: no network, no credentials, no store.

mod coverage;
mod junit;
mod report;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{ExitStatus, Format, check, talk};
use crate::base::clock::{Clock, SystemClock};
use crate::config::{self, Loaded, Suite};
use crate::core::rule::{Rule, builtin};
use crate::core::ruletest::{self, Failure, TestSpec};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration files, or files that hold rules and nothing else. Without any: the configuration of `--config`, else
    /// `kmswatch.toml` if it is there, else the built-in rules.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Rule files whose rules alone are tested.
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// The configuration whose rules are tested, the built-in ones among them; left unread if other files are named.
    #[arg(long, short, env = "KMSWATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only rules whose id, or tests whose name, hold this text.
    #[arg(long, short, value_name = "TEXT")]
    filter: Vec<String>,
    /// How results are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Writes the results for build servers too, as `JUnit` XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Fails unless every rule has three tests, one that fires and one that does not.
    #[arg(long)]
    require_coverage: bool,
}

/// One test and how it ended.
struct Ran {
    rule: String,
    name: String,
    file: PathBuf,
    line: usize,
    failures: Vec<Failure>,
    took: Duration,
}

pub(super) fn run(args: &Args) -> ExitStatus {
    let mut sources = args.files.clone();
    if args.files.is_empty() && args.rules.is_empty() {
        sources.extend(args.config.clone());
    }
    if sources.is_empty() && args.rules.is_empty() && Path::new(config::DEFAULT_PATH).exists() {
        sources.push(PathBuf::from(config::DEFAULT_PATH));
    }
    let mut all: Vec<Result<Loaded, _>> = Vec::new();
    for source in &sources {
        all.push(if config::is_rule_file(source) {
            config::load_rules(std::slice::from_ref(source))
        } else {
            config::load(source, config::environment())
        });
    }
    if sources.is_empty() || !args.rules.is_empty() {
        all.push(config::load_rules(&args.rules));
    }
    let mut loaded = Vec::new();
    for one in all {
        match one {
            Ok(one) => {
                check::show(&one.warnings);
                loaded.push(one);
            }
            Err(findings) => {
                check::show(&findings);
                return ExitStatus::BadConfig;
            }
        }
    }
    let mut ran = Vec::new();
    for one in &loaded {
        ran.extend(run_all(one, &args.filter));
    }
    let suites: Vec<&Suite> = loaded.iter().flat_map(|one| &one.suites).collect();
    let gaps = if args.filter.is_empty() { coverage::gaps(&suites) } else { Vec::new() };
    report::print(args.format, &ran, &gaps, suites.len(), args.require_coverage);
    if let Some(file) = &args.junit
        && let Err(error) = fs::write(file, junit::xml(&ran))
    {
        talk(&format!("error: {} cannot be written: {error}", file.display()));
        return ExitStatus::NotFine;
    }
    if ran.is_empty() {
        talk(if args.filter.is_empty() { "error: there is no test" } else { "error: no test is called so" });
        return ExitStatus::NotFine;
    }
    let failed = ran.iter().any(|one| !one.failures.is_empty()) || (args.require_coverage && !gaps.is_empty());
    if failed { ExitStatus::NotFine } else { ExitStatus::Fine }
}

fn run_all(loaded: &Loaded, filter: &[String]) -> Vec<Ran> {
    let mut rules: BTreeMap<&str, &Arc<Rule>> = builtin().iter().map(|rule| (rule.id.as_str(), rule)).collect();
    rules.extend(loaded.suites.iter().map(|suite| (suite.rule.id.as_str(), &suite.rule)));
    let mut ran = Vec::new();
    for suite in &loaded.suites {
        for (test, line) in suite.tests.iter().filter(|(test, _)| wanted(filter, &suite.rule.id, test)) {
            ran.push(run_one(loaded, &rules, suite, test, *line));
        }
    }
    ran
}

fn wanted(filter: &[String], rule: &str, test: &TestSpec) -> bool {
    filter.is_empty() || filter.iter().any(|text| rule.contains(text) || test.name.get_ref().contains(text))
}

fn run_one(loaded: &Loaded, rules: &BTreeMap<&str, &Arc<Rule>>, suite: &Suite, test: &TestSpec, line: usize) -> Ran {
    let begun = SystemClock.now();
    let (known, unknown): (Vec<_>, Vec<_>) =
        test.with.iter().map(|id| (id, rules.get(id.get_ref().as_str()))).partition(|(_, rule)| rule.is_some());
    let with: Vec<Arc<Rule>> = known.into_iter().filter_map(|(_, rule)| rule.map(|rule| Arc::clone(rule))).collect();
    let mut failures: Vec<Failure> = unknown
        .into_iter()
        .map(|(id, _)| Failure {
            what: "with",
            expected: format!("a rule `{}`", id.get_ref()),
            got: "no rule of that id".to_owned(),
            why: vec!["`with` names rules of this run, or built-in ones".to_owned()],
        })
        .collect();
    if failures.is_empty() {
        failures = ruletest::run(test, &suite.rule, &with, &loaded.policy).failures;
    }
    Ran {
        rule: suite.rule.id.clone(),
        name: test.name.get_ref().clone(),
        file: suite.file.clone(),
        line,
        failures,
        took: SystemClock.now().duration_since(begun).unsigned_abs(),
    }
}
