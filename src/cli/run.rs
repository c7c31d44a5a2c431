//! `kmswatch run`: the daemon. Signals are read here and nowhere else.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::{ExitStatus, load, talk};
use crate::app::{self, Parts, Source};
use crate::base::aws::Access;
use crate::base::clock::SystemClock;
use crate::base::stop::Stop;
use crate::base::telemetry::{self, Telemetry};
use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, short, default_value = config::DEFAULT_PATH, env = "KMSWATCH_CONFIG")]
    config: PathBuf,
}

pub(super) async fn run(args: Args) -> ExitStatus {
    let loaded = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    if let Err(error) = telemetry::start_logs(&loaded.config.log) {
        talk(&format!("error: {error}"));
        return ExitStatus::NotFine;
    }
    let telemetry = match Telemetry::install() {
        Ok(telemetry) => telemetry,
        Err(error) => {
            talk(&format!("error: {error}"));
            return ExitStatus::NotFine;
        }
    };
    let (stop, reload) = (Stop::new(), Arc::new(Notify::new()));
    if let Err(error) = listen(&stop, &reload) {
        talk(&format!("error: signals cannot be received: {error}"));
        return ExitStatus::NotFine;
    }
    let source = Source { path: args.config, files: loaded.files.clone() };
    let access = Access::from_environment();
    let parts = Parts {
        clock: Arc::new(SystemClock),
        telemetry,
        stop,
        reload,
        source: Some(source),
        sink_access: access.clone(),
        access,
        banner: None,
    };
    match Box::pin(app::run(loaded, parts)).await {
        Ok(()) => ExitStatus::Fine,
        Err(error) => {
            talk(&format!("error: {error}"));
            ExitStatus::NotFine
        }
    }
}

/// SIGTERM and SIGINT stop, SIGHUP reloads.
pub(super) fn listen(stop: &Stop, reload: &Arc<Notify>) -> std::io::Result<()> {
    let (mut terminate, mut interrupt, mut hang_up) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    let (stop, reload) = (stop.clone(), Arc::clone(reload));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => stop.stop(),
                _ = interrupt.recv() => stop.stop(),
                _ = hang_up.recv() => reload.notify_one(),
            }
        }
    });
    Ok(())
}
