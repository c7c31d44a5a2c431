//! Stopping: one signal that everybody can wait for, and a tear-down in reverse order where every step has a bound.

use std::future::Future;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// The wish that work ends. Cheap to clone; a child stops with its parent but not the other way round.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Asks everybody to stop; doing it twice changes nothing.
    pub fn stop(&self) {
        self.0.cancel();
    }

    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until somebody asks to stop.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }

    /// Runs `work` until it ends or stopping is asked for; `None` means that it was dropped half-way.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.run_until_cancelled(work).await
    }

    /// Sleeps; `false` when stopping cut the sleep short.
    pub async fn sleep(&self, length: Duration) -> bool {
        self.unless_stopped(tokio::time::sleep(length)).await.is_some()
    }
}

/// Named steps that undo what was started, run last first. A step that exceeds its bound is dropped, named in
/// the log, and does not keep the others from running.
#[derive(Default)]
pub struct Teardown {
    steps: Vec<Step>,
}

struct Step {
    name: &'static str,
    bound: Duration,
    work: BoxFuture<'static, ()>,
}

impl Teardown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step that is to run before all that were added earlier.
    pub fn push(&mut self, name: &'static str, bound: Duration, work: impl Future<Output = ()> + Send + 'static) {
        self.steps.push(Step { name, bound, work: Box::pin(work) });
    }

    /// Runs every step; the answer names those that exceeded their bound.
    pub async fn run(mut self) -> Vec<&'static str> {
        let mut late = vec![];
        while let Some(step) = self.steps.pop() {
            tracing::debug!(step = step.name, "stopping");
            if tokio::time::timeout(step.bound, step.work).await.is_err() {
                tracing::warn!(step = step.name, bound = ?step.bound, "did not stop in time, going on without it");
                late.push(step.name);
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_child_stops_with_its_parent_only() {
        let parent = Stop::new();
        let (one, two) = (parent.child(), parent.child());
        one.stop();
        assert!(one.is_stopped() && !two.is_stopped() && !parent.is_stopped());
        parent.stop();
        assert!(two.is_stopped());
        assert!(!two.sleep(Duration::from_hours(1)).await);
        assert_eq!(two.unless_stopped(std::future::pending::<()>()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn steps_run_in_reverse_and_a_hanging_one_is_left_behind() {
        let order = Arc::new(Mutex::new(vec![]));
        let note = |name: &'static str| {
            let order = order.clone();
            async move { order.lock().unwrap().push(name) }
        };
        let mut teardown = Teardown::new();
        teardown.push("store", Duration::from_secs(1), note("store"));
        teardown.push("hang", Duration::from_secs(5), std::future::pending());
        teardown.push("ingest", Duration::from_secs(1), note("ingest"));
        let before = tokio::time::Instant::now();
        assert_eq!(teardown.run().await, ["hang"]);
        assert_eq!(before.elapsed(), Duration::from_secs(5));
        assert_eq!(*order.lock().unwrap(), ["ingest", "store"]);
    }
}
