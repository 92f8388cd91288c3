//! How many tasks wait, for how long, and how many are dead, as metrics.
//!
//! Observed here and not by the workers: where none of them runs, somebody must still say that tasks wait. Every instance
//! reads the same table, so a dashboard takes their maximum.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use service::Draining;
use store::{Store, Timestamp};
use telemetry::names;
use tokio::time::sleep;

const EVERY: Duration = Duration::from_secs(10);

/// What the database said last; none while it does not answer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    waiting: u64,
    /// Seconds.
    oldest: f64,
    dead: u64,
}

type Last = Arc<Mutex<Option<Seen>>>;

/// Runs until the process drains.
pub(crate) async fn observe(store: Store, draining: Draining) {
    let last = Last::default();
    instruments(&last);
    loop {
        let seen = look(&store).await.inspect_err(|error| {
            tracing::debug!(error = error as &dyn std::error::Error, "waiting tasks not counted");
        });
        *last.lock().unwrap_or_else(PoisonError::into_inner) = seen.ok();
        tokio::select! {
            () = draining.begun() => return,
            () = sleep(EVERY) => {}
        }
    }
}

async fn look(store: &Store) -> Result<Seen, store::Error> {
    let now = Timestamp::now();
    let waiting = store.waiting_tasks(now).await?;
    let oldest = waiting.oldest.map_or(Duration::ZERO, |(_, since)| now.since(since));
    let dead = store.count_dead_tasks().await?;
    Ok(Seen { waiting: waiting.tasks, oldest: oldest.as_secs_f64(), dead })
}

fn instruments(last: &Last) {
    let meter = telemetry::meter(crate::NAME);
    let read = |last: &Last| *last.lock().unwrap_or_else(PoisonError::into_inner);
    let (waiting, oldest, dead) = (Arc::clone(last), Arc::clone(last), Arc::clone(last));
    meter
        .u64_observable_gauge(names::METRIC_TASK_WAITING)
        .with_unit("{task}")
        .with_callback(move |observer| {
            if let Some(seen) = read(&waiting) {
                observer.observe(seen.waiting, &[]);
            }
        })
        .build();
    meter
        .f64_observable_gauge(names::METRIC_TASK_OLDEST)
        .with_unit("s")
        .with_callback(move |observer| {
            if let Some(seen) = read(&oldest) {
                observer.observe(seen.oldest, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge(names::METRIC_TASK_DEAD)
        .with_unit("{task}")
        .with_callback(move |observer| {
            if let Some(seen) = read(&dead) {
                observer.observe(seen.dead, &[]);
            }
        })
        .build();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Api, wanted};
    use store::{Claim, Outcome, Places};

    #[tokio::test]
    async fn what_waits_and_what_is_dead_is_seen() {
        let api = Api::sqlite().await;
        assert_eq!(look(&api.store).await.unwrap(), Seen { waiting: 0, oldest: 0.0, dead: 0 });
        api.booked(&wanted("room", 10, 11)).await;
        api.booked(&wanted("room", 11, 12)).await;
        let seen = look(&api.store).await.unwrap();
        assert_eq!((seen.waiting, seen.dead), (2, 0));
        assert!(seen.oldest > 0.0 && seen.oldest < 60.0, "{seen:?}");

        let now = Timestamp::now();
        let expires_at = now.plus(Duration::from_secs(60));
        let claim = Claim { places: Places::of_every_kind(1), holder: "a test".into(), now, expires_at };
        let run = api.store.claim_tasks(claim).await.unwrap().runs.remove(0);
        let outcome = Outcome::Hopeless { error: "no".into() };
        api.store.end_run(run.lease, outcome, None, now).await.unwrap();
        let seen = look(&api.store).await.unwrap();
        assert_eq!((seen.waiting, seen.dead), (1, 1));
    }
}
