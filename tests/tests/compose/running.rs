//! The file brought up, a request followed through it, and everything taken down.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{Client, Story, eventually, eventually_within, jaeger};

use crate::{
    engine::{Engine, output, tell},
    project::Project,
};

const WHOLE_PATH: [&str; 3] = ["load_balancer", "cache", "http_server"];
const OURS: [&str; 4] = ["load_balancer", "cache", "http_server", "worker"];

#[tokio::test]
async fn the_file_comes_up_follows_a_request_and_leaves_nothing_behind() {
    if let Some(reason) = Engine::impossible() {
        tell(&format!("only the file is checked, it is not brought up: {reason}"));
        return;
    }
    let engine = Engine::start();
    let project = Project::new(&engine);
    project.build();

    let started = Instant::now();
    project.up();
    tell(&format!("up and healthy after {:.1} s", started.elapsed().as_secs_f64()));
    let trace_id = a_request_is_in_the_files_and_in_jaeger_within_two_seconds(&project).await;
    tell(&format!("the first trace is in Jaeger after {:.1} s", started.elapsed().as_secs_f64()));
    assert_ours_are_small(&project);

    assert_anybody_can_grep(&project.telemetry(), &trace_id);
    let story = project.compose(&["run", "--rm", "-T", "throughline", "trace", &trace_id]);
    assert!(story.contains("GET /api/bookings → 200") && story.contains("complete"), "{story}");
    a_booking_is_confirmed_by_a_worker(&project).await;
    prometheus_hears_of_every_hop(&project).await;
    a_third_http_server_takes_part_and_nothing_else_is_touched(&project).await;

    project.compose(&["restart", "jaeger"]);
    let spans = spans_of(&project.story(&trace_id));
    let api = project.address("jaeger");
    eventually_within(Duration::from_secs(30), "Jaeger still has the trace", async || {
        in_jaeger(api, &trace_id, &spans).await
    })
    .await;

    assert_eq!(project.restarted_by_themselves(), Vec::<String>::new());
    project.compose(&["stop"]);
    for (container, code) in project.exit_codes().iter().filter(|(name, _)| OURS.contains(&service_of(name)))
    {
        assert_eq!(code, "0", "{container} did not drain");
    }
    project.compose(&["down", "--volumes", "--remove-orphans"]);
    assert_eq!(project.left_behind(), "");
}

async fn a_request_is_in_the_files_and_in_jaeger_within_two_seconds(project: &Project<'_>) -> String {
    let answer = Client::new(project.address("load_balancer")).get("/api/bookings?status=confirmed").await;
    let answered = Instant::now();
    assert_eq!(answer.status, 200, "{answer:?}");
    let trace_id = answer.trace_id();
    let api = project.address("jaeger");
    eventually_within(Duration::from_secs(2), "the request is in the files and in Jaeger", async || {
        let story = project.story(&trace_id);
        story.is_whole(&WHOLE_PATH)?;
        in_jaeger(api, &trace_id, &spans_of(&story)).await
    })
    .await;
    tell(&format!("from the answer to the trace in Jaeger: {:.2} s", answered.elapsed().as_secs_f64()));
    project.story(&trace_id).assert_carried_through(&WHOLE_PATH);
    trace_id
}

fn spans_of(story: &Story) -> BTreeSet<String> {
    story.spans.iter().map(|span| span.id.clone()).collect()
}

/// Whether Jaeger shows these spans of the trace, neither more nor fewer.
async fn in_jaeger(api: SocketAddr, trace_id: &str, spans: &BTreeSet<String>) -> Result<(), String> {
    let shown: BTreeSet<_> = jaeger::trace(api, trace_id).await?.into_iter().map(|span| span.id).collect();
    if shown == *spans { Ok(()) } else { Err(format!("{shown:?} in Jaeger, {spans:?} in the files")) }
}

