//! Long stories lose their middle. To find them means counting, so that is done by a reader, who holds nobody; only taking out
//! needs the write lock.

use super::SqlStore;
use super::rows::{limit, text};
use crate::store::{FIRST_KEPT, NEWEST_KEPT, StoreError};

/// Incidents looked at in one step.
const INCIDENTS: i64 = 16;
/// Rows of one kind that one step takes out, at most.
const STEP: u64 = 500;

struct Kind {
    /// Takes the number of rows that are kept, and the bound.
    long: &'static str,
    /// Takes the incident, how many of the newest are kept, how many of the first are kept, and the bound. It counts for itself:
    /// another process may have been faster. One row fewer than the newest are skipped, and those before the next one go.
    shorten: &'static str,
    remember: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        long: "SELECT incident FROM alerts GROUP BY incident HAVING COUNT(*) > $1 LIMIT $2",
        shorten: "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE incident = $1 AND id < \
             (SELECT id FROM alerts WHERE incident = $1 ORDER BY id DESC LIMIT 1 OFFSET $2) ORDER BY id LIMIT $4 OFFSET $3)",
        remember: "UPDATE incidents SET forgotten_alerts = forgotten_alerts + $1 WHERE id = $2",
    },
    Kind {
        long: "SELECT incident FROM history GROUP BY incident HAVING COUNT(*) > $1 LIMIT $2",
        shorten: "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE incident = $1 AND id < \
             (SELECT id FROM history WHERE incident = $1 ORDER BY id DESC LIMIT 1 OFFSET $2) ORDER BY id LIMIT $4 OFFSET $3)",
        remember: "UPDATE incidents SET forgotten_history = forgotten_history + $1 WHERE id = $2",
    },
];

impl SqlStore {
    /// Returns how many rows were taken out; 0: no story is long.
    pub(super) async fn shorten_stories(&self) -> Result<u64, StoreError> {
        let mut touched = 0;
        for kind in &KINDS {
            let query = sqlx::query(kind.long).bind(limit(FIRST_KEPT + NEWEST_KEPT)).bind(INCIDENTS);
            let found = query.fetch_all(&self.readers).await?;
            if found.is_empty() {
                continue;
            }
            let mut work = self.begin().await?;
            let mut left = STEP;
            for row in found {
                let incident = text(&row, "incident")?;
                let query = sqlx::query(kind.shorten).bind(incident.as_str()).bind(limit(NEWEST_KEPT - 1));
                let query = query.bind(limit(FIRST_KEPT)).bind(left.cast_signed());
                let gone = query.execute(work.on()).await?.rows_affected();
                let query = sqlx::query(kind.remember).bind(gone.cast_signed()).bind(incident.as_str());
                query.execute(work.on()).await?;
                touched += gone;
                left = left.saturating_sub(gone);
                if left == 0 {
                    break;
                }
            }
            work.commit().await?;
        }
        Ok(touched)
    }
}
