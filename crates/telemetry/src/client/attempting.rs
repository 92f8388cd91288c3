//! An attempt from its beginning to its end, as span and metrics.

use std::{
    borrow::Cow,
    fmt::Write as _,
    sync::Arc,
    time::{Instant, SystemTime},
};

use http::{Request, StatusCode, Version};
use opentelemetry::{
    Context, ContextGuard, KeyValue, StringValue,
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::trace::Span as SdkSpan;

use super::{Attempt, ErrorType, SecretTarget};
use crate::{
    edge,
    instruments::{CLIENT_DURATION, SCHEME},
    names, propagate,
    start::tracer,
    tracked::{self, BROKEN_BODY, Ending, Outcome, PANIC},
};

/// Attributes of most CLIENT spans, with those of their end: so many do not allocate twice.
const ATTRIBUTES: usize = 14;
/// `error.type` of an attempt that nobody waits for any more.
const CANCELLED: &str = "cancelled";

/// An attempt that has begun. Dropped without an end, it was cancelled.
#[derive(Debug)]
pub(super) struct Attempting {
    /// `None` once the attempt has ended.
    span: Option<SdkSpan>,
    context: Context,
    method: usize,
    server: Option<(StringValue, u16)>,
    started: Instant,
    started_at: SystemTime,
    answer: Option<(StatusCode, Version)>,
}

impl Attempting {
    pub(super) fn begin<B>(request: &Request<B>) -> Attempting {
        let attempt = request.extensions().get::<Attempt>();
        let method = edge::method(request.method());
        let server = server(attempt, request);
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let mut builder = SpanBuilder::from_name(edge::span_word(method))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes(attempt, request, server.as_ref()));
        builder.start_time = Some(started_at);

        let parent = Context::current();
        let span = tracer().build_with_context(builder, &parent);
        let mut context = parent.with_remote_span_context(span.span_context().clone());
        if !parent.span().span_context().is_valid() {
            context = propagate::begun_here(&context);
        }
        Attempting { span: Some(span), context, method, server, started, started_at, answer: None }
    }

    /// The context of this attempt's span.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// The answer's head came in.
    pub(super) fn answered(&mut self, status: StatusCode, version: Version) {
        self.answer = Some((status, version));
    }

    /// Whether the answer has a body to be read.
    pub(super) fn has_body(&self, status: StatusCode) -> bool {
        tracked::has_body(edge::METHODS[self.method] == "HEAD", status)
    }

    /// There is no answer.
    pub(super) fn failed(&mut self, error: &impl ErrorType) {
        self.end_with(Some(error.error_type().into()), &|| error.to_string());
    }

    fn end_with(&mut self, error_type: Option<Cow<'static, str>>, message: &dyn Fn() -> String) {
        let Some(mut span) = self.span.take() else { return };
        let elapsed = self.started.elapsed();
        self.record_metrics(error_type.as_ref(), elapsed.as_secs_f64());
        if span.is_recording() {
            if let Some((status, version)) = self.answer {
                span.set_attribute(KeyValue::new(
                    names::HTTP_RESPONSE_STATUS_CODE,
                    i64::from(status.as_u16()),
                ));
                span.set_attribute(KeyValue::new(names::NETWORK_PROTOCOL_VERSION, edge::version(version)));
            }
            if let Some(kind) = error_type {
                span.set_attribute(KeyValue::new(names::ERROR_TYPE, kind));
                span.set_status(Status::error(message()));
            }
        }
        span.end_with_timestamp(self.started_at + elapsed);
    }

    fn record_metrics(&self, error_type: Option<&Cow<'static, str>>, seconds: f64) {
        let mut labels = Vec::with_capacity(7);
        labels.push(KeyValue::new(names::HTTP_REQUEST_METHOD, edge::METHODS[self.method]));
        labels.push(KeyValue::new(names::URL_SCHEME, SCHEME));
        if let Some((host, port)) = &self.server {
            labels.push(KeyValue::new(names::SERVER_ADDRESS, host.clone()));
            labels.push(KeyValue::new(names::SERVER_PORT, i64::from(*port)));
        }
        if let Some((status, version)) = self.answer {
            labels.push(KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16())));
            labels.push(KeyValue::new(names::NETWORK_PROTOCOL_VERSION, edge::version(version)));
        }
        if let Some(kind) = error_type {
            labels.push(KeyValue::new(names::ERROR_TYPE, kind.clone()));
        }
        CLIENT_DURATION.record(seconds, &labels);
    }
}

impl Ending for Attempting {
    fn attach(&self) -> ContextGuard {
        self.context.clone().attach()
    }

    fn end(&mut self, outcome: Outcome) {
        let status = self.answer.map(|(status, _)| status);
        self.end_with(error_type(status, outcome), &String::new);
    }
}

impl Drop for Attempting {
    fn drop(&mut self) {
        self.end(Outcome::of_drop());
    }
}

