//! The end of a run, and what it changes besides the task: all of it in one transaction, if the lease is still held.

use uuid::Uuid;

use super::{announce, told};
use crate::{
    Timestamp,
    error::Error,
    event::Event,
    operations::{Operation, change},
    session::{Session, Sql},
    task::{Ended, Lease, Outcome, State},
    value::Value,
};

/// Only who holds the lease finds a row: `lease` is null in every other state.
const FINISH: Sql<'_> = Sql::same(
    "UPDATE",
    "tasks",
    "UPDATE tasks SET state = $1, finished_at = $2, last_error = coalesce($3, last_error), \
     first_run = coalesce(first_run, $4), due_at = NULL, lease = NULL, holder = NULL \
     WHERE id = $5 AND lease = $6 RETURNING booking_id, webhook_id",
);
const FAIL: Sql<'_> = Sql {
    operation: "UPDATE",
    table: "tasks",
    postgres: "UPDATE tasks SET state = CASE WHEN runs >= max_runs THEN 'dead' ELSE 'queued' END, \
        due_at = CASE WHEN runs >= max_runs THEN NULL ELSE $1::timestamptz END, \
        run_at = CASE WHEN runs >= max_runs THEN run_at ELSE $1::timestamptz END, \
        finished_at = CASE WHEN runs >= max_runs THEN $2::timestamptz END, \
        last_error = $3, first_run = coalesce(first_run, $4), lease = NULL, holder = NULL \
        WHERE id = $5 AND lease = $6 RETURNING state",
    sqlite: "UPDATE tasks SET state = CASE WHEN runs >= max_runs THEN 'dead' ELSE 'queued' END, \
        due_at = CASE WHEN runs >= max_runs THEN NULL ELSE $1 END, \
        run_at = CASE WHEN runs >= max_runs THEN run_at ELSE $1 END, \
        finished_at = CASE WHEN runs >= max_runs THEN $2 END, \
        last_error = $3, first_run = coalesce(first_run, $4), lease = NULL, holder = NULL \
        WHERE id = $5 AND lease = $6 RETURNING state",
};
/// That a worker stops is not the task's fault: a last run that is given back is made up for.
const GIVE_BACK: Sql<'_> = Sql::same(
    "UPDATE",
    "tasks",
    "UPDATE tasks SET state = 'queued', due_at = $1, run_at = $1, \
     max_runs = CASE WHEN runs >= max_runs THEN runs + 1 ELSE max_runs END, \
     last_error = $2, first_run = coalesce(first_run, $3), lease = NULL, holder = NULL \
     WHERE id = $4 AND lease = $5 RETURNING state",
);
const DISABLE: Sql<'_> = Sql::same(
    "UPDATE",
    "webhooks",
    "UPDATE webhooks SET disabled_at = $1, disabled_reason = $2 WHERE id = $3 AND disabled_at IS NULL",
);

#[derive(Debug)]
pub(crate) struct EndRun {
    pub(crate) lease: Lease,
    pub(crate) outcome: Outcome,
    /// `traceparent` of the run: the first one's is kept.
    pub(crate) run: Option<String>,
    pub(crate) now: Timestamp,
}

impl Operation for EndRun {
    const WRITES: bool = true;
    type Output = Ended;
    type Error = Error;

    fn needs_no_transaction(&self) -> bool {
        !matches!(self.outcome, Outcome::Confirm | Outcome::Unsubscribe { .. })
    }

    async fn run(self, session: &mut Session) -> Result<Ended, Error> {
        let (state, error) = match &self.outcome {
            Outcome::Failed { error, retry_at } => return self.failed(session, error, *retry_at).await,
            Outcome::GivenBack { error } => return self.given_back(session, error).await,
            Outcome::Hopeless { error } => (State::Dead, told(error)),
            Outcome::Done | Outcome::Confirm | Outcome::Unsubscribe { .. } => (State::Done, Value::Null),
        };
        let Some((booking, webhook)) = self.finish(session, state, error).await? else {
            return Ok(Ended::Lost);
        };
        match (&self.outcome, booking, webhook) {
            (Outcome::Confirm, Some(booking), _) => {
                if let Some(confirmed) = change::confirm(session, booking, self.now).await? {
                    announce(session, Event::Confirmed, &confirmed, self.now).await?;
                }
            }
            (Outcome::Unsubscribe { reason }, _, Some(webhook)) => {
                let values = [Value::Time(self.now), told(reason), Value::Id(webhook)];
                session.execute(&DISABLE, &values).await?;
            }
            _ => {}
        }
        Ok(Ended::Now(state))
    }
}

impl EndRun {
    /// The booking and the webhook of the task that ended; none where the lease was lost.
    async fn finish(
        &self,
        session: &mut Session,
        state: State,
        error: Value,
    ) -> Result<Option<(Option<Uuid>, Option<Uuid>)>, Error> {
        let values = [
            Value::Text(state.as_str().to_owned()),
            Value::Time(self.now),
            error,
            self.first_run(),
            Value::Id(self.lease.task),
            Value::Id(self.lease.token),
        ];
        let rows = session.rows(&FINISH, &values).await?;
        rows.first().map(|row| Ok((row.id_or_null(0)?, row.id_or_null(1)?))).transpose()
    }

    async fn failed(&self, session: &mut Session, error: &str, retry_at: Timestamp) -> Result<Ended, Error> {
        let values = [
            Value::Time(retry_at),
            Value::Time(self.now),
            told(error),
            self.first_run(),
            Value::Id(self.lease.task),
            Value::Id(self.lease.token),
        ];
        not_done(session, &FAIL, &values).await
    }

    async fn given_back(&self, session: &mut Session, error: &str) -> Result<Ended, Error> {
        let values = [
            Value::Time(self.now),
            told(error),
            self.first_run(),
            Value::Id(self.lease.task),
            Value::Id(self.lease.token),
        ];
        not_done(session, &GIVE_BACK, &values).await
    }

    fn first_run(&self) -> Value {
        self.run.clone().map_or(Value::Null, Value::Text)
    }
}

/// Writes the end of a run after which its task may be queued again.
async fn not_done(session: &mut Session, sql: &Sql<'_>, values: &[Value]) -> Result<Ended, Error> {
    let rows = session.rows(sql, values).await?;
    // They wait for the next time that they know of.
    session.wake_workers();
    rows.first().map_or(Ok(Ended::Lost), |row| super::state(row, 0).map(Ended::Now))
}
