//! Wiring, in one straight line: builds the parts, starts the loops in order, and stops them in reverse, bounded.

#[cfg(test)]
mod canary_tests;
mod reload;
mod report;
mod watch;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::admin::{Admin, AdminError};
use crate::base::aws::Access;
use crate::base::clock::Clock;
use crate::base::health::Health;
use crate::base::stop::Stop;
use crate::base::telemetry::{self, Telemetry};
use crate::canary::Canaries;
use crate::config::{Config, Loaded};
use crate::core::canary::Canary;
use crate::core::decide::Decision;
use crate::core::notification::Notification;
use crate::deliver::{self, Deliver, Lane, LaneConfig};
use crate::engine::{Engine, Post};
use crate::heartbeat::Heartbeat;
use crate::ingest::{self, Delivered, Ingest};
use crate::keys::{CanaryCaller, Inspect, Inspector, KeyLookup, Lookups};
use crate::queue::Queue;
use crate::queue::sqs::SqsQueue;
use crate::sink::{BuildError, SinkContext, SinkTable};
use crate::spool::Spool;
use crate::store::{self, StoreError};
use crate::sweep::Sweep;
use crate::upkeep::{Upkeep, Watched};

pub use reload::Source;

/// Why the daemon does not start, or ended although nobody told it to.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    #[error("sink `{sink}`: {error}")]
    Sink { sink: String, error: BuildError },
    #[error("the heartbeat: {0}")]
    Heartbeat(BuildError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("the archive cannot be started: {0}")]
    Archive(std::io::Error),
    #[error("the loop for {name} ended by itself ({how}); this is a bug")]
    Died { name: &'static str, how: String },
}

/// What the daemon runs with, beside its configuration.
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub telemetry: Telemetry,
    pub stop: Stop,
    /// Told when the configuration is to be loaded again.
    pub reload: Arc<Notify>,
    /// Where the configuration came from, for reloads; `None` when it cannot be loaded again.
    pub source: Option<Source>,
    /// Credentials and connections to AWS.
    pub access: Access,
    /// The same for sinks: the queue of the played story asks for no credentials, its sinks may.
    pub sink_access: Access,
    /// Put on every card: what the played story and tests are marked with.
    pub banner: Option<String>,
}

