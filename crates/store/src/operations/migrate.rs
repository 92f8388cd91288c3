//! The tables, brought to the version that this program knows: step by step, all in one transaction.
//!
//! Safe to start twice at once: the second waits for the first (an advisory lock on PostgreSQL, the write lock on SQLite) and
//! finds nothing left to do. On PostgreSQL neither waiting nor a step is bounded by the statement time-out: a large table takes
//! its time. A step that has been released is never edited; what comes next is a step of its own.

use super::Operation;
use crate::{
    Timestamp,
    error::Error,
    session::{Session, Sql},
    value::Value,
};

/// The steps, oldest first, for PostgreSQL and for SQLite; a database's version is the number of those it has seen.
const STEPS: &[(&str, &str)] = &[
    (include_str!("../../migrations/1.postgres.sql"), include_str!("../../migrations/1.sqlite.sql")),
    (include_str!("../../migrations/2.postgres.sql"), include_str!("../../migrations/2.sqlite.sql")),
    (include_str!("../../migrations/3.postgres.sql"), include_str!("../../migrations/3.sqlite.sql")),
];

/// The version that this program knows.
pub(crate) const KNOWN: i64 = STEPS.len() as i64;

/// Any number, as long as nobody else uses it in our database.
const LOCK: Sql<'_> = Sql::same("SELECT", "", "SELECT pg_advisory_xact_lock(7274309265)");
const CREATE: Sql<'_> = Sql {
    operation: "CREATE TABLE",
    table: "schema_versions",
    postgres: "CREATE TABLE IF NOT EXISTS schema_versions \
        (version bigint PRIMARY KEY, applied_at timestamptz NOT NULL)",
    sqlite: "CREATE TABLE IF NOT EXISTS schema_versions \
        (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT",
};
/// One or none. A missing table is no error here, as it would be in [`FIND`].
const COUNT: Sql<'_> = Sql {
    operation: "SELECT",
    table: "schema_versions",
    postgres: "SELECT count(*) FROM pg_class WHERE oid = to_regclass('schema_versions')",
    sqlite: "SELECT count(*) FROM sqlite_master WHERE name = 'schema_versions'",
};
const FIND: Sql<'_> =
    Sql::same("SELECT", "schema_versions", "SELECT coalesce(max(version), 0) FROM schema_versions");
const NOTE: Sql<'_> = Sql::same(
    "INSERT",
    "schema_versions",
    "INSERT INTO schema_versions (version, applied_at) VALUES ($1, $2)",
);

#[derive(Debug)]
pub(crate) struct Migrate {
    pub(crate) now: Timestamp,
}

impl Operation for Migrate {
    const WRITES: bool = true;
    /// The version that was found.
    type Output = i64;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<i64, Error> {
        session.be_patient().await?;
        if session.is_postgres() {
            session.execute(&LOCK, &[]).await?;
        }
        session.batch(&CREATE).await?;
        let found = FindVersion.run(session).await?;
        for (version, (postgres, sqlite)) in (1..).zip(STEPS) {
            if version > found {
                let step = Sql { operation: "MIGRATE", table: "", postgres, sqlite };
                session.batch(&step).await?;
                session.execute(&NOTE, &[Value::Integer(version), Value::Time(self.now)]).await?;
            }
        }
        Ok(found)
    }
}

/// Whether the tables are of the version that this program knows: then a start takes none of the locks of [`Migrate`], for
/// which it would have to wait beside all who write.
#[derive(Debug)]
pub(crate) struct IsCurrent;

impl Operation for IsCurrent {
    /// It does not; but a start, which may have to migrate, opens no second connection for it on SQLite.
    const WRITES: bool = true;
    type Output = bool;
    type Error = Error;

    fn needs_no_transaction(&self) -> bool {
        true
    }

    async fn run(self, session: &mut Session) -> Result<bool, Error> {
        let rows = session.rows(&COUNT, &[]).await?;
        let tables = rows.first().map(|row| row.integer(0)).transpose()?.unwrap_or_default();
        Ok(tables > 0 && FindVersion.run(session).await? == KNOWN)
    }
}

/// The version, and nothing else: an error where no service has made the tables.
#[derive(Debug)]
pub(crate) struct FindVersion;

impl Operation for FindVersion {
    const WRITES: bool = false;
    type Output = i64;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<i64, Error> {
        let rows = session.rows(&FIND, &[]).await?;
        Ok(rows.first().map(|row| row.integer(0)).transpose()?.unwrap_or_default())
    }
}
