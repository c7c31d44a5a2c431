//! One JSON object a line, appended to a file and synchronised after each, for log shippers.
//!
//! Others rotate the file: it is opened again when its path leads to another one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::Deserialize;
use serde_spanned::Spanned;

use super::{BodyFormat, BuildError, Character, Class, DeliveryError, Dispatch, FailReason, Receipt, Sink, SinkContext};
use crate::base::diagnostic::Problem;

/// `[sinks.<name>.file]`
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to append. The folder must exist; the file is created, readable by its owner and group.
    #[schemars(with = "PathBuf")]
    pub path: Spanned<PathBuf>,
    /// What a line holds. Default: `kmswatch`.
    #[serde(default)]
    pub format: BodyFormat,
}

impl Config {
    pub const MAX_PER_MINUTE: Option<u32> = None;

    pub fn check(&self, _: Range<usize>, problems: &mut Vec<Problem>) {
        if !self.path.get_ref().is_absolute() {
            problems.push(
                Problem::error(self.path.span(), "`path` is not absolute")
                    .hint("a relative path depends on where the daemon is started; write it from `/` on"),
            );
        }
    }

    pub fn build(&self, _: &SinkContext) -> Result<Arc<dyn Sink>, BuildError> {
        Ok(Arc::new(Appender { path: self.path.get_ref().clone(), format: self.format, open: Arc::default() }))
    }
}

struct Appender {
    path: PathBuf,
    format: BodyFormat,
    open: Arc<Mutex<Option<Open>>>,
}

struct Open {
    file: File,
    identity: (u64, u64),
    /// The last write failed midway: the next one starts on a line of its own.
    torn: bool,
}

#[async_trait]
impl Sink for Appender {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn character(&self) -> Character {
        Character::Machine
    }

    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError> {
        let line = self.format.line(dispatch);
        self.with_file(move |path, open| append(path, open, &line)).await.map(|()| Receipt::default())
    }

    async fn probe(&self) -> Result<(), DeliveryError> {
        self.with_file(|path, open| current(path, open).map(drop)).await
    }
}

impl Appender {
    /// Runs blocking file work off the loops' threads, one at a time.
    async fn with_file<F>(&self, work: F) -> Result<(), DeliveryError>
    where
        F: FnOnce(&Path, &mut Option<Open>) -> io::Result<()> + Send + 'static,
    {
        let (path, open) = (self.path.clone(), Arc::clone(&self.open));
        let done = tokio::task::spawn_blocking(move || work(&path, &mut open.lock().unwrap_or_else(PoisonError::into_inner)));
        let failed = match done.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the write was interrupted".to_owned(),
        };
        let detail = format!("{}: {failed}", self.path.display());
        Err(DeliveryError::new(Class::Retry { after: None }, FailReason::Io, detail).unknown())
    }
}

fn append(path: &Path, open: &mut Option<Open>, line: &str) -> io::Result<()> {
    let open = current(path, open)?;
    if open.torn {
        open.file.write_all(b"\n")?;
    }
    open.torn = true;
    open.file.write_all(line.as_bytes())?;
    open.torn = false;
    open.file.sync_data()
}

/// The open file, if the path still leads to it; else the one it leads to now.
fn current<'a>(path: &Path, open: &'a mut Option<Open>) -> io::Result<&'a mut Open> {
    let there = std::fs::metadata(path).ok().map(|data| (data.dev(), data.ino()));
    if let Some(same) = open.take().filter(|open| Some(open.identity) == there) {
        return Ok(open.insert(same));
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let data = file.metadata()?;
    Ok(open.insert(Open { file, identity: (data.dev(), data.ino()), torn: false }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sink::kit;
    use crate::sink::sample::Sample;

    fn sink(path: &Path) -> Arc<dyn Sink> {
        Config { path: Spanned::new(0..0, path.to_owned()), format: BodyFormat::Kmswatch }.build(&kit::context()).unwrap()
    }

    #[tokio::test]
    async fn lines_are_appended_and_a_rotated_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notifications.jsonl");
        let sink = sink(&path);
        let n = kit::sample(Sample::KeyDisabled);
        sink.deliver(&kit::dispatch(&n)).await.unwrap();
        sink.deliver(&kit::dispatch(&n)).await.unwrap();
        fs::rename(&path, folder.path().join("rotated")).unwrap();
        sink.deliver(&kit::dispatch(&n)).await.unwrap();
        let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().is_object()).count();
        assert_eq!((lines(&folder.path().join("rotated")), lines(&path)), (2, 1));
    }

    #[tokio::test]
    async fn a_missing_folder_is_retried_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/file.jsonl");
        let sink = sink(&path);
        let n = kit::sample(Sample::KeyDisabled);
        let error = sink.deliver(&kit::dispatch(&n)).await.unwrap_err();
        assert!(matches!(error.class, Class::Retry { .. }) && error.detail.contains("file.jsonl"), "{error}");
        assert!(sink.probe().await.is_err());
        fs::create_dir(folder.path().join("later")).unwrap();
        sink.deliver(&kit::dispatch(&n)).await.unwrap();
    }

    #[test]
    fn half_a_line_is_closed_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "{\"half").unwrap();
        let mut open = None;
        current(&path, &mut open).unwrap().torn = true;
        append(&path, &mut open, "{}\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"half\n{}\n");
    }

    #[test]
    fn a_relative_path_is_refused() {
        let mut problems = vec![];
        Config { path: Spanned::new(3..7, "a.jsonl".into()), format: BodyFormat::Kmswatch }.check(0..0, &mut problems);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].span, 3..7);
    }
}
