//! `traces`, `stats` and `errors` as they are typed: what they print, where, and with which exit code.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use expect_test::expect;

mod typed;
use typed::{THEN, check, throughline};

/// A request of `service` that took two milliseconds, `trace` seconds after [`THEN`].
fn span(service: &str, trace: u64, status: u64) -> String {
    let start = THEN + trace * 1_000_000_000;
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"4bf92f3577b34da6{trace:016x}","spanId":"{trace:016x}","parentSpanId":"","name":"GET /x","kind":2,"startTimeUnixNano":"{start}","endTimeUnixNano":"{}","attributes":[{{"key":"http.request.method","value":{{"stringValue":"GET"}}}},{{"key":"http.route","value":{{"stringValue":"/x"}}}},{{"key":"http.response.status_code","value":{{"intValue":"{status}"}}}}],"status":{{}}}}]}}]}}]}}
"#,
        start + 2_000_000
    )
}

/// A directory of this test's own with three requests in `telemetry/`, one of them failed, and a line of words.
fn directory(test: &str) -> PathBuf {
    let lines = [span("cache", 1, 200), span("cache", 2, 503), "words\n".to_owned(), span("edge", 3, 200)];
    typed::directory(test, &[("traces.jsonl", lines.concat())])
}

#[test]
fn requests_are_listed_counted_and_their_failures_told() {
    let directory = directory("q_told");
    check(
        &mut throughline(&directory, &["traces", "--limit", "2"]),
        expect![[r#"
        exit code 0
        start                     took ms  status  spans  errors  trace         request  services
        2026-11-21T22:26:43.000Z     2.00     200      1       0  4bf92f3577b3  GET /x          1
        2026-11-21T22:26:42.000Z     2.00     503      1       1  4bf92f3577b3  GET /x          1
        stderr: throughline: 2 of 3 traces: more with `--limit`; damaged or foreign lines skipped: 1
    "#]],
    );
    check(
        &mut throughline(&directory, &["stats"]),
        expect![[r#"
        exit code 0
        service  route   requests  errors  p50 ms  p95 ms  p99 ms  max ms  spread    slowest
        cache    GET /x         2       1    2.00    2.00    2.00    2.00  █         4bf92f3577b3
        edge     GET /x         1       0    2.00    2.00    2.00    2.00  █         4bf92f3577b3
        stderr: throughline: damaged or foreign lines skipped: 1
    "#]],
    );
    check(
        &mut throughline(&directory, &["stats", "--by", "http.response.status_code"]),
        expect![[r#"
        exit code 0
        service  http.response.status_code  requests  errors  p50 ms  p95 ms  p99 ms  max ms  spread    slowest
        cache    200                               1       0    2.00    2.00    2.00    2.00  █         4bf92f3577b3
        cache    503                               1       1    2.00    2.00    2.00    2.00  █         4bf92f3577b3
        edge     200                               1       0    2.00    2.00    2.00    2.00  █         4bf92f3577b3
        stderr: throughline: damaged or foreign lines skipped: 1
    "#]],
    );
    check(
        &mut throughline(&directory, &["errors"]),
        expect![[r#"
        exit code 0
        count  first  first seen            last seen             trace         type  place
            1      1  2026-11-21T22:26:42Z  2026-11-21T22:26:42Z  4bf92f3577b3  503   cache GET /x
        stderr: throughline: damaged or foreign lines skipped: 1
    "#]],
    );
    check(
        &mut throughline(&directory, &["traces", "--json", "--status", "5xx"]),
        expect![[r#"
        exit code 0
        {"trace_id":"4bf92f3577b34da60000000000000002","start":"2026-11-21T22:26:42.000Z","duration_ms":2.0,"whole_ms":2.0,"status":503,"request":"GET /x","services":["cache"],"spans":1,"errors":1}
        stderr: throughline: damaged or foreign lines skipped: 1
    "#]],
    );
}

#[test]
fn standard_input_is_read_to_its_end() {
    let directory = directory("q_stdin");
    let mut command = throughline(&directory, &["traces", "--from", "-", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(span("cache", 7, 200).as_bytes()).unwrap();
    let told = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(told.starts_with(r#"{"trace_id":"4bf92f3577b34da60000000000000007","#), "{told}");
}

#[test]
fn nothing_found_says_where_it_looked() {
    let directory = directory("q_nothing");
    check(
        &mut throughline(&directory, &["traces", "--service", "nobody"]),
        expect![[r#"
        exit code 1
        stderr: throughline: no such trace in `./telemetry` (files: 1, lines: 4, spans: 3); damaged or foreign lines skipped: 1
    "#]],
    );
    check(
        &mut throughline(&directory, &["errors", "--until", "2026-11-21T22:26:41Z"]),
        expect![[r#"
        exit code 1
        stderr: throughline: no failure in `./telemetry` (files: 1, lines: 4, spans: 3); damaged or foreign lines skipped: 1
    "#]],
    );
    check(
        &mut throughline(&directory, &["stats", "--from", "./elsewhere"]),
        expect![[r#"
        exit code 2
        stderr: throughline: cannot read `./elsewhere`: No such file or directory (os error 2)
    "#]],
    );
    fs::remove_file(directory.join("telemetry/traces.jsonl")).unwrap();
    check(
        &mut throughline(&directory, &["stats"]),
        expect![[r#"
        exit code 2
        stderr: throughline: `./telemetry` holds no file of spans or log lines (`*.jsonl`, `*.json`, rotated, gzip or zstd): name the directory that the Collector writes to with `--from PATH`
    "#]],
    );
}

#[test]
fn what_is_typed_wrongly_is_refused_with_the_accepted_form() {
    let directory = directory("q_usage");
    let many = ["--has", "a=b"].repeat(33);
    for (arguments, setting, form) in [
        (&["traces", "--status", "6xx"][..], "--status <STATUS>", "`404`, `5xx`"),
        (&["traces", "--since", "never"], "--since <TIME>", "`2026-11-21T22:26:40Z`"),
        (&["errors", "--until", "soon"], "--until <TIME>", "`10m`"),
        (&["traces", "--has", "attribute"], "--has <ATTRIBUTE=VALUE>", "`http.request.method=GET`"),
        (&["traces", "--slower-than", "200"], "--slower-than <DURATION>", "`500ms`"),
        (&["traces", "--limit", "0"], "--limit <NUMBER>", "from 1 to 10000"),
        (&["traces", "--sort", "size"], "--sort <ORDER>", "time, duration"),
        (&[&["traces"][..], &many].concat(), "`--has`", "at most 32"),
    ] {
        let output = throughline(&directory, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        assert!(said.contains(setting) && said.contains(form), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn nothing_is_said_to_be_sound_where_nothing_could_be_judged() {
    let directory = directory("q_audit");
    let audit = |arguments: &[&str]| {
        let output = throughline(&directory, &[&["audit"], arguments].concat()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, told, _) = audit(&["--from", "telemetry"]);
    assert_eq!((code, &*told), (Some(0), "sound: every hop of 3 requests carried its trace on\n"));
    let (code, told, complaint) = audit(&["--from", "telemetry", "--since", "2031-01-01T00:00:00Z"]);
    assert_eq!((code, &*told), (Some(2), ""), "{complaint}");
    assert!(complaint.contains("no request could be judged"), "{complaint}");
    fs::write(directory.join("telemetry/cut.jsonl.gz"), [0x1f, 0x8b, 8, 0, 0]).unwrap();
    let (code, _, complaint) = audit(&["--from", "telemetry"]);
    assert_eq!(code, Some(2), "{complaint}");
}
