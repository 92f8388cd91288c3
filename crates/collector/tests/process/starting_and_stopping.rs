//! Starting, stopping, being killed.

use std::{fs, path::Path};

use http::Request;
use rustix::process::Signal;

use crate::{
    running::{Collector, Place, Start, refusal},
    taken::{export, send},
};

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let place = Place::new();
    for round in ["one", "two", "three"] {
        let mut collector = Collector::start(&place);
        export(collector.grpc, round).await.unwrap();
        collector.signal(Signal::KILL);
        collector.ended();
    }
    let lines = place.lines("traces.jsonl");
    let names: Vec<_> =
        lines.iter().map(|line| &line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"]).collect();
    assert_eq!(names, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_half_line_of_an_earlier_life_stays_alone() {
    let place = Place::new();
    fs::create_dir(place.directory()).unwrap();
    fs::write(place.directory().join("traces.jsonl"), "{\"half").unwrap();
    let collector = Collector::start(&place);
    export(collector.grpc, "new").await.unwrap();
    let all = place.all("traces");
    let lines: Vec<_> = all.lines().collect();
    assert_eq!(lines[0], "{\"half");
    assert!(lines[1].contains("\"name\":\"new\"") && all.ends_with('\n'), "{all}");
}

// A second thread, so that the clients' connections close while this one waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn at_the_end_it_says_what_came_and_what_was_written() {
    let place = Place::new();
    let mut collector = Collector::start(&place);
    export(collector.grpc, "one").await.unwrap();
    export(collector.grpc, "two").await.unwrap();
    collector.signal(Signal::TERM);
    let stopped = collector.line("collector stopped");
    let counts = ["spans_received", "spans_written", "records_received", "points_written"];
    assert_eq!(counts.map(|name| stopped[name].as_u64().unwrap()), [2, 2, 0, 0], "{stopped}");
    assert!(collector.ended().success());
}

#[tokio::test]
async fn it_is_ready_while_its_directory_can_be_written_to() {
    let place = Place::new();
    let collector = Collector::start(&place);
    let ready = async || {
        let request = Request::builder().uri(format!("http://{}/readyz", collector.admin));
        send(request.body(bytes::Bytes::new().into()).unwrap()).await.status()
    };
    assert_eq!(ready().await, 200);
    fs::remove_dir_all(place.directory()).unwrap();
    assert_eq!(ready().await, 503);
}

#[test]
fn a_second_collector_on_the_directory_is_refused() {
    let place = Place::new();
    let _first = Collector::start_with(&place, &[], Start::Plainly);
    let directory = place.directory();
    let shown = directory.display();
    assert_eq!(
        refusal(&directory, &[]),
        format!(
            "collector: cannot open the directory `{shown}`: another collector writes to `{shown}`: stop it, or \
             give this one a `--directory` of its own"
        )
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    assert_eq!(
        refusal(Path::new("/dev/null/telemetry"), &[]),
        "collector: cannot open the directory `/dev/null/telemetry`: cannot make the directory \
         `/dev/null/telemetry`: Not a directory (os error 20)"
    );
}
