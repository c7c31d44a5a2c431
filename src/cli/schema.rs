//! `kmswatch schema`: the JSON Schema of the configuration, for editors.

use super::{ExitStatus, say};
use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The schema of rule files instead of the configuration's.
    #[arg(long)]
    rules: bool,
}

/// Prints the schema, draft 2020-12.
pub(super) fn run(args: &Args) -> ExitStatus {
    let schema = if args.rules { config::rule_file_schema() } else { config::schema() };
    say(&format!("{schema:#}"));
    ExitStatus::Fine
}
