//! What people and gauges ask for. Readers never wait for the writer.

use sqlx::Row as _;

use super::SqlStore;
use super::keep::QUARANTINED;
use super::rows::{corrupt, count, delivery, delivery_columns, from_json, limit, number, situation, text, time};
use crate::core::incident::{Fingerprint, Incident, Situation};
use crate::core::rule::Severity;
use crate::store::{
    Delivery, DeliveryState, Forgotten, IncidentFilter, Stats, StoreError, StoreErrorKind, Story, StoryDelivery,
};

const INCIDENTS: &str = "SELECT id, body FROM incidents ORDER BY opened_ms DESC, id DESC LIMIT $1";
const OPEN_INCIDENTS: &str =
    "SELECT id, body FROM incidents WHERE standing = 'open' ORDER BY opened_ms DESC, id DESC LIMIT $1";
const INCIDENT: &str = "SELECT id, body, forgotten_alerts, forgotten_history FROM incidents WHERE id = $1";
/// Ids are compared letter by letter: what sorts after a prefix depends on the database's collation.
const BY_PREFIX: &str = "SELECT id FROM incidents WHERE substr(id, 1, length($1)) = $1 ORDER BY id LIMIT 2";
const ALERTS: &str = "SELECT id, body FROM alerts WHERE incident = $1 ORDER BY id";
const HISTORY: &str = "SELECT id, body FROM history WHERE incident = $1 ORDER BY id";
const OF_INCIDENT: &str =
    concat!("SELECT ", delivery_columns!(), ", o.settled_ms FROM outbox o WHERE o.incident = $1 ORDER BY o.id");
const OPEN_SITUATIONS: &str = "SELECT fingerprint, body FROM situations WHERE standing = 'open' AND fingerprint > $1 \
     ORDER BY fingerprint LIMIT $2";
/// The ids are sorted without their bodies.
const DELIVERIES: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM outbox o WHERE o.id IN (SELECT id FROM outbox WHERE state IN ($1, $2, $3, $4, $5) ORDER BY id LIMIT $6) ORDER BY o.id"
);
/// The `+` keeps the planner on the primary key: whoever reads on from where they were then reads what is new and little else, where
/// the index of what is urgent would be sorted anew for each page.
pub(super) const UNFINISHED: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM outbox o WHERE +o.sink = $1 AND +o.unfinished = 1 AND o.id > $2 ORDER BY o.id LIMIT $3 + 0"
);
const IS_UNFINISHED: &str = "SELECT id FROM outbox WHERE sink = $1 AND notification = $2 AND unfinished = 1";
const OUTBOX: &str = "SELECT sink, state, COUNT(*) AS n, MIN(created_ms) AS oldest FROM outbox \
     WHERE state IN ('waiting', 'parked', 'dead') GROUP BY sink, state";
const OPEN_BY_SEVERITY: &str =
    "SELECT severity, COUNT(*) AS n FROM incidents WHERE standing = 'open' GROUP BY severity";

impl SqlStore {
    pub(super) async fn read_incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, StoreError> {
        let sql = if filter.open { OPEN_INCIDENTS } else { INCIDENTS };
        let rows = sqlx::query(sql).bind(limit(filter.limit)).fetch_all(&self.readers).await?;
        let mut incidents = vec![];
        for row in rows {
            // One that does not read back must not hide the others.
            match from_json(&text(&row, "body")?, "an incident", &text(&row, "id")?) {
                Ok(incident) => incidents.push(incident),
                Err(error) => tracing::error!(%error, "an incident is left out of the list"),
            }
        }
        Ok(incidents)
    }

