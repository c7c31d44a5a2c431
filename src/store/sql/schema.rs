//! The schema and how it changes. A migration is never edited once released; a new one is appended.

use sqlx::{Executor as _, Row as _};

use super::SqlStore;
use super::work::Work;
use crate::store::{StoreError, StoreErrorKind};

/// One step of the schema, as SQL; the n-th makes version n.
pub(in crate::store) type Migration = &'static str;

pub(in crate::store) const MIGRATIONS: &[Migration] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_policies.sql"),
    include_str!("migrations/0003_silences.sql"),
    include_str!("migrations/0004_canaries.sql"),
    include_str!("migrations/0005_key_usage.sql"),
    include_str!("migrations/0006_swept_keys.sql"),
];

/// Facts about the store itself. It exists before the first migration, and says who made the database.
const META: &str = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)";

impl SqlStore {
    /// The version of the schema that is there; `None` for an empty database.
    ///
    /// # Errors
    /// `Unusable` if somebody else's tables are there.
    pub(in crate::store) async fn schema_version(&self) -> Result<Option<i64>, StoreError> {
        let mut work = self.work().await?;
        let tables = sqlx::query(self.dialect.tables()).fetch_all(work.on()).await?;
        if tables.is_empty() {
            work.done();
            return Ok(None);
        }
        let names = tables.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()?;
        if !names.iter().any(|name| name == "meta") {
            return Err(foreign());
        }
        let version = sqlx::query("SELECT value FROM meta WHERE name = 'schema'").fetch_optional(work.on()).await;
        let row = version.map_err(StoreError::from).map_err(|error| match error.kind {
            // Its `meta` has other columns.
            StoreErrorKind::Other => foreign(),
            _ => error,
        })?;
        work.done();
        let text: String = row.ok_or_else(foreign)?.try_get(0).map_err(|_| foreign())?;
        text.parse().map(Some).map_err(|_| foreign())
    }

    /// Brings the schema from `found` up to the newest version. All steps are one transaction.
    ///
    /// # Errors
    /// `Unusable` if it is newer than we are.
    pub(in crate::store) async fn migrate(
        &self,
        found: Option<i64>,
        migrations: &'static [Migration],
    ) -> Result<(), StoreError> {
        let newest = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
        if found == Some(newest) {
            return Ok(());
        }
        newer(found.unwrap_or(0), newest)?;
        let mut work = self.begin().await?;
        work.on().execute(sqlx::raw_sql(META)).await?;
        // Another process may have been faster.
        let row = sqlx::query("SELECT value FROM meta WHERE name = 'schema'").fetch_optional(work.on()).await?;
        let version: i64 = match row {
            Some(row) => row.try_get::<String, _>(0)?.parse().map_err(|_| foreign())?,
            None => 0,
        };
        newer(version, newest)?;
        for migration in migrations.iter().skip(usize::try_from(version).unwrap_or(0)) {
            work.on().execute(sqlx::raw_sql(*migration)).await?;
        }
        set_version(&mut work, newest).await?;
        work.commit().await
    }

    /// The first column of the first row that a PRAGMA answers, as text.
    pub(in crate::store) async fn pragma(&self, sql: &'static str) -> Result<String, StoreError> {
        let mut work = self.work().await?;
        let row = sqlx::query(sql).fetch_one(work.on()).await?;
        work.done();
        Ok(row.try_get(0)?)
    }

    /// `SQLite`'s own way of copying a database that is in use.
    pub(in crate::store) async fn vacuum_into(&self, path: &str) -> Result<(), StoreError> {
        let mut work = self.work().await?;
        sqlx::query("VACUUM INTO $1").bind(path).execute(work.on()).await?;
        work.done();
        Ok(())
    }
}

async fn set_version(work: &mut Work<'_>, version: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ('schema', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(version.to_string())
    .execute(work.on())
    .await?;
    Ok(())
}

fn newer(found: i64, newest: i64) -> Result<(), StoreError> {
    if found <= newest {
        return Ok(());
    }
    let detail = format!(
        "it was written by a newer version of kmswatch (schema {found}, this one knows {newest}); run that version, or restore the copy made before the upgrade"
    );
    Err(StoreError::new(StoreErrorKind::Unusable, detail))
}

fn foreign() -> StoreError {
    StoreError::new(StoreErrorKind::Unusable, "it is a database, but not one of kmswatch; name another file")
}
