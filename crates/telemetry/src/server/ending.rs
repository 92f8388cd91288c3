//! How a request ends, exactly once: its span, its metrics and its line `request`.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use opentelemetry::{
    Context, ContextGuard, KeyValue, StringValue,
    trace::{Span as _, SpanContext, Status, TraceContextExt as _},
};
use tracing::Level;

use super::{ServerLayer, head};
use crate::{
    Scope, edge,
    instruments::{Active, SCHEME, SERVER_DURATION},
    line::{self, Line, Value},
    milliseconds, names, propagate,
    request::Told,
    traceparent,
    tracked::{BROKEN_BODY, Ending, Outcome, PANIC},
};

/// What is written as the status of a request whose client left before any header went out.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// `error.type` of a request whose client left early.
const CLIENT_CLOSED: &str = "client_closed";

/// A request that has begun. Dropped without an end, its client has left.
#[derive(Debug)]
pub(super) struct Running {
    service: &'static str,
    logger: &'static str,
    scope: Scope,
    context: Context,
    method: usize,
    version: &'static str,
    started_at: SystemTime,
    status: Option<StatusCode>,
    panicked: bool,
    active: Option<Active>,
}

impl Running {
    pub(super) fn new(
        layer: &ServerLayer,
        scope: Scope,
        method: usize,
        version: &'static str,
        started_at: SystemTime,
    ) -> Running {
        let context = Context::new().with_value(scope.clone()).with_remote_span_context(scope.span_context());
        Running {
            service: layer.service,
            logger: layer.logger,
            scope,
            context,
            method,
            version,
            started_at,
            status: None,
            panicked: false,
            active: Some(Active::begin(method)),
        }
    }

    /// The inner service panicked.
    pub(super) fn panicked(&mut self) {
        self.panicked = true;
    }

    /// The head went out.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(super) fn is_head(&self) -> bool {
        edge::METHODS[self.method] == "HEAD"
    }

    /// The value of `traceresponse`.
    pub(super) fn traceresponse(&self) -> [u8; traceparent::LENGTH] {
        let span = self.scope.own_span_context();
        traceparent::write(span, propagate::flags(&self.context, span))
    }

    /// This hop's entries of `Server-Timing`.
    pub(super) fn timing(&self) -> Vec<u8> {
        let (description, db) =
            self.scope.look(|told| (told.timing_description, told.db)).unwrap_or_default();
        head::timing(self.service, description, self.scope.elapsed(), db)
    }
}

impl Ending for Running {
    fn attach(&self) -> ContextGuard {
        self.context.clone().attach()
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(mut told) = self.scope.end() else { return };
        self.active = None;
        let elapsed = self.scope.elapsed();
        let outcome = if self.panicked { Outcome::Panicked } else { outcome };
        let verdict = verdict(self.status, outcome, told.error_type, told.refused);
        record_metrics(self, &told, &verdict, elapsed);
        finish_span(&mut told, self, &verdict, elapsed);
        write_line(self, &told, &verdict, elapsed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(Outcome::of_drop());
    }
}

/// What is said of a request that has ended.
#[derive(Debug, PartialEq)]
struct Verdict {
    /// As on the line; the span and the metrics have a status only if one went out.
    status: u16,
    error_type: Option<Cow<'static, str>>,
    /// The span's status is Error: we failed. A client that left is not our failure.
    is_failure: bool,
    level: Level,
}

fn verdict(
    status: Option<StatusCode>,
    outcome: Outcome,
    told: Option<&'static str>,
    is_refusal: bool,
) -> Verdict {
    let is_server_error = status.is_some_and(|status| status.is_server_error());
    let error_type = match outcome {
        Outcome::Panicked => Some(PANIC.into()),
        Outcome::Broken => Some(told.unwrap_or(BROKEN_BODY).into()),
        Outcome::Dropped if is_server_error && told.is_some() => told.map(Cow::from),
        Outcome::Dropped => Some(CLIENT_CLOSED.into()),
        Outcome::Complete => told
            .map(Cow::from)
            .or_else(|| status.filter(|_| is_server_error).map(|status| status.as_str().to_owned().into())),
    };
    let is_failure = is_server_error || matches!(outcome, Outcome::Panicked | Outcome::Broken);
    let level = match (is_refusal, is_failure) {
        (true, _) => Level::WARN,
        (false, true) => Level::ERROR,
        (false, false) => Level::INFO,
    };
    let status = status.map_or(CLIENT_CLOSED_REQUEST, |status| status.as_u16());
    Verdict { status, error_type, is_failure, level }
}

fn record_metrics(running: &Running, told: &Told, verdict: &Verdict, elapsed: Duration) {
    let mut labels = Vec::with_capacity(6);
    labels.push(KeyValue::new(names::HTTP_REQUEST_METHOD, edge::METHODS[running.method]));
    labels.push(KeyValue::new(names::URL_SCHEME, SCHEME));
    labels.push(KeyValue::new(names::NETWORK_PROTOCOL_VERSION, running.version));
    if running.status.is_some() {
        labels.push(KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, i64::from(verdict.status)));
    }
    if let Some(route) = &told.route {
        labels.push(KeyValue::new(names::HTTP_ROUTE, StringValue::from(route.clone())));
    }
    if let Some(kind) = &verdict.error_type {
        labels.push(KeyValue::new(names::ERROR_TYPE, kind.clone()));
    }
    SERVER_DURATION.record(elapsed.as_secs_f64(), &labels);
}

