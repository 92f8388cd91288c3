//! `index` as it is typed, and `trace` and `logs` with what it made: the same answers from little reading.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

mod typed;
use typed::throughline;

/// So many lines, that several blocks of 64 KiB are filled.
const LINES: u64 = 2000;

fn trace(number: u64) -> String {
    format!("{:016x}{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
}

fn line(number: u64) -> String {
    format!(
        r#"{{"timestamp":"2026-11-21T22:26:40.000000Z","level":"INFO","service":"cache","uid":"9f3c2a71d04be856-{number}","message":"{}","trace_id":"{}"}}
"#,
        "x".repeat(200),
        trace(number)
    )
}

fn lines(from: u64) -> String {
    (from..from + LINES).map(line).collect()
}

/// A directory of this test's own with [`LINES`] lines in `telemetry/logs.jsonl`.
fn directory(test: &str) -> PathBuf {
    typed::directory(test, &[("logs.jsonl", lines(1))])
}

/// Checks the exit code and gives standard output and standard error.
fn told(directory: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = throughline(directory, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, said) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{said}");
    (out, said)
}

fn object(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn what_was_indexed_is_told_and_found_and_only_what_is_new_is_read_again() {
    let directory = directory("index_told");
    let size = lines(1).len() as u64;
    let (out, said) = told(&directory, &["index", "--json"], 0);
    let made = object(&out);
    assert_eq!((&made["bytes"], &made["read_bytes"]), (&size.into(), &size.into()), "{out}");
    assert_eq!((&made["file"], &*said), (&"./telemetry/logs.jsonl".into(), ""));
    assert!(directory.join("telemetry/logs.jsonl.index").is_file());

    let (out, said) = told(&directory, &["logs", &trace(77)], 0);
    assert_eq!((out, &*said), (line(77), ""));
    let (out, _) = told(&directory, &["logs", &trace(1500)[..12]], 0);
    assert_eq!(out, line(1500), "a prefix");
    let (_, said) = told(&directory, &["logs", &trace(LINES + 5), "--wait", "10ms"], 1);
    let nothing =
        format!("nothing of trace `{}` in `./telemetry` (files: 1, lines: {LINES})", trace(LINES + 5));
    assert_eq!(said, format!("throughline: {nothing}\n"));

    let mut file = OpenOptions::new().append(true).open(directory.join("telemetry/logs.jsonl")).unwrap();
    file.write_all(lines(LINES + 1).as_bytes()).unwrap();
    assert_eq!(
        told(&directory, &["logs", &trace(LINES + 5)], 0).0,
        line(LINES + 5),
        "what is not indexed yet"
    );
    let again = object(&told(&directory, &["index", "--json"], 0).0);
    assert_eq!(again["read_bytes"], lines(LINES + 1).len() as u64);
    assert_eq!(told(&directory, &["logs", &trace(LINES + 5)], 0).0, line(LINES + 5));
    let (out, _) = told(&directory, &["index"], 0);
    let words: Vec<&str> = out.lines().last().unwrap().split_whitespace().collect();
    assert_eq!((words[0], words[4]), ("./telemetry/logs.jsonl", "0.0"), "{out}");
}

#[test]
fn an_index_that_does_not_fit_is_not_used_and_said() {
    let directory = directory("index_unfit");
    told(&directory, &["index"], 0);
    let index = directory.join("telemetry/logs.jsonl.index");
    let mut bytes = fs::read(&index).unwrap();
    let end = bytes.len() - 3;
    bytes[end] ^= 1;
    fs::write(&index, bytes).unwrap();
    let unfit = "throughline: indexes that do not fit their files (`throughline index` makes them anew): 1\n";
    let (out, said) = told(&directory, &["logs", &trace(77)], 0);
    assert_eq!((out, &*said), (line(77), unfit));
    told(&directory, &["index"], 0);
    assert_eq!(told(&directory, &["logs", &trace(77)], 0).1, "");
    fs::write(directory.join("telemetry/logs.jsonl"), lines(500)).unwrap();
    let (out, said) = told(&directory, &["logs", &trace(501)], 0);
    assert_eq!((out, &*said), (line(501), unfit), "another content of the same length or longer");
}

#[test]
fn a_renamed_file_keeps_its_index_and_indexes_can_be_removed() {
    let directory = directory("index_renamed");
    told(&directory, &["index"], 0);
    let telemetry = directory.join("telemetry");
    fs::rename(telemetry.join("logs.jsonl"), telemetry.join("logs-1.jsonl")).unwrap();
    fs::write(telemetry.join("logs.jsonl"), line(9000)).unwrap();
    let (out, said) = told(&directory, &["logs", &trace(77)], 0);
    assert_eq!((out, &*said), (line(77), ""));
    let (out, _) = told(&directory, &["index", "--json"], 0);
    let read: Vec<_> = out.lines().map(|line| object(line)["read_bytes"].as_u64().unwrap()).collect();
    assert_eq!(read, [0, line(9000).len() as u64], "{out}");

    fs::remove_file(telemetry.join("logs-1.jsonl")).unwrap();
    let (_, said) = told(&directory, &["index"], 0);
    assert_eq!(said, "throughline: indexes of files that are gone removed: 1\n");
    assert_eq!(told(&directory, &["index", "--remove"], 0).1, "throughline: indexes removed: 1\n");
    assert_eq!(fs::read_dir(&telemetry).unwrap().count(), 1);
    let (_, said) = told(&directory, &["index", "--remove"], 1);
    assert_eq!(said, "throughline: no index in `./telemetry`\n");
}

#[test]
fn what_cannot_be_indexed_is_said() {
    let directory = directory("index_trouble");
    fs::create_dir(directory.join("telemetry/logs.jsonl.index")).unwrap();
    let (_, said) = told(&directory, &["index"], 2);
    assert_eq!(
        said,
        "throughline: no indexes of ours, left as they are: `./telemetry/logs.jsonl.index`: move them away\n"
    );
    assert_eq!(told(&directory, &["logs", &trace(77)], 0).0, line(77));

    fs::remove_dir(directory.join("telemetry/logs.jsonl.index")).unwrap();
    fs::remove_file(directory.join("telemetry/logs.jsonl")).unwrap();
    fs::write(directory.join("telemetry/half.jsonl"), "{").unwrap();
    let (_, said) = told(&directory, &["index"], 1);
    assert!(said.starts_with("throughline: `./telemetry` holds no whole line in a file"), "{said}");
    let (_, said) = told(&directory, &["index", "--from", "nowhere"], 2);
    assert_eq!(said, "throughline: cannot read `nowhere`: No such file or directory (os error 2)\n");
    assert_eq!(throughline(&directory, &["index", "--form", "x"]).output().unwrap().status.code(), Some(64));
}

#[test]
fn what_is_no_index_of_ours_is_named_and_left_as_it_is() {
    let directory = directory("index_foreign");
    let telemetry = directory.join("telemetry");
    fs::write(telemetry.join("search.json.index"), "of a search").unwrap();
    fs::create_dir(telemetry.join("x.json.index")).unwrap();
    let (_, said) = told(&directory, &["index", "--json"], 0);
    assert!(said.contains("search.json.index`") && said.contains("x.json.index`"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let own = telemetry.join("logs.jsonl.index");
    fs::write(&own, "of something else").unwrap();
    let (_, said) = told(&directory, &["index"], 2);
    assert!(said.contains("logs.jsonl.index`"), "{said}");
    told(&directory, &["index", "--remove"], 1);
    assert_eq!(fs::read_to_string(own).unwrap(), "of something else");
    assert_eq!(fs::read_to_string(telemetry.join("search.json.index")).unwrap(), "of a search");
}
