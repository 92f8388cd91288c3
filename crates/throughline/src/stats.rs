//! `stats`: requests, failures and percentiles of durations, from the Collector's files alone.
//!
//! Exit codes: as `traces`.

use std::process::ExitCode;

use journey::brief::Picks;
use journey::stats::Stats;

use crate::reading::{self, Source, Told};

/// What can be told to `stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = BOUNDS)]
pub(crate) struct Settings {
    /// Tell these values apart instead of routes: any attribute of a request's span or of its resource
    #[arg(long, value_name = "ATTRIBUTE")]
    by: Option<String>,
    #[command(flatten)]
    source: Source,
}

const BOUNDS: &str = "\
A request is a SERVER span, or a CONSUMER span of a task, whose parent is of no span of its own service. \
`slowest` is the trace of the slowest one. Percentiles are off by 1 % at most, `max` is exact. A terminal at \
least 100 columns wide shows how the durations of each row are spread, over one logarithmic axis from the \
shortest to the longest of all. The first 1000 rows are kept apart, the rest is told as (others). About 80 MB of \
spans are held at a time: a span that was written twice is counted once only within them.

Exit codes: 0 there are requests, 1 none, 2 trouble, 64 usage.";

/// Counts and tells.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let picks = Picks { by: settings.by.clone(), ..Picks::default() };
    let stats = Stats::new(settings.by);
    reading::answer_all(settings.source, picks, "no request", stats, Stats::take, |stats, form| {
        let table = stats.finish();
        Told { text: if form.json { table.json() } else { table.text(form.width) }, remark: None }
    })
}
