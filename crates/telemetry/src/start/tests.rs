//! A process from its start to its stop. What a process has only one of (the subscriber, the panic hook, standard
//! output) is tested in a process of its own: each test runs this test program again, as the child below.

use std::{
    collections::BTreeMap,
    process::{Command, Output},
};

use opentelemetry::{
    Context,
    trace::{TraceContextExt as _, Tracer as _},
};
use opentelemetry_proto::tonic::common::v1::any_value;

use super::*;
use crate::pipeline::receiver::{ANY_PORT, Receiver};

const SCENARIO: &str = "TELEMETRY_TEST_SCENARIO";
const ENDPOINT: &str = "TELEMETRY_TEST_ENDPOINT";

/// Does nothing unless a test below started it.
#[test]
fn child() {
    match std::env::var(SCENARIO).as_deref() {
        Ok("story") => story(),
        Ok("bad setting") => {
            let error = start(settings()).expect_err("refused");
            std::fs::write("/dev/stderr", error.to_string()).unwrap();
            std::process::exit(64);
        }
        _ => {}
    }
}

fn settings() -> Settings {
    Settings {
        service: "cache",
        version: "1.0.0",
        instance: Some("c-1".to_owned()),
        otlp_endpoint: std::env::var(ENDPOINT).ok(),
        export: true,
    }
}

fn story() {
    let telemetry = start(settings()).unwrap();
    crate::meter("cache").u64_counter("hits").build().add(1, &[]);
    let request = Context::new().with_span(tracer().start("GET"));
    let guard = request.clone().attach();
    let error = io::Error::other("refused");
    tracing::warn!(
        target: "cache::fetch",
        replica = "a:1",
        attempts = 2_u64,
        wait_ms = 1.5,
        api_key = "hunter2",
        error.type = "connect",
        error = &error as &dyn std::error::Error,
        "attempt failed"
    );
    tracing::info_span!("work").in_scope(|| tracing::info!(target: "cache::fetch", "inside"));
    tracing::debug!(target: "cache::fetch", "too quiet");
    tracing::info!(target: "h2::proto", "of the transport");
    tracing::warn!(target: "h2::proto", "warning of the transport");
    let context = request.clone();
    let panicking = std::thread::spawn(move || {
        let _guard = context.attach();
        boom();
    });
    assert!(panicking.join().is_err());
    drop(guard);
    request.span().end();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let losses = runtime.block_on(telemetry.stop(Duration::from_secs(10)));
    assert!(losses.by_signal().iter().all(|(_, count)| count.recorded == count.exported), "{losses:?}");
}

#[inline(never)]
fn boom() {
    panic!("boom {}", 7);
}

fn run(scenario: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "start::tests::child", "--nocapture"])
        .env_clear()
        .env(SCENARIO, scenario)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn a_process_tells_its_story_on_standard_output_and_to_the_collector() {
    let receiver = Receiver::grpc(ANY_PORT);
    let output = run("story", &[(ENDPOINT, &format!("http://{}", receiver.address))]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    // The test harness of the child has lines of its own, without an end before ours.
    let lines: Vec<serde_json::Value> =
        text.lines().filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok()).collect();
    let line = |message: &str| {
        let found: Vec<_> = lines.iter().filter(|line| line["message"] == message).collect();
        let [line] = found[..] else { panic!("one `{message}` in {text}") };
        line.clone()
    };

    let failed = line("attempt failed");
    let expected = serde_json::json!({
        "level": "WARN", "service": "cache", "instance": "c-1", "logger": "cache::fetch",
        "replica": "a:1", "attempts": 2, "wait_ms": 1.5, "api_key": "****",
        "error.type": "connect", "exception.type": "Custom", "exception.message": "refused",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&failed[field], value, "{field}: {failed}");
    }
    assert!(!text.contains("hunter2"));

    let panic = line("panic");
    assert_eq!((&panic["level"], &panic["exception.type"]), (&"ERROR".into(), &"panic".into()));
    assert_eq!(panic["exception.message"], "boom 7");
    assert!(panic["location"].as_str().unwrap().contains("start/tests.rs:"), "{panic}");
    let stack = panic["exception.stacktrace"].as_str().unwrap();
    assert!(stack.lines().next().unwrap().contains("boom"), "{stack}");

    receiver.look(|taken| {
        let [work, get] = ["work", "GET"].map(|name| {
            taken.spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}"))
        });
        assert_eq!((&work.trace_id, &work.parent_span_id), (&get.trace_id, &get.span_id));
        let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let of_get = (hex(&get.trace_id).into(), hex(&get.span_id).into());
        for said in [&failed, &panic] {
            assert_eq!((said["trace_id"].clone(), said["span_id"].clone()), of_get, "{said}");
        }
        assert_eq!(line("inside")["span_id"], hex(&work.span_id));
        assert!(work.attributes.is_empty() && work.events.is_empty(), "{work:?}");

        let sent: BTreeMap<_, _> = taken.lines.iter().map(|(_, line)| (body(line), line)).collect();
        assert_eq!(sent.keys().collect::<Vec<_>>(), ["attempt failed", "inside", "panic"]);
        let keys: Vec<_> = sent["attempt failed"].attributes.iter().map(|pair| pair.key.as_str()).collect();
        assert!(keys.contains(&"throughline.attempts") && keys.contains(&"error.type"), "{keys:?}");
        assert!(taken.metrics.iter().any(|metric| metric.name == "hits"));
    });
    assert_eq!(line("warning of the transport")["level"], "WARN");
    let unsaid = |message: &str| lines.iter().all(|line| line["message"] != message);
    assert!(unsaid("too quiet") && unsaid("of the transport"), "{text}");
    assert_eq!(lines.last().unwrap()["message"], "telemetry stopped");
}

fn body(line: &opentelemetry_proto::tonic::logs::v1::LogRecord) -> String {
    match line.body.clone().and_then(|body| body.value) {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_setting_that_cannot_be_read_is_named_with_what_is_accepted() {
    let output = run("bad setting", &[("OTEL_TRACES_SAMPLER", "sometimes")]);
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "`OTEL_TRACES_SAMPLER` is `sometimes`, but must be one of `always_on`, `always_off`, \
            `traceidratio`, each also with `parentbased_` before it"
    );
}
