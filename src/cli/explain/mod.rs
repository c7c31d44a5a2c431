//! `kmswatch explain`: why did an event raise an alert, or why did it not; why did an incident page, or why did it not. An
//! event is explained without network, credentials or store; an incident from what the store keeps of it.

mod incident;
mod text;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{ExitStatus, Format, say, sources, talk};
use crate::base::clock::Timestamp;
use crate::base::diagnostic::did_you_mean;
use crate::config::Loaded;
use crate::core::access::Histories;
use crate::core::decide::{Policy, Prepared};
use crate::core::decode::{Decoded, Reason, Undecodable, decode_file};
use crate::core::enrich::{Lookup, enrich};
use crate::core::event::Event;
use crate::core::explain::{Explanation, Verdict, Wanted, explain};
use crate::core::pipeline;
use crate::core::route::{self, RouteSpec};
use crate::core::rule::{Rule, RuleSet};
use crate::core::world::World;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The event: a file, or `-` for standard input, in any wrapper in which events reach a queue or lie in an archive. Of
    /// several events, each is explained after those before it.
    #[arg(value_name = "EVENT", required_unless_present = "incident")]
    event: Option<PathBuf>,
    /// Explain this incident of the store instead, by its id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["event", "rule", "rules"])]
    incident: Option<String>,
    /// Only this rule, however far from the event it is.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Rule files whose rules alone are asked.
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// The configuration, which `--rules` leaves unread. Without it `kmswatch.toml` if it is there, else the built-in rules.
    #[arg(long, short, env = "KMSWATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Explain at most so many events.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Longest input that is read.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(super) async fn run(args: Args) -> ExitStatus {
    let (loaded, configured) = match sources::load(args.config.as_deref(), &args.rules) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    match (&args.incident, &args.event) {
        (Some(id), _) => incident::run(loaded, id, args.format).await,
        (None, Some(event)) => of_event(&loaded, configured, event, &args),
        (None, None) => ExitStatus::Usage,
    }
}

fn of_event(loaded: &Loaded, configured: bool, event: &Path, args: &Args) -> ExitStatus {
    let text = match read(event) {
        Ok(text) => text,
        Err(error) => {
            talk(&format!("error: {} cannot be read: {error}", event.display()));
            return ExitStatus::NotFine;
        }
    };
    let in_force = |id: &str| loaded.policy.rules.rules.iter().any(|rule| rule.id == id);
    let suites = loaded.suites.iter().map(|suite| Arc::clone(&suite.rule));
    let off: Vec<Arc<Rule>> = suites.filter(|rule| !in_force(&rule.id)).collect();
    if let Some(id) = args.rule.as_deref().filter(|id| !in_force(id) && !off.iter().any(|rule| rule.id == *id)) {
        let all = loaded.policy.rules.rules.iter().chain(&off);
        let known: Vec<&str> = all.map(|rule| rule.id.as_str()).collect();
        talk(&format!("error: there is no rule `{}` ({})", id.escape_debug(), did_you_mean(id, &known, "known rules")));
        return ExitStatus::Usage;
    }
    let sinks_known = configured && !loaded.policy.sinks.is_empty();
    let own = (!sinks_known).then(|| everybody(&loaded.policy));
    let policy = own.as_ref().unwrap_or(&loaded.policy);
    let wanted = Wanted { rule: args.rule.as_deref(), off: &off, sinks_known };
    let decoded = decoded(&text);
    tell(policy, &decoded, wanted, loaded, args)
}

fn tell(policy: &Policy, decoded: &Decoded, wanted: Wanted<'_>, loaded: &Loaded, args: &Args) -> ExitStatus {
    let mut world = World::default();
    let mut histories = Histories::default();
    let mut now = Timestamp::MIN;
    let mut alerts = 0;
    for notice in &decoded.notices {
        talk(&format!("note: {notice}"));
    }
    for event in decoded.events.iter().take(args.limit) {
        now = now.max(event.time);
        let prepared = prepare(event.clone(), loaded, &mut histories);
        let explanation = explain(policy, &mut world, &prepared, wanted, now);
        alerts += usize::from(explanation.verdict == Verdict::Alert);
        match args.format {
            Format::Text => say(&text::event(&explanation)),
            Format::Json => print(&explanation),
        }
    }
    for rejected in &decoded.rejected {
        match args.format {
            Format::Text => say(&text::undecodable(rejected)),
            Format::Json => print_undecodable(rejected),
        }
    }
    let left_out = decoded.events.len().saturating_sub(args.limit);
    match args.format {
        Format::Text if left_out > 0 => talk(&format!("{left_out} more events were left out; see --limit")),
        Format::Text => {}
        Format::Json => say(&json!({
            "kind": "summary",
            "events": decoded.events.len() - left_out,
            "left_out": left_out,
            "alerts": alerts,
            "undecodable": decoded.rejected.len(),
        })
        .to_string()),
    }
    if decoded.rejected.is_empty() { ExitStatus::Fine } else { ExitStatus::NotFine }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut limited: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock().take(INPUT_BYTES_MAX + 1))
    } else {
        Box::new(File::open(path)?.take(INPUT_BYTES_MAX + 1))
    };
    limited.read_to_string(&mut text)?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(io::Error::other("it is longer than 64 MiB; `kmswatch replay` is for archives"));
    }
    Ok(text)
}

/// The events of the input: one JSON value, or one a line.
fn decoded(text: &str) -> Decoded {
    let whole = decode_file(text);
    let several = text.lines().filter(|line| !line.trim().is_empty()).count() > 1;
    if !several || !whole.rejected.iter().any(|rejected| rejected.reason == Reason::NotJson) {
        return whole;
    }
    let mut all = Decoded::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let one = decode_file(line);
        all.events.extend(one.events);
        all.rejected.extend(one.rejected);
        all.notices.extend(one.notices);
    }
    // Text that is JSON neither as a whole nor by lines is one thing that is broken, not many.
    if all.events.is_empty() { whole } else { all }
}

/// Without a configuration it is not known who would be told; whether somebody would be told is.
fn everybody(policy: &Policy) -> Policy {
    let sink = "everybody".to_owned();
    let spec = RouteSpec { matches: None, sinks: vec![serde_spanned::Spanned::new(0..0, sink.clone())], stop: false };
    Policy {
        rules: RuleSet::new(policy.rules.rules.clone()),
        routes: spec.compile().into_iter().collect(),
        sinks: vec![sink],
        ..policy.without_rules()
    }
}

fn prepare(mut event: Event, loaded: &Loaded, histories: &mut Histories) -> Prepared {
    histories.assess(&mut event, &loaded.policy.trust);
    pipeline::assess(&mut event, &loaded.policy.ours);
    let labels = |document: &Value| route::labels(&loaded.policy.labels, document);
    let marks = enrich(&mut event, Some(&Lookup::Off), None, labels);
    Prepared { event, marks, looked_up: None }
}

fn print(explanation: &Explanation) {
    match serde_json::to_value(explanation) {
        Ok(mut value) => {
            if let Some(members) = value.as_object_mut() {
                members.insert("kind".to_owned(), Value::from("event"));
            }
            say(&value.to_string());
        }
        Err(error) => talk(&format!("error: {error}")),
    }
}

fn print_undecodable(rejected: &Undecodable) {
    let line = json!({
        "kind": "undecodable",
        "reason": rejected.reason,
        "detail": rejected.detail,
        "hint": rejected.hint,
        "salvage": rejected.salvage,
    });
    say(&line.to_string());
}
