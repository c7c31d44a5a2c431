//! Silences, and the incidents whose notifications are held back.

use std::sync::LazyLock;

use jiff::Timestamp;

use super::SqlStore;
use super::batch::{List, Rows};
use super::rows::{from_json, json, limit, ms, ms_up, text};
use super::script::Script;
use crate::core::incident::{Fingerprint, Situation};
use crate::core::silence::Silence;
use crate::store::{SILENCES_MAX, StoreError};

const ALL: &str = "SELECT id, body FROM silences ORDER BY ends_ms DESC, id LIMIT $1";
const IN_FORCE: &str = "SELECT id, body FROM silences WHERE ends_ms > $1 AND ended = 0 ORDER BY id LIMIT $2";
const HELD: &str =
    "SELECT fingerprint, body FROM situations WHERE held = 1 AND fingerprint > $1 ORDER BY fingerprint LIMIT $2";
static SITUATIONS: LazyLock<List> =
    LazyLock::new(|| List::new("SELECT fingerprint, body FROM situations WHERE fingerprint IN", 0, ""));
/// Two may change one silence at the same time; whoever ended it has the last word.
static KEEP: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO silences (id, ends_ms, ended, body) VALUES",
        0,
        4,
        "ON CONFLICT (id) DO UPDATE SET ends_ms = excluded.ends_ms, ended = excluded.ended, body = excluded.body \
         WHERE silences.ended = 0",
    )
});

pub(super) fn keep_silences(script: &mut Script, silences: &[Silence]) -> Result<(), StoreError> {
    for (sql, part) in KEEP.cut(silences) {
        script.add(sql);
        for silence in part {
            let (ends, ended) = (ms_up(silence.end()), i64::from(silence.ended.is_some()));
            script.bind(silence.id.as_str()).bind(ends).bind(ended).bind(json(silence)?);
        }
    }
    Ok(())
}

impl SqlStore {
    pub(super) async fn read_silences(&self, in_force: Option<Timestamp>) -> Result<Vec<Silence>, StoreError> {
        let query = match in_force {
            Some(now) => sqlx::query(IN_FORCE).bind(ms(now)),
            None => sqlx::query(ALL),
        };
        let rows = query.bind(limit(SILENCES_MAX)).fetch_all(&self.readers).await?;
        rows.iter().map(|row| from_json(&text(row, "body")?, "a silence", &text(row, "id")?)).collect()
    }

    pub(super) async fn read_held(
        &self,
        after: Option<&Fingerprint>,
        most: usize,
    ) -> Result<Vec<Situation>, StoreError> {
        let after = after.map_or("", |fingerprint| fingerprint.0.as_str());
        let rows = sqlx::query(HELD).bind(after).bind(limit(most)).fetch_all(&self.readers).await?;
        rows.iter().map(|row| from_json(&text(row, "body")?, "a situation", &text(row, "fingerprint")?)).collect()
    }

    pub(super) async fn read_situations(&self, wanted: &[Fingerprint]) -> Result<Vec<Situation>, StoreError> {
        let mut found = vec![];
        for (sql, part) in SITUATIONS.cut(wanted) {
            let query = part.fold(sqlx::query(sql), |query, fingerprint| query.bind(fingerprint.0.as_str()));
            for row in query.fetch_all(&self.readers).await? {
                found.push(from_json(&text(&row, "body")?, "a situation", &text(&row, "fingerprint")?)?);
            }
        }
        Ok(found)
    }
}
