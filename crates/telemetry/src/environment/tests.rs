//! Tables of variables, and what they come to mean.

use std::collections::BTreeMap;

use http::HeaderValue;

use super::*;
use crate::endpoint::Protocol;

fn settings(otlp_endpoint: Option<&str>) -> Settings {
    Settings {
        service: "cache",
        version: "1.0.0",
        instance: None,
        otlp_endpoint: otlp_endpoint.map(str::to_owned),
        export: true,
    }
}

fn read(given: Option<&str>, variables: &[(&str, &str)]) -> Result<Environment, StartError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Environment::read(&settings(given), &|name| variables.get(name).map(|value| (*value).to_owned()))
}

fn good(variables: &[(&str, &str)]) -> Environment {
    read(None, variables).expect("readable")
}

#[test]
fn without_variables_everything_goes_to_a_collector_on_this_machine() {
    let environment = good(&[]);
    for destination in [&environment.traces, &environment.logs, &environment.metrics] {
        let destination = destination.as_ref().expect("exported");
        assert_eq!(destination.protocol, Protocol::Grpc);
        assert_eq!(destination.endpoint, "http://127.0.0.1:4317/");
        assert_eq!(destination.timeout, Duration::from_secs(10));
        assert!(!destination.gzip && destination.headers.is_empty());
    }
    assert_eq!((environment.spans.items, environment.spans.batch), (16_384, 512));
    assert_eq!(environment.spans.delay, Duration::from_millis(200));
    assert_eq!(environment.lines.delay, Duration::from_millis(100));
    assert_eq!(environment.metric_interval, Duration::from_secs(10));
    assert_eq!(format!("{:?}", environment.sampler), "ParentBased(AlwaysOn)");
}

#[test]
fn the_address_is_the_flags_then_the_signals_then_that_of_all() {
    let check = |given, variables: &[(&str, &str)], expected: &str| {
        let environment = read(given, variables).expect("readable");
        assert_eq!(environment.traces.expect("exported").endpoint, expected, "{variables:?}");
    };
    let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:1/base/");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own:2/mine?x=1");
    let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let traces_http = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
    check(None, &[http], "http://127.0.0.1:4318/v1/traces");
    check(None, &[all], "http://all:1/");
    check(None, &[all, own], "http://own:2/");
    check(None, &[all, http], "http://all:1/base/v1/traces");
    check(None, &[all, own, traces_http], "http://own:2/mine?x=1");
    check(Some("http://given:3"), &[all, own], "http://given:3/");
    check(Some("http://given:3"), &[all, own, http], "http://given:3/v1/traces");
    check(Some(" "), &[all], "http://all:1/");
    check(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], "http://127.0.0.1:4317/");
}

#[test]
fn signals_can_be_switched_off() {
    let check = |variables: &[(&str, &str)], expected: [bool; 3]| {
        let read = good(variables);
        let found = [read.traces.is_some(), read.logs.is_some(), read.metrics.is_some()];
        assert_eq!(found, expected, "{variables:?}");
    };
    check(&[("OTEL_SDK_DISABLED", "TRUE")], [false; 3]);
    check(&[("OTEL_SDK_DISABLED", "false")], [true; 3]);
    check(&[("OTEL_TRACES_EXPORTER", "none")], [false, true, true]);
    check(&[("OTEL_LOGS_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")], [true, false, false]);
    let silent = Settings { export: false, ..settings(Some("http://collector:4317")) };
    let silent = Environment::read(&silent, &|_| None).expect("readable");
    assert!(silent.traces.is_none() && silent.logs.is_none() && silent.metrics.is_none());
}

