//! What is told to the scope, and where it is written.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Empty};
use serde_json::json;
use telemetry::{KeyValue, Scope, Span, names};
use tower::ServiceExt as _;

use crate::fixture::{Step, answer, get, line, script, server, span};

/// Serves one request whose handler tells `tell` to its scope.
async fn serve(uri: &str, tell: impl Fn(&Scope) + Copy) -> String {
    let asked = get(uri);
    let service = server(move |_| async move {
        tell(&Scope::current().expect("within a request"));
        Ok(Response::new(Empty::<Bytes>::new()))
    });
    let Ok(response) = service.oneshot(asked.request).await;
    assert_eq!(response.status(), 200, "an assertion that fails in the handler is a panic, answered 500");
    asked.trace
}

#[tokio::test]
async fn outside_of_a_request_there_is_no_scope() {
    assert!(Scope::current().is_none());
}

#[tokio::test]
async fn a_plain_line_has_no_fields_of_a_proxy_or_a_database() {
    let trace = serve("/a?x=1", |_| {}).await;
    let line = line(&trace);
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], "/a");
    assert_eq!(line["trace_id"], trace);
    let time = line["response_time_ms"].as_f64().unwrap();
    assert!((0.0..60_000.0).contains(&time), "{time}");
    for field in
        ["cache_hit", "routing_ms", "queue_ms", "attempts", "replica", "pool_wait_ms", "db_ms", "error.type"]
    {
        assert!(line.get(field).is_none(), "{field}: {line:#}");
    }
}

#[tokio::test]
async fn a_proxys_line_says_where_the_time_went() {
    let trace = serve("/a", |scope| {
        scope.cache_hit(false);
        scope.add_queue(Duration::from_micros(1500));
        scope.add_queue(Duration::from_micros(500));
        scope.attempt("10.0.0.1:80");
        scope.attempt("10.0.0.2:80");
        scope.add_upstream(Duration::from_secs(3600));
    })
    .await;
    let line = line(&trace);
    assert_eq!(line["cache_hit"], false);
    assert_eq!(line["queue_ms"], json!(2.0));
    assert_eq!(line["upstream_ms"], json!(3_600_000.0));
    assert_eq!(line["routing_ms"], json!(0.0), "never negative");
    assert_eq!(line["attempts"], 2);
    assert_eq!(line["replica"], "10.0.0.2:80");
    let span = span(&trace);
    assert_eq!(span.attributes["throughline.attempts"], "2");
    assert_eq!(span.attributes["throughline.queue_ms"], "2");
}

#[tokio::test]
async fn a_proxy_without_an_attempt_has_its_fields_all_the_same() {
    let trace = serve("/a", |scope| {
        scope.proxy();
        scope.cache_hit(true);
    })
    .await;
    let line = line(&trace);
    assert_eq!(
        (&line["attempts"], &line["queue_ms"], &line["upstream_ms"]),
        (&json!(0), &json!(0.0), &json!(0.0))
    );
    assert_eq!(line["cache_hit"], true);
    let (routing, total) = (line["routing_ms"].as_f64().unwrap(), line["response_time_ms"].as_f64().unwrap());
    assert!((routing - total).abs() < 0.001, "all of it was routing: {line:#}");
}

#[tokio::test]
async fn waits_for_the_database_are_summed() {
    let trace = serve("/a", |scope| {
        scope.add_pool_wait(Duration::from_micros(250));
        scope.add_db(Duration::from_millis(1));
        scope.add_db(Duration::from_millis(2));
    })
    .await;
    let line = line(&trace);
    assert_eq!((&line["pool_wait_ms"], &line["db_ms"]), (&json!(0.25), &json!(3.0)));
}

#[tokio::test]
async fn a_route_names_the_span() {
    let trace = serve("/api/bookings/7", |scope| scope.route("/api/bookings/{id}")).await;
    let span = span(&trace);
    assert_eq!(span.name, "GET /api/bookings/{id}");
    assert_eq!(span.attributes["http.route"], "/api/bookings/{id}");
    assert_eq!(line(&trace)["http.route"], "/api/bookings/{id}");
}

#[tokio::test]
async fn an_error_is_told_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("no replica could be reached")]
    struct Unreachable(#[source] std::io::Error);
    let asked = get("/a");
    let service = server(|_| async {
        let error = Unreachable(std::io::Error::other("connection refused"));
        Scope::current().unwrap().error("connect", &error);
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        Ok(response)
    });
    let Ok(_) = service.oneshot(asked.request).await;
    let line = line(&asked.trace);
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["error.type"], "connect");
    assert_eq!(line["exception.type"], "Unreachable");
    assert_eq!(line["exception.message"], "no replica could be reached: connection refused");
    assert_eq!(span(&asked.trace).attributes["error.type"], "connect");
}

