//! Files come from anybody: nothing in them may end the program, keep it forever or speak to the terminal.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use journey::span::{Attributes, Event, Kind, Link, Span};
use journey::text::{Look, render};
use journey::{SpanId, Story, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

mod support;
use support::{
    CLIENT, INTERNAL, TRACE, directory, line, linked, pairs, request, searched, span, story, with,
};

fn plain(id: u64, parent: Option<u64>, start: u64, end: u64) -> Span {
    Span {
        trace: TraceId::read(TRACE).unwrap(),
        id: SpanId::read(&format!("{id:016x}")).unwrap(),
        parent: parent.map(|id| SpanId::read(&format!("{id:016x}")).unwrap()),
        service: format!("s{}", id % 3),
        instance: None,
        name: "work".to_owned(),
        kind: Kind::Internal,
        start,
        end,
        failed: false,
        status_message: String::new(),
        attributes: Attributes::new(),
        events: Vec::new(),
        links: Vec::new(),
    }
}

fn show(spans: Vec<Span>) -> (Story, String) {
    let story = Story::new(TraceId::read(TRACE).unwrap(), spans, Vec::new());
    let text = render(&story, Look::default());
    let json: Value = serde_json::from_str(&journey::json::render(&story)).unwrap();
    assert_eq!(json["spans"].as_array().unwrap().len(), story.spans().count());
    (story, text)
}

/// The parent of each span.
type Parent = fn(u64) -> Option<u64>;

/// It ends at all: quadratic work would take minutes, recursion would have no stack left. How fast it is, `benches/large.rs` tells.
#[test]
fn a_hundred_thousand_spans_of_any_shape_are_told_in_some_hundred_rows() {
    const MANY: u64 = 100_000;
    let shapes: [(&str, Parent, usize, &str); 5] = [
        ("a chain", |id| Some(id - 1).filter(|id| *id > 0), 1000, "… 99000 spans more"),
        ("a chain upwards", |id| Some(id + 1).filter(|id| *id <= MANY), 1000, "… 99000 spans more"),
        ("one parent", |id| Some(1).filter(|_| id > 1), 12, "… 99989 more like it"),
        ("all orphans", |id| Some(id + MANY), 21, "… 99990 more like it"),
        ("one circle", |id| Some(id % MANY + 1), 1000, "… 99000 spans more"),
    ];
    for (shape, parent, rows, rest) in shapes {
        let of_one = |id| Span { service: "one".to_owned(), ..plain(id, parent(id), id, 2 * MANY - id) };
        let story = Story::new(TraceId::read(TRACE).unwrap(), (1..=MANY).map(of_one).collect(), Vec::new());
        let text = render(&story, Look::default());
        let (_, told) = text.split_once("waiting\n").unwrap();
        let (tree, _) = told.split_once("\n\n").unwrap();
        assert_eq!(story.spans().count() as u64, MANY, "{shape}");
        assert_eq!(tree.lines().count(), rows + usize::from(rows == 1000), "{shape}: {tree}");
        assert!(tree.lines().last().unwrap().contains(rest), "{shape}: {tree}");
        if shape == "a chain" {
            let all = render(&story, Look { tells_all: true, ..Look::default() });
            assert!(all.lines().count() as u64 > MANY, "{shape}");
        }
    }
}

#[test]
fn a_line_that_is_nested_too_deep_is_no_line() {
    let deep = "[".repeat(200_000);
    let attribute = format!("{{\"key\":\"a\",\"value\":{deep}");
    let half = format!(
        "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{\"traceId\":\"{TRACE}\",\"attributes\":[{attribute}"
    );
    let many = format!("{{\"resourceSpans\":[{{\"{TRACE}\":").repeat(20_000);
    let text = [half, format!("{{\"trace_id\":\"{TRACE}\",\"x\":{deep}"), many].join("\n") + "\n";
    let search = searched(&directory("deep", &[("traces.jsonl", text.as_bytes())]));
    assert_eq!((search.count(), search.not_understood()), (0, (3, 0)));
}

fn any_span() -> impl Strategy<Value = Span> {
    // Few ids, so that duplicates, circles and missing parents are common; times at the ends of their range.
    let time = || prop_oneof![0..40_u64, Just(u64::MAX), Just(u64::MAX / 2), any::<u64>()];
    let texts = (".{0,12}", ".{0,12}", ".{0,30}");
    let parts = (
        1..9_u64,
        proptest::option::of(1..12_u64),
        time(),
        time(),
        texts,
        0..5_u8,
        vec((time(), 1..12_u64), 0..3),
    );
    parts.prop_map(|(id, parent, start, end, (service, name, text), kind, more)| {
        let names = [
            "http.request.method",
            "http.response.status_code",
            "http.request.resend_count",
            "throughline.cache.result",
            "error.type",
        ];
        let kinds = [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];
        let events = more.iter().map(|(time, _)| Event {
            time: *time,
            name: text.clone(),
            attributes: Attributes::new(),
        });
        let links = more.iter().map(|(_, span)| Link {
            trace: TraceId::read(TRACE).unwrap(),
            span: SpanId::read(&format!("{span:016x}")).unwrap(),
            attributes: Attributes::new(),
        });
        Span {
            service,
            name,
            kind: kinds[usize::from(kind)],
            failed: kind > 2,
            status_message: text.clone(),
            attributes: names.iter().map(|name| ((*name).to_owned(), json!(text))).collect(),
            events: events.collect(),
            links: links.collect(),
            ..plain(id, parent, start, end)
        }
    })
}

#[test]
fn nothing_in_the_data_reaches_the_terminal_as_a_command() {
    let evil = "\u{1b}[2J\u{7}\r\n\u{202e}\u{9b}";
    let attributes = json!({"http.request.method": evil, "url.path": evil, "http.response.status_code": evil, "throughline.cache.result": evil,
        "error.type": evil, "throughline.replica": evil, "throughline.retry_reason": evil, "db.system.name": evil});
    let events = json!([{"timeUnixNano": "1", "name": evil, "attributes": pairs(&json!({evil: evil}))}]);
    let mut one = linked(with(span(1, 9, evil, CLIENT, [0.0, 1.0], attributes), "events", events), TRACE, 1);
    one["status"] = json!({"code": 2, "message": evil});
    one["links"][0]["attributes"] = pairs(&json!({evil: evil}));
    let logs = [
        line(evil, 1, 1, 0.0, evil, evil, json!({evil: evil})),
        line(evil, 2, 5, 0.0, evil, evil, json!({evil: [evil, {"a": evil}]})),
    ];
    let told = render(&story("evil", &[request(evil, &[one])], &logs), Look::default());
    let harmful: Vec<char> = told
        .chars()
        .filter(|letter| letter.is_control() && *letter != '\n' || *letter == '\u{202e}')
        .collect();
    assert_eq!(harmful, [], "{told}");
    assert!(told.lines().all(|line| !line.starts_with("[2J")), "{told}");
}

proptest! {
    #[test]
    fn any_set_of_spans_is_a_story(spans in vec(any_span(), 0..30), width in 0..200_usize) {
        let mut ids: Vec<SpanId> = spans.iter().map(|span| span.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut reversed = spans.clone();
        reversed.reverse();
        let (story, text) = show(spans);
        prop_assert_eq!(story.spans().count(), ids.len(), "every id has one place");
        prop_assert_eq!(&text, &show(reversed).1, "the order does not matter");
        for (index, node) in story.nodes.iter().enumerate() {
            prop_assert!(node.own <= node.span.as_ref().map_or(0, Span::duration));
            prop_assert!(node.parent.is_none_or(|parent| parent < index), "a parent comes first");
        }
        let text = render(&story, Look { width, ..Look::default() });
        prop_assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{}", text);
    }

    #[test]
    fn any_bytes_can_be_read(bytes in vec(any::<u8>(), 0..300), cut in 0..400_usize, at in 0..400_usize) {
        let whole = [
            request("cache", &[span(1, 0, "GET", INTERNAL, [0.0, 1.0], json!({"a": 1}))]),
            line("cache", 1, 1, 0.5, "INFO", "request", json!({})),
        ].join("\n");
        let mut text = whole.into_bytes();
        text.truncate(text.len().saturating_sub(cut));
        let at = at.min(text.len());
        text.splice(at..at, bytes);
        let search = searched(&directory("any_bytes", &[("traces.jsonl", &text)]));
        for trace in search.traces() {
            render(&search.story(trace), Look::default());
        }
    }

    #[test]
    fn any_words_can_be_asked_for(words in ".{0,80}") {
        let _ = words.parse::<journey::Wanted>();
    }
}
