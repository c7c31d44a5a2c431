//! `kmswatch replay PATH…`: what would these rules have told about recorded events?

use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{ExitStatus, Format, check, talk};
use crate::config::{self, Loaded};
use crate::core::decide::Policy;
use crate::core::render::clean;
use crate::core::route::RouteSpec;
use crate::replay::{Bad, Line, Outcome, Progress, Replay, SummaryLine};

mod bar;
mod report;

/// Where everything goes when no configuration names sinks.
const STAND_IN: &str = "default";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Archive files, folders of them, or `-` for standard input: JSON, JSON lines, also packed with gzip.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The configuration whose rules, routes and sinks are meant. Without it: the built-in rules, and one stand-in sink.
    #[arg(long, short, env = "KMSWATCH_CONFIG")]
    config: Option<PathBuf>,
    /// These rules alone.
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Show which alerts another configuration, or another rule file, would gain, lose and change.
    #[arg(long, value_name = "OTHER.toml")]
    against: Option<PathBuf>,
    /// Only events from this time on: a date, or a time like 2026-03-01T12:00:00Z.
    #[arg(long, value_parser = time)]
    from: Option<Timestamp>,
    /// Only events before this time.
    #[arg(long, value_parser = time)]
    to: Option<Timestamp>,
    /// How to print: a summary for people, or one JSON object a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Files read at the same time. Default: one for each core.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let day: Date = text.parse().map_err(|_| "neither a date nor a time with an offset".to_owned())?;
    TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).map_err(|error| error.to_string())
}

pub(super) fn run(args: &Args) -> ExitStatus {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        talk("error: --from must lie before --to");
        return ExitStatus::Usage;
    }
    if args.paths.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        talk("error: standard input can be read only once");
        return ExitStatus::Usage;
    }
    let loaded = match load(args) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let against = match args.against.as_deref().map(|path| load_other(path, &loaded)).transpose() {
        Ok(against) => against,
        Err(status) => return status,
    };
    let threads = args
        .threads
        .map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), usize::from);
    let replay = Replay {
        paths: &args.paths,
        policy: &loaded.policy,
        against: against.as_ref(),
        lookups: args.config.is_some() && loaded.config.lookups.enabled,
        from: args.from,
        to: args.to,
        threads,
    };
    let progress = Arc::new(Progress::default());
    let started = Instant::now();
    // Lines of data on the same terminal would run into it.
    let quiet = args.format == Format::Json && std::io::stdout().is_terminal();
    let bar =
        (std::io::stderr().is_terminal() && !quiet).then(|| bar::Bar::start(Arc::clone(&progress), args.paths.clone()));
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let mut say = |line: &Line| {
        if args.format == Format::Json {
            print(&mut out, line);
        }
    };
    let result = replay.run(&progress, &mut say);
    drop(bar);
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(error) => {
            talk(&format!("error: the replay cannot go on: {error}"));
            return ExitStatus::NotFine;
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    match args.format {
        Format::Json => {
            print(&mut out, &Line::Summary(summary(&outcome, seconds)));
            name(&outcome);
        }
        Format::Text => {
            let report = report::Report {
                outcome: &outcome,
                rules: &loaded.policy.rules.rules,
                whose: whose(args),
                other: args.against.as_deref().map(|path| path.display().to_string()),
                unknown_details: replay.lookups,
                seconds,
            };
            if write!(out, "{report}").is_err() {
                tracing::debug!("nobody reads stdout any more");
            }
        }
    }
    if out.flush().is_err() {
        tracing::debug!("nobody reads stdout any more");
    }
    if outcome.read.files == 0 && outcome.read.failed == 0 {
        talk("error: no archive file was found: names end in .json, .jsonl or .ndjson, also with .gz");
    }
    if outcome.read.is_whole() { ExitStatus::Fine } else { ExitStatus::NotFine }
}

/// A reader that has gone away is no error.
fn print(out: &mut impl Write, line: &Line) {
    let written =
        serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from).and_then(|()| out.write_all(b"\n"));
    if written.is_err() {
        tracing::debug!("nobody reads stdout any more");
    }
}

fn load(args: &Args) -> Result<Loaded, ExitStatus> {
    let mut loaded = match &args.config {
        Some(path) => super::load(path)?,
        None => rules(&args.rules)?,
    };
    if args.config.is_some() && !args.rules.is_empty() {
        loaded.policy.rules = rules(&args.rules)?.policy.rules;
    }
    if args.config.is_none() {
        stand_in(&mut loaded.policy);
    }
    Ok(loaded)
}

fn rules(files: &[PathBuf]) -> Result<Loaded, ExitStatus> {
    let result = config::load_rules(files);
    let findings = match &result {
        Ok(loaded) => &loaded.warnings,
        Err(findings) => findings,
    };
    check::show(findings);
    result.map_err(|_| ExitStatus::BadConfig)
}

/// Rules alone are compared as if they stood in place of ours.
fn load_other(path: &Path, ours: &Loaded) -> Result<Policy, ExitStatus> {
    if !config::is_rule_file(path) {
        return super::load(path).map(|loaded| loaded.policy);
    }
    let mut policy = rules(&[path.to_owned()])?.policy;
    policy.engine = ours.policy.engine;
    stand_in(&mut policy);
    Ok(policy)
}

/// One sink that hears everything.
fn stand_in(policy: &mut Policy) {
    let sinks = vec![serde_spanned::Spanned::new(0..0, STAND_IN.to_owned())];
    policy.routes = RouteSpec { matches: None, sinks, stop: false }.compile().into_iter().collect();
    policy.sinks = vec![STAND_IN.to_owned()];
}

/// Whose rules they are, in words.
fn whose(args: &Args) -> String {
    let names = |files: &[PathBuf]| files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    match (&args.config, args.rules.as_slice()) {
        (Some(config), []) => format!("of {}", config.display()),
        (Some(config), files) => format!("of {}, told as {} says", names(files), config.display()),
        (None, []) => format!("built in; no configuration, so one stand-in sink, `{STAND_IN}`, hears everything"),
        (None, files) => {
            format!("of {}; no configuration, so one stand-in sink, `{STAND_IN}`, hears everything", names(files))
        }
    }
}

fn summary(outcome: &Outcome, seconds: f64) -> SummaryLine {
    SummaryLine {
        files: outcome.read.files,
        events: outcome.read.events,
        alerts: outcome.tally.alerts,
        incidents: outcome.tally.incidents,
        undecodable: outcome.read.undecodable,
        seconds: (seconds * 1000.0).round() / 1000.0,
    }
}

/// Names on stderr what was passed over.
fn name(outcome: &Outcome) {
    let read = &outcome.read;
    for bad in read.bad_files.iter().chain(&read.bad_parts) {
        talk(&format!("error: {}", bad_line(bad)));
    }
    let named = read.bad_files.len() + read.bad_parts.len();
    let all = read.failed + read.undecodable;
    if all > named as u64 {
        talk(&format!("error: and {} more", all - named as u64));
    }
}

/// `path, part 3: why`.
fn bad_line(bad: &Bad) -> String {
    let part = bad.part.map_or(String::new(), |part| format!(", part {part}"));
    format!("{}{part}: {}", clean(&bad.file, 400), clean(&bad.why, 400))
}
