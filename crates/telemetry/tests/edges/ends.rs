//! How a request ends: once, and told as what it was.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty, Full};
use serde_json::json;
use telemetry::Scope;
use tower::ServiceExt as _;

use crate::fixture::{Step, answer, asked, frame, get, goes_on, line, once, script, server, span};

/// What span and line say of an end: (status on the span, on the line, `error.type` of both, span failed, level).
fn check(trace: &str, expected: (Option<&str>, u16, Option<&str>, bool, &str)) {
    let (span, line) = (span(trace), line(trace));
    let (span_status, line_status, error_type, failed, level) = expected;
    assert_eq!(
        span.attributes.get("http.response.status_code").map(String::as_str),
        span_status,
        "{span:#?}"
    );
    assert_eq!(span.attributes.get("error.type").map(String::as_str), error_type, "{span:#?}");
    assert_eq!(span.failed, failed, "{span:#?}");
    assert_eq!(line["status"], line_status, "{line:#}");
    assert_eq!(line.get("error.type").and_then(|kind| kind.as_str()), error_type, "{line:#}");
    assert_eq!(line["level"], level, "{line:#}");
    assert_eq!(line["message"], "request");
    assert_eq!(line["logger"], "cache::request");
    assert_eq!(line["span_id"], span.span_id);
}

#[tokio::test]
async fn a_whole_answer_ends_with_its_last_frame() {
    let asked = get("/a");
    let body = script([Step::Data("ab"), Step::Data("c")]);
    let mut body = answer(asked.request, Response::new(body)).await.into_body();
    assert_eq!(frame(&mut body).await.unwrap().unwrap().into_data().unwrap(), "ab");
    assert_eq!(frame(&mut body).await.unwrap().unwrap().into_data().unwrap(), "c");
    assert!(goes_on(&asked.trace), "the reader has not been told the end");
    assert!(frame(&mut body).await.is_none());
    check(&asked.trace, (Some("200"), 200, None, false, "INFO"));
    drop(body);
    check(&asked.trace, (Some("200"), 200, None, false, "INFO"));
}

#[tokio::test]
async fn an_answer_that_says_its_end_ends_with_its_last_data() {
    let asked = get("/a");
    let mut body = script([Step::Data("ab")]);
    body.says_its_end = true;
    let mut body = answer(asked.request, Response::new(body)).await.into_body();
    assert!(goes_on(&asked.trace));
    frame(&mut body).await.unwrap().unwrap();
    assert!(body.is_end_stream());
    check(&asked.trace, (Some("200"), 200, None, false, "INFO"));
    assert!(frame(&mut body).await.is_none(), "what has ended stays at its end");
}

#[tokio::test]
async fn trailers_belong_to_the_answer() {
    let asked = get("/a");
    let body = script([Step::Data("ab"), Step::Trailers]);
    let mut body = answer(asked.request, Response::new(body)).await.into_body();
    frame(&mut body).await.unwrap().unwrap();
    assert!(frame(&mut body).await.unwrap().unwrap().is_trailers());
    assert!(goes_on(&asked.trace));
    assert!(frame(&mut body).await.is_none());
    check(&asked.trace, (Some("200"), 200, None, false, "INFO"));
}

#[tokio::test]
async fn an_answer_without_a_body_ends_with_its_head() {
    let unread = || {
        let mut body = script([Step::Data("never read")]);
        body.length = Some(10);
        body
    };
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let asked = asked(method, "/a");
        let response = Response::builder().status(status).body(unread()).unwrap();
        let response = answer(asked.request, response).await;
        check(&asked.trace, (Some(&status.to_string()), status, None, false, "INFO"));
        let mut body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(10), "a HEAD's Content-Length is still to be had");
        assert!(frame(&mut body).await.is_none());
        drop(body);
        check(&asked.trace, (Some(&status.to_string()), status, None, false, "INFO"));
    }
    let asked = get("/a");
    let response = answer(asked.request, Response::new(Empty::<Bytes>::new())).await;
    check(&asked.trace, (Some("200"), 200, None, false, "INFO"));
    drop(response);
}

