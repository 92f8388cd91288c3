//! What can be done with tasks: enqueued, claimed, renewed, ended; looked at, retried, cancelled, removed.

use uuid::Uuid;

use super::{Database, Store};
use crate::{
    Error, Timestamp,
    operations::{
        CancelTask, ClaimTasks, CountDead, CountTasks, CountWaiting, EndRun, Enqueue, GetTask, ListTasks,
        NextDue, PutOff, RemoveFinished, Renew, RetryTask,
    },
    task::{
        Claim, Claimed, Ended, Enqueued, Kept, Lease, NewTask, Outcome, Task, TaskCounts, TaskListing,
        Waiting,
    },
    waiter::TaskWaiter,
};

impl Store {
    /// Enqueues tasks, all or none; says of each, in their order, whether it is new.
    pub async fn enqueue(&self, tasks: Vec<NewTask>, now: Timestamp) -> Result<Vec<Enqueued>, Error> {
        self.run(Enqueue { tasks, now }).await
    }

    /// Takes as many due tasks of each kind as there are places for, those first that have been due for longest. No two claims
    /// get the same run.
    pub async fn claim_tasks(&self, claim: Claim) -> Result<Claimed, Error> {
        self.run(ClaimTasks { claim, token: Uuid::new_v4() }).await
    }

    /// Makes leases last until `expires_at`, and gives those that were lost: their runs are somebody else's.
    pub async fn renew_leases(&self, leases: Vec<Lease>, expires_at: Timestamp) -> Result<Vec<Lease>, Error> {
        self.run(Renew { leases, expires_at }).await
    }

    /// Gives runs back that were claimed and not begun, until the times beside them: they count as no runs. A lease that was lost
    /// is passed over.
    pub async fn put_off_tasks(&self, leases: Vec<(Lease, Timestamp)>) -> Result<(), Error> {
        self.run(PutOff { leases }).await
    }

    /// Writes the end of a run and what follows from it, in one transaction. `run` is the `traceparent` of the run's own span:
    /// the first run's is kept for later ones to link to.
    pub async fn end_run(
        &self,
        lease: Lease,
        outcome: Outcome,
        run: Option<String>,
        now: Timestamp,
    ) -> Result<Ended, Error> {
        self.run(EndRun { lease, outcome, run, now }).await
    }

    /// One who is woken when a task may be due.
    pub fn task_waiter(&self) -> TaskWaiter {
        match &self.database {
            Database::Postgres(pool) => TaskWaiter::of_postgres(self.clone(), pool.listen()),
            Database::Sqlite(pool) => TaskWaiter::of_sqlite(self.clone(), pool.watch()),
        }
    }

    /// When the next task of these kinds can be claimed, which may have been long ago; none where there is none.
    pub async fn next_task_due(&self, kinds: Vec<String>) -> Result<Option<Timestamp>, Error> {
        self.run(NextDue { kinds }).await
    }

    /// One task.
    pub async fn task(&self, id: Uuid) -> Result<Task, Error> {
        self.run(GetTask { id }).await
    }

    /// Tasks, newest first.
    pub async fn tasks(&self, listing: TaskListing) -> Result<Vec<Task>, Error> {
        self.run(ListTasks { listing }).await
    }

    /// How many tasks there are. Looks at every one.
    pub async fn count_tasks(&self) -> Result<TaskCounts, Error> {
        self.run(CountTasks).await
    }

    /// How many tasks have failed for good.
    pub async fn count_dead_tasks(&self) -> Result<u64, Error> {
        self.run(CountDead).await
    }

    /// How many tasks no worker has although they are due, and the oldest of them.
    pub async fn waiting_tasks(&self, now: Timestamp) -> Result<Waiting, Error> {
        self.run(CountWaiting { now }).await
    }

    /// Queues a dead task again, for `more_runs` more (1 or more); [`Error::TaskState`] if it is not dead.
    pub async fn retry_task(&self, id: Uuid, more_runs: u32, now: Timestamp) -> Result<Task, Error> {
        self.run(RetryTask { id, more_runs, now }).await
    }

    /// Takes a queued task back; [`Error::TaskState`] if it is not queued.
    pub async fn cancel_task(&self, id: Uuid, now: Timestamp) -> Result<Task, Error> {
        self.run(CancelTask { id, now }).await
    }

    /// Removes tasks that ended too long ago, `batch` at most, and says how many they were.
    pub async fn remove_finished_tasks(&self, kept: Kept, batch: u16) -> Result<u64, Error> {
        self.run(RemoveFinished { kept, batch }).await
    }
}
