//! Files of other systems, as the real Collector wrote them (`recorded/README.md`): every question is answered from them.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use journey::audit::{self, Audit};
use journey::brief::Picks;
use journey::errors::Errors;
use journey::input::Block;
use journey::logs::{Filter, Logs};
use journey::stats::Stats;
use journey::text::{Look, render};
use journey::traces::{self, Traces};
use journey::{Input, Pass, Search, Wanted};

fn recorded(what: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(what)
}

/// The text with hexadecimal ids and everything that tells a time replaced by marks, the same for the same id.
fn masked(text: &str) -> String {
    let mut ids: HashMap<String, usize> = HashMap::new();
    let mut masked = String::new();
    for line in text.lines() {
        let mut word = String::new();
        for letter in line.chars().chain(['\n']) {
            if letter.is_ascii_alphanumeric() || "-:.%".contains(letter) {
                word.push(letter);
                continue;
            }
            masked.push_str(&mark(&word, &mut ids));
            word.clear();
            masked.push(letter);
        }
    }
    // Columns are as wide as what was replaced.
    let squeezed = masked.lines().map(|line| {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let indent = line.len() - line.trim_start().len();
        " ".repeat(indent.min(2)) + &words.by_ref().collect::<Vec<_>>().join(" ") + "\n"
    });
    squeezed.collect()
}

fn mark(word: &str, ids: &mut HashMap<String, usize>) -> String {
    let is_hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if word.len() >= 8 && is_hex(word) && digits > 0 {
        // However much of an id is shown, it is the same.
        let next = ids.len() + 1;
        return format!("ID{}", ids.entry(word[..8].to_owned()).or_insert(next));
    }
    if word.starts_with("2026-") {
        return "TIME".to_owned();
    }
    let is_number = digits > 0 && word.bytes().all(|byte| byte.is_ascii_digit() || b".:".contains(&byte));
    if is_number && word.contains(['.', ':']) { "N".to_owned() } else { word.to_owned() }
}

fn check(text: &str, expected: Expect) {
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text}");
    expected.assert_eq(&masked(text));
}

fn story(what: &str, id: &str) -> String {
    let mut search = Search::new(id.parse::<Wanted>().unwrap(), Input::new(vec![recorded(what)]));
    search.read().unwrap();
    assert_eq!(search.not_understood(), (0, 0));
    let trace = search.traces()[0];
    render(&search.story(trace), Look { width: 100, ..Look::default() })
}

/// What `traces`, `stats` and `errors` say.
fn answers(what: &str) -> String {
    let (mut list, mut stats, mut errors) = (
        Traces::new(traces::Filter { limit: 20, ..traces::Filter::default() }),
        Stats::new(None),
        Errors::new(None, None),
    );
    let mut pass = Pass::new(Input::new(vec![recorded(what)]), Picks::default());
    let take = &mut |spans: &[journey::brief::Brief]| {
        list.take(spans);
        stats.take(spans);
        errors.take(spans);
    };
    pass.run(take, &mut |_| {}).unwrap();
    assert_eq!(pass.counts().damaged, 0);
    let list = list.finish();
    assert!(list.matching > 0);
    format!("{}\n{}", stats.finish().text(90), errors.finish().text(90))
}

fn audited(what: &str) -> String {
    let mut audit = Audit::new(audit::Settings { now: u64::MAX, ..audit::Settings::default() });
    let read = audit::read(&[recorded(what)], &mut audit, &mut |_| {}).unwrap();
    assert_eq!((read.counts.damaged, read.counts.half), (0, 0));
    audit.finish().text(100)
}

fn lines(what: &str, filter: Filter) -> Vec<String> {
    let filter = Filter { limit: 100, ..filter };
    let mut logs = Logs::new(filter.clone());
    let look = |block: Block<'_>| {
        let mut logs = Logs::new(filter.clone());
        assert_eq!(logs.take(block.text), 0);
        (logs, true)
    };
    Input::new(vec![recorded(what)]).read(&look, &mut |found, _| logs.join(found)).unwrap();
    logs.finish().lines
}

