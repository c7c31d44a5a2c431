//! The calls of canaries.

use sqlx::AnyConnection;

use super::SqlStore;
use super::rows::{from_json, json, ms, text};
use crate::core::canary::{CALLS_KEPT, Call};
use crate::store::{StoreError, StoreErrorKind};

/// Canaries are few, and of each so many calls are kept.
const ALL: &str = "SELECT id, body FROM canary_calls ORDER BY at_ms, id";
const PUT: &str = "INSERT INTO canary_calls (id, canary, at_ms, body) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (id) DO UPDATE SET at_ms = excluded.at_ms, body = excluded.body";
const OLD: &str = "DELETE FROM canary_calls WHERE canary = $1 AND id IN \
     (SELECT id FROM canary_calls WHERE canary = $1 ORDER BY at_ms DESC, id DESC LIMIT 100 OFFSET $2)";

impl SqlStore {
    pub(super) async fn read_canary_calls(&self) -> Result<Vec<Call>, StoreError> {
        let mut calls = vec![];
        for row in sqlx::query(ALL).fetch_all(&self.readers).await? {
            match from_json(&text(&row, "body")?, "a canary's call", &text(&row, "id")?) {
                // One that does not read back is missed like one that was never made.
                Err(error) if error.kind == StoreErrorKind::Corrupt => {
                    tracing::error!(%error, "a canary's call is lost");
                }
                other => calls.push(other?),
            }
        }
        Ok(calls)
    }

    pub(super) async fn put_canary_call(&self, call: &Call) -> Result<(), StoreError> {
        let mut work = self.begin().await?;
        put(work.on(), call).await?;
        work.commit().await
    }
}

async fn put(on: &mut AnyConnection, call: &Call) -> Result<(), StoreError> {
    let query = sqlx::query(PUT).bind(call.id.as_str()).bind(call.canary.as_str()).bind(ms(call.at));
    query.bind(json(call)?).execute(&mut *on).await?;
    let kept = i64::try_from(CALLS_KEPT).unwrap_or(i64::MAX);
    sqlx::query(OLD).bind(call.canary.as_str()).bind(kept).execute(&mut *on).await?;
    Ok(())
}
