//! Spans, lines and headers of a request: no handler makes any of them.

use telemetry::testing::{self, RecordedSpan};

use super::{Api, JSON, wanted};

fn names_below(spans: &[RecordedSpan], parent: &RecordedSpan) -> Vec<String> {
    spans.iter().filter(|span| span.parent_id == parent.span_id).map(|span| span.name.clone()).collect()
}

async fn a_read_tells_its_story(api: &Api) {
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    let answer = api.get(&path).await;
    let server = testing::wait_for_span(&answer.trace, "GET /api/bookings/{id}");
    assert_eq!(server.kind, "SERVER");
    assert_eq!(server.attributes["http.route"], "/api/bookings/{id}");
    assert_eq!(server.attributes["http.response.status_code"], "200");
    let spans = testing::spans(&answer.trace);
    assert_eq!(names_below(&spans, &server), ["pool.acquire", "SELECT bookings"]);

    let line = testing::wait_for_line(&answer.trace, "request");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["path"], path);
    assert_eq!(line["status"], 200);
    let whole = line["response_time_ms"].as_f64().unwrap();
    let parts = line["db_ms"].as_f64().unwrap() + line["pool_wait_ms"].as_f64().unwrap();
    assert!(parts > 0.0 && parts <= whole, "{line}");
    let timing = answer.header("server-timing");
    assert!(timing.starts_with("http_server;dur=") && timing.contains("db;dur="), "{timing}");
}

#[tokio::test]
async fn a_read_tells_its_story_on_sqlite() {
    a_read_tells_its_story(&Api::sqlite().await).await;
}

#[tokio::test]
async fn a_read_tells_its_story_on_postgresql() {
    a_read_tells_its_story(&Api::postgres().await).await;
}

#[tokio::test]
async fn a_write_tells_each_step_of_its_transaction() {
    let api = Api::sqlite().await;
    let headers = [JSON, ("idempotency-key", "key")];
    let answer = api.send("POST", "/api/bookings", &headers, wanted("room", 10, 11).to_string()).await;
    assert_eq!(answer.status, 201);
    let server = testing::wait_for_span(&answer.trace, "POST /api/bookings");
    let steps = names_below(&testing::spans(&answer.trace), &server);
    let expected = [
        "pool.acquire",
        "BEGIN",
        "SELECT idempotency_keys",
        "INSERT bookings",
        "send confirm_booking",
        "SELECT webhooks",
        "INSERT idempotency_keys",
        "COMMIT",
    ];
    assert_eq!(steps, expected);
}

#[tokio::test]
async fn a_path_that_leads_nowhere_has_no_route() {
    let api = Api::sqlite().await;
    let answer = api.get("/api/nothing/42").await;
    let server = testing::wait_for_span(&answer.trace, "GET");
    assert!(!server.attributes.contains_key("http.route"), "{server:?}");
    let refused = api.send("PURGE", "/api/bookings", &[], "").await;
    let server = testing::wait_for_span(&refused.trace, "HTTP /api/bookings");
    assert_eq!(server.attributes["http.request.method"], "_OTHER");
}

#[tokio::test]
async fn a_line_says_that_the_database_took_no_time_where_it_was_not_asked() {
    let api = Api::sqlite().await;
    let answer = api.get("/api/bookings?limit=0").await;
    assert_eq!(answer.status, 400);
    let line = testing::wait_for_line(&answer.trace, "request");
    assert_eq!((line["pool_wait_ms"].as_f64(), line["db_ms"].as_f64()), (Some(0.0), Some(0.0)), "{line}");
    assert!(!answer.header("server-timing").contains("db;"), "{answer:?}");
}
