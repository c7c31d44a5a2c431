//! Connections to write on, and transactions. Whatever goes wrong, also a caller that stops waiting, closes its connection, and
//! with that the database takes everything back: after a full disk `SQLite` has rolled back by itself already, and a second
//! rollback would fail and leave a connection that nobody can use.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::any::AnyRow;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Executor as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::script::Script;
use super::{ACQUIRE_TIMEOUT, SqlStore, try_connection};
use crate::store::StoreError;

/// Connections that stay with us: the pool asks each one that it is given back whether it lives, a trip for nothing after every
/// transaction.
pub(super) struct Writers {
    pool: AnyPool,
    turns: Semaphore,
    free: Mutex<Vec<PoolConnection<Any>>>,
}

impl Writers {
    pub(super) fn new(pool: AnyPool, most: u32) -> Self {
        Self { pool, turns: Semaphore::new(most as usize), free: Mutex::default() }
    }

    async fn take(&self) -> Result<Work<'_>, sqlx::Error> {
        let turn = tokio::time::timeout(ACQUIRE_TIMEOUT, self.turns.acquire()).await;
        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let free = self.free().pop();
        let mut connection = match free {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        connection.close_on_drop();
        Ok(Work { connection, writers: self, _turn: turn })
    }

    pub(super) async fn close(&self) {
        {
            let mut free = self.free();
            self.turns.close();
            free.clear();
        }
        self.pool.close().await;
    }

    fn free(&self) -> MutexGuard<'_, Vec<PoolConnection<Any>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that nobody else has meanwhile, as a rule in a transaction. It is closed unless it comes to a good end.
pub(super) struct Work<'a> {
    connection: PoolConnection<Any>,
    writers: &'a Writers,
    _turn: SemaphorePermit<'a>,
}

impl SqlStore {
    /// Nothing is begun.
    pub(super) async fn work(&self) -> Result<Work<'_>, StoreError> {
        match self.writers.take().await {
            Err(sqlx::Error::PoolTimedOut) => {
                try_connection(&self.options, self.dialect).await?;
                Err(sqlx::Error::PoolTimedOut.into())
            }
            taken => Ok(taken?),
        }
    }

    pub(super) async fn begin(&self) -> Result<Work<'_>, StoreError> {
        let mut work = self.work().await?;
        work.on().execute(sqlx::raw_sql(self.dialect.begin())).await?;
        Ok(work)
    }

    /// The beginning of a script that begins a transaction: one trip for all of it.
    pub(super) fn opening(&self) -> Script {
        let mut script = Script::default();
        script.add(self.dialect.begin());
        script
    }

    /// Begins with a script that starts as [`SqlStore::opening`] says.
    pub(super) async fn begin_with(&self, script: Script) -> Result<(Work<'_>, Vec<AnyRow>), StoreError> {
        let mut work = self.work().await?;
        let rows = script.run(work.on()).await?;
        Ok((work, rows))
    }
}

impl Work<'_> {
    pub(super) fn on(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }

    /// Makes it durable.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.commit_with(Script::default()).await
    }

    /// Runs a last script and makes everything durable, in one trip.
    pub(super) async fn commit_with(mut self, mut script: Script) -> Result<(), StoreError> {
        script.add("COMMIT");
        script.run(self.on()).await?;
        self.done();
        Ok(())
    }

    /// Ends a transaction that changed nothing.
    pub(super) async fn leave(mut self) -> Result<(), StoreError> {
        self.on().execute(sqlx::raw_sql("ROLLBACK")).await?;
        self.done();
        Ok(())
    }

    /// No transaction is open: the connection serves the next one.
    pub(super) fn done(self) {
        let mut free = self.writers.free();
        if !self.writers.turns.is_closed() {
            free.push(self.connection);
        }
    }
}