fn assert_ours_are_small(project: &Project<'_>) {
    let mut sum = 0.0;
    let mut all = 0.0;
    for (container, mebibytes) in project.memory() {
        tell(&format!("{mebibytes:6.1} MiB  {container}"));
        all += mebibytes;
        if OURS.contains(&service_of(&container)) {
            sum += mebibytes;
        }
    }
    tell(&format!("{all:6.1} MiB  together; ours {sum:.1} MiB; our image {} MB", project.image_megabytes()));
    assert!(sum > 0.0 && sum < 150.0, "our services need {sum} MiB");
}

/// `project-http_server-2` → `http_server`.
fn service_of(container: &str) -> &str {
    let without_number = container.rsplit_once('-').map_or(container, |(name, _)| name);
    without_number.rsplit_once('-').map_or(container, |(_, service)| service)
}

/// Nobody's user, neither the Collector's nor ours.
fn assert_anybody_can_grep(telemetry: &Path, trace_id: &str) {
    for file in ["traces.jsonl", "logs.jsonl"] {
        let mut grep = Command::new("setpriv");
        grep.args(["--reuid=65534", "--regid=65534", "--clear-groups", "grep", "--count", trace_id]);
        let count = output(grep.arg(telemetry.join(file)));
        assert_ne!(count.trim(), "0", "{file}");
    }
}

async fn a_booking_is_confirmed_by_a_worker(project: &Project<'_>) {
    let client = Client::new(project.address("load_balancer"));
    let booking = json!({"resource": "room-1", "guest": "Ada",
                         "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
    let created = client.post("/api/bookings", &booking).await;
    assert_eq!(created.status, 201, "{created:?}");
    eventually("a worker confirms the booking", async || {
        let answer = client.get(created.header("location")).await;
        if answer.json()["status"] == "confirmed" { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

async fn prometheus_hears_of_every_hop(project: &Project<'_>) {
    let client = Client::new(project.address("prometheus"));
    let query = "/api/v1/query?query=count%20by%20(job)%20(http_server_request_duration_seconds_count)";
    eventually_within(Duration::from_secs(60), "Prometheus has heard of every hop", async || {
        let answer = client.get(query).await.json();
        let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let jobs: Vec<_> = result.iter().filter_map(|one| one["metric"]["job"].as_str()).collect();
        let all = WHOLE_PATH.iter().all(|service| jobs.contains(service));
        if all { Ok(()) } else { Err(format!("{answer}")) }
    })
    .await;
    let up = client.get("/api/v1/query?query=sum(up)").await.json();
    assert_eq!(up["data"]["result"][0]["value"][1], "2", "the Collector's two addresses are read: {up}");
}

async fn a_third_http_server_takes_part_and_nothing_else_is_touched(project: &Project<'_>) {
    let before = project.started();
    let up = [
        "up",
        "--detach",
        "--wait",
        "--no-build",
        "--no-recreate",
        "--scale",
        "http_server=3",
        "http_server",
    ];
    project.compose(&up);
    let client = Client::new(project.address("load_balancer"));
    let mut number = 0;
    eventually_within(Duration::from_secs(60), "three http_servers answer", async || {
        number += 1;
        // One that no cache has stored.
        let answer = client.get(&format!("/api/bookings?resource=room-{number}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let stories = Story::read_all(&project.telemetry());
        let lines = stories.values().flat_map(|story| &story.lines).map(|line| &line.0);
        let of_servers =
            lines.filter(|line| line["service"] == "http_server" && line["message"] == "request");
        let instances: BTreeSet<_> = of_servers.map(|line| line["instance"].to_string()).collect();
        if instances.len() == 3 { Ok(()) } else { Err(format!("{instances:?}")) }
    })
    .await;
    let after = project.started();
    assert_eq!(after.difference(&before).count(), 1, "one container more: {before:#?}, {after:#?}");
    assert!(before.is_subset(&after), "started again: {before:#?}, {after:#?}");
}
