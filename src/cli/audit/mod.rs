//! `kmswatch audit`: the keys themselves, read from KMS and judged.
//!
//! | file | is |
//! |---|---|
//! | `scopes` | whose keys, where |
//! | `gather` | reads them, below KMS's quotas, and says how far it is |
//! | `resume` | what was read already, for when it is interrupted |
//! | `text` `lines` `html` | the reports |

mod gather;
mod html;
mod lines;
mod resume;
mod scopes;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::{ExitStatus, check, say, talk};
use crate::base::aws::Access;
use crate::base::clock::{Clock, SystemClock, Timestamp};
use crate::config::{self, Loaded};
use crate::core::audit::{Judge, Row, Tally};
use crate::core::inspection::Wants;
use crate::core::rule::Severity;
use crate::keys::{Refusal, Scope};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file, for `[lookups]`, `[trust]` and `[[keys]]`. An audit works without one too.
    #[arg(long, short, env = "KMSWATCH_CONFIG")]
    config: Option<PathBuf>,
    /// A Region to audit; may be repeated. Without it: those of `[lookups]`, else the one of the AWS environment.
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,
    /// An account that has a role in `[lookups.assume_role]`; may be repeated. Without it: our own, and each of those.
    #[arg(long, value_name = "ID")]
    account: Vec<String>,
    /// A role to take on, instead of those of the configuration.
    #[arg(long, value_name = "ARN", conflicts_with = "account")]
    role: Option<String>,
    /// The external id that this role asks for.
    #[arg(long, value_name = "ID", requires = "role")]
    external_id: Option<String>,
    /// Leave a part out; may be repeated. The last use takes longest: KMS answers five such questions a second.
    #[arg(long, value_enum, value_name = "PART")]
    without: Vec<PartName>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Say in the text too who may do what with each key.
    #[arg(long)]
    who: bool,
    /// Write a report for people into this file as well: one HTML page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// End with exit code 1 if anything so bad, or worse, was found, or if some key could not be judged.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<Level>,
    /// Keep what was read in this file, and go on from it if it is there. It is removed when the audit is whole: every key was found and judged.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
}

/// A part of an audit that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PartName {
    Tags,
    Aliases,
    Rotation,
    Policy,
    Grants,
    LastUsage,
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// A line for each finding, for a spreadsheet.
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Info => Self::Info,
            Level::Low => Self::Low,
            Level::Medium => Self::Medium,
            Level::High => Self::High,
            Level::Critical => Self::Critical,
        }
    }
}

/// A whole audit, ready to be told.
struct Audit {
    at: Timestamp,
    seconds: f64,
    scopes: Vec<ScopeRead>,
    /// The worst first.
    rows: Vec<Row>,
    tally: Tally,
    refusals: Vec<Refusal>,
    calls: BTreeMap<&'static str, u64>,
}

impl Audit {
    /// Whether every key was found and judged.
    fn is_whole(&self) -> bool {
        self.scopes.iter().all(|read| read.why.is_none()) && self.tally.not_judged == 0
    }

    /// Why keys are not judged, as it was said most often.
    fn why_not_judged(&self) -> &str {
        self.tally.gaps.get("kms:DescribeKey").map_or("", |gap| gap.why.as_str())
    }
}

/// How far one scope was read.
struct ScopeRead {
    scope: Scope,
    keys: usize,
    /// Why its keys could not be listed, or not all of them.
    why: Option<String>,
}

