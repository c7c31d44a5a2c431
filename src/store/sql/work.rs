//! One transaction. Whatever goes wrong in it, also a caller that stops waiting, closes its connection, and with that
//! the database takes everything back: after a full disk `SQLite` has rolled back by itself already, and a second
//! rollback would fail and leave a connection that nobody can use.

use sqlx::any::AnyRow;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, Executor as _};

use super::script::Script;
use super::{SqlStore, try_connection};
use crate::store::StoreError;

pub(super) struct Work {
    connection: PoolConnection<Any>,
    ended: bool,
}

impl SqlStore {
    /// The connection to write on; nobody else has it meanwhile.
    pub(super) async fn write_connection(&self) -> Result<PoolConnection<Any>, StoreError> {
        match self.writer.acquire().await {
            Err(sqlx::Error::PoolTimedOut) => {
                try_connection(&self.options, self.dialect).await?;
                Err(sqlx::Error::PoolTimedOut.into())
            }
            acquired => Ok(acquired?),
        }
    }

    pub(super) async fn begin(&self) -> Result<Work, StoreError> {
        let mut work = Work { connection: self.write_connection().await?, ended: false };
        work.connection.execute(sqlx::raw_sql(self.dialect.begin())).await?;
        Ok(work)
    }

    /// The beginning of a script for [`SqlStore::begin_with`].
    pub(super) fn opening(&self) -> Script {
        let mut script = Script::default();
        script.add(self.dialect.begin());
        script
    }

    /// Begins with a script that starts as [`SqlStore::opening`] says: one trip for all of it.
    pub(super) async fn begin_with(&self, script: Script) -> Result<(Work, Vec<AnyRow>), StoreError> {
        let mut work = Work { connection: self.write_connection().await?, ended: false };
        let rows = script.run(work.on()).await?;
        Ok((work, rows))
    }
}

impl Work {
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
        self.ended = true;
        Ok(())
    }

    /// Ends a transaction that changed nothing.
    pub(super) async fn leave(mut self) -> Result<(), StoreError> {
        self.connection.execute(sqlx::raw_sql("ROLLBACK")).await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}
