//! The daemon as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::receivers::Receivers;

/// 32 bytes that sign test webhooks.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_dGVzdC10ZXN0LXRlc3QtdGVzdC10ZXN0LXRlc3QtMTI=";

/// Of the Slack-shaped sink.
pub(crate) const SLACK_TOKEN: &str = "test-token-of-the-chat";

/// Of the PagerDuty-shaped sink.
pub(crate) const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct Daemon {
    child: Child,
    pub(crate) log: PathBuf,
}

/// A number that the environment may set.
#[expect(clippy::disallowed_methods, reason = "who runs the tests says how long they may take")]
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Where the binary under test is.
fn binary() -> PathBuf {
    std::env::var_os("KMSWATCH_BIN").map_or_else(|| env!("CARGO_BIN_EXE_kmswatch").into(), PathBuf::from)
}

/// The program with these arguments, in the environment that the tests' configuration needs.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        // Nobody is there: what would ask who it is does without.
        .env("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
        .env("TEST_ROUTING_KEY", ROUTING_KEY)
        .env("TEST_SLACK_TOKEN", SLACK_TOKEN)
        .env("TEST_WEBHOOK_SECRET", WEBHOOK_SECRET)
        .env_remove("KMSWATCH_CONFIG")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null());
    command
}

impl Daemon {
    /// Starts `run`; its log goes to a file beside the configuration.
    pub(crate) fn start(config: &Path) -> Self {
        let log = config.with_extension("log");
        let out = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child =
            command(&["run", "--config"]).arg(config).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        Self { child, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        // The shell's own: a small system has no program of that name.
        let done = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.id())).status().unwrap();
        assert!(done.success());
    }

    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// SIGTERM; returns the exit code and how long it took.
    pub(crate) fn terminate(&mut self, limit: Duration) -> (Option<i32>, Duration) {
        let started = Instant::now();
        self.signal("TERM");
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), started.elapsed());
            }
            assert!(started.elapsed() < limit, "it did not stop within {limit:?}:\n{}", self.tail());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Resident memory in KiB, and its highest value.
    pub(crate) fn memory_kib(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok())
                .unwrap_or(0)
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the daemon's log ends so:\n{}", self.tail());
        }
        if self.is_running() {
            self.kill();
        }
    }
}

/// A free port for the admin door.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What a test's configuration varies.
pub(crate) struct Setup<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) queue_url: &'a str,
    pub(crate) receivers: &'a Receivers,
    /// More TOML at the end.
    pub(crate) more: &'a str,
    /// More TOML inside `[queues.test]`.
    pub(crate) queue: &'a str,
    pub(crate) store: &'a str,
}

impl Setup<'_> {
    /// Writes a configuration with a Slack-, a PagerDuty- and a webhook-shaped sink; returns its path and the admin address.
    pub(crate) fn write(&self) -> (PathBuf, SocketAddr) {
        let at = self.receivers.address;
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let endpoint = self.queue_url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let store = if self.store.is_empty() {
            format!("[store.sqlite]\npath = '{}'", self.folder.join("state.db").display())
        } else {
            self.store.to_owned()
        };
        let text = format!(
            r#"
[queues.test]
url = "{url}"
endpoint = "{endpoint}"
region = "eu-central-1"
{queue}

{store}

[lookups]
enabled = false

[admin]
listen = "{admin}"

[sinks.chat.slack]
token = {{ env = "TEST_SLACK_TOKEN" }}
channel = "C0123456789"
api_url = "http://{at}/slack/"

[sinks.pager.pagerduty]
routing_key = {{ env = "TEST_ROUTING_KEY" }}
endpoint = "http://{at}"

[sinks.hook]
[sinks.hook.webhook]
url = "http://{at}/hook/main"
secrets = [{{ env = "TEST_WEBHOOK_SECRET" }}]

{more}

{classic}
"#,
            url = self.queue_url,
            classic = classic(),
            queue = self.queue,
            more = if self.more.is_empty() { "[[routes]]\nsinks = [\"chat\", \"pager\", \"hook\"]" } else { self.more },
        );
        let path = self.folder.join("kmswatch.toml");
        std::fs::write(&path, text).unwrap();
        (path, admin)
    }
}

/// Switches off every built-in rule but those of the classic cases: tests of the daemon count what they cause.
fn classic() -> String {
    const CLASSIC: [&str; 7] = [
        "kms.key-disabled",
        "kms.key-deletion-scheduled",
        "kms.key-deletion-short-window",
        "kms.access-denied",
        "kms.key-rotated",
        "pipeline.trail-stopped",
        "pipeline.rule-disabled",
    ];
    let others = kmswatch::core::rule::builtin().iter().filter(|rule| !CLASSIC.contains(&rule.id.as_str()));
    others.map(|rule| format!("[rules.override.\"{}\"]\nenabled = false\n", rule.id)).collect::<Vec<_>>().concat()
}
