//! Leases: renewed while the work runs, lost to somebody else, left behind by a worker that was killed.

use super::*;
use std::sync::{Arc, atomic::AtomicBool};
use tokio::sync::Notify;

const SHORT: Duration = Duration::from_millis(400);

/// Work that ends when it is told to, and says when it is dropped before.
struct Held {
    go: Notify,
    dropped: AtomicBool,
    begun: AtomicU32,
}

impl Held {
    fn new() -> Arc<Self> {
        Arc::new(Held { go: Notify::new(), dropped: AtomicBool::new(false), begun: AtomicU32::new(0) })
    }

    async fn making(self: &Arc<Self>, database: &Database) -> Making {
        let held = Arc::clone(self);
        Making::with(database, move |_| {
            let held = Arc::clone(&held);
            async move {
                held.begun.fetch_add(1, Ordering::SeqCst);
                let guard = Dropped(&held);
                held.go.notified().await;
                std::mem::forget(guard);
                Ok(Outcome::Done)
            }
            .boxed()
        })
        .await
    }
}

struct Dropped<'a>(&'a Held);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::SeqCst);
    }
}

fn of(kind: &str) -> Vec<Places> {
    vec![Places { kind: kind.to_owned(), count: 1 }]
}

#[tokio::test]
async fn a_run_that_outlasts_its_lease_is_nobody_elses() {
    for database in Database::both().await {
        let held = Held::new();
        let (id, _) = database.enqueue(task("slow")).await;
        let first = held.making(&database).await.lease(SHORT).start();
        let second = held.making(&database).await.lease(SHORT).start();
        let begun = database.until(id, State::Leased).await.due_at.unwrap();
        database.until_task(id, |task| task.due_at.unwrap().since(begun) > SHORT * 3).await;
        held.go.notify_one();
        let done = database.until(id, State::Done).await;
        assert_eq!((done.runs, held.begun.load(Ordering::SeqCst)), (1, 1));
        first.stop().await;
        second.stop().await;
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_its_lease_and_the_task_runs_elsewhere() {
    for database in Database::both().await {
        let held = Held::new();
        let (id, trace) = database.enqueue(task("confirm_booking")).await;
        let killed = held.making(&database).await.lease(SHORT).start();
        eventually("the work has begun", async || match held.begun.load(Ordering::SeqCst) {
            0 => Err("not yet"),
            _ => Ok(()),
        })
        .await;
        drop(killed);
        let other = Making::on(&database).await.start();
        let done = database.until(id, State::Done).await;
        other.stop().await;
        assert_eq!(done.runs, 2);
        // The run that was killed has written nothing: the next one is linked to who enqueued it.
        let run = Carried { traceparent: done.first_run.unwrap_or_default(), tracestate: None };
        assert_ne!(run.trace_id(), Some(trace));
    }
}

#[tokio::test]
async fn work_whose_lease_is_lost_is_stopped_and_writes_nothing() {
    for database in Database::both().await {
        let held = Held::new();
        let (id, trace) = database.enqueue(task("slow")).await;
        let worker = held.making(&database).await.lease(SHORT).start();
        database.until(id, State::Leased).await;
        // By this clock the lease has expired long ago.
        let now = Timestamp::now().plus(Duration::from_secs(3600));
        let expires_at = now.plus(Duration::from_secs(60));
        let claim = Claim { places: of("slow"), holder: "another".into(), now, expires_at };
        let taken = database.store.claim_tasks(claim).await.unwrap().runs.remove(0);
        let line = line_of(&trace).await;
        assert_eq!((&line["level"], &line["outcome"]), (&"WARN".into(), &"lost".into()), "{line}");
        assert!(held.dropped.load(Ordering::SeqCst), "the work was stopped");
        let task = database.store.task(id).await.unwrap();
        assert_eq!(
            (task.holder.as_deref(), task.runs),
            (Some("another"), 2),
            "and the other one's run stands"
        );
        database.store.end_run(taken.lease, Outcome::Done, None, now).await.unwrap();
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_task_whose_last_lease_expires_is_dead_and_its_line_is_in_its_trace() {
    for database in Database::both().await {
        let (id, trace) = database.enqueue(NewTask { max_runs: 1, ..task("slow") }).await;
        let past = Timestamp::now().minus(Duration::from_secs(60));
        let due = database.store.task(id).await.unwrap().due_at.unwrap();
        let claim = Claim { places: of("slow"), holder: "killed".into(), now: due, expires_at: past };
        assert_eq!(database.store.claim_tasks(claim).await.unwrap().runs.len(), 1);
        let (next, _) = database.enqueue(task("confirm_booking")).await;
        // What was dead already takes no place: the only one there is goes to the next task.
        let worker = Making::on(&database).await.concurrency(1).start();
        let dead = database.until(id, State::Dead).await;
        database.until(next, State::Done).await;
        worker.stop().await;
        assert!(dead.last_error.unwrap().contains("killed"));
        let line = testing::wait_for_line(&trace, "task");
        assert_eq!((&line["level"], &line["outcome"]), (&"ERROR".into(), &"dead".into()), "{line}");
        assert_eq!(line["error.type"], "lease_expired");
    }
}
