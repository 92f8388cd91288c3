//! What Jaeger shows is what the files hold: the same spans under the same parents.

use std::{
    collections::BTreeSet,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::json;
use tests::{
    Client, Directory, Jaeger, Parts, Receiver, Reply, Story, System, eventually, eventually_within,
    jaeger::ShownSpan, throughline,
};

const WHOLE_PATH: [&str; 3] = ["load_balancer", "cache", "http_server"];

fn spans_of(story: &Story) -> BTreeSet<ShownSpan> {
    let shown = |span: &tests::Span| ShownSpan {
        id: span.id.clone(),
        parent: span.parent.clone(),
        service: span.service.clone(),
        name: span.name.clone(),
        kind: span.kind.to_lowercase(),
        links: span.links.clone(),
    };
    story.spans.iter().map(shown).collect()
}

/// Waits until Jaeger shows the spans of the files, neither more nor fewer, each once.
async fn assert_shown(system: &mut System, trace_id: &str, path: &[&str], runs: usize) {
    let in_files = spans_of(&system.story_with_runs(trace_id, path, runs).await);
    assert!(in_files.len() >= path.len(), "{in_files:#?}");
    let jaeger = &*system.jaeger();
    eventually(&format!("Jaeger shows {trace_id}"), async || {
        let shown = jaeger.trace(trace_id).await?;
        if shown == in_files { Ok(()) } else { Err(format!("{shown:#?}, in the files {in_files:#?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_trace_in_jaeger_is_the_trace_in_the_files() {
    let mut system = System::builder().parts(Parts::Real).start().await;
    let client = system.client();
    let created = client
        .post(
            "/api/bookings",
            &json!({"resource": "room-7", "guest": "Ada",
                    "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"}),
        )
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_shown(&mut system, &created.trace_id(), &WHOLE_PATH, 1).await;

    client.until_confirmed(created.header("location")).await;
    let miss = client.get(created.header("location")).await;
    let hit = client.get(created.header("location")).await;
    assert!(hit.header("cache-status").contains("hit"), "{hit:?}");
    assert_shown(&mut system, &miss.trace_id(), &WHOLE_PATH, 0).await;
    assert_shown(&mut system, &hit.trace_id(), &["load_balancer", "cache"], 0).await;
}

#[tokio::test]
async fn a_trace_cut_out_of_the_files_is_shown_whole_by_a_jaeger_that_it_is_posted_to() {
    let system = System::builder().parts(Parts::Embedded).start().await;
    let client = system.client();
    let booking = json!({"resource": "room-9", "guest": "Ada",
                         "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
    let created = client.post("/api/bookings", &booking).await;
    assert_eq!(created.status, 201, "{created:?}");
    client.until_confirmed(created.header("location")).await;
    client.get(created.header("location")).await;
    let hit = client.get(created.header("location")).await;
    assert!(hit.header("cache-status").contains("hit"), "{hit:?}");

    let mut jaeger = Jaeger::new(system.directory());
    jaeger.start().await;
    let endpoint = jaeger.endpoint().trim_start_matches("http://").parse().expect("an address");
    for (answer, path, runs) in [(&created, &WHOLE_PATH[..], 1), (&hit, &WHOLE_PATH[..2], 0)] {
        let trace = answer.trace_id();
        let in_files = spans_of(&system.story_with_runs(&trace, path, runs).await);
        let cut = Command::new(throughline())
            .args(["trace", &trace, "--otlp", "--no-links", "--from"])
            .arg(system.files())
            .output()
            .expect("throughline can be started");
        assert!(cut.status.success(), "{cut:?}");
        for line in String::from_utf8(cut.stdout).expect("JSON is UTF-8").lines() {
            let request = serde_json::from_str(line).expect("each line is an export request");
            let taken = Client::new(endpoint).post("/v1/traces", &request).await;
            assert_eq!(taken.status, 200, "{taken:?}");
        }
        eventually(&format!("Jaeger shows {trace}"), async || {
            let shown = jaeger.trace(&trace).await?;
            if shown == in_files { Ok(()) } else { Err(format!("{shown:#?}, in the files {in_files:#?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn the_first_run_of_a_task_is_in_the_requests_trace_and_a_later_one_links_to_it_on_postgres() {
    check_runs(System::builder().parts(Parts::Real).start().await).await;
}

#[tokio::test]
async fn the_first_run_of_a_task_is_in_the_requests_trace_and_a_later_one_links_to_it_on_sqlite() {
    let directory = Directory::new();
    let database = format!("sqlite:{}", directory.path().join("bookings.db").display());
    check_runs(System::builder().parts(Parts::Real).database(&database).start().await).await;
}

async fn check_runs(mut system: System) {
    system.has_told().await;
    // The first delivery of the first event fails, and runs again.
    let failed = AtomicBool::new(false);
    let receiver = Receiver::start(move |_, event| {
        let fails = event.json()["type"] == "booking.created" && !failed.swap(true, Ordering::SeqCst);
        Reply::status(if fails { 500 } else { 204 })
    })
    .await;
    let client = system.client();
    let subscribed = client.post("/api/webhooks", &json!({"url": receiver.url()})).await;
    assert_eq!(subscribed.status, 201, "{subscribed:?}");
    let booking = json!({"resource": "room-8", "guest": "Ada",
                         "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
    let created = client.post("/api/bookings", &booking).await;
    assert_eq!(created.status, 201, "{created:?}");
    let request = created.trace_id();

    // Its confirmation, the deliveries of both events, and in a trace of its own the second of one of them.
    assert_shown(&mut system, &request, &WHOLE_PATH, 3).await;
    let later = eventually_within(Duration::from_secs(30), "the failed delivery runs again", async || {
        let received = receiver.received();
        let traces = received.iter().map(|one| one.header("traceparent").get(3..35).unwrap_or_default());
        traces.map(str::to_owned).find(|trace| *trace != request).ok_or(format!("{received:#?}"))
    })
    .await;

    let first = Story::read(&system.files(), &request);
    let failed: Vec<_> = first
        .spans
        .iter()
        .filter(|span| span.kind == "CONSUMER" && !span.attribute("error.type").is_empty())
        .collect();
    assert_eq!(failed.len(), 1, "{first:#?}");
    let sent = first.spans.iter().find(|span| span.id == failed[0].parent).expect("its parent is there");
    assert_eq!((sent.kind, sent.service.as_str()), ("PRODUCER", "http_server"));

    let jaeger = &*system.jaeger();
    eventually("Jaeger shows the later run and its link", async || {
        let shown = jaeger.trace(&later).await?;
        let root = shown.iter().find(|span| span.parent.is_empty()).ok_or(format!("{shown:#?}"))?;
        let linked = [(request.clone(), failed[0].id.clone())];
        let whole = root.kind == "consumer" && root.service == "worker" && root.links == linked;
        if whole { Ok(()) } else { Err(format!("{shown:#?}, {:?} wanted", linked)) }
    })
    .await;
}
