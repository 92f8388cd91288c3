//! `traces`: finds and lists requests, from the Collector's files alone.
//!
//! Exit codes: 0 found, 1 none found, 2 trouble, 64 usage.

use std::process::ExitCode;
use std::time::Duration;

use journey::brief::{MOST_HAS, Picks};
use journey::traces::{self, Filter, Order, Status, Traces};

use crate::reading::{self, Source, Told};

/// What can be told to `traces`.
#[derive(Debug, clap::Args)]
#[command(after_help = BOUNDS)]
pub(crate) struct Settings {
    /// Only those in which this service has a part; repeated: each of them
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Only those with this route somewhere: `/api/bookings/{id}`, or `GET /api/bookings/{id}`
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Only those that were answered so: `404`, or a class, `5xx`
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// Only those in which something failed
    #[arg(long)]
    errors: bool,
    /// Only those whose first span took longer
    #[arg(long, value_name = "DURATION", value_parser = service::parse_duration)]
    slower_than: Option<Duration>,
    /// Only those that began then or later: `2026-11-21T22:26:40Z`, or how long ago, `10m`
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    since: Option<u64>,
    /// Only those that began then or earlier
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    until: Option<u64>,
    /// Only those with a span that has this attribute (or whose resource has it): text, a number, true or false;
    /// repeated: each of them, up to 32
    #[arg(long, value_name = "ATTRIBUTE=VALUE", value_parser = parse_has)]
    has: Vec<(String, String)>,
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
span that was written twice is counted once only within them.";

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Sort {
    Time,
    Duration,
}

fn parse_has(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("must be a name and a value: `http.request.method=GET`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Finds and lists.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let Settings { has, source, .. } = settings;
    if has.len() > MOST_HAS {
        reading::complain(&format!(
            "`--has` is given {} times: at most {MOST_HAS} attributes can be asked for at once",
            has.len()
        ));
        return ExitCode::from(crate::USAGE);
    }
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let filter = Filter {
        services: settings.service,
        route: settings.route,
        status: settings.status,
        has_errors: settings.errors,
        slower_than: settings.slower_than.map(nanoseconds),
        since: settings.since,
        until: settings.until,
        has: has.iter().enumerate().fold(0, |bits, (at, _)| bits | 1 << at),
        order: match settings.sort {
            Sort::Time => Order::Time,
            Sort::Duration => Order::Duration,
        },
        limit: settings.limit,
    };
    let picks = Picks { has, ..Picks::default() };
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
