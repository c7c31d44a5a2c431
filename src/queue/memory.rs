//! A queue inside this process, with SQS's semantics: visibility, receive counts, dead letters. Time is tokio's, so tests
//! may pause it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{BATCH_MAX, DeadLetters, DeleteFailed, Handle, Message, Queue, QueueError, QueueFacts};

/// A queue that lives as long as its process.
#[derive(Debug)]
pub struct MemoryQueue {
    name: String,
    visibility: Duration,
    wait: Duration,
    /// Receives after which a message becomes a dead letter.
    receives_max: Option<u32>,
    state: Mutex<State>,
    /// Something was sent, given back or made to fail.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// In the order they were sent.
    messages: Vec<Held>,
    dead: Vec<Message>,
    /// Errors for the next calls, oldest first.
    failures: VecDeque<QueueError>,
    serial: u64,
}

#[derive(Debug)]
struct Held {
    /// As the last receive handed it out.
    message: Message,
    visible_at: Instant,
    received: bool,
}

impl MemoryQueue {
    pub fn new(name: &str, visibility: Duration, wait: Duration) -> Self {
        Self {
            name: name.to_owned(),
            visibility,
            wait,
            receives_max: None,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Messages received more often than this become dead letters.
    #[must_use]
    pub fn dead_letters_after(mut self, receives: u32) -> Self {
        self.receives_max = Some(receives);
        self
    }

    /// Puts a message in; answers its id.
    pub fn send(&self, body: impl Into<String>, sent_at: Option<Timestamp>) -> String {
        self.send_with(body, sent_at, vec![])
    }

    /// Puts a message in that carries attributes, as an EventBridge target's dead-letter queue adds them.
    pub fn send_with(
        &self,
        body: impl Into<String>,
        sent_at: Option<Timestamp>,
        attributes: Vec<(String, String)>,
    ) -> String {
        let mut state = self.state();
        state.serial += 1;
        let id = format!("{}-{}", self.name, state.serial);
        let message = Message {
            id: id.clone(),
            handle: Handle(String::new()),
            body: body.into(),
            sent_at,
            receive_count: 0,
            attributes,
        };
        state.messages.push(Held { message, visible_at: Instant::now(), received: false });
        drop(state);
        self.changed.notify_waiters();
        id
    }

    /// Makes the next call fail, whichever it is; a receive that already waits fails too. Calls add up.
    pub fn fail_next(&self, error: QueueError) {
        self.state().failures.push_back(error);
        self.changed.notify_waiters();
    }

    /// Messages that are neither deleted nor dead, visible or not.
    pub fn held(&self) -> usize {
        self.state().messages.len()
    }

    /// Messages that are received and still invisible.
    pub fn in_flight(&self) -> usize {
        let now = Instant::now();
        self.state().messages.iter().filter(|held| held.received && held.visible_at > now).count()
    }

    /// The dead letters, oldest first.
    pub fn dead(&self) -> Vec<Message> {
        self.state().dead.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self) -> Result<(), QueueError> {
        self.state().failures.pop_front().map_or(Ok(()), Err)
    }

    /// What is visible now, else when something will be.
    fn take(&self) -> Result<Vec<Message>, Option<Instant>> {
        let now = Instant::now();
        let mut state = self.state();
        let State { messages, dead, serial, .. } = &mut *state;
        if let Some(limit) = self.receives_max {
            let spent = |held: &mut Held| held.visible_at <= now && held.message.receive_count >= limit;
            dead.extend(messages.extract_if(.., spent).map(|held| held.message));
        }
        let mut taken = vec![];
        for held in messages.iter_mut().filter(|held| held.visible_at <= now).take(BATCH_MAX) {
            *serial += 1;
            held.message.handle = Handle(format!("{}#{serial}", held.message.id));
            held.message.receive_count += 1;
            held.visible_at = now + self.visibility;
            held.received = true;
            taken.push(held.message.clone());
        }
        if taken.is_empty() { Err(messages.iter().map(|held| held.visible_at).min()) } else { Ok(taken) }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    fn name(&self) -> &str {
        &self.name
    }

    fn visibility(&self) -> Duration {
        self.visibility
    }

    fn wait(&self) -> Duration {
        self.wait
    }

    async fn receive(&self) -> Result<Vec<Message>, QueueError> {
        let until = Instant::now() + self.wait;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            self.fail()?;
            let next = match self.take() {
                Ok(messages) => return Ok(messages),
                Err(next) => next,
            };
            if Instant::now() >= until {
                return Ok(vec![]);
            }
            let wake = next.map_or(until, |next| next.min(until));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    async fn delete(&self, handles: &[Handle]) -> Result<Vec<DeleteFailed>, QueueError> {
        self.fail()?;
        self.state().messages.retain(|held| !held.received || !handles.contains(&held.message.handle));
        Ok(vec![])
    }

    async fn extend(&self, handles: &[Handle], by: Duration) -> Result<Vec<Handle>, QueueError> {
        self.fail()?;
        let now = Instant::now();
        let mut state = self.state();
        let mut failed = vec![];
        for handle in handles {
            match state.messages.iter_mut().find(|held| held.message.handle == *handle && held.visible_at > now) {
                Some(held) => held.visible_at = now + by,
                None => failed.push(handle.clone()),
            }
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(failed)
    }

    async fn facts(&self) -> Result<QueueFacts, QueueError> {
        self.fail()?;
        let in_flight = self.in_flight();
        let state = self.state();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(QueueFacts {
            waiting: Some(count(state.messages.len() - in_flight)),
            in_flight: Some(count(in_flight)),
            visibility: Some(self.visibility),
            dead_letters: self.receives_max.map(|receives_max| DeadLetters {
                arn: format!("memory:{}-dead", self.name),
                receives_max,
                depth: Ok(count(state.dead.len())),
            }),
            ..QueueFacts::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::QueueErrorClass;

    fn queue() -> MemoryQueue {
        MemoryQueue::new("q", Duration::from_secs(30), Duration::from_secs(20)).dead_letters_after(2)
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_comes_again_until_it_is_deleted() {
        let queue = queue();
        let id = queue.send("one", None);
        let first = queue.receive().await.unwrap();
        assert_eq!((first.len(), first[0].id.as_str(), first[0].receive_count), (1, id.as_str(), 1));
        assert_eq!(queue.in_flight(), 1);
        let start = Instant::now();
        assert!(queue.receive().await.unwrap().is_empty(), "it is invisible");
        assert_eq!(start.elapsed(), Duration::from_secs(20), "an empty receive waits for its whole time");
        let second = queue.receive().await.unwrap();
        assert_eq!(second[0].receive_count, 2);
        assert_eq!(
            start.elapsed(),
            Duration::from_secs(30),
            "it comes when its visibility ends, not when the wait ends"
        );
        queue.delete(&[first[0].handle.clone()]).await.unwrap();
        assert_eq!(queue.held(), 1, "the old handle deletes nothing any more");
        queue.delete(&[second[0].handle.clone()]).await.unwrap();
        assert_eq!(queue.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_received_too_often_become_dead_letters() {
        let queue = queue();
        queue.send("bad", None);
        for _ in 0..2 {
            let messages = queue.receive().await.unwrap();
            assert_eq!(messages.len(), 1);
            assert!(queue.extend(&[messages[0].handle.clone()], Duration::ZERO).await.unwrap().is_empty());
        }
        assert!(queue.receive().await.unwrap().is_empty());
        assert_eq!(queue.dead()[0].body, "bad");
        let facts = queue.facts().await.unwrap();
        assert_eq!((facts.waiting, facts.dead_letters.unwrap().depth), (Some(0), Ok(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn extending_keeps_it_invisible_and_a_late_extend_fails() {
        let queue = queue();
        queue.send("slow", None);
        let handle = queue.receive().await.unwrap()[0].handle.clone();
        tokio::time::advance(Duration::from_secs(25)).await;
        assert!(queue.extend(std::slice::from_ref(&handle), Duration::from_secs(30)).await.unwrap().is_empty());
        tokio::time::advance(Duration::from_secs(25)).await;
        assert_eq!(queue.in_flight(), 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(queue.extend(std::slice::from_ref(&handle), Duration::from_secs(30)).await.unwrap(), [handle]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receive_takes_ten_and_wakes_up_for_a_new_message() {
        let queue = std::sync::Arc::new(queue());
        for n in 0..12 {
            queue.send(n.to_string(), None);
        }
        assert_eq!(queue.receive().await.unwrap().len(), 10);
        assert_eq!(queue.receive().await.unwrap().len(), 2);
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.receive().await.unwrap() }
        });
        tokio::task::yield_now().await;
        queue.send("late", None);
        assert_eq!(waiting.await.unwrap()[0].body, "late");
    }

    #[tokio::test(start_paused = true)]
    async fn a_planned_failure_hits_one_call() {
        let queue = queue();
        let error = QueueError { class: QueueErrorClass::Throttled, detail: "planned".to_owned() };
        queue.fail_next(error.clone());
        queue.send("one", None);
        assert_eq!(queue.receive().await.unwrap_err(), error);
        assert_eq!(queue.receive().await.unwrap().len(), 1);
    }
}
