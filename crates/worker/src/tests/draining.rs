//! Ends in good order: what runs may end, what does not is given back.

use super::*;
use std::sync::Arc;
use tokio::sync::Notify;

async fn waiting(database: &Database, go: &Arc<Notify>) -> Making {
    let go = Arc::clone(go);
    Making::with(database, move |_| {
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            Ok(Outcome::Done)
        }
        .boxed()
    })
    .await
}

#[tokio::test]
async fn a_draining_worker_lets_its_tasks_end_and_takes_no_others() {
    for database in Database::both().await {
        let go = Arc::new(Notify::new());
        let (running, _) = database.enqueue(task("slow")).await;
        let mut worker = waiting(&database, &go).await.start();
        database.until(running, State::Leased).await;
        worker.ask_to_stop();
        // Looks at the request to stop before anything else that it waits for.
        tokio::task::yield_now().await;
        let (late, _) = database.enqueue(task("slow")).await;
        go.notify_one();
        worker.ended().await;
        assert_eq!(database.store.task(running).await.unwrap().state, State::Done);
        assert_eq!(database.store.task(late).await.unwrap().state, State::Queued);
    }
}

#[tokio::test]
async fn a_draining_worker_gives_back_what_does_not_end_in_time() {
    for database in Database::both().await {
        let go = Arc::new(Notify::new());
        // That it was the last run is no reason to give it up.
        let (id, trace) = database.enqueue(NewTask { max_runs: 1, ..task("slow") }).await;
        let making = waiting(&database, &go).await;
        let mut worker = Making { within: Duration::ZERO, ..making }.start();
        database.until(id, State::Leased).await;
        worker.ask_to_stop();
        worker.ended().await;
        let task = database.store.task(id).await.unwrap();
        assert_eq!((task.state, task.runs), (State::Queued, 1));
        assert_eq!(task.last_error.as_deref(), Some("the worker was stopped before the run had ended"));
        assert!(task.due_at.unwrap() <= Timestamp::now(), "another worker has it at once");
        let line = testing::wait_for_line(&trace, "task");
        assert_eq!((&line["outcome"], &line["error.type"]), (&"failed".into(), &"draining".into()), "{line}");
    }
}
