//! Notices when the configuration's files say something else than before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Editors and `ConfigMap`s make several changes at once; the last one counts.
const SETTLE: Duration = Duration::from_millis(500);

/// How often the files are looked at. The kernel could tell, but not on every filesystem, and it would tell of each write to a store
/// whose file lives in the same folder.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks at files again and again. What counts is what they hold, not that something stirred; they are read only when something did.
pub(super) struct Watch {
    files: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    seen: Contents,
}

/// What each file holds, and which names each folder has.
type Contents = BTreeMap<PathBuf, Vec<u8>>;

/// What changes with a file, and with what a link leads to: device, inode, length and times. `None`: it is not there.
type Stamp = Option<[i64; 7]>;

impl Watch {
    /// `files` may hold folders, in which new files matter.
    pub(super) fn start(files: Vec<PathBuf>) -> Self {
        Self { stamps: stamps(&files), seen: contents(&files), files }
    }

    /// Waits until the files hold something else than when they were last looked at.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if stamps(&self.files) == self.stamps {
                continue;
            }
            tokio::time::sleep(SETTLE).await;
            if self.look() {
                return;
            }
        }
    }

    /// Takes note of what the files hold; whether that is something new.
    pub(super) fn look(&mut self) -> bool {
        // Before what they hold: a change in between is seen next time.
        self.stamps = stamps(&self.files);
        let now = contents(&self.files);
        let new = now != self.seen;
        self.seen = now;
        new
    }

    /// Looks at these files from now on.
    pub(super) fn follow(&mut self, files: Vec<PathBuf>) {
        if files != self.files {
            *self = Self::start(files);
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let meta = fs::metadata(file).ok()?;
        let (device, inode) = (meta.dev().cast_signed(), meta.ino().cast_signed());
        let length = meta.len().cast_signed();
        Some([device, inode, length, meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()])
    };
    files.iter().map(stamp).collect()
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
