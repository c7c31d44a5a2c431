//! `kmswatch incidents`: what is open, the story of one, and what people do to it. Works on the store itself, so also while
//! the daemon is down; a running daemon sends what follows from it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::{ExitStatus, Format, say, story, talk};
use crate::base::clock::SystemClock;
use crate::config;
use crate::core::countdown::Ending;
use crate::core::decide::{Action, Command, Decision};
use crate::core::incident::{Incident, State};
use crate::core::notification::Notification;
use crate::core::render::clean;
use crate::engine::{Engine, Post};
use crate::store::{DeliveryState, IncidentFilter, Store, Story};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Door>,
    /// The configuration file that names the store.
    #[arg(long, short, global = true, default_value = config::DEFAULT_PATH, env = "KMSWATCH_CONFIG")]
    config: PathBuf,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    /// Resolved ones too.
    #[arg(long)]
    all: bool,
    /// At most so many, newest first.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, clap::Subcommand)]
enum Door {
    /// Tell the story of one incident.
    Show { id: String },
    /// Take an incident: no more repeats, and a higher severity asks again.
    Ack(Hand),
    /// End an incident by hand; only newer events open it again.
    Resolve(Hand),
    /// List deliveries that wait for a person (parked) or were given up (dead).
    Undelivered,
}

#[derive(Debug, clap::Args)]
struct Hand {
    id: String,
    /// Who does it.
    #[arg(long)]
    by: String,
    /// Why.
    #[arg(long)]
    why: String,
}

pub(super) async fn run(args: Args) -> ExitStatus {
    let loaded = match super::load(&args.config) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let store = match open_store(&loaded).await {
        Ok(store) => store,
        Err(status) => return status,
    };
    let status = match &args.action {
        None => list(store.as_ref(), &args).await,
        Some(Door::Show { id }) => show(store.as_ref(), id, args.format).await,
        Some(Door::Undelivered) => undelivered(store.as_ref(), args.format).await,
        Some(Door::Ack(hand)) => by_hand(&store, loaded, hand, Action::Acknowledge).await,
        Some(Door::Resolve(hand)) => by_hand(&store, loaded, hand, Action::Resolve).await,
    };
    store.close().await;
    status.unwrap_or_else(|error| {
        talk(&format!("error: the store does not answer: {error}"));
        ExitStatus::NotFine
    })
}

/// The daemon's store, beside it.
pub(super) async fn open_store(loaded: &config::Loaded) -> Result<Arc<dyn Store>, ExitStatus> {
    if loaded.config.store.is_memory() {
        talk("error: the configuration keeps incidents in the daemon's memory; no other process can see them");
        return Err(ExitStatus::NotFine);
    }
    let path = loaded.config.store.path();
    if !path.exists() {
        talk(&format!("error: there is no store at {} yet; the daemon makes it when it starts", path.display()));
        return Err(ExitStatus::NotFine);
    }
    crate::store::open(&loaded.config.store).await.map_err(|error| {
        talk(&format!("error: the store cannot be opened: {error}"));
        ExitStatus::NotFine
    })
}

pub(super) type Answer = Result<ExitStatus, crate::store::StoreError>;

async fn list(store: &dyn Store, args: &Args) -> Answer {
    let incidents = store.incidents(&IncidentFilter { open: !args.all, limit: args.limit }).await?;
    for incident in &incidents {
        match args.format {
            Format::Json => json(incident),
            Format::Text => say(&line(incident)),
        }
    }
    if incidents.is_empty() {
        talk(if args.all { "no incidents" } else { "no open incidents" });
    }
    Ok(ExitStatus::Fine)
}

/// What a list says of one incident.
pub(super) fn line(incident: &Incident) -> String {
    format!(
        "{}  {:<8} {:<12} {}  {} — {} ({} alert{}{}{}{})",
        incident.id,
        incident.severity.as_str(),
        incident.state.as_str(),
        incident.opened_at.strftime("%Y-%m-%d %H:%M:%SZ"),
        incident.voice.title,
        clean(incident.key.as_ref().map_or("no key named", |key| key.display_name()), 100),
        incident.alerts,
        if incident.alerts == 1 { "" } else { "s" },
        incident.taken.as_ref().map_or(String::new(), |taken| format!("; {}: {}", taken.by, taken.why)),
        if incident.shadow { "; shadow" } else { "" },
        incident
            .held
            .as_ref()
            .filter(|_| !incident.shadow)
            .map_or(String::new(), |held| format!("; held back by {}", clean(&held.gate.to_string(), 300))),
    )
}

