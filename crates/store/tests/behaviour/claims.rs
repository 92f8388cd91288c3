//! Tasks given to those who ask, and how their runs end.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use store::{
    Claim, Claimed, Ended, Enqueued, Lease, NewTask, Outcome, Places, Run, State, Store, Task, Timestamp,
};

use super::{Place, at, kind, task};

/// Claims with leases of one minute.
pub(crate) async fn claim(store: &Store, limit: u16, now: Timestamp) -> Claimed {
    let expires_at = now.plus(Duration::from_secs(60));
    let places = Places::of_every_kind(limit);
    store.claim_tasks(Claim { places, holder: "worker 1".into(), now, expires_at }).await.unwrap()
}

pub(crate) fn kinds() -> Vec<String> {
    Places::of_every_kind(1).into_iter().map(|places| places.kind).collect()
}

/// The one run that is due.
pub(crate) async fn one(store: &Store, now: Timestamp) -> Run {
    let claimed = claim(store, 10, now).await;
    let [run] = claimed.runs.as_slice() else { panic!("one run was expected: {claimed:?}") };
    run.clone()
}

pub(crate) async fn end(store: &Store, lease: Lease, outcome: Outcome, now: Timestamp) -> Ended {
    store.end_run(lease, outcome, None, now).await.unwrap()
}

fn failed(error: &str, retry_at: Timestamp) -> Outcome {
    Outcome::Failed { error: error.into(), retry_at }
}

fn keys(claimed: &Claimed) -> Vec<&str> {
    claimed.runs.iter().map(|run| run.task.idempotency_key.as_str()).collect()
}

pub(crate) async fn each_kind_has_places_of_its_own(place: &dyn Place) {
    let store = place.open().await;
    let of = |kind: &str, key: &str, run_at| NewTask { kind: kind.into(), ..task(key, at(run_at)) };
    let tasks = [
        of("deliver_webhook", "first", 10),
        of("deliver_webhook", "second", 20),
        of("confirm_booking", "third", 30),
        of("make_coffee", "a newer program's", 5),
    ];
    store.enqueue(tasks.to_vec(), at(5)).await.unwrap();
    let places = |counts: &[(&str, u16)]| {
        counts.iter().map(|(kind, count)| Places { kind: (*kind).into(), count: *count }).collect()
    };
    let claim = async |counts: &[(&str, u16)]| {
        let (places, holder) = (places(counts), "worker 1".to_owned());
        store.claim_tasks(Claim { places, holder, now: at(40), expires_at: at(100) }).await.unwrap()
    };
    assert_eq!(keys(&claim(&[]).await), [""; 0]);
    assert_eq!(keys(&claim(&[("confirm_booking", 0), ("bake_bread", 9)]).await), [""; 0]);
    let next = async |kinds: &[&str]| {
        store.next_task_due(kinds.iter().map(|&kind| kind.to_owned()).collect()).await.unwrap()
    };
    assert_eq!(next(&["confirm_booking"]).await, Some(at(30)));
    assert_eq!(next(&["confirm_booking", "deliver_webhook"]).await, Some(at(10)));
    assert_eq!((next(&["bake_bread"]).await, next(&[]).await), (None, None));
    let both = claim(&[("confirm_booking", 5), ("deliver_webhook", 1)]).await;
    assert_eq!(keys(&both), ["first", "third"], "those that wait for a place are in nobody's way");
    let rest = claim(&[("deliver_webhook", 5), ("confirm_booking", 5)]).await;
    assert_eq!(keys(&rest), ["second"], "what nobody knows is left");
}

pub(crate) async fn a_run_that_is_not_begun_is_put_off_and_does_not_count(place: &dyn Place) {
    let store = place.open().await;
    store.enqueue(vec![task("a", at(10)), task("b", at(11))], at(5)).await.unwrap();
    let [a, b] = &claim(&store, 10, at(20)).await.runs[..] else { panic!("two runs") };
    let lost = Lease { token: b.lease.token, ..a.lease };
    let strange = Lease { token: super::fresh_id(), ..b.lease };
    store.put_off_tasks(vec![(lost, at(30)), (strange, at(30))]).await.unwrap();
    let put_off = store.task(a.task.id).await.unwrap();
    assert_eq!((put_off.state, put_off.runs, put_off.due_at), (State::Queued, 0, Some(at(30))));
    assert_eq!((put_off.run_at, put_off.holder), (at(10), None), "it waits since then");
    assert_eq!(
        store.task(b.task.id).await.unwrap().state,
        State::Leased,
        "whose lease it is not changes nothing"
    );
    end(&store, b.lease, Outcome::Done, at(20)).await;
    assert_eq!(keys(&claim(&store, 10, at(29)).await), [""; 0]);
    let again = one(&store, at(30)).await;
    assert_eq!((again.task.runs, again.task.run_at), (1, at(10)));
}

