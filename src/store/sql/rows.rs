//! Values to columns and back. What does not read back is `Corrupt`, and says where it stands.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::core::incident::Situation;
use crate::core::notification::Notification;
use crate::store::{Delivery, DeliveryState, StoreError, StoreErrorKind};

/// The columns that [`delivery`] reads.
macro_rules! delivery_columns {
    () => {
        "o.id, o.sink, o.state, o.attempts, o.outcome_unknown, o.created_ms, o.due_ms, o.error, o.body"
    };
}
pub(super) use delivery_columns;

/// Rounded down: a time that has come in milliseconds has come.
pub(super) fn ms(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// Rounded up: what is due at this millisecond is due indeed.
pub(super) fn ms_up(time: Timestamp) -> i64 {
    let floor = time.as_millisecond();
    if time.subsec_nanosecond() % 1_000_000 > 0 { floor.saturating_add(1) } else { floor }
}

pub(super) fn time(ms: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(ms).map_err(|_| corrupt("a time", ms))
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::new(StoreErrorKind::Other, format!("a value cannot be written as JSON: {error}")))
}

/// `what`, `id`: where it stands, for the error; the text itself is untrusted.
pub(super) fn from_json<T: DeserializeOwned>(body: &str, what: &str, id: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|_| corrupt(what, id))
}

pub(super) fn text(row: &AnyRow, column: &str) -> Result<String, StoreError> {
    Ok(row.try_get::<String, _>(column)?)
}

pub(super) fn number(row: &AnyRow, column: &str) -> Result<i64, StoreError> {
    Ok(row.try_get::<i64, _>(column)?)
}

pub(super) fn count(row: &AnyRow, column: &str) -> Result<u64, StoreError> {
    let value = number(row, column)?;
    u64::try_from(value).map_err(|_| corrupt(column, value))
}

/// Reads [`delivery_columns`].
pub(super) fn delivery(row: &AnyRow) -> Result<Delivery, StoreError> {
    let id = number(row, "id")?;
    let state = text(row, "state")?;
    let state = DeliveryState::ALL.into_iter().find(|known| known.as_str() == state);
    let notification: Notification = from_json(&text(row, "body")?, "a delivery's body", &id.to_string())?;
    Ok(Delivery {
        id,
        sink: text(row, "sink")?,
        notification,
        state: state.ok_or_else(|| corrupt("a delivery's state", id))?,
        attempts: u32::try_from(number(row, "attempts")?).map_err(|_| corrupt("a delivery's attempts", id))?,
        outcome_unknown: number(row, "outcome_unknown")? != 0,
        created_at: time(number(row, "created_ms")?)?,
        due_at: time(number(row, "due_ms")?)?,
        last_error: row.try_get("error")?,
    })
}

/// Reads `fingerprint` and `body`.
pub(super) fn situation(row: &AnyRow) -> Result<Situation, StoreError> {
    from_json(&text(row, "body")?, "a situation", &text(row, "fingerprint")?)
}

pub(super) fn corrupt(what: &str, id: impl std::fmt::Display) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, format!("{what} ({id}) does not read back"))
}

/// A bound on how many rows are wanted.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
