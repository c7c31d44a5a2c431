//! Who may go when. Each call has its own pace in each place; who comes too early waits, in the order of coming.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Place;
use super::call::Call;

/// Slowest, as a multiple of the usual distance.
const SLOWEST: f64 = 32.0;
/// How much of a slow-down one good answer takes back.
const RECOVERS: f64 = 0.95;
/// Buckets that are kept; those at rest go first.
const BUCKETS_MAX: usize = 1024;

/// The pace of everybody in this process.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<HashMap<(Place, Call), Bucket>>);

#[derive(Debug)]
struct Bucket {
    /// When the next request has its turn.
    next: Instant,
    slower: f64,
}

impl Pace {
    /// Waits until it is our turn.
    pub(super) async fn wait(&self, place: &Place, call: Call) {
        let wait = self.reserve(place, call, Instant::now());
        if !wait.is_zero() {
            let jitter = distance(call).mul_f64(fastrand::f64() / 4.0);
            tokio::time::sleep(wait + jitter).await;
        }
    }

    /// KMS said that we are too fast: from now on half as fast, and a pause.
    pub(super) fn slow_down(&self, place: &Place, call: Call) {
        let mut buckets = self.buckets();
        let Some(bucket) = buckets.get_mut(&(place.clone(), call)) else { return };
        bucket.slower = (bucket.slower * 2.0).min(SLOWEST);
        let pause = distance(call).mul_f64(bucket.slower).max(Duration::from_millis(500));
        bucket.next = bucket.next.max(Instant::now()) + pause.min(Duration::from_secs(10));
    }

    /// Slowly back to the usual pace.
    pub(super) fn went_well(&self, place: &Place, call: Call) {
        if let Some(bucket) = self.buckets().get_mut(&(place.clone(), call)) {
            bucket.slower = (bucket.slower * RECOVERS).max(1.0);
        }
    }

    /// Takes the next turn, and says how long it is until then. A few may go at once after a rest.
    fn reserve(&self, place: &Place, call: Call, now: Instant) -> Duration {
        let mut buckets = self.buckets();
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| bucket.next > now);
        }
        let bucket = buckets.entry((place.clone(), call)).or_insert(Bucket { next: now, slower: 1.0 });
        let distance = distance(call).mul_f64(bucket.slower);
        // A fifth of a second's worth, and none while KMS asks us to be slow.
        let at_once =
            if bucket.slower > 1.0 { Duration::ZERO } else { Duration::from_millis(200).saturating_sub(distance) };
        let turn = bucket.next.max(now.checked_sub(at_once).unwrap_or(now));
        bucket.next = turn + distance;
        turn.saturating_duration_since(now)
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<(Place, Call), Bucket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between two requests at the usual pace.
fn distance(call: Call) -> Duration {
    Duration::from_secs_f64(1.0 / call.pace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { region: "eu-central-1".to_owned(), role: None }
    }

    /// When each of so many requests goes.
    async fn turns(pace: &Pace, call: Call, number: usize) -> Vec<Duration> {
        let start = Instant::now();
        let mut turns = vec![];
        for _ in 0..number {
            pace.wait(&place(), call).await;
            turns.push(start.elapsed());
        }
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_requests_than_the_quota_allows() {
        for call in Call::ALL {
            let turns = turns(&Pace::default(), call, 300).await;
            for from in &turns {
                let until = *from + Duration::from_secs(1);
                let within = turns.iter().filter(|turn| *from <= **turn && **turn < until).count();
                assert!(within <= call.quota() as usize, "{call:?}: {within} in a second");
            }
            let last = turns.last().unwrap().as_secs_f64();
            assert!(last < 300.0 / call.pace() * 1.3 + 1.0, "{call:?} took {last} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_to_slow_down_does_and_recovers() {
        let pace = Pace::default();
        turns(&pace, Call::ListGrants, 10).await;
        for _ in 0..3 {
            pace.slow_down(&place(), Call::ListGrants);
        }
        let slow = turns(&pace, Call::ListGrants, 10).await;
        assert!(*slow.last().unwrap() > Duration::from_secs(4), "{slow:?}");
        for _ in 0..100 {
            pace.went_well(&place(), Call::ListGrants);
        }
        let start = Instant::now();
        turns(&pace, Call::ListGrants, 50).await;
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn other_calls_and_other_places_have_their_own_pace() {
        let pace = Pace::default();
        turns(&pace, Call::GetKeyLastUsage, 10).await;
        let elsewhere = Place { region: "eu-west-1".to_owned(), role: None };
        let start = Instant::now();
        pace.wait(&elsewhere, Call::GetKeyLastUsage).await;
        pace.wait(&place(), Call::DescribeKey).await;
        assert!(start.elapsed().is_zero());
    }
}
