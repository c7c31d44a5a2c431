//! Housekeeping, a bounded step at a time, so that nobody waits long for the write lock.

use jiff::{SignedDuration, Timestamp};
use sqlx::AnyConnection;

use super::SqlStore;
use super::rows::{from_json, json, ms, text};
use crate::core::incident::Situation;
use crate::core::usage::KEPT;
use crate::store::{LEARNT_KEPT, LEARNT_MAX, Retention, SINK_REMOVED, StoreError};

/// Rows that one statement touches at most.
const STEP: i64 = 500;

/// Each takes the oldest time to keep, and the bound.
const SEEN: &str = "DELETE FROM seen WHERE id IN (SELECT id FROM seen WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)";
const MARKERS: &str = "SELECT fingerprint, body FROM situations WHERE standing = 'marker' AND kept_ms < $1 \
     ORDER BY kept_ms LIMIT 100";
/// Not while a delivery of it is kept: a later incident of the fingerprint would count from one again, and its notifications would
/// be taken for those that are there.
const SITUATIONS: &str = "SELECT s.fingerprint, s.body FROM situations s WHERE s.standing = 'resolved' AND s.kept_ms < $1 AND NOT EXISTS \
     (SELECT 1 FROM incidents i JOIN outbox o ON o.incident = i.id WHERE i.fingerprint = s.fingerprint) \
     ORDER BY s.kept_ms LIMIT 100";
const SITUATION: &str = "DELETE FROM situations WHERE fingerprint = $1";
/// The age stays: it is counted from the last event.
const ONLY_LEARNT: &str =
    "UPDATE situations SET standing = 'learnt', due_ms = NULL, held = 0, body = $2 WHERE fingerprint = $1";
const LEARNT: &str = "DELETE FROM situations WHERE fingerprint IN \
     (SELECT fingerprint FROM situations WHERE standing = 'learnt' AND kept_ms < $1 ORDER BY kept_ms LIMIT $2)";
const MORE_LEARNT: &str = "DELETE FROM situations WHERE fingerprint IN (SELECT fingerprint FROM situations \
     WHERE standing = 'learnt' ORDER BY kept_ms DESC, fingerprint LIMIT $2 OFFSET $1)";
const DELIVERIES: &str =
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE settled_ms < $1 ORDER BY settled_ms LIMIT $2)";
const SILENCES: &str =
    "DELETE FROM silences WHERE id IN (SELECT id FROM silences WHERE ends_ms < $1 ORDER BY ends_ms LIMIT $2)";
/// Of canaries that are configured no more, too.
const CANARY_CALLS: &str =
    "DELETE FROM canary_calls WHERE id IN (SELECT id FROM canary_calls WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)";
const QUARANTINE: &str =
    "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)";

/// Key policies of so many keys, the newest ones, are kept.
const POLICIES_MAX: i64 = 20_000;
const POLICIES: &str = "DELETE FROM policies WHERE arn IN \
     (SELECT arn FROM policies ORDER BY kept_ms DESC, arn LIMIT $2 OFFSET $1)";

/// What is known of the use of a key fades by itself; the row goes when nothing was written for as long.
const USAGE: &str =
    "DELETE FROM key_usage WHERE arn IN (SELECT arn FROM key_usage WHERE kept_ms < $1 ORDER BY kept_ms LIMIT $2)";

/// An incident goes last, when nothing refers to it any more: a step that breaks off leaves nothing behind without an owner.
const OLD_INCIDENT: &str = "SELECT i.id FROM incidents i WHERE i.standing = 'resolved' AND i.kept_ms < $1 \
     AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.incident = i.id) ORDER BY i.kept_ms LIMIT 100";
const ALERTS_OF: &str = "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE incident = $1 LIMIT $2)";
const HISTORY_OF: &str = "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE incident = $1 LIMIT $2)";
const MEMORY_OF: &str = "DELETE FROM sink_memory WHERE incident = $1";
const INCIDENT: &str = "DELETE FROM incidents WHERE id = $1";

const SINKS: &str = "SELECT DISTINCT sink FROM outbox WHERE unfinished = 1";
/// A claimed one is left to whoever claimed it.
const ORPHANS: &str = "UPDATE outbox SET state = 'dead', unfinished = 0, leased = 0, settled_ms = $1, error = $2 WHERE id IN \
     (SELECT id FROM outbox WHERE unfinished = 1 AND sink = $3 AND (leased = 0 OR due_ms <= $1) LIMIT $4)";

