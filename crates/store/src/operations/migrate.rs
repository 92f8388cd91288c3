//! The tables, brought to the version that this program knows: step by step, all in one transaction.
//!
//! Safe to start twice at once: the second waits for the first (an advisory lock on PostgreSQL, the write lock on SQLite) and
//! finds nothing left to do. A step that has been released is never edited; what comes next is a step of its own.

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
        if session.is_postgres() {
            session.execute(&LOCK, &[]).await?;
        }
        session.batch(&CREATE).await?;
        let rows = session.rows(&FIND, &[]).await?;
        let found = rows.first().map(|row| row.integer(0)).transpose()?.unwrap_or_default();
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
