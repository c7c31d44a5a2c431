//! Reads keys and judges them as they come.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::resume::Memory;
use super::{Audit, ScopeRead, talk};
use crate::core::audit::{Judge, Row, Tally};
use crate::core::inspection::{Inspection, Part, Wants};
use crate::keys::{Inspect, Scope};

/// How often it is said how far it is.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Pages of keys of one scope (1,000 each).
const PAGES_MAX: usize = 200;
/// Keys after each other without an answer, until a place is given up: our credentials have ended, or KMS is out of reach.
const UNANSWERED_MAX: usize = 50;
/// Keys on their way at once; the inspector lets fewer go.
const AT_ONCE: usize = 16;

/// Reads all scopes, one after the other.
pub(super) async fn gather(
    inspector: &dyn Inspect,
    scopes: &[Scope],
    wants: Wants,
    judge: &Judge<'_>,
    memory: &mut Memory,
) -> Audit {
    let begun = Instant::now();
    let mut rows = Vec::new();
    let mut read = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for scope in scopes {
        let (mut keys, mut why) = list(inspector, scope).await;
        // Our own account may have a role as well.
        keys.retain(|key| seen.insert(key.clone()));
        let failed = one(inspector, scope, &keys, wants, judge, memory, &mut rows).await;
        why = why.or(failed);
        read.push(ScopeRead { scope: scope.clone(), keys: keys.len(), why });
    }
    rows.sort_by(|a, b| b.worst().cmp(&a.worst()).then_with(|| a.name().cmp(b.name())));
    let tally = Tally::of(&rows);
    Audit {
        at: judge.now,
        seconds: begun.elapsed().as_secs_f64(),
        scopes: read,
        rows,
        tally,
        refusals: inspector.refusals(),
        calls: inspector.calls(),
    }
}

async fn list(inspector: &dyn Inspect, scope: &Scope) -> (Vec<String>, Option<String>) {
    let mut keys = Vec::new();
    let mut marker: Option<String> = None;
    for _ in 0..PAGES_MAX {
        match inspector.list(scope, marker.as_deref()).await {
            Part::Known(page) => {
                keys.extend(page.keys);
                marker = page.next;
                if marker.is_none() {
                    return (keys, None);
                }
            }
            other => return (keys, Some(format!("kms:ListKeys: {}", other.gap().unwrap_or("not asked")))),
        }
    }
    (keys, Some(format!("there are more than {PAGES_MAX} pages of keys")))
}

/// Reads the keys of one scope. Says why not all of it could be kept.
async fn one(
    inspector: &dyn Inspect,
    scope: &Scope,
    keys: &[String],
    wants: Wants,
    judge: &Judge<'_>,
    memory: &mut Memory,
    rows: &mut Vec<Row>,
) -> Option<String> {
    let fresh: Vec<&String> = keys
        .iter()
        .filter(|key| match memory.take(key) {
            Some(inspection) => {
                rows.push(judge.judge(&inspection));
                false
            }
            None => true,
        })
        .collect();
    if fresh.is_empty() {
        return None;
    }
    // The aliases of all keys take fewer requests than those of each.
    let aliases = if wants.aliases { inspector.aliases(scope).await } else { Part::NotAsked };
    let wants = Wants { aliases: false, ..wants };
    let begun = Instant::now();
    let mut said = begun;
    let mut failed = None;
    let mut looks =
        futures_util::stream::iter(fresh.iter().map(|key| inspector.look(scope, key, wants))).buffer_unordered(AT_ONCE);
    let mut done = 0;
    let mut unanswered = 0;
    while let Some(mut inspection) = looks.next().await {
        done += 1;
        name_it(&mut inspection, &aliases);
        if let Err(why) = memory.keep(&inspection) {
            failed = Some(why);
        }
        rows.push(judge.judge(&inspection));
        unanswered = if matches!(inspection.details, Part::Failed(_)) { unanswered + 1 } else { 0 };
        if unanswered >= UNANSWERED_MAX {
            let why = inspection.details.gap().unwrap_or_default();
            return Some(format!("given up after {unanswered} keys without an answer: {why}"));
        }
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            let left = begun
                .elapsed()
                .div_f64(f64::from(done))
                .saturating_mul(u32::try_from(fresh.len()).unwrap_or(u32::MAX) - done);
            talk(&format!("{scope}: {done} of {} keys, about {} s to go", fresh.len(), left.as_secs()));
        }
    }
    failed
}

fn name_it(inspection: &mut Inspection, aliases: &Part<std::collections::HashMap<String, Vec<String>>>) {
    let id = inspection.key().id;
    inspection.aliases = match aliases {
        Part::Known(names) => Part::Known(id.and_then(|id| names.get(&id).cloned()).unwrap_or_default()),
        other => other.clone().map(|_| Vec::new()),
    };
}
