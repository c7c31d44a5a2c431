//! A decision and what it was made from, in one transaction.

use std::sync::LazyLock;

use sqlx::AnyConnection;

use super::SqlStore;
use super::batch::{List, Rows};
use super::rows::{from_json, json, limit, ms, ms_up, text};
use crate::core::decide::{Decision, NewDelivery, ReadSet, Snapshot};
use crate::core::event::EventId;
use crate::core::incident::{Situation, State};
use crate::store::{Decide, StoreError, kept_at};

static SEEN: LazyLock<List> = LazyLock::new(|| List::new("SELECT id FROM seen WHERE id IN", 0, ""));
static SITUATIONS: LazyLock<List> =
    LazyLock::new(|| List::new("SELECT fingerprint, body FROM situations WHERE fingerprint IN", 0, ""));
static SITUATIONS_OF: LazyLock<List> = LazyLock::new(|| {
    List::new(
        "SELECT s.fingerprint, s.body FROM incidents i JOIN situations s ON s.fingerprint = i.fingerprint WHERE i.id IN",
        0,
        "",
    )
});
const ANY_DUE: &str = "SELECT due_ms FROM situations WHERE due_ms <= $1 LIMIT 1";
const DUE: &str = "SELECT fingerprint, body FROM situations WHERE due_ms <= $1 ORDER BY due_ms, fingerprint LIMIT $2";

static PUT_SEEN: LazyLock<Rows> =
    LazyLock::new(|| Rows::new("INSERT INTO seen (id, at_ms) VALUES", 0, 2, "ON CONFLICT (id) DO NOTHING"));
static PUT_SITUATIONS: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO situations (fingerprint, standing, due_ms, kept_ms, body) VALUES",
        0,
        5,
        "ON CONFLICT (fingerprint) DO UPDATE SET standing = excluded.standing, due_ms = excluded.due_ms, \
         kept_ms = excluded.kept_ms, body = excluded.body",
    )
});
static PUT_INCIDENTS: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO incidents (id, fingerprint, standing, severity, opened_ms, kept_ms, body) VALUES",
        0,
        7,
        "ON CONFLICT (id) DO UPDATE SET standing = excluded.standing, severity = excluded.severity, \
         opened_ms = excluded.opened_ms, kept_ms = excluded.kept_ms, body = excluded.body",
    )
});
static PUT_ALERTS: LazyLock<Rows> = LazyLock::new(|| Rows::new("INSERT INTO alerts (incident, body) VALUES", 0, 2, ""));
static PUT_HISTORY: LazyLock<Rows> =
    LazyLock::new(|| Rows::new("INSERT INTO history (incident, body) VALUES", 0, 2, ""));
static PUT_DELIVERIES: LazyLock<Rows> = LazyLock::new(|| {
    // The constants are the beginning of a delivery's life: waiting, unfinished, not leased, never tried.
    Rows::new(
        "INSERT INTO outbox (sink, notification, fingerprint, incident, kind, rank, created_ms, due_ms, body, \
         state, unfinished, leased, attempts, outcome_unknown) VALUES",
        0,
        14,
        "ON CONFLICT (sink, notification) DO NOTHING",
    )
});

impl SqlStore {
    pub(super) async fn apply_decision(&self, reads: &ReadSet, decide: Decide<'_>) -> Result<Decision, StoreError> {
        if self.nothing_due(reads).await? {
            let decision = decide(&Snapshot::default());
            if decision.is_empty() {
                return Ok(decision);
            }
        }
        let mut work = self.begin().await?;
        let snapshot = snapshot(work.on(), reads).await?;
        let decision = decide(&snapshot);
        if decision.is_empty() {
            work.leave().await?;
            return Ok(decision);
        }
        store(work.on(), &decision).await?;
        work.commit().await?;
        Ok(decision)
    }

    /// Whether only timers are asked for and none is due: then nobody has to wait for the write lock.
    async fn nothing_due(&self, reads: &ReadSet) -> Result<bool, StoreError> {
        let Some((now, _)) = reads.due else { return Ok(false) };
        if !(reads.events.is_empty() && reads.fingerprints.is_empty() && reads.incidents.is_empty()) {
            return Ok(false);
        }
        Ok(sqlx::query(ANY_DUE).bind(ms(now)).fetch_optional(&self.readers).await?.is_none())
    }
}

