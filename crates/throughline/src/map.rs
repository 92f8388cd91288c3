//! `map`: who calls whom, how often, how well and how fast, from the Collector's files alone.
//!
//! Exit codes: as `traces`.

use std::process::ExitCode;

use journey::brief::Picks;
use journey::map::{Filter, Map};

use crate::reading::{self, Source, Told};

/// What can be told to `map`.
#[derive(Debug, clap::Args)]
#[command(after_help = MEANING)]
pub(crate) struct Settings {
    /// A table, a graph for Graphviz (`| dot -Tsvg`), a flowchart for Mermaid, or as --json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Only calls from or to this service; repeated: any of them
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Only calls that began then or later: `2026-11-21T22:26:40Z`, or how long ago, `10m`
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    since: Option<u64>,
    /// Only calls that began then or earlier
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    until: Option<u64>,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Dot,
    Mermaid,
    Json,
}

const MEANING: &str = "\
A call is a SERVER or CONSUMER span whose parent is a span of another service, as the one tells it who was called. \
Where nobody answered with a span of their own (a database, a webhook's receiver, a replica that is down) it is the \
CLIENT or PRODUCER span, as the caller tells it; an address at which a service answered other calls is that service. \
(outside) is whoever called without a span in these files. Calls through a queue are async.

`per s` is over the time from --since to --until, else from the first call to the last. Percentiles are off by 1 % at \
most. The first 1000 edges are kept apart, the rest is told as (others). About 80 MB of spans are held at a time: \
spans of one trace that lie further apart in the files are looked at apart, and their callers are (outside).

Exit codes: 0 calls were found, 1 none, 2 trouble, 64 usage.";

/// Draws.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let Settings { format, service, since, until, source } = settings;
    let picks = Picks { peers: true, ..Picks::default() };
    let map = Map::new(Filter { services: service, since, until });
    reading::answer_all(source, picks, "no call", map, Map::take, |map, form| {
        let drawn = map.finish();
        let text = match format {
            _ if form.json => drawn.json(),
            Format::Json => drawn.json(),
            Format::Text => drawn.text(form.width),
            Format::Dot => drawn.dot(),
            Format::Mermaid => drawn.mermaid(),
        };
        Told { text, remark: None }
    })
}
