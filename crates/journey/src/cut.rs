//! Traces, cut out of what was read as OTLP/JSON, nothing lost: for another program to read.
//!
//! [`Span`](crate::span::Span) keeps what a story needs; here a span stays the text that it was, with all members of it, its
//! scope and its resource, known or not. Only spellings are changed, to those that OTLP/JSON wants today ([`form`]). Each
//! span is there once, in an order that does not depend on that of the lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::id::{SpanId, TraceId};
use crate::scan::Needles;

/// The spellings of OTLP/JSON.
mod form;

use form::{Members, RESOURCE_SPANS, SCOPE_SPANS, SPAN};

/// A line is ended after so many bytes: a receiver takes no more than some megabytes at once (the Collector 20 MiB).
pub const LONGEST_LINE: usize = 4 << 20;

/// Spans as they were written.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    spans: BTreeMap<(TraceId, SpanId), Kept>,
}

/// A span, and the two that it stands in. The order is the order in which repeats of one id are preferred: what started
/// first, as in a story.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    start: u64,
    end: u64,
    within: Arc<Within>,
    text: String,
}

/// All members but the spans of a `ResourceSpans` and a `ScopeSpans`, each with a comma behind it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Within {
    resource: String,
    scope: String,
}

impl Cut {
    /// Keeps the wanted spans of the export request that `text` is; what is none has none.
    pub(crate) fn take(&mut self, text: &str, needles: &Needles, is_wanted: &impl Fn(TraceId) -> bool) {
        let Some(request) = Members::read(text) else { return };
        for of_resource in request.all("resourceSpans").flat_map(form::list).filter_map(Members::of) {
            let mut resource = None;
            let scopes = ["scopeSpans", "instrumentationLibrarySpans"];
            for of_scope in scopes.iter().flat_map(|name| of_resource.all(name)).flat_map(form::list) {
                if !needles.are_in(of_scope.get().as_bytes()) {
                    continue;
                }
                let Some(of_scope) = Members::of(of_scope) else { continue };
                let resource = resource.get_or_insert_with(|| of_resource.rest(&RESOURCE_SPANS, &scopes));
                let scope = of_scope.rest(&SCOPE_SPANS, &["spans"]);
                let within = Arc::new(Within { resource: resource.clone(), scope });
                let spans = of_scope.all("spans").flat_map(form::list);
                for span in spans.filter(|span| needles.are_in(span.get().as_bytes())) {
                    self.keep(span, &within, is_wanted);
                }
            }
        }
    }

    fn keep(&mut self, span: &RawValue, within: &Arc<Within>, is_wanted: &impl Fn(TraceId) -> bool) {
        let Some(members) = Members::of(span) else { return };
        let (trace, id) = (members.text("traceId"), members.text("spanId"));
        let ids = trace.and_then(|text| TraceId::read(&text)).zip(id.and_then(|text| SpanId::read(&text)));
        let Some(ids) = ids.filter(|(trace, _)| is_wanted(*trace)) else { return };
        let moment = |name: &str| members.text(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let (start, end) = (moment("startTimeUnixNano"), moment("endTimeUnixNano"));
        let kept = Kept { start, end, within: within.clone(), text: SPAN.write(span.get()) };
        self.insert(ids, kept);
    }

    /// Adds what another part of the input holds.
    pub(crate) fn extend(&mut self, other: Self) {
        other.spans.into_iter().for_each(|(ids, kept)| self.insert(ids, kept));
    }

    /// Lets go of the spans of other traces.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(&TraceId) -> bool) {
        self.spans.retain(|(trace, _), _| is_wanted(trace));
    }

    /// Keeps one of the spans with one id, the same one for any order.
    fn insert(&mut self, ids: (TraceId, SpanId), kept: Kept) {
        match self.spans.entry(ids) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(kept)),
            std::collections::btree_map::Entry::Occupied(mut entry) if kept < *entry.get() => {
                entry.insert(kept);
            }
            std::collections::btree_map::Entry::Occupied(_) => {}
        }
    }

    /// The spans of `traces` as export requests, one a line, grouped by resource and scope; a new line is begun after
    /// [`LONGEST_LINE`]. Empty if there are none.
    pub(crate) fn lines(&self, traces: &[TraceId]) -> String {
        let wanted = self.spans.iter().filter(|((trace, _), _)| traces.contains(trace));
        let mut spans: Vec<(&Within, TraceId, u64, SpanId, &str)> =
            wanted.map(|((trace, id), kept)| (&*kept.within, *trace, kept.start, *id, &*kept.text)).collect();
        spans.sort_unstable();
        let (mut lines, mut line) = (String::new(), String::new());
        let mut open: Option<&Within> = None;
        for (within, _, _, _, text) in spans {
            let Within { resource, scope } = within;
            let known = open.filter(|_| line.len() < LONGEST_LINE);
            let begin = match known {
                Some(known) if known == within => ",".to_owned(),
                Some(known) if known.resource == *resource => format!(r#"]}},{{{scope}"spans":["#),
                Some(_) => format!(r#"]}}]}},{{{resource}"scopeSpans":[{{{scope}"spans":["#),
                None => format!(r#"{{"resourceSpans":[{{{resource}"scopeSpans":[{{{scope}"spans":["#),
            };
            if known.is_none() && open.is_some() {
                lines.extend([&*std::mem::take(&mut line), END]);
            }
            line.push_str(&begin);
            line.push_str(text);
            open = Some(within);
        }
        if open.is_some() {
            lines.extend([&*line, END]);
        }
        lines
    }
}

/// What ends the spans, their scope, their resource and the request.
const END: &str = "]}]}]}\n";
