//! Loop: tells a service elsewhere that all is well, again and again, so that it pages when we fall silent; and tells it trouble.
//!
//! Well is only what is proven. While nothing is known, as after a start, nothing is sent: the service waits for its time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::health::{Health, Pulse};
use crate::base::stop::Stop;
use crate::base::telemetry;
use crate::core::route::critical_sinks;
use crate::engine::Engine;
use crate::sink::ping::Ping;

/// How often the loops' health is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A ping that was not taken is sent again this much later: services take a few a minute.
const AGAIN_AFTER: Duration = Duration::from_secs(15);

pub struct Heartbeat {
    pub ping: Ping,
    pub every: Duration,
    pub engine: Arc<Engine>,
    pub health: Arc<Health>,
    pub stop: Stop,
}

impl Heartbeat {
    /// Runs until stopped.
    pub async fn run(self) {
        let mut beat = Beat::default();
        while self.stop.sleep(LOOK_EVERY).await {
            let policy = self.engine.policy();
            let trouble = match self.health.pulse(&critical_sinks(&policy.routes, &policy.sinks)) {
                Pulse::Well => None,
                Pulse::Trouble(reasons) => Some(reasons.join("\n")),
                Pulse::Unsure => continue,
            };
            let well = trouble.is_none();
            if !beat.is_due(well, self.every) {
                continue;
            }
            let sent = self.stop.unless_stopped(self.ping.send(trouble.as_deref())).await;
            match sent {
                None => return,
                Some(Ok(())) => {
                    telemetry::heartbeat(if well { "well" } else { "trouble" });
                    if beat.sent(well) {
                        match &trouble {
                            None => tracing::info!("the heartbeat's service is told that all is well"),
                            Some(reasons) => {
                                tracing::warn!(
                                    "the heartbeat's service is told of trouble: {}",
                                    reasons.replace('\n', "; ")
                                );
                            }
                        }
                    }
                }
                Some(Err(error)) => {
                    telemetry::heartbeat("failed");
                    if beat.failed() {
                        tracing::warn!(error = %error.detail, "the heartbeat's service does not take pings");
                    }
                }
            }
        }
    }
}

/// What was sent last.
#[derive(Debug, Default)]
struct Beat {
    /// Whether it said well, and when it was taken.
    last: Option<(bool, Instant)>,
    /// When one was refused that none taken has followed.
    refused: Option<Instant>,
}

impl Beat {
    /// At once when it is news, else at the interval.
    fn is_due(&self, well: bool, every: Duration) -> bool {
        if self.refused.is_some_and(|refused| refused.elapsed() < AGAIN_AFTER) {
            return false;
        }
        // Looked at every few seconds: a moment early is better than that much late.
        self.last.is_none_or(|(said, at)| said != well || at.elapsed() + LOOK_EVERY / 2 >= every)
    }

    /// Whether it was news.
    fn sent(&mut self, well: bool) -> bool {
        self.refused = None;
        self.last.replace((well, Instant::now())).is_none_or(|(said, _)| said != well)
    }

    /// Whether it is the first of a row.
    fn failed(&mut self) -> bool {
        self.refused.replace(Instant::now()).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn news_goes_at_once_and_the_rest_at_the_interval() {
        let every = Duration::from_mins(1);
        let mut beat = Beat::default();
        let mut sent = vec![];
        // Well for two minutes, then trouble for a minute and a half, then well; looked at every five seconds.
        for look in 0..60 {
            let well = !(24..42).contains(&look);
            if beat.is_due(well, every) {
                let news = beat.sent(well);
                sent.push((look * 5, well, news));
            }
            tokio::time::advance(LOOK_EVERY).await;
        }
        let wanted = [
            (0, true, true),
            (60, true, false),
            (120, false, true),
            (180, false, false),
            (210, true, true),
            (270, true, false),
        ];
        assert_eq!(sent, wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_one_is_sent_again_but_not_at_once() {
        let every = Duration::from_mins(1);
        let mut beat = Beat::default();
        assert!(beat.is_due(true, every) && beat.failed());
        assert!(!beat.is_due(true, every) && !beat.is_due(false, every));
        tokio::time::advance(AGAIN_AFTER).await;
        assert!(beat.is_due(true, every) && !beat.failed(), "said once");
        tokio::time::advance(AGAIN_AFTER).await;
        assert!(beat.is_due(true, every) && beat.sent(true));
        assert!(!beat.is_due(true, every));
    }
}
