//! `diff`: compares two requests, from the Collector's files alone.
//!
//! Exit codes: 0 both found, whether or not they differ, 1 one of them not found, 2 trouble, 64 usage.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use journey::Wanted;
use journey::diff::Diff;

use crate::reading;

/// What can be told to `diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = MEANING)]
pub(crate) struct Settings {
    /// The first trace: its id, its first 4 or more digits, or text that holds it
    #[arg(value_name = "A")]
    a: Wanted,
    /// The second one, in the same forms
    #[arg(value_name = "B")]
    b: Wanted,
    /// A directory, a file or `-` for standard input; repeated: both are looked for in all of them, so they may be of two
    /// systems [default: ./throughline-data/telemetry, else ./telemetry]
    #[arg(long, env = "THROUGHLINE_FROM", value_name = "PATH")]
    from: Vec<PathBuf>,
    /// How long to wait for what is still on its way
    #[arg(long, env = "THROUGHLINE_WAIT", value_name = "DURATION", default_value = "2s", value_parser = service::parse_duration)]
    wait: Duration,
    /// Every span by itself, also those that are alike
    #[arg(long)]
    all: bool,
    /// For programs: one JSON object
    #[arg(long, env = "THROUGHLINE_JSON")]
    json: bool,
}

const MEANING: &str = "\
Spans are the same where they stand at the same place: the same service, kind and route or name, beneath spans that \
are the same. Of several such siblings those are paired first beneath which the same happened, then the others in \
time order.
  +  only B has it                >  slower in B, in whole or by itself
  -  only A has it                <  faster in B
  !  another outcome in B: status, kind of failure, cache result
Slower and faster is what differs by more than 1 % of the longer trace and by more than a fifth of the longer span. \
Spans that are alike, and three or more siblings that are new or gone alike, are one row (--all: each). 400 rows are \
printed, the rest is counted; --json has all. At the foot: the biggest differences in own time, by service and name. \
What was done again later, under traces of its own, is not compared.

Exit codes: 0 both were found, whether or not they differ; 1 one was not; 2 trouble; 64 usage.";

/// Compares and tells.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let Settings { a, b, from, wait, all, json } = settings;
    reading::answer_each(&[a, b], from, wait, false, |search, traces| {
        let (a, b) = (search.story(traces[0]), search.story(traces[1]));
        let diff = Diff::new(&a, &b);
        reading::print(&if json { diff.json() } else { diff.text(reading::look(), all) })?;
        Ok(ExitCode::SUCCESS)
    })
}
