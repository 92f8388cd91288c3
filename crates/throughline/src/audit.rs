//! `audit`: whether every hop carried the trace on, and where not, which hop and why, from the Collector's files alone.
//!
//! Exit codes: 0 sound, 1 broken, 2 trouble (also where there was no request to judge, or not everything could be read),
//! 64 usage.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use journey::audit::{self, Audit};

use crate::reading::{self, Source};

/// What can be told to `audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = BOUNDS)]
pub(crate) struct Settings {
    /// Only requests that began then or later: `2026-11-21T22:26:40Z`, or how long ago, `10m`
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    since: Option<u64>,
    /// Only requests that began then or earlier
    #[arg(long, value_name = "TIME", value_parser = reading::parse_moment)]
    until: Option<u64>,
    /// Only hops from or to this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// What ended less than so long ago may still be on its way, and is not counted
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = service::parse_duration)]
    settle: Duration,
    #[command(flatten)]
    source: Source,
}

const BOUNDS: &str = "\
Each row is a hop (who called → who was called, or one service) and a cause:
  not forwarded      the callee began a trace of its own for a call that it answered
  not trusted        the same, and it did not believe the caller: see its `--trusted-peers`
  malformed context  the same, and it says that it could not read the `traceparent` that came
  not exported       lines, children or answers tell of a span that is in no file
  unsampled parent   lines of a trace without spans, or spans whose flags say so
  clocks disagree    spans of one process stand outside their parents' time, most of them
  duplicate id       one id for two spans, or one trace for requests 10 minutes apart
  spans dropped, log lines dropped
                     lost by the count of the services (throughline.telemetry.dropped) or of the Collector
                     (otelcol_exporter_*_failed_*), in the metrics files beside the others
  lines without ids  lines of requests (method and path) that do not say of which trace
`share` is the part of the requests through that hop. Callers outside, whose spans nobody has sent here, later runs \
of a task, and requests in which a process was killed are no breaks: they are told as notes.

Exit codes: 0 sound, 1 broken, 2 trouble (also where there was no request to judge, or not everything could be \
read), 64 usage.

Files are read once, those of up to 64 series (`logs.jsonl` and what it was rotated to are one) side by side, in the \
order of their times. Memory does not grow with the files: 64 MB for spans and lines of traces that are still open, up to \
some 100 MB for what other traces may explain, and about 2 MB for each series and core that reads (lines of many MB and \
zstd take more). When those 64 MB are full, the trace that nothing was added to for longest is judged: what comes later of \
it may look like a break.";

/// Audits and tells.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let Settings { since, until, service, settle, source } = settings;
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let settings =
        audit::Settings { since, until, service, now: reading::now(), settle: nanoseconds(settle) };
    tell(settings, source).unwrap_or_else(|error| {
        reading::complain(&format!("{error:#}"));
        ExitCode::from(2)
    })
}

fn tell(settings: audit::Settings, source: Source) -> anyhow::Result<ExitCode> {
    let form = source.form();
    let from = source.places()?;
    let mut audit = Audit::new(settings);
    let read = reading::with_progress(|tell| audit::read(&from, &mut audit, tell))?;
    reading::some_files(&from, &read.tally)?;
    let report = audit.finish();
    let counts = [
        (read.counts.damaged, "damaged or foreign lines skipped"),
        (read.counts.half, "last lines are not whole yet"),
    ];
    if let Some(remark) = reading::tell_counts(&counts, &read.tally) {
        reading::complain(&remark);
    }
    if report.is_sound() && report.requests == 0 {
        let notes: String = report.notes.iter().map(|note| format!("; {}", note.words())).collect();
        bail!(
            "no request could be judged{notes}: `--since`, `--until`, `--service` and `--from` say which are looked at"
        );
    }
    reading::print(&if form.json { report.json() } else { report.text(form.width) })?;
    // Nothing is said to be sound where not everything could be looked at.
    let tally = &read.tally;
    let all_was_read = tally.unreadable.is_empty() && tally.cut_short == 0 && tally.too_long == 0;
    match all_was_read && report.is_whole() {
        false => Ok(ExitCode::from(2)),
        true if report.is_sound() => Ok(ExitCode::SUCCESS),
        true => Ok(ExitCode::from(1)),
    }
}