async fn snapshot(on: &mut AnyConnection, reads: &ReadSet) -> Result<Snapshot, StoreError> {
    let mut snapshot = Snapshot::default();
    for (sql, ids) in SEEN.cut(&reads.events) {
        let query = ids.fold(sqlx::query(sql), |query, id| query.bind(id.0.as_str()));
        for row in query.fetch_all(&mut *on).await? {
            snapshot.seen.insert(EventId(text(&row, "id")?));
        }
    }
    let mut found = vec![];
    for (sql, fingerprints) in SITUATIONS.cut(&reads.fingerprints) {
        let query = fingerprints.fold(sqlx::query(sql), |query, fingerprint| query.bind(fingerprint.0.as_str()));
        found.extend(query.fetch_all(&mut *on).await?);
    }
    for (sql, incidents) in SITUATIONS_OF.cut(&reads.incidents) {
        let query = incidents.fold(sqlx::query(sql), |query, incident| query.bind(incident.as_str()));
        found.extend(query.fetch_all(&mut *on).await?);
    }
    for row in found {
        let situation: Situation = from_json(&text(&row, "body")?, "a situation", &text(&row, "fingerprint")?)?;
        snapshot.situations.insert(situation.fingerprint.clone(), situation);
    }
    if let Some((now, most)) = reads.due {
        for row in sqlx::query(DUE).bind(ms(now)).bind(limit(most)).fetch_all(&mut *on).await? {
            match from_json::<Situation>(&text(&row, "body")?, "a situation", &text(&row, "fingerprint")?) {
                Ok(situation) => {
                    snapshot.situations.insert(situation.fingerprint.clone(), situation);
                }
                // It must not hold the timers of all others.
                Err(error) => tracing::error!(%error, "a timer cannot be looked at"),
            }
        }
    }
    Ok(snapshot)
}

async fn store(on: &mut AnyConnection, decision: &Decision) -> Result<(), StoreError> {
    for (sql, part) in PUT_SEEN.cut(&decision.seen) {
        let query = part.iter().fold(sqlx::query(sql), |query, (id, at)| query.bind(id.0.as_str()).bind(ms(*at)));
        query.execute(&mut *on).await?;
    }
    for (sql, part) in PUT_SITUATIONS.cut(&decision.situations) {
        let mut query = sqlx::query(sql);
        for situation in part {
            query = query
                .bind(situation.fingerprint.0.as_str())
                .bind(standing(situation))
                .bind(situation.next_due().map(ms_up))
                .bind(ms(kept_at(decision, situation)))
                .bind(json(situation)?);
        }
        query.execute(&mut *on).await?;
    }
    let incidents: Vec<_> = decision.situations.iter().filter(|situation| situation.incident.is_some()).collect();
    for (sql, part) in PUT_INCIDENTS.cut(&incidents) {
        let mut query = sqlx::query(sql);
        for (situation, incident) in
            part.iter().filter_map(|situation| Some((*situation, situation.incident.as_ref()?)))
        {
            query = query
                .bind(incident.id.as_str())
                .bind(incident.fingerprint.0.as_str())
                .bind(standing(situation))
                .bind(incident.severity.as_str())
                .bind(ms(incident.opened_at))
                .bind(ms(kept_at(decision, situation)))
                .bind(json(incident)?);
        }
        query.execute(&mut *on).await?;
    }
    for (sql, part) in PUT_ALERTS.cut(&decision.alerts) {
        let mut query = sqlx::query(sql);
        for alert in part {
            query = query.bind(alert.incident.as_str()).bind(json(alert)?);
        }
        query.execute(&mut *on).await?;
    }
    for (sql, part) in PUT_HISTORY.cut(&decision.history) {
        let mut query = sqlx::query(sql);
        for entry in part {
            query = query.bind(entry.incident.as_str()).bind(json(entry)?);
        }
        query.execute(&mut *on).await?;
    }
    put_deliveries(on, &decision.deliveries).await
}

async fn put_deliveries(on: &mut AnyConnection, deliveries: &[NewDelivery]) -> Result<(), StoreError> {
    for (sql, part) in PUT_DELIVERIES.cut(deliveries) {
        let mut query = sqlx::query(sql);
        for NewDelivery { sink, notification } in part {
            let at = ms(notification.at);
            query = query
                .bind(sink.as_str())
                .bind(notification.id.as_str())
                .bind(notification.incident.fingerprint.0.as_str())
                .bind(notification.incident.id.as_str())
                .bind(notification.kind.as_str())
                .bind(notification.incident.severity as i64)
                .bind(at)
                .bind(at)
                .bind(json(notification)?)
                .bind("waiting")
                .bind(1_i64)
                .bind(0_i64)
                .bind(0_i64)
                .bind(0_i64);
        }
        query.execute(&mut *on).await?;
    }
    Ok(())
}

fn standing(situation: &Situation) -> &'static str {
    match situation.incident.as_ref().map(|incident| incident.state) {
        None => "marker",
        Some(State::Resolved) => "resolved",
        Some(State::Open | State::Acknowledged) => "open",
    }
}
