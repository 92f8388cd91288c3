//! How long a story of 100,000 spans takes: ordered, told as text, judged, as JSON. `cargo bench -p journey --bench large`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench ends at its first surprise, and prints"
)]

use std::hint::black_box;
use std::time::Instant;

use journey::span::{Attributes, Kind, Span};
use journey::text::{Look, render};
use journey::{SpanId, Story, TraceId, Verdict};

const MANY: u64 = 100_000;

/// The parent of each span.
type Parent = fn(u64) -> Option<u64>;

fn span(id: u64, parent: Option<u64>) -> Span {
    let id_of = |id: u64| SpanId::read(&format!("{id:016x}")).unwrap();
    Span {
        trace: TraceId::read("4bf92f3577b34da6a3ce929d0e0e4736").unwrap(),
        id: id_of(id),
        parent: parent.map(id_of),
        service: format!("s{}", id % 3),
        instance: Some("i1".to_owned()),
        name: "work".to_owned(),
        kind: if id.is_multiple_of(2) { Kind::Server } else { Kind::Client },
        start: id,
        end: 2 * MANY - id,
        failed: false,
        status_message: String::new(),
        attributes: Attributes::new(),
        events: Vec::new(),
        links: Vec::new(),
    }
}

fn main() {
    let shapes: [(&str, Parent); 5] = [
        ("a chain", |id| Some(id - 1).filter(|id| *id > 0)),
        ("one parent", |id| Some(1).filter(|_| id > 1)),
        ("a tree", |id| Some(id / 8).filter(|parent| *parent > 0)),
        ("all orphans", |id| Some(id + MANY)),
        ("one circle", |id| Some(id % MANY + 1)),
    ];
    println!("{MANY} spans    story ms    text ms  verdict ms    json ms");
    for (shape, parent) in shapes {
        let spans: Vec<Span> = (1..=MANY).map(|id| span(id, parent(id))).collect();
        let mut last = Instant::now();
        let mut lap = || {
            let begun = std::mem::replace(&mut last, Instant::now());
            last.duration_since(begun).as_secs_f64() * 1e3
        };
        lap();
        let story = Story::new(TraceId::read("4bf92f3577b34da6a3ce929d0e0e4736").unwrap(), spans, Vec::new());
        let ordered = lap();
        black_box(render(&story, Look::default()));
        let text = lap();
        black_box(Verdict::of(&story));
        let verdict = lap();
        black_box(journey::json::render(&story));
        let json = lap();
        println!("{shape:<12} {ordered:10.0} {text:10.0} {verdict:11.0} {json:10.0}");
    }
}
