//! Spans and lines as they come, and what is told when.

use std::time::Duration;

use super::*;
use crate::traces::Status;

/// 2026-11-21T22:26:40Z, in nanoseconds since 1970.
const THEN: u64 = 1_795_300_000_000_000_000;

/// A span of trace `trace`: ids are short, `parent` 0 stands for none.
fn span(trace: u64, id: u64, parent: u64, service: &str, status: u64) -> String {
    let parent = if parent == 0 { String::new() } else { format!("{parent:016x}") };
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"{trace:032x}","spanId":"{id:016x}","parentSpanId":"{parent}","name":"GET /x","kind":2,"startTimeUnixNano":"{THEN}","endTimeUnixNano":"{}","attributes":[{{"key":"http.response.status_code","value":{{"intValue":"{status}"}}}}]}}]}}]}}]}}"#,
        THEN + 2_500_000
    )
}

fn line(trace: u64, uid: u64) -> String {
    format!(
        r#"{{"timestamp":"2026-11-21T22:26:41Z","level":"INFO","service":"edge","uid":"{uid}","message":"m{uid}\u001b[2J","trace_id":"{trace:032x}"}}"#
    )
}

/// Takes what is written at each second, looks at it then, and says at which second what was told.
fn told(follow: &mut Follow, written: &[(u64, String)], last: u64) -> Vec<String> {
    let mut out = Vec::new();
    for second in 0..=last {
        let now = Duration::from_secs(second);
        let mut done = |told: Told| {
            let text = text(&told, 200);
            let id = format!("{}  ", told.row.trace);
            out.extend(text.lines().map(|line| format!("{second}: {}", line.replace(&id, ""))));
        };
        for (_, line) in written.iter().filter(|(at, _)| *at == second) {
            let (part, is_understood) = reader().read(line.as_bytes(), true);
            assert!(is_understood, "{line}");
            follow.take(part, now, &mut done);
        }
        follow.look(now, &mut done);
    }
    out
}

fn follow() -> Follow {
    Follow::new(Filter::default())
}

fn reader() -> Reader {
    Reader { with_lines: true, ..Reader::default() }
}

#[test]
fn a_request_is_told_once_when_it_is_whole_and_quiet() {
    let written = [(0, span(1, 2, 1, "api", 200)), (1, span(1, 1, 0, "edge", 200)), (1, line(1, 7))];
    let expected = [
        "3: 22:26:40.000       2.50 ms  200  GET /x  api, edge",
        "3: 22:26:41.000    INFO edge m7\\u{1b}[2J",
    ];
    assert_eq!(told(&mut follow(), &written, 100), expected);
}

#[test]
fn one_in_parts_is_told_later_and_one_that_never_rests_at_last() {
    let written = [(0, span(1, 2, 1, "api", 200))];
    assert_eq!(told(&mut follow(), &written, 100), ["10: 22:26:40.000       2.50 ms  200  GET /x  api"]);
    let endless: Vec<_> = (0..200).map(|second| (second, span(1, second + 1, 0, "api", 200))).collect();
    let told = told(&mut follow(), &endless, 100);
    assert_eq!(told[0], "60: 22:26:40.000       2.50 ms  200  GET /x  api");
}

#[test]
fn what_comes_later_is_told_only_where_it_changes_the_outcome() {
    let whole = (0, span(1, 1, 0, "edge", 200));
    let again = [whole.clone(), (5, span(1, 2, 1, "api", 200)), (9, span(1, 1, 0, "edge", 200))];
    assert_eq!(told(&mut follow(), &again, 30).len(), 1, "a service more, a span once more");
    let failed = [whole.clone(), (5, span(1, 2, 1, "api", 500))];
    assert_eq!(
        told(&mut follow(), &failed, 30),
        [
            "2: 22:26:40.000       2.50 ms  200  GET /x  edge",
            "7: again: 22:26:40.000       2.50 ms  200  GET /x  api, edge  1 failed"
        ]
    );
    let late = [whole.clone(), (200, span(1, 2, 1, "worker", 500))];
    assert_eq!(
        told(&mut follow(), &late, 300)[1..],
        ["202: again: 22:26:40.000       2.50 ms  200  GET /x  edge, worker  1 failed"],
        "long after it was told"
    );
    let lines = [whole, (5, line(1, 7)), (6, line(1, 8))];
    let told = told(&mut follow(), &lines, 30);
    assert_eq!(told.len(), 4, "the request, and once more with its lines: {told:?}");
    assert!(told[3].ends_with("m8\\u{1b}[2J"), "{told:?}");
}

#[test]
fn only_what_is_asked_for_is_told_also_when_that_shows_late() {
    let written =
        [(0, span(1, 1, 0, "edge", 200)), (5, span(1, 2, 1, "api", 500)), (0, span(2, 3, 0, "edge", 404))];
    let check = |wanted: Filter, expected: &[&str]| {
        let told = told(&mut Follow::new(wanted.clone()), &written, 30);
        let seconds: Vec<&str> = told.iter().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(seconds, expected, "{wanted:?}: {told:?}");
    };
    check(Filter::default(), &["2", "2", "7"]);
    check(Filter { status: "404".parse::<Status>().ok(), ..Filter::default() }, &["2"]);
    check(Filter { services: vec!["api".to_owned()], ..Filter::default() }, &["7"]);
    check(Filter { has_errors: true, ..Filter::default() }, &["7"]);
    check(Filter { slower_than: Some(3_000_000), ..Filter::default() }, &[]);
}

#[test]
fn what_is_held_has_a_bound_and_what_goes_for_it_is_told() {
    let mut follow = follow();
    follow.most = 20_000;
    let mut told = Vec::new();
    for number in 1..=500 {
        let text = span(number, number, 9999, "edge", 200) + "\n" + &line(number, 1) + "\n";
        let part = reader().read(text.as_bytes(), true).0;
        follow.take(part, Duration::ZERO, &mut |one| told.push(one.row.trace));
        assert!(follow.bytes <= 20_000, "{}", follow.bytes);
    }
    follow.look(LATE, &mut |one| told.push(one.row.trace));
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 500);
    let held = (follow.bytes, follow.open.len());
    follow.look(LATE + 100 * LONGEST, &mut |_| {});
    assert_eq!((follow.bytes, follow.open.len()), held, "nothing is forgotten while there is room");
}

#[test]
fn half_a_line_is_not_taken_before_it_is_whole() {
    let whole = span(1, 1, 0, "edge", 200);
    let (part, is_understood) = reader().read(&whole.as_bytes()[..whole.len() - 1], false);
    assert_eq!((part.spans.len(), is_understood), (0, false));
    let (part, is_understood) = reader().read(whole.as_bytes(), false);
    assert_eq!((part.spans.len(), is_understood), (1, true));
    let half = &line(1, 1).into_bytes()[..40];
    assert!(!reader().read(half, false).1);
}
