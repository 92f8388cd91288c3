//! `trace` and `logs` as they are typed: what they print, where, and with which exit code.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use expect_test::expect;

mod typed;
use typed::{THEN, check, throughline};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn span(service: &str, id: u64, parent: &str, start: u64) -> String {
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeSpans":[{{"scope":{{}},"spans":[{{"traceId":"{TRACE}","spanId":"{id:016x}","parentSpanId":"{parent}","name":"GET","kind":2,"startTimeUnixNano":"{start}","endTimeUnixNano":"{}","attributes":[],"status":{{}}}}]}}]}}]}}
"#,
        start + 2_000_000
    )
}

fn line(uid: u64, second: u64, trace: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-11-21T22:26:{second:02}.000000Z","level":"INFO","service":"cache","uid":"9f3c2a71d04be856-{uid}","message":"request","trace_id":"{trace}","span_id":"0000000000000001","z":1,"a":2}}
"#
    )
}

/// A directory of this test's own with a story in `telemetry/`.
fn directory(test: &str) -> PathBuf {
    let lines = line(2, 41, TRACE) + &line(1, 40, TRACE);
    typed::directory(test, &[("traces.jsonl", span("cache", 1, "", THEN)), ("logs.jsonl", lines)])
}

#[test]
fn a_story_is_found_by_a_prefix_in_the_usual_place() {
    check(
        &mut throughline(&directory("usual_place"), &["trace", "4bf9"]),
        expect![[r#"
            exit code 0
            GET in 2.00 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.000 UTC
            cache: 1 span, 2 log lines, complete

            start ms                                                           took ms  own ms  █ own  ░ waiting
                0.00  cache GET                                                   2.00    2.00  ████████████████
                0.00     · INFO cache request a=2 z=1
             1000.00     · INFO cache request a=2 z=1

            verdict  100 % own work (cache); how sure: high
        "#]],
    );
}

#[test]
fn colours_are_shown_where_they_are_forced_and_not_refused() {
    let directory = directory("colours");
    let shows = |name: &str, value: &str| {
        let output = throughline(&directory, &["trace", TRACE]).env(name, value).output().unwrap();
        output.stdout.contains(&0x1b)
    };
    assert!(shows("CLICOLOR_FORCE", "1"));
    assert!(!shows("CLICOLOR_FORCE", "0"));
    assert!(!shows("NO_COLOR", "1"));
}

#[test]
fn the_verdict_is_told_alone_where_it_is_asked_for() {
    let directory = directory("verdict_alone");
    check(
        &mut throughline(&directory, &["trace", TRACE, "--verdict"]),
        expect![[r#"
        exit code 0
        GET in 2.00 ms
        verdict  100 % own work (cache); how sure: high
    "#]],
    );
    check(
        &mut throughline(&directory, &["trace", TRACE, "--verdict", "--json"]),
        expect![[r#"
        exit code 0
        {"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","verdict":{"duration_ms":2.0,"failed":false,"shares":[{"percent":100,"duration_ms":2.0,"spent":"own","waiting":false,"service":"cache","to":null,"name":"GET","mixed":false,"spans":1,"span_id":"0000000000000001"}],"failure":null,"later":[],"usual":null,"sure":"high","doubts":[]}}
    "#]],
    );
}

#[test]
fn a_script_hears_of_failures_and_slowness_by_the_exit_code() {
    let code = |directory: &Path, fail_on: &[&str]| {
        let mut arguments = vec!["trace", TRACE, "--verdict", "--wait", "10ms"];
        fail_on.iter().for_each(|fail_on| arguments.extend(["--fail-on", fail_on]));
        throughline(directory, &arguments).output().unwrap().status.code().unwrap()
    };
    let well = directory("fail_on");
    assert_eq!(code(&well, &[]), 0);
    assert_eq!(code(&well, &["error"]), 0);
    assert_eq!(code(&well, &["slower-than=2ms"]), 0, "it took 2 ms, which is not longer");
    assert_eq!(code(&well, &["slower-than=1ms"]), 3);
    assert_eq!(code(&well, &["error,slower-than=1ms"]), 3);
    assert_eq!(code(&well, &["error", "slower-than=1s"]), 0);
    assert_eq!(code(&well, &["slow"]), 64);
    assert_eq!(code(&well, &["slower-than=fast"]), 64);
    let failed = directory("fail_on_error");
    let span = span("cache", 1, "", THEN).replace(r#""status":{}"#, r#""status":{"code":2}"#);
    fs::write(failed.join("telemetry/traces.jsonl"), span).unwrap();
    assert_eq!((code(&failed, &[]), code(&failed, &["error"])), (0, 3));
    fs::remove_file(failed.join("telemetry/traces.jsonl")).unwrap();
    assert_eq!((code(&failed, &[]), code(&failed, &["error"])), (0, 2), "lines alone cannot be judged");
}

#[test]
fn logs_prints_lines_as_they_are_in_time_order() {
    check(
        &mut throughline(&directory("logs"), &["logs", TRACE]),
        expect![[r#"
        exit code 0
        {"timestamp":"2026-11-21T22:26:40.000000Z","level":"INFO","service":"cache","uid":"9f3c2a71d04be856-1","message":"request","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"0000000000000001","z":1,"a":2}
        {"timestamp":"2026-11-21T22:26:41.000000Z","level":"INFO","service":"cache","uid":"9f3c2a71d04be856-2","message":"request","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"0000000000000001","z":1,"a":2}
    "#]],
    );
}

#[test]
fn json_is_one_object_on_one_line() {
    let output = throughline(&directory("json"), &["trace", "--json", TRACE]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&told["trace_id"], &told["spans"][0]["duration_ms"]), (&TRACE.into(), &2.0.into()));
}

#[test]
fn standard_input_is_read_once_to_its_end() {
    let directory = directory("stdin");
    let mut command = throughline(&directory, &["logs", TRACE, "--from", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(line(7, 1, TRACE).as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, line(7, 1, TRACE).as_bytes());
}

#[test]
fn nothing_found_says_where_it_looked() {
    let directory = directory("nothing");
    check(
        &mut throughline(&directory, &["trace", "00ff", "--wait", "10ms"]),
        expect![[r#"
        exit code 1
        stderr: throughline: nothing of trace `00ff` in `./telemetry` (files: 2, lines: 3)
    "#]],
    );
    let places = ["--from", "telemetry/logs.jsonl", "--from", "telemetry", "--from", "-"];
    check(
        throughline(&directory, &["logs", "00ff", "--wait", "10ms"]).args(places),
        expect![[r#"
        exit code 1
        stderr: throughline: nothing of trace `00ff` in `telemetry/logs.jsonl` and `telemetry` and `-` (files: 3, lines: 3)
    "#]],
    );
}

#[test]
fn a_prefix_of_several_names_them() {
    let directory = directory("several");
    let other = line(3, 42, "4bf9000000000000000000000000000f");
    fs::write(directory.join("telemetry/logs-1.jsonl"), other).unwrap();
    check(
        &mut throughline(&directory, &["trace", "4bf9"]),
        expect![[r#"
        exit code 2
        stderr: throughline: `4bf9` begins the ids of 2 traces:
        stderr:   4bf9000000000000000000000000000f
        stderr:   4bf92f3577b34da6a3ce929d0e0e4736
    "#]],
    );
}

#[test]
fn places_that_are_not_there_are_trouble() {
    let directory = directory("no_place");
    check(
        &mut throughline(&directory, &["trace", TRACE, "--from", "./elsewhere"]),
        expect![[r#"
        exit code 2
        stderr: throughline: cannot read `./elsewhere`: No such file or directory (os error 2)
    "#]],
    );
    fs::remove_dir_all(directory.join("telemetry")).unwrap();
    check(
        &mut throughline(&directory, &["trace", TRACE]),
        expect![[r#"
        exit code 2
        stderr: throughline: neither `./throughline-data/telemetry` nor `./telemetry` is here: say where the Collector's files are with `--from PATH`, or start the system here with `throughline up`
    "#]],
    );
}

#[test]
fn damage_is_told_in_one_line_beside_the_story() {
    let directory = directory("damage");
    let half = &span("cache", 2, "", THEN)[..280];
    fs::write(directory.join("telemetry/traces-1.jsonl"), format!("{half}\n{half}\n{half}")).unwrap();
    let output = throughline(&directory, &["trace", TRACE]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    expect![[r#"
        throughline: damaged lines with this id skipped: 2; last lines with this id are not whole yet: 1
    "#]]
    .assert_eq(&String::from_utf8(output.stderr).unwrap());
}

#[test]
fn nothing_found_where_something_is_damaged_or_closed_says_so() {
    let directory = directory("closed");
    let half = &span("cache", 2, "", THEN).replace(TRACE, "00ff0000000000000000000000000000")[..280];
    fs::write(directory.join("telemetry/traces-1.jsonl"), format!("{half}\n")).unwrap();
    check(
        &mut throughline(&directory, &["trace", "00ff", "--wait", "10ms"]),
        expect![[r#"
        exit code 1
        stderr: throughline: nothing of trace `00ff` in `./telemetry` (files: 3, lines: 4); damaged lines with this id skipped: 1
    "#]],
    );
    std::os::unix::fs::symlink("nowhere/x", directory.join("telemetry/gone.jsonl")).unwrap();
    std::os::unix::fs::symlink("loop.jsonl", directory.join("telemetry/loop.jsonl")).unwrap();
    check(
        &mut throughline(&directory, &["trace", "00ff", "--wait", "10ms"]),
        expect![[r#"
            exit code 2
            stderr: throughline: nothing of trace `00ff` in `./telemetry` (files: 3, lines: 4); damaged lines with this id skipped: 1; files could not be opened: 1; cannot read `./telemetry/loop.jsonl` (Too many levels of symbolic links (os error 40))
        "#]],
    );
}

#[test]
fn what_is_missing_is_waited_for_and_what_is_whole_is_not() {
    let directory = directory("waiting");
    let begun = Instant::now();
    assert!(throughline(&directory, &["logs", TRACE, "--wait", "60s"]).output().unwrap().status.success());
    assert!(begun.elapsed() < Duration::from_secs(60), "it ended because it was whole");

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let orphan = span("cache", 1, "00000000000000aa", now + 60_000_000_000);
    fs::write(directory.join("telemetry/traces.jsonl"), orphan).unwrap();
    let begun_again = Instant::now();
    let output = throughline(&directory, &["trace", TRACE, "--wait", "300ms"]).output().unwrap();
    assert!(begun_again.elapsed() >= Duration::from_millis(300), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("complete but for its caller"));

    // Its parent, and the line that goes with it, come while they are waited for.
    let begun_waiting = Instant::now();
    let mut command = throughline(&directory, &["trace", TRACE, "--wait", "60s"]);
    let mut waiting = command.stdout(Stdio::piped()).spawn().unwrap();
    let parent = span("load_balancer", 0xaa, "", now + 60_000_000_000);
    fs::write(directory.join("telemetry/traces-2.jsonl"), parent).unwrap();
    let its_line = line(3, 42, TRACE).replace("0000000000000001", "00000000000000aa");
    fs::write(directory.join("telemetry/logs-2.jsonl"), its_line).unwrap();
    let mut told = String::new();
    waiting.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("2 spans, 3 log lines, complete\n"), "{told}");
    assert!(waiting.wait().unwrap().success());
    assert!(begun_waiting.elapsed() < Duration::from_secs(60), "it ended because it was whole");
}

#[test]
fn a_directory_without_telemetry_is_trouble_and_not_an_answer() {
    let directory = directory("nothing_here");
    fs::remove_dir_all(directory.join("telemetry")).unwrap();
    fs::create_dir(directory.join("telemetry")).unwrap();
    fs::write(directory.join("telemetry/notes.txt"), span("cache", 1, "", THEN)).unwrap();
    check(
        &mut throughline(&directory, &["trace", TRACE, "--wait", "0s"]),
        expect![[r#"
        exit code 2
        stderr: throughline: `./telemetry` holds no file of spans or log lines (`*.jsonl`, `*.json`, rotated, gzip or zstd): name the directory that the Collector writes to with `--from PATH`
    "#]],
    );
    let output = throughline(&directory, &["logs", TRACE, "--wait", "0s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn whoever_stops_reading_has_seen_enough() {
    let directory = directory("broken_pipe");
    let many: String = (100..6000).map(|uid| line(uid, 1, TRACE)).collect();
    fs::write(directory.join("telemetry/logs.jsonl"), many).unwrap();
    let mut command = throughline(&directory, &["logs", TRACE]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

#[test]
fn what_is_no_id_is_refused_as_usage() {
    let directory = directory("usage");
    for arguments in
        [&["trace"][..], &["trace", "xyz"], &["trace", TRACE, "--wait", "soon"], &["logs", "abc"]]
    {
        let output = throughline(&directory, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty());
    }
}
