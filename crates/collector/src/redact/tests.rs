//! Secrets planted wherever text can stand, and what must stay as it is.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::metric::Data,
};

use crate::{
    redact, samples,
    samples::{array, attribute, map, value},
    signal::{Logs, Metrics, Signal, Traces},
};

#[test]
fn values_under_a_blocked_key_are_blank() {
    fn check(key: &str, blocked: bool) {
        let mut attributes = [attribute(key, samples::text("harmless"))];
        redact::attributes(&mut attributes);
        let expected = if blocked { "****" } else { "harmless" };
        assert_eq!(attributes[0].value, Some(samples::text(expected)), "{key}");
    }
    check("authorization", true);
    check("http.request.header.Authorization", true);
    check("Proxy-Authorization", true);
    check("set-cookie", true);
    check("COOKIE", true);
    check("password", true);
    check("db.passwd", true);
    check("client_secret", true);
    check("api_key", true);
    check("apikey", true);
    check("x-api-key", true);
    check("api.key", true);
    check("token", true);
    check("access_token", true);
    check("token-type", true);
    check("auth.token.id", true);
    check("tokens", false);
    check("tokenizer", false);
    check("detoken", false);
    check("pass", false);
    check("url.path", false);
    check("", false);
}

#[test]
fn a_value_of_any_kind_is_blank_under_a_blocked_key() {
    fn check(input: Option<AnyValue>, expected: &str) {
        let mut attributes = [KeyValue { key: "secret".to_owned(), value: input, ..KeyValue::default() }];
        redact::attributes(&mut attributes);
        assert_eq!(attributes[0].value, Some(samples::text(expected)));
    }
    check(None, "****");
    check(Some(samples::text("")), "****");
    check(Some(samples::text("a\nb\n")), "****\n****\n****");
    check(Some(value(Value::IntValue(4711))), "****");
    check(Some(value(Value::BytesValue(vec![1]))), "****");
    check(Some(map(vec![attribute("a", samples::text("b"))])), "****");
}

