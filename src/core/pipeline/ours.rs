//! Which queues and EventBridge rules are ours.

use super::Place;
use crate::core::event::Event;

/// A queue that we receive from, as far as the configuration says where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OurQueue {
    pub name: String,
    /// `None`: any.
    pub region: Option<String>,
    /// `None`: the account in which an event happens.
    pub account: Option<String>,
    /// Names of the `EventBridge` rules that fill it, where the configuration gives them.
    pub rules: Vec<String>,
}

/// The queues that we receive from, and the rules that fill them. The default knows none, and goes by names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ours {
    queues: Vec<OurQueue>,
}

/// What the names of everything hold that the template makes.
const OUR_NAME: &str = "kmswatch";

impl Ours {
    pub fn new(queues: impl IntoIterator<Item = OurQueue>) -> Self {
        Self { queues: queues.into_iter().collect() }
    }

    /// Whether it is a queue that we receive from.
    pub(super) fn reads(&self, place: Place<'_>, event: &Event) -> bool {
        self.queues.iter().any(|queue| {
            let owner = queue.account.as_deref().or(event.account.as_deref());
            queue.name == place.name
                && queue.region.as_deref().is_none_or(|region| region == place.region)
                && owner == Some(place.account)
        })
    }

    /// Whether what is sent to a queue comes to us. Where no queue of ours is known in the Region of the event, one of its own account
    /// and Region is ours by its name.
    pub(super) fn receives(&self, place: Place<'_>, event: &Event) -> bool {
        let here = |region: Option<&str>| region.is_none() || region == event.region.as_deref();
        if self.queues.iter().any(|queue| here(queue.region.as_deref())) {
            return self.reads(place, event);
        }
        let home = (event.region.as_deref(), event.account.as_deref());
        self.names(place.name) && home == (Some(place.region), Some(place.account))
    }

    /// Whether the configuration says of a rule that it fills one of our queues.
    pub(super) fn has_rule(&self, rule: &str) -> bool {
        self.queues.iter().flat_map(|queue| &queue.rules).any(|ours| ours.eq_ignore_ascii_case(rule))
    }

    /// Whether a queue or a rule is called as ours are: with "kmswatch" in the name, like a queue that we receive from, or
    /// like that with a hyphen and more, such as its dead-letter queue. Case does not count.
    pub(super) fn names(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let is_like = |queue: &OurQueue| {
            let rest = name.strip_prefix(&queue.name.to_ascii_lowercase());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        name.contains(OUR_NAME) || self.queues.iter().any(is_like)
    }
}