#[test]
fn headers_compression_and_time_limits_are_per_signal() {
    let environment = good(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b, authorization=Bearer%20x"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-tenant=logs"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
    ]);
    let (traces, logs, metrics) =
        (environment.traces.unwrap(), environment.logs.unwrap(), environment.metrics.unwrap());
    assert_eq!(traces.headers.len(), 2);
    assert_eq!(traces.headers[0].1, HeaderValue::from_static("a b"));
    assert_eq!(logs.headers[0].1, HeaderValue::from_static("logs"));
    assert_eq!((traces.gzip, metrics.gzip), (true, false));
    assert_eq!(traces.timeout, Duration::from_millis(1500));
    assert!(!format!("{traces:?}").contains("Bearer"), "a credential is not for eyes");
}

#[test]
fn queues_samplers_and_limits_follow_the_specification() {
    let environment = good(&[
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "7"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "0"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "250"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "10"),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "20"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "5"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "6"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,team=a%2Cb"),
    ]);
    // The batch shrinks with the queue.
    assert_eq!((environment.spans.items, environment.spans.batch), (100, 100));
    assert_eq!((environment.lines.items, environment.lines.batch), (16_384, 7));
    assert_eq!(environment.lines.delay, Duration::ZERO);
    assert_eq!(environment.metric_interval, Duration::from_millis(250));
    assert_eq!(format!("{:?}", environment.sampler), "TraceIdRatioBased(0.25)");
    assert_eq!(environment.span_value_length, 10);
    assert_eq!(environment.line_limits, Limits { value_length: 20, fields: 5 });
    assert_eq!(environment.span_limits.max_attributes_per_span, 5);
    assert_eq!(environment.span_limits.max_links_per_span, 6);
    assert_eq!(environment.resource[1], ("team".to_owned(), "a,b".to_owned()));
}

#[test]
fn samplers_are_told_by_their_names() {
    let check = |name: &str, expected: &str| {
        let variables = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "0.5")];
        assert_eq!(format!("{:?}", good(&variables).sampler), expected);
    };
    check("", "ParentBased(AlwaysOn)");
    check("always_off", "AlwaysOff");
    check("parentbased_always_off", "ParentBased(AlwaysOff)");
    check("parentbased_traceidratio", "ParentBased(TraceIdRatioBased(0.5))");
}

#[test]
fn what_cannot_be_read_is_named_with_what_is_accepted() {
    let check = |name: &str, value: &str, expected: &str| {
        let error = read(None, &[(name, value)]).expect_err(name);
        assert_eq!(error.setting, name);
        assert!(error.expected.contains(expected), "{error}");
    };
    check("OTEL_SDK_DISABLED", "yes", "`true`");
    check("OTEL_TRACES_EXPORTER", "zipkin", "`otlp` or `none`");
    check("OTEL_METRICS_EXPORTER", "prometheus", "`otlp` or `none`");
    check("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "`http/protobuf`");
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317", "`https`");
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "http://127.0.0.1:4317");
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "http://127.0.0.1:4317");
    check("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "a b", "http://127.0.0.1:4317");
    check("OTEL_EXPORTER_OTLP_HEADERS", "no-equals-sign", "`name=value");
    check("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz", "`name=value");
    check("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "`gzip`");
    check("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds");
    check("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds");
    check("OTEL_BSP_MAX_QUEUE_SIZE", "0", "above 0");
    check("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "20000", "not above the queue's size");
    check("OTEL_BLRP_SCHEDULE_DELAY", "-1", "milliseconds");
    check("OTEL_METRIC_EXPORT_INTERVAL", "0", "milliseconds");
    check("OTEL_TRACES_SAMPLER", "sometimes", "`always_on`");
    check("OTEL_TRACES_SAMPLER_ARG", "1.5", "between 0 and 1");
    check("OTEL_ATTRIBUTE_COUNT_LIMIT", "many", "above 0");
    check("OTEL_RESOURCE_ATTRIBUTES", "team", "`name=value");
    check("RUST_LOG", "info,cache=loud", "load_balancer::proxy=debug");
}

#[test]
fn no_error_shows_a_credential() {
    let check = |given, variables: &[(&str, &str)]| {
        let error = read(given, variables).expect_err("refused").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    };
    check(Some("http://me:hunter2@collector:4317"), &[]);
    check(None, &[("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2%zz")]);
}
