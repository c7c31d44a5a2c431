//! One scope once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::sight::{Seen, Sight};
use crate::base::telemetry;
use crate::core::audit::{Judge, Known, report};
use crate::core::enrich;
use crate::core::inspection::{Details, Inspection, Part, Wants};
use crate::core::observe::{By, Observation};
use crate::engine::Engine;
use crate::keys::{Inspect, Scope};
use crate::store::{KnownKey, StoreError};

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
    /// When this round began with the first page, and whether it reads everything.
    begun: Instant,
    review: bool,
    /// When a review began last that came to the last page.
    reviewed: Option<Instant>,
    /// Keys of the last whole round: who is not among them any more is asked about.
    known: HashSet<String>,
    /// Keys of this round so far.
    listed: HashSet<String>,
    /// Keys that AWS manages: nobody can put them in danger, so a review is enough for them.
    theirs: HashSet<String>,
    /// What this round has seen so far of the keys that it asked about.
    seen: Seen,
    sight: Sight,
}

/// Why a round broke off.
enum Broken {
    Kms(String),
    Store(String),
}

impl Round {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            sight: Sight::of(&scope),
            scope,
            marker: None,
            begun: Instant::now(),
            review: false,
            reviewed: None,
            known: HashSet::new(),
            listed: HashSet::new(),
            theirs: HashSet::new(),
            seen: Seen::default(),
        }
    }

    /// Asks about all keys of the scope, and tells the engine.
    pub(super) async fn sweep(&mut self, engine: &Engine, inspect: &dyn Inspect, review_every: Duration) {
        let started = Instant::now();
        let before: u64 = inspect.calls().values().sum();
        self.begin(review_every);
        let ended = self.pages(engine, inspect).await;
        let calls = inspect.calls().values().sum::<u64>().saturating_sub(before);
        let (account, region) = (self.scope.account.as_deref().unwrap_or("own"), self.scope.region.as_str());
        let (seconds, review, unseen) = (started.elapsed().as_secs_f64(), self.review, self.seen.unseen());
        match ended {
            Ok(keys) => {
                if review {
                    self.reviewed = Some(self.begun);
                }
                telemetry::sweep_saw(account, region, keys, unseen);
                let too_little = self.seen.too_little();
                if let Some(error) = &too_little {
                    telemetry::sweep_ended(account, region, "partial", calls);
                    tracing::warn!(
                        sweep.account = account,
                        sweep.region = region,
                        keys,
                        calls,
                        seconds,
                        review,
                        error,
                        "the sweep saw too little"
                    );
                } else {
                    telemetry::sweep_ended(account, region, "ok", calls);
                    telemetry::swept(account, region, engine.now());
                    tracing::info!(
                        sweep.account = account,
                        sweep.region = region,
                        keys,
                        unseen,
                        calls,
                        seconds,
                        review,
                        "KMS was asked about all keys"
                    );
                }
                self.sight.ended(engine, too_little.as_deref()).await;
            }
            Err(broken) => {
                let (Broken::Kms(error) | Broken::Store(error)) = &broken;
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
                if let Broken::Kms(error) = &broken {
                    self.sight.ended(engine, Some(error)).await;
                }
            }
        }
    }

    /// Goes on with the round that broke off, or begins one. A review reads every key: when it is due, it does not go on in the middle of
    /// a round that was none.
    fn begin(&mut self, review_every: Duration) {
        let due = self.reviewed.is_none_or(|at| at.elapsed() >= review_every);
        if due && !self.review {
            self.marker = None;
        }
        if self.marker.is_none() {
            (self.begun, self.review) = (Instant::now(), due);
            self.listed.clear();
            self.seen = Seen::default();
        }
    }

    /// How many keys there are.
    async fn pages(&mut self, engine: &Engine, inspect: &dyn Inspect) -> Result<usize, Broken> {
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
                    return Err(Broken::Kms(format!("kms:ListKeys: {why}")));
                }
            };
            let asked: Vec<String> =
                page.keys.iter().filter(|key| self.review || !self.theirs.contains(*key)).cloned().collect();
            self.look(engine, inspect, &asked, &aliases, Asked::Listed).await?;
            self.listed.extend(page.keys.into_iter().take(KEYS_MAX.saturating_sub(self.listed.len())));
            self.marker = page.next;
            if self.marker.is_none() {
                let keys = self.listed.len();
                self.vanished(engine, inspect, &aliases).await?;
                return Ok(keys);
            }
        }
        self.marker = None;
        Err(Broken::Kms(format!("there are more than {PAGES_MAX} pages of keys")))
    }

    /// Who was listed the last time and is not any more.
    async fn vanished(&mut self, engine: &Engine, inspect: &dyn Inspect, aliases: &Aliases) -> Result<(), Broken> {
        let gone: Vec<String> = self.known.difference(&self.listed).cloned().collect();
        let destroyed = self.look(engine, inspect, &gone, aliases, Asked::Vanished).await?;
        self.theirs.retain(|key| self.listed.contains(key));
        self.known = std::mem::take(&mut self.listed);
        // Of whom KMS did not say that it is gone, it is asked again the next time.
        let room = KEYS_MAX.saturating_sub(self.known.len());
        self.known.extend(gone.into_iter().filter(|key| !destroyed.contains(key)).take(room));
        Ok(())
    }

    /// Returns the keys of which KMS knows nothing any more.
    async fn look(
        &mut self,
        engine: &Engine,
        inspect: &dyn Inspect,
        keys: &[String],
        aliases: &Aliases,
        asked: Asked,
    ) -> Result<HashSet<String>, Broken> {
        let review = self.review && asked == Asked::Listed;
        let wants = if review {
            Wants { aliases: false, last_usage: false, managed_by_aws: false, ..Wants::ALL }
        } else {
            Wants::NOTHING
        };
        let mut destroyed = HashSet::new();
        for some in keys.chunks(TOGETHER) {
            let looks = some.iter().map(|key| inspect.look(&self.scope, key, wants));
            let mut seen: Vec<Inspection> = join_all(looks).await;
            for inspection in &mut seen {
                name(inspection, aliases);
                if inspection.is_gone() {
                    if asked == Asked::Listed {
                        inspection.details = Part::Failed("KMS lists the key and does not know it".to_owned());
                    } else {
                        destroyed.insert(inspection.arn.clone());
                    }
                }
                if inspection.details.known().is_some_and(Details::is_managed_by_aws) {
                    self.theirs.insert(inspection.arn.clone());
                }
                self.seen.take(inspection);
            }
            tell(engine, inspect, some, &seen, review).await?;
        }
        Ok(destroyed)
    }
}

