//! `errors`: what failed, by kind of failure and place, from the Collector's files alone.
//!
//! Exit codes: as `traces`.

use std::process::ExitCode;

use journey::brief::Picks;
use journey::errors::Errors;

use crate::reading::{self, Source, Told};

/// What can be told to `errors`.
#[derive(Debug, clap::Args)]
#[command(after_help = BOUNDS)]
pub(crate) struct Settings {
    /// Only what failed then or later: `2026-11-21T22:26:40Z`, or how long ago, `10m`
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    since: Option<u64>,
    /// Only what failed then or earlier
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    until: Option<u64>,
    #[command(flatten)]
    source: Source,
}

const BOUNDS: &str = "\
Each row is a kind of failure (`error.type`, else the exception's, else the status) at one place: a service and \
a route in it, or a span's name. A failure is told at each place that it reaches; `first` counts where nothing \
beneath it failed. `trace` is the last one; --json names three and what the last one says, as a terminal at \
least 150 columns wide does. The first 1000 rows are kept apart, the rest is told as (others). About 80 MB of \
spans are held at a time: a span that was written twice is counted once only within them.

Exit codes: 0 something failed, 1 none, 2 trouble, 64 usage.";

/// Gathers and tells.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let errors = Errors::new(settings.since, settings.until);
    reading::answer_all(
        settings.source,
        Picks::default(),
        "no failure",
        errors,
        Errors::take,
        |errors, form| {
            let table = errors.finish();
            Told { text: if form.json { table.json() } else { table.text(form.width) }, remark: None }
        },
    )
}
