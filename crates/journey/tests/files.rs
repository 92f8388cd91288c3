//! What is read of files as they really are: rotated, packed, growing, damaged, written by others.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs::{self, OpenOptions};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use journey::{Input, Search};
use serde_json::{Value, json};

mod support;
use support::{INTERNAL, SERVER, TRACE, directory, file, line, request, searched, span};

/// An export request with one span of this id.
fn one(id: u64) -> String {
    request("cache", &[span(id, 0, "GET", SERVER, [0.0, 1.0], json!({}))])
}

fn one_line(uid: u64) -> String {
    line("cache", uid, 1, 0.5, "INFO", "request", json!({}))
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn frame(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).unwrap()
}

/// As the Collector's file exporter packs an export request: a frame, and its length before it.
fn framed(request: &[u8]) -> Vec<u8> {
    let frame = zstd::encode_all(request, 1).unwrap();
    [&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], &frame].concat()
}

/// What was found in a directory of `files`: the spans' last digits, the lines' `uid`s, and how many lines with the id
/// were damaged or not whole.
fn found(test: &str, files: &[(&str, &[u8])]) -> (String, String, (u64, u64)) {
    outline(&searched(&directory(test, files)))
}

fn outline(search: &Search) -> (String, String, (u64, u64)) {
    let Some(trace) = search.traces().first().copied() else {
        return (String::new(), String::new(), search.not_understood());
    };
    let story = search.story(trace);
    let mut spans: Vec<String> = story.spans().map(|span| span.id.to_string()[15..].to_owned()).collect();
    spans.sort_unstable();
    let uid = |line: journey::line::Line| line.uid.map(|uid| uid[17..].to_owned()).unwrap_or_default();
    (spans.concat(), search.lines(trace).into_iter().map(uid).collect(), search.not_understood())
}

fn expect(spans: &str, lines: &str, damaged: u64, half: u64) -> (String, String, (u64, u64)) {
    (spans.to_owned(), lines.to_owned(), (damaged, half))
}

#[test]
fn rotated_and_packed_files_are_read_and_metrics_are_not() {
    let files = [
        ("traces.jsonl", file(&[one(1)])),
        ("traces-2026-11-21T22-26-40.123.jsonl", file(&[one(2)])),
        ("traces-2026-11-20T22-26-40.123.jsonl.gz", packed(&file(&[one(3)]))),
        ("traces.jsonl.1", file(&[one(4)])),
        ("logs.jsonl", file(&[one_line(1)])),
        ("logs-2026-11-21T22-26-40.123.jsonl", file(&[one_line(2)])),
        ("metrics.jsonl", file(&[one(5)])),
        ("notes.txt", file(&[one(6)])),
    ];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &**bytes)).collect();
    assert_eq!(found("rotated", &files), expect("1234", "12", 0, 0));
}

#[test]
fn files_of_zstd_are_read_in_both_forms_of_the_collector() {
    let files = [
        (
            "traces.jsonl.zst",
            [frame(&(one(1) + "\n" + &one(2))), frame("\n"), frame(&(one(3) + "\n"))].concat(),
        ),
        ("traces.jsonl", [framed(one(4).as_bytes()), framed((one(5) + "\n").as_bytes())].concat()),
        ("traces.jsonl.2.zst", frame(&one(6))),
        ("logs.jsonl-2026-11-21T22-26-40.123-size.zst", frame(&(one_line(1) + "\n"))),
    ];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &**bytes)).collect();
    assert_eq!(found("zstd", &files), expect("123456", "1", 0, 0));
}

#[test]
fn a_packed_file_that_grows_is_read_on_from_where_a_frame_ended() {
    for framed_too in [false, true] {
        let packed = |id| if framed_too { framed(one(id).as_bytes()) } else { frame(&(one(id) + "\n")) };
        let whole = [packed(1), packed(2), packed(3)].concat();
        let (first, half) = (packed(1).len(), packed(1).len() + packed(2).len() / 2);
        let directory = directory("packed_grows", &[("traces.jsonl.zst", &whole[..first])]);
        let path = directory.join("traces.jsonl.zst");
        let mut search = searched(&directory);
        assert_eq!((&*outline(&search).0, search.tally().cut_short), ("1", 0));
        fs::write(&path, &whole[..half]).unwrap();
        search.read().unwrap();
        assert_eq!((&*outline(&search).0, search.tally().cut_short), ("1", 1), "what is cut short is said");
        fs::write(&path, &whole).unwrap();
        search.read().unwrap();
        assert_eq!(
            (&*outline(&search).0, search.tally().cut_short),
            ("123", 0),
            "and no longer when it is whole"
        );
        assert_eq!((search.count(), search.tally().files), (3, 1), "nothing was read twice");
    }
}

