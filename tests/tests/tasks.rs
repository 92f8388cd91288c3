//! From the request to the worker and on to a webhook's receiver: one story; and workers that fail, drain and are killed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{HashMap, HashSet},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;
use tests::{
    Answer, Authority, Parts, Received, Receiver, Reply, Service, System, eventually, eventually_within,
    throughline,
};
use tokio::sync::Notify;

const TO_THE_API: [&str; 3] = ["load_balancer", "cache", "http_server"];

/// Bookings of the tests with many: each leaves three tasks, its confirmation and two events. The worker's own tests have
/// thousands; here each worker is a process that can be killed as a machine that fails kills it.
const BOOKINGS: usize = 150;
const WORKERS: usize = 8;
/// How long they may take on a busy machine.
const MANY: Duration = Duration::from_secs(120);

/// A system without workers, and the URL of its database: workers are started by the test, with settings of their own.
struct Workless {
    system: System,
    database: String,
}

impl Workless {
    async fn sqlite() -> Self {
        let system = System::builder().parts(Parts::Embedded).workers(0).start().await;
        let database = format!("sqlite:{}", system.data().join("bookings.db").display());
        Self { system, database }
    }

    async fn postgres() -> Self {
        let database = tests::postgres::database().await;
        Self { system: System::builder().workers(0).database(&database).start().await, database }
    }

    async fn worker(&self, arguments: &[&str]) -> Service {
        let usual = ["--database-url", &self.database, "--allow-private-addresses"];
        Service::start("worker", &[&usual, arguments].concat(), &self.system).await
    }

    async fn subscribe(&self, url: &str) -> Value {
        subscribe(&self.system, url).await
    }
}

async fn subscribe(system: &System, url: &str) -> Value {
    // `up` makes a booking of its own, and has removed it when it tells the story.
    system.has_told().await;
    let created = system.client().post("/api/webhooks", &json!({"url": url})).await;
    assert_eq!(created.status, 201, "{created:?}");
    created.json()
}

