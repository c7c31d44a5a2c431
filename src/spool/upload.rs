//! Puts closed files into the bucket, the oldest first, and removes them once they are there.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::bufread::GzEncoder;
use tokio::time::Instant;

use super::Reporter;
use super::files::Folder;
use super::s3::{PutError, S3};
use crate::base::stop::Stop;
use crate::base::telemetry;

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// What breaks for a moment mends itself; people hear of what lasts.
const REPORT_AFTER: Duration = Duration::from_mins(5);
const REPORT_EVERY: Duration = Duration::from_mins(15);
/// What comes and goes is not told each time.
const WELL_AFTER: Duration = Duration::from_mins(1);
/// The folder is looked at this often, also if nobody says that a file was closed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Uploader {
    pub(super) folder: Arc<Folder>,
    pub(super) s3: S3,
    pub(super) reporter: Arc<dyn Reporter>,
    pub(super) stop: Stop,
}

/// How it has gone so far.
pub(super) struct Course {
    pause: Duration,
    failing_since: Option<Instant>,
    last_trouble: Option<Instant>,
    /// When people were last told that it fails.
    reported: Option<Instant>,
    /// They were told, or it is not known: an earlier life may have told them.
    owes_recovery: bool,
    /// Files that are in the bucket and could not be removed: they are not put there again and again.
    pub(super) stuck: HashSet<PathBuf>,
}

impl Course {
    pub(super) fn new() -> Self {
        Self {
            pause: PAUSE_MIN,
            failing_since: None,
            last_trouble: None,
            reported: None,
            owes_recovery: true,
            stuck: HashSet::new(),
        }
    }
}

impl Uploader {
    /// Runs until stopped; then what is closed is tried once more.
    pub(super) async fn run(self) {
        let mut course = Course::new();
        loop {
            let stopping = self.stop.is_stopped();
            let failed = if self.folder.is_open() { self.upload_all(&mut course, stopping).await } else { None };
            self.judge(&mut course, failed.as_ref());
            if stopping {
                return;
            }
            let wait = if failed.is_some() { course.pause.mul_f64(0.75 + fastrand::f64() / 2.0) } else { LOOK_EVERY };
            tokio::select! {
                () = self.stop.stopped() => {}
                () = self.folder.closed.notified(), if failed.is_none() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// A bucket that refuses one file refuses the next, so its first failure ends it. A file that cannot be read, or removed, holds up no
    /// other. Told to stop, it goes on to the end.
    pub(super) async fn upload_all(&self, course: &mut Course, stopping: bool) -> Option<PutError> {
        let waiting = match self.folder.waiting() {
            Ok(waiting) => waiting,
            Err(error) => return Some(PutError::local(&format!("the archive's spool cannot be read: {error}"))),
        };
        course.stuck.retain(|path| waiting.contains(path));
        for path in waiting {
            if !stopping && self.stop.is_stopped() {
                return None;
            }
            let Some(key) = self.folder.key(&path) else {
                // It must not hold up the others.
                self.folder.complain(&format!("`{}` is not a file of the archive; take it away", path.display()));
                continue;
            };
            match self.upload(&path, &key, &mut course.stuck).await {
                Ok(()) => telemetry::archive_upload("done"),
                Err(Failed::File(detail)) => {
                    telemetry::archive_upload("failed");
                    self.folder.complain(&detail);
                }
                Err(Failed::Bucket(error)) => {
                    telemetry::archive_upload("failed");
                    tracing::warn!(file = %path.display(), %error, "a file of the archive could not be put into the bucket");
                    return Some(error);
                }
            }
        }
        None
    }

    async fn upload(&self, path: &Path, key: &str, stuck: &mut HashSet<PathBuf>) -> Result<(), Failed> {
        let failed =
            |what: &str, error: &io::Error| Failed::File(format!("`{}` cannot be {what}: {error}", path.display()));
        if !stuck.contains(path) {
            let packed = packed(path.to_owned()).await.map_err(|error| failed("read", &error))?;
            self.s3.put(key, packed).await.map_err(Failed::Bucket)?;
        }
        let removed = std::fs::metadata(path).and_then(|file| std::fs::remove_file(path).map(|()| file.len()));
        match removed {
            Ok(length) => self.folder.shrunk(length),
            // Somebody else took it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                stuck.insert(path.to_owned());
                return Err(failed("removed", &error));
            }
        }
        Ok(())
    }

    pub(super) fn judge(&self, course: &mut Course, failed: Option<&PutError>) {
        let lost = self.folder.trouble();
        let now = Instant::now();
        if failed.is_some() {
            course.pause = (course.pause * 2).min(PAUSE_MAX);
            course.failing_since.get_or_insert(now);
        } else {
            (course.pause, course.failing_since) = (PAUSE_MIN, None);
        }
        let lasts = course.failing_since.is_some_and(|since| now.duration_since(since) >= REPORT_AFTER);
        let detail = lost.or_else(|| failed.filter(|error| error.needs_a_person || lasts).map(ToString::to_string));
        if let Some(detail) = detail {
            course.last_trouble = Some(now);
            if course.reported.is_none_or(|at| now.duration_since(at) >= REPORT_EVERY) {
                course.reported = Some(now);
                course.owes_recovery = true;
                self.reporter.archive_failing(&detail);
            }
        } else if failed.is_none()
            && self.folder.is_open()
            && course.owes_recovery
            && course.last_trouble.is_none_or(|at| now.duration_since(at) >= WELL_AFTER)
        {
            (course.reported, course.owes_recovery) = (None, false);
            self.reporter.archive_works();
        }
    }
}

/// Why a file is still there.
enum Failed {
    /// It is this file that is wrong.
    File(String),
    Bucket(PutError),
}

/// The file, packed; the same bytes each time.
async fn packed(path: PathBuf) -> io::Result<Vec<u8>> {
    let work = move || {
        let file = File::open(path)?;
        let mut packed = Vec::new();
        io::copy(&mut GzEncoder::new(io::BufReader::new(file), Compression::default()), &mut packed)?;
        Ok(packed)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(io::Error::other("packing was interrupted")))
}
