//! Floor 6: the doors a person opens. One file per command; data goes to stdout, talk to stderr.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Loaded};

mod audit;
mod check;
mod demo;
mod explain;
mod healthcheck;
mod http;
mod import;
mod incidents;
mod replay;
mod run;
mod schema;
mod send_test;
mod silence;
mod sources;
mod story;
mod test;

/// Watches the AWS KMS keys that everything else hangs on, and tells the right people in time.
#[derive(Debug, Parser)]
#[command(name = "kmswatch", version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 fine, 1 the thing asked about is not fine, 2 wrong usage, 78 the configuration does not load.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch: receive, decide, tell. Runs until SIGTERM.
    Run(run::Args),
    /// Play a story through the whole daemon, without an AWS account.
    Demo(demo::Args),
    /// Check configuration and rule files without touching the world.
    Check(check::Args),
    /// Review the keys themselves: state, age, rotation, last use, and who may do what.
    Audit(audit::Args),
    /// Put recorded events through the rules: what would have been told?
    Replay(replay::Args),
    /// Run the tests that rules carry: `[[rule.test]]`.
    Test(test::Args),
    /// Turn rules of others into rules of kmswatch.
    Import(import::Args),
    /// Say why an event raises an alert or does not, or who was told of an incident.
    Explain(explain::Args),
    /// Print the JSON Schema of the configuration.
    Schema(schema::Args),
    /// Send a sample notification to one sink.
    SendTest(send_test::Args),
    /// List, show, acknowledge and resolve incidents.
    Incidents(incidents::Args),
    /// Hold notifications back for a while: add, list and expire silences.
    Silence(silence::Args),
    /// Ask a running daemon whether it is alive (for container health checks).
    Healthcheck(healthcheck::Args),
}

/// What a command's end means to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    Fine,
    /// The thing asked about is not fine.
    NotFine,
    Usage,
    /// The configuration does not load (`EX_CONFIG` of sysexits).
    BadConfig,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Fine => 0,
            ExitStatus::NotFine => 1,
            ExitStatus::Usage => 2,
            ExitStatus::BadConfig => 78,
        })
    }
}

/// How answers are printed, where a program might read them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes a line of data to stdout. A reader that has gone away is no error.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads stdout any more");
    }
}

/// Writes a line of talk to stderr.
pub(crate) fn talk(line: &str) {
    if writeln!(std::io::stderr().lock(), "{line}").is_err() {
        tracing::debug!("nobody reads stderr any more");
    }
}

/// Whether stderr shows colours.
#[expect(clippy::disallowed_methods, reason = "NO_COLOR is a matter of the terminal, not of the configuration")]
pub(crate) fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var("NO_COLOR").map_or(true, |value| value.is_empty())
}

/// Loads a configuration, or tells what is wrong with it.
pub(crate) fn load(path: &Path) -> Result<Loaded, ExitStatus> {
    match config::load(path, config::environment()) {
        Ok(loaded) => {
            check::show(&loaded.warnings);
            Ok(loaded)
        }
        Err(diagnostics) => {
            check::show(&diagnostics);
            Err(ExitStatus::BadConfig)
        }
    }
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let status = match cli.command {
        Command::Check(args) => check::run(&args),
        Command::Audit(args) => blocking(audit::run(args)),
        Command::Replay(args) => replay::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Run(args) => blocking(run::run(args)),
        Command::Demo(args) => blocking(demo::run(args)),
        Command::Explain(args) => blocking(explain::run(args)),
        Command::SendTest(args) => blocking(send_test::run(args)),
        Command::Incidents(args) => blocking(incidents::run(args)),
        Command::Silence(args) => blocking(silence::run(args)),
        Command::Healthcheck(args) => blocking(healthcheck::run(args)),
    };
    status.into()
}

fn blocking(work: impl Future<Output = ExitStatus>) -> ExitStatus {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            talk(&format!("error: the runtime does not start: {error}"));
            ExitStatus::NotFine
        }
    }
}
