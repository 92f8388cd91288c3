//! `trace --otlp`, `trace --html`, `diff` and `map` as they are typed: what they print, and with which exit code.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use expect_test::expect;

mod typed;
use typed::{THEN, check, throughline};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "5cf92f3577b34da6a3ce929d0e0e4736";

/// A request to `service`, `[start, end]` milliseconds after [`THEN`].
fn span(trace: &str, service: &str, ids: [u64; 2], kind: u8, [start, end]: [u64; 2]) -> String {
    let [id, parent] = ids;
    let parent = if parent == 0 { String::new() } else { format!("{parent:016x}") };
    let (start, end) = (THEN + start * 1_000_000, THEN + end * 1_000_000);
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeSpans":[{{"scope":{{}},"spans":[{{"traceId":"{trace}","spanId":"{id:016x}","parentSpanId":"{parent}","name":"GET","kind":{kind},"startTimeUnixNano":"{start}","endTimeUnixNano":"{end}","attributes":[],"status":{{}}}}]}}]}}]}}
"#
    )
}

/// A directory of this test's own with two requests in `telemetry/`: the second one asked a third service as well.
fn directory(test: &str) -> PathBuf {
    let lines = [
        span(TRACE, "edge", [1, 0], 2, [0, 10]),
        span(TRACE, "edge", [2, 1], 3, [1, 9]),
        span(TRACE, "api", [3, 2], 2, [2, 8]),
        span(OTHER, "edge", [1, 0], 2, [1000, 1030]),
        span(OTHER, "edge", [2, 1], 3, [1001, 1029]),
        span(OTHER, "api", [3, 2], 2, [1002, 1028]),
        span(OTHER, "users", [4, 3], 2, [1003, 1023]),
    ];
    typed::directory(test, &[("traces.jsonl", lines.concat())])
}

