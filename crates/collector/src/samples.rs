//! Requests for tests: one of each signal with every member set and every kind of value, beside empty ones.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{
        AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};

pub(crate) const TRACE: [u8; 16] =
    [0x5b, 0x8e, 0xff, 0xf7, 0x98, 3, 0x81, 3, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c];
pub(crate) const SPAN: [u8; 8] = [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74];
/// 2026-11-21T22:26:40.123456789Z
pub(crate) const TIME: u64 = 1_795_300_000_123_456_789;

pub(crate) fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

pub(crate) fn text(text: &str) -> AnyValue {
    value(Value::StringValue(text.to_owned()))
}

pub(crate) fn map(entries: Vec<KeyValue>) -> AnyValue {
    value(Value::KvlistValue(KeyValueList { values: entries }))
}

pub(crate) fn array(values: Vec<AnyValue>) -> AnyValue {
    value(Value::ArrayValue(ArrayValue { values }))
}

pub(crate) fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// One attribute of every kind.
pub(crate) fn attributes() -> Vec<KeyValue> {
    vec![
        attribute("text", text("two\nlines")),
        attribute("yes", value(Value::BoolValue(true))),
        attribute("no", value(Value::BoolValue(false))),
        attribute("integer", value(Value::IntValue(i64::MIN))),
        attribute("double", value(Value::DoubleValue(1.25))),
        attribute("array", array(vec![text(""), value(Value::IntValue(0)), AnyValue::default()])),
        attribute("map", map(vec![attribute("z", text("last")), attribute("a", array(vec![]))])),
        attribute("bytes", value(Value::BytesValue(vec![0, 255, 16]))),
        attribute("empty", AnyValue::default()),
        KeyValue { key: "none".to_owned(), ..KeyValue::default() },
        attribute("", text("no key")),
    ]
}

pub(crate) fn resource() -> Resource {
    Resource {
        attributes: vec![
            attribute("service.name", text("load_balancer")),
            attribute("service.instance.id", text("lb-1")),
        ],
        dropped_attributes_count: 1,
        entity_refs: vec![EntityRef {
            schema_url: "https://opentelemetry.io/schemas/1.37.0".to_owned(),
            r#type: "service".to_owned(),
            id_keys: vec!["service.name".to_owned()],
            description_keys: vec!["service.version".to_owned()],
        }],
    }
}

pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "load_balancer::proxy".to_owned(),
        version: "0.1.0".to_owned(),
        attributes: vec![attribute("scoped", text("yes"))],
        dropped_attributes_count: 2,
    }
}

fn full_span() -> Span {
    Span {
        trace_id: TRACE.to_vec(),
        span_id: SPAN.to_vec(),
        trace_state: "a=1".to_owned(),
        parent_span_id: vec![1; 8],
        flags: 0x103,
        name: "GET /api/bookings/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: TIME,
        end_time_unix_nano: u64::MAX,
        attributes: attributes(),
        dropped_attributes_count: 3,
        events: vec![
            Event {
                time_unix_nano: TIME,
                name: "exception".to_owned(),
                attributes: vec![attribute("exception.type", text("io"))],
                dropped_attributes_count: 4,
            },
            Event::default(),
        ],
        dropped_events_count: 5,
        links: vec![
            Link {
                trace_id: TRACE.to_vec(),
                span_id: SPAN.to_vec(),
                trace_state: "b=2".to_owned(),
                attributes: vec![attribute("why", text("filled by"))],
                dropped_attributes_count: 6,
                flags: 1,
            },
            Link::default(),
        ],
        dropped_links_count: 7,
        status: Some(Status { message: "it broke".to_owned(), code: 2 }),
    }
}

/// Of these spans.
pub(crate) fn traces_of(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = ScopeSpans { scope: Some(scope()), spans, schema_url: "inner".to_owned() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![scope_spans],
            schema_url: "outer".to_owned(),
        }],
    }
}

pub(crate) fn traces() -> ExportTraceServiceRequest {
    let mut request = traces_of(vec![full_span(), Span { trace_id: vec![0; 16], ..Span::default() }]);
    request
        .resource_spans
        .push(ResourceSpans { scope_spans: vec![ScopeSpans::default()], ..ResourceSpans::default() });
    request
}

/// Of these records.
pub(crate) fn logs_of(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![scope_logs],
            ..ResourceLogs::default()
        }],
    }
}

