//! One attempt: a delivery, or several as a digest, told to a sink within a time limit.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::core::notification::{Kind, Notification, Reason};
use crate::sink::{Class, DeliveryError, Dispatch, FailReason, Receipt, Sink};
use crate::store::Leased;

/// Notifications spelled out in a digest; the others are "and N more".
pub(super) const DIGEST_SHOWN: usize = 10;

/// What one attempt tells.
pub(super) enum Flight {
    One(Box<Leased>),
    Digest(Vec<Leased>),
}

impl Flight {
    pub(super) fn leased(&self) -> &[Leased] {
        match self {
            Self::One(leased) => std::slice::from_ref(leased),
            Self::Digest(leased) => leased,
        }
    }
}

/// How it went.
pub(super) struct Landed {
    pub(super) result: Result<Receipt, DeliveryError>,
    pub(super) took: Duration,
}

pub(super) async fn fly(sink: Arc<dyn Sink>, flight: Arc<Flight>, limit: Duration) -> Landed {
    let start = Instant::now();
    let telling = async {
        match &*flight {
            Flight::One(leased) => tell(&*sink, leased).await,
            Flight::Digest(leased) => digest(&*sink, leased).await,
        }
    };
    let result = tokio::time::timeout(limit, telling).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s", limit.as_secs());
        Err(unknown(FailReason::Timeout, detail))
    });
    Landed { result, took: start.elapsed() }
}

/// What is told of a delivery: the notification, or one note if its incident is over before anybody heard of it.
/// The note keeps the trigger's id, because it stands in its place.
pub(super) fn told(leased: &Leased) -> Notification {
    let trigger = &leased.delivery.notification;
    match &leased.overtaken {
        None => trigger.clone(),
        Some(overtaken) => Notification {
            id: trigger.id.clone(),
            kind: Kind::Notice,
            reason: Reason::TooLate,
            ..overtaken.resolve.clone()
        },
    }
}

/// A failure after which the other side may or may not have accepted it.
pub(super) fn unknown(reason: FailReason, detail: String) -> DeliveryError {
    DeliveryError { class: Class::Retry { after: None }, reason, detail, outcome_unknown: true }
}

async fn tell(sink: &dyn Sink, leased: &Leased) -> Result<Receipt, DeliveryError> {
    let dispatch = Dispatch {
        notification: &told(leased),
        idempotency_key: &leased.delivery.idempotency_key(),
        attempt: leased.delivery.attempts.saturating_add(1),
        memory: leased.memory.as_deref(),
        outcome_unknown: leased.delivery.outcome_unknown,
    };
    sink.deliver(&dispatch).await
}

async fn digest(sink: &dyn Sink, leased: &[Leased]) -> Result<Receipt, DeliveryError> {
    let shown: Vec<Notification> = leased.iter().take(DIGEST_SHOWN).map(told).collect();
    sink.digest(&shown, leased.len().saturating_sub(shown.len())).await?;
    Ok(Receipt { memory: None, possible_double: leased.iter().any(|leased| leased.delivery.outcome_unknown) })
}
