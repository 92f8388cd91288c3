//! `follow` as it is typed: requests are told as files grow, are renamed, cut and made anew, until it is asked to stop.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

mod typed;
use typed::{THEN, throughline};

/// Longer than anything takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request of `service` that took two milliseconds.
fn span(service: &str, trace: u64, status: u64) -> String {
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"4bf92f3577b34da6{trace:016x}","spanId":"{trace:016x}","parentSpanId":"","name":"GET /x","kind":2,"startTimeUnixNano":"{THEN}","endTimeUnixNano":"{}","attributes":[{{"key":"http.response.status_code","value":{{"intValue":"{status}"}}}}],"status":{{}}}}]}}]}}]}}
"#,
        THEN + 2_000_000
    )
}

fn line(trace: u64) -> String {
    format!(
        r#"{{"timestamp":"2026-11-21T22:26:40.001Z","level":"INFO","service":"cache","uid":"9f3c2a71d04be856-{trace}","message":"request","trace_id":"4bf92f3577b34da6{trace:016x}"}}
"#
    )
}

/// A directory of this test's own with one request of long ago in `telemetry/traces.jsonl`.
fn directory(test: &str) -> PathBuf {
    typed::directory(test, &[("traces.jsonl", span("cache", 1, 200))])
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A process that follows, and the lines that it prints.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    /// Starts it; what it tells is heard from then on.
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = throughline(directory, &[&["follow"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = heard(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next request's last digit, its status, and how many log lines it has.
    fn next(&self) -> (char, u64, usize) {
        let line = self.lines.recv_timeout(PATIENCE).expect("a request is told");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let last = told["trace_id"].as_str().unwrap().chars().last().unwrap();
        assert_eq!(told["correction"], false, "{line}");
        (last, told["status"].as_u64().unwrap(), told["logs"].as_array().map_or(0, Vec::len))
    }

    /// Asks it to stop: its exit code, what it printed since, and what it said on standard error.
    fn stop(mut self) -> (Option<i32>, Vec<String>, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), self.lines.iter().collect(), said)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It has ended already where the test has come to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn heard(out: ChildStdout) -> Receiver<String> {
    let (tell, lines) = channel();
    thread::spawn(move || {
        let mut out = BufReader::new(out);
        let mut line = String::new();
        while out.read_line(&mut line).is_ok_and(|count| count > 0)
            && tell.send(std::mem::take(&mut line)).is_ok()
        {}
    });
    lines
}

#[test]
fn requests_are_told_as_files_grow_are_renamed_cut_and_made_anew() {
    let directory = directory("follow_files");
    let telemetry = directory.join("telemetry");
    let traces = telemetry.join("traces.jsonl");
    let following = Following::start(&directory, &["--json", "--logs", "--from-start"]);
    assert_eq!(following.next(), ('1', 200, 0));

    append(&telemetry.join("logs.jsonl"), &line(2));
    append(&traces, &span("cache", 2, 201));
    assert_eq!(following.next(), ('2', 201, 1), "grown, and a new file");

    let (half, rest) = (&span("cache", 3, 202)[..100], &span("cache", 3, 202)[100..]);
    append(&traces, half);
    append(&telemetry.join("traces-2.jsonl"), &span("cache", 4, 203));
    assert_eq!(following.next(), ('4', 203, 0), "half a line is waited for");
    append(&traces, rest);
    assert_eq!(following.next(), ('3', 202, 0));

    append(&traces, &span("cache", 5, 204));
    fs::rename(&traces, telemetry.join("traces-1.jsonl")).unwrap();
    fs::write(&traces, span("cache", 6, 205)).unwrap();
    let mut both = [following.next(), following.next()];
    both.sort_unstable();
    assert_eq!(both, [('5', 204, 0), ('6', 205, 0)], "renamed, and made anew");

    append(&traces, &span("cache", 7, 206));
    assert_eq!(following.next().0, '7');
    fs::write(&traces, span("cache", 8, 207)).unwrap();
    assert_eq!(following.next(), ('8', 207, 0), "cut");

    let (code, more, said) = following.stop();
    assert_eq!((code, more, &*said), (Some(0), Vec::new(), ""));
}

#[test]
fn it_begins_at_the_end_and_tells_only_what_is_asked_for() {
    let directory = directory("follow_end");
    let traces = directory.join("telemetry/traces.jsonl");
    append(&traces, &span("edge", 9, 200)[..50]);
    let following =
        Following::start(&directory, &["--json", "--status", "5xx", "--from", "telemetry/traces.jsonl"]);
    // It is at the end when it tells one of these; what was there before is not told, though it would match.
    let mut number = 16;
    let first = loop {
        append(&traces, &(span("cache", number, 200) + &span("cache", number + 1, 500)));
        number += 2;
        if let Ok(line) = following.lines.recv_timeout(Duration::from_secs(4)) {
            break line;
        }
        assert!(number < 48, "nothing is told");
    };
    assert!(first.contains(r#""status":500"#), "{first}");
    let renamed = directory.join("telemetry/traces-1.jsonl");
    append(&traces, &span("cache", 100, 599));
    fs::rename(&traces, &renamed).unwrap();
    let wanted = |status: &str| {
        let text = format!(r#""status":{status}"#);
        while !following.lines.recv_timeout(PATIENCE).expect("it is told").contains(&text) {}
    };
    wanted("599");
    fs::write(&traces, span("cache", 101, 598)).unwrap();
    wanted("598");
    let (code, _, said) = following.stop();
    assert_eq!((code, &*said), (Some(0), ""));
}

#[test]
fn it_ends_quietly_when_nobody_reads_any_more() {
    let directory = directory("follow_closed");
    let mut child = throughline(&directory, &["follow", "--from-start", "--from", "telemetry"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*said), (Some(0), ""));
}

#[test]
fn what_cannot_be_followed_is_said() {
    let directory = directory("follow_trouble");
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = throughline(&directory, &[&["follow"], arguments].concat()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    check(&["--from", "-"], 64, "`--from -` cannot be followed");
    check(&["--from", "nowhere"], 2, "cannot read `nowhere`: No such file or directory");
    check(&["--status", "teapot"], 64, "must be a status from 100 to 599");
    let has: Vec<&str> = ["--has", "a=b"].repeat(33);
    check(&has, 64, "`--has` is given 33 times");
}
