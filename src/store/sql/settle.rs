//! The ends of attempts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::SqlStore;
use super::batch::Rows;
use super::rows::{ms, number, text};
use super::script::Script;
use crate::core::notification::Kind;
use crate::store::{DeliveryState, Outcome, Settlement, StoreError};

/// NULL leaves the column as it is. A delivery that is finished stays as it is.
static END: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "WITH ends (id, state, unfinished, tried, due_ms, unknown, error, settled_ms) AS (VALUES",
        0,
        8,
        ") UPDATE outbox SET state = COALESCE(ends.state, outbox.state), unfinished = ends.unfinished, leased = 0, \
         attempts = outbox.attempts + ends.tried, due_ms = COALESCE(ends.due_ms, outbox.due_ms), \
         outcome_unknown = COALESCE(ends.unknown, outbox.outcome_unknown), \
         error = COALESCE(ends.error, outbox.error), settled_ms = ends.settled_ms \
         FROM ends WHERE outbox.id = ends.id AND outbox.unfinished = 1 \
         RETURNING id, sink, incident, fingerprint, kind",
    )
});
static REMEMBER: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO sink_memory (incident, sink, memory) VALUES",
        0,
        3,
        "ON CONFLICT (incident, sink) DO UPDATE SET memory = excluded.memory",
    )
});
static FORGET: LazyLock<Rows> =
    LazyLock::new(|| Rows::new("DELETE FROM sink_memory WHERE (incident, sink) IN (VALUES", 0, 2, ")"));
/// What follows the next trigger of the incident followed that one, and the largest id stands for none.
const CANCEL: &str = "UPDATE outbox SET state = 'cancelled', unfinished = 0, leased = 0, settled_ms = $1 WHERE unfinished = 1 \
     AND sink = $2 AND fingerprint = $3 AND incident = $4 AND id > $5 AND id < COALESCE((SELECT MIN(t.id) FROM outbox t \
     WHERE t.sink = $2 AND t.incident = $4 AND t.kind = 'trigger' AND t.id > $5), 9223372036854775807)";

impl SqlStore {
    pub(super) async fn end_attempts(&self, now: Timestamp, settlements: &[Settlement]) -> Result<(), StoreError> {
        if settlements.is_empty() {
            return Ok(());
        }
        let mut script = self.opening();
        for (sql, part) in END.cut(settlements) {
            part.iter().fold(script.add(sql), |script, settlement| {
                let change = Change::of(&settlement.outcome, now);
                script
                    .bind(settlement.id)
                    .bind(change.state.map(DeliveryState::as_str))
                    .bind(i64::from(change.settled_ms.is_none()))
                    .bind(i64::from(change.tried))
                    .bind(change.due_ms)
                    .bind(change.unknown.map(i64::from))
                    .bind(change.error)
                    .bind(change.settled_ms)
            });
        }
        let (work, ended) = self.begin_with(script).await?;
        let outcomes: BTreeMap<i64, &Outcome> = settlements.iter().map(|one| (one.id, &one.outcome)).collect();
        let mut script = Script::default();
        keep_memories(&mut script, &ended, &outcomes)?;
        for row in &ended {
            let dead = matches!(outcomes.get(&number(row, "id")?), Some(Outcome::Dead { .. }));
            if dead && text(row, "kind")? == Kind::Trigger.as_str() {
                script.add(CANCEL).bind(ms(now)).bind(text(row, "sink")?).bind(text(row, "fingerprint")?);
                script.bind(text(row, "incident")?).bind(number(row, "id")?);
            }
        }
        work.commit_with(script).await
    }
}

fn keep_memories(script: &mut Script, ended: &[AnyRow], outcomes: &BTreeMap<i64, &Outcome>) -> Result<(), StoreError> {
    // By incident and sink; the newest delivery's word is the last.
    let mut memories: BTreeMap<(String, String), (i64, Option<&str>)> = BTreeMap::new();
    for row in ended {
        let id = number(row, "id")?;
        if let Some(Outcome::Done { memory }) = outcomes.get(&id) {
            let told = memories.entry((text(row, "incident")?, text(row, "sink")?)).or_insert((id, None));
            if id >= told.0 {
                *told = (id, memory.as_deref());
            }
        }
    }
    let (kept, gone): (Vec<_>, Vec<_>) = memories.iter().partition(|(_, (_, memory))| memory.is_some());
    for (sql, part) in REMEMBER.cut(&kept) {
        part.iter().fold(script.add(sql), |script, ((incident, sink), (_, memory))| {
            script.bind(incident.as_str()).bind(sink.as_str()).bind(*memory)
        });
    }
    for (sql, part) in FORGET.cut(&gone) {
        part.iter()
            .fold(script.add(sql), |script, ((incident, sink), _)| script.bind(incident.as_str()).bind(sink.as_str()));
    }
    Ok(())
}

/// What an outcome changes in its row.
#[derive(Default)]
struct Change<'a> {
    state: Option<DeliveryState>,
    /// It counts as an attempt.
    tried: bool,
    due_ms: Option<i64>,
    unknown: Option<bool>,
    error: Option<&'a str>,
    settled_ms: Option<i64>,
}

impl<'a> Change<'a> {
    fn of(outcome: &'a Outcome, now: Timestamp) -> Self {
        let tried = Self { tried: true, ..Self::default() };
        match outcome {
            Outcome::Done { .. } => Self { state: Some(DeliveryState::Done), settled_ms: Some(ms(now)), ..tried },
            Outcome::Dead { error } => {
                Self { state: Some(DeliveryState::Dead), settled_ms: Some(ms(now)), error: Some(error), ..tried }
            }
            Outcome::Retry { at, outcome_unknown, error } => Self {
                state: Some(DeliveryState::Waiting),
                due_ms: Some(ms(*at)),
                unknown: Some(*outcome_unknown),
                error: Some(error),
                ..tried
            },
            Outcome::Parked { at, outcome_unknown, error } => Self {
                state: Some(DeliveryState::Parked),
                due_ms: Some(ms(*at)),
                unknown: Some(*outcome_unknown),
                error: Some(error),
                ..tried
            },
            Outcome::Released { at } => Self { due_ms: Some(ms(*at)), ..Self::default() },
        }
    }
}