#[tokio::test]
async fn a_server_error_is_a_failure_and_a_client_error_is_none() {
    for (status, expected) in [
        (500, (Some("500"), 500, Some("500"), true, "ERROR")),
        (503, (Some("503"), 503, Some("503"), true, "ERROR")),
        (404, (Some("404"), 404, None, false, "INFO")),
    ] {
        let asked = get("/a");
        let response = Response::builder().status(status).body(Full::<Bytes>::from("x")).unwrap();
        answer(asked.request, response).await.into_body().collect().await.unwrap();
        check(&asked.trace, expected);
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_a_failure_of_ours() {
    let asked = get("/a");
    let body = script([Step::Data("ab"), Step::Fail]);
    let mut body = answer(asked.request, Response::new(body)).await.into_body();
    frame(&mut body).await.unwrap().unwrap();
    assert!(frame(&mut body).await.unwrap().is_err());
    check(&asked.trace, (Some("200"), 200, Some("response_body"), true, "ERROR"));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_499() {
    let asked = get("/a");
    let service = server(|_| std::future::pending::<Result<Response<Empty<Bytes>>, _>>());
    let mut future = Box::pin(service.oneshot(asked.request));
    assert!(once(|cx| future.as_mut().poll(cx)).is_pending());
    assert!(goes_on(&asked.trace));
    drop(future);
    check(&asked.trace, (None, 499, Some("client_closed"), false, "INFO"));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_poll_is_499() {
    let asked = get("/a");
    let mut service = server(|_| std::future::pending::<Result<Response<Empty<Bytes>>, _>>());
    drop(tower::Service::call(&mut service, asked.request));
    check(&asked.trace, (None, 499, Some("client_closed"), false, "INFO"));
}

#[tokio::test]
async fn a_client_that_leaves_during_the_body_has_the_status_that_went_out() {
    for steps in [vec![], vec![Step::Data("ab"), Step::Stall]] {
        let asked = get("/a");
        let reads = steps.len();
        let mut steps = script(steps);
        steps.length = Some(10);
        let mut body = answer(asked.request, Response::new(steps)).await.into_body();
        for _ in 0..reads {
            let _ = once(|cx| pin!(&mut body).poll_frame(cx));
        }
        assert!(goes_on(&asked.trace));
        drop(body);
        check(&asked.trace, (Some("200"), 200, Some("client_closed"), false, "INFO"));
    }
}

#[tokio::test]
async fn a_body_dropped_after_its_declared_length_is_whole() {
    for by_header in [true, false] {
        let asked = get("/a");
        let mut body = script([Step::Data("ab"), Step::Data("cd"), Step::Stall]);
        let mut response = Response::builder();
        if by_header {
            response = response.header("content-length", "4");
        } else {
            body.length = Some(4);
        }
        let mut body = answer(asked.request, response.body(body).unwrap()).await.into_body();
        frame(&mut body).await.unwrap().unwrap();
        frame(&mut body).await.unwrap().unwrap();
        drop(body);
        check(&asked.trace, (Some("200"), 200, None, false, "INFO"));
    }
}

#[tokio::test]
async fn a_panic_is_answered_500() {
    let within = server(|request: http::Request<()>| async move {
        assert_ne!(request.uri().path(), "/a", "the handler's own fault");
        Ok(Response::new(Empty::<Bytes>::new()))
    });
    let asked = get("/a");
    let Ok(response) = within.oneshot(asked.request).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["x-trace-id"], asked.trace);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["trace_id"], asked.trace);
    assert_eq!(problem["status"], 500);
    ended_by_panic(&asked.trace, 500);
}

#[tokio::test]
async fn a_panic_before_there_is_a_future_is_answered_500() {
    #[allow(
        unreachable_code,
        reason = "the panic comes before the future, whose type must be known all the same"
    )]
    let mut service = server(|_: http::Request<()>| {
        panic!("the handler's own fault");
        std::future::ready(Ok(Response::new(Empty::<Bytes>::new())))
    });
    let asked = get("/a");
    let Ok(response) = tower::Service::call(&mut service, asked.request).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    response.into_body().collect().await.unwrap();
    ended_by_panic(&asked.trace, 500);
}

