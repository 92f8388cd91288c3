//! `trace`: tells the story of one request, from the Collector's files alone.
//!
//! Exit codes: 0 found, 1 not found, 2 trouble, 3 found and what `--fail-on` names is the case, 64 usage.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use journey::baseline::{Baseline, Usual};
use journey::text::Look;
use journey::{Runs, Search, Story, TraceId, Verdict};

use crate::reading::{self, Outcome};

/// It was found, and is what `--fail-on` names.
const FAILED_ON: u8 = 3;

/// What can be told to `trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = ROWS)]
pub(crate) struct Settings {
    #[command(flatten)]
    question: reading::Question,
    /// Only this trace: not what was done for the request again later, under traces of its own, nor whose request it was
    #[arg(long, env = "THROUGHLINE_NO_LINKS")]
    no_links: bool,
    /// Every span: otherwise, of more than 20 siblings that are alike the first 10 have rows, and the story ends after 1000
    #[arg(long, env = "THROUGHLINE_ALL")]
    all: bool,
    /// For programs: one JSON object
    #[arg(long, env = "THROUGHLINE_JSON")]
    json: bool,
    /// For other programs: its spans, and those of the traces that it goes on in, as OTLP/JSON, nothing left out; one export
    /// request a line (usually one line: a new one is begun after 4 MiB), for `/v1/traces` of any Collector or Jaeger
    /// (`curl -H 'content-type: application/json' --data-binary @-`), or to upload in Jaeger's page
    #[arg(long, env = "THROUGHLINE_OTLP", conflicts_with_all = ["json", "verdict"])]
    otlp: bool,
    /// For people: one HTML file with a waterfall to click through, which needs nothing else and fetches nothing; printed, so
    /// say `> story.html`. Bounded (100 000 spans of each trace, about 40 MB in all); the page says what it leaves out
    #[arg(long, env = "THROUGHLINE_HTML", conflicts_with_all = ["json", "verdict", "otlp"])]
    html: bool,
    /// Only the verdict: where the time went, what failed first, what was left for later, how sure that is
    #[arg(long, env = "THROUGHLINE_VERDICT")]
    verdict: bool,
    /// Compare it with the usual: p50 and p95 of the other requests of its route in the files, and what is the most above
    /// them. Reads all spans once more; standard input cannot be
    #[arg(long, env = "THROUGHLINE_BASELINE")]
    baseline: bool,
    /// For scripts: exit with 3 if the answer failed (`error`), or took longer than a duration (`slower-than=200ms`);
    /// may be repeated, or both separated by a comma
    #[arg(
        long,
        env = "THROUGHLINE_FAIL_ON",
        value_name = "error|slower-than=DURATION",
        value_delimiter = ','
    )]
    fail_on: Vec<FailOn>,
}

const ROWS: &str = "\
Beneath what was asked stands a row for each span: when it began, how long it took, how much of that was its own, and where in \
the whole it lies. Rows with `┄` are waits of which no span tells: of a request on its way to who answers it and of the answer \
on its way back (`network`), of a message until a worker takes it (`task queue`); from 1 ms and 1 % of the request's time on. \
Clocks of hosts that contradict their callers are corrected, and the story says so; `--json` has the times as they were written \
as well. Exit codes: 0 found, 1 not found, 2 trouble, 3 found and what `--fail-on` names is the case, 64 usage.";

/// What a script wants to hear of by the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailOn {
    /// The answer is a failure.
    Error,
    /// The answer took longer.
    SlowerThan(Duration),
}

impl FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "error" => Ok(Self::Error),
            Some(("slower-than", duration)) => service::parse_duration(duration).map(Self::SlowerThan),
            _ => Err("`error` or `slower-than=DURATION` is wanted, such as `slower-than=200ms`".to_owned()),
        }
    }
}

impl FailOn {
    /// Whether it is the case; `None`: no span was written that could tell.
    fn applies(self, verdict: &Verdict) -> Option<bool> {
        let took = Duration::from_nanos(verdict.took?);
        Some(match self {
            Self::Error => verdict.has_failed,
            Self::SlowerThan(bound) => took > bound,
        })
    }
}