#[test]
fn blocked_parts_of_a_value_are_blank() {
    fn check(input: &str, expected: &str) {
        let mut text = input.to_owned();
        redact::text(&mut text);
        assert_eq!(text, expected, "{input}");
    }
    check("", "");
    check("GET /api/bookings", "GET /api/bookings");
    check("Authorization: Bearer abc.DEF-1~+/=", "Authorization: ****");
    check("bearer\t\tx y", "**** y");
    check("bearer of news", "**** news");
    check("the bearer", "the bearer");
    check("/p?a=1&TOKEN=xyz&b=2", "/p?a=1&****&b=2");
    check("password=hunter2 and passwd=ünïcödé, api-key=1 apikey=2", "**** and **** **** ****");
    check("token=", "token=");
    check("token= x", "token= x");
    check("card 4111111111111111.", "card ****.");
    check("4111111111111", "****");
    check("41111111111111", "41111111111111");
    check("x4111111111111111", "x4111111111111111");
    check("5111111111111111", "5111111111111111");
    check(r#"{"a":1,"password":"hun\"ter2","b":2}"#, r#"{"a":1,****,"b":2}"#);
    check(r#"{"db_passwd": 42, "b": "password"}"#, r#"{****, "b": "password"}"#);
    check(r#"{"Authorization":["a","b"],"c":1}"#, "{****");
    check(r#"{"x-api-key":"cut off"#, "{****");
    check(r#"{"access_token":null}"#, "{****}");
    check(r#"{"prompt_tokens":12,"a":"token"}"#, r#"{"prompt_tokens":12,"a":"token"}"#);
    // Rule after rule: the second finds `password=****`.
    check("password=bearer abc", "****");
}

#[test]
fn nested_values_are_reached() {
    let mut attributes = [attribute(
        "outer",
        map(vec![
            attribute("password", samples::text("hunter2")),
            attribute(
                "list",
                array(vec![
                    samples::text("a token=abc b"),
                    map(vec![attribute("cookie", samples::text("c"))]),
                ]),
            ),
        ]),
    )];
    redact::attributes(&mut attributes);
    let expected = map(vec![
        attribute("password", samples::text("****")),
        attribute(
            "list",
            array(vec![samples::text("a **** b"), map(vec![attribute("cookie", samples::text("****"))])]),
        ),
    ]);
    assert_eq!(attributes[0].value, Some(expected));
}

#[test]
fn a_number_that_is_blocked_as_text_is_blank() {
    let card = || value(Value::IntValue(4_111_111_111_111_111));
    let blank = || samples::text("****");
    fn check(input: AnyValue, expected: AnyValue) {
        let mut attributes = [attribute("x", input.clone())];
        redact::attributes(&mut attributes);
        assert_eq!(attributes[0].value, Some(expected), "{input:?}");
    }
    check(card(), blank());
    check(array(vec![card()]), array(vec![blank()]));
    check(map(vec![attribute("card", card())]), map(vec![attribute("card", blank())]));
    check(value(Value::IntValue(4_111_111_111_111)), blank());
    check(value(Value::IntValue(-4_111_111_111_111)), samples::text("-****"));
    for harmless in [7, 411_111_111_111, 41_111_111_111_111, i64::MAX, i64::MIN] {
        check(value(Value::IntValue(harmless)), value(Value::IntValue(harmless)));
    }
}

const SECRETS: [&str; 3] = ["hunter2", "s3cr3t", "4242424242424242"];

fn planted() -> Vec<KeyValue> {
    vec![
        attribute("password", samples::text(SECRETS[0])),
        attribute("note", samples::text(&format!("token={} {}", SECRETS[1], SECRETS[2]))),
        attribute("deep", map(vec![attribute("api_key", array(vec![samples::text(SECRETS[1])]))])),
    ]
}

fn planted_text() -> String {
    format!("it failed: token={} for {}", SECRETS[1], SECRETS[2])
}

fn traces() -> ExportTraceServiceRequest {
    let mut request = samples::traces();
    let of_resource = &mut request.resource_spans[0];
    of_resource.resource.as_mut().unwrap().attributes = planted();
    of_resource.scope_spans[0].scope.as_mut().unwrap().attributes = planted();
    let span = &mut of_resource.scope_spans[0].spans[0];
    span.name = planted_text();
    span.attributes = planted();
    span.events[0].name = planted_text();
    span.events[0].attributes = planted();
    span.links[0].attributes = planted();
    span.status.as_mut().unwrap().message = planted_text();
    request
}

fn logs() -> ExportLogsServiceRequest {
    let mut records = [samples::record(), samples::record()];
    records[0].attributes = planted();
    records[0].body = Some(samples::text(&planted_text()));
    records[1].body = Some(map(planted()));
    let mut request = samples::logs_of(records.to_vec());
    request.resource_logs[0].resource.as_mut().unwrap().attributes.extend(planted());
    request.resource_logs[0].scope_logs[0].scope.as_mut().unwrap().attributes = planted();
    request
}

fn metrics() -> ExportMetricsServiceRequest {
    let mut request = samples::metrics();
    let of_resource = &mut request.resource_metrics[0];
    of_resource.resource.as_mut().unwrap().attributes = planted();
    of_resource.scope_metrics[0].scope.as_mut().unwrap().attributes = planted();
    for metric in &mut of_resource.scope_metrics[0].metrics {
        metric.metadata = planted();
        match metric.data.as_mut() {
            Some(Data::Gauge(gauge)) => {
                gauge.data_points[0].attributes = planted();
                gauge.data_points[0].exemplars[0].filtered_attributes = planted();
            }
            Some(Data::Sum(sum)) => {
                sum.data_points[0].attributes = planted();
                sum.data_points[0].exemplars[0].filtered_attributes = planted();
            }
            Some(Data::Histogram(histogram)) => {
                histogram.data_points[0].attributes = planted();
                histogram.data_points[0].exemplars[0].filtered_attributes = planted();
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                histogram.data_points[0].attributes = planted();
                histogram.data_points[0].exemplars[0].filtered_attributes = planted();
            }
            Some(Data::Summary(summary)) => summary.data_points[0].attributes = planted(),
            None => {}
        }
    }
    request
}

#[test]
fn secrets_planted_everywhere_appear_nowhere() {
    fn check<S: Signal>(mut request: S::Request) {
        let mut lines = Vec::new();
        S::write(&mut lines, &request);
        let before = String::from_utf8(std::mem::take(&mut lines)).unwrap();
        S::redact(&mut request);
        S::write(&mut lines, &request);
        let after = String::from_utf8(lines).unwrap();
        for secret in SECRETS {
            assert!(before.contains(secret), "{secret} was planted");
            assert!(!after.contains(secret), "{secret} is left in {after}");
        }
    }
    check::<Traces>(traces());
    check::<Logs>(logs());
    check::<Metrics>(metrics());
}
