//! `tracing` events as log lines, and `tracing` spans as OpenTelemetry spans.
//!
//! Promises: a line that is written within a request carries its trace and span ids, its method and its path.
//! Refuses: an event's explicit parent (`parent: &span`): the current context decides.

use std::{error::Error, fmt, sync::Arc};

use opentelemetry::{Context, trace::TraceContextExt as _};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::filter_fn,
    layer::{self, SubscriberExt as _},
    registry::LookupSpan,
};

use crate::{
    Scope,
    exception::Exception,
    filter,
    line::{Lines, Reach},
    names,
    record::{Ids, Record},
};

/// What receives all that `tracing` says in this process.
pub(crate) fn subscriber(lines: Arc<Lines>, tracer: SdkTracer) -> impl Subscriber + Send + Sync {
    let filter = lines.filter.clone();
    Registry::default()
        .with(EventLines(lines).with_filter(filter))
        .with(spans(tracer).with_filter(filter_fn(filter::is_traced)))
}

/// Spans of application code. Location, thread and idle times cost more than a native span and say nothing that
/// the names do not; an event is a line, not a span event as well.
fn spans<S: Subscriber + for<'a> LookupSpan<'a>>(tracer: SdkTracer) -> impl Layer<S> {
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
}

/// Adds the request that is being served: its ids, its method and its path, unless the record has its own.
pub(crate) fn tell_request(record: &mut Record) {
    record.ids = Context::map_current(|context| {
        context.has_active_span().then(|| Ids::of(context.span().span_context())).flatten()
    });
    if let Some(scope) = Scope::current() {
        if !record.has(names::HTTP_REQUEST_METHOD) {
            record.text(names::HTTP_REQUEST_METHOD, scope.method());
        }
        if !record.has(names::URL_PATH) {
            record.text(names::URL_PATH, scope.path());
        }
    }
}

struct EventLines(Arc<Lines>);

impl<S: Subscriber> Layer<S> for EventLines {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let metadata = event.metadata();
        let mut record = self.0.record(*metadata.level(), metadata.target(), "".into());
        event.record(&mut Fields(&mut record));
        tell_request(&mut record);
        let reach = match filter::is_transport(metadata.target()) {
            true => Reach::StdoutOnly,
            false => Reach::Everywhere,
        };
        self.0.write(record, reach);
    }
}

/// Puts an event's fields into a record.
struct Fields<'a>(&'a mut Record);

impl Visit for Fields<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.bool(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.int(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.0.int(field.name(), value),
            // OTLP has no unsigned integers.
            Err(_) => self.0.text(field.name(), &value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match field.name().ends_with("_ms") {
            true => self.0.millis(field.name(), value),
            false => self.0.float(field.name(), value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.0.message = value.to_owned().into(),
            name => self.0.chosen_text(name, value),
        }
    }

    fn record_error(&mut self, _: &Field, value: &(dyn Error + 'static)) {
        let exception = Exception::of(value);
        self.0.text(names::EXCEPTION_TYPE, &exception.kind);
        self.0.text(names::EXCEPTION_MESSAGE, &exception.message);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.0.message = format!("{value:?}").into(),
            name => self.0.chosen_text(name, &format!("{value:?}")),
        }
    }
}
