//! The layer around requests sent: one CLIENT span an attempt.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use telemetry::{Attempt, ClientBody, ClientLayer, ErrorType, testing::RecordedSpan};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::fixture::{Scripted, Step, frame, get, once, script, server};

#[derive(Debug, thiserror::Error)]
#[error("cannot connect")]
struct CannotConnect;

impl ErrorType for CannotConnect {
    fn error_type(&self) -> &'static str {
        "connect"
    }
}

fn request(uri: &str) -> Request<()> {
    Request::get(uri).header("host", "example.org").header("traceparent", "stale").body(()).unwrap()
}

fn attempt(resend_count: u32, retry_reason: Option<&'static str>) -> Attempt {
    Attempt {
        replica: Arc::from("replica-1:9000"),
        host: Arc::from("127.0.0.1"),
        port: 9000,
        resend_count,
        retry_reason,
    }
}

/// Sends one request from within a served one, whose handler goes on with the answer; returns the CLIENT span, its
/// parent's id, and the headers that were sent.
async fn send<F>(
    request: Request<()>,
    answer: impl FnOnce() -> Result<Response<Scripted>, CannotConnect> + 'static,
    read: impl FnOnce(Result<Response<ClientBody<Scripted>>, CannotConnect>) -> F,
) -> (RecordedSpan, String, HeaderMap)
where
    F: Future<Output = ()>,
{
    let asked = get("/outer");
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut parts = Some((request, answer, read));
    let service = server(move |_| {
        let (request, answer, read) = parts.take().expect("called once");
        let tell = tell.clone();
        let mut answer = Some(answer);
        async move {
            let client = ClientLayer.layer(service_fn(move |request: Request<()>| {
                tell.send(request.headers().clone()).unwrap();
                std::future::ready(answer.take().expect("called once")())
            }));
            read(client.oneshot(request).await).await;
            Ok(Response::new(Empty::<Bytes>::new()))
        }
    });
    let Ok(_) = service.oneshot(asked.request).await;
    let spans = telemetry::testing::spans(&asked.trace);
    let of_kind = |kind: &str| {
        let mut found = spans.iter().filter(|span| span.kind == kind);
        let span = found.next().unwrap_or_else(|| panic!("a {kind} span: {spans:#?}")).clone();
        assert!(found.next().is_none(), "one {kind} span: {spans:#?}");
        span
    };
    (of_kind("CLIENT"), of_kind("SERVER").span_id, told.recv().await.unwrap())
}

fn status(status: u16, body: Scripted) -> Result<Response<Scripted>, CannotConnect> {
    Ok(Response::builder().status(status).body(body).unwrap())
}

