//! Tasks that follow from what becomes of bookings, in one transaction with it.

use opentelemetry::{context::FutureExt as _, trace::TraceContextExt as _};
use store::{
    Answer, Booking, Change, Created, Ended, Error, Once, Outcome, State, Status, Store, Task, TaskListing,
};
use telemetry::{Span, testing};
use uuid::Uuid;

use super::{
    Place, at, booking, claims, details, keep, kind,
    webhooks::{subscribe, subscribed},
};

fn pending(resource: &str) -> Booking {
    Booking { status: Status::Pending, ..booking(resource, 60, 120) }
}

/// A pending booking and the task that will confirm it.
async fn keep_pending(store: &Store, resource: &str) -> (Booking, Uuid) {
    let booking = pending(resource);
    let created = store.create(booking.clone(), None).await.unwrap();
    let Created::New(Some(task)) = created else { panic!("no task: {created:?}") };
    (booking, task)
}

/// All tasks, oldest first.
async fn tasks(store: &Store) -> Vec<Task> {
    let mut tasks = store.tasks(TaskListing { limit: 1_000, ..TaskListing::default() }).await.unwrap();
    tasks.reverse();
    tasks
}

/// The events that wait to be delivered to one who subscribed.
async fn events(store: &Store, webhook: Uuid) -> Vec<String> {
    let told = |task: &Task| task.payload.split('"').nth(3).unwrap().to_owned();
    tasks(store).await.iter().filter(|task| task.webhook == Some(webhook)).map(told).collect()
}

pub(crate) async fn a_pending_booking_is_confirmed_by_its_task(place: &dyn Place) {
    let store = place.open().await;
    let webhook = subscribe(&store).await;
    let (booking, id) = keep_pending(&store, "room").await;
    let task = store.task(id).await.unwrap();
    assert_eq!(
        (task.kind.as_str(), task.booking, task.state),
        ("confirm_booking", Some(booking.id), State::Queued)
    );
    assert_eq!(task.payload, format!("{{\"booking\":\"{}\"}}", booking.id));
    assert_eq!(events(&store, webhook).await, ["booking.created"]);

    let claimed = claims::claim(&store, 10, at(1)).await;
    let run = claimed.runs.iter().find(|run| run.task.id == id).unwrap();
    assert_eq!(claims::end(&store, run.lease, Outcome::Confirm, at(2)).await, Ended::Now(State::Done));
    let confirmed = store.get(booking.id).await.unwrap();
    let expected = Booking { status: Status::Confirmed, updated_at: at(2), version: 2, ..booking.clone() };
    assert_eq!(confirmed, expected);
    assert_eq!(events(&store, webhook).await, ["booking.created", "booking.confirmed"]);
    let told = tasks(&store).await.pop().unwrap();
    assert_eq!((told.kind.as_str(), told.booking), ("deliver_webhook", Some(booking.id)));
    assert!(told.payload.contains("\"status\":\"confirmed\""), "{}", told.payload);
}

pub(crate) async fn a_booking_that_changed_meanwhile_is_not_confirmed(place: &dyn Place) {
    let store = place.open().await;
    let (cancelled, _) = keep_pending(&store, "room").await;
    let (removed, _) = keep_pending(&store, "hall").await;
    let cancel = |_: &Booking| Ok::<_, Error>(Change::Cancel);
    let cancelled = store.change(cancelled.id, at(1), cancel).await.unwrap();
    store.change(removed.id, at(1), |_| Ok::<_, Error>(Change::Remove)).await.unwrap();
    for run in claims::claim(&store, 10, at(2)).await.runs {
        assert_eq!(claims::end(&store, run.lease, Outcome::Confirm, at(2)).await, Ended::Now(State::Done));
    }
    assert_eq!(store.get(cancelled.id).await.unwrap(), cancelled);
    assert_eq!(kind(store.get(removed.id).await), "not found");
}

pub(crate) async fn a_lost_lease_confirms_nothing(place: &dyn Place) {
    let store = place.open().await;
    let (booking, _) = keep_pending(&store, "room").await;
    let lost = claims::one(&store, at(1)).await;
    claims::one(&store, at(5)).await;
    assert_eq!(claims::end(&store, lost.lease, Outcome::Confirm, at(5)).await, Ended::Lost);
    assert_eq!(store.get(booking.id).await.unwrap(), booking);
}

