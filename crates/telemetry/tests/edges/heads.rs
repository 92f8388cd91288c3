//! What a response says of its trace and of the time taken.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Empty;
use telemetry::Scope;
use tower::ServiceExt as _;

use crate::fixture::{answer, get, header, server, span};

fn empty() -> Response<Empty<Bytes>> {
    Response::new(Empty::new())
}

#[tokio::test]
async fn every_response_names_its_trace_and_this_hops_span() {
    let asked = get("/a");
    let response = answer(asked.request, empty()).await;
    let span = span(&asked.trace);
    assert_eq!(header(response.headers(), "x-trace-id"), asked.trace);
    let flags = header(response.headers(), "traceresponse").rsplit('-').next().unwrap();
    assert_eq!(
        header(response.headers(), "traceresponse"),
        format!("00-{}-{}-{flags}", asked.trace, span.span_id)
    );
}

#[tokio::test]
async fn the_headers_of_the_hop_behind_are_replaced() {
    let asked = get("/a");
    let mut inner = empty();
    for (name, value) in [
        ("x-trace-id", "stale"),
        ("x-trace-id", "older"),
        ("traceresponse", "stale"),
        ("server-timing", "http_server;dur=2.000"),
        ("server-timing", "db;dur=1.000"),
    ] {
        inner.headers_mut().append(name, value.parse().unwrap());
    }
    let response = answer(asked.request, inner).await;
    for name in ["x-trace-id", "traceresponse", "server-timing"] {
        assert_eq!(response.headers().get_all(name).iter().count(), 1, "{name}");
    }
    assert_eq!(header(response.headers(), "x-trace-id"), asked.trace);
    let timing = header(response.headers(), "server-timing");
    let entries: Vec<&str> = timing.split(", ").collect();
    assert!(is_entry(entries[0], "cache;dur="), "{timing}");
    assert_eq!(entries[1..], ["http_server;dur=2.000", "db;dur=1.000"]);
}

#[tokio::test]
async fn server_timing_has_a_description_and_the_database() {
    let asked = get("/a");
    let service = server(|_| async {
        let scope = Scope::current().unwrap();
        scope.timing_description("hit");
        scope.add_db(Duration::from_micros(1500));
        scope.add_db(Duration::from_micros(20));
        Ok(empty())
    });
    let Ok(response) = service.oneshot(asked.request).await;
    let timing = header(response.headers(), "server-timing");
    let (own, db) = timing.split_once(", ").unwrap();
    assert!(is_entry(own, "cache;desc=hit;dur="), "{timing}");
    assert_eq!(db, "db;dur=1.520");
}

/// `prefix` and milliseconds with three decimals.
fn is_entry(entry: &str, prefix: &str) -> bool {
    let number = entry.strip_prefix(prefix).and_then(|number| number.split_once('.'));
    number.is_some_and(|(whole, part)| {
        part.len() == 3 && [whole, part].iter().all(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    })
}
