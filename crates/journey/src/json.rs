//! A story as JSON: a stable form for programs. Members may be added; none changes its meaning.
//!
//! ```json
//! {
//!   "trace_id": "32 hex digits",
//!   "complete": true,
//!   "gaps": [{"kind": "span", "span_id": "16 hex digits", "parent_of": ["cache"], "lines_of": [], "by": "load_balancer", "by_certain": false, "called_by": null}],
//!   "method": "GET", "path": "/api/bookings", "status": 200, "error_type": null,
//!   "started_at_unix_ns": 1795300000123456789, "duration_ms": 12.4, "extent_ms": 12.4,
//!   "services": ["load_balancer", "cache"],
//!   "duplicate_spans": 0,
//!   "clocks": [{
//!     "service": "cache", "instance": "…", "than_service": "load_balancer", "than_instance": "…", "ahead_ms": 12.4,
//!     "give_or_take_ms": 0.3, "contradictory": false, "span_id": "…"
//!   }],
//!   "spans": [{
//!     "span_id": "…", "parent_span_id": null, "depth": 0, "service": "load_balancer", "instance": "…", "name": "GET",
//!     "kind": "server", "start_offset_ms": 0.0, "duration_ms": 12.4, "own_ms": 0.3, "failed": false,
//!     "clock_correction_ms": 0.0, "written_start_unix_ns": 1795300000123456789, "written_end_unix_ns": 1795300000135856789,
//!     "status_message": "", "attempt": null, "attempts": null, "attributes": {}, "events": [], "links": []
//!   }],
//!   "waits": [{"waited": "request", "span_id": "…", "to_span_id": "…", "start_offset_ms": 0.5, "duration_ms": 1.2}],
//!   "lines": [{"offset_ms": 12.3, "line": {"message": "request", "span_id": "…"}}],
//!   "verdict": {
//!     "duration_ms": 12.4, "failed": false,
//!     "shares": [{
//!       "percent": 71, "duration_ms": 8.8, "spent": "database", "waiting": false, "service": "http_server", "to": null,
//!       "name": "SELECT bookings", "mixed": false, "spans": 1, "span_id": "…"
//!     }],
//!     "failure": {"first": "16 hex digits", "because": ["…"], "coped_with": false},
//!     "later": [{"span_id": "…", "service": "worker", "name": "…", "failed": false, "duration_ms": 12.0, "shares": []}],
//!     "usual": {
//!       "service": "load_balancer", "place": "GET", "route": "/api/bookings/{id}", "requests": 1204, "few": false,
//!       "p50_ms": 2.1, "p95_ms": 4.0, "times_p95": 3.1,
//!       "most": {"service": "http_server", "spent": "database", "duration_ms": 8.8, "p50_ms": 0.9, "p95_ms": 1.8}
//!     },
//!     "sure": "high", "doubts": []
//!   },
//!   "runs": [], "runs_left_out": []
//! }
//! ```
//!
//! All offsets are on one clock, that of the first span: `clocks` are those that were corrected, each `ahead_ms` of the one it is
//! compared with (negative: behind; `give_or_take_ms` is `null` where it is off by so much at least; `contradictory`: no one correction
//! fits, each visit to the process was moved by itself). `clock_correction_ms` was added to the times of a span, of its events and
//! lines; `written_start_unix_ns` and `written_end_unix_ns` are as they were written.
//! `spans` is flat, each span before what it caused (`depth` says how deep), siblings in time order; `gaps[].kind` is
//! `caller`, `span`, `circle` or `spans`; `by` is the service that should have written the span, `by_certain` if its lines say so,
//! `called_by` that of the call whose other end it may be. `waits` are times of which no span tells: of a `request` on its way to
//! who answers it (`to_span_id`), of its `answer` back, of a `message`; the longer ones, from 1 ms and 1 % of the request's time on. `lines` is in time order; `line` is the object as it was written.
//! `verdict` is [`Verdict`]: `shares[].percent` add up to 100, there and in each of `later`; `spent` is `own`, `database`, `key_value`,
//! `pool`, `wait_queue`, `cache_wait`, `shared_fetch`, `network`, `task_queue`, `call`, `retry` or `unaccounted`; `waiting` says whether nothing was done in it but to
//! wait for one's turn; `to` is who was asked; `name` is the span name that most of it belongs to, of so many `spans`, `mixed` with others.
//! `failure` is `null` where nothing failed; `because` are the spans that failed because of the first; it is `coped_with` if the answer did
//! not fail. `usual` is the request beside the others of its route in the files, `null` where that was not asked for: `few` if there are
//! too few to tell, `most` what is the most above half of the others. `sure` is `low`, `medium` or `high`, and `doubts` are for people to read.
//! `runs` are the stories of other traces that this one goes on in or goes on from, in time order, each in this form; `runs_left_out`
//! are the ids of further ones, which were too many to be read.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::id::{SpanId, TraceId};
use crate::names;
use crate::span::{Attributes, Event, Kind, Link, Span};
use crate::story::{Clock, Gap, Node, Runs, Story, Wait, Waited, Writer, in_time_order};
use crate::verdict::Verdict;

