//! OTLP/JSON as senders spell it: what is read, and what is refused.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;

use super::*;
use crate::{otlp_json, samples};

#[test]
fn what_is_written_reads_back_the_same() {
    let mut out = Vec::new();
    otlp_json::traces(&mut out, &samples::traces());
    let mut again = Vec::new();
    otlp_json::traces(&mut again, &traces(&out).unwrap());
    assert_eq!(String::from_utf8(again), String::from_utf8(out));

    let mut out = Vec::new();
    otlp_json::metrics(&mut out, &samples::metrics());
    let mut again = Vec::new();
    otlp_json::metrics(&mut again, &metrics(&out).unwrap());
    assert_eq!(String::from_utf8(again), String::from_utf8(out));
}

#[test]
fn an_integer_is_text_or_number_and_an_enumeration_number_or_name() {
    fn check(time: &str, kind: &str) {
        let request = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"startTimeUnixNano":{time},"kind":{kind}}}]}}]}}]}}"#
        );
        let request = traces(request.as_bytes()).unwrap_or_else(|error| panic!("{time}, {kind}: {error}"));
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.start_time_unix_nano, span.kind), (1_795_300_000_123_456_789, 2), "{time}, {kind}");
    }
    check("1795300000123456789", "2");
    check("\"1795300000123456789\"", "\"2\"");
    check("\"1795300000123456789\"", "\"SPAN_KIND_SERVER\"");
}

#[test]
fn every_kind_of_value_is_read() {
    fn check(input: &str, expected: Option<Any>) {
        let request =
            format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{input}}}]}}]}}]}}"#);
        let request = logs(request.as_bytes()).unwrap_or_else(|error| panic!("{input}: {error}"));
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!(record.body, Some(AnyValue { value: expected }), "{input}");
    }
    check(r#"{"stringValue":""}"#, Some(Any::StringValue(String::new())));
    check(r#"{"stringValue":"\u0000"}"#, Some(Any::StringValue("\0".to_owned())));
    check(r#"{"boolValue":false}"#, Some(Any::BoolValue(false)));
    check(r#"{"intValue":"-9223372036854775808"}"#, Some(Any::IntValue(i64::MIN)));
    check(r#"{"intValue":7}"#, Some(Any::IntValue(7)));
    check(r#"{"doubleValue":0.1}"#, Some(Any::DoubleValue(0.1)));
    check(r#"{"doubleValue":7}"#, Some(Any::DoubleValue(7.0)));
    check(r#"{"doubleValue":"-Infinity"}"#, Some(Any::DoubleValue(f64::NEG_INFINITY)));
    check(r#"{"bytesValue":"AP8Q"}"#, Some(Any::BytesValue(vec![0, 255, 16])));
    check(r#"{"arrayValue":{}}"#, Some(Any::ArrayValue(ArrayValue { values: vec![] })));
    check(
        r#"{"kvlistValue":{"values":[{"key":"k"}]}}"#,
        Some(Any::KvlistValue(KeyValueList {
            values: vec![KeyValue { key: "k".to_owned(), ..KeyValue::default() }],
        })),
    );
    check("{}", None);
    check(r#"{"stringValue":null}"#, None);
    check(r#"{"later":"unknown"}"#, None);
}

#[test]
fn what_is_malformed_is_refused_by_name() {
    fn check(span: &str, expected: &str) {
        let request = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
        let told = traces(request.as_bytes()).expect_err(span).told();
        assert_eq!(told, expected, "{span}");
    }
    check(r#"{"traceId":"5B8"}"#, "`traceId` must be hex digits");
    check(r#"{"traceId":"zz"}"#, "`traceId` must be hex digits");
    check(r#"{"traceId":7}"#, "`traceId` must be text");
    check(
        r#"{"startTimeUnixNano":-1}"#,
        "`startTimeUnixNano` must be an unsigned integer, as text or number",
    );
    check(
        r#"{"startTimeUnixNano":1.5}"#,
        "`startTimeUnixNano` must be an unsigned integer, as text or number",
    );
    check(r#"{"kind":"NO_SUCH_KIND"}"#, "`kind` must be an integer, as text or number");
    check(r#"{"flags":4294967296}"#, "`flags` must be an integer of 32 bits");
    check(r#"{"attributes":{}}"#, "`attributes` must be a list");
    check(r#"{"attributes":[1]}"#, "`attributes` must be a list of objects");
    check(r#"{"attributes":[{"key":"k","value":"v"}]}"#, "`value` must be an object");
    check(r#"{"attributes":[{"value":{"stringValue":1}}]}"#, "`stringValue` must be text");
    check(r#"{"attributes":[{"value":{"boolValue":"yes"}}]}"#, "`boolValue` must be `true` or `false`");
    check(r#"{"attributes":[{"value":{"doubleValue":"many"}}]}"#, "`doubleValue` must be a number");
    check(r#"{"attributes":[{"value":{"bytesValue":"???"}}]}"#, "`bytesValue` must be base64");
    check(r#"7"#, "`spans` must be a list of objects");

    assert_eq!(traces(b"[]").unwrap_err().told(), "`request` must be an object");
    assert_eq!(
        traces(b"{\"resourceSpans\":").unwrap_err().told(),
        "the request is not JSON: EOF while parsing a value at line 1 column 17"
    );
    let deep = format!("{}1{}", "[".repeat(4000), "]".repeat(4000));
    assert!(traces(deep.as_bytes()).unwrap_err().told().contains("recursion limit"));
}

#[test]
fn ids_may_be_of_either_case() {
    let request = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"EEE19b7ec3C1B174"}]}]}]}"#;
    let request = traces(request).unwrap();
    assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].span_id, samples::SPAN);
}
