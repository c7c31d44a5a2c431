//! The store on a SQL database. One set of queries for all of them (`dialect` holds the rest): only `BIGINT` and `TEXT`, times as
//! milliseconds, `$1` placeholders, and time always comes in as a parameter.

mod apply;
mod batch;
mod canaries;
mod dialect;
mod error;
mod keep;
mod key_usage;
mod known;
mod lease;
mod policies;
mod prune;
mod read;
mod rows;
mod salvage;
mod schema;
mod script;
mod settle;
mod shorten;
mod silences;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::{
    Decide, Delivery, DeliveryState, IncidentFilter, KnownKey, Leased, Retention, Settlement, Stats, Store, StoreError,
    Story,
};
use crate::core::access::{History, Lesson};
use crate::core::canary::Call;
use crate::core::decide::{Decision, ReadSet};
use crate::core::incident::{Fingerprint, Incident, Situation};
use crate::core::silence::Silence;
use crate::core::usage::KeyUsage;

pub(super) use dialect::Dialect;
pub(super) use schema::{MIGRATIONS, Migration};
use work::Writers;

/// How long a call waits for a connection that others use.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const READERS: u32 = 4;

/// Which database, and how to speak to it.
pub(super) struct Link {
    /// As the driver wants it. May hold a password.
    pub(super) url: String,
    pub(super) dialect: Dialect,
}

pub(super) struct SqlStore {
    writers: Writers,
    readers: AnyPool,
    options: AnyConnectOptions,
    dialect: Dialect,
}

impl SqlStore {
    /// Opens connections; the schema is looked after by [`SqlStore::migrate`].
    pub(super) async fn connect(link: Link) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let options: AnyConnectOptions = link.url.parse()?;
        let options = options.disable_statement_logging();
        try_connection(&options, link.dialect).await?;
        let pool = |writer: bool| {
            let prelude = link.dialect.on_connect(writer);
            AnyPoolOptions::new()
                .max_connections(if writer { link.dialect.writers() } else { READERS })
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .max_lifetime(None)
                .idle_timeout(None)
                // A trip to the database for every use; a broken connection is closed where it breaks.
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    let prelude = AssertSqlSafe(prelude.clone());
                    Box::pin(async move { connection.execute(sqlx::raw_sql(prelude)).await.map(|_| ()) })
                })
        };
        let writers = Writers::new(pool(true).connect_with(options.clone()).await?, link.dialect.writers());
        let readers = pool(false).connect_lazy_with(options.clone());
        Ok(Self { writers, readers, options, dialect: link.dialect })
    }

    /// Flushes and closes.
    pub(super) async fn shut(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}

/// A pool tries again and again when a connection cannot be made ready, and then says only that time ran out; this
/// says what is wrong.
async fn try_connection(options: &AnyConnectOptions, dialect: Dialect) -> Result<(), StoreError> {
    let mut connection = options.connect().await?;
    let prelude = AssertSqlSafe(dialect.on_connect(true));
    let ready = connection.execute(sqlx::raw_sql(prelude)).await;
    connection.close().await?;
    ready?;
    Ok(())
}

#[cfg(test)]
impl SqlStore {
    /// Runs a statement on the writer's connection.
    pub(super) async fn writer_says(&self, sql: &'static str) {
        let mut work = self.work().await.unwrap();
        work.on().execute(sql).await.unwrap();
        work.done();
    }

    /// How the database means to run the queries that a lane asks all the time: whether anything is due, the claim, and what a
    /// fallback has not been told.
    pub(super) fn hot_queries(&self) -> [&'static str; 3] {
        [lease::ANY_DUE, self.dialect.claim(), read::UNFINISHED]
    }
}

#[async_trait]
impl Store for SqlStore {
    fn durable(&self) -> bool {
        true
    }

    async fn apply(&self, reads: &ReadSet, decide: Decide<'_>) -> Result<Decision, StoreError> {
        self.apply_decision(reads, decide).await
    }

    async fn lease(
        &self,
        now: Timestamp,
        until: Timestamp,
        wanted: &[(String, usize)],
    ) -> Result<Vec<Leased>, StoreError> {
        self.claim(now, until, wanted).await
    }

    async fn settle(&self, now: Timestamp, settlements: &[Settlement]) -> Result<(), StoreError> {
        self.end_attempts(now, settlements).await
    }

    async fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, StoreError> {
        self.read_incidents(filter).await
    }

    async fn story(&self, incident: &str) -> Result<Option<Story>, StoreError> {
        self.read_story(incident).await
    }

    async fn open_situations(&self, after: Option<&Fingerprint>, limit: usize) -> Result<Vec<Situation>, StoreError> {
        self.read_open_situations(after, limit).await
    }

    async fn held_situations(&self, after: Option<&Fingerprint>, limit: usize) -> Result<Vec<Situation>, StoreError> {
        self.read_held(after, limit).await
    }

    async fn situations(&self, wanted: &[Fingerprint]) -> Result<Vec<Situation>, StoreError> {
        self.read_situations(wanted).await
    }

    async fn silences(&self, in_force: Option<Timestamp>) -> Result<Vec<Silence>, StoreError> {
        self.read_silences(in_force).await
    }

    async fn deliveries(&self, states: &[DeliveryState], limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.read_deliveries(states, limit).await
    }

    async fn unfinished(&self, sink: &str, after: i64, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.read_unfinished(sink, after, limit).await
    }

    async fn any_unfinished(&self, wanted: &[(String, String)]) -> Result<bool, StoreError> {
        self.read_any_unfinished(wanted).await
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        self.read_stats().await
    }

    async fn recall_keys(&self, arns: &[String]) -> Result<Vec<KnownKey>, StoreError> {
        self.read_keys(arns).await
    }

    async fn remember_keys(&self, now: Timestamp, keys: &[KnownKey]) -> Result<(), StoreError> {
        self.keep_keys(now, keys).await
    }

    async fn recall_history(&self, arn: &str) -> Result<Option<History>, StoreError> {
        self.read_history(arn).await
    }

    async fn keep_lessons(&self, now: Timestamp, lessons: &[Lesson]) -> Result<(), StoreError> {
        self.learn_lessons(now, lessons).await
    }

    async fn canary_calls(&self) -> Result<Vec<Call>, StoreError> {
        self.read_canary_calls().await
    }

    async fn keep_canary_call(&self, call: &Call) -> Result<(), StoreError> {
        self.put_canary_call(call).await
    }

    async fn recall_usage(
        &self,
        now: Timestamp,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, KeyUsage)>, StoreError> {
        self.read_key_usage(now, after, limit).await
    }

    async fn keep_usage(&self, now: Timestamp, usage: &BTreeMap<String, KeyUsage>) -> Result<(), StoreError> {
        self.keep_key_usage(now, usage).await
    }

    async fn quarantine(&self, now: Timestamp, message_id: &str, reason: &str, body: &str) -> Result<(), StoreError> {
        self.keep_message(now, message_id, reason, body).await
    }

    async fn prune(&self, now: Timestamp, retention: &Retention, sinks: &[String]) -> Result<u64, StoreError> {
        self.prune_step(now, retention, sinks).await
    }

    async fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        self.prove_write(now).await
    }

    async fn close(&self) {
        self.shut().await;
    }
}
