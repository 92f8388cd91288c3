//! A session: one connection for the time of one operation, the same to look at whichever the database.
//!
//! The functions are `async` for PostgreSQL's sake. SQLite's never wait: the whole operation runs on a thread that may block.

use std::sync::Arc;

use crate::{
    error::{Error, Failure},
    observe::Observer,
    postgres, sqlite,
    value::{Row, Value},
};

/// A statement as each database wants it, and what its span is called.
#[derive(Clone, Debug)]
pub(crate) struct Sql<'a> {
    /// `db.operation.name`: the first word.
    pub(crate) operation: &'static str,
    /// `db.collection.name`; empty where there is none.
    pub(crate) table: &'static str,
    /// With placeholders `$1`, `$2`, … in the order of their first appearance: SQLite numbers them so.
    pub(crate) postgres: &'a str,
    pub(crate) sqlite: &'a str,
}

impl<'a> Sql<'a> {
    /// The same text for both.
    pub(crate) const fn same(operation: &'static str, table: &'static str, text: &'a str) -> Self {
        Self { operation, table, postgres: text, sqlite: text }
    }
}

const BEGIN: Sql<'_> = Sql {
    operation: "BEGIN",
    table: "",
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED",
    // Takes the write lock at once: a reader that turns into a writer could only fail.
    sqlite: "BEGIN IMMEDIATE",
};
const UNBOUNDED: Sql<'_> = Sql::same("SET", "", "SET LOCAL statement_timeout = 0");
const COMMIT: Sql<'_> = Sql::same("COMMIT", "", "COMMIT");
const ROLLBACK: Sql<'_> = Sql::same("ROLLBACK", "", "ROLLBACK");

#[derive(Debug)]
pub(crate) enum Connection {
    Postgres(postgres::Connection),
    Sqlite(sqlite::Connection),
}

#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    observer: Arc<Observer>,
    in_transaction: bool,
    wakes_workers: bool,
}

impl Session {
    pub(crate) fn new(connection: Connection, observer: Arc<Observer>) -> Self {
        Self { connection, observer, in_transaction: false, wakes_workers: false }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.connection, Connection::Postgres(_))
    }

    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        self.batch(&BEGIN).await?;
        self.in_transaction = true;
        Ok(())
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.batch(&COMMIT).await?;
        self.in_transaction = false;
        Ok(())
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Error> {
        self.wakes_workers = false;
        self.batch(&ROLLBACK).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// What follows in this transaction takes the time that it takes. On SQLite writers wait for each other no longer than
    /// ever: only one process has the file's write lock.
    pub(crate) async fn be_patient(&mut self) -> Result<(), Error> {
        if let Connection::Postgres(connection) = &mut self.connection {
            connection.be_patient();
            self.batch(&UNBOUNDED).await?;
        }
        Ok(())
    }

    /// Runs statements that take no values and give no rows.
    pub(crate) async fn batch(&mut self, sql: &Sql<'_>) -> Result<(), Error> {
        let text = self.text(sql);
        let statement = self.observer.statement(sql, text);
        let outcome = match &mut self.connection {
            Connection::Postgres(connection) => connection.batch(text).await,
            Connection::Sqlite(connection) => connection.batch(text),
        };
        statement.ended(&outcome);
        outcome.map_err(|failure| doing(sql, failure))
    }

    /// Runs a statement and says how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &Sql<'_>, values: &[Value]) -> Result<u64, Error> {
        let text = self.text(sql);
        let statement = self.observer.statement(sql, text);
        let outcome = match &mut self.connection {
            Connection::Postgres(connection) => connection.execute(text, values).await,
            Connection::Sqlite(connection) => connection.execute(text, values),
        };
        statement.ended(&outcome);
        outcome.map_err(|failure| doing(sql, failure))
    }

    /// Runs a statement and gives all its rows.
    pub(crate) async fn rows(&mut self, sql: &Sql<'_>, values: &[Value]) -> Result<Vec<Row>, Error> {
        let text = self.text(sql);
        let statement = self.observer.statement(sql, text);
        let outcome = match &mut self.connection {
            Connection::Postgres(connection) => connection.rows(text, values).await,
            Connection::Sqlite(connection) => connection.rows(text, values),
        };
        statement.ended(&outcome);
        outcome.map_err(|failure| doing(sql, failure))
    }

    /// What is being written is work for those who wait: they are told once it is committed.
    pub(crate) fn wake_workers(&mut self) {
        self.wakes_workers = true;
    }

    pub(crate) fn wakes_workers(&self) -> bool {
        self.wakes_workers && !self.in_transaction
    }

    /// Gives the connection back, if it is fit for the next: not one that is broken or inside a transaction.
    pub(crate) fn into_connection(self) -> Option<Connection> {
        let broken = match &self.connection {
            Connection::Postgres(connection) => connection.is_broken(),
            Connection::Sqlite(connection) => connection.is_broken(),
        };
        (!self.in_transaction && !broken).then_some(self.connection)
    }

    fn text<'a>(&self, sql: &Sql<'a>) -> &'a str {
        if self.is_postgres() { sql.postgres } else { sql.sqlite }
    }
}

fn doing(sql: &Sql<'_>, failure: Failure) -> Error {
    failure.into_error(format!("run `{}`", sql.name()))
}

impl Sql<'_> {
    /// The span's name: `SELECT bookings`.
    pub(crate) fn name(&self) -> String {
        if self.table.is_empty() {
            return self.operation.to_owned();
        }
        format!("{} {}", self.operation, self.table)
    }
}
