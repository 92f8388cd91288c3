//! `logs`: prints log lines as they are, in time order, each once: for `jq` and the like. Of one request, or all that
//! match.
//!
//! Exit codes: 0 found, 1 none found, 2 trouble, 64 usage.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use journey::input::Block;
use journey::logs::{self, Filter, Level, Logs};
use journey::{Input, Wanted};

use crate::reading;

/// What can be told to `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = BOUNDS)]
pub(crate) struct Settings {
    /// Only one request's lines: its trace's id, the first 4 or more digits of it, or text that holds it: a
    /// `traceparent`, an `x-trace-id` header [default: the lines of everything]
    #[arg(value_name = "ID")]
    id: Option<Wanted>,
    /// Only lines so grave or graver: `trace`, `debug`, `info`, `warn`, `error`, `fatal`
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,
    /// Only lines whose logger's name begins so: `cache::`
    #[arg(long, value_name = "PREFIX")]
    logger: Option<String>,
    /// Only lines of this service; repeated: of any of them
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Only lines in which this text occurs, anywhere
    #[arg(long, value_name = "STRING")]
    text: Option<String>,
    /// Take small and capital letters of the text as the same
    #[arg(long, short, requires = "text")]
    ignore_case: bool,
    /// Only lines written then or later: `2026-11-21T22:26:40Z`, or how long ago, `10m`
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    since: Option<u64>,
    /// Only lines written then or earlier
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    until: Option<u64>,
    /// So many at most, the newest [default: 1000 without an ID, all with one]
    #[arg(long, value_name = "NUMBER", value_parser = service::parse_number(1_usize..=1_000_000))]
    limit: Option<usize>,
    /// A directory, a file or `-` for standard input; may be repeated [default: ./throughline-data/telemetry, else
    /// ./telemetry]
    #[arg(long, env = "THROUGHLINE_FROM", value_name = "PATH")]
    from: Vec<PathBuf>,
    /// With an ID: how long to wait for what is still on its way
    #[arg(long, env = "THROUGHLINE_WAIT", value_name = "DURATION", default_value = "2s", value_parser = service::parse_duration)]
    wait: Duration,
}

const BOUNDS: &str = "\
The newest line comes last; lines that do not say when come first. Lines are printed as they are in their file, \
records of OTLP as the flat line that the Collector's configuration makes of them; on a terminal whatever it would \
act on is spelt out, as JSON has it. Without an ID the newest lines are kept, 64 MB of them at most.

Exit codes: 0 found, 1 none found, 2 trouble, 64 usage.";

/// How many lines are printed without an id.
const USUAL_LIMIT: usize = 1000;

/// Prints the lines.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let Settings { id, level, logger, service, text, ignore_case, since, until, limit, from, wait } =
        settings;
    let of_all = if id.is_some() { usize::MAX } else { USUAL_LIMIT };
    let filter = Filter {
        level,
        logger,
        services: service,
        text,
        ignores_case: ignore_case,
        since,
        until,
        limit: limit.unwrap_or(of_all),
    };
    match id {
        Some(id) => of_trace(reading::Question { id, from, wait, keeps_written: false }, filter),
        None => of_everything(from, filter).unwrap_or_else(|error| {
            reading::complain(&format!("{error:#}"));
            ExitCode::from(2)
        }),
    }
}

fn of_trace(question: reading::Question, filter: Filter) -> ExitCode {
    reading::answer(question, |search, trace| {
        let lines = search.lines(trace);
        let (all, found) = (lines.len(), lines.into_iter().filter(|line| filter.is_met(&line.raw)));
        let found: Vec<String> = found.map(|line| line.raw).collect();
        if found.is_empty() && all > 0 {
            reading::complain(&format!("none of the {all} lines of trace `{trace}` is as asked for"));
            return Ok(ExitCode::from(1));
        }
        print(&found[found.len().saturating_sub(filter.limit)..])?;
        Ok(ExitCode::SUCCESS)
    })
}

fn of_everything(from: Vec<PathBuf>, filter: Filter) -> anyhow::Result<ExitCode> {
    let from = reading::places(from)?;
    let (mut logs, mut input) = (Logs::new(filter.clone()), Input::new(from.clone()));
    let (mut damaged, mut half, mut bytes) = (0, 0, 0);
    let look = |block: Block<'_>| {
        let mut logs = Logs::new(filter.clone());
        let odd = logs.take(block.text);
        ((logs, odd, block.is_ended), block.is_ended || odd == 0)
    };
    reading::with_progress(|tell| {
        input.read(&look, &mut |(found, odd, is_ended), more| {
            bytes += more;
            tell(bytes);
            logs.join(found);
            *(if is_ended { &mut damaged } else { &mut half }) += odd;
        })
    })?;
    let tally = input.tally();
    reading::some_files(&from, tally)?;
    let found = logs.finish();
    let shown = found.lines.len() as u64;
    let mut remarks: Vec<String> = Vec::new();
    if found.lines.is_empty() {
        remarks.push(format!("no such line (files: {}, lines: {})", tally.files, tally.lines));
    } else if found.matching > shown {
        remarks.push(format!("the newest {shown} of {} lines: more with `--limit`", found.matching));
    }
    let counts = [(damaged, "damaged or foreign lines skipped"), (half, "last lines are not whole yet")];
    remarks.extend(reading::tell_counts(&counts, tally));
    if !remarks.is_empty() {
        reading::complain(&remarks.join("; "));
    }
    print(&found.lines)?;
    Ok(match (found.lines.is_empty(), tally.unreadable.is_empty()) {
        (false, _) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::from(2),
    })
}

fn print(lines: &[String]) -> anyhow::Result<()> {
    let is_terminal = io::stdout().is_terminal();
    let shown: String = lines
        .iter()
        .flat_map(|line| [if is_terminal { logs::harmless(line) } else { line.as_str().into() }, "\n".into()])
        .collect();
    reading::print(&shown)
}