#[tokio::test]
async fn a_refusal_is_a_warning() {
    let asked = get("/a");
    let service = server(|_| async {
        Scope::current().unwrap().refused();
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        Ok(response)
    });
    let Ok(_) = service.oneshot(asked.request).await;
    assert_eq!(line(&asked.trace)["level"], "WARN");
    assert!(span(&asked.trace).failed);
}

#[tokio::test]
async fn attributes_and_links_go_to_the_span() {
    let filler = get("/filler");
    drop(answer(filler.request, Response::new(Empty::<Bytes>::new())).await);
    let filler = span(&filler.trace);
    let target = telemetry::SpanContext::new(
        u128::from_str_radix(&filler.trace_id, 16).unwrap().into(),
        u64::from_str_radix(&filler.span_id, 16).unwrap().into(),
        Default::default(),
        true,
        Default::default(),
    );
    let asked = get("/a");
    let service = server(move |_| {
        let target = target.clone();
        async move {
            let scope = Scope::current().unwrap();
            scope.attribute(KeyValue::new(names::CACHE_RESULT, "hit"));
            scope.link(target, vec![]);
            Ok(Response::new(Empty::<Bytes>::new()))
        }
    });
    let Ok(_) = service.oneshot(asked.request).await;
    let span = span(&asked.trace);
    assert_eq!(span.attributes["throughline.cache.result"], "hit");
    assert_eq!(span.links, [(filler.trace_id, filler.span_id)]);
}

#[tokio::test]
async fn after_the_end_nothing_is_changed() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let asked = get("/a");
    let service = server(move |_| {
        tell.send(Scope::current().unwrap()).unwrap();
        async { Ok(Response::new(Empty::<Bytes>::new())) }
    });
    let Ok(_) = service.oneshot(asked.request).await;
    let scope = told.recv().await.unwrap();
    let (line_before, span_before) = (line(&asked.trace), span(&asked.trace));
    scope.cache_hit(true);
    scope.route("/late");
    scope.error_type("late");
    scope.attribute(KeyValue::new("late", true));
    assert_eq!((line(&asked.trace), span(&asked.trace)), (line_before, span_before));
    assert_eq!((scope.method(), scope.path(), scope.trace_id()), ("GET", "/a", asked.trace));
}

#[tokio::test]
async fn spans_within_a_request_are_its_children_also_while_the_body_is_read() {
    let asked = get("/a");
    let mut body = script([Step::Data("x")]);
    body.at_drop = Some(Box::new(|| drop(Span::internal("in_the_body", vec![]))));
    let mut body = Some(body);
    let service = server(move |_| {
        let body = body.take().unwrap();
        async {
            let span = Span::client("SELECT bookings", vec![KeyValue::new(names::DB_SYSTEM_NAME, "sqlite")]);
            span.fail("constraint", &std::io::Error::other("taken"));
            drop(span);
            Ok(Response::new(body))
        }
    });
    let Ok(response) = service.oneshot(asked.request).await;
    response.into_body().collect().await.unwrap();
    let spans = telemetry::testing::spans(&asked.trace);
    let named =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{spans:#?}"));
    let server = named("GET");
    for (name, kind) in [("SELECT bookings", "CLIENT"), ("in_the_body", "INTERNAL")] {
        assert_eq!(named(name).parent_id, server.span_id, "{name}");
        assert_eq!(named(name).kind, kind);
    }
    let statement = named("SELECT bookings");
    assert!(statement.failed);
    assert_eq!(statement.attributes["error.type"], "constraint");
    assert_eq!(statement.attributes["db.system.name"], "sqlite");
}

#[tokio::test]
async fn a_linked_root_is_a_trace_of_its_own() {
    let trace = serve("/a", |scope| {
        let root = Span::root_linked("revalidate", scope.span_context(), vec![]);
        let mut headers = http::HeaderMap::new();
        telemetry::inject(root.context(), &mut headers);
        let own = headers["traceparent"].to_str().unwrap().to_owned();
        assert!(own.ends_with("-03"), "a trace that begins here is random: {own}");
        assert_ne!(own[3..35], scope.trace_id());
        let kept_longer = root.context().clone();
        drop(root);
        let spans = telemetry::testing::spans(&own[3..35]);
        assert_eq!(spans.len(), 1, "the span has ended, whoever still holds its context");
        drop(kept_longer);
        assert_eq!(spans[0].links[0].0, scope.trace_id());
        assert_eq!(spans[0].parent_id, "0".repeat(16));
    })
    .await;
    assert_eq!(span(&trace).name, "GET");
}
