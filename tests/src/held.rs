//! A table that is held, so that whoever reads or writes it stands still until it is released.

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::eventually;

/// An exclusive lock on a table, for as long as this lives.
#[derive(Debug)]
pub struct Held {
    holder: Client,
    database: String,
    connection: JoinHandle<()>,
}

impl Held {
    /// Locks `table` of the database at `url`.
    ///
    /// # Panics
    /// When the database does not allow it.
    pub async fn table(url: &str, table: &str) -> Held {
        let (holder, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database answers");
        let connection = tokio::spawn(async move {
            // Its end is seen by whoever uses the client.
            let _ = connection.await;
        });
        let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        holder.batch_execute(&lock).await.unwrap_or_else(|error| panic!("{lock}: {error}"));
        Held { holder, database: url.to_owned(), connection }
    }

    /// Waits until this many statements stand still.
    ///
    /// # Panics
    /// When they do not within ten seconds.
    pub async fn wait_for_waiters(&self, count: i64) {
        // Not from pg_stat_activity: within a transaction, and the holder is in one, its rows stand still.
        // And of this database alone: the tests of one process share a cluster.
        let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
                       WHERE NOT granted AND datname = current_database()";
        eventually(&format!("{count} statements wait in {}", self.database), async || {
            let row = self.holder.query_one(waiting, &[]).await.expect("the holder's connection lives");
            let waiters: i64 = row.get(0);
            if waiters >= count { Ok(()) } else { Err(format!("{waiters} wait")) }
        })
        .await;
    }

    /// Lets everybody go on.
    ///
    /// # Panics
    /// When the holder's connection is broken.
    pub async fn release(self) {
        self.holder.batch_execute("ROLLBACK").await.expect("the holder's connection lives");
        drop(self.holder);
        self.connection.await.expect("the connection's task ends");
    }
}
