//! How fast a lane may go: the rate cap, the destination's own `Retry-After`, and a breaker that turns a failing
//! sink's traffic into single probes. All on tokio's clock.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

/// So many failures in a row, of whatever deliveries, and the lane only probes.
const BREAK_AFTER: u32 = 5;

/// Probes of a failing sink are at most so far apart: a page must not wait long for a sink that is back.
const PROBE_CAP: Duration = Duration::from_mins(1);

const BASE: Duration = Duration::from_secs(1);

/// A destination that asks for more is asked again after this long.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Attempts that may follow at once after a quiet time.
const BURST_MAX: u32 = 5;

/// Exponential back-off with full jitter: anything up to `base` × 2^`failures`, or up to `cap`.
pub(super) fn backoff(base: Duration, cap: Duration, failures: u32, rng: &mut Rng) -> Duration {
    let most = base.saturating_mul(2_u32.saturating_pow(failures)).min(cap);
    most.mul_f64(rng.f64())
}

pub(super) struct Pace {
    bucket: Option<Bucket>,
    /// Failures in a row.
    failures: u32,
    /// The destination told us to wait.
    limited_until: Option<Instant>,
    /// The breaker is open.
    probe_at: Option<Instant>,
}

impl Pace {
    pub(super) fn new(max_per_minute: Option<u32>, now: Instant) -> Self {
        let bucket = max_per_minute.filter(|max| *max > 0).map(|max| Bucket::new(max, now));
        Self { bucket, failures: 0, limited_until: None, probe_at: None }
    }

    /// How many attempts may start now, when `aloft` of `slots` are under way.
    pub(super) fn room(&mut self, now: Instant, slots: usize, aloft: usize) -> usize {
        if [self.limited_until, self.probe_at].into_iter().flatten().any(|until| until > now) {
            return 0;
        }
        let free = if self.is_broken() { 1_usize.saturating_sub(aloft) } else { slots.saturating_sub(aloft) };
        match &mut self.bucket {
            Some(bucket) => free.min(bucket.tokens(now)),
            None => free,
        }
    }

    /// When attempts may start again, if no attempt under way has to end first.
    pub(super) fn opens_at(&mut self, now: Instant) -> Instant {
        let token = self.bucket.as_mut().map(|bucket| bucket.next(now));
        [self.limited_until, self.probe_at, token].into_iter().flatten().fold(now, Instant::max)
    }

    pub(super) fn started(&mut self, now: Instant) {
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
    }

    /// The cap was reached and the bucket has not been full since.
    pub(super) fn is_capped(&mut self, now: Instant) -> bool {
        self.bucket.as_mut().is_some_and(|bucket| bucket.is_capped(now))
    }

    pub(super) fn is_broken(&self) -> bool {
        self.failures >= BREAK_AFTER
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.probe_at = None;
    }

    /// An attempt failed, for whatever reason that trying again may mend.
    pub(super) fn failed(&mut self, now: Instant, rng: &mut Rng) {
        self.failures = self.failures.saturating_add(1);
        if self.is_broken() {
            self.probe_at = Some(now + backoff(BASE, PROBE_CAP, self.failures - BREAK_AFTER, rng));
        }
    }

    /// The destination says that we are too fast: nothing starts before its `Retry-After` is over.
    pub(super) fn limited(&mut self, now: Instant, after: Option<Duration>, rng: &mut Rng) {
        let wait = after.unwrap_or_else(|| backoff(BASE, PROBE_CAP, self.failures, rng)).min(RETRY_AFTER_MAX);
        self.limited_until = self.limited_until.max(Some(now + wait));
    }
}

/// Tokens, one an attempt, that come back evenly over the minute.
struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
    capped: bool,
}

