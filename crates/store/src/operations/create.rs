//! A booking created, once for each idempotency key.
//!
//! What became of the first request with a key, a booking or an overlap, is kept in the same transaction as the booking
//! itself: there is no moment in which one is there without the other. What failed leaves nothing behind, and may be asked again.

use uuid::Uuid;

use super::{
    Operation,
    task::{announce, confirm},
    written,
};
use crate::{
    Booking, Status,
    error::{Error, Said},
    event::Event,
    once::{Answer, Once, RunningKey},
    session::{Session, Sql},
    value::{Row, Value},
};

/// On PostgreSQL writers of one resource take turns. The exclusion constraint alone would let two of them wait for each
/// other, and the database would end one of them only after its deadlock time-out.
const INSERT: Sql<'_> = Sql {
    operation: "INSERT",
    table: "bookings",
    postgres: "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended($2::text, 0))) \
        INSERT INTO bookings (id, resource, guest, starts_at, ends_at, notes, status, created_at, updated_at, version) \
        SELECT $1::uuid, $2::text, $3::text, $4::timestamptz, $5::timestamptz, $6::text, $7::text, \
        $8::timestamptz, $9::timestamptz, $10::bigint FROM turn",
    sqlite: "INSERT INTO bookings (id, resource, guest, starts_at, ends_at, notes, status, created_at, updated_at, version) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
};
/// PostgreSQL ends a whole transaction with a statement that it refuses; SQLite only takes the statement back.
const SAVEPOINT: Sql<'_> = Sql::same("SAVEPOINT", "", "SAVEPOINT before_insert");
const BACK: Sql<'_> = Sql::same("ROLLBACK", "", "ROLLBACK TO SAVEPOINT before_insert");
const CLAIM: Sql<'_> = Sql::same(
    "SELECT",
    "",
    "SELECT pg_try_advisory_xact_lock(hashtextextended($1::text || ' ' || $2::text, 1))",
);
const RECALL: Sql<'_> = Sql::same(
    "SELECT",
    "idempotency_keys",
    "SELECT request_hash, outcome, status, location, etag, body, task_id FROM idempotency_keys \
     WHERE route = $1 AND key = $2 AND expires_at > $3",
);
const REMEMBER: Sql<'_> = Sql::same(
    "INSERT",
    "idempotency_keys",
    "INSERT INTO idempotency_keys \
     (route, key, request_hash, expires_at, outcome, status, location, etag, body, task_id) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
     ON CONFLICT (route, key) DO UPDATE SET request_hash = excluded.request_hash, expires_at = excluded.expires_at, \
     outcome = excluded.outcome, status = excluded.status, location = excluded.location, etag = excluded.etag, \
     body = excluded.body, task_id = excluded.task_id",
);

#[derive(Debug)]
pub(crate) struct Create {
    pub(crate) booking: Booking,
    pub(crate) once: Option<Once>,
    /// Held for as long as the operation runs, which may be longer than its caller waits.
    pub(crate) _running: Option<RunningKey>,
}

/// What became of it. An overlap is an outcome here, not an error: it is remembered, and so committed.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With the task that will confirm it, if it is pending.
    Created(Option<Uuid>),
    Overlap,
    Answered(Answer),
}

impl Operation for Create {
    const WRITES: bool = true;
    type Output = Outcome;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Outcome, Error> {
        let Some(once) = &self.once else {
            session.execute(&INSERT, &written(&self.booking)).await?;
            return follow(session, &self.booking).await;
        };
        if let Some(outcome) = recall(session, once).await? {
            return Ok(outcome);
        }
        let outcome = match insert(session, &self.booking).await {
            Ok(()) => follow(session, &self.booking).await?,
            Err(Error::Overlap) => Outcome::Overlap,
            Err(error) => return Err(error),
        };
        remember(session, once, &outcome).await?;
        Ok(outcome)
    }
}

/// Inserts within a transaction that goes on after an overlap.
async fn insert(session: &mut Session, booking: &Booking) -> Result<(), Error> {
    if session.is_postgres() {
        session.batch(&SAVEPOINT).await?;
    }
    let outcome = session.execute(&INSERT, &written(booking)).await.map(drop);
    if matches!(outcome, Err(Error::Overlap)) && session.is_postgres() {
        session.batch(&BACK).await?;
    }
    outcome
}

/// What must follow from a new booking.
async fn follow(session: &mut Session, booking: &Booking) -> Result<Outcome, Error> {
    let task = match booking.status {
        Status::Pending => Some(confirm(session, booking, booking.created_at).await?),
        Status::Confirmed | Status::Cancelled => None,
    };
    announce(session, Event::Created, booking, booking.created_at).await?;
    Ok(Outcome::Created(task))
}

async fn recall(session: &mut Session, once: &Once) -> Result<Option<Outcome>, Error> {
    let (route, key) = (Value::Text(once.route.to_owned()), Value::Text(once.key.clone()));
    if session.is_postgres() {
        // Held to the transaction's end. SQLite has one writer at a time: its first request has ended by now.
        let claimed = session.rows(&CLAIM, &[route.clone(), key.clone()]).await?;
        if claimed.first().map(|row| row.integer(0)).transpose()? != Some(1) {
            return Err(Error::KeyRunning);
        }
    }
    let rows = session.rows(&RECALL, &[route, key, Value::Time(once.now)]).await?;
    rows.first().map(|row| outcome(row, once)).transpose()
}

fn outcome(row: &Row, once: &Once) -> Result<Outcome, Error> {
    if row.bytes(0)? != once.request_hash {
        return Err(Error::KeyReused);
    }
    if row.text(1)? == OVERLAP {
        return Ok(Outcome::Overlap);
    }
    let status = u16::try_from(row.integer(2)?).map_err(|_| Error::Internal {
        doing: "read a remembered answer".into(),
        source: Box::new(Said("its status is no HTTP status".into())),
    })?;
    Ok(Outcome::Answered(Answer {
        status,
        location: row.text(3)?.to_owned(),
        etag: row.text(4)?.to_owned(),
        body: row.bytes(5)?.to_vec(),
        task: row.id_or_null(6)?,
    }))
}

const OVERLAP: &str = "overlap";

async fn remember(session: &mut Session, once: &Once, outcome: &Outcome) -> Result<(), Error> {
    let answer = &once.answer;
    let nothing = [Value::Null, Value::Null, Value::Null, Value::Null, Value::Null];
    let (word, [status, location, etag, body, task]) = match outcome {
        Outcome::Overlap => (OVERLAP, nothing),
        Outcome::Created(task) => (
            "answered",
            [
                Value::Integer(answer.status.into()),
                Value::Text(answer.location.clone()),
                Value::Text(answer.etag.clone()),
                Value::Bytes(answer.body.clone()),
                task.map_or(Value::Null, Value::Id),
            ],
        ),
        Outcome::Answered(_) => return Ok(()),
    };
    let values = [
        Value::Text(once.route.to_owned()),
        Value::Text(once.key.clone()),
        Value::Bytes(once.request_hash.to_vec()),
        Value::Time(once.now.plus(Once::KEPT)),
        Value::Text(word.to_owned()),
        status,
        location,
        etag,
        body,
        task,
    ];
    session.execute(&REMEMBER, &values).await.map(drop)
}
