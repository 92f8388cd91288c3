//! Continuity: the audit names the right hop and cause of each way in which a trace can break, and nothing where none broke.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use journey::audit::{Cause, Report, Settings};
use proptest::prelude::*;
use serde_json::json;

mod audit_made;
use audit_made::{
    CACHE, CACHE_CALL, EDGE, EDGE_CALL, HOOK, HOOK_CALL, RUN, Request, SEND, SERVER, STATEMENT, all, audit,
    audit_with, requests,
};

/// A hop: who calls, who is called, the callee's first span and the caller's last one.
type Place = (&'static str, &'static str, u64, u64);

const PLACES: [Place; 4] = [
    ("load_balancer", "cache", CACHE, EDGE_CALL),
    ("cache", "http_server", SERVER, CACHE_CALL),
    ("http_server", "worker", RUN, SEND),
    ("worker", "webhook", HOOK, HOOK_CALL),
];

/// How a hop can break: in words, the cause that must be named, and what it does to a request; `None` where that cannot
/// happen at such a hop.
type Break = (&'static str, Cause, fn(&mut Request, Place) -> Option<()>);

const BREAKS: [Break; 13] = [
    ("context not forwarded", Cause::NotForwarded, |request, (.., first, _)| {
        request.cut(first);
        Some(())
    }),
    ("context not forwarded, no lines", Cause::NotForwarded, |request, (.., first, _)| {
        request.cut(first);
        request.without_lines(&[EDGE, CACHE, SERVER, RUN, HOOK]);
        Some(())
    }),
    ("not trusted: linked", Cause::NotTrusted, |request, (.., first, last)| {
        // A later run of a task is linked in this way, and is no break.
        (first != RUN).then_some(())?;
        let trace = request.trace();
        request.cut(first);
        request.linked(first, &trace, last);
        Some(())
    }),
    ("not trusted: it says so", Cause::NotTrusted, |request, (.., first, _)| {
        (first != RUN).then_some(())?;
        request.cut(first);
        request.says(first, "throughline.traceparent", "untrusted");
        Some(())
    }),
    ("malformed: the span says so", Cause::Malformed, |request, (.., first, _)| {
        request.cut(first);
        request.says(first, "throughline.traceparent", "malformed");
        Some(())
    }),
    ("malformed: a line says so", Cause::Malformed, |request, (.., first, _)| {
        request.line(first, "cannot parse traceparent", json!({}));
        request.cut(first);
        Some(())
    }),
    ("not exported: the callee's first span", Cause::NotExported, |request, (.., first, _)| {
        request.without(&[first]);
        Some(())
    }),
    ("not exported: no line tells either", Cause::NotExported, |request, (.., first, _)| {
        request.without(&[first]);
        request.without_lines(&[EDGE, CACHE, SERVER, RUN, HOOK]);
        Some(())
    }),
    ("not exported: nothing of the callee", Cause::NotExported, |request, (_, at, ..)| {
        request.without(match at {
            "cache" => &[CACHE, CACHE_CALL],
            "http_server" => &[SERVER, STATEMENT, SEND],
            "worker" => &[RUN, HOOK_CALL],
            _ => &[HOOK],
        });
        Some(())
    }),
    ("unsampled parent", Cause::Unsampled, |request, (.., first, _)| {
        request.unsampled_before(first);
        Some(())
    }),
    ("a clock that is behind", Cause::Clock, |request, (_, at, ..)| {
        request.shifted(at, -2000.0);
        Some(())
    }),
    ("a clock that is ahead", Cause::Clock, |request, (from, at, ..)| {
        // A task may begin at any time after it was left.
        (at != "worker" && from != "worker").then_some(())?;
        request.shifted(at, 2000.0);
        Some(())
    }),
    ("one id for two spans", Cause::DuplicateId, |request, (.., first, _)| {
        request.again(first, "something else");
        Some(())
    }),
];

/// What must be told of a break at `place`: a duplicate id lies within one service.
fn expected(place: Place, cause: Cause, count: u64) -> (Option<String>, String, Cause, u64) {
    let (from, at, ..) = place;
    ((cause != Cause::DuplicateId).then(|| from.to_owned()), at.to_owned(), cause, count)
}

fn told(report: &Report) -> Vec<(Option<String>, String, Cause, u64)> {
    let row = |row: &journey::audit::Finding| {
        (row.from.as_deref().map(str::to_owned), row.at.to_string(), row.cause, row.count)
    };
    report.findings.iter().map(row).collect()
}

#[test]
fn every_way_to_break_is_named_at_every_hop() {
    let (mut rows, mut right, mut wrong) = (0, 0, Vec::new());
    for place in PLACES {
        for (what, cause, change) in BREAKS {
            let mut list = requests(18);
            let is_possible = list.iter_mut().skip(3).step_by(3).all(|request| {
                if cause == Cause::Clock {
                    request.instance(place.1, "other");
                }
                change(request, place).is_some()
            });
            if !is_possible {
                continue;
            }
            rows += 1;
            let report = audit(&all(&list));
            let answer = told(&report);
            // A clock also disagrees with those whom its service calls.
            let named: Vec<_> = match cause {
                Cause::Clock => {
                    answer.iter().filter(|row| row.0.as_deref() == Some(place.0)).cloned().collect()
                }
                _ => answer.clone(),
            };
            match named == [expected(place, cause, 5)] && answer.iter().all(|row| row.2 == cause) {
                true => right += 1,
                false => wrong.push(format!("{} → {}: {what}\n{}", place.0, place.1, report.text(120))),
            }
        }
    }
    println!("{right} of {rows} breaks named");
    assert!(wrong.is_empty(), "{right} of {rows} named; these are not:\n\n{}", wrong.join("\n"));
    assert!(rows >= 45, "{rows}");
}

#[test]
fn a_hop_that_breaks_every_time_is_named_too() {
    for place in PLACES {
        let (_, cause, change) = BREAKS[0];
        let mut list = requests(10);
        list.iter_mut().for_each(|request| change(request, place).unwrap());
        let report = audit(&all(&list));
        assert_eq!(told(&report), [expected(place, cause, 10)], "{}", report.text(120));
        assert_eq!(report.findings[0].of, Some(10));
    }
}

/// Everything that looks odd and is not broken.
fn sound() -> Vec<Request> {
    let mut list = requests(40);
    // A hit: it ends at the cache, and is linked to what filled the entry.
    let filled_by = list[0].trace();
    list[1].without(&[CACHE_CALL, SERVER, STATEMENT, SEND, RUN, HOOK_CALL, HOOK]);
    list[1].without_lines(&[SERVER, RUN, HOOK]);
    list[1].linked(CACHE, &filled_by, CACHE_CALL);
    // A collapsed one waits for the fetch of another.
    list[2].without(&[CACHE_CALL, SERVER, STATEMENT, SEND, RUN, HOOK_CALL, HOOK]);
    list[2].without_lines(&[SERVER, RUN, HOOK]);
    // A first attempt that reached nobody, while others asked for the same.
    let call = json!({"http.request.method": "PUT", "server.address": "127.0.0.1", "server.port": 7001, "error.type": "connect"});
    list[3].add(20, EDGE, "load_balancer", 3, [0.2, 0.9], call);
    list[3].fails(20, "connect");
    // A task that runs again later, under a trace of its own that is linked to the first.
    let first = list[4].trace();
    list[4].cut(RUN);
    list[4].linked(RUN, &first, SEND);
    // A task that nobody has run yet, and a receiver that has no spans.
    list[5].without(&[RUN, HOOK_CALL, HOOK]);
    list[5].without_lines(&[RUN, HOOK]);
    // A server that is killed in the middle of a request: what it had not sent yet is gone.
    list[6].instance("http_server", "killed");
    list[6].without(&[SERVER, SEND, RUN, HOOK_CALL, HOOK]);
    list[6].without_lines(&[SERVER, RUN, HOOK]);
    list[6].fails(CACHE_CALL, "connection_reset");
    // A worker that is killed in the middle of a task.
    list[7].instance("worker", "killed too");
    list[7].without(&[RUN]);
    list[7].without_lines(&[RUN]);
    // Callers outside: one goes on with its trace, one is not believed, one sends nonsense.
    list[8].change(EDGE, |span| {
        (span["parentSpanId"], span["flags"]) = (json!("00f067aa0ba902b7"), json!(0x301));
    });
    list[9].linked(EDGE, "4bf92f3577b34da6a3ce929d0e0e4736", 77);
    list[10].says(EDGE, "throughline.traceparent", "malformed");
    // A database that is asked over HTTP, and an answer that nobody traced.
    let other = json!({"http.request.method": "GET", "server.address": "example.org", "http.response.status_code": 200});
    list[11].add(21, SERVER, "http_server", 3, [13.0, 30.0], other);
    // Written twice, as when a batch is sent again.
    let again = list[12].clone();
    list.push(again);
    list
}

#[test]
fn nothing_is_found_where_nothing_broke() {
    let report = audit(&all(&sound()));
    assert!(report.is_sound(), "{}", report.text(120));
    let notes: Vec<String> = report.notes.iter().map(|note| note.words()).collect();
    assert_eq!(
        notes,
        [
            "load_balancer: 1 requests go on traces of callers outside, whose spans are not here",
            "load_balancer: 2 requests brought a context from outside that it did not take over",
            "2 calls were left open by processes that ended",
        ]
    );
}

#[test]
fn only_the_range_is_judged_and_only_what_is_over() {
    let mut list = requests(30);
    list.iter_mut().for_each(|request| request.cut(CACHE));
    let lines = all(&list);
    let then = 1_795_300_000_000_000_000;
    let second = 1_000_000_000;
    let check = |settings: Settings, expected: u64, in_flight: bool| {
        let report = audit_with(&lines, settings);
        assert_eq!(report.breaks(), expected, "{}", report.text(120));
        let is_told = report.notes.iter().any(|note| note.words().contains("may still go on"));
        assert_eq!(is_told, in_flight, "{:?}", report.notes);
    };
    let all = Settings { now: u64::MAX, settle: 0, ..Settings::default() };
    check(all.clone(), 30, false);
    check(Settings { since: Some(then + 3 * second), ..all.clone() }, 15, false);
    check(Settings { until: Some(then + second), ..all.clone() }, 6, false);
    check(Settings { now: then + 6 * second, settle: 2 * second, ..all.clone() }, 20, true);
    check(Settings { service: Some("worker".to_owned()), ..all.clone() }, 0, false);
    check(Settings { service: Some("cache".to_owned()), ..all }, 30, false);
}

#[test]
fn a_trace_that_is_used_again_much_later_is_named() {
    let mut list = requests(4);
    let mut other = Request::new(5000);
    let trace = list[0].trace();
    for id in [EDGE, EDGE_CALL, CACHE, CACHE_CALL, SERVER, STATEMENT, SEND, RUN, HOOK_CALL, HOOK] {
        other.change(id, |span| span["traceId"] = json!(trace));
    }
    other.without_lines(&[EDGE, CACHE, SERVER, RUN, HOOK]);
    list.push(other);
    let report = audit(&all(&list));
    assert_eq!(told(&report), [(None, "load_balancer".to_owned(), Cause::DuplicateId, 1)]);
}

#[test]
fn lines_without_spans_and_lines_without_ids_are_named() {
    let mut list = requests(6);
    list[2].without(&[EDGE, EDGE_CALL, CACHE, CACHE_CALL, SERVER, STATEMENT, SEND, RUN, HOOK_CALL, HOOK]);
    let mut lines = all(&list);
    lines.push(
        r#"{"timestamp":"2026-11-21T22:26:40Z","service":"cache","message":"request","status":200}"#
            .to_owned(),
    );
    lines.push(r#"{"timestamp":"2026-11-21T22:26:40Z","service":"cache","message":"listening"}"#.to_owned());
    let report = audit(&lines);
    assert_eq!(
        told(&report),
        [
            (None, "load_balancer".to_owned(), Cause::Unsampled, 1),
            (None, "cache".to_owned(), Cause::NoIds, 1),
        ],
        "{}",
        report.text(120)
    );
    assert_eq!(report.findings[1].of, Some(7));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn any_order_of_lines_gives_the_same_answer(seed in any::<u64>(), at in 0..4_usize, how in 0..13_usize) {
        let mut list = requests(9);
        for request in list.iter_mut().step_by(2) {
            BREAKS[how].2(request, PLACES[at]);
        }
        list.extend(sound().into_iter().skip(9));
        let lines = all(&list);
        let mut shuffled = lines.clone();
        shuffled.sort_by_key(|line| {
            line.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        });
        prop_assert_eq!(audit(&lines), audit(&shuffled));
    }
}

#[test]
fn names_from_the_input_cannot_speak_to_the_terminal() {
    let mut list = requests(6);
    list.iter_mut().for_each(|request| {
        request.cut(CACHE);
        request.rename("cache", "ca\u{1b}[2J\u{202e}che\n");
    });
    let report = audit(&all(&list));
    assert_eq!(report.breaks(), 6);
    let text = report.text(200);
    assert!(
        !text.chars().any(|letter| letter.is_control() && letter != '\n' || letter == '\u{202e}'),
        "{text:?}"
    );
    assert!(text.contains("ca\\u{1b}[2J\\u{202e}che\\n"), "{text}");
    assert_eq!(report.json().lines().count(), report.findings.len() + report.notes.len() + 1);
}

/// Any moment, often one of the first or last.
fn moments() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..100_000_000_u64, u64::MAX - 100_000_000..=u64::MAX]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_line_ends_the_audit(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        which in 0..15_usize,
        at in 0..900_usize,
        with in any::<u8>(),
        cut in 0..900_usize,
    ) {
        let written = Request::new(1).written();
        let mut damaged = written[which % written.len()].clone().into_bytes();
        if let Some(byte) = damaged.get_mut(at) {
            *byte = with;
        }
        damaged.truncate(cut);
        let mut audit = journey::audit::Audit::new(Settings { now: u64::MAX, settle: 5, ..Settings::default() });
        audit.take(&bytes);
        audit.take(&damaged);
        audit.take_metrics(&bytes);
        audit.take(written.join("\n").as_bytes());
        let text = audit.finish().text(80);
        prop_assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
    }

    #[test]
    fn spans_of_any_shape_are_judged(
        spans in proptest::collection::vec((0..6_u64, 0..6_u64, 0..6_u64, moments(), moments(), 0..4_usize), 0..30),
    ) {
        // Few ids, so that circles, self-parents, duplicates and missing parents are common.
        let line = |(id, parent, kind, start, end, service): &(u64, u64, u64, u64, u64, usize)| {
            let parent = if *parent == 0 { String::new() } else { format!("{parent:016x}") };
            let service = ["a", "b", "c", ""][*service];
            json!({"resourceSpans": [{
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
                "scopeSpans": [{"spans": [{
                    "traceId": format!("{:032x}", 1 + start % 3), "spanId": format!("{:016x}", id + 1), "parentSpanId": parent,
                    "kind": kind, "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string(),
                    "flags": end % 1024, "name": "x",
                }]}],
            }]})
            .to_string()
        };
        let lines: Vec<String> = spans.iter().map(line).collect();
        let report = audit(&lines);
        prop_assert!(!report.text(80).is_empty() && !report.json().is_empty());
        for row in &report.findings {
            prop_assert!(row.of.is_none_or(|of| row.count <= of), "{row:?}");
        }
        let backwards: Vec<String> = lines.into_iter().rev().collect();
        prop_assert_eq!(report, audit(&backwards));
    }
}

