//! `kmswatch silence`: what people do not want to hear of for a while. Works on the store itself, so also while the daemon
//! is down; a running one takes notice within seconds.

mod matching;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use sha2::{Digest, Sha256};

use super::incidents::{Answer, Nobody, json, line, open_store};
use super::{ExitStatus, Format, say, talk};
use crate::base::clock::{Clock as _, SystemClock, Timestamp};
use crate::base::moment::Moment;
use crate::base::period::Period;
use crate::config;
use crate::core::render::clean;
use crate::core::silence::{Ended, Silence};
use crate::engine::Engine;
use crate::store::{SILENCES_MAX, Store};

/// What has to hold longer belongs into a rule's `except`, where it is reviewed.
const LENGTH_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Names and reasons stand on cards.
const TEXT_MAX: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Door,
    /// The configuration file that names the store.
    #[arg(long, short, global = true, default_value = config::DEFAULT_PATH, env = "KMSWATCH_CONFIG")]
    config: PathBuf,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Door {
    /// Tell nobody of incidents that match, until an end. They are recorded as ever, and told then if they are still open.
    #[command(after_help = EXAMPLES)]
    Add(Add),
    /// List the silences in force.
    List {
        /// Those that have ended, too.
        #[arg(long)]
        all: bool,
    },
    /// End a silence now; what is still open is told.
    Expire {
        /// Its id, or the beginning of it.
        id: String,
        /// Who does it.
        #[arg(long, value_parser = text)]
        by: Option<String>,
        /// Why.
        #[arg(long, value_parser = text)]
        why: Option<String>,
    },
}

const EXAMPLES: &str = "Examples:
  kmswatch silence add key.arn='*:key/1234abcd-*' --for 2h --by jo --why 'planned rotation of the test keys'
  kmswatch silence add rule=kms.access-denied account=111122223333 --until 2026-12-10T08:00Z --by jo --why migration
  kmswatch silence add key.aliases=alias/sandbox --until resolved --by jo --why 'known, being mended'
  kmswatch silence add --match '{ key.labels.team = [\"data\"] }' --for 1d --by jo --why 'load test'";

#[derive(Debug, clap::Args)]
struct Add {
    /// What has to match, as FIELD=VALUE: severity, rule, incident, tags, state, account, region, key.…, actor.…. `*` in a value
    /// stands for any characters; the same field again means "or", another field "and".
    #[arg(value_name = "FIELD=VALUE", required_unless_present = "pattern")]
    fields: Vec<String>,
    /// A whole pattern, as in a route, in TOML or JSON. Fields beside it have to match too.
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<String>,
    /// How long, such as 2h or 1d.
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until", required_unless_present = "until")]
    length: Option<Period>,
    /// Its end: a date, a time (UTC if it has no offset), or `resolved`: when the incidents that match now are resolved;
    /// if none does, the first that it silences.
    #[arg(long, value_name = "TIME|resolved")]
    until: Option<Until>,
    /// Whether an incident whose severity rises to critical meanwhile is told all the same.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pierce: bool,
    /// Who does it.
    #[arg(long, value_parser = text)]
    by: String,
    /// Why.
    #[arg(long, value_parser = text)]
    why: String,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    Resolved,
    At(Moment),
}

impl std::str::FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "resolved" {
            return Ok(Self::Resolved);
        }
        text.parse().map(Self::At).map_err(|error| format!("{error}, or `resolved`"))
    }
}

/// A name or a reason: said to people, so it may not be empty, nor longer than they read.
fn text(written: &str) -> Result<String, String> {
    let text = clean(written.trim(), TEXT_MAX);
    if text.is_empty() { Err("say it in a few words".to_owned()) } else { Ok(text) }
}

pub(super) async fn run(args: Args) -> ExitStatus {
    let loaded = match super::load(&args.config) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let rules: Vec<&str> = loaded.policy.rules.rules.iter().map(|rule| rule.id.as_str()).collect();
    // What cannot be meant is said before anything is opened.
    let silence = match &args.action {
        Door::Add(add) => match silence(add, &rules, SystemClock.now()) {
            Ok(silence) => Some(silence),
            Err(mistakes) => {
                for mistake in mistakes {
                    talk(&format!("error: {mistake}"));
                }
                return ExitStatus::Usage;
            }
        },
        Door::List { .. } | Door::Expire { .. } => None,
    };
    let store = match open_store(&loaded).await {
        Ok(store) => store,
        Err(status) => return status,
    };
    let engine = Engine::new(Arc::new(loaded.policy), Arc::clone(&store), Arc::new(SystemClock), Arc::new(Nobody));
    let status = match (&args.action, silence) {
        (Door::Expire { id, by, why }, _) => expire(&engine, id, by.as_deref(), why.as_deref(), args.format).await,
        (_, Some(silence)) => begin(&engine, silence, args.format).await,
        (Door::List { all }, _) => list(store.as_ref(), *all, args.format).await,
        (Door::Add(_), None) => Ok(ExitStatus::Usage),
    };
    store.close().await;
    status.unwrap_or_else(|error| {
        talk(&format!("error: the store does not answer: {error}"));
        ExitStatus::NotFine
    })
}