/// The verdict's form.
mod verdict;

const ALWAYS: &str = "text, numbers and maps with text keys always have a JSON form";

#[derive(Serialize)]
struct Whole<'s> {
    trace_id: String,
    complete: bool,
    gaps: Vec<GapForm>,
    method: Option<String>,
    path: Option<String>,
    status: Option<u64>,
    error_type: Option<String>,
    started_at_unix_ns: u64,
    duration_ms: Option<f64>,
    extent_ms: f64,
    services: Vec<&'s str>,
    duplicate_spans: usize,
    clocks: Vec<ClockForm<'s>>,
    spans: Vec<SpanForm<'s>>,
    waits: Vec<WaitForm>,
    lines: Vec<LineForm>,
    verdict: verdict::Form,
    runs: Vec<Whole<'s>>,
    runs_left_out: Vec<String>,
}

#[derive(Serialize)]
struct Alone {
    trace_id: String,
    verdict: verdict::Form,
}

#[derive(Serialize)]
struct GapForm {
    kind: &'static str,
    span_id: Option<String>,
    parent_of: Vec<String>,
    lines_of: Vec<String>,
    by: Option<String>,
    by_certain: bool,
    called_by: Option<String>,
}

#[derive(Serialize)]
struct ClockForm<'s> {
    service: &'s str,
    instance: Option<&'s str>,
    than_service: &'s str,
    than_instance: Option<&'s str>,
    ahead_ms: f64,
    give_or_take_ms: Option<f64>,
    contradictory: bool,
    span_id: String,
}

#[derive(Serialize)]
struct SpanForm<'s> {
    span_id: String,
    parent_span_id: Option<String>,
    depth: usize,
    service: &'s str,
    instance: Option<&'s str>,
    name: &'s str,
    kind: Kind,
    start_offset_ms: f64,
    duration_ms: f64,
    own_ms: f64,
    clock_correction_ms: f64,
    written_start_unix_ns: u64,
    written_end_unix_ns: u64,
    failed: bool,
    status_message: &'s str,
    attempt: Option<u64>,
    attempts: Option<u64>,
    attributes: &'s Attributes,
    events: Vec<EventForm<'s>>,
    links: Vec<LinkForm<'s>>,
}

#[derive(Serialize)]
struct EventForm<'s> {
    offset_ms: f64,
    name: &'s str,
    attributes: &'s Attributes,
}

#[derive(Serialize)]
struct LinkForm<'s> {
    trace_id: String,
    span_id: String,
    /// What the link leads to, where it is in the files.
    service: Option<String>,
    name: Option<String>,
    /// From the end of what it leads to until the start of this span; negative if that ended later.
    earlier_ms: Option<f64>,
    attributes: &'s Attributes,
}

#[derive(Serialize)]
struct WaitForm {
    waited: Waited,
    span_id: String,
    to_span_id: String,
    start_offset_ms: f64,
    duration_ms: f64,
}

#[derive(Serialize)]
struct LineForm {
    offset_ms: Option<f64>,
    line: Option<Box<RawValue>>,
}

/// `story` as one JSON object on one line, without its end.
pub fn render(story: &Story) -> String {
    render_all(story, &Runs::default())
}

/// [`render`], with the stories that it goes on in or goes on from.
pub fn render_all(story: &Story, runs: &Runs) -> String {
    let whole = Whole {
        runs: runs.stories.iter().map(form).collect(),
        runs_left_out: runs.left_out.iter().map(TraceId::to_string).collect(),
        ..form(story)
    };
    serde_json::to_string(&whole).expect(ALWAYS)
}

/// `verdict` alone: the member `verdict` of its story, after `trace_id`, as one JSON object on one line, without its end.
pub fn render_verdict(story: &Story, verdict: &Verdict) -> String {
    let alone = Alone { trace_id: story.trace.to_string(), verdict: verdict::form(verdict) };
    serde_json::to_string(&alone).expect(ALWAYS)
}

fn form(story: &Story) -> Whole<'_> {
    let (zero, end) = story.extent();
    let root = story.root();
    let gaps = story.gaps();
    Whole {
        trace_id: story.trace.to_string(),
        complete: matches!(gaps.as_slice(), [] | [Gap::Caller(_)]),
        gaps: gaps.into_iter().map(gap).collect(),
        method: root.and_then(|root| root.text(names::METHOD)),
        path: root.and_then(|root| root.text(names::PATH)),
        status: root.and_then(|root| root.number(names::STATUS)),
        error_type: root.and_then(|root| root.text(&[names::ERROR_TYPE])),
        started_at_unix_ns: zero,
        duration_ms: root.map(|root| milliseconds(root.duration())),
        extent_ms: milliseconds(end - zero),
        services: story.services(),
        duplicate_spans: story.duplicates,
        clocks: story.clocks.iter().map(clock).collect(),
        spans: story
            .nodes
            .iter()
            .filter_map(|node| Some(span(story, node, node.span.as_ref()?, zero)))
            .collect(),
        waits: waits(story, zero),
        lines: lines(story, zero),
        verdict: verdict::form(&Verdict::of(story)),
        runs: Vec::new(),
        runs_left_out: Vec::new(),
    }
}

