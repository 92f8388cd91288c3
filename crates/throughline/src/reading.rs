//! What `trace` and `logs` share: where the files are, which trace is meant, and patience with what is still on its way.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use journey::story::Gap;
use journey::{Input, Search, TraceId, Wanted};

/// Where the embedded collector and docker-compose.yml put the files.
const USUAL_PLACES: [&str; 2] = ["./throughline-data/telemetry", "./telemetry"];
/// How often files that may grow are looked at again.
const PAUSE: Duration = Duration::from_millis(25);
/// A whole story that has not changed for so long is told.
const STABLE: Duration = Duration::from_millis(150);
/// What was recorded is written after so long at the very latest.
const LATEST: Duration = Duration::from_secs(2);
/// How many traces are named when a prefix fits several.
const MOST_CANDIDATES: usize = 10;

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
}

/// What came of a search.
pub(crate) enum Outcome {
    /// The search that found it, for whatever is asked of it next, and the trace.
    Found(Search, TraceId),
    /// Where was looked, in words.
    Nothing(String),
}

/// Searches until the story is whole and stable, or `wait` is over.
pub(crate) fn search(wanted: &Wanted, from: Vec<PathBuf>, wait: Duration) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let places: Vec<String> = from.iter().map(|place| format!("`{}`", place.display())).collect();
    let may_grow = from.iter().any(|place| place != Path::new("-"));
    let mut search = Search::new(wanted.clone(), Input::new(from));
    let mut state =
        State { count: 0, since: Duration::ZERO, end: Duration::ZERO, is_whole: false, may_be_whole: false };
    loop {
        search.read()?;
        let is_over = !may_grow || begun.elapsed() >= wait;
        match search.traces().as_slice() {
            [] if is_over => return Ok(Outcome::Nothing(nothing(wanted, &places, &search))),
            [trace]
                if is_over
                    || state
                        .of(&search, *trace, begun.elapsed())
                        .is_settled(since_1970(), begun.elapsed()) =>
            {
                let trace = *trace;
                return Ok(Outcome::Found(search, trace));
            }
            [] | [_] => std::thread::sleep(PAUSE),
            several => bail!("{}", ambiguous(wanted, several)),
        }
    }
}

/// What is known of a story that may still grow.
#[derive(Debug)]
struct State {
    /// How much of it was found.
    count: usize,
    /// How long after the search began it came to be so much.
    since: Duration,
    /// When it ended, since 1970.
    end: Duration,
    /// Whether nothing in it tells of something that is not there.
    is_whole: bool,
    /// Whether nothing is missing but what may never come: the span of somebody who called us, and the answer of
    /// somebody who has no spans.
    may_be_whole: bool,
}

impl State {
    fn of(&mut self, search: &Search, trace: TraceId, waited: Duration) -> &Self {
        if self.count != search.count() {
            let story = search.story(trace);
            let (gaps, is_answered) = (story.gaps(), story.is_answered());
            *self = Self {
                count: search.count(),
                since: waited,
                end: Duration::from_nanos(story.extent().1),
                is_whole: gaps.is_empty() && is_answered,
                may_be_whole: matches!(gaps.as_slice(), [] | [Gap::Caller(_)]),
            };
        }
        self
    }

    /// Whether nothing more is to be expected, at `now`, `waited` after the search began: it ended longer ago than
    /// anything is on its way, or it is whole and has not changed for a while.
    fn is_settled(&self, now: Duration, waited: Duration) -> bool {
        let age = now.saturating_sub(self.end);
        let is_stable = waited.saturating_sub(self.since) >= STABLE;
        age >= LATEST || self.may_be_whole && age >= LATEST / 2 || self.is_whole && is_stable
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn nothing(wanted: &Wanted, places: &[String], search: &Search) -> String {
    let tally = search.tally();
    format!(
        "nothing of trace `{wanted}` in {} (files: {}, lines: {})",
        places.join(" and "),
        tally.files,
        tally.lines
    )
}

fn ambiguous(wanted: &Wanted, traces: &[TraceId]) -> String {
    let mut text = format!("`{wanted}` begins the ids of {} traces:", traces.len());
    for trace in traces.iter().take(MOST_CANDIDATES) {
        text.push_str(&format!("\n  {trace}"));
    }
    if traces.len() > MOST_CANDIDATES {
        text.push_str("\n  …");
    }
    text
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

/// Searches as asked, tells what was found, and makes an exit code of it: 0 found, 1 not found, 2 trouble.
pub(crate) fn answer(
    question: Question,
    tell: impl FnOnce(Search, TraceId) -> anyhow::Result<String>,
) -> ExitCode {
    let told = places(question.from).and_then(|from| match search(&question.id, from, question.wait)? {
        Outcome::Nothing(place) => {
            complain(&place);
            Ok(ExitCode::from(1))
        }
        Outcome::Found(search, trace) => {
            if let Some(remark) = remark(&search) {
                complain(&remark);
            }
            print(&tell(search, trace)?)?;
            Ok(ExitCode::SUCCESS)
        }
    });
    told.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::from(2)
    })
}

/// What could not be read, in one line; `None` if all could be.
fn remark(search: &Search) -> Option<String> {
    let tally = search.tally();
    let (damaged, half) = search.not_understood();
    let counts = [
        (damaged, "damaged lines with this id skipped"),
        (half, "last lines with this id are not whole yet"),
        (tally.too_long, "lines too long to be read"),
        (tally.cut_short, "packed files end too early"),
        (tally.unreadable.len() as u64, "files could not be opened"),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{what}: {count}"))
        .collect();
    Some(told.join("; ")).filter(|text| !text.is_empty())
}

/// Prints to standard output; whoever has stopped reading has seen enough.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

fn complain(text: &str) {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_told_when_nothing_more_is_to_be_expected() {
        let ms = Duration::from_millis;
        let check = |(is_whole, may_be_whole), age: u64, unchanged: u64, expected: bool| {
            let state = State { count: 1, since: ms(10), end: ms(5000), is_whole, may_be_whole };
            let told = state.is_settled(ms(5000 + age), ms(10 + unchanged));
            assert_eq!(told, expected, "{state:?}, {age} ms old, unchanged for {unchanged} ms");
        };
        let (whole, perhaps, incomplete) = ((true, true), (false, true), (false, false));
        check(whole, 20, 0, false);
        check(whole, 20, 149, false);
        check(whole, 200, 150, true);
        check(whole, 1000, 0, true);
        check(perhaps, 200, 500, false);
        check(perhaps, 999, 900, false);
        check(perhaps, 1000, 0, true);
        check(incomplete, 1999, 1900, false);
        check(incomplete, 2000, 0, true);
    }
}