#[tokio::test]
async fn a_bodys_panic_goes_on_after_the_request_has_ended() {
    let asked = get("/a");
    let mut body = answer(asked.request, Response::new(script([Step::Panic]))).await.into_body();
    let panic = catch_unwind(AssertUnwindSafe(|| once(|cx| pin!(&mut body).poll_frame(cx))));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"a body's own fault"));
    ended_by_panic(&asked.trace, 200);
}

/// The panic hook, where it is installed, has a line of its own.
fn ended_by_panic(trace: &str, status: u16) {
    let span = span(trace);
    assert_eq!(span.attributes["error.type"], "panic");
    assert!(span.failed);
    let lines = telemetry::testing::lines(trace);
    let requests: Vec<_> = lines.iter().filter(|line| line["message"] == "request").collect();
    assert_eq!(requests.len(), 1, "{lines:#?}");
    assert_eq!(requests[0]["level"], "ERROR");
    assert_eq!(requests[0]["status"], status);
    assert_eq!(requests[0]["error.type"], "panic");
}

#[tokio::test]
async fn what_the_inner_future_and_body_tell_when_dropped_is_in() {
    struct Tells;
    impl Drop for Tells {
        fn drop(&mut self) {
            Scope::current().expect("within the request").add_upstream(Duration::from_millis(7));
        }
    }
    let asked = get("/a");
    let service = server(|_| async {
        let _tells = Tells;
        std::future::pending::<Result<Response<Empty<Bytes>>, _>>().await
    });
    let mut future = Box::pin(service.oneshot(asked.request));
    assert!(once(|cx| future.as_mut().poll(cx)).is_pending());
    drop(future);
    // Not a proxy by its own word, so the time shows only on a proxy's line: see the body below.
    check(&asked.trace, (None, 499, Some("client_closed"), false, "INFO"));

    let asked = get("/a");
    let mut body = script([Step::Data("ab"), Step::Stall]);
    body.at_drop = Some(Box::new(|| {
        let scope = Scope::current().expect("within the request");
        scope.proxy();
        scope.add_upstream(Duration::from_millis(7));
    }));
    drop(answer(asked.request, Response::new(body)).await);
    assert_eq!(line(&asked.trace)["upstream_ms"], json!(7.0));
}

#[tokio::test]
async fn what_outlives_a_request_counts_in_it_up_to_its_end() {
    let asked = get("/a");
    let (hand_over, handed_over) = std::sync::mpsc::channel();
    let service = server(move |_| {
        let scope = Scope::current().expect("within the request");
        scope.proxy();
        scope.upstream_begins();
        scope.db_begins();
        hand_over.send(scope).expect("the test waits for it");
        std::future::pending::<Result<Response<Empty<Bytes>>, _>>()
    });
    let mut future = Box::pin(service.oneshot(asked.request));
    assert!(once(|cx| future.as_mut().poll(cx)).is_pending());
    let scope = handed_over.recv().expect("it was sent within the poll");
    // Long enough to be seen in milliseconds with three decimals.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1) {
        std::hint::spin_loop();
    }
    drop(future);
    scope.add_upstream(Duration::from_secs(60));
    scope.add_db(Duration::from_secs(60));
    let line = line(&asked.trace);
    let ms = |name: &str| line[name].as_f64().unwrap_or_default();
    let took = ms("response_time_ms");
    assert!((1.0..=took).contains(&ms("upstream_ms")) && (1.0..=took).contains(&ms("db_ms")), "{line}");
    assert!(ms("routing_ms") <= took - ms("upstream_ms") + 0.002, "{line}");
}

#[test]
fn the_layer_needs_no_runtime() {
    let asked = get("/a");
    let service = server(|_| async { Ok(Response::new(Empty::<Bytes>::new())) });
    let mut future = Box::pin(service.oneshot(asked.request));
    let Poll::Ready(Ok(response)) = once(|cx| future.as_mut().poll(cx)) else {
        panic!("nothing to wait for")
    };
    assert_eq!(response.status(), 200);
    check(&asked.trace, (Some("200"), 200, None, false, "INFO"));
}