fn finish_span(told: &mut Told, running: &Running, verdict: &Verdict, elapsed: Duration) {
    let span = &mut told.span;
    if span.is_recording() {
        if running.status.is_some() {
            span.set_attribute(KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, i64::from(verdict.status)));
        }
        if let Some(route) = &told.route {
            span.update_name(format!("{} {route}", edge::span_word(running.method)));
            span.set_attribute(KeyValue::new(names::HTTP_ROUTE, StringValue::from(route.clone())));
        }
        if let Some(kind) = &verdict.error_type {
            span.set_attribute(KeyValue::new(names::ERROR_TYPE, kind.clone()));
        }
        if told.is_proxy {
            span.set_attribute(KeyValue::new(names::ATTEMPTS, told.attempts));
            span.set_attribute(KeyValue::new(names::QUEUE_MS, milliseconds(told.queue)));
        }
        if verdict.is_failure {
            let text =
                told.exception.as_ref().map_or_else(String::new, |exception| exception.message.clone());
            span.set_status(Status::error(text));
        }
    }
    span.end_with_timestamp(running.started_at + elapsed);
}

fn write_line(running: &Running, told: &Told, verdict: &Verdict, elapsed: Duration) {
    let logger = running.logger;
    if !line::enabled(verdict.level, logger) {
        return;
    }
    let mut fields = Vec::with_capacity(16);
    fields.push((names::HTTP_REQUEST_METHOD, Value::Text(running.scope.method())));
    fields.push((names::URL_PATH, Value::Text(running.scope.path())));
    fields.push((names::HTTP_RESPONSE_STATUS_CODE, Value::Int(verdict.status.into())));
    fields.push((names::RESPONSE_TIME_MS, Value::Millis(milliseconds(elapsed))));
    if let Some(route) = &told.route {
        fields.push((names::HTTP_ROUTE, Value::Text(route)));
    }
    if let Some(hit) = told.cache_hit {
        fields.push((names::CACHE_HIT, Value::Bool(hit)));
    }
    if told.is_proxy {
        let routing = elapsed.saturating_sub(told.queue + told.upstream);
        fields.push((names::ROUTING_MS, Value::Millis(milliseconds(routing))));
        fields.push((names::QUEUE_MS, Value::Millis(milliseconds(told.queue))));
        fields.push((names::UPSTREAM_MS, Value::Millis(milliseconds(told.upstream))));
        fields.push((names::ATTEMPTS, Value::Int(told.attempts)));
    }
    if let Some(replica) = &told.replica {
        fields.push((names::REPLICA, Value::Text(replica)));
    }
    if told.has_database || told.pool_wait.is_some() || told.db.is_some() {
        let (wait, time) = (told.pool_wait.unwrap_or_default(), told.db.unwrap_or_default());
        fields.push((names::POOL_WAIT_MS, Value::Millis(milliseconds(wait))));
        fields.push((names::DB_MS, Value::Millis(milliseconds(time))));
    }
    if let Some(kind) = &verdict.error_type {
        fields.push((names::ERROR_TYPE, Value::Text(kind)));
    }
    if let Some(exception) = &told.exception {
        fields.push((names::EXCEPTION_TYPE, Value::Text(&exception.kind)));
        fields.push((names::EXCEPTION_MESSAGE, Value::Text(&exception.message)));
    }
    let span: &SpanContext = running.scope.own_span_context();
    line::emit(&Line { level: verdict.level, logger, message: "request", span: Some(span), fields: &fields });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        status: u16,
        outcome: Outcome,
        told: Option<&'static str>,
        is_refusal: bool,
        expected: (u16, Option<&'static str>, bool, Level),
    ) {
        let (code, error_type, is_failure, level) = expected;
        let expected = Verdict { status: code, error_type: error_type.map(Cow::from), is_failure, level };
        assert_eq!(verdict(StatusCode::from_u16(status).ok(), outcome, told, is_refusal), expected);
    }

    #[test]
    fn every_end_has_its_verdict() {
        use Outcome::{Broken, Complete, Dropped, Panicked};
        const NO_HEAD: u16 = 0;
        check(200, Complete, None, false, (200, None, false, Level::INFO));
        check(404, Complete, None, false, (404, None, false, Level::INFO));
        check(404, Complete, Some("not_found"), false, (404, Some("not_found"), false, Level::INFO));
        check(500, Complete, None, false, (500, Some("500"), true, Level::ERROR));
        check(502, Complete, Some("connect"), false, (502, Some("connect"), true, Level::ERROR));
        check(503, Complete, Some("queue_full"), true, (503, Some("queue_full"), true, Level::WARN));
        check(429, Complete, None, true, (429, None, false, Level::WARN));
        check(200, Broken, None, false, (200, Some("response_body"), true, Level::ERROR));
        check(200, Broken, Some("upstream_body"), false, (200, Some("upstream_body"), true, Level::ERROR));
        check(200, Dropped, None, false, (200, Some("client_closed"), false, Level::INFO));
        check(200, Dropped, Some("timeout"), false, (200, Some("client_closed"), false, Level::INFO));
        check(504, Dropped, Some("timeout"), false, (504, Some("timeout"), true, Level::ERROR));
        check(NO_HEAD, Dropped, None, false, (499, Some("client_closed"), false, Level::INFO));
        check(500, Panicked, None, false, (500, Some("panic"), true, Level::ERROR));
        check(200, Panicked, Some("x"), false, (200, Some("panic"), true, Level::ERROR));
    }
}
