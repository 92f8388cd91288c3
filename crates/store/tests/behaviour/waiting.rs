//! Being woken when a task may be due. The bounds are far above what is usual and well below the five seconds after which
//! one who waits looks anyway.

use std::time::{Duration, Instant};

use store::{Claim, Outcome, Places, Run, Store, TaskWaiter, Timestamp};

use super::{Place, claims::kinds, task};

const SOON: Duration = Duration::from_secs(3);

/// As a worker does it: claims, waits when there is nothing, claims again.
async fn next(store: &Store, waiter: &mut TaskWaiter, lease: Duration) -> Run {
    loop {
        let now = Timestamp::now();
        let places = Places::of_every_kind(1);
        let claim = Claim { places, holder: "worker 1".into(), now, expires_at: now.plus(lease) };
        if let Some(run) = store.claim_tasks(claim).await.unwrap().runs.pop() {
            return run;
        }
        waiter.wait(&kinds()).await;
    }
}

/// One round: a worker that waits already gets the task soon after somebody else has enqueued it.
pub(crate) async fn is_woken(store: &Store, waiter: &mut TaskWaiter, other: &Store, key: &str) {
    let begun = Instant::now();
    let enqueue = async {
        // The worker looks first, and waits by then.
        tokio::task::yield_now().await;
        let now = Timestamp::now();
        other.enqueue(vec![task(key, now)], now).await.unwrap();
    };
    let (run, ()) = tokio::join!(next(store, waiter, Duration::from_secs(60)), enqueue);
    assert_eq!(run.task.idempotency_key, key);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    store.end_run(run.lease, Outcome::Done, None, Timestamp::now()).await.unwrap();
}

pub(crate) async fn a_commit_wakes_one_who_waits(place: &dyn Place) {
    let (store, other) = (place.open().await, place.open().await);
    let mut waiter = store.task_waiter();
    for round in 0..10 {
        is_woken(&store, &mut waiter, &other, &format!("round {round}")).await;
    }
    is_woken(&store, &mut waiter, &store, "by its own store").await;
}

pub(crate) async fn the_time_of_a_task_wakes_one_who_waits(place: &dyn Place) {
    let store = place.open().await;
    let mut waiter = store.task_waiter();
    let now = Timestamp::now();
    let due = now.plus(Duration::from_millis(300));
    store.enqueue(vec![task("later", due)], now).await.unwrap();
    let run = next(&store, &mut waiter, Duration::from_millis(300)).await;
    let started = run.task.started_at.unwrap();
    assert!(started >= due && started.since(due) < SOON, "{started} {due}");
    let again = next(&store, &mut waiter, Duration::from_secs(60)).await;
    let expired = run.task.due_at.unwrap();
    let started = again.task.started_at.unwrap();
    assert_eq!(again.task.runs, 2, "the end of a lease wakes as well");
    assert!(started >= expired && started.since(expired) < SOON, "{started} {expired}");
}

pub(crate) async fn one_who_waits_for_nothing_stays_asleep(place: &dyn Place) {
    let store = place.open().await;
    let now = Timestamp::now();
    store.enqueue(vec![task("far", now.plus(Duration::from_secs(3_600)))], now).await.unwrap();
    let mut waiter = store.task_waiter();
    // What happened before it was made may wake it, and so may the beginning of its listening.
    let mut woken = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        let _ = tokio::time::timeout(Duration::from_secs(1), waiter.wait(&kinds())).await;
        woken += 1;
    }
    assert!(woken <= 4, "woken {woken} times within a second");
}
