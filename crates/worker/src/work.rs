//! The loop: claims what is due, as much as there are places for, and runs each task on its own.
//!
//! Promises: no more runs of a kind at a time than it has places, so that no kind waits for the places of another, and no
//! receiver for those that another one hangs in; a run that panics, hangs or is refused stops no other; a database that is
//! away is left alone for a while; whoever asks it to stop gets it stopped within a bound, with every lease ended or given
//! back; a kind that has no places is left for a program that knows it. Refuses: knowing what a task does.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use opentelemetry::context::FutureExt as _;
use store::{Backoff, Claim, Ended, Lease, Outcome, Places, Run, Store, Task, Timestamp};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    held::{Held, Holding, Stop},
    outcome::{self, Failure},
    running::Running,
    telling::{self, Telling, Told},
};

/// How a database is left alone that could not be asked.
const AWAY: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(5) };
/// How long a place that became free waits for others before it is claimed for: under load a claim for each would be one more
/// transaction a task.
const GATHER: Duration = Duration::from_millis(10);
/// How long giving the leases back may take, once the time to drain is over.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// The function that runs a task of whatever kind.
pub(crate) type Work = dyn Fn(Task) -> BoxFuture<'static, Result<Outcome, Failure>> + Send + Sync;

/// What the loop needs.
pub(crate) struct Worker {
    pub(crate) store: Store,
    /// Who we are, for people to read.
    pub(crate) holder: String,
    /// How many tasks of each kind run at a time.
    pub(crate) places: Vec<Places>,
    /// How long a lease lasts unless it is renewed.
    pub(crate) lease: Duration,
    pub(crate) retries: Backoff,
    pub(crate) work: Box<Work>,
}

impl Worker {
    /// Works until `stop`; then lets what runs end `within` this, and gives the rest back.
    pub(crate) async fn work(self, stop: impl Future<Output = ()>, within: Duration) {
        let (worker, held, mut stop) = (Arc::new(self), Held::default(), pin!(stop));
        let (mut running, mut renewing, mut failures) =
            (Running::new(worker.places.clone()), JoinSet::new(), 0);
        renewing.spawn(held.clone().renew(worker.store.clone(), worker.lease));
        let mut waiter = worker.store.task_waiter();
        loop {
            // Never given up halfway: what it gets would be nobody's until the leases expire.
            let pause = worker.clone().claim(&held, &mut running, &mut failures).await;
            let with_room = running.kinds_with_room();
            let mut woken = pin!(async {
                match pause {
                    Some(pause) => sleep(pause).await,
                    None if with_room.is_empty() => std::future::pending().await,
                    None => waiter.wait(&with_room).await,
                }
            });
            loop {
                tokio::select! {
                    biased;
                    () = &mut stop => return drain(running, &held, within).await,
                    () = &mut woken => break,
                    // More of its kind may be due already.
                    full = running.next() => if let (Some(kind), None) = (full, pause) {
                        running.gather(&kind, GATHER).await;
                        break;
                    },
                }
            }
        }
    }

