//! The progress bar on a terminal.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::report::{grouped, size};
use crate::archive::{Found, Walk};
use crate::replay::Progress;

const REDRAW_EVERY: Duration = Duration::from_millis(200);
const WIDTH: usize = 24;

/// Draws until it is dropped; then the line is gone.
pub(super) struct Bar {
    stop: Arc<AtomicBool>,
    drawing: Option<JoinHandle<()>>,
}

impl Bar {
    pub(super) fn start(progress: Arc<Progress>, paths: Vec<PathBuf>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        // Sizes are added up while the reading has begun: nobody waits for it.
        let total = Arc::new(AtomicU64::new(0));
        let (counted, stopped) = (Arc::clone(&total), Arc::clone(&stop));
        std::thread::spawn(move || {
            if let Some(bytes) = measure(&paths, &stopped) {
                counted.store(bytes, Ordering::Relaxed);
            }
        });
        let stopped = Arc::clone(&stop);
        let drawing = std::thread::spawn(move || {
            let started = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let line = line(&progress, total.load(Ordering::Relaxed), started.elapsed());
                draw(&format!("\r{line}\x1b[K"));
                std::thread::park_timeout(REDRAW_EVERY);
            }
            draw("\r\x1b[K");
        });
        Self { stop, drawing: Some(drawing) }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(drawing) = self.drawing.take() {
            drawing.thread().unpark();
            // A bar that failed to draw is no loss.
            drop(drawing.join());
        }
    }
}

fn draw(text: &str) {
    let mut out = std::io::stderr().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads stderr any more");
    }
}

/// The size of everything that will be read; `None` where nobody knows it (standard input) or nobody wants it any more.
fn measure(paths: &[PathBuf], stop: &AtomicBool) -> Option<u64> {
    let mut total = 0;
    for found in Walk::new(paths) {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        if let Found::File(input) = found {
            if input.is_stdin() {
                return None;
            }
            total += std::fs::metadata(&input.path).map_or(0, |metadata| metadata.len());
        }
    }
    Some(total)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to look at")]
fn line(progress: &Progress, total: u64, passed: Duration) -> String {
    let bytes = progress.bytes.load(Ordering::Relaxed);
    let (files, events) = (progress.files.load(Ordering::Relaxed), progress.events.load(Ordering::Relaxed));
    let seconds = passed.as_secs_f64().max(0.001);
    let rate = bytes as f64 / seconds;
    let tail =
        format!("{} files  {} events  {} ({}/s)", grouped(files), grouped(events), size(bytes), size(whole(rate)));
    if total == 0 {
        return format!("reading  {tail}");
    }
    let share = (bytes as f64 / total as f64).min(1.0);
    if share >= 1.0 {
        return format!("deciding  {tail}");
    }
    let full = usize::try_from(whole(share * WIDTH as f64)).unwrap_or(WIDTH).min(WIDTH);
    let left = whole((total - bytes.min(total)) as f64 / rate.max(1.0));
    format!(
        "[{}{}] {:>3} %  {tail}  {}:{:02} left",
        "#".repeat(full),
        ".".repeat(WIDTH - full),
        whole(share * 100.0),
        left / 60,
        left % 60
    )
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative, and far from the bound")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_how_fast_and_how_long() {
        let progress = Progress::default();
        progress.bytes.store(50_000_000, Ordering::Relaxed);
        progress.files.store(1_234, Ordering::Relaxed);
        progress.events.store(5_000_000, Ordering::Relaxed);
        let second = Duration::from_secs(1);
        assert_eq!(
            line(&progress, 200_000_000, second),
            "[######..................]  25 %  1,234 files  5,000,000 events  50.0 MB (50.0 MB/s)  0:03 left"
        );
        assert_eq!(line(&progress, 0, second), "reading  1,234 files  5,000,000 events  50.0 MB (50.0 MB/s)");
        assert!(line(&progress, 50_000_000, second).starts_with("deciding"));
    }

    #[test]
    fn sizes_are_measured_but_for_standard_input() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json"), "12345").unwrap();
        std::fs::write(folder.path().join("b.txt"), "12345").unwrap();
        let (go, halt) = (AtomicBool::new(false), AtomicBool::new(true));
        let paths = [folder.path().to_owned()];
        assert_eq!(measure(&paths, &go), Some(5));
        assert_eq!(measure(&paths, &halt), None);
        assert_eq!(measure(&[PathBuf::from("-")], &go), None);
    }
}
