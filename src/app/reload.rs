//! Loads the configuration again when asked, or when its files change. What does not load leaves the running one in
//! force, and says so to people.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use super::watch::Watch;
use super::{Kept, lanes};
use crate::base::health::Health;
use crate::base::stop::Stop;
use crate::base::telemetry;
use crate::config::{self, Config, Loaded};
use crate::core::decide::OwnSubject;
use crate::deliver::{Deliver, Lane};
use crate::engine::Engine;
use crate::sink::SinkContext;

/// Where a configuration came from.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    /// Files and folders whose change makes it worth loading again.
    pub files: Vec<PathBuf>,
}

pub(super) struct Reloader {
    pub(super) source: Option<Source>,
    pub(super) running: Config,
    /// As built from `running`.
    pub(super) lanes: Vec<Lane>,
    /// Names of the queues that this life of the daemon receives from.
    pub(super) queues: Vec<String>,
    /// Names of the canaries that it calls.
    pub(super) canaries: Vec<String>,
    pub(super) engine: Arc<Engine>,
    pub(super) deliver: Arc<Deliver>,
    /// What sinks are built with.
    pub(super) context: SinkContext,
    pub(super) health: Arc<Health>,
    pub(super) banner: Option<String>,
}

impl Reloader {
    /// Reloads whenever it is asked to, until stopped.
    pub(super) async fn until_stopped(mut self, asked: &Notify, stop: &Stop) {
        let Some(source) = self.source.clone() else {
            stop.stopped().await;
            return;
        };
        let mut watch = Watch::start(source.files.clone());
        // What an earlier life of the daemon said of its configuration is past: this one loaded.
        self.well(&source).await;
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                () = asked.notified() => {
                    watch.look();
                }
                () = watch.changed() => {}
            }
            if let Some(files) = self.reload(&source).await {
                watch.follow(files);
            }
        }
    }

    /// Returns the files to watch from now on; `None` when the old configuration stays.
    async fn reload(&mut self, source: &Source) -> Option<Vec<PathBuf>> {
        let Loaded { config, mut policy, warnings, files, .. } = match config::load(&source.path, config::environment())
        {
            Ok(loaded) => loaded,
            Err(diagnostics) => {
                let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                self.rejected(&lines.join("; ")).await;
                return None;
            }
        };
        let kept = Kept { config: &self.running, lanes: &self.lanes };
        let lanes = match lanes(&config, &self.context, self.banner.as_deref(), Some(kept)) {
            Ok(lanes) => lanes,
            Err(error) => {
                self.rejected(&error.to_string()).await;
                return None;
            }
        };
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        self.say_what_waits_for_a_restart(&config);
        self.deliver.set_lanes(lanes.clone());
        self.lanes = lanes;
        // What is received from and swept changes at the next start only; until then there may be trouble with it.
        policy.queues.clone_from(&self.queues);
        policy.canaries.clone_from(&self.canaries);
        policy.places.clone_from(&self.engine.policy().places);
        if let Err(error) = self.engine.adopt(policy).await {
            tracing::error!(%error, "the new rules are in force, but open incidents could not be gone through");
        }
        self.running = config;
        self.well(source).await;
        telemetry::reloaded(true);
        tracing::info!(
            rules = self.engine.policy().rules.rules.len(),
            sinks = self.running.sinks.len(),
            "the configuration was loaded again"
        );
        Some(files)
    }

    async fn rejected(&self, detail: &str) {
        tracing::error!("the changed configuration does not load; the running one stays in force: {detail}");
        telemetry::reloaded(false);
        self.health.reload_failed(detail);
        self.engine.report(&OwnSubject::ConfigRejected, detail).await;
    }

    async fn well(&self, source: &Source) {
        self.health.config_loaded();
        let detail = format!("{} loads", source.path.display());
        if !self.engine.retract(&OwnSubject::ConfigRejected, &detail).await {
            tracing::warn!("that the configuration loads again could not be stored");
        }
    }

    /// Queues, the store and listeners are built once.
    fn say_what_waits_for_a_restart(&self, new: &Config) {
        let old = &self.running;
        let parts = [
            ("queues", format!("{:?}", old.queues) != format!("{:?}", new.queues)),
            ("store", format!("{:?}", old.store) != format!("{:?}", new.store)),
            ("canaries", format!("{:?}", old.canaries) != format!("{:?}", new.canaries)),
            ("heartbeat", old.heartbeat != new.heartbeat),
            ("sweep", format!("{:?}", old.sweep) != format!("{:?}", new.sweep)),
            ("lookups", format!("{:?}", old.lookups) != format!("{:?}", new.lookups)),
            ("archive", format!("{:?}", old.archive) != format!("{:?}", new.archive)),
            ("admin", format!("{:?}", old.admin) != format!("{:?}", new.admin)),
            ("log", format!("{:?}", old.log) != format!("{:?}", new.log)),
            ("daemon", format!("{:?}", old.daemon) != format!("{:?}", new.daemon)),
        ];
        for (part, _) in parts.iter().filter(|(_, changed)| *changed) {
            tracing::warn!("[{part}] has changed; that takes effect at the next start");
        }
    }
}