impl Bucket {
    fn new(max_per_minute: u32, now: Instant) -> Self {
        let burst = f64::from(max_per_minute.min(BURST_MAX));
        Self { per_second: f64::from(max_per_minute) / 60.0, burst, tokens: burst, filled: now, capped: false }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the burst")]
    fn tokens(&mut self, now: Instant) -> usize {
        let come_back = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + come_back).min(self.burst);
        if self.tokens >= self.burst {
            self.capped = false;
        }
        // The sum of many small steps falls short of the whole by a rounding error.
        (self.tokens + 1e-6) as usize
    }

    fn take(&mut self, now: Instant) {
        self.tokens(now);
        self.tokens = (self.tokens - 1.0).max(0.0);
        if self.tokens < 1.0 {
            self.capped = true;
        }
    }

    fn next(&mut self, now: Instant) -> Instant {
        if self.tokens(now) > 0 {
            return now;
        }
        now + Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / self.per_second) + Duration::from_millis(1)
    }

    fn is_capped(&mut self, now: Instant) -> bool {
        self.tokens(now);
        self.capped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_cap_holds_over_a_minute() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(30), start);
        let mut told = 0;
        for tick in 0..600 {
            let now = start + Duration::from_millis(100) * tick;
            for _ in 0..pace.room(now, 4, 0) {
                pace.started(now);
                told += 1;
            }
        }
        assert!((30..=35).contains(&told), "30 a minute and a burst of 5, was {told}");
        assert!(pace.is_capped(start + seconds(60)));
        assert!(!pace.is_capped(start + seconds(75)), "a quiet time fills the bucket");
    }

    #[test]
    fn the_next_token_is_worth_waiting_for() {
        let now = Instant::now();
        let mut pace = Pace::new(Some(1), now);
        assert_eq!(pace.room(now, 4, 0), 1);
        pace.started(now);
        assert_eq!(pace.room(now, 4, 0), 0);
        let next = pace.opens_at(now);
        assert!(next >= now + seconds(60) && next < now + seconds(61));
        assert_eq!(pace.room(next, 4, 0), 1);
    }

    #[test]
    fn retry_after_stops_the_whole_lane() {
        let (now, mut rng) = (Instant::now(), Rng::with_seed(1));
        let mut pace = Pace::new(None, now);
        pace.limited(now, Some(seconds(30)), &mut rng);
        pace.limited(now, Some(seconds(5)), &mut rng);
        pace.succeeded();
        assert_eq!(pace.room(now + seconds(29), 4, 0), 0, "neither a shorter wait nor a success cuts it short");
        assert_eq!(pace.room(now + seconds(30), 4, 0), 4);
        pace.limited(now, Some(Duration::from_hours(1000)), &mut rng);
        assert!(pace.opens_at(now) <= now + RETRY_AFTER_MAX);
    }

    #[test]
    fn a_failing_sink_is_only_probed() {
        let (now, mut rng) = (Instant::now(), Rng::with_seed(1));
        let mut pace = Pace::new(None, now);
        for _ in 0..BREAK_AFTER {
            assert_eq!(pace.room(now, 4, 0), 4);
            pace.failed(now, &mut rng);
        }
        let later = now + PROBE_CAP;
        assert_eq!((pace.room(later, 4, 0), pace.room(later, 4, 1)), (1, 0));
        for _ in 0..100 {
            pace.failed(now, &mut rng);
            assert!(pace.opens_at(now) <= now + PROBE_CAP);
        }
        pace.succeeded();
        assert_eq!(pace.room(now, 4, 0), 4);
    }

    #[test]
    fn backoff_grows_to_its_cap_and_is_jittered() {
        let mut rng = Rng::with_seed(7);
        let cap = seconds(300);
        for failures in [0, 3, 8, 31, 32, u32::MAX] {
            let most = (0..200).map(|_| backoff(seconds(1), cap, failures, &mut rng)).max().unwrap();
            let bound = seconds(1).saturating_mul(2_u32.saturating_pow(failures)).min(cap);
            assert!(most <= bound && most > bound / 2, "{failures}: {most:?}");
        }
    }
}