/// Metrics of one service: what it has dropped until `second`.
fn dropped(signal: &str, second: u64, count: u64) -> String {
    let point = json!({
        "attributes": [{"key": "throughline.signal", "value": {"stringValue": signal}}],
        "startTimeUnixNano": "1", "timeUnixNano": (second * 1_000_000_000).to_string(), "asInt": count.to_string(),
    });
    json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cache"}},
            {"key": "service.instance.id", "value": {"stringValue": "c1"}}]},
        "scopeMetrics": [{"metrics": [{"name": "throughline.telemetry.dropped",
            "sum": {"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": true}}]}],
    }]})
    .to_string()
}

#[test]
fn what_was_counted_as_lost_is_told_as_far_as_it_was_lost_in_the_range() {
    let lost = |since: Option<u64>, until: Option<u64>| {
        let second = |second: u64| second * 1_000_000_000;
        let mut audit = journey::audit::Audit::new(Settings {
            since: since.map(second),
            until: until.map(second),
            now: u64::MAX,
            ..Settings::default()
        });
        for (at, count) in [(10, 0), (20, 3), (30, 3), (40, 7)] {
            audit.take_metrics(dropped("spans", at, count).as_bytes());
            audit.take_metrics(dropped("stdout_lines", at, count).as_bytes());
        }
        let report = audit.finish();
        (told(&report), report.notes.len())
    };
    let spans = |count| vec![(None, "cache".to_owned(), Cause::SpansDropped, count)];
    assert_eq!(lost(None, None), (spans(7), 1));
    assert_eq!(lost(Some(25), None), (spans(4), 1));
    assert_eq!(lost(None, Some(25)), (spans(3), 1));
    assert_eq!(lost(Some(25), Some(35)), (Vec::new(), 0));
}

