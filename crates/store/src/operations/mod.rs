//! Operations: what the store can do, each written once for both databases, as one transaction where it writes.
//!
//! A write and whatever must follow from it belong into the same `run`: they are committed together or not at all.

/// A booking changed, cancelled or removed, as decided with its current state at hand.
mod change;
/// A booking created, once for each idempotency key.
mod create;
/// Idempotency keys that have expired, removed in batches.
mod expire;
/// One booking.
mod get;
/// A page of bookings.
mod list;
/// The tables, brought to the version that this program knows.
mod migrate;
/// Whether the database answers.
mod ping;
/// What the store does with tasks.
mod task;
/// Webhooks.
mod webhook;

pub(crate) use change::ChangeBooking;
pub(crate) use create::{Create, Outcome};
pub(crate) use expire::Expire;
pub(crate) use get::Get;
pub(crate) use list::List;
pub(crate) use migrate::{FindVersion, IsCurrent, KNOWN, Migrate};
pub(crate) use ping::Ping;
pub(crate) use task::{
    CancelTask, ClaimTasks, CountDead, CountTasks, CountWaiting, EndRun, Enqueue, GetTask, ListTasks,
    NextDue, PutOff, RemoveFinished, Renew, RetryTask,
};
pub(crate) use webhook::{CreateWebhook, DeleteWebhook, GetWebhook, ListWebhooks};

use crate::{
    Booking, Details,
    error::{Error, Said},
    session::Session,
    value::{Row, Value},
};

/// The columns of a booking, in the order of [`read`] and [`written`].
const COLUMNS: &str =
    "id, resource, guest, starts_at, ends_at, notes, status, created_at, updated_at, version";

/// One thing to do with a session.
pub(crate) trait Operation: Send + 'static {
    /// Runs on SQLite on the connection that may write, and inside a transaction, unless it is one statement.
    const WRITES: bool;
    type Output: Send + 'static;
    type Error: From<Error> + Send + 'static;

    /// Whether it only reads, or is one statement, which is a transaction by itself: two round trips less.
    fn needs_no_transaction(&self) -> bool {
        !Self::WRITES
    }

    /// For SQLite no `await` in here may be for anything but the session.
    fn run(self, session: &mut Session) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;
}

/// Runs an operation; if it is more than one statement that writes, in a transaction that is rolled back when it fails.
pub(crate) async fn transact<O: Operation>(
    session: &mut Session,
    operation: O,
) -> Result<O::Output, O::Error> {
    if operation.needs_no_transaction() {
        return operation.run(session).await;
    }
    session.begin().await?;
    match operation.run(session).await {
        Ok(output) => {
            session.commit().await?;
            Ok(output)
        }
        Err(error) => {
            if let Err(failed) = session.rollback().await {
                // The caller is told what went wrong first; the connection is not used again.
                tracing::debug!(error = &failed as &dyn std::error::Error, "rollback failed");
            }
            Err(error)
        }
    }
}

fn read(row: &Row) -> Result<Booking, Error> {
    let status = row.text(6)?.parse().map_err(|unknown| Error::Internal {
        doing: "read a booking's status".into(),
        source: Box::<dyn std::error::Error + Send + Sync>::from(Said(format!("{unknown}").into())),
    })?;
    Ok(Booking {
        id: row.id(0)?,
        details: Details {
            resource: row.text(1)?.to_owned(),
            guest: row.text(2)?.to_owned(),
            starts_at: row.time(3)?,
            ends_at: row.time(4)?,
            notes: row.text_or_null(5)?.map(str::to_owned),
        },
        status,
        created_at: row.time(7)?,
        updated_at: row.time(8)?,
        version: row.integer(9)?,
    })
}

fn written(booking: &Booking) -> [Value; 10] {
    let details = &booking.details;
    [
        Value::Id(booking.id),
        Value::Text(details.resource.clone()),
        Value::Text(details.guest.clone()),
        Value::Time(details.starts_at),
        Value::Time(details.ends_at),
        details.notes.clone().map_or(Value::Null, Value::Text),
        Value::Text(booking.status.as_str().to_owned()),
        Value::Time(booking.created_at),
        Value::Time(booking.updated_at),
        Value::Integer(booking.version),
    ]
}
