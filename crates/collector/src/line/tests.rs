//! The flat line of records, ours and strangers'.

use expect_test::{Expect, expect};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
};

use crate::{
    line, samples,
    samples::{array, attribute, map, record, text, value},
};

/// The lines of these records under the sample's resource and scope.
fn lines(records: Vec<LogRecord>) -> String {
    let mut out = Vec::new();
    line::lines(&mut out, &samples::logs_of(records));
    String::from_utf8(out).unwrap()
}

fn check(record: LogRecord, expected: Expect) {
    expected.assert_eq(&lines(vec![record]));
}

/// A record with nothing but a body and these attributes, to show them alone.
fn bare(attributes: Vec<KeyValue>) -> LogRecord {
    LogRecord { body: Some(text("bare")), attributes, ..LogRecord::default() }
}

#[test]
fn our_own_record_is_the_line_of_standard_output() {
    check(
        record(),
        expect![[r#"
        {"cache_hit":true,"error.type":"none","instance":"lb-1","level":"INFO","logger":"load_balancer::proxy","message":"request","method":"GET","path":"/api/bookings","response_time_ms":1.25,"service":"load_balancer","span_id":"eee19b7ec3c1b174","status":200,"timestamp":"2026-11-21T22:26:40.123456Z","trace_id":"5b8efff798038103d269b633813fc60c","uid":"9f3c2a71d04be856-1a"}
    "#]],
    );
}

#[test]
fn observed_time_stands_where_the_record_has_none() {
    check(
        LogRecord { time_unix_nano: 0, attributes: vec![], ..record() },
        expect![[r#"
        {"instance":"lb-1","level":"INFO","logger":"load_balancer::proxy","message":"request","service":"load_balancer","span_id":"eee19b7ec3c1b174","timestamp":"2026-11-21T22:26:40.123456Z","trace_id":"5b8efff798038103d269b633813fc60c"}
    "#]],
    );
}

#[test]
fn a_record_with_nothing_in_it_is_a_line() {
    check(
        LogRecord::default(),
        expect![[r#"
        {"instance":"lb-1","level":"","logger":"load_balancer::proxy","service":"load_balancer","timestamp":"1970-01-01T00:00:00.000000Z"}
    "#]],
    );
}

#[test]
fn ids_of_zeros_are_left_out() {
    check(
        LogRecord { trace_id: vec![0; 16], span_id: vec![0; 8], attributes: vec![], ..record() },
        expect![[r#"
            {"instance":"lb-1","level":"INFO","logger":"load_balancer::proxy","message":"request","service":"load_balancer","timestamp":"2026-11-21T22:26:40.123456Z"}
        "#]],
    );
}

#[test]
fn a_body_that_is_a_map_gives_its_entries() {
    let body = map(vec![
        attribute("throughline.x", value(Value::IntValue(1))),
        attribute("url.path", text("of the body: has no place")),
        attribute("event", text("of the body")),
        attribute("level", text("loses to the record's")),
        attribute("shared", text("loses to the attribute")),
    ]);
    let attributes = vec![attribute("shared", text("attribute"))];
    check(
        LogRecord { body: Some(body), attributes, ..LogRecord::default() },
        expect![[r#"
        {"event":"of the body","instance":"lb-1","level":"","logger":"load_balancer::proxy","service":"load_balancer","shared":"attribute","timestamp":"1970-01-01T00:00:00.000000Z","x":1}
    "#]],
    );
}

#[test]
fn other_bodies_have_no_place_in_a_line() {
    check(
        LogRecord { body: Some(value(Value::IntValue(7))), ..LogRecord::default() },
        expect![[r#"
        {"instance":"lb-1","level":"","logger":"load_balancer::proxy","service":"load_balancer","timestamp":"1970-01-01T00:00:00.000000Z"}
    "#]],
    );
    check(
        LogRecord { body: Some(array(vec![text("a")])), ..LogRecord::default() },
        expect![[r#"
        {"instance":"lb-1","level":"","logger":"load_balancer::proxy","service":"load_balancer","timestamp":"1970-01-01T00:00:00.000000Z"}
    "#]],
    );
}

#[test]
fn values_keep_their_kind() {
    check(
        bare(samples::attributes()),
        expect![[r#"
        {"":"no key","array":["",0,null],"bytes":"AP8Q","double":1.25,"empty":null,"instance":"lb-1","integer":-9223372036854775808,"level":"","logger":"load_balancer::proxy","map":{"a":[],"z":"last"},"message":"bare","no":false,"none":null,"service":"load_balancer","text":"two\nlines","timestamp":"1970-01-01T00:00:00.000000Z","yes":true}
    "#]],
    );
}

#[test]
fn numbers_that_json_has_not_are_text() {
    check(
        bare(vec![
            attribute("nan", value(Value::DoubleValue(f64::NAN))),
            attribute("large", value(Value::DoubleValue(1e300))),
            attribute("whole", value(Value::DoubleValue(3.0))),
        ]),
        expect![[r#"
            {"instance":"lb-1","large":1e+300,"level":"","logger":"load_balancer::proxy","message":"bare","nan":"NaN","service":"load_balancer","timestamp":"1970-01-01T00:00:00.000000Z","whole":3}
        "#]],
    );
}

#[test]
fn of_equal_names_the_last_stands() {
    check(
        bare(vec![
            attribute("a", text("first")),
            attribute("throughline.a", text("second")),
            attribute("message", text("an attribute wins over the body")),
            attribute("method", text("loses to the mapped one")),
            attribute("http.request.method", text("GET")),
            attribute("service", text("loses to the resource")),
            attribute("trace_id", text("stays: the record has none")),
        ]),
        expect![[r#"
            {"a":"second","instance":"lb-1","level":"","logger":"load_balancer::proxy","message":"an attribute wins over the body","method":"GET","service":"load_balancer","timestamp":"1970-01-01T00:00:00.000000Z","trace_id":"stays: the record has none"}
        "#]],
    );
}

#[test]
fn an_empty_mapped_attribute_leaves_no_field() {
    check(
        bare(vec![attribute("url.path", AnyValue::default()), attribute("path", text("own"))]),
        expect![[r#"
            {"instance":"lb-1","level":"","logger":"load_balancer::proxy","message":"bare","path":"own","service":"load_balancer","timestamp":"1970-01-01T00:00:00.000000Z"}
        "#]],
    );
}

#[test]
fn nothing_can_write_a_second_line_or_a_control_character() {
    check(
        LogRecord {
            body: Some(text("one\n{\"level\":\"ERROR\"}\r\u{1b}[2J\u{9b}31m\u{7f}\u{2028}")),
            severity_text: "IN\nFO".to_owned(),
            attributes: vec![attribute("key\n\"", text("\0"))],
            ..LogRecord::default()
        },
        expect![[r#"
            {"instance":"lb-1","key\n\"":"\u0000","level":"IN\nFO","logger":"load_balancer::proxy","message":"one\n{\"level\":\"ERROR\"}\r\u001b[2J\u009b31m\u007f\u2028","service":"load_balancer","timestamp":"1970-01-01T00:00:00.000000Z"}
        "#]],
    );
}

#[test]
fn times_are_cut_to_microseconds() {
    fn check(nanoseconds: u64, expected: &str) {
        let line = lines(vec![LogRecord { time_unix_nano: nanoseconds, ..LogRecord::default() }]);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["timestamp"], expected);
    }
    check(0, "1970-01-01T00:00:00.000000Z");
    check(999, "1970-01-01T00:00:00.000000Z");
    check(1_000, "1970-01-01T00:00:00.000001Z");
    check(951_782_399_999_999_999, "2000-02-28T23:59:59.999999Z");
    check(951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z");
    check(samples::TIME, "2026-11-21T22:26:40.123456Z");
    check(i64::MAX as u64, "2262-04-11T23:47:16.854775Z");
    check(u64::MAX, "1969-12-31T23:59:59.999999Z");
}

#[test]
fn a_resource_and_a_scope_without_names_leave_their_fields_out() {
    let mut request = samples::logs_of(vec![bare(vec![])]);
    request.resource_logs[0].resource = None;
    request.resource_logs[0].scope_logs[0].scope = None;
    let mut out = Vec::new();
    line::lines(&mut out, &request);
    expect![[r#"
        {"level":"","message":"bare","timestamp":"1970-01-01T00:00:00.000000Z"}
    "#]]
    .assert_eq(std::str::from_utf8(&out).unwrap());
}
