//! OTLP files → one request's story, and answers to questions over all requests. Knows OTLP and the flat line, nothing of ours.
//!
//! Each of these is usable without the others:
//!
//! - **Reading.** [`Search`] reads what the Collector wrote and keeps what belongs to one id; [`pass`] reads everything once,
//!   on all cores and in bounded memory, and gives each trace's spans in brief. Files may be packed, rotated, damaged, and
//!   of any version's spelling. Nothing is written beside them but an [`index`], where one is asked for.
//! - **Story.** [`Story`] orders the spans and lines of one trace into a tree, on one clock. Pure.
//! - **Verdict.** [`Verdict`] says where a story's time went and what failed first; [`Baseline`] compares it with the usual,
//!   [`diff`] with another story. Pure.
//! - **Audit.** [`audit`] says which hops lost the trace, and why. Pure, but for the function that reads for it.
//! - **Answers.** [`traces`], [`stats`], [`errors`], [`map`] fold what a pass gives; [`logs`] finds lines; [`follow`] tells
//!   requests as they complete. All of these, and stories, come as text for a terminal and as JSON.
//!
//! Nothing in the input can make it panic, recurse or print a control character: files come from anybody.
//!
//! # One request
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use journey::{Input, Search, Verdict, text};
//!
//! let place = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/telemetrygen");
//! let mut search = Search::new("2145967e".parse()?, Input::new(vec![place.into()]));
//! search.read()?;
//! let trace = search.traces()[0];
//! let story = search.story(trace);
//! let verdict = Verdict::of(&story);
//! assert_eq!(verdict.shares.iter().map(|share| share.percent).sum::<u64>(), 100);
//! print!("{}", text::render(&story, text::Look::default()));
//! # Ok(())
//! # }
//! ```
//!
//! # All requests
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use journey::{Input, Pass, brief::Picks, stats::Stats};
//!
//! let place = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/jaeger");
//! let mut stats = Stats::new(None);
//! let mut pass = Pass::new(Input::new(vec![place.into()]), Picks::default());
//! pass.run(&mut |spans| stats.take(spans), &mut |_bytes| {})?;
//! print!("{}", stats.finish().text(text_width()));
//! # fn text_width() -> usize { 100 }
//! # assert!(pass.counts().spans > 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Continuity
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use journey::audit::{self, Audit, Settings};
//!
//! let place = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/jaeger");
//! let mut audit = Audit::new(Settings { now: u64::MAX, ..Settings::default() });
//! audit::read(&[place.into()], &mut audit, &mut |_bytes| {})?;
//! let report = audit.finish();
//! assert!(report.is_sound());
//! # Ok(())
//! # }
//! ```

/// An export request → its spans and log records.
mod batch;
/// A place in JSON text that moves on.
mod cursor;
/// Ids in every spelling, and what a person may type for one.
pub mod id;
/// An index beside a file, so that one trace is found without reading the rest.
pub mod index;
/// Paths → blocks of whole lines.
pub mod input;
/// The flat line.
pub mod line;
/// The names that are read: attributes and fields.
pub mod names;
/// A line as it really is → the objects in it.
mod objects;
/// OTLP/JSON → spans and lines.
mod otlp;
/// A span, whatever the spelling of its file.
pub mod span;

/// One request beside the others of its route.
pub mod baseline;
/// Traces as OTLP/JSON, nothing lost.
pub mod cut;
/// Two stories, compared.
pub mod diff;
/// A story as one HTML file.
pub mod html;
/// A story as JSON.
pub mod json;
/// Which lines may concern an id.
pub mod scan;
/// One search over files that may still grow.
mod search;
/// Spans and lines → one request's story.
pub mod story;
/// A story as text.
pub mod text;
/// A story → where its time went, what failed first.
pub mod verdict;

/// Continuity: which hops lost the trace, and why.
pub mod audit;
/// A span in brief.
pub mod brief;
/// Failures, grouped by kind and place.
pub mod errors;
/// Requests as they complete, from files that grow.
pub mod follow;
/// Log lines, found by what is in them.
pub mod logs;
/// Who calls whom.
pub mod map;
/// One reading of everything, for questions over all spans.
pub mod pass;
/// Requests, failures and durations by service and route.
pub mod stats;
/// Traces, found and listed.
pub mod traces;
/// Spans in any order → traces, within bounds.
pub mod window;

/// Text from data, made harmless for a terminal.
pub mod escape;
/// What is known of each trace, in bounded memory.
mod lru;
/// Rows and columns as text.
mod table;

pub use baseline::Baseline;
pub use id::{NotAnId, SpanId, TraceId, Wanted};
pub use input::{Input, Unreadable};
pub use pass::Pass;
pub use search::{MOST_RUNS, Search};
pub use story::{Runs, Story};
pub use verdict::Verdict;
