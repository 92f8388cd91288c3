//! Reading through the whole path: what is cold, what is stored, what is not there.

use serde_json::json;
use tests::System;

const WHOLE_PATH: [&str; 3] = ["load_balancer", "cache", "http_server"];

/// A booking of `resource` that overlaps with no other of the same test.
fn booking(resource: &str) -> serde_json::Value {
    json!({
        "resource": resource,
        "guest": "Ada",
        "starts_at": "2031-05-01T10:00:00Z",
        "ends_at": "2031-05-01T11:00:00Z",
    })
}

#[tokio::test]
async fn a_cold_read_is_one_trace_through_every_service() {
    let system = System::start().await;
    let answer = system.client().get("/api/bookings?resource=room-1").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.trace_id();

    let story = system.story(&id, &WHOLE_PATH).await;
    story.assert_carried_through(&WHOLE_PATH);
    let edge = story.server("load_balancer");
    assert_eq!(edge.name, "GET");
    assert_eq!(edge.attribute("url.path"), "/api/bookings");
    assert_eq!(edge.attribute("url.query"), "resource=REDACTED");
    assert_eq!(story.server("http_server").name, "GET /api/bookings");
    assert!(answer.header("traceresponse").starts_with(&format!("00-{id}-{}-", edge.id)), "{answer:?}");

    let hops: Vec<_> = answer
        .headers
        .get_all("server-timing")
        .iter()
        .flat_map(|value| value.to_str().unwrap().split(','))
        .map(|entry| entry.split(';').next().unwrap().trim().to_owned())
        .collect();
    assert_eq!(hops, ["load_balancer", "cache", "http_server", "db"], "{answer:?}");

    for service in WHOLE_PATH {
        let line = story.request_line(service);
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["method"], "GET");
        assert_eq!(line["path"], "/api/bookings");
        assert_eq!(line["status"], 200);
        assert_eq!(line["logger"], format!("{service}::request"));
        assert!(line["response_time_ms"].as_f64().unwrap() > 0.0, "{line}");
    }
    for proxy in ["load_balancer", "cache"] {
        let line = story.request_line(proxy);
        assert_eq!(line["cache_hit"], false, "{line}");
        assert_eq!(line["attempts"], 1, "{line}");
        let parts: f64 =
            ["routing_ms", "queue_ms", "upstream_ms"].iter().map(|part| line[part].as_f64().unwrap()).sum();
        let whole = line["response_time_ms"].as_f64().unwrap();
        assert!((parts - whole).abs() < 0.01, "the parts make the whole: {line}");
    }
    let line = story.request_line("http_server");
    assert!(line["db_ms"].as_f64().unwrap() > 0.0, "{line}");
    assert!(line["pool_wait_ms"].as_f64().is_some(), "{line}");
}

#[tokio::test]
async fn a_hit_names_the_span_that_filled_its_entry() {
    let system = System::start().await;
    let created = system.client().post("/api/bookings", &booking("room-2")).await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.header("location").to_owned();
    // A pending booking may be kept by no cache; a cancelled one is changed through HTTP only.
    let cancelled = system.client().post(&format!("{path}/cancel"), &serde_json::json!({})).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");

    let cold = system.client().get(&path).await;
    assert_eq!(cold.status, 200, "{cold:?}");
    let hit = system.client().get(&path).await;
    assert_eq!(hit.status, 200, "{hit:?}");
    assert!(hit.header("cache-status").contains("hit"), "{hit:?}");
    assert!(hit.header("server-timing").contains("cache;desc=hit"), "{hit:?}");
    assert_eq!(hit.body, cold.body);
    assert_ne!(hit.trace_id(), cold.trace_id(), "a stored response's trace is not the hit's");

    let filled = system.story(&cold.trace_id(), &WHOLE_PATH).await;
    filled.assert_carried_through(&WHOLE_PATH);
    assert_eq!(filled.server("cache").attribute("throughline.cache.result"), "miss");

    let path_of_a_hit = ["load_balancer", "cache"];
    let story = system.story(&hit.trace_id(), &path_of_a_hit).await;
    story.assert_carried_through(&path_of_a_hit);
    let cache = story.server("cache");
    assert_eq!(cache.attribute("throughline.cache.result"), "hit");
    assert_eq!(cache.links, [(cold.trace_id(), filled.server("cache").id.clone())]);
    assert_eq!(story.request_line("load_balancer")["cache_hit"], true);
    assert_eq!(story.request_line("cache")["cache_hit"], true);
}

#[tokio::test]
async fn what_is_not_there_is_refused_under_its_trace() {
    let system = System::start().await;
    let answer = system.client().get("/api/bookings/0192f0c1-2345-7abc-8def-0123456789ab").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["trace_id"], answer.trace_id());

    let story = system.story(&answer.trace_id(), &WHOLE_PATH).await;
    story.assert_carried_through(&WHOLE_PATH);
    assert_eq!(story.server("http_server").name, "GET /api/bookings/{id}");
    for service in WHOLE_PATH {
        assert_eq!(story.request_line(service)["status"], 404);
        assert_eq!(story.request_line(service)["level"], "INFO");
    }
}
