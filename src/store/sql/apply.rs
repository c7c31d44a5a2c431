//! A decision and what it was made from, in one transaction.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sqlx::Row as _;

use super::SqlStore;
use super::batch::{List, Rows};
use super::rows::{from_json, json, limit, ms, ms_up, text};
use super::salvage;
use super::script::Script;
use super::silences::keep_silences;
use super::work::Work;
use crate::core::decide::{Decision, NewDelivery, ReadSet, Snapshot};
use crate::core::event::EventId;
use crate::core::incident::{Fingerprint, Situation, State};
use crate::core::notification::Kind;
use crate::store::{Decide, StoreError, kept_at};

/// An event that was seen has no body: so much tells its rows from those of situations, which come in the same answer.
static SEEN: LazyLock<List> =
    LazyLock::new(|| List::new("SELECT id AS name, NULL AS body FROM seen WHERE id IN", 0, ""));
static SITUATIONS: LazyLock<List> =
    LazyLock::new(|| List::new("SELECT fingerprint AS name, body FROM situations WHERE fingerprint IN", 0, ""));
static SITUATIONS_OF: LazyLock<List> = LazyLock::new(|| {
    List::new(
        "SELECT s.fingerprint AS name, s.body FROM incidents i JOIN situations s ON s.fingerprint = i.fingerprint WHERE i.id IN",
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
        "INSERT INTO situations (fingerprint, standing, due_ms, kept_ms, body, held) VALUES",
        0,
        6,
        "ON CONFLICT (fingerprint) DO UPDATE SET standing = excluded.standing, due_ms = excluded.due_ms, \
         kept_ms = excluded.kept_ms, body = excluded.body, held = excluded.held",
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

/// Resolves that came after their trigger was given up, and after which nothing else was or will be told there: nobody there knows what
/// ends. The triggers that count are those before it; the largest is the newest.
static CANCEL_LATE: LazyLock<List> = LazyLock::new(|| {
    List::new(
        "UPDATE outbox SET state = 'cancelled', unfinished = 0, settled_ms = created_ms \
         WHERE kind = 'resolve' AND unfinished = 1 AND leased = 0 AND attempts = 0 AND 'dead' = (SELECT t.state FROM outbox t \
         WHERE t.sink = outbox.sink AND t.incident = outbox.incident AND t.id < outbox.id \
         AND (t.kind = 'trigger' OR t.state IN ('waiting', 'parked', 'done')) ORDER BY t.id DESC LIMIT 1) AND incident IN",
        0,
        "",
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
        let (mut work, snapshot) = self.begin_with_snapshot(reads).await?;
        let decision = decide(&snapshot);
        if decision.is_empty() {
            work.leave().await?;
            return Ok(decision);
        }
        salvage::keep_aside(work.on(), &snapshot, &decision).await?;
        work.commit_with(store(&decision)?).await?;
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

    async fn begin_with_snapshot(&self, reads: &ReadSet) -> Result<(Work<'_>, Snapshot), StoreError> {
        let mut script = self.opening();
        for (sql, ids) in SEEN.cut(&reads.events) {
            ids.fold(script.add(sql), |script, id| script.bind(id.0.as_str()));
        }
        for (sql, fingerprints) in SITUATIONS.cut(&reads.fingerprints) {
            fingerprints.fold(script.add(sql), |script, fingerprint| script.bind(fingerprint.0.as_str()));
        }
        for (sql, incidents) in SITUATIONS_OF.cut(&reads.incidents) {
            incidents.fold(script.add(sql), |script, incident| script.bind(incident.as_str()));
        }
        let (mut work, rows) = self.begin_with(script).await?;
        let mut snapshot = Snapshot::default();
        let mut found = vec![];
        for row in rows {
            let name = text(&row, "name")?;
            match row.try_get::<Option<String>, _>("body") {
                Ok(None) => {
                    snapshot.seen.insert(EventId(name));
                }
                body => found.push((name, body.map(Option::unwrap_or_default).unwrap_or_default())),
            }
        }
        if let Some((now, most)) = reads.due {
            for row in sqlx::query(DUE).bind(ms(now)).bind(limit(most)).fetch_all(work.on()).await? {
                found.push((text(&row, "fingerprint")?, text(&row, "body").unwrap_or_default()));
            }
        }
        for (name, body) in found {
            match from_json::<Situation>(&body, "a situation", &name) {
                Ok(situation) => {
                    snapshot.situations.insert(situation.fingerprint.clone(), situation);
                }
                // One row must not hold all others, nor its own key's page.
                Err(error) => {
                    tracing::error!(%error, "a situation is made anew from its incident");
                    salvage::rebuild(work.on(), &mut snapshot, Fingerprint(name)).await?;
                }
            }
        }
        Ok((work, snapshot))
    }
}

fn store(decision: &Decision) -> Result<Script, StoreError> {
    let mut script = Script::default();
    for (sql, part) in PUT_SEEN.cut(&decision.seen) {
        part.iter().fold(script.add(sql), |script, (id, at)| script.bind(id.0.as_str()).bind(ms(*at)));
    }
    for (sql, part) in PUT_SITUATIONS.cut(&decision.situations) {
        script.add(sql);
        for situation in part {
            script
                .bind(situation.fingerprint.0.as_str())
                .bind(standing(situation))
                .bind(situation.next_due().map(ms_up))
                .bind(ms(kept_at(decision, situation)))
                .bind(json(situation)?)
                .bind(i64::from(situation.is_held()));
        }
    }
    let incidents: Vec<_> = decision.situations.iter().filter(|situation| situation.incident.is_some()).collect();
    for (sql, part) in PUT_INCIDENTS.cut(&incidents) {
        script.add(sql);
        for (situation, incident) in
            part.iter().filter_map(|situation| Some((*situation, situation.incident.as_ref()?)))
        {
            script
                .bind(incident.id.as_str())
                .bind(incident.fingerprint.0.as_str())
                .bind(standing(situation))
                .bind(incident.severity.as_str())
                .bind(ms(incident.opened_at))
                .bind(ms(kept_at(decision, situation)))
                .bind(json(incident)?);
        }
    }
    for (sql, part) in PUT_ALERTS.cut(&decision.alerts) {
        script.add(sql);
        for alert in part {
            script.bind(alert.incident.as_str()).bind(json(alert)?);
        }
    }
    for (sql, part) in PUT_HISTORY.cut(&decision.history) {
        script.add(sql);
        for entry in part {
            script.bind(entry.incident.as_str()).bind(json(entry)?);
        }
    }
    keep_silences(&mut script, &decision.silences)?;
    put_deliveries(&mut script, &decision.deliveries)?;
    Ok(script)
}

fn put_deliveries(script: &mut Script, deliveries: &[NewDelivery]) -> Result<(), StoreError> {
    for (sql, part) in PUT_DELIVERIES.cut(deliveries) {
        script.add(sql);
        for NewDelivery { sink, notification } in part {
            let at = ms(notification.at);
            script
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
    }
    let ended: BTreeSet<&str> = deliveries
        .iter()
        .filter(|new| new.notification.kind == Kind::Resolve)
        .map(|new| new.notification.incident.id.as_str())
        .collect();
    let ended: Vec<&str> = ended.into_iter().collect();
    for (sql, part) in CANCEL_LATE.cut(&ended) {
        part.fold(script.add(sql), |script, incident| script.bind(*incident));
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
