//! OTLP files → one request's story, and answers to questions over all requests. Knows OTLP and the flat line, nothing of ours.
//!
//! [`Search`] reads what the Collector wrote and keeps what belongs to one id; [`Story`] orders it into a tree, purely;
//! [`Verdict`] judges it, [`text`] and [`json`] show both. [`pass`] reads everything once, on all cores and in bounded
//! memory, for [`traces`], [`stats`] and [`errors`]. Nothing is written beside the files that are read
//! but an [`index`], where one is asked for.
//!
//! Nothing in the input can make it panic, recurse or print a control character: files come from anybody.

/// Continuity: which hops lost the trace, and why.
pub mod audit;
/// One request beside the others of its route.
pub mod baseline;
/// An export request → its spans and log records.
mod batch;
/// A span in brief.
pub mod brief;
/// A place in JSON text that moves on.
mod cursor;
/// Traces as OTLP/JSON, nothing lost.
pub mod cut;
/// Two stories, compared.
pub mod diff;
/// Failures, grouped by kind and place.
pub mod errors;
/// Text from data, made harmless for a terminal.
mod escape;
/// Requests as they complete, from files that grow.
pub mod follow;
/// A story as one HTML file.
pub mod html;
/// Ids in every spelling, and what a person may type for one.
pub mod id;
/// An index beside a file, so that one trace is found without reading the rest.
pub mod index;
/// Paths → blocks of whole lines.
pub mod input;
/// A story as JSON.
pub mod json;
/// The flat line.
pub mod line;
/// Log lines, found by what is in them.
pub mod logs;
/// Who calls whom.
pub mod map;
/// The names that are read: attributes and fields.
pub mod names;
/// A line as it really is → the objects in it.
mod objects;
/// OTLP/JSON → spans and lines.
mod otlp;
/// One reading of everything, for questions over all spans.
pub mod pass;
/// Which lines may concern an id.
pub mod scan;
/// One search over files that may still grow.
mod search;
/// A span, whatever the spelling of its file.
pub mod span;
/// Requests, failures and durations by service and route.
pub mod stats;
/// Spans and lines → one request's story.
pub mod story;
/// Rows and columns as text.
mod table;
/// A story as text.
pub mod text;
/// Traces, found and listed.
pub mod traces;
/// A story → where its time went, what failed first.
pub mod verdict;
/// Spans in any order → traces, within bounds.
pub mod window;

pub use baseline::Baseline;
pub use id::{NotAnId, SpanId, TraceId, Wanted};
pub use input::{Input, Unreadable};
pub use pass::Pass;
pub use search::{MOST_RUNS, Search};
pub use story::{Runs, Story};
pub use verdict::Verdict;
