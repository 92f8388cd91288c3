//! `logs`: prints one request's log lines as they are, in time order, each once: for `jq` and the like.
//!
//! Exit codes: as `trace`.

use std::process::ExitCode;

use crate::reading;

/// What can be told to `logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    question: reading::Question,
}

/// Prints the lines.
pub(crate) fn run(settings: Settings) -> ExitCode {
    reading::answer(settings.question, |search, trace| {
        let lines: String = search.lines(trace).into_iter().map(|line| line.raw + "\n").collect();
        reading::print(&lines)?;
        Ok(ExitCode::SUCCESS)
    })
}