/// The silence that is meant, or everything that is wrong with it.
fn silence(add: &Add, rules: &[&str], now: Timestamp) -> Result<Silence, Vec<String>> {
    let matches = matching::pattern(&add.fields, add.pattern.as_deref(), rules);
    let latest = now.checked_add(LENGTH_MAX).unwrap_or(Timestamp::MAX);
    let until_resolved = matches!(add.until, Some(Until::Resolved));
    let end = match (add.length, add.until) {
        (Some(length), _) => now.checked_add(length.signed()).unwrap_or(Timestamp::MAX),
        (None, Some(Until::At(moment))) => moment.0,
        (None, Some(Until::Resolved) | None) => latest,
    };
    let mut mistakes = matches.as_ref().err().cloned().unwrap_or_default();
    if end <= now {
        mistakes.push("its end is not in the future".to_owned());
    }
    if end > latest {
        mistakes.push(
            "a silence lasts 90 days at most; what has to hold longer belongs into a rule's `except`, where it is reviewed"
                .to_owned(),
        );
    }
    let Some(matches) = matches.ok().filter(|_| mistakes.is_empty()) else { return Err(mistakes) };
    let mut silence = Silence {
        id: String::new(),
        matches,
        by: add.by.clone(),
        why: add.why.clone(),
        created_at: now,
        ends_at: end,
        until_resolved,
        waits_for: std::collections::BTreeMap::new(),
        pierce: add.pierce,
        ended: None,
    };
    let digest = Sha256::digest(serde_json::to_vec(&silence).unwrap_or_default());
    for byte in digest.iter().take(5) {
        // Writing to a string cannot fail.
        _ = write!(silence.id, "{byte:02x}");
    }
    Ok(silence)
}

async fn begin(engine: &Engine, silence: Silence, format: Format) -> Answer {
    let in_force = engine.store().silences(Some(silence.created_at)).await?;
    if in_force.len() >= SILENCES_MAX {
        talk("error: there are 1000 silences in force; nobody oversees more: expire some");
        return Ok(ExitStatus::NotFine);
    }
    let (silence, matching) = engine.begin_silence(silence).await?;
    match format {
        Format::Json => json(&silence),
        Format::Text => say(&silence.id),
    }
    let now = silence.created_at;
    talk(&format!("{}; a running daemon takes notice within 5 seconds", when(&silence, now)));
    let incidents: Vec<_> = matching.iter().filter_map(|situation| situation.incident.as_ref()).collect();
    match incidents.len() {
        0 if silence.until_resolved => talk("no open incident matches now: it ends with the first that it silences"),
        0 => talk("no open incident matches now"),
        _ => talk("these open incidents match; nothing more is told of them but their end:"),
    }
    for incident in incidents.iter().take(20) {
        talk(&format!("  {}", line(incident)));
    }
    if incidents.len() > 20 {
        talk(&format!("  and {} more", incidents.len() - 20));
    }
    Ok(ExitStatus::Fine)
}

async fn list(store: &dyn Store, all: bool, format: Format) -> Answer {
    let now = SystemClock.now();
    let silences = store.silences((!all).then_some(now)).await?;
    for silence in &silences {
        match format {
            Format::Json => json(silence),
            Format::Text => say(&described(silence, now)),
        }
    }
    if silences.is_empty() {
        talk(if all { "no silences" } else { "no silence is in force" });
    }
    Ok(ExitStatus::Fine)
}

async fn expire(engine: &Engine, id: &str, by: Option<&str>, why: Option<&str>, format: Format) -> Answer {
    let now = engine.now();
    let all = engine.store().silences(None).await?;
    let exact: Vec<&Silence> = all.iter().filter(|silence| silence.id == id).collect();
    let begin: Vec<&Silence> = all.iter().filter(|silence| !id.is_empty() && silence.id.starts_with(id)).collect();
    let silence = match (exact.as_slice(), begin.as_slice()) {
        ([only], _) | (_, [only]) => *only,
        (_, several) => {
            let why =
                if several.is_empty() { "there is no silence that begins so" } else { "several silences begin so" };
            talk(&format!("error: `{id}`: {why}; `kmswatch silence list` shows them"));
            return Ok(ExitStatus::NotFine);
        }
    };
    if !silence.in_force(now) {
        talk(&format!("error: silence {} is over: {}", silence.id, when(silence, now)));
        return Ok(ExitStatus::NotFine);
    }
    let ended = Ended { at: now, by: by.map(str::to_owned), why: why.unwrap_or("ended by hand").to_owned() };
    let silence = Silence { ended: Some(ended), ..silence.clone() };
    engine.end_silence(silence.clone()).await?;
    if format == Format::Json {
        json(&silence);
    }
    talk(&format!("silence {} has ended; a running daemon tells what is still open within seconds", silence.id));
    Ok(ExitStatus::Fine)
}