/// Why a key is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// KMS has just listed it, so it is not gone, whatever one answer says.
    Listed,
    /// It was listed the last time and is not any more.
    Vanished,
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
    let store = |error: StoreError| Broken::Store(format!("the store: {error}"));
    let remembered = engine.store().recall_keys(arns).await.map_err(store)?;
    let remembered: HashMap<&str, &KnownKey> =
        remembered.iter().filter_map(|known| Some((known.key.arn.as_deref()?, known))).collect();
    let policy = engine.policy();
    let judge = Judge { trust: &policy.trust, labels: &policy.labels, now: engine.now() };
    let mut observations = vec![];
    let mut fresh = vec![];
    for inspection in seen {
        let Some(mut observation) = Observation::of_inspection(By::Sweep, inspection) else { continue };
        let before = remembered.get(inspection.arn.as_str()).copied();
        // That an event was looked up says nothing of how the key was before.
        observation.first = before.is_none_or(|known| !known.swept);
        let old = before.map(|known| &known.key);
        if review {
            let users = engine.users_of(&inspection.arn);
            let known = Known { remembered: old, users: &users.seen, forgotten: users.forgotten };
            observation.more.extend(report(&judge.judge_knowing(inspection, known)));
        }
        let after = enrich::remember(&observation.event(), old).map(|key| KnownKey { key, swept: true });
        fresh.extend(after.filter(|after| Some(after) != before && !inspection.is_gone()));
        observations.push(observation);
    }
    if review {
        learn_policies(engine, seen).await.map_err(store)?;
    }
    engine.observe_asking(&observations, Some(inspect)).await.map_err(store)?;
    // Only now: if the daemon dies in between, they are new once more.
    if !fresh.is_empty() {
        engine.remember_keys(&fresh).await.map_err(store)?;
    }
    Ok(())
}

/// What KMS says of policies is what the next one is compared with, where no event told of one.
async fn learn_policies(engine: &Engine, seen: &[Inspection]) -> Result<(), StoreError> {
    let mut lessons = vec![];
    for inspection in seen {
        let Some(text) = inspection.policy.known() else { continue };
        let known = engine.readable_history(&inspection.arn).await?;
        lessons.extend(known.unwrap_or_default().reading(&inspection.arn, inspection.read_at, text));
    }
    if lessons.is_empty() { Ok(()) } else { engine.store().keep_lessons(engine.now(), &lessons).await }
}