#[test]
fn a_story_of_telemetrygen() {
    let spans = std::fs::read_to_string(recorded("telemetrygen/traces.jsonl")).unwrap();
    let id = &spans[spans.find("traceId\":\"").unwrap() + 10..][..32];
    check(
        &story("telemetrygen", id),
        expect![[r#"
        lets-go in N ms
        trace ID1 at TIME N UTC
        shop: 3 spans, 0 log lines, complete

        start ms took ms own ms █ own ░ waiting
          N shop lets-go → N N N ░░░░░░░░░░░░░░░░
          N ├─ okey-dokey-0 N N ████████
          N └─ okey-dokey-1 N N ████████

        verdict 100 % own work (shop); how sure: high
    "#]],
    );
}

#[test]
fn a_story_of_jaeger_itself() {
    check(
        &story("jaeger", "4bf92f3577b34da6a3ce929d0e0e4736"),
        expect![[r#"
        GET /api/services/shop/operations → 200 in N ms
        trace ID1 at TIME N UTC
        jaeger: 1 span, 0 log lines, complete but for its caller
        span ID2 is not in these files: the caller's own, or never written

        start ms took ms own ms █ own ░ waiting
          (span ID2 is not in these files: the caller's own, or never written)
          N └─ jaeger /api/services/{service}/operations 200 N N ████████████████

        verdict 100 % own work (jaeger); how sure: high
    "#]],
    );
    let spans = std::fs::read_to_string(recorded("jaeger/traces.jsonl")).unwrap();
    let id = &spans[spans.find("traceId\":\"").unwrap() + 10..][..32];
    check(
        &story("jaeger", id),
        expect![[r#"
        opentelemetry.proto.collector.trace.v1.TraceService/Export in N ms
        trace ID1 at TIME N UTC
        jaeger: 3 spans, 0 log lines, complete

        start ms took ms own ms █ own ░ waiting
          N jaeger N N ██████░░░░██████
          │ opentelemetry.proto.collector.trace.v1.TraceService/Export
          N └─ receiver/otlp/TraceDataReceived N N █░░░██
          N └─ exporter/jaeger_storage_exporter/traces N N ████

        verdict 100 % own work (jaeger); how sure: high
    "#]],
    );
}

#[test]
fn all_requests_of_other_systems_are_counted() {
    check(
        &answers("telemetrygen"),
        expect![[r#"

        count first seen last seen trace type place
          3 TIME TIME ID1 (not told) shop-marshal let…
          3 TIME TIME ID1 (not told) shop-marshal oke…
    "#]],
    );
    check(
        &answers("jaeger"),
        expect![[r#"
        service route requests errors p50 ms p95 ms p99 ms max ms slowest
        jaeger GET /api/services 3 0 N N N N ID1
        jaeger GET /api/traces/{tra… 2 0 N N N N ID2
        jaeger GET /api/services/{s… 1 0 N N N N ID3
        jaeger GET /api/traces 1 0 N N N N ID4
        jaeger opentelemetry.proto.… 1 0 N N N N ID5

    "#]],
    );
}

#[test]
fn the_continuity_of_other_systems_is_judged() {
    check(
        &audited("telemetrygen"),
        expect![[r#"
        hop cause count share first seen last seen trace
        shop unsampled parent 1 N % TIME TIME ID1

        broken: 1 breaks in 14 requests, at 1 place
    "#]],
    );
    check(
        &audited("jaeger"),
        expect![[r#"
        note: jaeger: 1 requests go on traces of callers outside, whose spans are not here
        sound: every hop of 8 requests carried its trace on
    "#]],
    );
}

#[test]
fn records_of_other_systems_are_found_by_what_is_in_them() {
    let level = |level: &str| Some(level.parse().unwrap());
    check(
        &lines("telemetrygen", Filter { level: level("warn"), ..Filter::default() }).join("\n"),
        expect![[r#"
            {"app":"server","level":"Warn","message":"an order came in","service":"shop","span_id":"ID1","timestamp":"TIME","trace_id":"ID2"}
            {"app":"server","level":"Warn","message":"an order came in","service":"shop","span_id":"ID1","timestamp":"TIME","trace_id":"ID2"}
            {"app":"server","level":"Warn","message":"an order came in","service":"shop","span_id":"ID1","timestamp":"TIME","trace_id":"ID2"}
            {"app":"server","level":"Warn","message":"an order came in","service":"shop","span_id":"ID1","timestamp":"TIME","trace_id":"ID2"}
        "#]],
    );
    check(
        &lines(
            "jaeger",
            Filter { text: Some("starting grpc".to_owned()), ignores_case: true, ..Filter::default() },
        )
        .join("\n"),
        expect![[r#"
            {"addr":"N","code.file.path":"github.com/jaegertracing/jaeger@v1.76.0/cmd/query/app/server.go","code.function.name":"github.com/jaegertracing/jaeger/cmd/query/app.(*Server).Start.func2","code.line.number"N,"instance":"5b0049df-ee53-4f4f-8bb8-bf2ddc1f9a27","level":"info","logger":"go.opentelemetry.io/collector/service","message":"Starting GRPC server","port"N,"service":"jaeger","timestamp":"TIME"}
            {"code.file.path":"go.opentelemetry.io/collector/receiver/otlpreceiver@v0.140.0/otlp.go","code.function.name":"go.opentelemetry.io/collector/receiver/otlpreceiver.(*otlpReceiver).startGRPCServer","code.line.number"N,"endpoint":"N","instance":"5b0049df-ee53-4f4f-8bb8-bf2ddc1f9a27","level":"info","logger":"go.opentelemetry.io/collector/service","message":"Starting GRPC server","service":"jaeger","timestamp":"TIME"}
        "#]],
    );
    let of =
        |logger: &str| lines("jaeger", Filter { logger: Some(logger.to_owned()), ..Filter::default() }).len();
    assert_eq!((of("go.opentelemetry.io/"), of("io.opentelemetry")), (32, 0));
}
