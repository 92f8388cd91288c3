//! Deliveries: what a receiver gets, and what its answer does.

use super::*;
use std::sync::Arc;
use telemetry::testing::wait_for_span;
use tests::{Receiver, Reply};
use tokio::sync::Notify;

/// Delivers one event to a receiver that answers so, and gives the task after its first run.
async fn delivered(database: &Database, receiver: &Receiver) -> (Task, Webhook) {
    let webhook = database.subscribe(&receiver.url()).await;
    let (id, _) = database.enqueue(delivery(&webhook)).await;
    let worker = Making::on(database).await.retries(Duration::from_secs(3600)).start();
    let task = database.until_task(id, |task| task.state != State::Leased && task.runs == 1).await;
    worker.stop().await;
    (task, webhook)
}

async fn check_failed(receiver: Receiver, error: &str) {
    for database in Database::both().await {
        let (task, _) = delivered(&database, &receiver).await;
        assert_eq!((task.state, task.runs), (State::Queued, 1), "{task:?}");
        let said = task.last_error.unwrap();
        assert!(said.starts_with(error), "{said}");
        assert!(task.due_at.unwrap() > Timestamp::now().plus(Duration::from_secs(800)), "{:?}", task.due_at);
    }
}

#[tokio::test]
async fn a_receiver_gets_the_event_signed_and_in_its_trace() {
    for database in Database::both().await {
        let receiver = Receiver::accepting().await;
        let webhook = database.subscribe(&format!("{}?token=s3cr3t", receiver.url())).await;
        let wanted = delivery(&webhook);
        let (id, trace) = database.enqueue(wanted.clone()).await;
        let worker = Making::on(&database).await.start();
        let task = database.until(id, State::Done).await;
        worker.stop().await;
        assert_eq!((task.runs, task.last_error), (1, None));

        let [event] = &receiver.received()[..] else { panic!("{:?}", receiver.received()) };
        assert_eq!((event.method.as_str(), event.target.as_str()), ("POST", "/events?token=s3cr3t"));
        assert_eq!(event.body, wanted.payload.as_bytes(), "byte for byte");
        assert_eq!(event.header("content-type"), "application/json");
        assert!(event.header("user-agent").starts_with("throughline-worker/"));
        assert_eq!(event.header("webhook-id"), id.to_string());
        let seconds: u64 = event.header("webhook-timestamp").parse().unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(now.abs_diff(seconds) < 60, "{seconds} {now}");
        let signature = crate::signature::sign(&KEY, &id.to_string(), seconds, &event.body);
        assert_eq!(event.header("webhook-signature"), signature);

        let client = wait_for_span(&trace, "POST");
        assert_eq!(event.header("traceparent")[3..52], format!("{trace}-{}", client.span_id));
        assert_eq!(client.kind, "CLIENT");
        assert_eq!(client.parent_id, wait_for_span(&trace, "process deliver_webhook").span_id);
        assert_eq!(client.attributes["url.full"], format!("http://{}/REDACTED", receiver.address()));
        assert_eq!(client.attributes["http.response.status_code"], "204");
        let told = format!("{:?} {:?}", testing::spans(&trace), testing::lines(&trace));
        assert!(!told.contains("s3cr3t") && !told.contains("whsec_") && !told.contains("Ada"), "{told}");
    }
}

#[tokio::test]
async fn a_receiver_that_fails_is_asked_again_later() {
    let failing = Receiver::start(|_, _| Reply::status(500)).await;
    check_failed(failing, "the receiver answered 500 Internal Server Error").await;
}

#[tokio::test]
async fn a_receiver_that_hangs_up_is_asked_again_later() {
    check_failed(Receiver::start(|_, _| Reply::Break).await, "cannot send the request: ").await;
}

