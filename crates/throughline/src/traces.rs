//! `traces`: finds and lists requests, from the Collector's files alone.
//!
//! Exit codes: 0 found, 1 none found, 2 trouble, 64 usage.

use std::process::ExitCode;

use journey::traces::{self, Filter, Order, Traces};

use crate::reading::{self, Source, Told, Which};

/// What can be told to `traces`.
#[derive(Debug, clap::Args)]
#[command(after_help = BOUNDS)]
pub(crate) struct Settings {
    #[command(flatten)]
    which: Which,
    /// Only those that began then or later: `2026-11-21T22:26:40Z`, or how long ago, `10m`
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    since: Option<u64>,
    /// Only those that began then or earlier
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    until: Option<u64>,
    /// What comes first: the newest (time) or the slowest (duration)
    #[arg(long, value_name = "ORDER", default_value = "time")]
    sort: Sort,
    /// So many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = service::parse_number(1_usize..=10_000))]
    limit: usize,
    #[command(flatten)]
    source: Source,
}

const BOUNDS: &str = "\
`took ms` is the time of the span that a trace begins with. However large the files, about 80 MB of spans (half \
a million) are held at a time: spans of one trace that lie further apart in the files are looked at apart, and a \
span that was written twice is counted once only within them.

Exit codes: 0 found, 1 none, 2 trouble, 64 usage.";

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Sort {
    Time,
    Duration,
}

/// Finds and lists.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let (filter, picks) = match settings.which.filter() {
        Ok(filter) => filter,
        Err(refusal) => {
            reading::complain(&refusal);
            return ExitCode::from(crate::USAGE);
        }
    };
    let filter = Filter {
        since: settings.since,
        until: settings.until,
        order: match settings.sort {
            Sort::Time => Order::Time,
            Sort::Duration => Order::Duration,
        },
        limit: settings.limit,
        ..filter
    };
    let source = settings.source;
    reading::answer_all(source, picks, "no such trace", Traces::new(filter), Traces::take, |found, form| {
        let found = found.finish();
        let shown = found.rows.len() as u64;
        let left_out = || format!("{shown} of {} traces: more with `--limit`", found.matching);
        Told {
            remark: (found.matching > shown).then(left_out),
            text: if form.json { traces::json(&found) } else { traces::text(&found, form.width) },
        }
    })
}
