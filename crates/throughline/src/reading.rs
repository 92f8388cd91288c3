//! What the commands that read files share: where the files are, which trace is meant, how an answer is told.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use journey::input::Tally;
use journey::{Search, TraceId, Wanted};

/// What `traces`, `stats` and `errors` share.
mod everything;
/// How long to wait for what is still on its way.
mod patience;
/// What takes so long.
mod progress;
/// What `traces` and `follow` share.
mod which;

pub(crate) use everything::{
    Source, Told, answer as answer_all, now, parse_moment, read as read_all, some_files, with_progress,
};
pub(crate) use patience::{Outcome, search};
pub(crate) use progress::Progress;
pub(crate) use which::Which;

/// Where the embedded collector and docker-compose.yml put the files.
const USUAL_PLACES: [&str; 2] = ["./throughline-data/telemetry", "./telemetry"];
/// Which trace, where to read, and how long to wait.
#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// The trace's id, its first 4 or more digits, or text that holds it: a `traceparent`, an `x-trace-id` header
    #[arg(value_name = "ID")]
    pub(crate) id: Wanted,
    /// A directory, a file or `-` for standard input; may be repeated [default: ./throughline-data/telemetry, else
    /// ./telemetry]
    #[arg(long, env = "THROUGHLINE_FROM", value_name = "PATH")]
    pub(crate) from: Vec<PathBuf>,
    /// How long to wait for what is still on its way
    #[arg(long, env = "THROUGHLINE_WAIT", value_name = "DURATION", default_value = "2s", value_parser = service::parse_duration)]
    pub(crate) wait: Duration,
    /// Whether spans are also wanted as they were written.
    #[arg(skip)]
    pub(crate) keeps_written: bool,
}

/// The places that were named, else the first usual one that is there.
pub(crate) fn places(named: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    if !named.is_empty() {
        return Ok(named);
    }
    let usual = USUAL_PLACES.iter().map(PathBuf::from).find(|place| place.is_dir());
    usual.map(|place| vec![place]).with_context(|| {
        let [first, second] = USUAL_PLACES;
        format!(
            "neither `{first}` nor `{second}` is here: say where the Collector's files are with `--from PATH`, or start \
             the system here with `throughline up`"
        )
    })
}

/// Searches as asked, has what was found told, and makes an exit code of it: 1 not found, 2 trouble, else as `tell` says.
pub(crate) fn answer(
    question: Question,
    tell: impl FnOnce(Search, TraceId) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let Question { id, from, wait, keeps_written } = question;
    answer_each(&[id], from, wait, keeps_written, |search, traces| tell(search, traces[0]))
}

/// The same for several traces: `tell` gets one for each of `wanted`.
pub(crate) fn answer_each(
    wanted: &[Wanted],
    from: Vec<PathBuf>,
    wait: Duration,
    keeps_written: bool,
    tell: impl FnOnce(Search, Vec<TraceId>) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let told = places(from).and_then(|from| match search(wanted, from, wait, keeps_written)? {
        Outcome::Nothing(place) => {
            complain(&place);
            Ok(ExitCode::from(1))
        }
        Outcome::Found(search, traces) => {
            if let Some(remark) = remark(&search) {
                complain(&remark);
            }
            tell(*search, traces)
        }
    });
    told.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::from(2)
    })
}

/// What could not be read, in one line; `None` if all could be.
fn remark(search: &Search) -> Option<String> {
    let (damaged, half) = search.not_understood();
    tell_counts(
        &[
            (damaged, "damaged lines with this id skipped"),
            (half, "last lines with this id are not whole yet"),
        ],
        search.tally(),
    )
}

/// `counts` that are not 0 and what `tally` tells of trouble, in one line; `None` if there is nothing to tell.
pub(crate) fn tell_counts(counts: &[(u64, &str)], tally: &Tally) -> Option<String> {
    let of_files = [
        (tally.too_long, "lines too long to be read"),
        (tally.cut_short, "packed files damaged or ending too early"),
        (tally.protobuf, "files of protobuf not read (set `format: json` at the Collector's file exporter)"),
        (tally.unreadable.len() as u64, "files could not be opened"),
        (
            tally.unfit.len() as u64,
            "indexes that do not fit their files (`throughline index` makes them anew)",
        ),
    ];
    let all = counts.iter().chain(&of_files).filter(|(count, _)| *count > 0);
    let counted = all.map(|(count, what)| format!("{what}: {count}"));
    let first = tally.unreadable.first().map(|unreadable| format!("{} ({})", unreadable, unreadable.source));
    let told: Vec<String> = counted.chain(first).collect();
    Some(told.join("; ")).filter(|text| !text.is_empty())
}

/// The places in words.
pub(crate) fn in_words(places: &[PathBuf]) -> String {
    places.iter().map(|place| format!("`{}`", place.display())).collect::<Vec<_>>().join(" and ")
}

/// That there is nothing to read in `places`, and what to try.
fn no_files(places: &str) -> String {
    format!(
        "{places} holds no file of spans or log lines (`*.jsonl`, `*.json`, rotated, gzip or zstd): name the directory that \
         the Collector writes to with `--from PATH`"
    )
}

/// Prints to standard output; whoever has stopped reading has seen enough.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Says it on standard error; what it names may come from anybody, the names of files included.
pub(crate) fn complain(text: &str) {
    let text = text.split('\n').map(journey::escape::visible).collect::<Vec<_>>().join("\n");
    // Nobody is left to be told if standard error is closed as well.
    let _ = writeln!(io::stderr().lock(), "throughline: {text}");
}

/// How a story may look on this process's standard output.
pub(crate) fn look() -> journey::text::Look {
    let out = io::stdout();
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    let size = rustix::termios::tcgetwinsize(&out).ok().filter(|size| size.ws_col > 0);
    journey::text::Look {
        width: size.map_or(journey::text::WIDTH, |size| usize::from(size.ws_col)),
        is_coloured: !is_set("NO_COLOR") && (is_forced || out.is_terminal()),
        ..journey::text::Look::default()
    }
}
