//! Loop: harmless KMS calls of our own, which must come back through `CloudTrail`, `EventBridge` and a queue. The proof that
//! kmswatch hears; when it fails, kmswatch is blind, and says so.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use crate::base::health::{Health, Proof};
use crate::base::stop::Stop;
use crate::base::telemetry;
use crate::core::canary::{self, Call, Canary, Ears, Verdict, Why};
use crate::core::decide::OwnSubject;
use crate::engine::Engine;
use crate::keys::CanaryCalls;

/// How often a canary is looked at, at the least.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the loops of all canaries work with.
pub struct Canaries {
    pub engine: Arc<Engine>,
    pub caller: Arc<dyn CanaryCalls>,
    pub health: Arc<Health>,
    pub stop: Stop,
    /// Each with the visibility of its queue.
    pub all: Vec<(Canary, Duration)>,
}

impl Canaries {
    /// Says of every canary, before anything is received, that it proves nothing yet; and takes up what earlier lives called.
    pub async fn load(&self) {
        for (canary, _) in &self.all {
            self.health.watch_canary(&canary.name, &canary.queue, &canary.account, &canary.region);
        }
        let canaries = self.all.iter().map(|(canary, _)| canary.clone()).collect();
        if let Err(error) = self.engine.canaries().load(canaries, self.engine.now()).await {
            tracing::error!(%error, "earlier calls of canaries could not be read; their events are taken for calls of others");
        }
    }

    /// Runs until stopped.
    pub async fn run(self) {
        let shared = Arc::new(self);
        let mut loops = JoinSet::new();
        for (canary, visibility) in shared.all.clone() {
            let one = One { of: Arc::clone(&shared), canary, visibility, said: Said::Nothing };
            loops.spawn(one.run());
        }
        while let Some(ended) = loops.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the loop of a canary ended badly");
            }
        }
        // Without canaries there is nothing to do, and a loop that ends by itself is a bug.
        shared.stop.stopped().await;
    }
}

/// The loop of one canary.
struct One {
    of: Arc<Canaries>,
    canary: Canary,
    visibility: Duration,
    said: Said,
}

/// What was last said of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Well,
    Blind(Why),
}

impl One {
    async fn run(mut self) {
        let mut returns = self.of.engine.canaries().returns();
        while !self.of.stop.is_stopped() {
            let calls = self.of.engine.canaries().calls(&self.canary.name).await;
            let now = self.of.engine.now();
            if canary::due(&self.canary, &calls, now) <= now {
                self.call(now).await;
            }
            self.judge().await;
            let wait = self.wait().await;
            let news = async {
                if returns.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.of.stop.stopped() => return,
                () = news => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Until the next call is due, and not much longer.
    async fn wait(&self) -> Duration {
        let calls = self.of.engine.canaries().calls(&self.canary.name).await;
        let now = self.of.engine.now();
        let due = canary::due(&self.canary, &calls, now).duration_since(now);
        // What is due still could not be stored: the store is asked again after a while.
        if due.is_positive() { due.unsigned_abs().min(LOOK_EVERY) } else { LOOK_EVERY }
    }

    async fn call(&self, now: Timestamp) {
        let canaries = self.of.engine.canaries();
        let name = &self.canary.name;
        let call = Call::new(&self.canary, now);
        let id = call.id.clone();
        if let Err(error) = canaries.begin(call, now).await {
            // Said loudly by the engine already.
            tracing::debug!(canary.name = %name, %error, "a canary's call could not be kept, so it is not made");
            return;
        }
        let answer = self.of.caller.call(&self.canary, &id).await;
        telemetry::canary_called(name, answer.failed.is_none());
        if let Some(error) = &answer.failed {
            tracing::warn!(canary.name = %name, error, "a canary's call failed");
        }
        canaries.answered(name, &id, answer, self.of.engine.now()).await;
    }

    async fn judge(&mut self) {
        let calls = self.of.engine.canaries().calls(&self.canary.name).await;
        let now = self.of.engine.now();
        let proof = match canary::judge(&self.canary, &calls, &self.ears(now), now) {
            Verdict::Waiting => Proof::None,
            Verdict::Well { took, .. } => {
                if self.said != Said::Well {
                    let detail = format!("canary `{}` came back after {} s", self.canary.name, took.as_secs());
                    // What an earlier life of the daemon said is taken back too.
                    if self.of.engine.retract(&self.subject(), &detail).await {
                        tracing::info!(canary.name = %self.canary.name, queue.name = %self.canary.queue, "{detail}: events come");
                        self.said = Said::Well;
                    }
                }
                Proof::Well
            }
            Verdict::Blind(blind) => {
                if self.said != Said::Blind(blind.why) {
                    tracing::error!(canary.name = %self.canary.name, queue.name = %self.canary.queue, "blind: {}", blind.detail);
                    self.of.engine.report(&self.subject(), &blind.detail).await;
                    self.said = Said::Blind(blind.why);
                }
                Proof::Blind(blind.detail)
            }
        };
        let proof = match proof {
            // Blind until something comes back: that nothing is overdue at the moment is no proof.
            Proof::None if matches!(self.said, Said::Blind(_)) => return,
            proof => proof,
        };
        self.of.health.canary(&self.canary.name, proof);
        telemetry::queue_proven(&self.canary.queue, self.of.health.proven(&self.canary.queue));
    }

    fn subject(&self) -> OwnSubject {
        OwnSubject::Blind { canary: self.canary.name.clone() }
    }

    fn ears(&self, now: Timestamp) -> Ears {
        let heard = self.of.health.heard(&self.canary.queue);
        let ago = |length: Option<Duration>| now.checked_sub(SignedDuration::try_from(length?).ok()?).ok();
        Ears {
            since: ago(heard.hearing_for),
            last_answer: ago(heard.last_answer),
            last_empty: ago(heard.last_empty),
            last_message: heard.last_message,
            visibility: SignedDuration::try_from(self.visibility).unwrap_or(SignedDuration::MAX),
        }
    }
}
