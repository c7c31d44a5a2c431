//! One scope once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::base::telemetry;
use crate::core::audit::{Judge, Known, report};
use crate::core::enrich;
use crate::core::event::KeyRef;
use crate::core::inspection::{Details, Inspection, Part, Wants};
use crate::core::observe::{By, Observation};
use crate::engine::Engine;
use crate::keys::{Inspect, Scope};

/// Keys looked at, and told to the engine, together; the inspector lets fewer go at once.
const TOGETHER: usize = 50;
/// Pages of one round, of 1,000 keys each.
const PAGES_MAX: usize = 200;
/// Keys remembered between two rounds.
const KEYS_MAX: usize = 200_000;

/// What is remembered of a scope from round to round.
pub(super) struct Round {
    scope: Scope,
    /// The page to go on with, where the last round broke off.
    marker: Option<String>,
    /// When a review was last whole.
    reviewed: Option<Instant>,
    /// Keys of the last whole round: who is not among them any more is asked about.
    known: HashSet<String>,
    /// Keys of this round so far.
    listed: HashSet<String>,
    /// Keys that AWS manages: nobody can put them in danger, so a review is enough for them.
    theirs: HashSet<String>,
}

/// Why a round broke off.
struct Broken(String);

impl Round {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            marker: None,
            reviewed: None,
            known: HashSet::new(),
            listed: HashSet::new(),
            theirs: HashSet::new(),
        }
    }

    /// Asks about all keys of the scope, and tells the engine.
    pub(super) async fn sweep(&mut self, engine: &Engine, inspect: &dyn Inspect, review_every: Duration) {
        let begun = Instant::now();
        let before: u64 = inspect.calls().values().sum();
        let review = self.reviewed.is_none_or(|at| at.elapsed() >= review_every);
        let ended = self.pages(engine, inspect, review).await;
        let calls = inspect.calls().values().sum::<u64>().saturating_sub(before);
        let (region, account) = (self.scope.region.as_str(), self.scope.account.as_deref().unwrap_or("own"));
        let seconds = begun.elapsed().as_secs_f64();
        match ended {
            Ok(()) => {
                if review {
                    self.reviewed = Some(begun);
                }
                telemetry::sweep_ended(account, region, "ok", calls);
                telemetry::swept(account, region, self.known.len(), engine.now());
                tracing::info!(
                    sweep.account = account,
                    sweep.region = region,
                    keys = self.known.len(),
                    calls,
                    seconds,
                    review,
                    "KMS was asked about all keys"
                );
            }
            Err(Broken(error)) => {
                telemetry::sweep_ended(account, region, "failed", calls);
                tracing::warn!(
                    sweep.account = account,
                    sweep.region = region,
                    keys = self.listed.len(),
                    calls,
                    seconds,
                    error,
                    "the sweep broke off; the next one goes on from here"
                );
            }
        }
    }

    async fn pages(&mut self, engine: &Engine, inspect: &dyn Inspect, review: bool) -> Result<(), Broken> {
        if self.marker.is_none() {
            self.listed.clear();
        }
        let aliases = inspect.aliases(&self.scope).await;
        for _ in 0..PAGES_MAX {
            let page = match inspect.list(&self.scope, self.marker.as_deref()).await {
                Part::Known(page) => page,
                other => {
                    let why = other.gap().unwrap_or("not asked");
                    // A marker that has grown old is of no use any more.
                    if why.contains("InvalidMarker") {
                        self.marker = None;
                    }
                    return Err(Broken(format!("kms:ListKeys: {why}")));
                }
            };
            let asked: Vec<String> =
                page.keys.iter().filter(|key| review || !self.theirs.contains(*key)).cloned().collect();
            self.look(engine, inspect, &asked, &aliases, review).await?;
            self.listed.extend(page.keys.into_iter().take(KEYS_MAX.saturating_sub(self.listed.len())));
            self.marker = page.next;
            if self.marker.is_none() {
                return self.vanished(engine, inspect, &aliases).await;
            }
        }
        self.marker = None;
        Err(Broken(format!("there are more than {PAGES_MAX} pages of keys")))
    }

    /// Who was listed the last time and is not any more.
    async fn vanished(&mut self, engine: &Engine, inspect: &dyn Inspect, aliases: &Aliases) -> Result<(), Broken> {
        let gone: Vec<String> = self.known.difference(&self.listed).cloned().collect();
        self.look(engine, inspect, &gone, aliases, false).await?;
        self.theirs.retain(|key| self.listed.contains(key));
        self.known = std::mem::take(&mut self.listed);
        Ok(())
    }

    async fn look(
        &mut self,
        engine: &Engine,
        inspect: &dyn Inspect,
        keys: &[String],
        aliases: &Aliases,
        review: bool,
    ) -> Result<(), Broken> {
        let wants = if review {
            Wants { aliases: false, last_usage: false, managed_by_aws: false, ..Wants::ALL }
        } else {
            Wants::NOTHING
        };
        for some in keys.chunks(TOGETHER) {
            let looks = some.iter().map(|key| inspect.look(&self.scope, key, wants));
            let mut seen: Vec<Inspection> = join_all(looks).await;
            for inspection in &mut seen {
                name(inspection, aliases);
                if inspection.details.known().is_some_and(Details::is_managed_by_aws) {
                    self.theirs.insert(inspection.arn.clone());
                }
            }
            tell(engine, inspect, some, &seen, review).await?;
        }
        Ok(())
    }
}

type Aliases = Part<HashMap<String, Vec<String>>>;

fn name(inspection: &mut Inspection, aliases: &Aliases) {
    let id = inspection.key().id;
    inspection.aliases = match aliases {
        Part::Known(names) => Part::Known(id.and_then(|id| names.get(&id).cloned()).unwrap_or_default()),
        other => other.clone().map(|_| Vec::new()),
    };
}

/// Tells the engine, and remembers who was asked about for the first time.
async fn tell(
    engine: &Engine,
    inspect: &dyn Inspect,
    arns: &[String],
    seen: &[Inspection],
    review: bool,
) -> Result<(), Broken> {
    let store = |error: crate::store::StoreError| Broken(format!("the store: {error}"));
    let remembered = engine.store().recall_keys(arns).await.map_err(store)?;
    let remembered: HashMap<&str, &KeyRef> =
        remembered.iter().filter_map(|key| Some((key.arn.as_deref()?, key))).collect();
    let policy = engine.policy();
    let judge = Judge { trust: &policy.trust, labels: &policy.labels, now: engine.now() };
    let mut observations = vec![];
    let mut fresh = vec![];
    for inspection in seen {
        let Some(mut observation) = Observation::of_inspection(By::Sweep, inspection) else { continue };
        let before = remembered.get(inspection.arn.as_str()).copied();
        // Events do not say who manages a key; only KMS does.
        observation.first = before.is_none_or(|key| key.manager.is_none());
        if review {
            let users = engine.users_of(&inspection.arn);
            let known = Known { remembered: before, users: &users };
            observation.more.extend(report(&judge.judge_knowing(inspection, known)));
        }
        let after = enrich::remember(&observation.event(), before);
        fresh.extend(after.filter(|after| Some(after) != before && !inspection.is_gone()));
        observations.push(observation);
    }
    engine.observe_asking(&observations, Some(inspect)).await.map_err(store)?;
    // Only now: if the daemon dies in between, they are new once more.
    if !fresh.is_empty() {
        engine.store().remember_keys(engine.now(), &fresh).await.map_err(store)?;
    }
    Ok(())
}