/// For whoever sends a request, 4xx is an error as 5xx is (semantic conventions for HTTP clients).
fn error_type(status: Option<StatusCode>, outcome: Outcome) -> Option<Cow<'static, str>> {
    match outcome {
        Outcome::Panicked => Some(PANIC.into()),
        Outcome::Broken => Some(BROKEN_BODY.into()),
        Outcome::Complete | Outcome::Dropped => {
            let refused = status.filter(|status| status.is_client_error() || status.is_server_error());
            match refused {
                Some(status) => Some(status.as_str().to_owned().into()),
                None if outcome == Outcome::Dropped => Some(CANCELLED.into()),
                None => None,
            }
        }
    }
}

/// The replica's host and port; without an [`Attempt`], those that the request itself names.
fn server<B>(attempt: Option<&Attempt>, request: &Request<B>) -> Option<(StringValue, u16)> {
    if let Some(attempt) = attempt {
        return Some((attempt.host.clone().into(), attempt.port));
    }
    let (host, port) = edge::host(request.uri(), request.headers())?;
    let default = if request.uri().scheme_str() == Some("https") { 443 } else { 80 };
    Some((Arc::<str>::from(host).into(), port.unwrap_or(default)))
}

fn attributes<B>(
    attempt: Option<&Attempt>,
    request: &Request<B>,
    server: Option<&(StringValue, u16)>,
) -> Vec<KeyValue> {
    let mut list = Vec::with_capacity(ATTRIBUTES);
    let mut add = |name, value: opentelemetry::Value| list.push(KeyValue::new(name, value));
    add(names::HTTP_REQUEST_METHOD, edge::METHODS[edge::method(request.method())].into());
    if let Some(original) = edge::method_original(request.method()) {
        add(names::HTTP_REQUEST_METHOD_ORIGINAL, original.into());
    }
    if let Some((host, port)) = server {
        add(names::SERVER_ADDRESS, host.clone().into());
        add(names::SERVER_PORT, i64::from(*port).into());
        add(names::URL_FULL, full_url(request, host.as_str(), *port).into());
    }
    if let Some(attempt) = attempt {
        add(names::REPLICA, StringValue::from(attempt.replica.clone()).into());
        if attempt.resend_count > 0 {
            add(names::HTTP_REQUEST_RESEND_COUNT, i64::from(attempt.resend_count).into());
        }
        if let Some(reason) = attempt.retry_reason {
            add(names::RETRY_REASON, reason.into());
        }
    }
    list
}

/// Where the request goes, without user information and without the query's values, or all of its target where that is secret.
fn full_url<B>(request: &Request<B>, host: &str, port: u16) -> String {
    let uri = request.uri();
    let is_secret = request.extensions().get::<SecretTarget>().is_some();
    let (path, query) =
        if is_secret { ("/REDACTED".into(), None) } else { (edge::path(uri), edge::query(uri)) };
    let mut text =
        String::with_capacity(20 + host.len() + path.len() + query.as_ref().map_or(0, String::len));
    text.extend([uri.scheme_str().unwrap_or(SCHEME), "://"]);
    if host.contains(':') {
        text.extend(["[", host, "]"]);
    } else {
        text.push_str(host);
    }
    write!(text, ":{port}{path}").expect("a String takes every text");
    if let Some(query) = query {
        text.extend(["?", &query]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_error_type() {
        use Outcome::{Broken, Complete, Dropped, Panicked};
        let table = [
            (Some(200), Complete, None),
            (Some(304), Complete, None),
            (Some(404), Complete, Some("404")),
            (Some(503), Complete, Some("503")),
            (Some(503), Dropped, Some("503")),
            (Some(200), Dropped, Some("cancelled")),
            (None, Dropped, Some("cancelled")),
            (Some(200), Broken, Some("response_body")),
            (Some(500), Broken, Some("response_body")),
            (Some(200), Panicked, Some("panic")),
        ];
        for (status, outcome, expected) in table {
            let status = status.map(|code| StatusCode::from_u16(code).unwrap());
            assert_eq!(error_type(status, outcome).as_deref(), expected, "{status:?} {outcome:?}");
        }
    }

    #[test]
    fn a_full_url_shows_no_secret() {
        let table = [
            ("/a?key=s3cret&x", "127.0.0.1", "http://127.0.0.1:9000/a?key=REDACTED&REDACTED"),
            ("http://user:s3cret@example.org/a", "example.org", "http://example.org:9000/a"),
            ("/", "::1", "http://[::1]:9000/"),
        ];
        for (uri, host, expected) in table {
            let mut request = Request::get(uri).body(()).unwrap();
            assert_eq!(full_url(&request, host, 9000), expected);
            request.extensions_mut().insert(SecretTarget);
            let hidden = full_url(&request, host, 9000);
            assert!(hidden.ends_with(":9000/REDACTED"), "{hidden}");
        }
    }
}