impl SqlStore {
    pub(super) async fn prune_step(
        &self,
        now: Timestamp,
        retention: &Retention,
        sinks: &[String],
    ) -> Result<u64, StoreError> {
        let before = |length: SignedDuration| now.checked_sub(length).map_or(i64::MIN, ms);
        let old = before(retention.history);
        let mut work = self.begin().await?;
        let on = work.on();
        let mut touched = delete(on, SEEN, before(retention.seen)).await?;
        touched += situations(on, MARKERS, before(retention.markers)).await?;
        touched += delete(on, DELIVERIES, old).await?;
        touched += situations(on, SITUATIONS, old).await?;
        touched += delete(on, LEARNT, before(LEARNT_KEPT)).await?;
        touched += delete(on, MORE_LEARNT, LEARNT_MAX).await?;
        touched += delete(on, SILENCES, old).await?;
        touched += delete(on, QUARANTINE, old).await?;
        touched += delete(on, CANARY_CALLS, old).await?;
        touched += delete(on, POLICIES, POLICIES_MAX).await?;
        touched += delete(on, USAGE, before(KEPT)).await?;
        touched += incidents(on, old).await?;
        touched += orphans(on, now, sinks).await?;
        if touched > 0 {
            work.commit().await?;
            return Ok(touched);
        }
        work.leave().await?;
        // Looking for them is the dear part, so it comes when all else is done.
        self.shorten_stories().await
    }
}

async fn delete(on: &mut AnyConnection, sql: &'static str, before: i64) -> Result<u64, StoreError> {
    Ok(sqlx::query(sql).bind(before).bind(STEP).execute(on).await?.rows_affected())
}

/// Forgets them but for what their groups have learnt.
async fn situations(on: &mut AnyConnection, old: &'static str, before: i64) -> Result<u64, StoreError> {
    let mut touched = 0;
    for row in sqlx::query(old).bind(before).fetch_all(&mut *on).await? {
        let fingerprint = text(&row, "fingerprint")?;
        // One that does not read back has nothing to say.
        let body = text(&row, "body").unwrap_or_default();
        let left = from_json::<Situation>(&body, "a situation", &fingerprint).ok().and_then(|known| known.learnt());
        let done = match left {
            Some(left) => sqlx::query(ONLY_LEARNT).bind(fingerprint).bind(json(&left)?).execute(&mut *on).await?,
            None => sqlx::query(SITUATION).bind(fingerprint).execute(&mut *on).await?,
        };
        touched += done.rows_affected();
    }
    Ok(touched)
}

async fn incidents(on: &mut AnyConnection, before: i64) -> Result<u64, StoreError> {
    let mut touched = 0;
    for row in sqlx::query(OLD_INCIDENT).bind(before).fetch_all(&mut *on).await? {
        let id = text(&row, "id")?;
        let mut parts = 0;
        for sql in [ALERTS_OF, HISTORY_OF] {
            parts += sqlx::query(sql).bind(id.as_str()).bind(STEP).execute(&mut *on).await?.rows_affected();
        }
        touched += parts;
        if parts >= STEP.unsigned_abs() {
            // There may be more of it; the next step goes on.
            return Ok(touched);
        }
        for sql in [MEMORY_OF, INCIDENT] {
            touched += sqlx::query(sql).bind(id.as_str()).execute(&mut *on).await?.rows_affected();
        }
        if touched >= STEP.unsigned_abs() {
            break;
        }
    }
    Ok(touched)
}

async fn orphans(on: &mut AnyConnection, now: Timestamp, sinks: &[String]) -> Result<u64, StoreError> {
    let mut touched = 0;
    for row in sqlx::query(SINKS).fetch_all(&mut *on).await? {
        let sink = text(&row, "sink")?;
        if sinks.contains(&sink) {
            continue;
        }
        let query = sqlx::query(ORPHANS).bind(ms(now)).bind(SINK_REMOVED).bind(sink.as_str()).bind(STEP);
        touched += query.execute(&mut *on).await?.rows_affected();
    }
    Ok(touched)
}
