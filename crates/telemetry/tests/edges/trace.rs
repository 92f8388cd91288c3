//! Which trace a request belongs to, and what a stranger's word is worth.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Empty;
use telemetry::{Context, SpanContext, testing::spans};
use tower::ServiceExt as _;

use crate::fixture::{Asked, get, header, peer, server, span};

/// The trace the response names, and the headers that the handler saw.
async fn serve(request: Request<()>) -> (String, String, HeaderMap) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let service = server(move |request: Request<()>| {
        tell.send(request.headers().clone()).unwrap();
        async { Ok(Response::new(Empty::<Bytes>::new())) }
    });
    let Ok(response) = service.oneshot(request).await;
    let (trace, traceresponse) =
        (header(response.headers(), "x-trace-id"), header(response.headers(), "traceresponse"));
    (trace.to_owned(), traceresponse.to_owned(), told.recv().await.unwrap())
}

fn with(mut asked: Asked, headers: &[(&'static str, &str)]) -> Asked {
    for (name, value) in headers {
        asked.request.headers_mut().append(*name, value.parse().unwrap());
    }
    asked
}

#[tokio::test]
async fn a_believed_trace_goes_on() {
    let asked = with(get("/a"), &[("tracestate", "a=1"), ("tracestate", "b=2"), ("baggage", "k=v")]);
    let parent = header(asked.request.headers(), "traceparent")[36..52].to_owned();
    let (trace, _, seen) = serve(asked.request).await;
    assert_eq!(trace, asked.trace);
    let span = span(&trace);
    assert_eq!((span.kind, span.parent_id), ("SERVER", parent));
    assert_eq!(span.links, []);
    assert_eq!(seen["baggage"], "k=v");
}

#[tokio::test]
async fn a_strangers_trace_is_linked_and_a_new_one_begins() {
    for stranger in [Some(peer("192.0.2.1:1")), None] {
        let mut asked = with(get("/a"), &[("tracestate", "a=1"), ("baggage", "k=v")]);
        asked.request.extensions_mut().remove::<telemetry::Peer>();
        asked.request.extensions_mut().extend(
            stranger
                .map(|stranger| {
                    let mut extensions = http::Extensions::new();
                    extensions.insert(stranger);
                    extensions
                })
                .unwrap_or_default(),
        );
        let caller = header(asked.request.headers(), "traceparent")[36..52].to_owned();
        let (trace, traceresponse, seen) = serve(asked.request).await;
        assert_ne!(trace, asked.trace);
        assert!(traceresponse.ends_with("-03"), "sampled, and its id is random: {traceresponse}");
        let span = span(&trace);
        assert_eq!(span.parent_id, "0".repeat(16));
        assert_eq!(span.links, [(asked.trace.clone(), caller)]);
        assert_eq!(span.attributes["throughline.traceparent"], "untrusted");
        for name in ["traceparent", "tracestate", "baggage"] {
            assert!(!seen.contains_key(name), "{name}");
        }
        assert!(spans(&asked.trace).is_empty());
    }
}

#[tokio::test]
async fn a_malformed_trace_never_fails_a_request() {
    for value in ["", "nonsense", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
        let mut asked = with(get("/a"), &[("tracestate", "a=1"), ("baggage", "k=v")]);
        asked.request.headers_mut().insert("traceparent", value.parse().unwrap());
        let (trace, traceresponse, seen) = serve(asked.request).await;
        assert!(traceresponse.ends_with("-03"), "{traceresponse}");
        let span = span(&trace);
        assert_eq!(span.parent_id, "0".repeat(16));
        assert_eq!(span.links, []);
        assert_eq!(span.attributes["throughline.traceparent"], "malformed");
        assert!(!seen.contains_key("traceparent") && !seen.contains_key("tracestate"));
        assert_eq!(seen["baggage"], "k=v", "the peer is believed, only its traceparent is unreadable");
    }
}

#[tokio::test]
async fn the_flags_of_a_believed_trace_are_kept() {
    for flags in ["00", "01", "02", "03"] {
        let mut asked = get("/a");
        let value = format!("00-{}-b7ad6b7169203331-{flags}", asked.trace);
        asked.request.headers_mut().insert("traceparent", value.parse().unwrap());
        let (_, traceresponse, _) = serve(asked.request).await;
        assert!(traceresponse.ends_with(&format!("-{flags}")), "{traceresponse}");
        let is_sampled = flags.ends_with(['1', '3']);
        assert_eq!(spans(&asked.trace).len(), usize::from(is_sampled));
        assert_eq!(telemetry::testing::lines(&asked.trace).len(), 1, "lines do not depend on sampling");
    }
}

#[tokio::test]
async fn within_a_request_another_traces_flags_are_its_own() {
    use opentelemetry::trace::{TraceContextExt as _, TraceFlags};

    let mut asked = get("/a");
    asked.request.headers_mut().remove("traceparent");
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let service = server(move |_| {
        let other = SpanContext::new(7.into(), 8.into(), TraceFlags::SAMPLED, true, Default::default());
        for context in [Context::current(), Context::current().with_remote_span_context(other)] {
            let mut headers = HeaderMap::new();
            telemetry::inject(&context, &mut headers);
            tell.send(header(&headers, "traceparent")[52..].to_owned()).unwrap();
        }
        async { Ok(Response::new(Empty::<Bytes>::new())) }
    });
    let Ok(_) = service.oneshot(asked.request).await;
    assert_eq!(told.recv().await.as_deref(), Some("-03"), "a trace that began here is random");
    assert_eq!(told.recv().await.as_deref(), Some("-01"));
}

#[tokio::test]
async fn a_span_says_what_was_asked_by_the_letter_of_the_conventions() {
    let asked = with(
        get("/api/bookings?token=s3cr3t&limit=5"),
        &[("user-agent", "curl/8.5.0"), ("x-forwarded-for", "192.0.2.7")],
    );
    serve(asked.request).await;
    let span = span(&asked.trace);
    assert_eq!(span.name, "GET");
    let expected = [
        ("client.address", "192.0.2.7"),
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", "40000"),
        ("network.protocol.version", "1.1"),
        ("server.address", "localhost"),
        ("server.port", "8080"),
        ("url.path", "/api/bookings"),
        ("url.query", "token=REDACTED&limit=REDACTED"),
        ("url.scheme", "http"),
        ("user_agent.original", "curl/8.5.0"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(span.attributes.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_stranger_cannot_say_who_it_is() {
    let mut asked = with(get("/a"), &[("x-forwarded-for", "192.0.2.7")]);
    asked.request.extensions_mut().insert(peer("[2001:db8::1]:9"));
    let (trace, _, _) = serve(asked.request).await;
    assert_eq!(span(&trace).attributes["client.address"], "2001:db8::1");
}

#[tokio::test]
async fn an_unknown_method_is_one_of_many() {
    let asked = crate::fixture::asked("PURGE", "/a");
    serve(asked.request).await;
    let span = span(&asked.trace);
    assert_eq!(span.name, "HTTP");
    assert_eq!(span.attributes["http.request.method"], "_OTHER");
    assert_eq!(span.attributes["http.request.method_original"], "PURGE");
}

#[tokio::test]
async fn no_attribute_is_empty() {
    let mut asked = with(get("/a?"), &[("user-agent", "")]);
    asked.request.headers_mut().insert("host", "".parse().unwrap());
    serve(asked.request).await;
    let span = span(&asked.trace);
    assert!(span.attributes.values().all(|value| !value.is_empty()), "{span:#?}");
    for name in
        ["url.query", "user_agent.original", "server.address", "server.port", "http.route", "error.type"]
    {
        assert!(!span.attributes.contains_key(name), "{name}");
    }
}
