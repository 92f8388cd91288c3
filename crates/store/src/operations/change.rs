//! A booking changed, cancelled or removed, as decided with its current state at hand.
//!
//! Nobody else can change the booking between the decision and the write: the row is locked, on SQLite the database is.
//! So a decision that compares versions (`If-Match`) is atomic. Whoever subscribed is told by tasks of the same transaction.

use std::{fmt, marker::PhantomData};

use uuid::Uuid;

use super::{COLUMNS, Operation, read, task::announce, written};
use crate::{
    Booking, Change, Status, Timestamp,
    error::Error,
    event::Event,
    session::{Session, Sql},
    value::Value,
};

/// Takes its turn like an insert: see there.
const UPDATE: Sql<'_> = Sql {
    operation: "UPDATE",
    table: "bookings",
    postgres: "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))) \
        UPDATE bookings SET resource = $1::text, guest = $2, starts_at = $3, ends_at = $4, notes = $5, status = $6, \
        updated_at = $7, version = $8 FROM turn WHERE id = $9",
    sqlite: "UPDATE bookings SET resource = $1, guest = $2, starts_at = $3, ends_at = $4, notes = $5, status = $6, \
        updated_at = $7, version = $8 WHERE id = $9",
};
/// Locks the booking first and takes its turn then, as a change does.
const CONFIRM: Sql<'_> = Sql {
    operation: "UPDATE",
    table: "bookings",
    postgres: "WITH pending AS MATERIALIZED (\
        SELECT id AS found, resource AS room FROM bookings WHERE id = $2 AND status = 'pending' FOR UPDATE), \
        turn AS MATERIALIZED (SELECT found, pg_advisory_xact_lock(hashtextextended(room, 0)) FROM pending) \
        UPDATE bookings SET status = 'confirmed', updated_at = $1, version = version + 1 FROM turn WHERE id = found \
        RETURNING id, resource, guest, starts_at, ends_at, notes, status, created_at, updated_at, version",
    sqlite: "UPDATE bookings SET status = 'confirmed', updated_at = $1, version = version + 1 \
        WHERE id = $2 AND status = 'pending' \
        RETURNING id, resource, guest, starts_at, ends_at, notes, status, created_at, updated_at, version",
};
const DELETE: Sql<'_> = Sql::same("DELETE", "bookings", "DELETE FROM bookings WHERE id = $1");

pub(crate) struct ChangeBooking<D, E> {
    pub(crate) id: Uuid,
    pub(crate) now: Timestamp,
    pub(crate) decide: D,
    pub(crate) refusal: PhantomData<fn() -> E>,
}

impl<D, E> fmt::Debug for ChangeBooking<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeBooking").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<D, E> Operation for ChangeBooking<D, E>
where
    D: FnOnce(&Booking) -> Result<Change, E> + Send + 'static,
    E: From<Error> + Send + 'static,
{
    const WRITES: bool = true;
    type Output = Booking;
    type Error = E;

    async fn run(self, session: &mut Session) -> Result<Booking, E> {
        let current = locked(session, self.id).await?;
        let status = current.status;
        let (event, booking) = match (self.decide)(&current)? {
            Change::Leave => return Ok(current),
            Change::Replace(details) => {
                (Event::Changed, update(session, current.next(details, status, self.now)).await?)
            }
            Change::Cancel => {
                let details = current.details.clone();
                (Event::Cancelled, update(session, current.next(details, Status::Cancelled, self.now)).await?)
            }
            Change::Remove => {
                session.execute(&DELETE, &[Value::Id(self.id)]).await?;
                (Event::Removed, current)
            }
        };
        announce(session, event, &booking, self.now).await?;
        Ok(booking)
    }
}

/// The booking, which nobody else can change before this transaction ends.
async fn locked(session: &mut Session, id: Uuid) -> Result<Booking, Error> {
    let sqlite = format!("SELECT {COLUMNS} FROM bookings WHERE id = $1");
    let postgres = format!("{sqlite} FOR UPDATE");
    let sql = Sql { operation: "SELECT", table: "bookings", postgres: &postgres, sqlite: &sqlite };
    let rows = session.rows(&sql, &[Value::Id(id)]).await?;
    read(rows.first().ok_or(Error::NotFound)?)
}

async fn update(session: &mut Session, booking: Booking) -> Result<Booking, Error> {
    let [id, resource, guest, starts_at, ends_at, notes, status, _, updated_at, version] = written(&booking);
    let values = [resource, guest, starts_at, ends_at, notes, status, updated_at, version, id];
    session.execute(&UPDATE, &values).await?;
    Ok(booking)
}

/// Confirms a booking that is pending; none where it was cancelled, removed or confirmed meanwhile: it stays as it is.
pub(super) async fn confirm(
    session: &mut Session,
    id: Uuid,
    now: Timestamp,
) -> Result<Option<Booking>, Error> {
    let rows = session.rows(&CONFIRM, &[Value::Time(now), Value::Id(id)]).await?;
    rows.first().map(read).transpose()
}
