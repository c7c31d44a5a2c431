//! `kmswatch send-test SINK`: a sample notification through a sink as it is configured, so that nobody finds out at 3 a.m. that it
//! does not work.

use std::path::PathBuf;
use std::sync::Arc;

use super::{ExitStatus, load, say, talk};
use crate::base::aws::Access;
use crate::base::clock::{Clock, SystemClock};
use crate::config;
use crate::sink::sample::{Sample, sample_notification};
use crate::sink::{Dispatch, SinkContext};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sink's name in the configuration.
    sink: String,
    /// The configuration file.
    #[arg(long, short, default_value = config::DEFAULT_PATH, env = "KMSWATCH_CONFIG")]
    config: PathBuf,
    /// Which kind of notification.
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Only ask whether the sink would accept us; nobody notices.
    #[arg(long)]
    probe: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A trigger and its resolve.
    #[default]
    Incident,
    /// Good news that pages nobody.
    Notice,
}

pub(super) async fn run(args: Args) -> ExitStatus {
    let loaded = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let Some(table) = loaded.config.sinks.get(&args.sink) else {
        let names: Vec<&str> = loaded.config.sinks.keys().map(String::as_str).collect();
        talk(&format!("error: there is no sink `{}`; there are: {}", args.sink, names.join(", ")));
        return ExitStatus::NotFine;
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let sink = match table.build(&SinkContext { clock: Arc::clone(&clock), aws: Access::from_environment() }) {
        Ok(sink) => sink,
        Err(error) => {
            talk(&format!("error: sink `{}`: {error}", args.sink));
            return ExitStatus::NotFine;
        }
    };
    if args.probe {
        return answer(&args.sink, "would accept us", sink.probe().await);
    }
    let now = clock.now();
    let notifications = match args.kind {
        Kind::Incident => {
            vec![sample_notification(Sample::KeyDisabled, now), sample_notification(Sample::Resolved, now)]
        }
        Kind::Notice => vec![sample_notification(Sample::KeyRotated, now)],
    };
    let mut memory = None;
    for mut notification in notifications {
        notification.banner = Some("TEST: nothing has happened; this card was sent by `kmswatch send-test`".to_owned());
        let key = format!("{}-{}", notification.id, args.sink);
        let dispatch = Dispatch {
            notification: &notification,
            idempotency_key: &key,
            attempt: 1,
            memory: memory.as_deref(),
            outcome_unknown: false,
        };
        let delivered = sink.deliver(&dispatch).await;
        if let Ok(receipt) = &delivered {
            memory = receipt.memory.clone().or(memory);
        }
        let what = format!("accepted a {}", notification.kind.as_str());
        let status = answer(&args.sink, &what, delivered.map(|_| ()));
        if status != ExitStatus::Fine {
            return status;
        }
    }
    ExitStatus::Fine
}

fn answer(sink: &str, what: &str, result: Result<(), crate::sink::DeliveryError>) -> ExitStatus {
    match result {
        Ok(()) => {
            say(&format!("sink `{sink}` {what}"));
            ExitStatus::Fine
        }
        Err(error) => {
            talk(&format!("error: sink `{sink}`: {error}"));
            ExitStatus::NotFine
        }
    }
}
