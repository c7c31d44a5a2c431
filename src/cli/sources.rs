//! Where commands that work without a configuration take their rules from.

use std::path::{Path, PathBuf};

use super::{ExitStatus, check};
use crate::config::{self, Loaded};

/// Loads the rule files named; else the configuration named; else `kmswatch.toml` if it is there; else the built-in rules.
/// Says whether it was a configuration.
pub(super) fn load(config: Option<&Path>, rules: &[PathBuf]) -> Result<(Loaded, bool), ExitStatus> {
    let default = Path::new(config::DEFAULT_PATH);
    let file = config.or_else(|| default.exists().then_some(default)).filter(|_| rules.is_empty());
    let loaded = match file {
        Some(file) => config::load(file, config::environment()),
        None => config::load_rules(rules),
    };
    match loaded {
        Ok(loaded) => {
            check::show(&loaded.warnings);
            Ok((loaded, file.is_some()))
        }
        Err(findings) => {
            check::show(&findings);
            Err(ExitStatus::BadConfig)
        }
    }
}
