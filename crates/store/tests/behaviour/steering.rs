//! Tasks looked at, counted, retried, cancelled and removed.

use store::{Ended, Kept, NewTask, Outcome, State, Store, Task, TaskCounts, TaskListing, Waiting};
use uuid::Uuid;

use super::{
    Place, at, claims,
    claims::{claim, end, one},
    fresh_id, kind, task,
};

async fn enqueue(store: &Store, key: &str, minute: u32) -> Uuid {
    let task = task(key, at(minute));
    store.enqueue(vec![task.clone()], at(0)).await.unwrap();
    task.id
}

/// A task in each state: queued, leased, done, dead, cancelled.
async fn one_of_each(store: &Store) -> [Uuid; 5] {
    let done = enqueue(store, "done", 1).await;
    let run = one(store, at(1)).await;
    end(store, run.lease, Outcome::Done, at(2)).await;
    let dead = enqueue(store, "dead", 1).await;
    let run = one(store, at(1)).await;
    end(store, run.lease, Outcome::Hopeless { error: "no".into() }, at(3)).await;
    let leased = enqueue(store, "leased", 1).await;
    claims::one(store, at(1)).await;
    let cancelled = enqueue(store, "cancelled", 1).await;
    store.cancel_task(cancelled, at(4)).await.unwrap();
    let queued = enqueue(store, "queued", 1).await;
    [queued, leased, done, dead, cancelled]
}

async fn list(store: &Store, state: Option<State>, kind: Option<&str>, limit: u16) -> Vec<Uuid> {
    let listing = TaskListing { state, kind: kind.map(str::to_owned), limit };
    store.tasks(listing).await.unwrap().iter().map(|task| task.id).collect()
}

pub(crate) async fn tasks_are_listed_and_counted_by_state(place: &dyn Place) {
    let store = place.open().await;
    let [queued, leased, done, dead, cancelled] = one_of_each(&store).await;
    let all = [queued, cancelled, leased, dead, done];
    assert_eq!(list(&store, None, None, 10).await, all, "newest first");
    assert_eq!(list(&store, None, None, 2).await, all[..2]);
    assert_eq!(list(&store, Some(State::Dead), None, 10).await, [dead]);
    assert_eq!(list(&store, Some(State::Leased), Some("deliver_webhook"), 10).await, [leased]);
    assert!(list(&store, None, Some("confirm_booking"), 10).await.is_empty());
    let expected = TaskCounts { queued: 1, leased: 1, done: 1, dead: 1, cancelled: 1 };
    assert_eq!(store.count_tasks().await.unwrap(), expected);
    assert_eq!(store.count_dead_tasks().await.unwrap(), 1);
    assert_eq!(kind(store.task(fresh_id()).await), "no such task");
}

pub(crate) async fn who_waits_and_for_how_long_is_known(place: &dyn Place) {
    let store = place.open().await;
    assert_eq!(store.next_task_due(super::claims::kinds()).await.unwrap(), None);
    assert_eq!(store.waiting_tasks(at(100)).await.unwrap(), Waiting::default());
    let [queued, leased, ..] = one_of_each(&store).await;
    let later = enqueue(&store, "later", 50).await;
    assert_eq!(store.next_task_due(super::claims::kinds()).await.unwrap(), Some(at(1)));
    let waiting = store.waiting_tasks(at(1)).await.unwrap();
    assert_eq!(waiting, Waiting { tasks: 1, oldest: Some((queued, at(1))) });
    store.cancel_task(queued, at(1)).await.unwrap();
    assert_eq!(store.waiting_tasks(at(1)).await.unwrap(), Waiting::default());
    // Its lease ends a minute after its claim.
    assert_eq!(store.next_task_due(super::claims::kinds()).await.unwrap(), Some(at(2)));
    let waiting = store.waiting_tasks(at(60)).await.unwrap();
    assert_eq!(waiting, Waiting { tasks: 2, oldest: Some((leased, at(2))) });
    let overtaken = enqueue(&store, "overtaken", 1).await;
    let waiting = store.waiting_tasks(at(60)).await.unwrap();
    assert_eq!(waiting.oldest, Some((overtaken, at(1))), "the one due for longest, whenever it was enqueued");
    let strange = NewTask { kind: "make_coffee".into(), ..super::task("of a newer program", at(0)) };
    store.enqueue(vec![strange.clone()], at(0)).await.unwrap();
    assert_eq!(
        store.waiting_tasks(at(60)).await.unwrap().oldest,
        Some((strange.id, at(0))),
        "whatever its kind"
    );
    assert_eq!(store.task(later).await.unwrap().due_at, Some(at(50)));
}

