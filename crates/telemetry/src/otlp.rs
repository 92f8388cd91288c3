//! Spans, lines and metric points as OTLP messages: encoded once, on the exporting thread, and sent as often as needed.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use opentelemetry_proto::{
    tonic::{
        collector::{
            logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
            trace::v1::ExportTraceServiceRequest,
        },
        common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
        metrics::v1::{Metric, metric::Data},
        resource::v1::Resource,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use tracing::Level;

use crate::{
    names,
    record::{Datum, Record, wire_name},
};

/// A message on its way, and how many items it carries.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) message: Bytes,
    pub(crate) items: u64,
}

/// Texts longer than `value_length` bytes are cut off.
pub(crate) fn spans(
    spans: Vec<SpanData>,
    resource: &ResourceAttributesWithSchema,
    value_length: usize,
) -> Batch {
    let items = spans.len() as u64;
    let mut resource_spans = group_spans_by_resource_and_scope(spans, resource);
    if value_length < usize::MAX {
        let scopes = resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans);
        for span in scopes.flat_map(|scope| &mut scope.spans) {
            let events = span.events.iter_mut().map(|event| &mut event.attributes);
            let links = span.links.iter_mut().map(|link| &mut link.attributes);
            let attributes = std::iter::once(&mut span.attributes).chain(events).chain(links);
            attributes.flatten().for_each(|attribute| shorten(attribute, value_length));
        }
    }
    let message = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
    Batch { message, items }
}

/// `id` is the first half of every line's `uid`.
pub(crate) fn lines(records: &[Arc<Record>], resource: &ResourceAttributesWithSchema, id: &str) -> Batch {
    let mut scopes: Vec<ScopeLogs> = Vec::new();
    let mut by_logger: HashMap<&'static str, usize> = HashMap::new();
    for record in records {
        let scope = *by_logger.entry(record.logger).or_insert_with(|| {
            let name = record.logger.to_owned();
            let scope = Some(InstrumentationScope { name, ..Default::default() });
            scopes.push(ScopeLogs { scope, ..Default::default() });
            scopes.len() - 1
        });
        scopes[scope].log_records.push(line(record, id));
    }
    let resource_logs = vec![ResourceLogs {
        resource: Some(Resource { attributes: resource.attributes.0.clone(), ..Default::default() }),
        scope_logs: scopes,
        schema_url: String::new(),
    }];
    let message = ExportLogsServiceRequest { resource_logs }.encode_to_vec().into();
    Batch { message, items: records.len() as u64 }
}

/// None where nothing was collected.
pub(crate) fn metrics(request: &ExportMetricsServiceRequest) -> Option<Batch> {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let items = scopes.flat_map(|scope| &scope.metrics).map(points).sum();
    (items > 0).then(|| Batch { message: request.encode_to_vec().into(), items })
}

fn line(record: &Record, id: &str) -> LogRecord {
    let time = nanoseconds(record.time);
    let mut attributes: Vec<KeyValue> =
        record.fields().map(|(name, datum)| attribute(wire_name(name).into_owned(), datum)).collect();
    let uid = format!("{id}-{:x}", record.number);
    attributes.push(attribute(names::LOG_RECORD_UID.to_owned(), Datum::Text(&uid)));
    let (trace_id, span_id, flags) = match &record.ids {
        Some(ids) => {
            (ids.trace.to_bytes().to_vec(), ids.span.to_bytes().to_vec(), u32::from(ids.flags.to_u8()))
        }
        None => Default::default(),
    };
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: severity(record.level).into(),
        severity_text: record.level.as_str().to_owned(),
        body: Some(any(Datum::Text(&record.message))),
        attributes,
        dropped_attributes_count: record.dropped_fields,
        flags,
        trace_id,
        span_id,
        event_name: String::new(),
    }
}

fn attribute(key: String, datum: Datum<'_>) -> KeyValue {
    KeyValue { key, value: Some(any(datum)), ..Default::default() }
}

fn any(datum: Datum<'_>) -> AnyValue {
    let value = match datum {
        Datum::Bool(value) => any_value::Value::BoolValue(value),
        Datum::Int(value) => any_value::Value::IntValue(value),
        Datum::Float(value) | Datum::Millis(value) => any_value::Value::DoubleValue(value),
        Datum::Text(value) => any_value::Value::StringValue(value.to_owned()),
    };
    AnyValue { value: Some(value) }
}

fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::TRACE => SeverityNumber::Trace,
        Level::DEBUG => SeverityNumber::Debug,
        Level::INFO => SeverityNumber::Info,
        Level::WARN => SeverityNumber::Warn,
        Level::ERROR => SeverityNumber::Error,
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    // Before 1970 the clock was never set; after 2554 nanoseconds no longer fit the format.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn points(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    };
    points as u64
}

fn shorten(attribute: &mut KeyValue, length: usize) {
    let Some(AnyValue { value: Some(any_value::Value::StringValue(text)) }) = &mut attribute.value else {
        return;
    };
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}
