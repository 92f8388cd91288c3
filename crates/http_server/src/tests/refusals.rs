//! Every refusal, with each header and body.

use std::time::Duration;

use serde_json::{Value, json};
use store::{Change, Timestamp};
use telemetry::testing;

use super::{Answer, Api, JSON, PATCH, wanted};

/// What every refusal has: its status twice, its trace, and no place in a cache.
#[track_caller]
fn is_problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!(body["status"], status);
    assert_eq!(body["title"], answer.status.canonical_reason().unwrap());
    assert_eq!(body["trace_id"], answer.trace, "{body}");
    assert_eq!(answer.header("x-trace-id"), answer.trace);
    assert!(body["detail"].is_string(), "{body}");
    body
}

const NOBODY: &str = "/api/bookings/0192f0c1-2345-7abc-8def-0123456789ab";
const NO_TASK: &str = "/api/tasks/0192f0c1-2345-7abc-8def-0123456789ab";
const NO_WEBHOOK: &str = "/api/webhooks/0192f0c1-2345-7abc-8def-0123456789ab";

#[tokio::test]
async fn what_cannot_be_read_is_400_and_what_is_not_there_404() {
    let api = Api::sqlite().await;
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    let upper = path.to_uppercase().replace("/API/BOOKINGS", "/api/bookings");
    let simple = path.replace('-', "");
    let key = |value: &'static str| vec![JSON, ("idempotency-key", value)];
    let whole = wanted("room", 10, 11).to_string();
    let cases = [
        ("POST", "/api/bookings", vec![JSON], "", 400),
        ("POST", "/api/bookings", vec![JSON], "{", 400),
        ("POST", "/api/bookings", vec![JSON], "[]", 400),
        ("POST", "/api/bookings", vec![JSON], r#"{"guest":"a","guest":"b"}"#, 400),
        ("POST", "/api/bookings", key("two words"), whole.as_str(), 400),
        ("PUT", path.as_str(), vec![JSON], "null", 400),
        ("PATCH", path.as_str(), vec![PATCH], "7", 400),
        ("PATCH", path.as_str(), vec![PATCH, ("if-match", "1")], "{}", 400),
        ("GET", path.as_str(), vec![("if-none-match", "\"")], "", 400),
        ("GET", "/api/bookings/1", vec![], "", 400),
        ("GET", "/api/bookings/%FF", vec![], "", 400),
        ("GET", upper.as_str(), vec![], "", 400),
        ("GET", simple.as_str(), vec![], "", 400),
        ("POST", "/api/bookings/1/cancel", vec![], "", 400),
        ("GET", "/api/bookings?limit=0", vec![], "", 400),
        ("GET", "/api/bookings?cursor=x", vec![], "", 400),
        ("GET", "/api/bookings?colour=red", vec![], "", 400),
        ("GET", NOBODY, vec![], "", 404),
        ("PUT", NOBODY, vec![JSON], whole.as_str(), 404),
        ("PATCH", NOBODY, vec![PATCH], "{}", 404),
        ("DELETE", NOBODY, vec![("if-match", "*")], "", 404),
        ("GET", "/api/tasks/1", vec![], "", 400),
        ("GET", NO_TASK, vec![], "", 404),
        ("DELETE", "/api/webhooks/1", vec![], "", 400),
        ("DELETE", NO_WEBHOOK, vec![], "", 404),
        ("GET", "/", vec![], "", 404),
        ("GET", "/api/bookings/", vec![], "", 404),
        ("PURGE", "/nowhere", vec![], "", 404),
    ];
    for (method, path, headers, body, status) in cases {
        let answer = api.send(method, path, &headers, body.to_owned()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {headers:?} {body}");
        is_problem(&answer, status);
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_is_405_with_those_that_are() {
    let api = Api::sqlite().await;
    for (path, methods, accepts) in [
        ("/api/bookings", "GET, HEAD, POST, OPTIONS", Some(("accept-post", "application/json"))),
        (
            NOBODY,
            "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
            Some(("accept-patch", "application/merge-patch+json")),
        ),
        (&format!("{NOBODY}/cancel"), "POST, OPTIONS", None),
        (NO_TASK, "GET, HEAD, OPTIONS", None),
        ("/api/webhooks", "GET, HEAD, POST, OPTIONS", Some(("accept-post", "application/json"))),
        (NO_WEBHOOK, "GET, HEAD, DELETE, OPTIONS", None),
    ] {
        let options = api.send("OPTIONS", path, &[], "").await;
        assert_eq!((options.status.as_u16(), options.body.len()), (204, 0), "{options:?}");
        assert_eq!(options.header("allow"), methods);
        if let Some((name, media_type)) = accepts {
            assert_eq!(options.header(name), media_type);
        }
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"] {
            let answer = api.send(method, path, &[], "").await;
            let is_allowed = methods.split(", ").any(|allowed| allowed == method);
            assert_eq!(answer.status == 405, !is_allowed, "{method} {path}: {answer:?}");
            if !is_allowed && method != "HEAD" {
                is_problem(&answer, 405);
            }
            if !is_allowed {
                assert_eq!(answer.header("allow"), methods, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_of_another_kind_is_415_with_the_kind_that_is_read() {
    let api = Api::sqlite().await;
    for (method, path, headers, told_in, accepted) in [
        ("POST", "/api/bookings", vec![], "accept-post", "application/json"),
        ("POST", "/api/bookings", vec![("content-type", "text/plain")], "accept-post", "application/json"),
        ("POST", "/api/bookings", vec![JSON, JSON], "accept-post", "application/json"),
        ("PUT", NOBODY, vec![PATCH], "accept", "application/json"),
        ("PATCH", NOBODY, vec![JSON], "accept-patch", "application/merge-patch+json"),
        ("POST", "/api/bookings", vec![JSON, ("content-encoding", "gzip")], "accept-encoding", "identity"),
    ] {
        let answer = api.send(method, path, &headers, "{}").await;
        is_problem(&answer, 415);
        assert_eq!(answer.header(told_in), accepted, "{method} {headers:?}");
    }
}

#[tokio::test]
async fn what_a_booking_cannot_be_is_422_by_its_field() {
    let api = Api::sqlite().await;
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    for (method, path, header, body, field) in [
        ("POST", "/api/bookings", JSON, json!({}), "resource"),
        ("POST", "/api/bookings", JSON, json!({"colour": "red"}), "colour"),
        ("POST", "/api/bookings", JSON, json!({"status": "confirmed"}), "status"),
        ("POST", "/api/bookings", JSON, json!({"guest": "a\u{0}b"}), "guest"),
        ("PUT", &path, JSON, json!({"guest": "Ada"}), "resource"),
        ("PUT", NOBODY, JSON, json!({"guest": 7}), "guest"),
        ("PATCH", &path, PATCH, json!({"ends_at": "2030-01-01T10:00:00Z"}), "ends_at"),
        ("PATCH", &path, PATCH, json!({"status": "cancelled"}), "status"),
        ("PATCH", &path, PATCH, json!({"notes": "x".repeat(2_001)}), "notes"),
    ] {
        let answer = api.send(method, path, &[header], body.to_string()).await;
        assert_eq!(is_problem(&answer, 422)["field"], field, "{method} {body}");
    }
}

#[tokio::test]
async fn states_and_sizes_that_do_not_fit_are_refused() {
    let api = Api::sqlite().await;
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    is_problem(&api.post(&wanted("room", 9, 12)).await, 409);
    let (hall, _) = api.booked(&wanted("hall", 10, 11)).await;
    is_problem(&api.send("PATCH", &hall, &[PATCH], r#"{"resource":"room"}"#).await, 409);
    is_problem(&api.send("PATCH", &path, &[PATCH, ("if-match", "\"9\"")], "{}").await, 412);
    is_problem(&api.send("PATCH", &path, &[PATCH, ("if-match", "W/\"1\"")], "{}").await, 412);
    is_problem(&api.send("PATCH", &path, &[PATCH, ("if-none-match", "*")], "{}").await, 412);
    let large = json!({"notes": "x".repeat(100_000)}).to_string();
    is_problem(&api.send("PATCH", &path, &[PATCH], large).await, 413);
}

#[tokio::test]
async fn what_is_wrong_inside_is_500_and_told_on_the_line_only() {
    let api = Api::sqlite().await;
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    let file = api.directory.as_ref().unwrap().join("bookings.db");
    let somebody = rusqlite::Connection::open(file).unwrap();
    somebody.execute_batch("UPDATE bookings SET starts_at = -9223372036854775807").unwrap();

    let answer = api.get(&path).await;
    let body = is_problem(&answer, 500);
    assert!(!body.to_string().contains("column"), "{body}");
    let line = testing::wait_for_line(&answer.trace, "request");
    assert_eq!(line["level"], "ERROR", "{line}");
    assert_eq!(line["error.type"], "database_error", "{line}");
    assert!(
        line["exception.message"].as_str().unwrap().contains("column 3 should hold a timestamp"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_connection_in_time_is_503_and_may_come_back() {
    let settings = store::Settings { wait: Duration::from_millis(200), ..store::Settings::default() };
    let api = Api::sqlite_with(&settings).await;
    let (path, body) = api.booked(&wanted("room", 10, 11)).await;
    let id = body["id"].as_str().unwrap().parse().unwrap();
    let (inside, is_inside) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let store = api.store.clone();
    let holder = tokio::spawn(async move {
        let decide = move |_: &_| {
            inside.send(()).unwrap();
            may_go_on.recv().ok();
            Ok::<_, store::Error>(Change::Leave)
        };
        store.change(id, Timestamp::now(), decide).await.map(drop)
    });
    is_inside.await.unwrap();

    let answer = api.send("DELETE", &path, &[], "").await;
    is_problem(&answer, 503);
    assert_eq!(answer.header("retry-after"), "1");
    let line = testing::wait_for_line(&answer.trace, "request");
    assert_eq!(line["level"], "WARN", "refused because something was full: {line}");
    assert_eq!(line["error.type"], "pool_exhausted", "{line}");
    assert!(line["pool_wait_ms"].as_f64().unwrap() >= 200.0, "{line}");

    go_on.send(()).unwrap();
    holder.await.unwrap().unwrap();
    assert_eq!(api.send("DELETE", &path, &[], "").await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_503_and_an_error() {
    let cluster = tests::postgres::Cluster::start();
    let api = Api::on(&cluster.database().await, &store::Settings::default()).await;
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    cluster.crash();
    let answer = api.get(&path).await;
    let body = is_problem(&answer, 503);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!body.to_string().contains("postgres"), "{body}");
    let line = testing::wait_for_line(&answer.trace, "request");
    assert_eq!(
        (&line["level"], &line["error.type"]),
        (&json!("ERROR"), &json!("database_unavailable")),
        "{line}"
    );
    cluster.start_again();
    assert_eq!(api.get(&path).await.status, 200);
}
