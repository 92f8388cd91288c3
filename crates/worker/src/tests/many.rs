//! Many tasks and eight workers: each done once; with workers killed on the way none lost and none stuck.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::*;

const TASKS: usize = 2_000;
const WORKERS: usize = 8;

/// How often each task was begun.
type Begun = Arc<Mutex<HashMap<Uuid, u32>>>;

async fn enqueue_many(database: &Database) -> Vec<Uuid> {
    let tasks: Vec<_> = (0..TASKS).map(|_| NewTask { max_runs: 50, ..task("count") }).collect();
    let ids = tasks.iter().map(|task| task.id).collect();
    for some in tasks.chunks(200) {
        database.store.enqueue(some.to_vec(), Timestamp::now()).await.unwrap();
    }
    ids
}

async fn counting(database: &Database, begun: &Begun) -> Making {
    let begun = Arc::clone(begun);
    Making::with(database, move |task| {
        *begun.lock().unwrap().entry(task.id).or_default() += 1;
        async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            Ok(Outcome::Done)
        }
        .boxed()
    })
    .await
}

async fn all_done(database: &Database) {
    eventually_within(MANY, "every task is done", async || {
        let counts = database.store.count_tasks().await.unwrap();
        if counts.done == TASKS as u64 { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
}

async fn check_each_once(database: Database) {
    let (ids, begun) = (enqueue_many(&database).await, Begun::default());
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(counting(&database, &begun).await.start());
    }
    all_done(&database).await;
    for worker in workers {
        worker.stop().await;
    }
    let begun = begun.lock().unwrap();
    let wrong: Vec<_> = ids.iter().filter(|id| begun.get(id) != Some(&1)).collect();
    assert!(wrong.is_empty() && begun.len() == TASKS, "not begun exactly once: {wrong:?}");
}

async fn check_none_lost(database: Database) {
    let (ids, begun) = (enqueue_many(&database).await, Begun::default());
    let start = async || counting(&database, &begun).await.lease(Duration::from_millis(500)).start();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(start().await);
    }
    // At every other look one that is chosen by chance is killed, and another starts.
    eventually_within(MANY, "every task is done", async || {
        if fastrand::bool() {
            workers[fastrand::usize(..WORKERS)] = start().await;
        }
        let counts = database.store.count_tasks().await.unwrap();
        if counts.done == TASKS as u64 { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }
    let begun = begun.lock().unwrap();
    assert!(ids.iter().all(|id| begun.contains_key(id)));
    let again = begun.values().filter(|times| **times > 1).count();
    assert!(again > 0, "no lease was lost: nobody was killed at work");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_workers_do_each_of_two_thousand_tasks_once_on_sqlite() {
    check_each_once(Database::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_workers_do_each_of_two_thousand_tasks_once_on_postgres() {
    check_each_once(Database::on(tests::postgres::database().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_lose_no_task_on_sqlite() {
    check_none_lost(Database::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_lose_no_task_on_postgres() {
    check_none_lost(Database::on(tests::postgres::database().await).await).await;
}