pub(crate) async fn tasks_are_claimed_in_the_order_in_which_they_are_due(place: &dyn Place) {
    let store = place.open().await;
    let tasks = vec![task("c", at(30)), task("a", at(10)), task("later", at(41)), task("b", at(20))];
    store.enqueue(tasks.clone(), at(5)).await.unwrap();
    assert_eq!(keys(&claim(&store, 10, at(9)).await), [""; 0], "none is due");
    let first = claim(&store, 2, at(40)).await;
    assert_eq!(keys(&first), ["a", "b"]);
    assert_eq!(keys(&claim(&store, 2, at(40)).await), ["c"]);
    assert_eq!(keys(&claim(&store, 2, at(40)).await), [""; 0]);

    let run = &first.runs[0];
    let expected = Task {
        id: tasks[1].id,
        kind: "deliver_webhook".into(),
        payload: "{}".into(),
        booking: None,
        webhook: None,
        idempotency_key: "a".into(),
        trace: None,
        first_run: None,
        state: State::Leased,
        run_at: at(10),
        due_at: Some(at(41)),
        runs: 1,
        max_runs: 3,
        holder: Some("worker 1".into()),
        created_at: at(5),
        started_at: Some(at(40)),
        finished_at: None,
        last_error: None,
    };
    assert_eq!(run.task, expected);
    assert_eq!(store.task(expected.id).await.unwrap(), expected);
    assert_eq!(run.lease.task, expected.id);
}

pub(crate) async fn of_eight_claimers_each_task_is_done_once(place: &dyn Place) {
    let store = place.open().await;
    let tasks = (0..2_000).map(|number| task(&format!("task {number}"), at(number % 7))).collect();
    store.enqueue(tasks, at(0)).await.unwrap();
    let work = async |store: Store| {
        let mut done = Vec::new();
        loop {
            let claimed = claim(&store, 16, at(10)).await;
            if claimed.runs.is_empty() {
                return done;
            }
            for run in claimed.runs {
                assert_eq!(end(&store, run.lease, Outcome::Done, at(10)).await, Ended::Now(State::Done));
                done.push(run.task.id);
            }
        }
    };
    let done = join_all((0..8).map(|_| tokio::spawn(work(store.clone())))).await;
    let mut times = HashMap::<_, u32>::new();
    for id in done.into_iter().flat_map(Result::unwrap) {
        *times.entry(id).or_default() += 1;
    }
    assert_eq!(times.len(), 2_000);
    assert!(times.values().all(|times| *times == 1));
    assert_eq!(store.count_tasks().await.unwrap().done, 2_000);
}

pub(crate) async fn an_expired_lease_is_a_run_and_who_held_it_is_told(place: &dyn Place) {
    let store = place.open().await;
    store.enqueue(vec![task("a", at(0))], at(0)).await.unwrap();
    let first = one(&store, at(10)).await;
    assert_eq!(claim(&store, 10, at(10)).await, Claimed::default(), "it is held");
    let second = one(&store, at(11)).await;
    assert_eq!((second.task.runs, second.task.run_at), (2, at(11)));
    let said = second.task.last_error.as_deref();
    assert_eq!(said, Some("the lease of run 1 expired: its worker, worker 1, stopped or hung"));
    assert_ne!(second.lease, first.lease);

    assert_eq!(store.renew_leases(vec![first.lease], at(30)).await.unwrap(), [first.lease]);
    for outcome in [
        Outcome::Done,
        Outcome::Confirm,
        failed("late", at(12)),
        Outcome::Hopeless { error: "late".into() },
        Outcome::Unsubscribe { reason: "late".into() },
    ] {
        assert_eq!(end(&store, first.lease, outcome, at(12)).await, Ended::Lost);
    }
    assert_eq!(store.task(first.task.id).await.unwrap(), second.task, "nothing was written");
    assert_eq!(end(&store, second.lease, Outcome::Done, at(12)).await, Ended::Now(State::Done));
    assert_eq!(end(&store, second.lease, Outcome::Done, at(12)).await, Ended::Lost, "it has ended");
    let done = store.task(first.task.id).await.unwrap();
    assert_eq!((done.state, done.due_at, done.holder), (State::Done, None, None));
    assert_eq!(done.finished_at, Some(at(12)));
}

pub(crate) async fn a_renewed_lease_does_not_expire(place: &dyn Place) {
    let store = place.open().await;
    store.enqueue(vec![task("a", at(0)), task("b", at(0))], at(0)).await.unwrap();
    let claimed = claim(&store, 2, at(10)).await;
    let [renewed, left] = [claimed.runs[0].lease, claimed.runs[1].lease];
    assert_eq!(store.renew_leases(vec![renewed], at(20)).await.unwrap(), []);
    let again = one(&store, at(19)).await;
    assert_eq!(again.task.id, left.task);
    assert_eq!(store.renew_leases(vec![left, renewed], at(30)).await.unwrap(), [left]);
    assert_eq!(claim(&store, 10, at(20)).await.runs.len(), 1, "the second's own lease ends at 20");
    assert_eq!(end(&store, renewed, Outcome::Done, at(20)).await, Ended::Now(State::Done));
}

