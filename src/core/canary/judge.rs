//! What the calls of a canary mean now.

use jiff::{SignedDuration, Timestamp};

use super::{Call, Canary};

/// What is known of hearing from the canary's queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ears {
    /// Since when every receive has been answered; `None` while receives fail or rest.
    pub since: Option<Timestamp>,
    pub last_answer: Option<Timestamp>,
    /// When a receive last came back empty: nothing waited then.
    pub last_empty: Option<Timestamp>,
    /// When the last message of any kind came.
    pub last_message: Option<Timestamp>,
    /// How long a message may be invisible that an earlier life of the daemon had in hand.
    pub visibility: SignedDuration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is proven: no call has come back yet, or not lately.
    Waiting,
    /// A call made at `at` came back in time, and nothing is overdue.
    Well {
        at: Timestamp,
        took: SignedDuration,
    },
    Blind(Blind),
}

/// Events do not come, as far as the canary can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blind {
    pub why: Why,
    /// In words, with the last link known good.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// KMS does not answer the call.
    CallFails,
    /// KMS answered, and nothing came of it.
    NothingCame,
    /// It came, too late.
    CameLate,
}

/// Judges the calls of a canary, oldest first.
///
/// A call is overdue only if we could have heard of it: while receives fail, nothing can be said (that has a report of its
/// own), and after a break, such as a restart, what waits in the queue is worked off first.
pub fn judge(canary: &Canary, calls: &[Call], ears: &Ears, now: Timestamp) -> Verdict {
    let good = calls.iter().rposition(|call| call.in_time(canary));
    let since_then = calls.get(good.map_or(0, |at| at + 1)..).unwrap_or_default();
    if let Some((first, error)) = failing(since_then)
        && passed(first.at, canary.slo, now)
    {
        let detail = format!(
            "canary `{}`: {} on {} has failed since {}: {error}. Last link known good: none, the call itself fails. {}",
            canary.name,
            canary.call.event_name(),
            canary.key,
            seconds(first.at),
            last_return(calls)
        );
        return Verdict::Blind(Blind { why: Why::CallFails, detail });
    }
    let made = || since_then.iter().rev().filter(|call| call.failed.is_none());
    if let Some(call) = made().find(|call| is_overdue(canary, call, ears, now)) {
        return Verdict::Blind(blind(canary, call, calls, ears));
    }
    // What may have been missed is no longer well, even where it cannot be told yet.
    let in_doubt = made().any(|call| passed(call.at, canary.slo, now));
    match good.and_then(|at| calls.get(at)).filter(|_| !in_doubt) {
        // One interval later the next call was made, and it has its time to come back, and a minute more.
        Some(call) if !passed(call.at, canary.every + canary.slo + SignedDuration::from_mins(1), now) => {
            Verdict::Well { at: call.at, took: call.took().unwrap_or_default() }
        }
        _ => Verdict::Waiting,
    }
}

/// The first of the calls at the end that all failed, and why the last one did.
fn failing(calls: &[Call]) -> Option<(&Call, String)> {
    let error = calls.last()?.failed.as_ref()?.chars().take(120).collect();
    let from = calls.iter().rposition(|call| call.failed.is_none()).map_or(0, |at| at + 1);
    Some((calls.get(from)?, error))
}

fn is_overdue(canary: &Canary, call: &Call, ears: &Ears, now: Timestamp) -> bool {
    if let Some(took) = call.took() {
        return took > canary.slo;
    }
    if !passed(call.at, canary.slo, now) {
        return false;
    }
    // It might have been in the queue when the last receive began.
    let asked = ears.last_answer.is_some_and(|answer| passed(call.at, canary.slo, answer));
    let Some(since) = ears.since.filter(|_| asked) else { return false };
    let caught_up = ears.last_empty.is_some_and(|empty| passed(since, ears.visibility, empty));
    since <= call.at || caught_up || passed(since, canary.slo, now)
}

fn blind(canary: &Canary, call: &Call, calls: &[Call], ears: &Ears) -> Blind {
    let name = call.request.as_ref().map_or(String::new(), |request| format!(" (request {request})"));
    let made = format!(
        "canary `{}`: KMS answered {} on {} at {}{name}",
        canary.name,
        canary.call.event_name(),
        canary.key,
        seconds(call.at)
    );
    if let Some(took) = call.took() {
        let detail = format!(
            "{made}, and its event came into queue `{}` after {}, not within {}. Last link known good: all of them, but slow",
            canary.queue,
            length(took),
            length(canary.slo)
        );
        return Blind { why: Why::CameLate, detail };
    }
    let others = match ears.last_message {
        Some(at) if at >= call.at => format!(
            "Other messages still come through this queue (the last one at {}): look at the rule's pattern and state, and at whether the trail leaves KMS out",
            seconds(at)
        ),
        Some(at) => format!(
            "The queue is received from, and the last message of any kind came at {}: look at the trail, the rule, its target and the queue's policy",
            seconds(at)
        ),
        None => "The queue is received from, and no message of any kind has come since the start: look at the trail, the rule, its target and the queue's policy".to_owned(),
    };
    let detail = format!(
        "{made}, and its event has not come through queue `{}` within {}. Last link known good: the call to KMS. {others}. {}",
        canary.queue,
        length(canary.slo),
        last_return(calls)
    );
    Blind { why: Why::NothingCame, detail }
}

fn last_return(calls: &[Call]) -> String {
    match calls.iter().filter_map(|call| call.returned).max() {
        Some(at) => format!("Last return: {}", seconds(at)),
        None => "None ever came back".to_owned(),
    }
}

/// Whether so much time lies between the two.
fn passed(from: Timestamp, length: SignedDuration, until: Timestamp) -> bool {
    until.duration_since(from) >= length
}

fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

fn length(length: SignedDuration) -> String {
    format!("{:#}", SignedDuration::from_secs(length.as_secs()))
}