/// Books the hour with this number.
async fn book(system: &System, hour: usize) -> Answer {
    let (day, hour) = (hour / 23, hour % 23);
    let at = |hour: usize| {
        format!("20{}-{:02}-{:02}T{hour:02}:00:00Z", 40 + day / 336, day / 28 % 12 + 1, day % 28 + 1)
    };
    let wanted = json!({"resource": "hall", "guest": "Ada", "starts_at": at(hour), "ends_at": at(hour + 1)});
    let answer = system.client().post("/api/bookings", &wanted).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

/// Waits until as many events have come.
async fn received(receiver: &Receiver, count: usize) -> Vec<Received> {
    eventually(&format!("{count} events"), async || {
        let received = receiver.received();
        if received.len() >= count { Ok(received) } else { Err(format!("{received:?}")) }
    })
    .await
}

/// What `throughline trace` prints.
fn told(system: &System, id: &str, flags: &[&str]) -> String {
    let mut command = Command::new(throughline());
    command.args(["trace", id, "--from"]).arg(system.files()).args(flags);
    let output = command.output().expect("the binary can be started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a story is text")
}

async fn check_one_story(system: System) {
    let receiver = Receiver::accepting().await;
    let webhook = subscribe(&system, &format!("{}?key=s3cr3t", receiver.url())).await;
    let answer = book(&system, 1).await;
    let id = answer.trace_id();
    let events = received(&receiver, 2).await;

    let mut kinds: Vec<_> =
        events.iter().map(|event| event.json()["type"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    assert_eq!(kinds, ["booking.confirmed", "booking.created"]);
    let secret = webhook["secret"].as_str().unwrap();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    for event in &events {
        assert_eq!(event.header("traceparent")[3..35], id, "the receiver can go on with the trace");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(
            format!("{}.{}.", event.header("webhook-id"), event.header("webhook-timestamp")).as_bytes(),
        );
        mac.update(&event.body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(event.header("webhook-signature"), expected);
    }

    let story = system.story_with_runs(&id, &TO_THE_API, 3).await;
    let of = |id: &str| story.spans.iter().find(|span| span.id == id).unwrap();
    let runs: Vec<_> = story.spans.iter().filter(|span| span.kind == "CONSUMER").collect();
    for run in &runs {
        let sent = of(&run.parent);
        let kind = run.attribute("messaging.destination.name");
        assert_eq!((sent.kind, sent.name.as_str()), ("PRODUCER", format!("send {kind}").as_str()));
        assert_eq!((run.service.as_str(), run.attribute("throughline.task.run")), ("worker", "1"));
        // Of what followed from the request, and of what followed from the confirmation.
        let from = of(&sent.parent);
        assert!(
            from.id == story.server("http_server").id || from.name == "process confirm_booking",
            "{from:?}"
        );
    }
    let posts: Vec<_> = story.clients("worker").into_iter().filter(|span| span.name == "POST").collect();
    let sent: HashSet<_> = posts.iter().map(|post| post.id.as_str()).collect();
    let carried: HashSet<_> = events.iter().map(|event| &event.header("traceparent")[36..52]).collect();
    assert_eq!(sent, carried);

    let told = told(&system, &id, &[]);
    assert!(told.contains("worker process deliver_webhook") && told.contains("complete"), "{told}");
    let file = |name: &str| std::fs::read_to_string(system.files().join(name)).unwrap();
    let written = file("traces.jsonl") + &file("logs.jsonl");
    for hidden in ["s3cr3t", secret, "Ada"] {
        assert!(!written.contains(hidden), "`{hidden}` is written down");
    }

    let booking = system.client().get(answer.header("location")).await;
    assert_eq!(booking.json()["status"], "confirmed", "{booking:?}");
}

#[tokio::test]
async fn a_booking_its_confirmation_and_its_events_are_one_story_on_sqlite() {
    check_one_story(System::start().await).await;
}

#[tokio::test]
async fn a_booking_its_confirmation_and_its_events_are_one_story_on_postgres() {
    check_one_story(System::builder().database(&tests::postgres::database().await).start().await).await;
}

#[tokio::test]
async fn later_runs_are_told_with_the_request_from_either_side() {
    let Workless { system, database } = Workless::sqlite().await;
    let here = Workless { system, database };
    let receiver = Receiver::start(|before, _| Reply::status(if before < 2 { 500 } else { 204 })).await;
    here.subscribe(&receiver.url()).await;
    let id = book(&here.system, 1).await.trace_id();
    // One at a time: what fails is the event of the creation, and then its second run.
    let _worker =
        here.worker(&["--retry-first", "4ms", "--retry-longest", "4ms", "--webhook-concurrency", "1"]).await;
    let events = received(&receiver, 4).await;
    let later: HashSet<_> =
        events.iter().map(|event| event.header("traceparent")[3..35].to_owned()).collect();
    let later: Vec<_> = later.into_iter().filter(|trace| *trace != id).collect();
    assert!(!later.is_empty(), "{events:?}");
    for asked in [&id].into_iter().chain(&later) {
        eventually(&format!("the whole story from {asked}"), async || {
            let told = told(&here.system, asked, &[]);
            let whole = told.starts_with("POST /api/bookings → 201")
                && later.iter().all(|trace| told.contains(&format!("\ntrace {trace} at ")))
                && told.contains("run 2")
                && told.contains("failed: ");
            if whole { Ok(()) } else { Err(told) }
        })
        .await;
    }
    let alone = told(&here.system, &id, &["--no-links"]);
    assert!(later.iter().all(|trace| !alone.contains(trace.as_str())), "{alone}");
}

#[tokio::test]
async fn a_draining_worker_lets_its_delivery_end() {
    let here = Workless::postgres().await;
    let go = Arc::new(Notify::new());
    let held = Arc::clone(&go);
    let receiver = Receiver::start(move |_, _| Reply::Held(Arc::clone(&held), 204)).await;
    here.subscribe(&receiver.url()).await;
    let mut worker = here.worker(&["--webhook-timeout", "60s"]).await;
    book(&here.system, 1).await;
    let events = received(&receiver, 2).await;
    worker.signal(Signal::TERM);
    worker.line("draining").await;
    go.notify_waiters();
    assert_eq!(worker.ended().await.code(), Some(0));
    for event in events {
        let task = here.system.client().get(&format!("/api/tasks/{}", event.header("webhook-id"))).await;
        assert_eq!((&task.json()["state"], &task.json()["runs"]), (&json!("done"), &json!(1)), "{task:?}");
    }
}

async fn check_killed(here: Workless) {
    // The first that comes is held for ever, and so is its worker.
    let receiver =
        Receiver::start(|before, _| if before == 0 { Reply::Hang } else { Reply::status(204) }).await;
    here.subscribe(&receiver.url()).await;
    let long = ["--lease", "1s", "--webhook-timeout", "60s", "--webhook-concurrency", "1"];
    let killed = here.worker(&long).await;
    book(&here.system, 1).await;
    let [first] = &received(&receiver, 1).await[..] else { panic!("{:?}", receiver.received()) };
    // Its lease is renewed for as long as it lives: another worker has the other event, and not this one.
    let _other = here.worker(&["--lease", "1s"]).await;
    received(&receiver, 2).await;
    let begun = Instant::now();
    eventually("its lease would be over", async || {
        if begun.elapsed() > Duration::from_millis(1_500) { Ok(()) } else { Err("not yet") }
    })
    .await;
    assert_eq!(receiver.received().len(), 2);
    drop(killed);
    let events = received(&receiver, 3).await;
    let task = |event: &Received| event.header("webhook-id").to_owned();
    let again: Vec<_> = events[1..].iter().filter(|event| task(event) == task(first)).collect();
    let [again] = again[..] else { panic!("once more, by the other worker: {events:?}") };
    assert_eq!(again.body, first.body);
    assert_ne!(again.header("traceparent")[3..35], first.header("traceparent")[3..35], "a run of its own");
    let path = format!("/api/tasks/{}", task(first));
    let done = eventually("the task is done", async || {
        let told = here.system.client().get(&path).await.json();
        if told["state"] == "done" { Ok(told) } else { Err(told) }
    })
    .await;
    assert_eq!(done["runs"], 2);
}

#[tokio::test]
async fn the_delivery_of_a_worker_that_is_killed_is_made_by_another_on_sqlite() {
    check_killed(Workless::sqlite().await).await;
}

#[tokio::test]
async fn the_delivery_of_a_worker_that_is_killed_is_made_by_another_on_postgres() {
    check_killed(Workless::postgres().await).await;
}

#[tokio::test]
async fn a_task_that_ended_long_enough_ago_is_removed() {
    let here = Workless::postgres().await;
    let created = book(&here.system, 1).await;
    let mut first = here.worker(&[]).await;
    here.system.client().until_confirmed(created.header("location")).await;
    assert_eq!(first.stop().await.code(), Some(0));
    let monitor = created.header("link").split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let (task, _) = monitor.expect("it names its task");
    assert_eq!(here.system.client().get(task).await.json()["state"], "done");
    // A worker removes what it finds when it starts, and every ten minutes.
    let _second = here.worker(&["--keep-finished", "1ms"]).await;
    eventually("the task is gone", async || match here.system.client().get(task).await.status.as_u16() {
        404 => Ok(()),
        other => Err(other),
    })
    .await;
}

async fn check_hanging(here: Workless) {
    let (hangs, answers) = (Receiver::start(|_, _| Reply::Hang).await, Receiver::accepting().await);
    here.subscribe(&hangs.url()).await;
    here.subscribe(&answers.url()).await;
    // A quarter of the places for each receiver.
    let few = ["--concurrency", "2", "--webhook-concurrency", "8", "--webhook-timeout", "60s"];
    let _worker = here.worker(&[&few[..], &["--drain-timeout", "1s"]].concat()).await;
    for hour in 0..20 {
        let path = book(&here.system, hour).await.header("location").to_owned();
        here.system.client().until_confirmed(&path).await;
    }
    let told: HashSet<_> =
        received(&answers, 40).await.iter().map(|event| event.header("webhook-id").to_owned()).collect();
    assert_eq!(told.len(), 40, "both events of each booking");
    assert_eq!(hangs.received().len(), 2, "and no more at a time than its share of the places");
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_neither_confirmations_nor_others_on_sqlite() {
    check_hanging(Workless::sqlite().await).await;
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_neither_confirmations_nor_others_on_postgres() {
    check_hanging(Workless::postgres().await).await;
}

#[tokio::test]
async fn a_delivery_over_tls_trusts_whom_the_machine_trusts_and_goes_past_every_proxy() {
    let here = Workless::sqlite().await;
    let (authority, stranger, proxy) = (Authority::new(), Authority::new(), Receiver::accepting().await);
    let trusted = here.system.data().join("authority.pem");
    authority.write(&trusted);
    let (good, bad) = (Receiver::secure(&authority).await, Receiver::secure(&stranger).await);
    here.subscribe(&good.url()).await;
    here.subscribe(&bad.url()).await;
    let proxies = format!("http://{}", proxy.address());
    let named = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let mut variables: Vec<_> = named.iter().map(|name| (*name, proxies.as_str())).collect();
    variables.push(("SSL_CERT_FILE", trusted.to_str().unwrap()));
    let flags = ["--database-url", &here.database, "--allow-private-addresses"];
    let worker = Service::start_with("worker", &flags, &variables, &here.system).await;
    book(&here.system, 1).await;
    for event in received(&good, 2).await {
        assert_eq!(format!("{:?}", event.version), "HTTP/2.0");
    }
    let refused = eventually("the stranger's certificate is refused", async || {
        let lines = worker.lines();
        let of_run = |line: &&Value| line["message"] == "task" && line["outcome"] == "failed";
        lines.iter().find(of_run).cloned().ok_or_else(|| format!("{lines:?}"))
    })
    .await;
    assert_eq!(refused["error.type"], "connect", "{refused}");
    let said = refused["exception.message"].as_str().unwrap();
    assert!(said.contains("certificate"), "{said}");
    assert_eq!((bad.received().len(), proxy.received().len()), (0, 0));
}

/// Books, lets eight workers act, each a process of its own, and gives how often each event came.
async fn many(here: &Workless, killed: bool) -> HashMap<String, usize> {
    let receiver = Receiver::accepting().await;
    here.subscribe(&receiver.url()).await;
    // A lease that a busy machine may let expire is only for those who shall lose theirs.
    let lease = if killed { "1s" } else { "30s" };
    let start = async || here.worker(&["--lease", lease, "--retry-first", "100ms"]).await;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(start().await);
    }
    let mut bookings = Vec::new();
    for hour in 0..BOOKINGS {
        bookings.push(book(&here.system, hour).await.header("location").to_owned());
        if killed && hour % 10 == 9 {
            // Started first; dropping the one before kills it.
            workers[hour / 10 % WORKERS] = start().await;
        }
    }
    let events = eventually_within(MANY, "all events of all bookings", async || {
        let mut events: HashMap<_, HashSet<_>> = HashMap::new();
        for event in receiver.received() {
            let event = event.json();
            let booking = event["data"]["id"].as_str().unwrap().to_owned();
            events.entry(booking).or_default().insert(event["type"].as_str().unwrap().to_owned());
        }
        let whole = events.values().filter(|kinds| kinds.len() == 2).count();
        if whole == BOOKINGS { Ok(receiver.received()) } else { Err(format!("{whole} of {BOOKINGS}")) }
    })
    .await;
    for booking in bookings {
        let answer = here.system.client().get(&booking).await;
        assert_eq!(answer.json()["status"], "confirmed", "{answer:?}");
    }
    for mut worker in workers {
        assert_eq!(worker.stop().await.code(), Some(0));
    }
    let mut counted = HashMap::new();
    events.iter().for_each(|event| *counted.entry(event.header("webhook-id").to_owned()).or_default() += 1);
    assert_eq!(counted.len(), 2 * BOOKINGS, "an event is a task, and a task an id");
    counted
}

#[tokio::test]
async fn eight_workers_do_every_task_once_on_sqlite() {
    let counted = many(&Workless::sqlite().await, false).await;
    let again: Vec<_> = counted.iter().filter(|(_, times)| **times != 1).collect();
    assert!(again.is_empty(), "{again:?}");
}

#[tokio::test]
async fn eight_workers_do_every_task_once_on_postgres() {
    let counted = many(&Workless::postgres().await, false).await;
    let again: Vec<_> = counted.iter().filter(|(_, times)| **times != 1).collect();
    assert!(again.is_empty(), "{again:?}");
}

#[tokio::test]
async fn workers_that_are_killed_lose_no_task_on_sqlite() {
    many(&Workless::sqlite().await, true).await;
}

#[tokio::test]
async fn workers_that_are_killed_lose_no_task_on_postgres() {
    many(&Workless::postgres().await, true).await;
}