#[test]
fn protobuf_is_told_from_damage() {
    let request = b"\x0a\x05\x0a\x03abc";
    let plain = [&7_u32.to_be_bytes()[..], request].concat();
    let files = [
        ("traces.jsonl", plain.clone()),
        ("more.jsonl", framed(request)),
        ("native.jsonl", zstd::encode_all(&plain[..], 1).unwrap()),
        ("z.jsonl", file(&[one(1)])),
    ];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &**bytes)).collect();
    let search = searched(&directory("protobuf", &files));
    assert_eq!(outline(&search), expect("1", "", 0, 0));
    assert_eq!((search.tally().protobuf, search.tally().cut_short), (3, 0));
}

#[test]
fn large_files_are_read_in_pieces_and_each_line_once() {
    // Lines of all lengths around the size of a piece, so that they begin and end everywhere in it.
    let lines: Vec<String> = (1..=60_u64)
        .map(|id| {
            let filler = "x".repeat((id * 7919 % 1000 * 600) as usize);
            request("cache", &[span(id, 0, "GET", SERVER, [0.0, 1.0], json!({"filler": filler}))])
        })
        .collect();
    let search = searched(&directory("pieces", &[("traces.jsonl", &file(&lines))]));
    assert_eq!((search.count(), search.tally().lines, search.not_understood()), (60, 60, (0, 0)));
}

#[test]
fn what_was_written_twice_is_told_once() {
    let twice = file(&[one(1), one(1), one_line(1), one_line(1)]);
    assert_eq!(found("twice", &[("a.jsonl", &twice), ("b.jsonl", &twice)]), expect("1", "1", 0, 0));
}

#[test]
fn damaged_lines_cost_only_themselves() {
    let (a, b) = (one(1), one(2));
    let check = |test: &str, text: String, expected| {
        assert_eq!(found(test, &[("traces.jsonl", text.as_bytes())]), expected, "{text}");
    };
    check("half", format!("{}\n{b}\n", &a[..a.len() - 4]), expect("2", "", 1, 0));
    check("half_last", format!("{a}\n{}", &b[..b.len() - 4]), expect("1", "", 0, 1));
    check("no_last_end", format!("{a}\n{b}"), expect("12", "", 0, 0));
    check("glued", format!("{a}{b}\n"), expect("12", "", 0, 0));
    check("half_glued", format!("{}{b}\n", &a[..a.len() - 4]), expect("2", "", 1, 0));
    check("zeros", format!("\0\0\0{a}\n\0\0\0\0\n{b}\n"), expect("12", "", 0, 0));
    check(
        "foreign",
        format!("{TRACE}\n[\"{TRACE}\"]\n{{\"x\":\"{TRACE}\"}}\nnull\n{a}\n"),
        expect("1", "", 2, 0),
    );
    check("line_glued", format!("{}{}\n", &one_line(1)[..80], one_line(2)), expect("", "2", 1, 0));
    check("windows", format!("{a}\r\n{b}\r\n"), expect("12", "", 0, 0));
}

#[test]
fn bytes_that_are_no_text_cost_only_their_letters() {
    let mut bytes = one(1).replace("GET", "G_T").into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'_').unwrap();
    bytes[at] = 0xff;
    assert_eq!(found("no_text", &[("traces.jsonl", &bytes)]), expect("1", "", 0, 0));
}

#[test]
fn a_packed_file_that_ends_too_early_gives_what_it_has() {
    let lines: Vec<String> = (0..2000).map(|_| one(1)).collect();
    let whole = packed(&file(&lines));
    let directory = directory("cut_short", &[("traces.jsonl.gz", &whole[..whole.len() / 2])]);
    let search = searched(&directory);
    assert_eq!(outline(&search).0, "1");
    assert_eq!(search.tally().cut_short, 1);
}