#[tokio::test]
async fn an_attempt_is_a_child_span_whose_trace_goes_on_in_the_headers() {
    let mut sent = request("/api?token=s3cr3t");
    sent.extensions_mut().insert(attempt(0, None));
    let whole = || status(200, script([Step::Data("ab")]));
    let (span, parent, headers) = send(sent, whole, |answer| async move {
        answer.unwrap().into_body().collect().await.unwrap();
    })
    .await;
    assert_eq!((span.name.as_str(), &span.parent_id), ("GET", &parent));
    let traceparent = headers["traceparent"].to_str().unwrap();
    assert_eq!(headers.get_all("traceparent").iter().count(), 1);
    assert!(traceparent.starts_with(&format!("00-{}-{}-", span.trace_id, span.span_id)), "{traceparent}");
    let expected = [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("server.address", "127.0.0.1"),
        ("server.port", "9000"),
        ("throughline.replica", "replica-1:9000"),
        ("url.full", "http://127.0.0.1:9000/api?token=REDACTED"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(span.attributes.into_iter().collect::<Vec<_>>(), expected);
    assert!(!span.failed);
}

#[tokio::test]
async fn a_further_attempt_says_why() {
    let mut sent = request("/");
    sent.extensions_mut().insert(attempt(1, Some("connect")));
    let whole = || status(200, script([]));
    let (span, ..) = send(sent, whole, |answer| async move {
        answer.unwrap().into_body().collect().await.unwrap();
    })
    .await;
    assert_eq!(span.attributes["http.request.resend_count"], "1");
    assert_eq!(span.attributes["throughline.retry_reason"], "connect");
}

#[tokio::test]
async fn without_an_attempt_the_request_says_where_it_goes() {
    let mut sent = request("https://user:s3cr3t@example.org/a");
    *sent.method_mut() = "PURGE".parse().unwrap();
    let whole = || status(200, script([]));
    let (span, ..) = send(sent, whole, |answer| async move {
        answer.unwrap().into_body().collect().await.unwrap();
    })
    .await;
    assert_eq!(span.name, "HTTP");
    assert_eq!(span.attributes["server.address"], "example.org");
    assert_eq!(span.attributes["server.port"], "443");
    assert_eq!(span.attributes["url.full"], "https://example.org:443/a");
    assert_eq!(span.attributes["http.request.method_original"], "PURGE");
}

#[tokio::test]
async fn an_error_status_is_an_error_for_whoever_asked() {
    for code in [404, 503] {
        let refused = move || status(code, script([]));
        let (span, ..) = send(request("/"), refused, |answer| async move {
            answer.unwrap().into_body().collect().await.unwrap();
        })
        .await;
        assert_eq!(span.attributes["error.type"], code.to_string());
        assert!(span.failed);
    }
}

#[tokio::test]
async fn an_attempt_without_an_answer_has_its_errors_kind() {
    let (span, ..) = send(
        request("/"),
        || Err(CannotConnect),
        |answer| async move {
            assert!(answer.is_err());
        },
    )
    .await;
    assert_eq!(span.attributes["error.type"], "connect");
    assert!(!span.attributes.contains_key("http.response.status_code"));
    assert!(span.failed);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let broken = || status(200, script([Step::Data("ab"), Step::Fail]));
    let (span, ..) = send(request("/"), broken, |answer| async move {
        assert!(answer.unwrap().into_body().collect().await.is_err());
    })
    .await;
    assert_eq!(span.attributes["error.type"], "response_body");
    assert_eq!(span.attributes["http.response.status_code"], "200");
}

#[tokio::test]
async fn an_answer_dropped_before_its_end_is_cancelled() {
    let stalling = || status(200, script([Step::Data("ab"), Step::Stall]));
    let (span, ..) = send(request("/"), stalling, |answer| async move {
        let mut body = answer.unwrap().into_body();
        frame(&mut body).await.unwrap().unwrap();
    })
    .await;
    assert_eq!(span.attributes["error.type"], "cancelled");
}

#[tokio::test]
async fn an_attempt_dropped_before_its_answer_is_cancelled() {
    let asked = get("/outer");
    let service = server(|_| async {
        let client = ClientLayer.layer(service_fn(|_: Request<()>| {
            std::future::pending::<Result<Response<Scripted>, CannotConnect>>()
        }));
        let mut future = pin!(client.oneshot(request("/")));
        assert!(once(|cx| future.as_mut().poll(cx)).is_pending());
        Ok(Response::new(Empty::<Bytes>::new()))
    });
    let Ok(_) = service.oneshot(asked.request).await;
    let spans = telemetry::testing::spans(&asked.trace);
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert_eq!(spans[0].attributes["error.type"], "cancelled");
}

#[tokio::test]
async fn an_attempt_that_panics_is_no_cancelled_one() {
    let asked = get("/outer");
    let service = server(|_| async {
        let client = ClientLayer.layer(service_fn(|_: Request<()>| async {
            panic!("the connector's own fault");
            #[allow(unreachable_code, reason = "says what would be answered")]
            status(200, script([]))
        }));
        drop(client.oneshot(request("/")).await);
        Ok(Response::new(Empty::<Bytes>::new()))
    });
    let Ok(response) = service.oneshot(asked.request).await;
    assert_eq!(response.status(), 500);
    let spans = telemetry::testing::spans(&asked.trace);
    assert_eq!((spans[0].kind, spans[0].attributes["error.type"].as_str()), ("CLIENT", "panic"));
}

#[tokio::test]
async fn outside_of_a_request_an_attempt_begins_a_random_trace() {
    telemetry::testing::capture();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let client = ClientLayer.layer(service_fn(move |request: Request<()>| {
        tell.send(request.headers()["traceparent"].to_str().unwrap().to_owned()).unwrap();
        std::future::ready(status(200, script([])))
    }));
    client.oneshot(request("/")).await.unwrap().into_body().collect().await.unwrap();
    let traceparent = told.recv().await.unwrap();
    assert!(traceparent.ends_with("-03"), "{traceparent}");
    assert_eq!(telemetry::testing::spans(&traceparent[3..35])[0].parent_id, "0".repeat(16));
}