/// What it printed, which it must have done well.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn two_requests_are_compared() {
    let directory = directory("p_diff");
    check(
        &mut throughline(&directory, &["diff", "4bf9", &format!("00-{OTHER}-0000000000000001-01")]),
        expect![[r#"
            exit code 0
            A  4bf92f3577b34da6a3ce929d0e0e4736 GET in 10.00 ms at 2026-11-21T22:26:40.000Z
            B  5cf92f3577b34da6a3ce929d0e0e4736 GET in 30.00 ms at 2026-11-21T22:26:41.000Z

                   A ms      B ms        ±ms      ×    own ±ms
            >     10.00     30.00     +20.00   3.00       0.00  edge GET
            >      8.00     28.00     +20.00   3.50       0.00    GET
            >      6.00     26.00     +20.00   4.33       0.00      api GET
            +               20.00     +20.00            +20.00        users GET

            total    10.00 ms → 30.00 ms: +20.00 ms (×3.00); 3 → 4 spans; 1 new, 3 slower
            biggest     +20.00 ms users GET new: 1×, 0.00 → 20.00 ms of its own
        "#]],
    );
    let json = printed(&mut throughline(&directory, &["diff", "4bf9", "5cf9", "--json"]));
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json.lines().count(), &told["counts"]["new"]), (1, &1.into()));
    check(
        &mut throughline(&directory, &["diff", "4bf9", "00ff", "--wait", "10ms"]),
        expect![[r#"
        exit code 1
        stderr: throughline: nothing of trace `00ff` in `./telemetry` (files: 1, lines: 7)
    "#]],
    );
    check(
        &mut throughline(&directory, &["diff", "4bf9", "5cf9", "--from", "elsewhere"]),
        expect![[r#"
        exit code 2
        stderr: throughline: cannot read `elsewhere`: No such file or directory (os error 2)
    "#]],
    );
    let output = throughline(&directory, &["diff", "4bf9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}

#[test]
fn who_calls_whom_is_told_and_drawn() {
    let directory = directory("p_map");
    check(
        &mut throughline(&directory, &["map"]),
        expect![[r#"
        exit code 0
        from       to     calls  per s  errors %  p50 ms  p95 ms  p99 ms
        (outside)  edge       2   1.99       0.0   10.00   30.00   30.00
        edge       api        2   1.99       0.0    6.04   26.00   26.00
        api        users      1   1.00       0.0   20.00   20.00   20.00
    "#]],
    );
    let format = |arguments: &[&str]| printed(throughline(&directory, &["map"]).args(arguments));
    assert!(format(&["--format", "dot"]).starts_with("digraph calls {"));
    assert!(format(&["--format", "mermaid"]).starts_with("flowchart LR\n"));
    let json = format(&["--format", "json"]);
    assert_eq!((json.lines().count(), format(&["--json"])), (3, json));
    assert_eq!(format(&["--json", "--service", "users"]).lines().count(), 1);
    check(
        &mut throughline(&directory, &["map", "--service", "nobody"]),
        expect![[r#"
        exit code 1
        stderr: throughline: no call in `./telemetry` (files: 1, lines: 7, spans: 7)
    "#]],
    );
    let odd = throughline(&directory, &["map", "--format", "svg"]).output().unwrap();
    assert_eq!(odd.status.code(), Some(64), "{odd:?}");
}

#[test]
fn traces_of_two_systems_are_compared() {
    let directory = directory("p_diff_two");
    fs::create_dir(directory.join("new")).unwrap();
    fs::write(
        directory.join("new/traces.jsonl"),
        span("6df92f3577b34da6a3ce929d0e0e4736", "edge", [1, 0], 2, [0, 10]),
    )
    .unwrap();
    let told = printed(&mut throughline(
        &directory,
        &["diff", "4bf9", "6df9", "--from", "telemetry", "--from", "new"],
    ));
    assert!(told.contains("3 → 1 spans; 2 gone"), "{told}");
}

#[test]
fn a_trace_alone_as_otlp_tells_the_same_story() {
    let directory = directory("p_otlp");
    let story = printed(&mut throughline(&directory, &["trace", TRACE]));
    let otlp = printed(&mut throughline(&directory, &["trace", TRACE, "--otlp"]));
    assert_eq!((otlp.lines().count(), otlp.contains(OTHER)), (1, false));
    fs::write(directory.join("cut.json"), &otlp).unwrap();
    assert_eq!(printed(&mut throughline(&directory, &["trace", TRACE, "--from", "cut.json"])), story);
    // Standard input can be read only once.
    let mut command = throughline(&directory, &["trace", TRACE, "--otlp", "--from", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(otlp.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), otlp);
}

#[test]
fn runs_in_traces_of_their_own_are_in_the_otlp_unless_they_are_not_wanted() {
    let directory = directory("p_otlp_links");
    let link = format!(r#""links":[{{"traceId":"{TRACE}","spanId":"0000000000000003"}}],"status""#);
    let run =
        span("7ef92f3577b34da6a3ce929d0e0e4736", "worker", [9, 0], 5, [50, 60]).replace(r#""status""#, &link);
    fs::write(directory.join("telemetry/traces-1.jsonl"), run).unwrap();
    let count = |arguments: &[&str]| {
        let mut all = vec!["trace", TRACE, "--otlp"];
        all.extend(arguments);
        printed(&mut throughline(&directory, &all)).matches("\"spanId\":").count()
    };
    // Three of the request, the run's own, and the one that it is linked to.
    assert_eq!((count(&[]), count(&["--no-links"])), (5, 3));
}

#[test]
fn a_story_is_one_html_file_that_stands_alone() {
    let directory = directory("p_html");
    let page = printed(&mut throughline(&directory, &["trace", TRACE, "--html"]));
    assert!(page.starts_with("<!doctype html>\n") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("Content-Security-Policy") && page.contains("GET in 10.00 ms"), "{page}");
    assert!(!page.contains("http://") && !page.contains("https://"), "it fetches nothing");
    let judged = throughline(&directory, &["trace", TRACE, "--html", "--fail-on", "slower-than=1ms"])
        .output()
        .unwrap();
    assert_eq!((judged.status.code(), String::from_utf8(judged.stdout).unwrap()), (Some(3), page));
    let both = throughline(&directory, &["trace", TRACE, "--html", "--verdict"]).output().unwrap();
    assert_eq!(both.status.code(), Some(64), "{both:?}");
}

#[test]
fn lines_alone_are_no_otlp() {
    let directory = directory("p_otlp_lines");
    fs::remove_file(directory.join("telemetry/traces.jsonl")).unwrap();
    fs::write(
        directory.join("telemetry/logs.jsonl"),
        format!("{{\"message\":\"x\",\"trace_id\":\"{TRACE}\"}}\n"),
    )
    .unwrap();
    check(
        &mut throughline(&directory, &["trace", TRACE, "--otlp", "--wait", "10ms"]),
        expect![[r#"
        exit code 2
        stderr: throughline: no span of this trace was written: there is nothing for OTLP to hold
    "#]],
    );
    let both = throughline(&directory, &["trace", TRACE, "--otlp", "--json"]).output().unwrap();
    assert_eq!(both.status.code(), Some(64), "{both:?}");
}