pub(crate) async fn a_dead_task_is_retried_by_hand(place: &dyn Place) {
    let store = place.open().await;
    let [queued, leased, done, dead, cancelled] = one_of_each(&store).await;
    store.cancel_task(queued, at(5)).await.unwrap();
    let retried = store.retry_task(dead, 2, at(5)).await.unwrap();
    assert_eq!((retried.state, retried.runs, retried.max_runs), (State::Queued, 1, 3));
    assert_eq!((retried.run_at, retried.finished_at), (at(5), None));
    assert_eq!(retried.last_error.as_deref(), Some("no"), "what it died of is still known");
    let runs = claim(&store, 10, at(5)).await.runs;
    let run = runs.iter().find(|run| run.task.id == dead).unwrap();
    assert_eq!(run.task.runs, 2, "runs are counted on");
    let failed = Outcome::Failed { error: "again".into(), retry_at: at(6) };
    assert_eq!(end(&store, run.lease, failed.clone(), at(6)).await, Ended::Now(State::Queued));
    let runs = claim(&store, 10, at(6)).await.runs;
    let run = runs.iter().find(|run| run.task.id == dead).unwrap();
    assert_eq!(end(&store, run.lease, failed, at(6)).await, Ended::Now(State::Dead));
    for (id, state) in [(queued, "cancelled"), (leased, "leased"), (done, "done"), (cancelled, "cancelled")] {
        assert_eq!(kind(store.retry_task(id, 1, at(7)).await), state);
    }
    assert_eq!(kind(store.retry_task(fresh_id(), 1, at(7)).await), "no such task");
}

pub(crate) async fn a_task_that_waits_can_be_cancelled(place: &dyn Place) {
    let store = place.open().await;
    let [queued, leased, done, dead, cancelled] = one_of_each(&store).await;
    let task: Task = store.cancel_task(queued, at(5)).await.unwrap();
    assert_eq!((task.state, task.finished_at, task.due_at), (State::Cancelled, Some(at(5)), None));
    for (id, state) in
        [(queued, "cancelled"), (leased, "leased"), (done, "done"), (dead, "dead"), (cancelled, "cancelled")]
    {
        assert_eq!(kind(store.cancel_task(id, at(7)).await), state);
    }
    assert_eq!(kind(store.cancel_task(fresh_id(), at(7)).await), "no such task");
    let claimed = claim(&store, 10, at(60)).await;
    let ids: Vec<_> = claimed.runs.iter().map(|run| run.task.id).collect();
    assert_eq!(ids, [leased], "only the one whose lease has expired");
}

pub(crate) async fn finished_tasks_are_removed_in_batches(place: &dyn Place) {
    let store = place.open().await;
    let [queued, leased, done, dead, cancelled] = one_of_each(&store).await;
    let remove = async |done, dead, batch| {
        let kept = Kept { done_since: at(done), dead_since: at(dead) };
        store.remove_finished_tasks(kept, batch).await.unwrap()
    };
    assert_eq!(remove(2, 3, 10).await, 0, "what ended then is kept still");
    assert_eq!(remove(3, 3, 10).await, 1);
    assert_eq!(kind(store.task(done).await), "no such task");
    assert_eq!(remove(60, 60, 1).await, 1);
    assert_eq!(remove(60, 60, 1).await, 1);
    assert_eq!(remove(60, 60, 1).await, 0);
    for (id, expected) in
        [(dead, "no such task"), (cancelled, "no such task"), (queued, "ok"), (leased, "ok")]
    {
        assert_eq!(kind(store.task(id).await), expected);
    }
}