    /// Claims and begins what is due. Gives how long to wait before the next claim, where that is not for something due.
    async fn claim(
        self: Arc<Self>,
        held: &Held,
        running: &mut Running,
        failures: &mut u32,
    ) -> Option<Duration> {
        let places = running.free();
        let (now, until) = (Timestamp::now(), Instant::now() + self.lease);
        let claim = Claim { places, holder: self.holder.clone(), now, expires_at: now.plus(self.lease) };
        let claimed = match self.store.claim_tasks(claim).await {
            Ok(claimed) => claimed,
            Err(error) => {
                *failures = failures.saturating_add(1);
                tracing::warn!(error = &error as &dyn std::error::Error, "tasks not claimed");
                return Some(AWAY.wait(*failures, fastrand::f64()));
            }
        };
        *failures = 0;
        claimed.dead.iter().for_each(telling::dead);
        let mut put_off = Vec::new();
        for run in claimed.runs {
            match running.take(&run.task, std::time::Instant::now()) {
                Ok(place) => {
                    let holding = held.hold(run.lease, until);
                    running.begin(place, self.clone().run(run, holding));
                }
                Err(wait) => put_off.push((run.lease, now.plus(wait))),
            }
        }
        // What was dead already or is put off takes no place, and there may be more behind it.
        let more = !claimed.dead.is_empty() || !put_off.is_empty();
        if let Err(error) = self.put_off(put_off).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "tasks not put off: their leases are left to expire"
            );
        }
        more.then_some(Duration::ZERO)
    }

    async fn put_off(&self, leases: Vec<(Lease, Timestamp)>) -> Result<(), store::Error> {
        if leases.is_empty() { Ok(()) } else { self.store.put_off_tasks(leases).await }
    }

    /// One run, from its claim to its written end.
    async fn run(self: Arc<Self>, run: Run, mut holding: Holding) {
        let telling = Telling::begin(&run.task);
        let work = AssertUnwindSafe(async { (self.work)(run.task.clone()).await }).catch_unwind();
        let work = async {
            tokio::select! {
                worked = work => Ok(worked.unwrap_or_else(|_| Err(panicked()))),
                stop = holding.stopped() => Err(stop),
            }
        };
        let (outcome, failure) = match work.with_context(telling.context().clone()).await {
            Ok(Ok(outcome)) => (outcome, None),
            Ok(Err(failure)) => (self.failed(&failure, run.task.runs), Some(failure)),
            Err(Stop::Lost) => return telling.end(Told::Lost, Some(&lost())),
            Err(Stop::Draining) => given_back(),
        };
        let end = self.end(&run, outcome, telling.traceparent(), &mut holding);
        let ended = end.with_context(telling.context().clone()).await;
        let failure = if ended == Told::Lost { Some(lost()) } else { failure };
        telling.end(ended, failure.as_ref());
    }

    fn failed(&self, failure: &Failure, run: u32) -> Outcome {
        outcome::of_failure(failure, run, self.retries, Timestamp::now(), fastrand::f64())
    }

    /// Writes the end of a run; tries again while the database is away and the lease is ours.
    async fn end(
        &self,
        run: &Run,
        outcome: Outcome,
        traceparent: Option<String>,
        holding: &mut Holding,
    ) -> Told {
        for failures in 1.. {
            let ended = self.store.end_run(run.lease, outcome.clone(), traceparent.clone(), Timestamp::now());
            let error = match ended.await {
                Ok(Ended::Lost) if failures > 1 => return self.ended_before(run, &outcome).await,
                Ok(ended) => return Told::of(ended),
                Err(error) => error,
            };
            tracing::warn!(error = &error as &dyn std::error::Error, "end of a run not written");
            if !matches!(error, store::Error::Unavailable { .. } | store::Error::Exhausted { .. }) {
                // Trying does not help; the lease expires, and that is the end of this run.
                break;
            }
            tokio::select! {
                () = sleep(AWAY.wait(failures, fastrand::f64())) => {}
                stop = holding.stopped() => if stop == Stop::Lost { return self.ended_before(run, &outcome).await },
            }
        }
        Told::Lost
    }

    /// What became of a run that did not hold its lease any more when its end was written once again: the connection may have
    /// broken after the commit. Then the task is as this run would have left it, and nobody has claimed it since.
    async fn ended_before(&self, run: &Run, outcome: &Outcome) -> Told {
        match self.store.task(run.task.id).await {
            Ok(task)
                if task.runs == run.task.runs && task.state == outcome::state_after(outcome, &run.task) =>
            {
                Told::of(Ended::Now(task.state))
            }
            Ok(_) => Told::Lost,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "not known whether the end of a run was written"
                );
                Told::Lost
            }
        }
    }
}

/// Lets what runs end, and gives back what does not.
async fn drain(mut running: Running, held: &Held, within: Duration) {
    if timeout(within, running.all()).await.is_ok() {
        return;
    }
    held.stop_all(Stop::Draining);
    if timeout(GIVE_BACK, running.all()).await.is_err() {
        tracing::warn!("drain timeout: leases of tasks that still run are left to expire");
    }
}

fn panicked() -> Failure {
    // The panic hook has told what and where, under the run's trace.
    Failure::passing("panic", "the run panicked")
}

fn lost() -> Failure {
    Failure::passing("lease_lost", "the lease was lost: another worker has the task, or will")
}

/// Due again at once, for another worker.
fn given_back() -> (Outcome, Option<Failure>) {
    let failure = Failure::passing("draining", "the worker was stopped before the run had ended");
    (Outcome::GivenBack { error: failure.error.clone() }, Some(failure))
}
