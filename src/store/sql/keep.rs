//! Small things kept beside decisions: undecodable messages, and the proof that writing works.

use jiff::Timestamp;
use sqlx::Row as _;

use super::SqlStore;
use super::rows::{count, ms};
use crate::store::{QUARANTINE_BYTES_MAX, QUARANTINE_MAX, StoreError, quarantine_full};

const PUT_MESSAGE: &str =
    "INSERT INTO quarantine (id, at_ms, reason, body) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING";
const IS_KEPT: &str = "SELECT 1 AS n FROM quarantine WHERE id = $1";
/// The lengths stand in the rows' heads; the bodies are not read for them.
pub(super) const QUARANTINED: &str =
    "SELECT COUNT(*) AS n, CAST(COALESCE(SUM(octet_length(body)), 0) AS BIGINT) AS bytes FROM quarantine";
const PUT_PROBE: &str = "INSERT INTO meta (name, value) VALUES ('probe', $1) \
     ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const DROP_PROBE: &str = "DELETE FROM meta WHERE name = 'probe'";

/// What a proof writes, in bytes: rewriting a page that is there already would succeed on a full disk.
const PROBE_LEN: usize = 64 * 1024;

impl SqlStore {
    pub(super) async fn keep_message(
        &self,
        now: Timestamp,
        message_id: &str,
        reason: &str,
        body: &str,
    ) -> Result<(), StoreError> {
        let mut work = self.begin().await?;
        let known = sqlx::query(IS_KEPT).bind(message_id).fetch_optional(work.on()).await?;
        if known.is_some() {
            return work.leave().await;
        }
        let row = sqlx::query(QUARANTINED).fetch_one(work.on()).await?;
        let (messages, bytes) = (count(&row, "n")?, count(&row, "bytes")?);
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        if messages >= QUARANTINE_MAX || bytes.saturating_add(length) > QUARANTINE_BYTES_MAX {
            work.leave().await?;
            return Err(quarantine_full(messages, bytes));
        }
        let query = sqlx::query(PUT_MESSAGE).bind(message_id).bind(ms(now)).bind(reason).bind(body);
        query.execute(work.on()).await?;
        work.commit().await
    }

    /// Two commits: the second gives the space back to whatever comes next.
    pub(super) async fn prove_write(&self, now: Timestamp) -> Result<(), StoreError> {
        self.empty_log().await?;
        let mut work = self.begin().await?;
        let filling = format!("{now} {}", "-".repeat(PROBE_LEN));
        sqlx::query(PUT_PROBE).bind(filling).execute(work.on()).await?;
        work.commit().await?;
        let mut work = self.begin().await?;
        sqlx::query(DROP_PROBE).execute(work.on()).await?;
        work.commit().await
    }

    /// Whether it succeeds does not matter: the proof is a write.
    async fn empty_log(&self) -> Result<(), StoreError> {
        let mut work = self.work().await?;
        match sqlx::query(self.dialect.empty_log()).fetch_optional(work.on()).await {
            Ok(row) => {
                work.done();
                if row.is_some_and(|row| row.try_get::<i64, _>(0).is_ok_and(|busy| busy != 0)) {
                    tracing::debug!("the log of the store could not be emptied: somebody reads from it");
                }
            }
            Err(error) => {
                tracing::debug!(error = %StoreError::from(error), "the log of the store could not be emptied");
            }
        }
        Ok(())
    }
}