#[test]
fn reading_again_gives_what_was_written_since() {
    let directory = directory("growing", &[("traces.jsonl", &file(&[one(1)]))]);
    let path = directory.join("traces.jsonl");
    let mut search = searched(&directory);
    assert_eq!(outline(&search), expect("1", "", 0, 0));

    let second = one(2) + "\n";
    let (begin, rest) = second.split_at(60);
    let append = |path, text: &str| {
        OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    append(&path, begin);
    search.read().unwrap();
    assert_eq!(outline(&search).0, "1");
    append(&path, rest);
    search.read().unwrap();
    assert_eq!(outline(&search), expect("12", "", 0, 0));

    // Rotated: the old file goes on under its new name, a new one begins.
    fs::rename(&path, directory.join("traces-2026.jsonl")).unwrap();
    append(&directory.join("traces-2026.jsonl"), &(one(3) + "\n"));
    fs::write(&path, one(4) + "\n").unwrap();
    search.read().unwrap();
    assert_eq!(outline(&search), expect("1234", "", 0, 0));
    assert_eq!(search.count(), 4, "nothing was read twice");
    assert_eq!(search.tally().lines, 4);
}

/// What is read next, in the order in which it is read, and what was wrong.
fn read(input: &mut Input) -> (String, Option<std::io::ErrorKind>) {
    let mut text = Vec::new();
    let outcome =
        input.read(&|block| (block.text.to_owned(), true), &mut |block: Vec<u8>, _| text.extend(block));
    (String::from_utf8(text).unwrap(), outcome.err().map(|error| error.source.kind()))
}

#[test]
fn a_place_that_is_gone_does_not_keep_others_from_being_followed() {
    let directory = directory("one_of_two", &[("a.jsonl", b"a1\n"), ("b.jsonl", b"b1\n")]);
    let (a, b) = (directory.join("a.jsonl"), directory.join("b.jsonl"));
    let gone = Some(std::io::ErrorKind::NotFound);
    let mut input = Input::growing(vec![a.clone(), b.clone()]);
    assert_eq!(read(&mut input), ("a1\nb1\n".to_owned(), None));
    let append = |text: &str| OpenOptions::new().append(true).open(&a).unwrap().write_all(text.as_bytes());
    append("a2\n").unwrap();
    let mut writer = OpenOptions::new().append(true).open(&a).unwrap();
    fs::rename(&a, directory.join("a-1")).unwrap();
    fs::write(&b, "b1\nb2\n").unwrap();
    assert_eq!(read(&mut input), ("a2\nb2\n".to_owned(), gone));
    writer.write_all(b"a3\n").unwrap();
    assert_eq!(read(&mut input), ("a3\n".to_owned(), gone), "renamed, it may still be written to");
    fs::remove_file(directory.join("a-1")).unwrap();
    assert_eq!(read(&mut input), (String::new(), gone));
    writer.write_all(b"a4\n").unwrap();
    assert_eq!(read(&mut input), (String::new(), gone), "removed, it is let go of");
    fs::write(&a, "a5 is long\n").unwrap();
    assert_eq!(read(&mut input), ("a5 is long\n".to_owned(), None));
}

#[test]
fn a_file_that_was_emptied_is_read_from_its_beginning() {
    let directory = directory("emptied", &[("a.jsonl", b"a1\n")]);
    let path = directory.join("a.jsonl");
    let mut input = Input::growing(vec![path.clone()]);
    assert_eq!(read(&mut input).0, "a1\n");
    fs::write(&path, "").unwrap();
    assert_eq!(read(&mut input).0, "");
    fs::write(&path, "more than before\n").unwrap();
    assert_eq!(read(&mut input).0, "more than before\n");
    assert_eq!(input.tally().files, 1);
}

#[test]
fn a_file_that_is_reached_twice_is_read_once() {
    let directory = directory("reached_twice", &[("traces.jsonl", &file(&[one(1)]))]);
    let places = vec![directory.clone(), directory.join("traces.jsonl"), directory.join("../reached_twice")];
    let mut search = Search::new(TRACE.parse().unwrap(), Input::new(places));
    search.read().unwrap();
    assert_eq!((search.count(), search.tally().files), (1, 1));
}

#[test]
fn lines_longer_than_a_block_are_read_whole() {
    let long = span(1, 0, "GET", SERVER, [0.0, 1.0], json!({"long": "x".repeat(5 << 20)}));
    assert_eq!(
        found("long", &[("traces.jsonl", &file(&[request("cache", &[long]), one(2)]))]),
        expect("12", "", 0, 0)
    );
}

#[test]
fn a_pipe_among_the_files_of_a_directory_is_not_waited_for() {
    let place = directory("pipe", &[("traces.jsonl", &file(&[one(1)]))]);
    let made = std::process::Command::new("mkfifo").arg(place.join("more.jsonl")).status().unwrap();
    assert!(made.success());
    let (told, told_by) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut search = Search::new(TRACE.parse().unwrap(), Input::new(vec![place]));
        search.read().unwrap();
        told.send(outline(&search)).unwrap();
    });
    let found = told_by.recv_timeout(std::time::Duration::from_secs(10)).expect("the pipe is passed over");
    assert_eq!(found, expect("1", "", 0, 0));
}

