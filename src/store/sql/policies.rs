//! The policies and rotation periods seen of keys: a small history for each key.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::SqlStore;
use super::rows::{from_json, json, ms, text};
use crate::core::access::{History, Lesson};
use crate::store::{StoreError, StoreErrorKind};

const GET: &str = "SELECT body FROM policies WHERE arn = $1";
const PUT: &str = "INSERT INTO policies (arn, kept_ms, body) VALUES ($1, $2, $3) \
     ON CONFLICT (arn) DO UPDATE SET kept_ms = excluded.kept_ms, body = excluded.body";

impl SqlStore {
    pub(super) async fn read_history(&self, arn: &str) -> Result<Option<History>, StoreError> {
        let mut on = self.readers.acquire().await?;
        history(&mut on, arn).await
    }

    pub(super) async fn learn_lessons(&self, now: Timestamp, lessons: &[Lesson]) -> Result<(), StoreError> {
        if lessons.is_empty() {
            return Ok(());
        }
        let mut work = self.begin().await?;
        let mut learnt: BTreeMap<&str, History> = BTreeMap::new();
        let mut changed = false;
        for lesson in lessons {
            if !learnt.contains_key(lesson.arn.as_str()) {
                let known = match history(work.on(), &lesson.arn).await {
                    // What does not read back cannot be compared with; it begins anew.
                    Err(error) if error.kind == StoreErrorKind::Corrupt => {
                        tracing::error!(%error, "what was seen of a key's policies and rotation periods is lost");
                        None
                    }
                    other => other?,
                };
                learnt.insert(&lesson.arn, known.unwrap_or_default());
            }
            if let Some(history) = learnt.get_mut(lesson.arn.as_str()) {
                changed |= history.learn(&lesson.taught);
            }
        }
        if !changed {
            return work.leave().await;
        }
        for (arn, history) in learnt {
            sqlx::query(PUT).bind(arn).bind(ms(now)).bind(json(&history)?).execute(work.on()).await?;
        }
        work.commit().await
    }
}

async fn history(on: &mut AnyConnection, arn: &str) -> Result<Option<History>, StoreError> {
    let row = sqlx::query(GET).bind(arn).fetch_optional(on).await?;
    row.map(|row| from_json(&text(&row, "body")?, "a history of key policies", arn)).transpose()
}
