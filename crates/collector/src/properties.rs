//! Whatever decodes is written as lines that are JSON and hold no control character.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    trace::v1::{Span, Status, span::Event},
};
use proptest::prelude::*;
use prost::Message as _;

use crate::{
    samples,
    signal::{Logs, Metrics, Signal, Traces},
};

/// Texts with more of what has to be escaped than chance would bring.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        any::<char>(),
        (0_u32..0xa1).prop_map(|code| char::from_u32(code).unwrap()),
        prop::sample::select(vec!['"', '\\', '\u{2028}', '\u{2029}', 'ü', '¿', '…', '=', ' ']),
    ];
    prop_oneof![
        prop::collection::vec(character, 0..12).prop_map(String::from_iter),
        prop::sample::select(vec!["password", "token=x", "throughline.a", "url.path", "message", "level"])
            .prop_map(str::to_owned),
    ]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(AnyValue::default()),
        text().prop_map(|text| samples::text(&text)),
        any::<bool>().prop_map(|value| samples::value(Value::BoolValue(value))),
        any::<i64>().prop_map(|value| samples::value(Value::IntValue(value))),
        any::<f64>().prop_map(|value| samples::value(Value::DoubleValue(value))),
        any::<Vec<u8>>().prop_map(|value| samples::value(Value::BytesValue(value))),
        any::<i32>().prop_map(|value| samples::value(Value::StringValueStrindex(value))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(samples::array),
            prop::collection::vec(attribute_of(inner), 0..4).prop_map(samples::map),
        ]
    })
}

fn attribute_of(value: impl Strategy<Value = AnyValue>) -> impl Strategy<Value = KeyValue> {
    (text(), prop::option::of(value)).prop_map(|(key, value)| KeyValue { key, value, ..KeyValue::default() })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::vec(attribute_of(any_value()), 0..5)
}

prop_compose! {
    fn record()(
        times in any::<(u64, u64)>(),
        severity_text in text(),
        body in prop::option::of(any_value()),
        attributes in attributes(),
        id in any::<u8>(),
    ) -> LogRecord {
        LogRecord {
            time_unix_nano: times.0,
            observed_time_unix_nano: times.1,
            severity_text, body, attributes,
            trace_id: vec![id; 16],
            span_id: vec![id; 8],
            ..LogRecord::default()
        }
    }
}

prop_compose! {
    fn span()(
        texts in (text(), text(), text(), text()),
        numbers in any::<(u64, u64, u32, i32)>(),
        attributes in attributes(),
        of_event in attributes(),
        id in any::<u8>(),
    ) -> Span {
        Span {
            trace_id: vec![id; 16],
            span_id: vec![id; 8],
            trace_state: texts.0,
            name: texts.1,
            kind: numbers.3,
            flags: numbers.2,
            start_time_unix_nano: numbers.0,
            end_time_unix_nano: numbers.1,
            attributes,
            events: vec![Event { name: texts.2, attributes: of_event, ..Event::default() }],
            status: Some(Status { message: texts.3, code: numbers.3 }),
            ..Span::default()
        }
    }
}

/// Redacted and written: as many lines as expected, each an object, none with a control character.
fn check<S: Signal>(mut request: S::Request, expected: usize) -> Result<(), TestCaseError> {
    S::redact(&mut request);
    let mut out = Vec::new();
    S::write(&mut out, &request);
    let written = String::from_utf8(out).unwrap();
    let lines: Vec<_> = written.split_terminator('\n').collect();
    prop_assert_eq!(lines.len(), expected);
    prop_assert!(written.ends_with('\n') || expected == 0);
    for line in lines {
        let read: serde_json::Value =
            serde_json::from_str(line).map_err(|error| TestCaseError::fail(format!("{line}: {error}")))?;
        prop_assert!(read.is_object());
        let controls = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        prop_assert!(!line.contains(controls), "{:?}", line);
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_record_is_a_line_of_json(records in prop::collection::vec(record(), 0..4)) {
        let number = records.len();
        check::<Logs>(samples::logs_of(records), number)?;
    }

    #[test]
    fn every_request_of_spans_is_a_line_of_json(spans in prop::collection::vec(span(), 0..3)) {
        check::<Traces>(samples::traces_of(spans), 1)?;
    }

    #[test]
    fn what_is_written_of_spans_reads_back_the_same(spans in prop::collection::vec(span(), 0..3)) {
        let mut out = Vec::new();
        Traces::write(&mut out, &samples::traces_of(spans));
        let mut again = Vec::new();
        Traces::write(&mut again, &Traces::from_json(&out).unwrap());
        prop_assert_eq!(String::from_utf8(again), String::from_utf8(out));
    }

    #[test]
    fn bytes_that_happen_to_decode_are_written_too(
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut traces = samples::traces().encode_to_vec();
        let place = at.index(traces.len());
        traces[place] = byte;
        if let Ok(request) = ExportTraceServiceRequest::decode(traces.as_slice()) {
            check::<Traces>(request, 1)?;
        }
        let metrics = samples::metrics().encode_to_vec();
        if let Ok(request) = <Metrics as Signal>::Request::decode(&metrics[..cut.index(metrics.len())]) {
            check::<Metrics>(request, 1)?;
        }
    }
}
