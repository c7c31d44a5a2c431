use super::super::digest;
use super::*;

const HIDE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_hours(24);

struct Bench {
    start: Instant,
    messages: Messages,
}

impl Bench {
    fn with(bodies: &[&str]) -> Self {
        let mut bench = Self { start: Instant::now(), messages: Messages::default() };
        for body in bodies {
            bench.push(body, Duration::ZERO);
        }
        bench
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn push(&mut self, body: &str, delay: Duration) {
        let held = Held::new(format!("id-{body}"), body.into(), digest::of_body(body), 0, self.start);
        self.messages.push(self.start, held, delay);
    }

    fn take(&mut self, seconds: u64, max: usize, receives_max: Option<u32>) -> (Vec<(Receipt, String)>, Taken) {
        let mut seen = vec![];
        let now = self.at(seconds);
        let how = Take { wall: 0, max, visibility: HIDE, retention: DAY, receives_max };
        let taken = self.messages.take(now, how, |receipt, held| {
            seen.push((receipt, held.body.to_string()));
        });
        (seen, taken)
    }

    fn bodies(&mut self, seconds: u64) -> Vec<String> {
        self.take(seconds, 10, None).0.into_iter().map(|(_, body)| body).collect()
    }
}

#[test]
fn a_received_message_is_hidden_until_its_time_and_then_comes_again() {
    let mut bench = Bench::with(&["a", "b"]);
    assert_eq!(bench.bodies(0), ["a", "b"]);
    assert_eq!(bench.messages.next_due(), Some(bench.at(30)));
    assert!(bench.bodies(29).is_empty());
    let (again, _) = bench.take(30, 10, None);
    assert_eq!(again.iter().map(|(receipt, _)| receipt.receives).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_delete_counts_once_and_an_old_receipt_deletes_nothing() {
    let mut bench = Bench::with(&["a"]);
    let first = bench.take(0, 1, None).0[0].0;
    let second = bench.take(31, 1, None).0[0].0;
    assert_eq!(bench.messages.delete(first), None);
    assert!(bench.messages.delete(second).is_some());
    assert_eq!(bench.messages.delete(second), None);
    assert_eq!(bench.messages.depth(bench.at(100)), Depth::default());
}

#[test]
fn a_late_delete_still_deletes_a_message_that_nobody_received_since() {
    let mut bench = Bench::with(&["a"]);
    let receipt = bench.take(0, 1, None).0[0].0;
    assert_eq!(bench.messages.depth(bench.at(40)).visible, 1);
    assert!(bench.messages.delete(receipt).is_some());
    assert!(bench.bodies(40).is_empty());
}

#[test]
fn visibility_can_be_extended_and_given_back() {
    let mut bench = Bench::with(&["a"]);
    let receipt = bench.take(0, 1, None).0[0].0;
    let at = bench.at(20);
    bench.messages.extend(at, receipt, HIDE).unwrap();
    assert!(bench.bodies(49).is_empty(), "hidden until 50");
    let at = bench.at(49);
    bench.messages.extend(at, receipt, Duration::ZERO).unwrap();
    assert_eq!(bench.messages.depth(at), Depth { visible: 1, ..Depth::default() });
    assert_eq!(bench.messages.extend(at, receipt, HIDE), Err(NotExtended::NotInFlight));
    bench.messages.delete(receipt);
    assert_eq!(bench.messages.extend(at, receipt, HIDE), Err(NotExtended::Gone));
}

#[test]
fn a_message_received_too_often_is_dead_and_counts_on_in_its_new_queue() {
    let mut bench = Bench::with(&["a", "b"]);
    assert_eq!(bench.take(0, 1, Some(2)).0.len(), 1);
    assert_eq!(bench.take(31, 2, Some(2)).0.len(), 2, "a for the second time, b for the first");
    let (seen, mut taken) = bench.take(62, 2, Some(2));
    assert_eq!(seen.iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>(), ["b"]);
    let dead = taken.dead.pop().unwrap();
    assert_eq!((dead.id.as_str(), dead.receives), ("id-a", 2));
    let mut other = Bench::with(&[]);
    other.messages.push(other.start, dead, Duration::ZERO);
    let (seen, taken) = other.take(0, 1, Some(1));
    assert_eq!((seen[0].0.receives, taken.dead.len()), (3, 0), "its receives elsewhere do not make it dead here");
}

#[test]
fn delays_and_retention_hold() {
    let mut bench = Bench::with(&[]);
    bench.push("late", Duration::from_secs(5));
    assert_eq!(bench.messages.depth(bench.at(0)), Depth { delayed: 1, ..Depth::default() });
    assert!(bench.bodies(4).is_empty());
    assert_eq!(bench.bodies(5), ["late"]);
    let (seen, taken) = bench.take(24 * 3600 + 6, 1, None);
    assert!(seen.is_empty() && taken.expired_bytes > 0);
}

#[test]
fn quick_deletes_leave_no_pile_of_stale_entries() {
    let mut bench = Bench::with(&[]);
    for _ in 0..20_000 {
        bench.push("x", Duration::ZERO);
        let receipt = bench.take(0, 1, None).0[0].0;
        bench.messages.delete(receipt);
    }
    assert!(bench.messages.due.len() <= 1025, "{}", bench.messages.due.len());
}

#[test]
fn a_purge_empties_all_places() {
    let mut bench = Bench::with(&["a", "b"]);
    bench.take(0, 1, None);
    bench.push("late", Duration::from_secs(5));
    assert!(bench.messages.purge() > 3 * OVERHEAD_BYTES);
    assert_eq!(bench.messages.depth(bench.at(100)), Depth::default());
}