fn described(silence: &Silence, now: Timestamp) -> String {
    format!(
        "{}  {}  {}: {}  {}{}",
        silence.id,
        when(silence, now),
        silence.by,
        silence.why,
        clean(&silence.matches.to_string(), 500),
        if silence.pierce { "" } else { "  (not pierced by a rise to critical)" },
    )
}

/// Until when it holds, or how it ended.
fn when(silence: &Silence, now: Timestamp) -> String {
    let shown = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    if let Some(ended) = &silence.ended {
        let by = ended.by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
        return format!("ended {}{by}: {}", shown(ended.at), ended.why);
    }
    if now >= silence.ends_at {
        return format!("ended {}", shown(silence.ends_at));
    }
    if !silence.until_resolved {
        return format!("until {}", shown(silence.ends_at));
    }
    let waits: Vec<&str> = silence.waits_for.keys().map(String::as_str).take(5).collect();
    match waits.len() {
        0 => format!("until the first that it silences is resolved, {} at the latest", shown(silence.ends_at)),
        _ if waits.len() < silence.waits_for.len() => {
            format!("until {} and {} more are resolved", waits.join(", "), silence.waits_for.len() - waits.len())
        }
        _ => format!("until {} is resolved", waits.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(subcommand)]
        door: Door,
    }

    fn added(arguments: &[&str]) -> Result<Silence, Vec<String>> {
        let all = [&["x", "add"], arguments, &["--by", "jo", "--why", "planned"]].concat();
        let line = Line::try_parse_from(all).map_err(|error| vec![error.to_string()])?;
        let Door::Add(add) = line.door else { panic!("not an add") };
        silence(&add, &["kms.key-disabled"], "2026-11-27T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn an_end_is_a_length_a_time_or_a_resolve() {
        let ends = |arguments: &[&str]| added(arguments).unwrap().ends_at.to_string();
        assert_eq!(ends(&["severity=high", "--for", "2h"]), "2026-11-27T12:00:00Z");
        assert_eq!(ends(&["severity=high", "--until", "2026-11-28"]), "2026-11-28T00:00:00Z");
        assert_eq!(ends(&["severity=high", "--until", "2026-11-28T08:00+01:00"]), "2026-11-28T07:00:00Z");
        let until_resolved = added(&["severity=high", "--until", "resolved"]).unwrap();
        assert!(until_resolved.until_resolved && until_resolved.pierce);
        assert!(!added(&["severity=high", "--for", "2h", "--pierce", "false"]).unwrap().pierce);
        for (wrong, why) in [
            (&["severity=high"][..], "--for"),
            (&["severity=high", "--for", "2h", "--until", "resolved"], "cannot be used with"),
            (&["severity=high", "--until", "2026-11-27"], "not in the future"),
            (&["severity=high", "--for", "0s"], "not in the future"),
            (&["severity=high", "--for", "91d"], "90 days at most"),
            (&["severity=high", "--until", "soon"], "`soon` is not a date"),
            (&["--for", "2h"], "FIELD=VALUE"),
            (&["severity=hihg", "--for", "91d"], "did you mean `high`?"),
        ] {
            let mistakes = added(wrong).unwrap_err().join("\n");
            assert!(mistakes.contains(why), "{wrong:?}: {mistakes}");
        }
    }

    #[test]
    fn whoever_silences_says_who_and_why() {
        assert!(Line::try_parse_from(["x", "add", "severity=high", "--for", "1h", "--by", "jo"]).is_err());
        assert!(Line::try_parse_from(["x", "add", "severity=high", "--for", "1h", "--why", "y"]).is_err());
        assert!(Line::try_parse_from(["x", "add", "severity=high", "--for", "1h", "--by", " ", "--why", "y"]).is_err());
    }

    #[test]
    fn the_id_depends_on_what_is_silenced() {
        let one = added(&["severity=high", "--for", "2h"]).unwrap();
        let two = added(&["severity=low", "--for", "2h"]).unwrap();
        assert_eq!(one.id.len(), 10);
        assert_ne!(one.id, two.id);
    }
}