fn clock(clock: &Clock) -> ClockForm<'_> {
    ClockForm {
        service: &clock.process.service,
        instance: clock.process.instance.as_deref(),
        than_service: &clock.than.service,
        than_instance: clock.than.instance.as_deref(),
        ahead_ms: clock.ahead as f64 / 1e6,
        give_or_take_ms: clock.give_or_take.map(milliseconds),
        contradictory: clock.is_contradictory,
        span_id: clock.span.to_string(),
    }
}

fn gap(gap: Gap) -> GapForm {
    let form = |kind, id: Option<SpanId>| GapForm {
        kind,
        span_id: id.map(|id| id.to_string()),
        parent_of: Vec::new(),
        lines_of: Vec::new(),
        by: None,
        by_certain: false,
        called_by: None,
    };
    match gap {
        Gap::Caller(id) => form("caller", Some(id)),
        Gap::Span { id, parent_of, lines_of, by, called_by } => GapForm {
            parent_of,
            lines_of,
            by_certain: matches!(by, Some(Writer::Certain(_))),
            by: by.map(|by| by.service().to_owned()),
            called_by,
            ..form("span", Some(id))
        },
        Gap::Circle(id) => form("circle", Some(id)),
        Gap::Spans => form("spans", None),
    }
}

fn span<'s>(story: &'s Story, node: &Node, span: &'s Span, zero: u64) -> SpanForm<'s> {
    let (start, end) = node.as_written.unwrap_or((span.start, span.end));
    SpanForm {
        span_id: span.id.to_string(),
        parent_span_id: span.parent.map(|id| id.to_string()),
        depth: node.depth,
        service: &span.service,
        instance: span.instance.as_deref(),
        name: &span.name,
        kind: span.kind,
        start_offset_ms: offset(span.start, zero),
        duration_ms: milliseconds(span.duration()),
        own_ms: milliseconds(node.own),
        clock_correction_ms: node.moved as f64 / 1e6,
        written_start_unix_ns: start,
        written_end_unix_ns: end,
        failed: span.failed,
        status_message: &span.status_message,
        attempt: node.attempt.map(|(number, _)| number),
        attempts: node.attempt.map(|(_, of)| of),
        attributes: &span.attributes,
        events: span.events.iter().map(|event| event_form(event, zero)).collect(),
        links: span.links.iter().map(|link| link_form(story, span, link)).collect(),
    }
}

fn event_form(event: &Event, zero: u64) -> EventForm<'_> {
    EventForm { offset_ms: offset(event.time, zero), name: &event.name, attributes: &event.attributes }
}

fn link_form<'s>(story: &Story, span: &Span, link: &'s Link) -> LinkForm<'s> {
    let target = story.target(link);
    LinkForm {
        trace_id: link.trace.to_string(),
        span_id: link.span.to_string(),
        earlier_ms: target.as_ref().map(|target| offset(span.start, target.end)),
        service: target.as_ref().map(|target| target.service.clone()),
        name: target.map(|target| target.name),
        attributes: &link.attributes,
    }
}

fn waits(story: &Story, zero: u64) -> Vec<WaitForm> {
    let form = |node: &Node, wait: Wait| WaitForm {
        waited: wait.waited,
        span_id: node.id.to_string(),
        to_span_id: story.nodes[wait.other].id.to_string(),
        start_offset_ms: offset(wait.start, zero),
        duration_ms: milliseconds(wait.duration()),
    };
    let of_node = |(index, node)| story.waits(index).into_iter().map(move |wait| form(node, wait));
    story.nodes.iter().enumerate().flat_map(of_node).collect()
}

fn lines(story: &Story, zero: u64) -> Vec<LineForm> {
    let form = |line: crate::line::Line| LineForm {
        offset_ms: line.time.map(|time| offset(time, zero)),
        // It was read as JSON; were it no more, the rest of the story would still be worth having.
        line: RawValue::from_string(line.raw).ok(),
    };
    in_time_order(story.lines().cloned().collect()).into_iter().map(form).collect()
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// Milliseconds from `zero` to `time`.
fn offset(time: u64, zero: u64) -> f64 {
    let apart = milliseconds(time.abs_diff(zero));
    if time < zero { -apart } else { apart }
}