#[test]
fn one_trace_id_for_everything_takes_time_in_proportion() {
    const COUNT: u64 = 20_000;
    let span = |number: u64, kind: u64, parent: u64, attributes: &str| {
        let parent = if parent == 0 { String::new() } else { format!("{parent:016x}") };
        let start = 1_795_300_000_000_000_000 + number;
        format!(
            r#"{{"traceId":"{:032x}","spanId":"{number:016x}","parentSpanId":"{parent}","kind":{kind},"name":"x","startTimeUnixNano":"{start}","endTimeUnixNano":"{}","attributes":[{attributes}]}}"#,
            1,
            start + 1_000_000
        )
    };
    let line = |service: &str, spans: Vec<String>| {
        let spans = spans.join(",");
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#
        )
    };
    let id =
        |number: u64| format!(r#"{{"key":"messaging.message.id","value":{{"stringValue":"m{number}"}}}}"#);
    let mut audit = journey::audit::Audit::new(Settings { now: u64::MAX, ..Settings::default() });
    // Requests, and a line about each; calls, and spans of the same service whose parents are missing; messages, and as
    // many others that were taken up.
    audit.take(line("a", (1..=COUNT).map(|number| span(number, 2, 0, "")).collect()).as_bytes());
    for number in 1..=COUNT {
        let line = format!(
            r#"{{"service":"a","trace_id":"{:032x}","span_id":"{number:016x}","message":"malformed traceparent"}}"#,
            1
        );
        audit.take(line.as_bytes());
    }
    let spans = (1..=COUNT).flat_map(|number| {
        [span(1 << 32 | number, 3, 0, ""), span(2 << 32 | number, 1, 3 << 32 | number, "")]
    });
    audit.take(line("b", spans.collect()).as_bytes());
    let spans = (1..=COUNT).flat_map(|number| {
        [span(4 << 32 | number, 4, 0, &id(number)), span(5 << 32 | number, 5, 0, &id(COUNT + number))]
    });
    audit.take(line("c", spans.collect()).as_bytes());
    let begun = std::time::Instant::now();
    let report = audit.finish();
    let took = begun.elapsed();
    println!("{took:?}\n{}", report.text(120));
    assert!(took.as_secs() < 10, "{took:?}");
}
