//! `traces`, `stats` and `errors` over the files that the whole system writes.

use std::process::{Command, Output};

use serde_json::Value;
use tests::{System, throughline};

/// What `throughline` answers about the files of `system`: one object a line.
fn ask(system: &System, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let Output { status, stdout, .. } = Command::new(throughline())
        .args(arguments)
        .arg("--json")
        .arg("--from")
        .arg(system.files())
        .output()
        .expect("the binary can be started");
    let text = String::from_utf8(stdout).expect("it writes text");
    let object = |line: &str| serde_json::from_str(line).expect("a line is an object");
    (status.code(), text.lines().map(object).collect())
}

#[tokio::test]
async fn what_went_through_the_system_is_found_and_counted() {
    let system = System::start().await;
    let path = ["load_balancer", "cache", "http_server"];
    let found = system.client().get("/api/bookings?resource=room-9").await;
    let missing = system.client().get("/api/bookings/0192f0c1-2345-7abc-8def-0123456789ab").await;
    assert_eq!((found.status.as_u16(), missing.status.as_u16()), (200, 404));
    for answer in [&found, &missing] {
        system.story(&answer.trace_id(), &path).await;
    }

    let (code, traces) = ask(&system, &["traces", "--status", "404", "--service", "http_server"]);
    assert_eq!((code, traces.len()), (Some(0), 1), "{traces:?}");
    assert_eq!(traces[0]["trace_id"], missing.trace_id());
    assert_eq!(traces[0]["services"], serde_json::json!(["cache", "http_server", "load_balancer"]));
    let (code, traces) =
        ask(&system, &["traces", "--route", "GET /api/bookings", "--has", "url.path=/api/bookings"]);
    let ids: Vec<_> = traces.iter().map(|trace| trace["trace_id"].as_str().unwrap_or_default()).collect();
    assert!(code == Some(0) && ids.contains(&found.trace_id().as_str()), "{traces:?}");

    // `up` has asked for a booking as well: its requests are counted and listed alike.
    let (_, traces) = ask(&system, &["traces", "--route", "GET /api/bookings/{id}", "--limit", "1000"]);
    let (code, stats) = ask(&system, &["stats"]);
    let is_it = |row: &&Value| row["service"] == "http_server" && row["route"] == "GET /api/bookings/{id}";
    let row = stats.iter().find(is_it).unwrap_or_else(|| panic!("{stats:?}"));
    assert_eq!(
        (code, &row["requests"], &row["errors"]),
        (Some(0), &traces.len().into(), &0.into()),
        "{traces:?}"
    );
    assert!(traces.iter().any(|trace| trace["trace_id"] == row["slowest_trace_id"]), "{row}");

    // For whoever asks a next hop a 404 is a failure (OpenTelemetry's conventions for CLIENT spans), for who answers it is none.
    let (code, errors) = ask(&system, &["errors"]);
    let mut services: Vec<_> = errors.iter().filter_map(|row| row["service"].as_str()).collect();
    services.sort_unstable();
    assert_eq!((code, services), (Some(0), vec!["cache", "load_balancer"]), "{errors:?}");
    for row in &errors {
        assert_eq!((&row["type"], &row["count"]), (&"404".into(), &1.into()), "{row}");
        assert_eq!(row["trace_ids"], serde_json::json!([missing.trace_id()]));
    }
}
