//! `kmswatch check`: is the configuration good? Pure: no network, no credentials, no secret is read.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{ExitStatus, Format, colours, say, talk};
use crate::base::diagnostic::{Diagnostic, Level, counts};
use crate::config::{self, Loaded};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration files, or files that hold rules and nothing else.
    #[arg(value_name = "FILE", default_value = config::DEFAULT_PATH, env = "KMSWATCH_CONFIG")]
    files: Vec<PathBuf>,
    /// Say also which rules can never fire, and end with exit code 1 if there is a warning.
    #[arg(long)]
    strict: bool,
    /// How the findings are printed: for people to stderr, or as JSON lines to stdout.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Checks every file; all findings of all files come in one run.
pub(super) fn run(args: &Args) -> ExitStatus {
    let mut status = ExitStatus::Fine;
    for file in &args.files {
        let loaded = load(file, args.strict);
        let warned = findings(&loaded).iter().any(|finding| finding.problem.level >= Level::Warning);
        if loaded.is_err() {
            status = ExitStatus::BadConfig;
        } else if args.strict && warned && status == ExitStatus::Fine {
            status = ExitStatus::NotFine;
        }
        match args.format {
            Format::Text => tell(file, &loaded),
            Format::Json => print(file, &loaded),
        }
    }
    status
}

/// Tells findings on stderr, for people.
pub(super) fn show(findings: &[Diagnostic]) {
    let colours = colours();
    for finding in findings {
        talk(&format!("{}\n", finding.render(colours)));
    }
}

fn load(file: &Path, strict: bool) -> Result<Loaded, Vec<Diagnostic>> {
    match (config::is_rule_file(file), strict) {
        (true, false) => config::load_rules(&[file.to_owned()]),
        (true, true) => config::load_rules_strict(&[file.to_owned()]),
        (false, false) => config::load(file, config::environment()),
        (false, true) => config::load_strict(file, config::environment()),
    }
}

fn findings(loaded: &Result<Loaded, Vec<Diagnostic>>) -> &[Diagnostic] {
    match loaded {
        Ok(loaded) => &loaded.warnings,
        Err(diagnostics) => diagnostics,
    }
}

fn tell(file: &Path, loaded: &Result<Loaded, Vec<Diagnostic>>) {
    let findings = findings(loaded);
    show(findings);
    let counts = counts(findings);
    match loaded {
        Ok(loaded) if counts.is_empty() => say(&format!("{}: fine: {}", file.display(), loaded.summary())),
        Ok(loaded) => say(&format!("{}: fine: {} ({counts})", file.display(), loaded.summary())),
        Err(_) => talk(&format!("{}: {counts}", file.display())),
    }
    let needy = loaded.as_ref().map(Loaded::need_full).unwrap_or_default();
    if !needy.is_empty() {
        say(&format!(
            "{}: remark: only where the EventBridge rule delivers everything (`full`) these rules hear of all they ask for: {}",
            file.display(),
            needy.join(", ")
        ));
    }
    let unproven = loaded.as_ref().map(Loaded::unproven).unwrap_or_default();
    if !unproven.is_empty() {
        say(&format!(
            "{}: remark: nothing proves that events reach these queues, because no canary comes back through them: {}",
            file.display(),
            unproven.join(", ")
        ));
    }
}

fn print(file: &Path, loaded: &Result<Loaded, Vec<Diagnostic>>) {
    let findings = findings(loaded);
    for diagnostic in findings {
        say(&diagnostic.to_json().to_string());
    }
    let loaded = loaded.as_ref().ok();
    let summary = json!({
        "kind": "summary",
        "file": file.display().to_string(),
        "ok": loaded.is_some(),
        "errors": findings.iter().filter(|diagnostic| diagnostic.is_error()).count(),
        "findings": findings.len(),
        "needs_full": loaded.map(Loaded::need_full),
        "unproven": loaded.map(Loaded::unproven),
        "rules": loaded.map(|l| l.policy.rules.rules.len()),
        "sinks": loaded.map(|l| l.config.sinks.len()),
        "routes": loaded.map(|l| l.config.routes.len()),
        "queues": loaded.map(|l| l.config.queues.len()),
    });
    say(&summary.to_string());
}
