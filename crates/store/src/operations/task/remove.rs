//! Tasks that ended long ago, removed in batches: a long statement would hold up those who write.

use crate::{
    error::Error,
    operations::Operation,
    session::{Session, Sql},
    task::{Kept, State},
    value::Value,
};

const DELETE: Sql<'_> = Sql::same(
    "DELETE",
    "tasks",
    "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks \
     WHERE state = $1 AND finished_at < $2 ORDER BY finished_at LIMIT $3)",
);

#[derive(Debug)]
pub(crate) struct RemoveFinished {
    pub(crate) kept: Kept,
    pub(crate) batch: u16,
}

impl Operation for RemoveFinished {
    const WRITES: bool = true;
    type Output = u64;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<u64, Error> {
        let mut removed = 0;
        for (state, since) in [
            (State::Done, self.kept.done_since),
            (State::Cancelled, self.kept.done_since),
            (State::Dead, self.kept.dead_since),
        ] {
            let left = u64::from(self.batch).saturating_sub(removed);
            let left = i64::try_from(left).unwrap_or_default();
            let values = [Value::Text(state.as_str().to_owned()), Value::Time(since), Value::Integer(left)];
            removed += session.execute(&DELETE, &values).await?;
        }
        Ok(removed)
    }
}
