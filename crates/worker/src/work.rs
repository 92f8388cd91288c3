//! The loop: claims what is due, as much as there are places for, and runs each task on its own.
//!
//! Promises: no more runs at a time than there are places; a run that panics, hangs or is refused stops no other; a database
//! that is away is left alone for a while; whoever asks it to stop gets it stopped within a bound, with every lease ended or
//! given back. Refuses: knowing what a task does.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use opentelemetry::context::FutureExt as _;
use store::{Backoff, Claim, Ended, Lease, Outcome, Run, Store, Task, Timestamp};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    held::{Held, Holding, Stop},
    outcome::{self, Failure},
    telling::{self, Telling, Told},
};

/// How a database is left alone that could not be asked.
const AWAY: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(5) };
/// How long giving the leases back may take, once the time to drain is over.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// The function that runs a task of whatever kind.
pub(crate) type Work = dyn Fn(Task) -> BoxFuture<'static, Result<Outcome, Failure>> + Send + Sync;

/// What the loop needs.
pub(crate) struct Worker {
    pub(crate) store: Store,
    /// Who we are, for people to read.
    pub(crate) holder: String,
    /// Places.
    pub(crate) concurrency: u16,
    /// How long a lease lasts unless it is renewed.
    pub(crate) lease: Duration,
    pub(crate) retries: Backoff,
    pub(crate) work: Box<Work>,
}

/// What to wait for before the next claim.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    /// A place: more may be due already.
    Place,
    /// Something that is due.
    Due,
    /// The database to come back.
    After(Duration),
}

impl Worker {
    /// Works until `stop`; then lets what runs end `within` this, and gives the rest back.
    pub(crate) async fn work(self, stop: impl Future<Output = ()>, within: Duration) {
        let (worker, held, mut stop) = (Arc::new(self), Held::default(), pin!(stop));
        let (mut runs, mut renewing, mut failures) = (JoinSet::new(), JoinSet::new(), 0);
        renewing.spawn(held.clone().renew(worker.store.clone(), worker.lease));
        let mut waiter = worker.store.task_waiter();
        loop {
            // Never given up halfway: what it gets would be nobody's until the leases expire.
            let next = worker.clone().claim(&held, &mut runs, &mut failures).await;
            let mut woken = pin!(async {
                match next {
                    Next::Place => std::future::pending().await,
                    Next::Due => waiter.wait().await,
                    Next::After(pause) => sleep(pause).await,
                }
            });
            loop {
                tokio::select! {
                    biased;
                    () = &mut stop => return drain(runs, &held, within).await,
                    () = &mut woken => break,
                    Some(_) = runs.join_next() => if next == Next::Place { break },
                }
            }
        }
    }

    async fn claim(self: Arc<Self>, held: &Held, runs: &mut JoinSet<()>, failures: &mut u32) -> Next {
        while runs.try_join_next().is_some() {}
        let limit = self.concurrency.saturating_sub(u16::try_from(runs.len()).unwrap_or(u16::MAX));
        let (now, until) = (Timestamp::now(), Instant::now() + self.lease);
        let claim = Claim { limit, holder: self.holder.clone(), now, expires_at: now.plus(self.lease) };
        let claimed = match self.store.claim_tasks(claim).await {
            Ok(claimed) => claimed,
            Err(error) => {
                *failures = failures.saturating_add(1);
                let pause = AWAY.wait(*failures, fastrand::f64());
                tracing::warn!(error = &error as &dyn std::error::Error, "tasks not claimed");
                return Next::After(pause);
            }
        };
        *failures = 0;
        claimed.dead.iter().for_each(telling::dead);
        let got = claimed.runs.len() + claimed.dead.len();
        for run in claimed.runs {
            let holding = held.hold(run.lease, until);
            runs.spawn(self.clone().run(run, holding));
        }
        if runs.len() >= usize::from(self.concurrency) {
            Next::Place
        } else if got >= usize::from(limit) {
            // Some of what it got was dead already, and took no place.
            Next::After(Duration::ZERO)
        } else {
            Next::Due
        }
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
        let end = self.end(run.lease, outcome, telling.traceparent(), &mut holding);
        let ended = end.with_context(telling.context().clone()).await;
        let failure = if ended == Told::Lost { Some(lost()) } else { failure };
        telling.end(ended, failure.as_ref());
    }

    fn failed(&self, failure: &Failure, run: u32) -> Outcome {
        outcome::of_failure(failure, run, self.retries, Timestamp::now(), fastrand::f64())
    }

    /// Writes the end of a run; tries again while the database is away and the lease is ours.
    async fn end(&self, lease: Lease, outcome: Outcome, run: Option<String>, holding: &mut Holding) -> Told {
        for failures in 1.. {
            let ended = self.store.end_run(lease, outcome.clone(), run.clone(), Timestamp::now()).await;
            let error = match ended {
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
                stop = holding.stopped() => if stop == Stop::Lost { break },
            }
        }
        Told::of(Ended::Lost)
    }
}

/// Lets what runs end, and gives back what does not.
async fn drain(mut runs: JoinSet<()>, held: &Held, within: Duration) {
    let mut ended = async || while runs.join_next().await.is_some() {};
    if timeout(within, ended()).await.is_ok() {
        return;
    }
    held.stop_all(Stop::Draining);
    if timeout(GIVE_BACK, ended()).await.is_err() {
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
