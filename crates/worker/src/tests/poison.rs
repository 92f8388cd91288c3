//! What stops no other task: kinds that only a newer program knows, other kinds that hang, work that panics.

use super::*;
use std::sync::Arc;

#[tokio::test]
async fn a_kind_that_only_a_newer_program_knows_is_left_to_it() {
    for database in Database::both().await {
        let (strange, _) = database.enqueue(task("make_coffee")).await;
        let (good, _) = database.enqueue(task("confirm_booking")).await;
        let worker = Making::on(&database).await.concurrency(1).start();
        database.until(good, State::Done).await;
        worker.stop().await;
        let left = database.store.task(strange).await.unwrap();
        assert_eq!((left.state, left.runs), (State::Queued, 0));
    }
}

#[tokio::test]
async fn a_kind_that_hangs_takes_its_own_places_alone() {
    for database in Database::both().await {
        let hanging = Arc::new(AtomicU32::new(0));
        let begun = Arc::clone(&hanging);
        let making = Making::with(&database, move |task| {
            if task.kind == "slow" {
                begun.fetch_add(1, Ordering::SeqCst);
                return std::future::pending().boxed();
            }
            async { Ok(Outcome::Done) }.boxed()
        });
        let mut worker = making.await.concurrency(2);
        worker.within = Duration::ZERO;
        let worker = worker.start();
        for _ in 0..5 {
            database.enqueue(task("slow")).await;
        }
        // More than there are places, one after the other: each needs one that another has left.
        for _ in 0..5 {
            let (good, _) = database.enqueue(task("calm")).await;
            database.until(good, State::Done).await;
        }
        assert_eq!(hanging.load(Ordering::SeqCst), 2, "and no more than these");
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_delivery_without_a_webhook_is_dead_at_once() {
    let database = Database::sqlite().await;
    let (id, _) = database.enqueue(task("deliver_webhook")).await;
    let worker = Making::on(&database).await.start();
    let dead = database.until(id, State::Dead).await;
    worker.stop().await;
    assert_eq!(dead.last_error.as_deref(), Some("the task names no webhook"));
}

#[tokio::test]
async fn a_panic_is_a_failed_run_and_stops_no_other() {
    for database in Database::both().await {
        let (poison, trace) = database.enqueue(task("panic")).await;
        let (good, _) = database.enqueue(task("calm")).await;
        let making = Making::with(&database, |task| {
            async move {
                assert_ne!(task.kind, "panic", "as the test wants it");
                Ok(Outcome::Done)
            }
            .boxed()
        });
        let worker = making.await.concurrency(1).start();
        let dead = database.until(poison, State::Dead).await;
        database.until(good, State::Done).await;
        worker.stop().await;
        assert_eq!((dead.runs, dead.last_error.as_deref()), (3, Some("the run panicked")));
        let line = testing::wait_for_line(&trace, "task");
        assert_eq!((&line["level"], &line["error.type"]), (&"WARN".into(), &"panic".into()), "{line}");
    }
}

#[tokio::test]
async fn a_dead_task_runs_again_when_somebody_says_so() {
    for database in Database::both().await {
        let receiver =
            tests::Receiver::start(|before, _| tests::Reply::status(if before < 3 { 500 } else { 204 }))
                .await;
        let webhook = database.subscribe(&receiver.url()).await;
        let (id, _) = database.enqueue(delivery(&webhook)).await;
        let worker = Making::on(&database).await.start();
        let dead = database.until(id, State::Dead).await;
        assert_eq!((dead.runs, receiver.received().len()), (3, 3));
        database.store.retry_task(id, 1, Timestamp::now()).await.unwrap();
        let done = database.until(id, State::Done).await;
        worker.stop().await;
        assert_eq!(done.runs, 4, "and the counting goes on");
        let ids: Vec<_> = receiver.received().iter().map(|one| one.header("webhook-id").to_owned()).collect();
        assert_eq!(ids, vec![id.to_string(); 4], "its receiver knows that they are one");
    }
}
