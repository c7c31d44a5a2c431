//! One daemon for one file. Two would each lease, prune and tell; the kernel keeps them apart with a lock on a file beside the
//! store, and gives the lock back whatever way its holder ends. Commands work on the store without it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Config, file_error, prepare};
use crate::store::{StoreError, StoreErrorKind};

/// Longest process id that is read back.
const PID_MAX: u64 = 20;

/// Takes the lock; it is held until the file is dropped.
pub(in crate::store) fn hold(config: &Config) -> Result<File, StoreError> {
    let path = std::path::absolute(&config.path).map_err(|error| file_error(&config.path, &error))?;
    prepare(&path)?;
    let beside = beside(&path)?;
    // A lock on the store's own file would be lost when any other handle to it is closed.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&beside)
        .map_err(|error| file_error(&beside, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(&path, &file)),
        Err(TryLockError::Error(error)) => return Err(file_error(&beside, &error)),
    }
    // For people only: the lock itself is the kernel's.
    if let Err(error) = sign(&mut file) {
        tracing::warn!(path = %beside.display(), %error, "the lock is held, but not signed");
    }
    Ok(file)
}

/// One file has one lock, whatever names lead to it.
fn beside(path: &Path) -> Result<PathBuf, StoreError> {
    let mut name = path.canonicalize().map_err(|error| file_error(path, &error))?.into_os_string();
    name.push(".lock");
    Ok(PathBuf::from(name))
}

fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn held(path: &Path, file: &File) -> StoreError {
    let mut text = String::new();
    let who = match file.take(PID_MAX).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(pid) => format!("another kmswatch (process {pid})"),
        None => "another kmswatch".to_owned(),
    };
    let detail = format!(
        "{}: {who} runs on this file; stop it first, or give this one a [store.sqlite] path of its own",
        path.display()
    );
    StoreError::new(StoreErrorKind::Locked, detail)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::Store as _;

    fn config(folder: &tempfile::TempDir, name: &str) -> Config {
        Config { path: folder.path().join(name) }
    }

    #[tokio::test]
    async fn a_file_has_one_daemon_and_any_number_of_commands() {
        let folder = tempfile::tempdir().unwrap();
        let first = hold(&config(&folder, "state.db")).unwrap();
        let mode = std::fs::metadata(folder.path().join("state.db.lock")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let refused = hold(&config(&folder, "state.db")).unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Locked);
        assert!(refused.detail.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(hold(&config(&folder, "other.db")).is_ok(), "another file is another matter");
        for _ in 0..2 {
            super::super::open(&config(&folder, "state.db")).await.unwrap().close().await;
        }
        assert!(hold(&config(&folder, "state.db")).is_err(), "what a command closes is not the lock");
        drop(first);
        assert!(hold(&config(&folder, "state.db")).is_ok(), "what is left of the file holds nobody");
    }

    #[test]
    fn another_name_is_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let _held = hold(&config(&folder, "state.db")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("state.db"), folder.path().join("alias.db")).unwrap();
        assert!(hold(&config(&folder, "alias.db")).is_err());
    }

    #[test]
    fn a_lock_that_nobody_signed_is_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let held = hold(&config(&folder, "state.db")).unwrap();
        held.set_len(0).unwrap();
        let refused = hold(&config(&folder, "state.db")).unwrap_err();
        assert!(refused.detail.contains("another kmswatch runs on this file"), "{refused}");
    }
}