    pub(super) async fn read_story(&self, wanted: &str) -> Result<Option<Story>, StoreError> {
        let mut on = self.readers.acquire().await?;
        // One view of everything, whatever is written meanwhile.
        let mut view = sqlx::Connection::begin(&mut *on).await?;
        let mut found = sqlx::query(INCIDENT).bind(wanted).fetch_optional(&mut *view).await?;
        if found.is_none() && !wanted.is_empty() {
            let ids = sqlx::query(BY_PREFIX).bind(wanted).fetch_all(&mut *view).await?;
            if let [only] = ids.as_slice() {
                found = sqlx::query(INCIDENT).bind(text(only, "id")?).fetch_optional(&mut *view).await?;
            }
        }
        let Some(found) = found else { return Ok(None) };
        let id = text(&found, "id")?;
        let incident: Incident = from_json(&text(&found, "body")?, "an incident", &id)?;
        let forgotten =
            Forgotten { alerts: count(&found, "forgotten_alerts")?, history: count(&found, "forgotten_history")? };
        let mut story = Story { incident, alerts: vec![], history: vec![], deliveries: vec![], forgotten };
        for row in sqlx::query(ALERTS).bind(id.as_str()).fetch_all(&mut *view).await? {
            story.alerts.push(from_json(&text(&row, "body")?, "an alert", &number(&row, "id")?.to_string())?);
        }
        for row in sqlx::query(HISTORY).bind(id.as_str()).fetch_all(&mut *view).await? {
            story.history.push(from_json(&text(&row, "body")?, "a line of history", &number(&row, "id")?.to_string())?);
        }
        for row in sqlx::query(OF_INCIDENT).bind(id.as_str()).fetch_all(&mut *view).await? {
            let Delivery { sink, notification, state, attempts, created_at, last_error, .. } = delivery(&row)?;
            let (kind, reason) = (notification.kind, notification.reason);
            let settled_at = row.try_get::<Option<i64>, _>("settled_ms")?.map(time).transpose()?;
            let one = StoryDelivery { sink, kind, reason, state, attempts, created_at, settled_at, last_error };
            story.deliveries.push(one);
        }
        view.rollback().await?;
        Ok(Some(story))
    }

    pub(super) async fn read_open_situations(
        &self,
        after: Option<&Fingerprint>,
        most: usize,
    ) -> Result<Vec<Situation>, StoreError> {
        let after = after.map_or("", |fingerprint| fingerprint.0.as_str());
        let rows = sqlx::query(OPEN_SITUATIONS).bind(after).bind(limit(most)).fetch_all(&self.readers).await?;
        // One that does not read back is named at least: whoever decides on it makes it anew.
        let named = |row| Ok(Situation::new(Fingerprint(text(row, "fingerprint")?)));
        rows.iter().map(|row| situation(row).or_else(|_| named(row))).collect()
    }

    pub(super) async fn read_deliveries(
        &self,
        states: &[DeliveryState],
        most: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let wanted = DeliveryState::ALL.iter().map(|state| states.contains(state).then_some(state.as_str()));
        let query = wanted.fold(sqlx::query(DELIVERIES), sqlx::query::Query::bind);
        query.bind(limit(most)).fetch_all(&self.readers).await?.iter().map(delivery).collect()
    }

    pub(super) async fn read_unfinished(
        &self,
        sink: &str,
        after: i64,
        most: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let query = sqlx::query(UNFINISHED).bind(sink).bind(after).bind(limit(most));
        let rows = query.fetch_all(&self.readers).await?;
        let mut page = vec![];
        for row in &rows {
            match delivery(row) {
                Ok(delivery) => page.push(delivery),
                // It must not hide all others; whoever claims it gives it up.
                Err(error) if error.kind == StoreErrorKind::Corrupt => {
                    tracing::warn!(delivery.id = number(row, "id")?, sink.name = sink, %error, "a delivery is passed over");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    pub(super) async fn read_any_unfinished(&self, wanted: &[(String, String)]) -> Result<bool, StoreError> {
        for (sink, notification) in wanted {
            let query = sqlx::query(IS_UNFINISHED).bind(sink).bind(notification);
            if query.fetch_optional(&self.readers).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn read_stats(&self) -> Result<Stats, StoreError> {
        let mut stats = Stats::default();
        for row in sqlx::query(OUTBOX).fetch_all(&self.readers).await? {
            let sink = stats.sinks.entry(text(&row, "sink")?).or_default();
            let n = count(&row, "n")?;
            match text(&row, "state")?.as_str() {
                "waiting" => sink.waiting = n,
                "parked" => sink.parked = n,
                _ => {
                    sink.dead = n;
                    continue;
                }
            }
            let oldest = time(number(&row, "oldest")?)?;
            sink.oldest = Some(sink.oldest.map_or(oldest, |known| known.min(oldest)));
        }
        for row in sqlx::query(OPEN_BY_SEVERITY).fetch_all(&self.readers).await? {
            let name = text(&row, "severity")?;
            let severity = Severity::ALL.into_iter().find(|severity| severity.as_str() == name);
            let severity = severity.ok_or_else(|| corrupt("an incident's severity", name))?;
            stats.open_incidents.insert(severity, count(&row, "n")?);
        }
        let quarantine = sqlx::query(QUARANTINED).fetch_one(&self.readers).await?;
        (stats.quarantined, stats.quarantined_bytes) = (count(&quarantine, "n")?, count(&quarantine, "bytes")?);
        Ok(stats)
    }
}
