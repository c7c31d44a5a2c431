//! `kmswatch demo`: the daemon itself, against an SQS-compatible endpoint inside this process, with a played story. It shows the
//! cards that Slack and PagerDuty would show, in the terminal and on a page of this machine.

mod board;
mod story;
mod terminal;

use std::io::{BufRead, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;

use super::{ExitStatus, http, load, run, say, talk};
use crate::app::{self, Parts};
use crate::base::aws::Access;
use crate::base::clock::{Clock, SystemClock};
use crate::base::stop::Stop;
use crate::base::telemetry::{self, Telemetry};
use crate::config::Loaded;
use crate::localsqs::{LocalSqs, Server};
use board::Board;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Send the story to the sinks of this configuration instead; every card is marked DEMO.
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// Page people without asking first (with --config).
    #[arg(long)]
    yes: bool,
    /// Play without pauses.
    #[arg(long)]
    fast: bool,
    /// End when the story has been told, instead of staying up until Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// Port of the page; 0 takes a free one.
    #[arg(long, default_value_t = 8088)]
    port: u16,
}

const BANNER: &str = "DEMO: a played story; none of this has happened";
const QUEUE: &str = "demo";
const TOKEN: &str = "demo-token";
/// 32 characters, as PagerDuty's keys have.
const ROUTING_KEY: &str = "demo0demo0demo0demo0demo0demo0de";

pub(super) async fn run(args: Args) -> ExitStatus {
    match play(args).await {
        Ok(()) => ExitStatus::Fine,
        Err(Trouble::Said(status)) => status,
        Err(Trouble::Other(error)) => {
            talk(&format!("error: {error}"));
            ExitStatus::NotFine
        }
    }
}

enum Trouble {
    /// It was told already.
    Said(ExitStatus),
    Other(String),
}

impl<E: std::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Other(error.to_string())
    }
}

async fn play(args: Args) -> Result<(), Trouble> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let folder = Folder::create()?;
    let sqs = LocalSqs::start(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let queue = Queue { server: &sqs };
    queue.create().await?;
    let board = Board::start(args.port, story::keys()).await.map_err(|error| {
        Trouble::Other(format!("the page cannot be served on port {}: {error}; try --port 0", args.port))
    })?;
    let path = folder.0.join("kmswatch.toml");
    std::fs::write(folder.0.join("slack-token"), TOKEN)?;
    std::fs::write(folder.0.join("routing-key"), ROUTING_KEY)?;
    std::fs::write(&path, configuration(&folder.0, &sqs, board.address))?;
    let mut loaded = load(&path).map_err(Trouble::Said)?;
    if let Some(theirs) = &args.config {
        loaded = with_sinks_of(loaded, load(theirs).map_err(Trouble::Said)?);
        if !args.yes && !may_page(&loaded) {
            talk("nothing was sent");
            return Err(Trouble::Said(ExitStatus::NotFine));
        }
    }
    telemetry::start_logs(&loaded.config.log)?;
    let (stop, reload) = (Stop::new(), Arc::new(Notify::new()));
    run::listen(&stop, &reload)?;
    say("kmswatch demo: the real daemon, a queue inside this process, and a story that never happened.");
    match &args.config {
        None => say(&format!("Cards appear here and on http://{}/ — Ctrl-C ends it.\n", board.address)),
        Some(theirs) => say(&format!("Cards go to the sinks of {}, marked DEMO. Ctrl-C ends it.\n", theirs.display())),
    }
    let parts = Parts {
        clock: Arc::clone(&clock),
        telemetry: Telemetry::install()?,
        stop: stop.clone(),
        reload,
        source: None,
        access: Access::unchecked(),
        sink_access: Access::from_environment(),
        banner: args.config.as_ref().map(|_| BANNER.to_owned()),
    };
    let daemon = tokio::spawn(app::run(loaded, parts));
    let printer = tokio::spawn(terminal::print(board.cards(), stop.clone()));
    let told = tell(&queue, &clock, args.fast, &stop).await;
    if told.is_ok() {
        wait_until_drained(&sqs, &stop).await;
        if args.exit {
            // The last deliveries are on their way when the last message is deleted.
            stop.sleep(Duration::from_secs(2)).await;
            stop.stop();
        } else {
            say("\nThe story is told. The page stays up; Ctrl-C ends it.");
        }
    } else {
        stop.stop();
    }
    daemon.await??;
    printer.abort();
    told
}