/// Runs the daemon until it is stopped.
///
/// # Errors
/// When a part cannot be built, or a loop ends by itself. Other trouble after the start never ends the daemon.
pub async fn run(loaded: Loaded, parts: Parts) -> Result<(), StartError> {
    let Parts { clock, telemetry, stop, reload, source, access, sink_access, banner } = parts;
    let Loaded { config, policy, suites, .. } = loaded;
    // The tests that rules carry are larger than the rules, and would stay as long as we run.
    drop(suites);
    let health = Arc::new(Health::new());

    let _alone = store::hold(&config.store)?;
    let store = store::open(&config.store).await?;
    health.store_ok();
    let context = SinkContext { clock: Arc::clone(&clock), aws: sink_access };
    let lanes = lanes(&config, &context, banner.as_deref(), None)?;
    let ping = config.heartbeat.as_ref().map(|heartbeat| heartbeat.build(Arc::clone(&clock))).transpose();
    let ping = ping.map_err(StartError::Heartbeat)?;
    let admin = if config.admin.enabled { Some(Admin::bind(config.admin.listen).await?) } else { None };

    let out = Arc::new(Out::default());
    let no_rules = policy.without_rules();
    let engine = Arc::new(Engine::new(
        Arc::new(no_rules),
        Arc::clone(&store),
        Arc::clone(&clock),
        Arc::clone(&out) as Arc<dyn Post>,
    ));
    // Each loop has its own token, so that they end in order: first what takes in, last what tells.
    let (receiving, keeping, serving) = (Stop::new(), Stop::new(), Stop::new());
    let reporter = Arc::new(report::Reporter::start(Arc::clone(&engine), keeping.child()));
    let archive = match &config.archive.s3 {
        Some(s3) => {
            let spool = Spool::start(s3, &access, &clock, Arc::clone(&reporter) as _).map_err(StartError::Archive)?;
            Some(Arc::new(spool))
        }
        None => None,
    };
    let deliver = Arc::new(Deliver::start(
        Arc::clone(&store),
        Arc::clone(&clock),
        reporter,
        Arc::clone(&health),
        deliver_settings(&config),
        lanes.clone(),
    ));
    out.open(Arc::clone(&deliver));
    // Incidents that are open from before meet the rules of now before the first event does.
    if let Err(error) = engine.adopt(policy).await {
        tracing::error!(%error, "open incidents could not be gone through");
    }
    health.config_loaded();

    let home = config.queues.values().filter_map(crate::queue::Config::owner).collect();
    let lookups: Arc<dyn KeyLookup> = Arc::new(Lookups::new(&config.lookups, &access, Arc::clone(&clock), home));
    let inspect = config.lookups.enabled.then(|| Inspector::new(&config.lookups, &access, Arc::clone(&clock)));
    let inspect = inspect.map(|inspector| Arc::new(inspector) as Arc<dyn Inspect>);
    engine.load_uses().await;
    let mut queues: Vec<Arc<dyn Queue>> = Vec::new();
    for (name, queue) in &config.queues {
        let queue = SqsQueue::connect(name, queue, &access).await;
        // Before the admin door answers: nothing received yet is not ready.
        health.watch_queue(name, queue.wait());
        queues.push(Arc::new(queue));
    }

    let canaries = Canaries {
        engine: Arc::clone(&engine),
        caller: Arc::new(CanaryCaller::new(&config.canaries, &config.lookups, &access)),
        health: Arc::clone(&health),
        stop: keeping.clone(),
        all: canaries(&config),
    };
    canaries.load().await;
    for name in config.queues.keys() {
        let proofs = config.canaries.values().filter(|canary| canary.queue.get_ref() == name).count();
        telemetry::queue_proven(name, false);
        if proofs == 0 {
            tracing::info!(queue.name = %name, "no canary comes back through this queue: that its events reach it is unproven");
        }
    }

    let mut serve = JoinSet::new();
    let (samples, keep_up) = (telemetry.clone(), serving.clone());
    serve.spawn(async move { samples.keep_up(&keep_up).await });
    if let Some(admin) = admin {
        tracing::info!(address = %admin.address(), "health and metrics are served");
        serve.spawn(admin.serve(Arc::clone(&health), telemetry, serving.clone()));
    }
    let watched = queues.iter().zip(config.queues.values());
    let watched = watched.map(|(queue, table)| Watched { queue: Arc::clone(queue), limits: table.limits() });
    let mut upkeep = JoinSet::new();
    upkeep.spawn(
        Upkeep {
            engine: Arc::clone(&engine),
            queues: watched.collect(),
            lookups: Arc::clone(&lookups),
            health: Arc::clone(&health),
            stop: keeping.clone(),
            retention: config.store.retention(),
        }
        .run(),
    );
    upkeep.spawn(canaries.run());
    if let (Some(ping), Some(table)) = (ping, &config.heartbeat) {
        let every = table.every.get_ref().unsigned();
        let (engine, health, stop) = (Arc::clone(&engine), Arc::clone(&health), receiving.clone());
        upkeep.spawn(Heartbeat { ping, every, engine, health, stop }.run());
    }
    let scopes = config.swept();
    if scopes.is_empty() && config.sweep.enabled && config.lookups.enabled {
        tracing::warn!("no Region is known to sweep: name some in `regions` of [sweep]");
    }
    // The pace is one for the whole process.
    if let Some(inspect) = &inspect {
        let sweep = Sweep {
            engine: Arc::clone(&engine),
            inspect: Arc::clone(inspect),
            stop: keeping.clone(),
            scopes,
            every: config.sweep.every.get_ref().unsigned(),
            review_every: config.sweep.review_every.get_ref().unsigned(),
        };
        upkeep.spawn(sweep.run());
    }
    let mut ingests = JoinSet::new();
    for (queue, queue_config) in queues.iter().zip(config.queues.values()) {
        let delivered = (!store.durable()).then(|| Arc::clone(&out) as Arc<dyn Delivered>);
        let ingest = Ingest {
            queue: Arc::clone(queue),
            engine: Arc::clone(&engine),
            lookups: Arc::clone(&lookups),
            inspect: inspect.clone(),
            health: Arc::clone(&health),
            stop: receiving.clone(),
            archive: archive.clone(),
            delivered,
            settings: ingest::Settings {
                polls_max: *queue_config.polls_max.get_ref() as usize,
                deaf_after: config.engine.deaf_after.get_ref().unsigned(),
                ..ingest::Settings::default()
            },
        };
        ingests.spawn(ingest.run());
    }
    tracing::info!(
        queues = queues.len(),
        sinks = config.sinks.len(),
        rules = engine.policy().rules.rules.len(),
        store.durable = store.durable(),
        "watching"
    );

    let grace = config.daemon.grace.get_ref().unsigned();
    let reloader = reload::Reloader {
        source,
        lanes,
        queues: config.queues.keys().cloned().collect(),
        canaries: config.canaries.keys().cloned().collect(),
        running: config,
        engine: Arc::clone(&engine),
        deliver: Arc::clone(&deliver),
        context,
        health: Arc::clone(&health),
        banner,
    };
    let died = tokio::select! {
        () = reloader.until_stopped(&reload, &stop) => None,
        // Loops end when they are told to; one that ends before is a bug, and a daemon without it must not look alive.
        Some(ended) = ingests.join_next() => Some(("receiving", ended)),
        Some(ended) = upkeep.join_next() => Some(("upkeep", ended)),
    };

    health.stopping();
    tracing::info!(grace.seconds = grace.as_secs(), "stopping: nothing is received any more");
    let started = tokio::time::Instant::now();
    let left = |at_least: u64| grace.saturating_sub(started.elapsed()).max(Duration::from_secs(at_least));
    receiving.stop();
    bounded("receiving", left(1), &mut ingests).await;
    deliver.stop(left(2)).await;
    if let Some(archive) = archive {
        archive.stop(left(2).min(ARCHIVE_GRACE)).await;
    }
    keeping.stop();
    bounded("upkeep", Duration::from_secs(5), &mut upkeep).await;
    serving.stop();
    bounded("the admin door", Duration::from_secs(2), &mut serve).await;
    store.close().await;
    tracing::info!("stopped");
    match died {
        None => Ok(()),
        Some((name, ended)) => {
            Err(StartError::Died { name, how: ended.map_or_else(|e| e.to_string(), |()| "it returned".to_owned()) })
        }
    }
}

