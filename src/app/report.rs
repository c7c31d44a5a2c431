//! What the delivery lanes and the archive report becomes incidents; and the mark that a played story puts on every card.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::base::clock::Timestamp;
use crate::base::stop::Stop;
use crate::core::decide::OwnSubject;
use crate::core::notification::Notification;
use crate::deliver;
use crate::engine::Engine;
use crate::sink::{Character, DeliveryError, Dispatch, Receipt, Sink};
use crate::spool;

/// Reports that may wait; lanes never do.
const WAITING_MAX: usize = 256;

/// Takes reports without blocking whoever makes them, and hands them to the engine one after the other.
pub(super) struct Reporter(mpsc::Sender<Report>);

enum Report {
    Failing { sink: String, detail: String },
    Recovered { sink: String },
    ArchiveFailing { detail: String },
    ArchiveWorks,
}

impl Reporter {
    pub(super) fn start(engine: Arc<Engine>, stop: Stop) -> Self {
        let (sender, mut reports) = mpsc::channel::<Report>(WAITING_MAX);
        tokio::spawn(async move {
            while let Some(Some(report)) = stop.unless_stopped(reports.recv()).await {
                match report {
                    Report::Failing { sink, detail } => {
                        engine.report(&OwnSubject::SinkFailing { sink }, &detail).await;
                    }
                    Report::Recovered { sink } => {
                        if !engine.retract(&OwnSubject::SinkFailing { sink }, "it accepts again").await {
                            tracing::warn!("the recovery of a sink could not be stored");
                        }
                    }
                    Report::ArchiveFailing { detail } => engine.report(&OwnSubject::ArchiveFailing, &detail).await,
                    Report::ArchiveWorks => {
                        if !engine.retract(&OwnSubject::ArchiveFailing, "it is kept whole again").await {
                            tracing::warn!("the recovery of the archive could not be stored");
                        }
                    }
                }
            }
        });
        Self(sender)
    }

    fn send(&self, report: Report) {
        if self.0.try_send(report).is_err() {
            tracing::warn!("too many reports at once; one is only in the log");
        }
    }
}

impl deliver::Reporter for Reporter {
    fn sink_failing(&self, sink: &str, since: Timestamp, reason: &str) {
        let detail = format!("sink `{sink}` has accepted nothing since {since}: {reason}");
        self.send(Report::Failing { sink: sink.to_owned(), detail });
    }

    fn sink_recovered(&self, sink: &str) {
        self.send(Report::Recovered { sink: sink.to_owned() });
    }

    fn sink_works(&self, sink: &str) {
        self.send(Report::Recovered { sink: sink.to_owned() });
    }

    fn delivery_dead(&self, sink: &str, notification: &Notification, error: &str) {
        tracing::error!(
            sink.name = sink,
            incident.id = %notification.incident.id,
            notification.id = %notification.id,
            error,
            "a delivery was given up; it is kept and listed by `kmswatch incidents undelivered`"
        );
    }
}

impl spool::Reporter for Reporter {
    fn archive_failing(&self, detail: &str) {
        self.send(Report::ArchiveFailing { detail: detail.to_owned() });
    }

    fn archive_works(&self) {
        self.send(Report::ArchiveWorks);
    }
}

/// A sink that marks everything it tells.
pub(super) struct Bannered {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) banner: String,
}

impl Bannered {
    fn mark(&self, notification: &Notification) -> Notification {
        Notification { banner: Some(self.banner.clone()), ..notification.clone() }
    }
}

#[async_trait]
impl Sink for Bannered {
    fn kind(&self) -> &'static str {
        self.sink.kind()
    }

    fn character(&self) -> Character {
        self.sink.character()
    }

    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError> {
        let marked = self.mark(dispatch.notification);
        self.sink.deliver(&Dispatch { notification: &marked, ..*dispatch }).await
    }

    async fn digest(&self, notifications: &[Notification], more: usize) -> Result<(), DeliveryError> {
        let marked: Vec<Notification> = notifications.iter().map(|n| self.mark(n)).collect();
        self.sink.digest(&marked, more).await
    }

    async fn probe(&self) -> Result<(), DeliveryError> {
        self.sink.probe().await
    }
}