#[test]
fn a_place_that_is_not_there_is_named() {
    let mut search = Search::new(TRACE.parse().unwrap(), Input::new(vec!["/nowhere/at all".into()]));
    assert_eq!(search.read().unwrap_err().to_string(), "cannot read `/nowhere/at all`");
}

#[test]
fn otlp_is_read_in_every_spelling() {
    let spelt = [
        // snake_case, numbers as numbers, kinds and codes by name.
        json!({"resource_spans": [{"resource": {"attributes": support::pairs(&json!({"service.name": "a"}))}, "scope_spans": [{"spans": [{
            "trace_id": TRACE, "span_id": "0000000000000001", "name": "one", "kind": "SPAN_KIND_SERVER",
            "start_time_unix_nano": 1_795_300_000_000_000_000_u64, "end_time_unix_nano": 1_795_300_000_001_000_000_u64,
            "status": {"code": "STATUS_CODE_ERROR"}, "attributes": [{"key": "n", "value": {"int_value": 7}}],
        }]}]}]}),
        // ids in base64 and in upper case, an old Collector's libraries, members that nobody knows.
        json!({"resourceSpans": [{"schemaUrl": "x", "instrumentationLibrarySpans": [{"instrumentationLibrary": {"name": "l"}, "spans": [
            {"traceId": "S/kvNXezTaajzpKdDg5HNg==", "spanId": "AAAAAAAAAAI=", "parentSpanId": "AAAAAAAAAAE=", "name": "two", "kind": 3,
             "startTimeUnixNano": "1795300000000000000", "endTimeUnixNano": 1.795300000001e18, "unknown": {"deep": [1]}},
            {"traceId": TRACE.to_uppercase(), "spanId": "000000000000000A", "name": "three", "startTimeUnixNano": "1795300000000000000"},
            {"traceId": TRACE, "spanId": "short"}, {"traceId": TRACE}, [TRACE], TRACE, null,
        ]}]}]}),
    ];
    let lines: Vec<String> = spelt.iter().map(Value::to_string).collect();
    let search = searched(&directory("spellings", &[("traces.jsonl", &file(&lines))]));
    let story = search.story(search.traces()[0]);
    let told: Vec<String> = story
        .spans()
        .map(|span| {
            let parent = span.parent.map(|id| id.to_string()).unwrap_or_default();
            format!(
                "{} {} {} {parent} {} {}",
                span.service,
                span.name,
                span.kind,
                span.duration(),
                span.failed
            )
        })
        .collect();
    let expected = [
        "a one server  1000000 true",
        " two client 0000000000000001 999936 false",
        " three internal  0 false",
    ];
    assert_eq!(told, expected);
    assert_eq!(story.root().unwrap().number(&["n"]), Some(7));
}