/// What is left of the archive then waits on the disk for the next start.
const ARCHIVE_GRACE: Duration = Duration::from_secs(10);

/// Waits for a loop's tasks; what does not end in time is dropped and named.
async fn bounded(name: &str, limit: Duration, tasks: &mut JoinSet<()>) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "{name} ended badly");
            }
        }
    };
    if tokio::time::timeout(limit, all).await.is_err() {
        tracing::warn!("{name} did not end in time; what was in hand comes again");
        tasks.abort_all();
    }
}

/// All canaries, each with the visibility of its queue.
fn canaries(config: &Config) -> Vec<(Canary, Duration)> {
    let visibility = |canary: &Canary| {
        let queue = config.queues.get(&canary.queue);
        queue.map_or(Duration::ZERO, |queue| queue.visibility.get_ref().unsigned())
    };
    config.canaries().into_iter().map(|canary| (canary.clone(), visibility(&canary))).collect()
}

fn deliver_settings(config: &Config) -> deliver::Settings {
    deliver::Settings {
        attempt_timeout: config.daemon.attempt_timeout.get_ref().unsigned(),
        lease: config.daemon.lease.get_ref().signed(),
        give_up_after: config.daemon.give_up_after.get_ref().signed(),
        seed: fastrand::u64(..),
        ..deliver::Settings::default()
    }
}

/// What runs already, and the configuration it was built from.
#[derive(Clone, Copy)]
struct Kept<'a> {
    config: &'a Config,
    lanes: &'a [Lane],
}

