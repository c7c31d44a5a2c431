//! Messages out: receive, delete, change visibility.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::answer::{self, Wanted, Writer};
use super::super::protocol::{
    ApiError, Batch, ChangeEntry, ChangeMessageVisibility, DeleteEntry, DeleteMessage, Entry, ReceiveMessage,
};
use super::super::queue::{Held, NotExtended, Receipt, Take};
use super::{Answer, BATCH_MAX, Queue, Refused, Service, batch, nothing, range};

/// Passes the watch on: whoever stops waiting, for whatever reason, wakes the next.
struct Watch<'q>(&'q Notify);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// One look into a queue.
struct Look {
    /// There was something.
    answer: Option<Vec<u8>>,
    /// When a hidden message may come back.
    next: Option<Instant>,
}

impl Service {
    pub(super) async fn receive(&self, request: ReceiveMessage<'_>) -> Result<Vec<u8>, Refused> {
        let queue = self.at_url(&request.queue_url)?;
        let max = request.max_number_of_messages.unwrap_or(1);
        let max = usize::try_from(max)
            .ok()
            .filter(|max| (1..=BATCH_MAX).contains(max))
            .ok_or_else(|| range("MaxNumberOfMessages", max, "1 and 10"))?;
        let visibility = request.visibility_timeout.map(visibility).transpose()?;
        let wait = match request.wait_time_seconds {
            None => queue.state().settings.wait(),
            Some(seconds) => wait(seconds)?,
        };
        let wanted = Wanted::new(
            request.attribute_names,
            request.message_system_attribute_names,
            request.message_attribute_names,
        );
        let deadline = Instant::now() + wait;
        let _watch = Watch(&queue.changed);
        loop {
            // A change after the look leaves a permit behind, so that the wait below ends at once.
            let look = self.look(&queue, max, visibility, &wanted, wait.is_zero())?;
            if let Some(answer) = look.answer {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                return Ok(nothing());
            }
            let until = look.next.map_or(deadline, |next| next.min(deadline));
            tokio::select! {
                () = queue.changed.notified() => {}
                () = tokio::time::sleep_until(until) => {}
                () = self.stop.cancelled() => return Err(Refused::Stopping),
            }
        }
    }

    fn look(
        &self,
        queue: &Queue,
        max: usize,
        visibility: Option<Duration>,
        wanted: &Wanted,
        short_poll: bool,
    ) -> Result<Look, ApiError> {
        let mut out = Writer::new();
        out.raw("{\"Messages\":[");
        let mut first = true;
        let redrive = queue.state().settings.redrive().cloned();
        let target = redrive.as_ref().and_then(|to| self.dead_letter_queue(&to.target_arn, to.target_name()));
        let receives_max = redrive.filter(|_| target.is_some()).map(|redrive| redrive.receives_max);
        let (taken, next) = {
            let mut state = queue.state();
            let how = Take {
                wall: self.wall(),
                max,
                visibility: visibility.unwrap_or_else(|| state.settings.visibility()),
                retention: state.settings.retention(),
                receives_max,
            };
            let taken = state.messages.take(Instant::now(), how, |receipt, held| {
                if !std::mem::take(&mut first) {
                    out.raw(",");
                }
                answer::message(&mut out, held, &self.handle(queue, receipt), &self.options.account, wanted);
            });
            (taken, state.messages.next_due())
        };
        self.release(taken.expired_bytes);
        self.counts.received.fetch_add(taken.count as u64, Ordering::Relaxed);
        // The source's lock is free by now: two queues may name each other.
        if let Some(target) = target {
            bury(queue, &target, taken.dead);
        }
        if taken.over_limit && short_poll {
            return Err(ApiError::new("OverLimit", "Too many messages in flight."));
        }
        out.raw("]}");
        Ok(Look { answer: (taken.count > 0).then(|| out.done()), next })
    }

    pub(super) fn delete(&self, request: &DeleteMessage<'_>) -> Answer {
        let queue = self.at_url(&request.queue_url)?;
        self.remove(&queue, &request.receipt_handle)?;
        Ok(nothing())
    }