#[test]
fn values_of_every_form_are_read() {
    let mut odd = span(1, 0, "GET", INTERNAL, [0.0, 1.0], json!({}));
    odd["attributes"] = json!([
        {"key": "text", "value": {"stringValue": "x"}}, {"key": "yes", "value": {"boolValue": true}},
        {"key": "int", "value": {"intValue": "-9007199254740993"}}, {"key": "float", "value": {"doubleValue": 1.5}},
        {"key": "nan", "value": {"doubleValue": "NaN"}}, {"key": "bytes", "value": {"bytesValue": "AAE="}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "y"}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "2"}}]}}},
        {"key": "empty", "value": {}}, {"key": "none"}, {"no": "key"}, 7,
    ]);
    let search = searched(&directory("values", &[("traces.jsonl", &file(&[request("a", &[odd])]))]));
    let story = search.story(search.traces()[0]);
    let expected = json!({"text": "x", "yes": true, "int": -9007199254740993_i64, "float": 1.5, "nan": "NaN", "bytes": "AAE=",
        "list": [1, "y"], "map": {"k": 2}, "empty": null});
    assert_eq!(Value::Object(story.root().unwrap().attributes.clone()), expected);
}

#[test]
fn log_records_that_were_left_as_otlp_become_the_same_flat_line() {
    let record = json!({
        "timeUnixNano": support::at(0.0).to_string(), "severityNumber": 9, "severityText": "INFO",
        "body": {"stringValue": "request"}, "traceId": TRACE, "spanId": "0000000000000001", "flags": 1,
        "attributes": support::pairs(&json!({"http.request.method": "GET", "url.path": "/", "http.response.status_code": 200,
            "log.record.uid": "9f3c2a71d04be856-1", "throughline.response_time_ms": 1.25, "error.type": "x"})),
    });
    let resource =
        json!({"attributes": support::pairs(&json!({"service.name": "cache", "service.instance.id": "c1"}))});
    let request = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {"name": "cache::proxy"}, "logRecords": [record]}]}]});
    let search = searched(&directory("records", &[("traces.jsonl", &file(&[request.to_string()]))]));
    let lines = search.lines(search.traces()[0]);
    let expected = json!({"timestamp": "2026-11-21T22:26:40.123456789Z", "level": "INFO", "service": "cache", "instance": "c1",
        "uid": "9f3c2a71d04be856-1", "logger": "cache::proxy", "message": "request", "trace_id": TRACE,
        "span_id": "0000000000000001", "method": "GET", "path": "/", "status": 200, "response_time_ms": 1.25, "error.type": "x"});
    assert_eq!(serde_json::from_str::<Value>(&lines[0].raw).unwrap(), expected);
    assert_eq!((lines[0].time, &*lines[0].message), (Some(support::ZERO), "request"));
}

#[test]
fn a_prefix_finds_every_trace_that_begins_so() {
    let other = one(1).replace(TRACE, "4bf900000000000000000000000000ff");
    let base64 = one(1).replace(TRACE, "S/kAAAAAAAAAAAAAAAAAAQ==");
    let directory = directory("prefix", &[("traces.jsonl", &file(&[one(1), other, base64, one_line(1)]))]);
    let traces = |typed: &str| {
        let mut search = Search::new(typed.parse().unwrap(), Input::new(vec![directory.clone()]));
        search.read().unwrap();
        search.traces().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(traces("4bf9").len(), 3);
    assert_eq!(traces("4BF92f"), [TRACE]);
    assert_eq!(traces("4bf90000000000000000000000000001"), ["4bf90000000000000000000000000001"]);
    assert_eq!(traces("4bf93"), Vec::<String>::new());
}

#[test]
fn of_a_prefix_that_fits_many_traces_only_the_ids_are_held() {
    let id = |number: usize| format!("{}{number:06x}", &TRACE[..26]);
    let lines: Vec<String> =
        (0..12_000).map(|number| one_line(number as u64).replace(TRACE, &id(number))).collect();
    let directory = directory("vague", &[("logs.jsonl", &file(&lines))]);
    let exact = id(7);
    let wanted = vec![TRACE[..20].parse().unwrap(), exact.parse().unwrap()];
    let mut search = Search::for_any(wanted, Input::new(vec![directory]));
    search.read().unwrap();
    let traces = search.traces();
    assert_eq!(traces.len(), 12_000);
    let held: Vec<String> =
        traces.iter().filter(|trace| !search.lines(**trace).is_empty()).map(ToString::to_string).collect();
    assert!(held.len() < 10_000 && !held.contains(&id(0)), "{}", held.len());
    assert!(held.contains(&exact), "what was asked for by its whole id is held");
}
