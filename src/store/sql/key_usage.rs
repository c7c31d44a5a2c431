//! Who uses which key: kept for people, flushed late.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};

use super::SqlStore;
use super::batch::Rows;
use super::rows::{from_json, json, limit, ms, text};
use crate::core::usage::{KEPT, KeyUsage};
use crate::store::StoreError;

static PUT: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO key_usage (arn, kept_ms, body) VALUES",
        0,
        3,
        "ON CONFLICT (arn) DO UPDATE SET kept_ms = excluded.kept_ms, body = excluded.body",
    )
});
const GET: &str = "SELECT arn, body FROM key_usage WHERE kept_ms >= $1 AND arn > $2 ORDER BY arn LIMIT $3";

impl SqlStore {
    pub(super) async fn keep_key_usage(
        &self,
        now: Timestamp,
        usage: &BTreeMap<String, KeyUsage>,
    ) -> Result<(), StoreError> {
        if usage.is_empty() {
            return Ok(());
        }
        let bodies = usage.iter().map(|(arn, usage)| Ok((arn.as_str(), json(usage)?)));
        let bodies = bodies.collect::<Result<Vec<_>, StoreError>>()?;
        let mut work = self.begin().await?;
        for (sql, part) in PUT.cut(&bodies) {
            let query = part
                .iter()
                .fold(sqlx::query(sql), |query, (arn, body)| query.bind(*arn).bind(ms(now)).bind(body.as_str()));
            query.execute(work.on()).await?;
        }
        work.commit().await
    }

    pub(super) async fn read_key_usage(
        &self,
        now: Timestamp,
        after: &str,
        most: usize,
    ) -> Result<Vec<(String, KeyUsage)>, StoreError> {
        let since = now.checked_sub(KEPT.saturating_add(SignedDuration::from_hours(24))).map_or(i64::MIN, ms);
        let rows = sqlx::query(GET).bind(since).bind(after).bind(limit(most)).fetch_all(&self.readers).await?;
        let mut all = vec![];
        for row in rows {
            let arn = text(&row, "arn")?;
            // What does not read back is learnt anew.
            let usage = from_json(&text(&row, "body")?, "the use of a key", &arn).unwrap_or_else(|error| {
                tracing::error!(%error, "what was known of the use of a key is lost");
                KeyUsage::default()
            });
            all.push((arn, usage));
        }
        Ok(all)
    }
}