pub(crate) async fn a_booking_and_its_tasks_are_kept_together_or_not_at_all(place: &dyn Place) {
    let store = place.open().await;
    subscribe(&store).await;
    keep(&store, &booking("room", 60, 120)).await;
    let before = tasks(&store).await.len();
    assert_eq!(kind(store.create(pending("room"), None).await), "overlap");
    let refused = store.create(pending("room"), Some(once("key", &pending("room")))).await;
    assert_eq!(kind(refused), "overlap");
    assert_eq!(tasks(&store).await.len(), before, "what is refused leaves no task");

    let (standing, _) = keep_pending(&store, "hall").await;
    let run = claims::claim(&store, 10, at(1)).await.runs;
    let confirm = run.iter().find(|run| run.task.kind == "confirm_booking").unwrap().lease;
    place.execute("ALTER TABLE webhooks RENAME TO elsewhere").await.unwrap();
    let lost = pending("lost");
    assert_eq!(kind(store.create(lost.clone(), None).await), "internal");
    let change = |_: &Booking| Ok::<_, Error>(Change::Replace(details("cellar", 60, 120)));
    assert_eq!(kind(store.change(standing.id, at(2), change).await), "internal");
    let ended = store.end_run(confirm, Outcome::Confirm, None, at(2)).await;
    assert_eq!(kind(ended), "internal");
    place.execute("ALTER TABLE elsewhere RENAME TO webhooks").await.unwrap();
    assert_eq!(kind(store.get(lost.id).await), "not found");
    assert_eq!(store.get(standing.id).await.unwrap(), standing, "no change without its tasks");
    assert_eq!(
        claims::end(&store, confirm, Outcome::Confirm, at(2)).await,
        Ended::Now(State::Done),
        "still held"
    );
}

fn once(key: &str, booking: &Booking) -> Once {
    let answer = Answer {
        status: 201,
        location: booking.id.to_string(),
        etag: "\"1\"".into(),
        body: vec![],
        task: None,
    };
    Once { route: "POST /api/bookings", key: key.into(), request_hash: [1; 32], answer, now: at(0) }
}

pub(crate) async fn the_same_key_enqueues_once_and_names_the_same_task(place: &dyn Place) {
    let store = place.open().await;
    let booking = pending("room");
    let created = store.create(booking.clone(), Some(once("key", &booking))).await.unwrap();
    let Created::New(Some(task)) = created else { panic!("no task: {created:?}") };
    let again = store.create(pending("room"), Some(once("key", &booking))).await.unwrap();
    let Created::Before(answer) = again else { panic!("not remembered: {again:?}") };
    assert_eq!(answer.task, Some(task));
    assert_eq!(tasks(&store).await.len(), 1);
}

pub(crate) async fn every_change_is_told_to_everybody_who_subscribed(place: &dyn Place) {
    let store = place.open().await;
    let one = keep(&store, &booking("room", 60, 120)).await;
    assert_eq!(tasks(&store).await, [], "nobody has subscribed, nothing is to be confirmed");
    let [first, second] = [subscribe(&store).await, subscribe(&store).await];
    let changes = [Change::Leave, Change::Replace(details("hall", 60, 120)), Change::Cancel, Change::Remove];
    for (minute, change) in (1..).zip(changes) {
        store.change(one.id, at(minute), move |_| Ok::<_, Error>(change)).await.unwrap();
    }
    for webhook in [first, second] {
        let told = ["booking.changed", "booking.cancelled", "booking.removed"];
        assert_eq!(events(&store, webhook).await, told);
    }
    let refuse = |_: &Booking| Err::<Change, _>(Error::KeyReused);
    let other = keep(&store, &booking("room", 60, 120)).await;
    assert_eq!(kind(store.change(other.id, at(5), refuse).await), "key reused");
    assert_eq!(tasks(&store).await.len(), 8, "three changes and one creation, to two");
    assert_eq!(subscribed(&store).await, [first, second]);
}

pub(crate) async fn a_task_carries_the_trace_of_the_request_that_left_it(place: &dyn Place) {
    testing::capture();
    let store = place.open().await;
    subscribe(&store).await;
    let request = Span::internal("request", Vec::new());
    let trace = request.context().span().span_context().trace_id().to_string();
    let (_, id) = keep_pending(&store, "room").with_context(request.context().clone()).await;
    drop(request);
    let request = testing::wait_for_span(&trace, "request");
    let spans = testing::spans(&trace);
    for (name, kind) in
        [("send confirm_booking", "confirm_booking"), ("send deliver_webhook", "deliver_webhook")]
    {
        let send = spans.iter().find(|span| span.name == name).unwrap();
        assert_eq!((send.kind, &send.parent_id), ("PRODUCER", &request.span_id));
        let task = tasks(&store).await.into_iter().find(|task| task.kind == kind).unwrap();
        let carried = task.trace.unwrap();
        // 03: sampled, and the trace's id is random.
        assert_eq!(carried.traceparent, format!("00-{trace}-{}-03", send.span_id));
        assert_eq!(send.attributes["messaging.destination.name"], kind);
        assert_eq!(send.attributes["messaging.operation.type"], "send");
        assert_eq!(send.attributes["messaging.message.id"], task.id.to_string());
        assert!(kind != "confirm_booking" || task.id == id);
        let insert = spans.iter().find(|span| span.parent_id == send.span_id).unwrap();
        assert_eq!(insert.name, "INSERT tasks");
    }
    let (_, outside) = keep_pending(&store, "hall").await;
    assert_eq!(store.task(outside).await.unwrap().trace, None, "outside of a request there is no trace");
}
