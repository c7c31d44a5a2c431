//! Which bodies may hold the trace of a call: asked of every message, so it is one search, whatever the number of calls.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use memchr::memmem;

use super::{Call, Canary};

/// The member that holds a request id, in whatever wrapper and however escaped.
const MEMBER: &str = "requestID";

/// No request id is longer.
const ID_MAX: usize = 64;

/// A call whose answer never came is looked for by its key this long.
const LOOKED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What tells bodies that may hold an expected event from all others. Without a canary nothing does, and nothing is searched.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    requests: HashSet<String>,
    /// Ids of keys with a call whose request id is not known.
    keys: Vec<String>,
}

impl Hints {
    /// Of all canaries with their calls.
    pub fn new<'c>(all: impl IntoIterator<Item = (&'c Canary, &'c [Call])>, now: Timestamp) -> Self {
        let mut hints = Self::default();
        for (canary, calls) in all {
            hints.requests.extend(calls.iter().filter_map(|call| call.request.clone()));
            let nameless = |call: &Call| {
                call.request.is_none() && call.returned.is_none() && now.duration_since(call.at) < LOOKED_FOR
            };
            if calls.iter().any(nameless)
                && let Some((_, id)) = canary.key.rsplit_once('/')
            {
                hints.keys.push(id.to_owned());
            }
        }
        hints
    }

    /// Nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.keys.is_empty()
    }

    /// False only if no expected event is in it.
    pub fn may_hold(&self, body: &str) -> bool {
        let named = !self.requests.is_empty()
            && memmem::find_iter(body.as_bytes(), MEMBER).any(|at| {
                let rest = body.get(at + MEMBER.len()..).unwrap_or_default();
                id(rest).is_some_and(|id| self.requests.contains(id))
            });
        named || self.keys.iter().any(|key| memmem::find(body.as_bytes(), key.as_bytes()).is_some())
    }
}

/// The id behind the member's name: `": "…"`, the quotes perhaps escaped.
fn id(rest: &str) -> Option<&str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let bytes = rest.as_bytes();
    let from = bytes.iter().take(ID_MAX).position(|byte| is_part(*byte))?;
    let length = bytes.iter().skip(from).take(ID_MAX + 1).take_while(|byte| is_part(**byte)).count();
    rest.get(from..from + length)
}
