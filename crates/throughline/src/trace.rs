//! `trace`: tells the story of one request, from the Collector's files alone.
//!
//! Exit codes: 0 found, 1 not found, 2 trouble, 64 usage.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use journey::{Search, Story, TraceId};

use crate::reading::{self, Outcome};

/// What can be told to `trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    question: reading::Question,
    /// For programs: one JSON object
    #[arg(long, env = "THROUGHLINE_JSON")]
    json: bool,
}

/// Tells the story.
pub(crate) fn run(settings: Settings) -> ExitCode {
    reading::answer(settings.question, |search, trace| {
        let story = with_links(search, trace)?;
        Ok(match settings.json {
            true => journey::json::render(&story) + "\n",
            false => journey::text::render(&story, reading::look()),
        })
    })
}

/// The story of trace `id` in the files and directories `from`, rendered for this process's standard output; `None` if no
/// line of it has been written within `wait`. Blocks: call it off the asynchronous threads.
///
/// # Errors
/// `id` names no trace or several; a place cannot be read.
pub(crate) fn story_of(from: &[PathBuf], id: &str, wait: Duration) -> anyhow::Result<Option<String>> {
    Ok(match reading::search(&id.parse()?, from.to_vec(), wait)? {
        Outcome::Nothing(_) => None,
        Outcome::Found(search, trace) => {
            Some(journey::text::render(&with_links(*search, trace)?, reading::look()))
        }
    })
}

fn with_links(mut search: Search, trace: TraceId) -> anyhow::Result<Story> {
    let mut story = search.story(trace);
    search.follow_links(&mut story)?;
    Ok(story)
}