/// Tells the story.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let from = settings.question.from.clone();
    let question = reading::Question { keeps_written: settings.otlp, ..settings.question };
    reading::answer(question, |mut search, trace| {
        // The verdict is of this trace alone, and OTLP names its links by their ids: neither needs another reading.
        let follows = Follows {
            runs: !settings.no_links && !settings.verdict,
            targets: !settings.verdict && !settings.otlp,
        };
        let (mut story, runs) = with_links(&mut search, trace, follows)?;
        if settings.baseline && !settings.otlp {
            story.usual = usual(&story, from)?;
        }
        let verdict = Verdict::of(&story);
        if settings.otlp {
            let traces: Vec<TraceId> =
                std::iter::once(&story).chain(&runs.stories).map(|story| story.trace).collect();
            let lines = search.otlp(&traces);
            ensure!(
                !lines.is_empty(),
                "no span of this trace was written: there is nothing for OTLP to hold"
            );
            reading::print(&lines)?;
            return exit_code(&settings.fail_on, &verdict);
        }
        if settings.html {
            reading::print(&journey::html::render(&story, &runs))?;
            return exit_code(&settings.fail_on, &verdict);
        }
        let look = Look { tells_all: settings.all, ..reading::look() };
        reading::print(&match (settings.json, settings.verdict) {
            (true, true) => journey::json::render_verdict(&story, &verdict) + "\n",
            (true, false) => journey::json::render_all(&story, &runs) + "\n",
            (false, true) => journey::text::render_verdict(&story, &verdict, look),
            (false, false) => journey::text::render_all(&story, &runs, look),
        })?;
        exit_code(&settings.fail_on, &verdict)
    })
}

/// `story` beside the other requests of its route in the files and directories `from`; `None` if it has no span.
///
/// # Errors
/// Standard input was read already; a place cannot be read.
fn usual(story: &Story, from: Vec<PathBuf>) -> anyhow::Result<Option<Usual>> {
    ensure!(
        from.iter().all(|place| place.as_os_str() != "-"),
        "`--baseline` reads everything once more, which standard input cannot be: name files or directories with `--from PATH`"
    );
    let Some(mut baseline) = Baseline::new(story) else { return Ok(None) };
    reading::read_all(reading::places(from)?, Baseline::picks(), &mut |spans| baseline.take(spans))?;
    Ok(Some(baseline.finish()))
}

/// What `verdict` means to a script that wants to hear of `fail_on`.
///
/// # Errors
/// No span tells whether it is the case.
fn exit_code(fail_on: &[FailOn], verdict: &Verdict) -> anyhow::Result<ExitCode> {
    let judged: Option<Vec<bool>> = fail_on.iter().map(|fail_on| fail_on.applies(verdict)).collect();
    let judged = judged.context("no span of this trace was written that `--fail-on` could judge")?;
    Ok(if judged.contains(&true) { ExitCode::from(FAILED_ON) } else { ExitCode::SUCCESS })
}

/// The story of trace `id` in the files and directories `from`, rendered for this process's standard output, once every one of
/// `services` has a part in it, or as it is after `wait`; `None` if no line of it has been written until then. Blocks: call
/// it off the asynchronous threads.
///
/// # Errors
/// `id` names no trace or several; a place cannot be read.
pub(crate) fn story_of(
    from: &[PathBuf],
    id: &str,
    services: &[&str],
    wait: Duration,
) -> anyhow::Result<Option<String>> {
    let (begun, wanted) = (Instant::now(), [id.parse()?]);
    loop {
        // It waits for what may be on its way; whoever acts on a request later is not missed by then.
        let left = wait.saturating_sub(begun.elapsed());
        let Outcome::Found(mut search, traces) = reading::search(&wanted, from.to_vec(), left, false)? else {
            return Ok(None);
        };
        let (story, runs) = with_links(&mut search, traces[0], Follows { runs: true, targets: true })?;
        let told = story.services();
        if services.iter().all(|service| told.contains(service)) || begun.elapsed() >= wait {
            return Ok(Some(journey::text::render_all(&story, &runs, reading::look())));
        }
    }
}

/// Which links are followed; each takes another reading of everything, where there are any.
struct Follows {
    /// To the traces in which the story goes on, or from which it does.
    runs: bool,
    /// To single spans of other traces, so that they can be named.
    targets: bool,
}

/// The story, and those that it goes on in or goes on from.
fn with_links(search: &mut Search, trace: TraceId, follows: Follows) -> anyhow::Result<(Story, Runs)> {
    let mut stories = vec![search.story(trace)];
    let mut runs = if follows.runs { search.runs(trace)? } else { Runs::default() };
    stories.append(&mut runs.stories);
    if follows.targets {
        search.follow_links(&mut stories)?;
    }
    let story = stories.remove(0);
    Ok((story, Runs { stories, ..runs }))
}
