//! Runs that were claimed and not begun: their tasks are queued again, from a later time on, as if nobody had claimed them.

use crate::{
    Timestamp,
    error::Error,
    operations::Operation,
    session::{Session, Sql},
    task::Lease,
    value::Value,
};

/// `run_at` stays: since then it waits.
const PUT_OFF: Sql<'_> = Sql::same(
    "UPDATE",
    "tasks",
    "UPDATE tasks SET state = 'queued', due_at = $1, runs = runs - 1, lease = NULL, holder = NULL \
     WHERE id = $2 AND lease = $3",
);

#[derive(Debug)]
pub(crate) struct PutOff {
    pub(crate) leases: Vec<(Lease, Timestamp)>,
}

impl Operation for PutOff {
    const WRITES: bool = true;
    type Output = ();
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<(), Error> {
        for (lease, until) in self.leases {
            let values = [Value::Time(until), Value::Id(lease.task), Value::Id(lease.token)];
            session.execute(&PUT_OFF, &values).await?;
        }
        Ok(())
    }
}