impl Kept<'_> {
    /// The lane of a sink whose table has not changed: it goes on undisturbed, with its pace, its back-off and its claims.
    fn lane(&self, name: &str, table: &SinkTable) -> Option<&Lane> {
        let same = self.config.sinks.get(name).is_some_and(|known| known == table);
        self.lanes.iter().find(|lane| same && lane.config.name == name)
    }
}

/// Builds every sink of a configuration, but for those that run already.
fn lanes(
    config: &Config,
    context: &SinkContext,
    banner: Option<&str>,
    kept: Option<Kept<'_>>,
) -> Result<Vec<Lane>, StartError> {
    let mut lanes = Vec::new();
    for (name, table) in &config.sinks {
        if let Some(lane) = kept.and_then(|kept| kept.lane(name, table).cloned()) {
            lanes.push(lane);
            continue;
        }
        let sink = table.build(context).map_err(|error| StartError::Sink { sink: name.clone(), error })?;
        let sink = match banner {
            Some(banner) => Arc::new(report::Bannered { sink, banner: banner.to_owned() }),
            None => sink,
        };
        lanes.push(Lane {
            config: LaneConfig {
                name: name.clone(),
                max_per_minute: table.limit(),
                fallback: table.fallback.as_ref().map(|f| f.get_ref().clone()),
                fallback_after: table.fallback_after.unsigned(),
            },
            sink,
        });
    }
    Ok(lanes)
}

/// Ties the engine and the ingest loop to the delivery loop, which is built after them.
#[derive(Default)]
struct Out(OnceLock<Arc<Deliver>>);

impl Out {
    fn open(&self, deliver: Arc<Deliver>) {
        if self.0.set(deliver).is_err() {
            tracing::debug!("the way out was open already");
        }
    }
}

#[async_trait]
impl Post for Out {
    fn wake(&self, decision: &Decision) {
        if let Some(deliver) = self.0.get() {
            deliver.wake(decision.deliveries.iter().map(|delivery| delivery.sink.as_str()));
        }
    }

    async fn page_directly(&self, subject: &str, notification: Notification) {
        if let Some(deliver) = self.0.get() {
            deliver.page_directly(subject, &notification).await;
        }
    }
}

#[async_trait]
impl Delivered for Out {
    async fn wait(&self, deliveries: Vec<(String, String)>) {
        if let Some(deliver) = self.0.get() {
            deliver.drained(&deliveries).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;

    const CONFIG: &str =
        "[sinks.out.stdout]\n[sinks.hook]\nmax_per_minute = 30\n[sinks.hook.webhook]\nurl = 'http://127.0.0.1:9/a'\n";

    fn built(text: &str, kept: Option<Kept<'_>>) -> (Config, Vec<Lane>) {
        let config: Config = toml::from_str(text).unwrap();
        let context = SinkContext { clock: Arc::new(SystemClock), aws: Access::unchecked() };
        let lanes = lanes(&config, &context, Some("played"), kept).unwrap();
        (config, lanes)
    }

    /// The names of the sinks that are the same objects as before.
    fn undisturbed(before: &[Lane], after: &[Lane]) -> Vec<String> {
        let same =
            |lane: &&Lane| before.iter().any(|old| Arc::ptr_eq(&old.sink, &lane.sink) && old.config == lane.config);
        after.iter().filter(same).map(|lane| lane.config.name.clone()).collect()
    }

    #[test]
    fn a_reload_leaves_lanes_alone_whose_sinks_have_not_changed() {
        let (config, before) = built(CONFIG, None);
        let after = |text: &str| {
            let (_, after) = built(text, Some(Kept { config: &config, lanes: &before }));
            assert_eq!(after.len(), 2, "{text}");
            undisturbed(&before, &after)
        };
        assert_eq!(after(&format!("# moved down\n\n{CONFIG}")), ["hook", "out"], "where it stands does not matter");
        assert_eq!(after(&CONFIG.replace("9/a", "9/b")), ["out"], "an address that `Debug` does not show counts");
        assert_eq!(after(&CONFIG.replace("30", "31")), ["out"]);
        assert_eq!(after(&CONFIG.replace("sinks.out.", "sinks.other.")), ["hook"]);
        assert_eq!(after(&CONFIG.replace("stdout]", "file]\npath = '/dev/null'")), ["hook"]);
    }
}
