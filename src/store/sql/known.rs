//! What is known of keys. Whoever learns of a key adds to it, so each row is read and joined in the transaction that writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::SqlStore;
use super::batch::{List, Rows};
use super::rows::{from_json, json, ms, number, text};
use crate::store::{KnownKey, StoreError};

static GET: LazyLock<List> = LazyLock::new(|| List::new("SELECT arn, swept, body FROM keys WHERE arn IN", 0, ""));
static PUT: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO keys (arn, kept_ms, swept, body) VALUES",
        0,
        4,
        "ON CONFLICT (arn) DO UPDATE SET kept_ms = excluded.kept_ms, swept = excluded.swept, body = excluded.body",
    )
});

impl SqlStore {
    pub(super) async fn read_keys(&self, arns: &[String]) -> Result<Vec<KnownKey>, StoreError> {
        let mut found = vec![];
        for (sql, part) in GET.cut(arns) {
            let query = part.fold(sqlx::query(sql), |query, arn| query.bind(arn.as_str()));
            for row in query.fetch_all(&self.readers).await? {
                found.extend(known(&row)?);
            }
        }
        Ok(found)
    }

    pub(super) async fn keep_keys(&self, now: Timestamp, keys: &[KnownKey]) -> Result<(), StoreError> {
        let arns: BTreeSet<&str> = keys.iter().filter_map(|known| known.key.arn.as_deref()).collect();
        let arns: Vec<&str> = arns.into_iter().collect();
        if arns.is_empty() {
            return Ok(());
        }
        let mut work = self.begin().await?;
        let mut before: BTreeMap<String, KnownKey> = BTreeMap::new();
        for (sql, part) in GET.cut(&arns) {
            let query = part.fold(sqlx::query(sql), |query, arn| query.bind(*arn));
            for row in query.fetch_all(work.on()).await? {
                before.extend(known(&row)?.and_then(|known| Some((known.key.arn.clone()?, known))));
            }
        }
        let mut after: BTreeMap<&str, KnownKey> = BTreeMap::new();
        for known in keys {
            let Some(arn) = known.key.arn.as_deref() else { continue };
            let old = after.get(arn).or_else(|| before.get(arn));
            let joined = known.join(old);
            if old != Some(&joined) {
                after.insert(arn, joined);
            }
        }
        if after.is_empty() {
            return work.leave().await;
        }
        let bodies = after.iter().map(|(arn, known)| Ok((*arn, i64::from(known.swept), json(&known.key)?)));
        let bodies = bodies.collect::<Result<Vec<_>, StoreError>>()?;
        for (sql, part) in PUT.cut(&bodies) {
            let query = part.iter().fold(sqlx::query(sql), |query, (arn, swept, body)| {
                query.bind(*arn).bind(ms(now)).bind(*swept).bind(body.as_str())
            });
            query.execute(work.on()).await?;
        }
        work.commit().await
    }
}

/// `None` for what does not read back: it is learnt anew, and holds up nobody.
fn known(row: &AnyRow) -> Result<Option<KnownKey>, StoreError> {
    let arn = text(row, "arn")?;
    let swept = number(row, "swept")? != 0;
    let key = from_json(&text(row, "body")?, "a key", &arn);
    let key = key.inspect_err(|error| tracing::error!(%error, "what was known of a key is lost")).ok();
    Ok(key.map(|key| KnownKey { key, swept }))
}