/// Plays the story into the queue, one step after the other.
async fn tell(queue: &Queue<'_>, clock: &Arc<dyn Clock>, fast: bool, stop: &Stop) -> Result<(), Trouble> {
    let steps = story::steps();
    // Played without pauses, the story happens in the minute before: events of one second have no order.
    let length: Duration = steps.iter().map(|step| step.pause).sum();
    let mut then = clock.now().checked_sub(length)?;
    for step in steps {
        let pause = if fast { Duration::from_millis(400) } else { step.pause };
        if !stop.sleep(pause).await {
            return Ok(());
        }
        then = then.checked_add(step.pause)?;
        say(&terminal::headline(step.text));
        for body in (step.bodies)(if fast { then } else { clock.now() }) {
            queue.send(&body).await?;
        }
    }
    Ok(())
}

async fn wait_until_drained(sqs: &Server, stop: &Stop) {
    let left = || sqs.depth(QUEUE).map_or(0, |depth| depth.visible + depth.in_flight + depth.delayed);
    while left() > 0 && stop.sleep(Duration::from_millis(100)).await {}
}

/// The queue's other end: what EventBridge does.
struct Queue<'a> {
    server: &'a Server,
}

impl Queue<'_> {
    async fn create(&self) -> Result<(), Trouble> {
        self.call("CreateQueue", &json!({ "QueueName": QUEUE })).await
    }

    async fn send(&self, body: &str) -> Result<(), Trouble> {
        let url = self.server.queue_url(QUEUE);
        self.call("SendMessage", &json!({ "QueueUrl": url, "MessageBody": body })).await
    }

    async fn call(&self, action: &str, request: &serde_json::Value) -> Result<(), Trouble> {
        let target = format!("X-Amz-Target: AmazonSQS.{action}");
        let headers = ["Content-Type: application/x-amz-json-1.0", target.as_str()];
        let answer = http::ask(self.server.addr, "POST", "/", &headers, &request.to_string()).await?;
        if answer.status == 200 {
            return Ok(());
        }
        Err(Trouble::Other(format!("{action} was answered {}: {}", answer.status, answer.body)))
    }
}

/// The played story's own configuration.
fn configuration(folder: &Path, sqs: &Server, board: SocketAddr) -> String {
    let here = folder.display();
    format!(
        r#"
[queues.demo]
url = "{queue}"
endpoint = "{endpoint}"
region = "eu-central-1"

[store.sqlite]
path = "{here}/state.db"

[lookups]
endpoint = "http://{board}"

[sweep]
enabled = false

[admin]
enabled = false

[log]
level = "warn"

[sinks.security.slack]
token = {{ file = "{here}/slack-token" }}
channel = "C0123456789"
api_url = "http://{board}/slack/"

[sinks.oncall.pagerduty]
routing_key = {{ file = "{here}/routing-key" }}
endpoint = "http://{board}"

[[keys]]
match = {{ key.aliases = [{{ prefix = "alias/prod-" }}] }}
labels = {{ environment = "production", team = "platform" }}

[[keys]]
match = {{ key.aliases = [{{ prefix = "alias/staging-" }}] }}
labels = {{ environment = "staging", team = "platform" }}

[[routes]]
match = {{ severity = ["critical"], key.labels.environment = ["production"] }}
sinks = ["oncall", "security"]

[[routes]]
sinks = ["security"]
"#,
        queue = sqs.queue_url(QUEUE),
        endpoint = sqs.url,
    )
}

/// The demo's queue, store and lookups with somebody's sinks, routes and rules.
fn with_sinks_of(demo: Loaded, theirs: Loaded) -> Loaded {
    let mut config = demo.config;
    config.sinks = theirs.config.sinks;
    Loaded { config, policy: theirs.policy, warnings: vec![], files: vec![], suites: vec![] }
}

/// Asks before anybody is woken.
fn may_page(loaded: &Loaded) -> bool {
    let pagers =
        loaded.config.sinks.iter().filter(|(_, table)| table.pagerduty.is_some()).map(|(name, _)| name.as_str());
    let pagers: Vec<&str> = pagers.collect();
    if pagers.is_empty() {
        return true;
    }
    if !std::io::stdin().is_terminal() {
        talk(&format!("this would page through {}; say --yes to do so", pagers.join(", ")));
        return false;
    }
    talk(&format!("This pages people through {}. Go on? [y/N]", pagers.join(", ")));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

/// A folder of our own that goes when the demo ends.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self, Trouble> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("kmswatch-demo-{}", std::process::id()));
        // An image without a shell has no /tmp either.
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            Trouble::Other(format!(
                "{} cannot be made: {error}; name a folder that can be written to: TMPDIR=…",
                path.display()
            ))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            talk(&format!("{} could not be removed: {error}", self.0.display()));
        }
    }
}
