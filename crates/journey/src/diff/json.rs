//! A comparison as JSON: all of it, in the order of the text.
//!
//! `rows` is flat (`depth` says how deep), each before what it caused; `a` and `b` are the spans, `null` where there is none.
//! `change` is `new`, `gone`, `outcome`, `slower`, `faster` or `same`. Durations are milliseconds; `own_ms` is the time in which
//! none of a span's children ran. `biggest` is by service and name.

use serde::Serialize;

use crate::diff::{Change, Diff, outcome, place, root_duration};
use crate::span::{Kind, Span};
use crate::story::Story;

#[derive(Serialize)]
struct Whole<'s> {
    a: Side,
    b: Side,
    counts: Counts,
    biggest: Vec<BiggestForm>,
    rows: Vec<RowForm<'s>>,
}

#[derive(Serialize)]
struct Side {
    trace_id: String,
    started_at_unix_ns: u64,
    duration_ms: f64,
    spans: usize,
}

#[derive(Serialize)]
struct Counts {
    new: usize,
    gone: usize,
    outcome: usize,
    slower: usize,
    faster: usize,
    same: usize,
}

#[derive(Serialize)]
struct BiggestForm {
    service: String,
    name: String,
    a_spans: u64,
    b_spans: u64,
    a_own_ms: f64,
    b_own_ms: f64,
}

#[derive(Serialize)]
struct RowForm<'s> {
    change: Change,
    depth: usize,
    service: Option<&'s str>,
    name: Option<String>,
    kind: Option<Kind>,
    a: Option<SpanForm>,
    b: Option<SpanForm>,
}

#[derive(Serialize)]
struct SpanForm {
    span_id: String,
    duration_ms: f64,
    own_ms: f64,
    outcome: Option<String>,
}

pub(super) fn render(diff: &Diff<'_>) -> String {
    let rows = diff.rows.iter().map(|row| {
        let [a, b] = diff.spans(row);
        let [a_own, b_own] = diff.own(row);
        let either = b.or(a);
        RowForm {
            change: row.change,
            depth: row.depth,
            service: either.map(|span| &*span.service),
            name: either.map(place),
            kind: either.map(|span| span.kind),
            a: a.map(|span| form(span, a_own)),
            b: b.map(|span| form(span, b_own)),
        }
    });
    let biggest = diff.biggest().into_iter().map(|one| BiggestForm {
        service: one.service,
        name: one.name,
        a_spans: one.spans[0],
        b_spans: one.spans[1],
        a_own_ms: milliseconds(one.own[0]),
        b_own_ms: milliseconds(one.own[1]),
    });
    let whole = Whole {
        a: side(diff.a),
        b: side(diff.b),
        counts: Counts {
            new: diff.count(Change::New),
            gone: diff.count(Change::Gone),
            outcome: diff.count(Change::Outcome),
            slower: diff.count(Change::Slower),
            faster: diff.count(Change::Faster),
            same: diff.count(Change::Same),
        },
        biggest: biggest.collect(),
        rows: rows.collect(),
    };
    crate::table::json(&whole)
}

fn side(story: &Story) -> Side {
    Side {
        trace_id: story.trace.to_string(),
        started_at_unix_ns: story.extent().0,
        duration_ms: milliseconds(root_duration(story)),
        spans: story.spans().count(),
    }
}

fn form(span: &Span, own: u64) -> SpanForm {
    SpanForm {
        span_id: span.id.to_string(),
        duration_ms: milliseconds(span.duration()),
        own_ms: milliseconds(own),
        outcome: Some(outcome(span)).filter(|outcome| !outcome.is_empty()),
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}
