//! Notices when the configuration's files say something else than before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Editors and `ConfigMap`s make several changes at once; the last one counts.
const SETTLE: Duration = Duration::from_millis(500);

/// Watches the folders of files, because a `ConfigMap` changes by swapping a symbolic link. Other things may live in these
/// folders too, the store's own file for one, so what counts is what the files hold, not that something stirred.
pub(super) struct Watch {
    files: Vec<PathBuf>,
    seen: Contents,
    stirred: Arc<Notify>,
    /// `None` where nothing can be watched: SIGHUP still works.
    _watcher: Option<notify::RecommendedWatcher>,
}

/// What each file holds, and which names each folder has.
type Contents = BTreeMap<PathBuf, Vec<u8>>;

impl Watch {
    /// `files` may hold folders, in which new files matter.
    pub(super) fn start(files: Vec<PathBuf>) -> Self {
        let stirred = Arc::new(Notify::new());
        let watcher = watcher(&files, &stirred);
        Self { seen: contents(&files), files, stirred, _watcher: watcher }
    }

    /// Waits until the files hold something else than when they were last looked at.
    pub(super) async fn changed(&mut self) {
        loop {
            self.stirred.notified().await;
            tokio::time::sleep(SETTLE).await;
            if self.look() {
                return;
            }
        }
    }

    /// Takes note of what the files hold; whether that is something new.
    pub(super) fn look(&mut self) -> bool {
        let now = contents(&self.files);
        let new = now != self.seen;
        self.seen = now;
        new
    }

    /// Watches these files from now on.
    pub(super) fn follow(&mut self, files: Vec<PathBuf>) {
        if files != self.files {
            *self = Self::start(files);
        }
    }
}

fn contents(files: &[PathBuf]) -> Contents {
    // What cannot be read holds nothing; loading it says why.
    files
        .iter()
        .map(|file| (file.clone(), if file.is_dir() { names(file) } else { fs::read(file).unwrap_or_default() }))
        .collect()
}

fn names(folder: &Path) -> Vec<u8> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let names: BTreeSet<Vec<u8>> = entries.map(|entry| entry.file_name().into_encoded_bytes()).collect();
    names.into_iter().flat_map(|name| [name, vec![0]].concat()).collect()
}

fn watcher(files: &[PathBuf], stirred: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let tell = Arc::clone(stirred);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            tell.notify_one();
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "files cannot be watched; send SIGHUP after a change");
            return None;
        }
    };
    let folders: BTreeSet<PathBuf> = files
        .iter()
        .map(|file| if file.is_dir() { file.clone() } else { file.parent().map_or_else(PathBuf::new, PathBuf::from) })
        .map(|folder| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder })
        .collect();
    for folder in folders {
        if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, folder = %folder.display(), "a folder cannot be watched; send SIGHUP after a change");
        }
    }
    Some(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a change was noticed, well after one would have been.
    async fn notices(watch: &mut Watch) -> bool {
        tokio::time::timeout(SETTLE * 4, watch.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn only_what_the_files_hold_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kmswatch.toml");
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::start(vec![file.clone()]);
        // The store may well live beside its configuration.
        fs::write(folder.path().join("state.db"), "rows").unwrap();
        fs::write(&file, "one").unwrap();
        assert!(!notices(&mut watch).await, "nothing has changed");
        fs::write(&file, "two").unwrap();
        assert!(notices(&mut watch).await);
        assert!(!notices(&mut watch).await, "it was noticed already");
    }

    #[tokio::test]
    async fn a_swapped_link_and_a_new_file_in_a_folder_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("first"), "one").unwrap();
        fs::write(path("second"), "two").unwrap();
        std::os::unix::fs::symlink("first", path("kmswatch.toml")).unwrap();
        let mut watch = Watch::start(vec![path("kmswatch.toml")]);
        std::os::unix::fs::symlink("second", path("new")).unwrap();
        fs::rename(path("new"), path("kmswatch.toml")).unwrap();
        assert!(notices(&mut watch).await);

        watch.follow(vec![path("kmswatch.toml"), folder.path().to_owned()]);
        fs::write(path("another.toml"), "").unwrap();
        assert!(notices(&mut watch).await);
    }
}
