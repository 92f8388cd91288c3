//! What is written is read back by the types that are made of OTLP's `.proto` files.

use super::*;
use crate::record::{Ids, Limits};
use opentelemetry::{
    InstrumentationScope,
    trace::{SpanKind, TraceFlags, TraceId},
};
use opentelemetry_proto::{
    tonic::{
        collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
        common::v1::{AnyValue, KeyValue as Attribute, any_value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    },
    transform::{common::tonic::Attributes, trace::tonic::group_spans_by_resource_and_scope},
};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use std::time::Duration;

fn resource() -> ResourceAttributesWithSchema {
    let attributes = Attributes::from([KeyValue::new("service.name", "cache")]);
    ResourceAttributesWithSchema { attributes, schema_url: Some("https://example.com/1".into()) }
}

fn place(nth: u8, is_remote: bool, state: &str) -> SpanContext {
    let (trace, span) = (TraceId::from_bytes([nth; 16]), SpanId::from_bytes([nth; 8]));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, is_remote, state.parse().expect("a state"))
}

fn at(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

/// Nothing that may be absent is there.
fn bare(scope: InstrumentationScope) -> SpanData {
    SpanData {
        span_context: place(1, false, ""),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "".into(),
        start_time: at(0),
        end_time: at(1),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope,
    }
}

/// Everything that may be there is.
fn full(scope: InstrumentationScope, kind: SpanKind, status: Status) -> SpanData {
    let attributes = vec![
        KeyValue::new("text", "v".repeat(300)),
        KeyValue::new("empty", ""),
        KeyValue::new("bool", false),
        KeyValue::new("int", -5_i64),
        KeyValue::new("float", 0.0),
        KeyValue::new("bools", Value::Array(vec![true, false].into())),
        KeyValue::new("ints", Value::Array(vec![1_i64, -1].into())),
        KeyValue::new("floats", Value::Array(vec![0.5].into())),
        KeyValue::new("texts", Value::Array(Array::String(vec!["a".into(), "".into()]))),
    ];
    let mut events = SpanEvents::default();
    events.events = vec![Event::new("event", at(3), attributes.clone(), 4)];
    events.dropped_count = 5;
    let mut links = SpanLinks::default();
    let link = |nth, is_remote, state| Link::new(place(nth, is_remote, state), attributes.clone(), 6);
    links.links = vec![link(2, true, "a=1"), link(3, false, "")];
    links.dropped_count = 7;
    SpanData {
        span_context: place(4, false, "a=1,b=2"),
        parent_span_id: SpanId::from_bytes([5; 8]),
        parent_span_is_remote: true,
        span_kind: kind,
        name: "GET /a".into(),
        end_time: SystemTime::now(),
        attributes: attributes.clone(),
        dropped_attributes_count: 300,
        events,
        links,
        status,
        ..bare(scope)
    }
}

#[test]
fn spans_are_read_as_opentelemetrys_own_messages() {
    let own = InstrumentationScope::builder("own").build();
    let other = InstrumentationScope::builder("other")
        .with_version("1")
        .with_schema_url("https://example.com/2")
        .with_attributes([KeyValue::new("a", 1_i64)])
        .build();
    let failed = Status::error("it failed");
    let list = vec![
        bare(own.clone()),
        full(other, SpanKind::Server, failed),
        full(own.clone(), SpanKind::Client, Status::Ok),
        full(own.clone(), SpanKind::Producer, Status::error("")),
        full(own, SpanKind::Consumer, Status::Unset),
    ];
    let batch = spans(&list, &resource(), usize::MAX);
    let resource_spans = group_spans_by_resource_and_scope(list, &resource());
    let found = ExportTraceServiceRequest::decode(batch.message);
    assert_eq!((found, batch.items), (Ok(ExportTraceServiceRequest { resource_spans }), 5));
}

#[test]
fn texts_of_spans_are_cut_between_two_characters() {
    let mut span = bare(InstrumentationScope::default());
    span.attributes = vec![KeyValue::new("long", "äääää"), KeyValue::new("short", "ää")];
    let batch = spans(&[span], &resource(), 5);
    let found = ExportTraceServiceRequest::decode(batch.message).expect("a message");
    let texts = found.resource_spans[0].scope_spans[0].spans[0].attributes.iter();
    let texts: Vec<_> = texts.map(|attribute| attribute.value.clone()).collect();
    let text = |text: &str| Some(AnyValue { value: Some(any_value::Value::StringValue(text.into())) });
    assert_eq!(texts, [text("ää"), text("ää")]);
}

#[test]
fn lines_are_read_as_they_were_recorded() {
    let record =
        |number, level, logger| Record::new((at(9), number), level, logger, "said".into(), Limits::default());
    let (bare, mut full) = (record(10, Level::INFO, "a"), record(11, Level::ERROR, "b"));
    full.ids = Ids::of(&place(1, false, ""));
    full.dropped_fields = 300;
    full.bool("cache_hit", false);
    full.int("status", -1);
    full.float("own", 0.5);
    full.millis("duration_ms", 1.25);
    full.text("path", "");

    let attribute = |key: &str, value| Attribute {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        key_strindex: 0,
    };
    use any_value::Value::{BoolValue, DoubleValue, IntValue, StringValue};
    let expected = |level: Level, severity: SeverityNumber, attributes| LogRecord {
        time_unix_nano: 9,
        observed_time_unix_nano: 9,
        severity_number: severity.into(),
        severity_text: level.to_string(),
        body: Some(AnyValue { value: Some(StringValue("said".into())) }),
        attributes,
        ..Default::default()
    };
    let uid = |text: &str| attribute("log.record.uid", StringValue(text.into()));
    let quiet = expected(Level::INFO, SeverityNumber::Info, vec![uid("id-a")]);
    let fields = vec![
        attribute("throughline.cache_hit", BoolValue(false)),
        attribute("http.response.status_code", IntValue(-1)),
        attribute("throughline.own", DoubleValue(0.5)),
        attribute(&wire_name("duration_ms"), DoubleValue(1.25)),
        attribute("url.path", StringValue(String::new())),
        uid("id-b"),
    ];
    let loud = LogRecord {
        dropped_attributes_count: 300,
        flags: 1,
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        ..expected(Level::ERROR, SeverityNumber::Error, fields)
    };
    let scope = |name: &str, log_records| ScopeLogs {
        scope: Some(ScopeMessage { name: name.into(), ..Default::default() }),
        log_records,
        schema_url: String::new(),
    };
    let (bare, full) = (Arc::new(bare), Arc::new(full));
    let batch = lines(&[Arc::clone(&bare), full, bare], &resource(), "id");
    let resource = Resource { attributes: resource().attributes.0, ..Default::default() };
    let resource_logs = vec![ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![scope("a", vec![quiet.clone(), quiet]), scope("b", vec![loud])],
        schema_url: "https://example.com/1".into(),
    }];
    let found = ExportLogsServiceRequest::decode(batch.message);
    assert_eq!((found, batch.items), (Ok(ExportLogsServiceRequest { resource_logs }), 3));
}
