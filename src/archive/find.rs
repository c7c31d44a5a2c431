//! Which files there are. One folder of the path is open at a time; the list is never held.

use std::fs::{self, DirEntry, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

use super::Input;

/// What a walk comes upon.
#[derive(Debug)]
pub enum Found {
    File(Input),
    /// A digest file of CloudTrail, which holds checksums and no events.
    Digest(PathBuf),
    /// A file in a folder whose name is not an archive's, or a link to a folder.
    Other(PathBuf),
    Unreadable(PathBuf, String),
}

/// Walks over files and folders, in no particular order.
#[derive(Debug)]
pub struct Walk {
    roots: std::vec::IntoIter<PathBuf>,
    open: Vec<ReadDir>,
}

impl Walk {
    pub fn new(paths: &[PathBuf]) -> Self {
        Self { roots: Vec::from(paths).into_iter(), open: Vec::new() }
    }

    fn root(&mut self, path: PathBuf) -> Option<Found> {
        if path.as_os_str() != "-" {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => return self.enter(path),
                Ok(_) if is_digest(&path) => return Some(Found::Digest(path)),
                Ok(_) => {}
                Err(error) => return Some(unreadable(path, &error)),
            }
        }
        Some(Found::File(Input { path, named: true }))
    }

    /// `None` when the folder is open now.
    fn enter(&mut self, folder: PathBuf) -> Option<Found> {
        match fs::read_dir(&folder) {
            Ok(entries) => {
                self.open.push(entries);
                None
            }
            Err(error) => Some(unreadable(folder, &error)),
        }
    }

    fn entry(&mut self, entry: &DirEntry) -> Option<Found> {
        let path = entry.path();
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) => return Some(unreadable(path, &error)),
        };
        if kind.is_dir() {
            return self.enter(path);
        }
        if !is_archive(&path) {
            return Some(Found::Other(path));
        }
        if is_digest(&path) {
            return Some(Found::Digest(path));
        }
        // A link may lead to a file. Links to folders are not followed: they may lead in circles.
        if kind.is_symlink() {
            return match fs::metadata(&path) {
                Ok(target) if target.is_file() => Some(Found::File(Input { path, named: false })),
                Ok(_) => Some(Found::Other(path)),
                Err(error) => Some(unreadable(path, &error)),
            };
        }
        Some(if kind.is_file() { Found::File(Input { path, named: false }) } else { Found::Other(path) })
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let found = if let Some(folder) = self.open.last_mut() {
                match folder.next() {
                    Some(Ok(entry)) => self.entry(&entry),
                    // Which folder it was, the system does not say; its files before this one have been given.
                    Some(Err(error)) => Some(unreadable(PathBuf::from("an entry of a folder"), &error)),
                    None => {
                        self.open.pop();
                        None
                    }
                }
            } else {
                let root = self.roots.next()?;
                self.root(root)
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

fn unreadable(path: PathBuf, error: &io::Error) -> Found {
    Found::Unreadable(path, error.to_string())
}

/// `.json`, `.jsonl` and `.ndjson`, also packed.
fn is_archive(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_ascii_lowercase) else { return false };
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    [".json", ".jsonl", ".ndjson"].iter().any(|end| name.ends_with(end))
}

/// `AWSLogs/…/CloudTrail-Digest/…/111122223333_CloudTrail-Digest_….json.gz` (CloudTrail user guide, "digest file structure").
fn is_digest(path: &Path) -> bool {
    path.components().any(|part| {
        part.as_os_str()
            .to_str()
            .is_some_and(|part| part == "CloudTrail-Digest" || part.contains("_CloudTrail-Digest_"))
    })
}
