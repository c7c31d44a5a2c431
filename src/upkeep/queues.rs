//! What queues say of themselves: a filled DLQ, a backlog, too many messages in flight, a key of their own that is in danger.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::Upkeep;
use crate::base::telemetry;
use crate::core::decide::OwnSubject;
use crate::core::enrich::Lookup;
use crate::core::event::KeyRef;
use crate::core::signals::{self, Limits, Numbers, Word};
use crate::queue::{Queue, QueueFacts};
use crate::store::IncidentFilter;

/// A queue that does not say within this how it is, is asked again next time.
const FACTS_WITHIN: Duration = Duration::from_secs(10);

/// Open incidents that are looked through for one about a queue's key.
const OPEN_MAX: usize = 1000;

/// A queue, and from where on its numbers are trouble.
pub struct Watched {
    pub queue: Arc<dyn Queue>,
    pub limits: Limits,
}

/// What was last said of each queue.
#[derive(Default)]
pub(super) struct Signals {
    /// By subject: whether it is in trouble.
    said: HashMap<OwnSubject, bool>,
    /// By queue: whether its messages were late at the last look.
    late: HashMap<String, bool>,
    /// By queue: the key that its note speaks of.
    keys: HashMap<String, Option<String>>,
}

impl Signals {
    /// Looks at every queue once.
    pub(super) async fn look(&mut self, upkeep: &Upkeep) {
        for watched in &upkeep.queues {
            let name = watched.queue.name();
            // Timers and a failing store wait meanwhile.
            let facts = match tokio::time::timeout(FACTS_WITHIN, watched.queue.facts()).await {
                Ok(Ok(facts)) => facts,
                Ok(Err(error)) => {
                    tracing::debug!(queue.name = name, %error, "the queue's attributes could not be read");
                    QueueFacts::default()
                }
                Err(_) => {
                    tracing::debug!(queue.name = name, "the queue's attributes were not told in time");
                    QueueFacts::default()
                }
            };
            self.dead_letters(upkeep, name, &facts).await;
            self.numbers(upkeep, watched, &facts).await;
            self.key(upkeep, name, &facts).await;
        }
    }

    /// Messages in a DLQ were given up: somebody has to look.
    async fn dead_letters(&mut self, upkeep: &Upkeep, name: &str, facts: &QueueFacts) {
        let dead = facts.dead_letters.as_ref().and_then(|letters| letters.depth.as_ref().ok()).copied();
        telemetry::queue_depth(name, facts.waiting, facts.in_flight, dead);
        let word = match dead {
            None => Word::Nothing,
            Some(0) => Word::Well("the dead-letter queue is empty".to_owned()),
            Some(messages) => Word::Trouble(format!("{messages} messages in the dead-letter queue of `{name}`")),
        };
        self.say(upkeep, OwnSubject::DeadLetters { queue: name.to_owned() }, word).await;
    }

    async fn numbers(&mut self, upkeep: &Upkeep, watched: &Watched, facts: &QueueFacts) {
        let name = watched.queue.name();
        let oldest = upkeep.health.take_oldest(name);
        match (oldest, facts.waiting) {
            (Some(age), _) => telemetry::queue_oldest(name, age),
            (None, Some(0)) => telemetry::queue_oldest(name, Duration::ZERO),
            (None, _) => {}
        }
        let numbers = Numbers {
            oldest: oldest.map(|age| SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX)),
            waiting: facts.waiting,
            in_flight: facts.in_flight,
        };
        let late = numbers.oldest.is_some_and(|oldest| oldest > watched.limits.behind_after);
        let late_before = self.late.insert(name.to_owned(), late).unwrap_or(false);
        let word = signals::behind(watched.limits, late_before, numbers);
        self.say(upkeep, OwnSubject::Behind { queue: name.to_owned() }, word).await;
        let word = signals::in_flight(watched.limits, numbers);
        self.say(upkeep, OwnSubject::InFlight { queue: name.to_owned() }, word).await;
    }

    /// A queue that is encrypted with a key of the account's own is as safe as that key.
    async fn key(&mut self, upkeep: &Upkeep, name: &str, facts: &QueueFacts) {
        let subject = OwnSubject::QueueKey { queue: name.to_owned() };
        if facts.arn.is_none() {
            // It did not say: what was known of its key stands.
            return;
        }
        let changed = self.keys.get(name) != Some(&facts.kms_key);
        let Some(master_key) = facts.kms_key.as_deref() else {
            upkeep.health.note_queue(name, None);
            self.keys.insert(name.to_owned(), None);
            self.say(upkeep, subject, Word::Well("the queue has no key of its own".to_owned())).await;
            return;
        };
        if changed {
            let note = format!(
                "it is encrypted with the KMS key {master_key}: whoever disables that key makes kmswatch deaf; SSE-SQS needs no key"
            );
            tracing::warn!(queue.name = name, "queue: {note}");
            upkeep.health.note_queue(name, Some(note));
            self.keys.insert(name.to_owned(), Some(master_key.to_owned()));
        }
        let names = signals::key_names(master_key, facts.arn.as_deref());
        let key = KeyRef { arn: names.first().filter(|name| name.contains(":key/")).cloned(), ..KeyRef::default() };
        let looked_up = if key.arn.is_some() { upkeep.lookups.describe(&key).await } else { Lookup::Off };
        // An answer that could not be had is no good news.
        let unsure = matches!(looked_up, Lookup::Denied | Lookup::TimedOut | Lookup::Failed(_));
        let state = match looked_up {
            Lookup::Known(details) => details.state,
            Lookup::NotFound => Some("gone".to_owned()),
            _ => None,
        };
        let filter = IncidentFilter { open: true, limit: OPEN_MAX };
        let Ok(open) = upkeep.engine.store().incidents(&filter).await else { return };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match signals::queue_key(&names, state.as_deref(), &open) {
            Word::Well(_) if unsure => {}
            word => self.say(upkeep, subject, word).await,
        }
    }

    /// Says it where it is news. What an earlier life of the daemon said is taken back at the first good word.
    async fn say(&mut self, upkeep: &Upkeep, subject: OwnSubject, word: Word) {
        let (trouble, detail) = match word {
            Word::Trouble(detail) => (true, detail),
            Word::Well(detail) => (false, detail),
            Word::Nothing => return,
        };
        if self.said.get(&subject) == Some(&trouble) {
            return;
        }
        let done = if trouble {
            upkeep.engine.report(&subject, &detail).await;
            true
        } else {
            upkeep.engine.retract(&subject, &detail).await
        };
        if done {
            self.said.insert(subject, trouble);
        }
    }
}