pub(crate) async fn a_failed_run_comes_back_later_until_none_is_left(place: &dyn Place) {
    let store = place.open().await;
    store.enqueue(vec![task("a", at(0))], at(0)).await.unwrap();
    let run = one(&store, at(1)).await;
    let first_run = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    let ended = store.end_run(run.lease, failed("first", at(20)), first_run.clone(), at(2)).await;
    assert_eq!(ended.unwrap(), Ended::Now(State::Queued));
    assert_eq!(claim(&store, 10, at(19)).await, Claimed::default());

    let run = one(&store, at(20)).await;
    assert_eq!((run.task.runs, run.task.run_at), (2, at(20)));
    assert_eq!((run.task.last_error.as_deref(), &run.task.first_run), (Some("first"), &first_run));
    let other = Some("another".to_owned());
    let ended = store.end_run(run.lease, failed("second", at(21)), other, at(20)).await;
    assert_eq!(ended.unwrap(), Ended::Now(State::Queued));

    let run = one(&store, at(21)).await;
    assert_eq!(run.task.first_run, first_run, "the first run stays the first");
    assert_eq!(end(&store, run.lease, failed("third", at(22)), at(21)).await, Ended::Now(State::Dead));
    assert_eq!(claim(&store, 10, at(60)).await, Claimed::default());
    let dead = store.task(run.task.id).await.unwrap();
    assert_eq!((dead.state, dead.runs, dead.finished_at), (State::Dead, 3, Some(at(21))));
    assert_eq!(dead.last_error.as_deref(), Some("third"));

    store.retry_task(dead.id, 1, at(30)).await.unwrap();
    let run = one(&store, at(30)).await;
    let other = Some("the last".to_owned());
    store.end_run(run.lease, Outcome::Done, other, at(31)).await.unwrap();
    let done = store.task(dead.id).await.unwrap();
    assert_eq!((done.state, done.first_run), (State::Done, first_run), "and at the end as well");
}

pub(crate) async fn a_last_run_that_never_ends_is_a_dead_task(place: &dyn Place) {
    let store = place.open().await;
    let mut once = task("a", at(0));
    once.max_runs = 1;
    store.enqueue(vec![once, task("b", at(5))], at(0)).await.unwrap();
    let lost = claim(&store, 1, at(10)).await.runs[0].clone();
    let claimed = claim(&store, 10, at(11)).await;
    assert_eq!(keys(&claimed), ["b"], "the others go on");
    let [dead] = claimed.dead.as_slice() else { panic!("{claimed:?}") };
    assert_eq!((dead.id, dead.state, dead.runs), (lost.task.id, State::Dead, 1));
    let said = dead.last_error.as_deref();
    assert_eq!(said, Some("the lease of run 1 expired: its worker, worker 1, stopped or hung"));
    assert_eq!(dead.finished_at, Some(at(11)));
    assert_eq!(end(&store, lost.lease, Outcome::Done, at(12)).await, Ended::Lost);
}

pub(crate) async fn what_is_hopeless_is_dead_at_once_and_says_why(place: &dyn Place) {
    let store = place.open().await;
    store.enqueue(vec![task("a", at(0))], at(0)).await.unwrap();
    let run = one(&store, at(1)).await;
    let error = format!("two\nlines\0and {}", "ü".repeat(2_000));
    let ended = end(&store, run.lease, Outcome::Hopeless { error }, at(2)).await;
    assert_eq!(ended, Ended::Now(State::Dead));
    let said = store.task(run.task.id).await.unwrap().last_error.unwrap();
    assert!(said.starts_with("two lines and ü"), "{said}");
    assert_eq!(said.chars().count(), Task::ERROR_CHARACTERS);
}

pub(crate) async fn one_idempotency_key_is_one_task(place: &dyn Place) {
    let store = place.open().await;
    let first = task("key", at(0));
    let enqueued = store.enqueue(vec![first.clone(), task("key", at(0)), task("other", at(0))], at(0)).await;
    let enqueued = enqueued.unwrap();
    assert_eq!(enqueued[..2], [Enqueued::New(first.id), Enqueued::Before(first.id)]);
    assert!(matches!(enqueued[2], Enqueued::New(_)), "{enqueued:?}");
    let outcomes = join_all((0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.enqueue(vec![task("of many", at(0))], at(0)).await.unwrap()[0] })
    }))
    .await;
    let new = outcomes.into_iter().filter(|outcome| matches!(outcome, Ok(Enqueued::New(_)))).count();
    assert_eq!(new, 1);
    assert_eq!(store.count_tasks().await.unwrap().queued, 3);
}

pub(crate) async fn tasks_are_enqueued_all_or_none(place: &dyn Place) {
    let store = place.open().await;
    let mut wrong = task("b", at(0));
    wrong.max_runs = 0;
    assert_eq!(kind(store.enqueue(vec![task("a", at(0)), wrong], at(0)).await), "internal");
    assert_eq!(store.count_tasks().await.unwrap().queued, 0);
}
