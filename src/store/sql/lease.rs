//! Claims on deliveries. Only the oldest unfinished delivery of a (sink, fingerprint) can be claimed; that is worked out from the
//! rows each time and not kept in them, so it cannot go wrong.

use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::SqlStore;
use super::batch::List;
use super::rows::{delivery, from_json, limit, ms, number, text};
use super::script::Script;
use crate::core::notification::{Kind, Notification};
use crate::store::{Leased, Overtaken, StoreError, StoreErrorKind};

pub(super) const ANY_DUE: &str = "SELECT o.id FROM outbox o WHERE o.unfinished = 1 AND o.sink = $1 AND o.due_ms <= $2 \
     AND NOT EXISTS (SELECT 1 FROM outbox p WHERE p.unfinished = 1 AND p.sink = o.sink \
     AND p.fingerprint = o.fingerprint AND p.id < o.id) LIMIT 1";

/// What can be claimed now, most urgent first: the delivery, what the sink remembers, and the first resolve that waits
/// behind it in the same incident. The `+` keeps the planner on the index that is in this order: sorting a long backlog for each
/// claim would be slow. The `+ 0`: for a bare placeholder as the limit, `SQLite` compiles the statement anew each time.
macro_rules! claim_sql {
    ($lock:literal) => {
        concat!(
            "SELECT ",
            $crate::store::sql::rows::delivery_columns!(),
            ", o.leased, o.noted, o.fingerprint, o.incident, m.memory, \
             (SELECT MIN(r.id) FROM outbox r WHERE r.unfinished = 1 AND r.sink = o.sink AND r.fingerprint = o.fingerprint \
             AND r.incident = o.incident AND r.kind = 'resolve' AND r.id > o.id) AS resolve_id \
             FROM outbox o LEFT JOIN sink_memory m ON m.incident = o.incident AND m.sink = o.sink \
             WHERE o.unfinished = 1 AND o.sink = $1 AND +o.due_ms <= $2 \
             AND NOT EXISTS (SELECT 1 FROM outbox p WHERE p.unfinished = 1 AND p.sink = o.sink \
             AND p.fingerprint = o.fingerprint AND p.id < o.id) \
             ORDER BY o.rank DESC, o.id LIMIT $3 + 0",
            $lock
        )
    };
}
pub(super) use claim_sql;

/// A claim that ran out was an attempt, and nobody knows how it ended.
static CLAIM: LazyLock<List> = LazyLock::new(|| {
    List::new(
        "UPDATE outbox SET attempts = attempts + leased, \
         outcome_unknown = CASE WHEN leased = 1 THEN 1 ELSE outcome_unknown END, leased = 1, due_ms = $1 WHERE id IN",
        1,
        "",
    )
});

static NOTE: LazyLock<List> = LazyLock::new(|| List::new("UPDATE outbox SET noted = 1 WHERE id IN", 0, ""));

const BETWEEN: &str = "SELECT id, CASE WHEN id = $5 THEN body END AS body FROM outbox WHERE unfinished = 1 AND sink = $1 \
     AND fingerprint = $2 AND incident = $3 AND id BETWEEN $4 AND $5 ORDER BY id";

const BURY: &str =
    "UPDATE outbox SET state = 'dead', unfinished = 0, leased = 0, settled_ms = $1, error = $2 WHERE id = $3";

impl SqlStore {
    pub(super) async fn claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        wanted: &[(String, usize)],
    ) -> Result<Vec<Leased>, StoreError> {
        let mut work = self.work().await?;
        let mut due = vec![];
        for (sink, most) in wanted.iter().filter(|(_, most)| *most > 0) {
            let query = sqlx::query(ANY_DUE).bind(sink.as_str()).bind(ms(now));
            if query.fetch_optional(work.on()).await?.is_some() {
                due.push((sink.as_str(), *most));
            }
        }
        if due.is_empty() {
            work.done();
            return Ok(vec![]);
        }
        let mut script = self.opening();
        for (sink, most) in due {
            script.add(self.dialect.claim()).bind(sink).bind(ms(now)).bind(limit(most));
        }
        let rows = script.run(work.on()).await?;
        let mut claimed = vec![];
        let mut script = Script::default();
        for row in rows {
            match leased(work.on(), &row).await {
                Ok(leased) => claimed.push(leased),
                // It must not hold all others of its sink.
                Err(error) if error.kind == StoreErrorKind::Corrupt => {
                    let id = number(&row, "id")?;
                    tracing::error!(delivery.id = id, sink.name = text(&row, "sink")?, %error, "a delivery is given up");
                    script.add(BURY).bind(ms(now)).bind(error.detail).bind(id);
                }
                Err(error) => return Err(error),
            }
        }
        let ids: Vec<i64> = claimed.iter().map(|leased| leased.delivery.id).collect();
        for (sql, part) in CLAIM.cut(&ids) {
            part.fold(script.add(sql).bind(ms(until)), |script, id| script.bind(*id));
        }
        let notes: Vec<i64> = claimed.iter().filter(|l| l.overtaken.is_some()).map(|l| l.delivery.id).collect();
        for (sql, part) in NOTE.cut(&notes) {
            part.fold(script.add(sql), |script, id| script.bind(*id));
        }
        work.commit_with(script).await?;
        Ok(claimed)
    }
}

async fn leased(on: &mut AnyConnection, row: &AnyRow) -> Result<Leased, StoreError> {
    let mut delivery = delivery(row)?;
    if number(row, "leased")? == 1 {
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.outcome_unknown = true;
    }
    let resolve: Option<i64> = row.try_get("resolve_id")?;
    let overtaken = match resolve {
        Some(resolve)
            if delivery.notification.kind == Kind::Trigger
                && (delivery.attempts == 0 || number(row, "noted")? == 1) =>
        {
            overtaken(on, row, delivery.id, resolve).await?
        }
        _ => None,
    };
    Ok(Leased { memory: row.try_get("memory")?, delivery, overtaken })
}

async fn overtaken(
    on: &mut AnyConnection,
    head: &AnyRow,
    first: i64,
    last: i64,
) -> Result<Option<Overtaken>, StoreError> {
    let query = sqlx::query(BETWEEN).bind(text(head, "sink")?).bind(text(head, "fingerprint")?);
    let query = query.bind(text(head, "incident")?).bind(first).bind(last);
    let mut ids = vec![];
    let mut resolve: Option<Notification> = None;
    for row in query.fetch_all(on).await? {
        let id = number(&row, "id")?;
        ids.push(id);
        if let Some(body) = row.try_get::<Option<String>, _>("body")? {
            // A resolve that does not read back is dealt with when its turn comes.
            resolve = from_json(&body, "a delivery's body", &id.to_string()).ok();
        }
    }
    Ok(resolve.map(|resolve| Overtaken { ids, resolve }))
}
