//! The virtual environment that `tests/run` makes of `tests/requirements.txt`.

use std::io::Write as _;
use std::path::PathBuf;

/// Set by `tests/run`: where the virtual environment is.
const VENV: &str = "KMSWATCH_TEST_VENV";

/// The virtual environment, or a loud note that the test is skipped.
pub(crate) fn venv(test: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests are told of their environment by the script that runs them")]
    let path = std::env::var(VENV).ok().map(PathBuf::from);
    if path.is_none() {
        // Not `eprintln!`, which the test harness swallows while the test passes.
        writeln!(std::io::stderr(), "\n=== SKIPPED: {test} needs {VENV}, which `tests/run` sets ===").ok();
    }
    path
}