#[tokio::test]
async fn a_receiver_that_hangs_is_left_after_a_while() {
    check_failed(Receiver::start(|_, _| Reply::Hang).await, "no whole answer within 500ms").await;
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_asked_again_later() {
    let mut gone = Receiver::accepting().await;
    gone.close().await;
    check_failed(gone, "cannot connect: ").await;
}

#[tokio::test]
async fn a_receiver_that_points_elsewhere_is_not_followed() {
    let elsewhere = Receiver::accepting().await;
    let url = elsewhere.url();
    let redirecting = Receiver::start(move |_, _| Reply::with(307, &[("location", &url)])).await;
    check_failed(redirecting, "the receiver answered 307 Temporary Redirect: redirects are not").await;
    assert_eq!(elsewhere.received().len(), 0, "the signed body is for the registered URL");
}

#[tokio::test]
async fn an_answer_without_an_end_holds_nothing_up() {
    for database in Database::both().await {
        let slow = Receiver::start(|_, _| Reply::Endless(200)).await;
        let (task, _) = delivered(&database, &slow).await;
        assert_eq!((task.state, task.runs), (State::Done, 1), "its status has come: {task:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_for_good_is_unsubscribed() {
    for database in Database::both().await {
        let gone = Receiver::start(|_, _| Reply::status(410)).await;
        let (task, webhook) = delivered(&database, &gone).await;
        assert_eq!(task.state, State::Done, "{task:?}");
        let disabled = database.store.webhook(webhook.id).await.unwrap().disabled;
        assert_eq!(disabled.unwrap().reason, "its receiver answered 410 Gone");

        let (waiting, _) = database.enqueue(delivery(&webhook)).await;
        let worker = Making::on(&database).await.start();
        database.until(waiting, State::Done).await;
        database.store.delete_webhook(webhook.id).await.unwrap();
        let (late, _) = database.enqueue(delivery(&webhook)).await;
        database.until(late, State::Done).await;
        worker.stop().await;
        assert_eq!(gone.received().len(), 1, "neither a disabled webhook nor a deleted one is told anything");
    }
}

#[tokio::test]
async fn who_wants_to_be_left_alone_is() {
    for (status, bounds) in [(429, 120..125), (503, 120..125)] {
        let busy = Receiver::start(move |_, _| Reply::with(status, &[("retry-after", "120")])).await;
        for database in Database::both().await {
            let webhook = database.subscribe(&busy.url()).await;
            let (id, _) = database.enqueue(delivery(&webhook)).await;
            let worker = Making::on(&database).await.start();
            let task = database.until_task(id, |task| task.state == State::Queued && task.runs == 1).await;
            worker.stop().await;
            let wait = task.due_at.unwrap().since(task.started_at.unwrap()).as_secs();
            assert!(bounds.contains(&wait), "{wait} s: {task:?}");
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_to_addresses_that_are_not_public() {
    let receiver = Receiver::accepting().await;
    let port = receiver.address().port();
    let table = [
        (format!("http://127.0.0.1:{port}/"), State::Dead, "`127.0.0.1`, which is a loopback address"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), State::Dead, "which is a loopback address"),
        (format!("http://0.0.0.0:{port}/"), State::Dead, "which is a this network address"),
        ("http://169.254.169.254/latest".into(), State::Dead, "which is a link-local address"),
        // A name may lead elsewhere at the next look.
        (format!("http://localhost:{port}/"), State::Queued, "`localhost` leads to `"),
    ];
    let database = Database::sqlite().await;
    let deliver = Deliver::new(database.store.clone(), Duration::from_millis(500), false).unwrap();
    let making = Making::with(&database, move |task| {
        let deliver = deliver.clone();
        async move { run(&task, &deliver).await }.boxed()
    });
    let worker = making.await.retries(Duration::from_secs(3600)).start();
    for (url, state, said) in table {
        let webhook = database.subscribe(&url).await;
        let (id, trace) = database.enqueue(delivery(&webhook)).await;
        let task = database.until_task(id, |task| task.state != State::Leased && task.runs == 1).await;
        let error = task.last_error.unwrap_or_default();
        assert!(task.state == state && error.contains(said), "{url}: {} {error}", task.state.as_str());
        let client = wait_for_span(&trace, "POST");
        assert_eq!(client.attributes["error.type"], "address", "{client:?}");
    }
    worker.stop().await;
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn a_receiver_that_answers_slowly_but_in_time_has_it() {
    let database = Database::sqlite().await;
    let go = Arc::new(Notify::new());
    let held = Arc::clone(&go);
    let receiver = Receiver::start(move |_, _| Reply::Held(Arc::clone(&held), 204)).await;
    let webhook = database.subscribe(&receiver.url()).await;
    let (id, _) = database.enqueue(delivery(&webhook)).await;
    let worker = Making::on(&database).await.start();
    let asked = database.until(id, State::Leased).await.started_at.unwrap();
    eventually("half of its time is over", async || {
        let waited = Timestamp::now().since(asked);
        if waited > Duration::from_millis(250) { Ok(()) } else { Err(format!("{waited:?}")) }
    })
    .await;
    go.notify_one();
    let done = database.until(id, State::Done).await;
    worker.stop().await;
    assert_eq!((done.runs, receiver.received().len()), (1, 1));
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_not_tried_again() {
    let database = Database::sqlite().await;
    let webhook = database.subscribe("http://xn--/").await;
    let (id, _) = database.enqueue(delivery(&webhook)).await;
    let worker = Making::on(&database).await.start();
    let dead = database.until(id, State::Dead).await;
    worker.stop().await;
    let said = dead.last_error.unwrap();
    assert_eq!(dead.runs, 1, "{said}");
    assert!(said.starts_with("the webhook's URL cannot be used"), "{said}");
}