    pub(super) fn delete_batch(
        &self,
        request: Batch<'_, DeleteEntry<'_>>,
        failing: Option<&(usize, ApiError)>,
    ) -> Answer {
        let queue = self.at_url(&request.queue_url)?;
        batch(request.entries, failing, |entry| {
            self.remove(&queue, &entry.receipt_handle)?;
            Ok(only_id(entry.id()))
        })
    }

    pub(super) fn change(&self, request: &ChangeMessageVisibility<'_>) -> Answer {
        let queue = self.at_url(&request.queue_url)?;
        self.hide(&queue, &request.receipt_handle, request.visibility_timeout)?;
        Ok(nothing())
    }

    pub(super) fn change_batch(
        &self,
        request: Batch<'_, ChangeEntry<'_>>,
        failing: Option<&(usize, ApiError)>,
    ) -> Answer {
        let queue = self.at_url(&request.queue_url)?;
        batch(request.entries, failing, |entry| {
            self.hide(&queue, &entry.receipt_handle, entry.visibility_timeout)?;
            Ok(only_id(entry.id()))
        })
    }

    fn remove(&self, queue: &Queue, handle: &str) -> Result<(), ApiError> {
        let receipt = self.receipt(queue, handle)?;
        if let Some(bytes) = queue.state().messages.delete(receipt) {
            self.release(bytes);
            self.counts.deleted.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn hide(&self, queue: &Queue, handle: &str, seconds: i64) -> Result<(), ApiError> {
        let by = visibility(seconds)?;
        let receipt = self.receipt(queue, handle)?;
        let result = queue.state().messages.extend(Instant::now(), receipt, by);
        queue.changed.notify_one();
        result.map_err(|why| match why {
            NotExtended::NotInFlight => {
                ApiError::new("MessageNotInflight", "The message referred to is not in flight.")
            }
            NotExtended::Gone => ApiError::invalid(
                "Value for parameter ReceiptHandle is invalid. \
                 Reason: Message does not exist or is not available for visibility timeout change.",
            ),
        })
    }

    /// `<life>.<queue>.<message>.<receives>`, hexadecimal.
    fn handle(&self, queue: &Queue, receipt: Receipt) -> String {
        format!("{:08x}.{:x}.{:x}.{:x}", self.life, queue.number, receipt.seq, receipt.receives)
    }

    fn receipt(&self, queue: &Queue, handle: &str) -> Result<Receipt, ApiError> {
        let mut parts = handle.split('.').map(|part| u64::from_str_radix(part, 16).ok());
        let mut next = || parts.next().flatten();
        let (life, number, seq, receives) = (next(), next(), next(), next());
        match (seq, receives.and_then(|count| u32::try_from(count).ok())) {
            (Some(seq), Some(receives))
                if life == Some(u64::from(self.life)) && number == Some(u64::from(queue.number)) =>
            {
                Ok(Receipt { seq, receives })
            }
            _ => Err(ApiError::new("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")),
        }
    }
}

/// Moves what was received too often to the dead-letter queue.
fn bury(from: &Queue, to: &Queue, dead: Vec<Held>) {
    if dead.is_empty() {
        return;
    }
    let now = Instant::now();
    for mut held in dead {
        held.source_arn = Some(from.arn.clone());
        to.state().messages.push(now, held, Duration::ZERO);
    }
    to.changed.notify_one();
}

fn only_id(id: &str) -> Vec<u8> {
    let mut out = Writer::new();
    out.raw("{\"Id\":").string(id).raw("}");
    out.done()
}

fn visibility(seconds: i64) -> Result<Duration, ApiError> {
    let bounded = u64::try_from(seconds).ok().filter(|seconds| *seconds <= 43_200);
    bounded.map(Duration::from_secs).ok_or_else(|| range("VisibilityTimeout", seconds, "0 and 43200"))
}

fn wait(seconds: i64) -> Result<Duration, ApiError> {
    let bounded = u64::try_from(seconds).ok().filter(|seconds| *seconds <= 20);
    bounded.map(Duration::from_secs).ok_or_else(|| range("WaitTimeSeconds", seconds, "0 and 20"))
}