pub(super) async fn run(args: Args) -> ExitStatus {
    let loaded = match load(&args) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let clock = SystemClock;
    let lookups = match scopes::lookups(&args, loaded.as_ref()) {
        Ok(lookups) => lookups,
        Err(why) => {
            talk(&format!("error: {why}"));
            return ExitStatus::Usage;
        }
    };
    let inspector = crate::keys::Inspector::new(&lookups, &Access::from_environment(), std::sync::Arc::new(clock));
    let scopes = match scopes::find(&args, &lookups, &inspector).await {
        Ok(scopes) => scopes,
        Err(why) => {
            talk(&format!("error: {why}"));
            return ExitStatus::Usage;
        }
    };
    let none = config::load_rules(&[]).ok();
    let Some(policy) = loaded.as_ref().or(none.as_ref()).map(|loaded| &loaded.policy) else {
        talk("error: the built-in rules do not load");
        return ExitStatus::NotFine;
    };
    let judge = Judge { trust: &policy.trust, labels: &policy.labels, now: clock.now() };
    let wants = wants(&args.without);
    let mut memory = match resume::Memory::open(args.resume.as_deref(), clock.now()) {
        Ok(memory) => memory,
        Err(why) => {
            talk(&format!("error: {why}"));
            return ExitStatus::NotFine;
        }
    };
    let gathered = tokio::select! {
        gathered = gather::gather(&inspector, &scopes, wants, &judge, &mut memory) => gathered,
        _ = tokio::signal::ctrl_c() => {
            let hint = args.resume.as_ref().map_or_else(
                || "with --resume FILE it could go on from here".to_owned(),
                |file| format!("go on with --resume {}", file.display()),
            );
            talk(&format!("interrupted; {hint}"));
            return ExitStatus::NotFine;
        }
    };
    tell(&args, &gathered, memory)
}

/// Prints the reports, and says how the command ends.
fn tell(args: &Args, audit: &Audit, memory: resume::Memory) -> ExitStatus {
    match args.format {
        Format::Text => say(text::Report { audit, who: args.who }.to_string().trim_end()),
        Format::Json => lines::json(audit).iter().for_each(|line| say(line)),
        Format::Csv => lines::csv(audit).iter().for_each(|line| say(line)),
    }
    let mut written = true;
    if let Some(file) = &args.html {
        match fs::write(file, html::page(audit)) {
            Ok(()) => talk(&format!("written: {}", file.display())),
            Err(error) => {
                talk(&format!("error: {} cannot be written: {error}", file.display()));
                written = false;
            }
        }
    }
    let status = end(args, audit, memory);
    if written { status } else { ExitStatus::NotFine }
}

/// Says what was not read, and how the command ends.
fn end(args: &Args, audit: &Audit, memory: resume::Memory) -> ExitStatus {
    let mut status = ExitStatus::Fine;
    for read in &audit.scopes {
        if let Some(why) = &read.why {
            talk(&format!("not read: {}: {why}", read.scope));
            status = ExitStatus::NotFine;
        }
    }
    for refusal in &audit.refusals {
        let place = Scope { account: refusal.account.clone(), region: refusal.region.clone() };
        let whose = refusal.keys.map_or_else(String::new, |keys| format!(" of {}", text::count(keys, "key")));
        talk(&format!("left out in {place}: {}{whose}: {}", refusal.permission, refusal.why));
    }
    if audit.tally.not_judged > 0 {
        let keys = text::count(audit.tally.not_judged, "key");
        talk(&format!("not judged: {keys}: KMS did not say what they are: {}", audit.why_not_judged()));
    }
    if audit.is_whole() {
        memory.remove();
    }
    let limit = args.fail_on.map(Severity::from);
    // Of what was not judged nobody knows how bad it is.
    if limit.is_some_and(|limit| !audit.is_whole() || audit.tally.worst().is_some_and(|worst| worst >= limit)) {
        status = ExitStatus::NotFine;
    }
    status
}

/// The configuration named, else the one of the current folder if it is there.
fn load(args: &Args) -> Result<Option<Loaded>, ExitStatus> {
    let default = std::path::Path::new(config::DEFAULT_PATH);
    let Some(file) = args.config.as_deref().or_else(|| default.exists().then_some(default)) else {
        return Ok(None);
    };
    match config::load(file, config::environment()) {
        Ok(loaded) => {
            check::show(&loaded.warnings);
            Ok(Some(loaded))
        }
        Err(findings) => {
            check::show(&findings);
            Err(ExitStatus::BadConfig)
        }
    }
}

fn wants(without: &[PartName]) -> Wants {
    let wanted = |part| !without.contains(&part);
    Wants {
        aliases: wanted(PartName::Aliases),
        tags: wanted(PartName::Tags),
        rotation: wanted(PartName::Rotation),
        rotations: wanted(PartName::Rotation),
        policy: wanted(PartName::Policy),
        grants: wanted(PartName::Grants),
        last_usage: wanted(PartName::LastUsage),
        managed_by_aws: false,
        urgent: false,
    }
}