/// A record as this system sends it.
pub(crate) fn record() -> LogRecord {
    LogRecord {
        time_unix_nano: TIME,
        observed_time_unix_nano: TIME + 1,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(text("request")),
        attributes: vec![
            attribute("http.request.method", text("GET")),
            attribute("url.path", text("/api/bookings")),
            attribute("http.response.status_code", value(Value::IntValue(200))),
            attribute("log.record.uid", text("9f3c2a71d04be856-1a")),
            attribute("throughline.response_time_ms", value(Value::DoubleValue(1.25))),
            attribute("throughline.cache_hit", value(Value::BoolValue(true))),
            attribute("error.type", text("none")),
        ],
        trace_id: TRACE.to_vec(),
        span_id: SPAN.to_vec(),
        flags: 1,
        ..LogRecord::default()
    }
}

fn exemplar(value: exemplar::Value) -> Exemplar {
    Exemplar {
        filtered_attributes: vec![attribute("filtered", text("yes"))],
        time_unix_nano: TIME,
        span_id: SPAN.to_vec(),
        trace_id: TRACE.to_vec(),
        value: Some(value),
    }
}

fn number_point(value: number_data_point::Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![attribute("host", text("a"))],
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + 1,
        exemplars: vec![exemplar(exemplar::Value::AsInt(-3)), Exemplar::default()],
        flags: 1,
        value: Some(value),
    }
}

fn histogram() -> Histogram {
    let full = HistogramDataPoint {
        attributes: vec![attribute("host", text("a"))],
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + 1,
        count: 3,
        sum: Some(0.0),
        bucket_counts: vec![1, 0, 2],
        explicit_bounds: vec![0.005, 10.0],
        exemplars: vec![exemplar(exemplar::Value::AsDouble(0.25))],
        flags: 1,
        min: Some(1e-7),
        max: Some(f64::INFINITY),
    };
    Histogram { data_points: vec![full, HistogramDataPoint::default()], aggregation_temporality: 2 }
}

fn exponential_histogram() -> ExponentialHistogram {
    let full = ExponentialHistogramDataPoint {
        attributes: vec![attribute("host", text("a"))],
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + 1,
        count: 3,
        sum: Some(4.5),
        scale: -2,
        zero_count: 1,
        positive: Some(Buckets { offset: -1, bucket_counts: vec![2, 0] }),
        negative: Some(Buckets::default()),
        flags: 1,
        exemplars: vec![exemplar(exemplar::Value::AsDouble(2.0))],
        min: Some(0.5),
        max: Some(2.5),
        zero_threshold: 0.001,
    };
    ExponentialHistogram {
        data_points: vec![full, ExponentialHistogramDataPoint::default()],
        aggregation_temporality: 1,
    }
}

fn summary() -> Summary {
    let full = SummaryDataPoint {
        attributes: vec![attribute("host", text("a"))],
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + 1,
        count: 2,
        sum: 3.5,
        quantile_values: vec![
            ValueAtQuantile { quantile: 0.0, value: 1.0 },
            ValueAtQuantile { quantile: 0.99, value: 0.0 },
        ],
        flags: 1,
    };
    Summary { data_points: vec![full, SummaryDataPoint::default()] }
}

pub(crate) fn metrics() -> ExportMetricsServiceRequest {
    let sum = Sum {
        data_points: vec![number_point(number_data_point::Value::AsInt(0)), NumberDataPoint::default()],
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    let gauge = Gauge { data_points: vec![number_point(number_data_point::Value::AsDouble(-0.5))] };
    let metric = |name: &str, data| Metric { name: name.to_owned(), data: Some(data), ..Metric::default() };
    let described = Metric {
        description: "How full".to_owned(),
        unit: "1".to_owned(),
        metadata: vec![attribute("meta", text("data"))],
        ..metric("gauge", Data::Gauge(gauge))
    };
    let metrics = vec![
        described,
        metric("sum", Data::Sum(sum)),
        metric("histogram", Data::Histogram(histogram())),
        metric("exponential", Data::ExponentialHistogram(exponential_histogram())),
        metric("summary", Data::Summary(summary())),
        Metric::default(),
    ];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics,
                schema_url: "inner".to_owned(),
            }],
            schema_url: "outer".to_owned(),
        }],
    }
}