/// Says that no incident has this id, nor alone begins like it.
pub(super) fn no_such(id: &str) -> ExitStatus {
    talk(&format!("error: there is no incident `{}` (or several begin like that)", id.escape_debug()));
    ExitStatus::NotFine
}

async fn show(store: &dyn Store, id: &str, format: Format) -> Answer {
    let Some(found) = store.story(id).await? else {
        return Ok(no_such(id));
    };
    match format {
        Format::Json => json(&found),
        Format::Text => tell(&found),
    }
    Ok(ExitStatus::Fine)
}

/// What it is about, and its story.
fn tell(told: &Story) {
    let incident = &told.incident;
    say(&line(incident));
    if let Some(arn) = incident.key.as_ref().and_then(|key| key.arn.as_deref()) {
        say(&format!("  key    {}", clean(arn, 200)));
    }
    if let Some(deadline) = incident.deadline {
        let what = match deadline.what {
            Ending::Destroyed => "the key will be destroyed",
            Ending::MaterialExpires => "its key material expires",
            Ending::Other => "its date comes",
        };
        say(&format!("  until  {}: {what}", deadline.at.strftime("%Y-%m-%d %H:%M:%SZ")));
    }
    if let Some(harm) = &incident.harm {
        say(&format!(
            "  harm   {} refused; callers {}; things {}",
            harm.refused,
            harm.callers.len(),
            harm.things.len()
        ));
    }
    for actor in &incident.actors {
        say(&format!("  actor  {}", clean(actor, 200)));
    }
    for line in [story::owed(told), story::gap(told)].into_iter().flatten() {
        say(&format!("  {line}"));
    }
    for line in &story::lines(told) {
        say(&story::text(line));
    }
}

async fn undelivered(store: &dyn Store, format: Format) -> Answer {
    let deliveries = store.deliveries(&[DeliveryState::Parked, DeliveryState::Dead], 1000).await?;
    for delivery in &deliveries {
        let error = delivery.last_error.as_deref().unwrap_or("");
        match format {
            Format::Json => json(&serde_json::json!({
                "sink": delivery.sink,
                "incident": delivery.notification.incident.id,
                "kind": delivery.notification.kind,
                "state": delivery.state,
                "attempts": delivery.attempts,
                "created_at": delivery.created_at,
                "error": error,
            })),
            Format::Text => say(&format!(
                "{}  {:<6} {}  {} {} after {} attempt(s): {}",
                delivery.created_at.strftime("%Y-%m-%d %H:%M:%SZ"),
                delivery.state.as_str(),
                delivery.sink,
                delivery.notification.incident.id,
                delivery.notification.kind.as_str(),
                delivery.attempts,
                clean(error, 200)
            )),
        }
    }
    if deliveries.is_empty() {
        talk("everything was delivered");
        return Ok(ExitStatus::Fine);
    }
    Ok(ExitStatus::NotFine)
}

/// A command line has no sinks at hand; the daemon sends what the store holds.
pub(super) struct Nobody;

#[async_trait]
impl Post for Nobody {
    fn wake(&self, _: &Decision) {}

    async fn page_directly(&self, _: &str, _: Notification) {}
}

async fn by_hand(store: &Arc<dyn Store>, loaded: config::Loaded, hand: &Hand, action: Action) -> Answer {
    let Some(found) = store.story(&hand.id).await? else {
        return Ok(no_such(&hand.id));
    };
    let id = found.incident.id;
    if found.incident.state == State::Resolved {
        talk(&format!("error: incident {id} is resolved already"));
        return Ok(ExitStatus::NotFine);
    }
    let clock = Arc::new(SystemClock);
    let engine = Engine::new(Arc::new(loaded.policy), Arc::clone(store), clock, Arc::new(Nobody));
    // A silence may end with the incident.
    engine.refresh_gates().await?;
    let command = Command { incident: id.clone(), action, by: hand.by.clone(), why: hand.why.clone() };
    if engine.by_hand(&command).await? {
        talk(&format!("incident {id} {}", if action == Action::Resolve { "resolved" } else { "acknowledged" }));
        return Ok(ExitStatus::Fine);
    }
    talk(&format!("error: incident {id} is not the newest of its kind any more"));
    Ok(ExitStatus::NotFine)
}

pub(super) fn json(value: &impl serde::Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => say(&text),
        Err(error) => talk(&format!("error: {error}")),
    }
}
