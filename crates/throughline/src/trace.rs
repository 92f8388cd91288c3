//! `trace`: tells the story of one request, from the Collector's files alone.
//!
//! Exit codes: 0 found, 1 not found, 2 trouble, 64 usage.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use journey::{Runs, Search, Story, TraceId};

use crate::reading::{self, Outcome};

/// What can be told to `trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    question: reading::Question,
    /// Only this trace: not what was done for the request again later, under traces of its own, nor whose request it was
    #[arg(long, env = "THROUGHLINE_NO_LINKS")]
    no_links: bool,
    /// For programs: one JSON object
    #[arg(long, env = "THROUGHLINE_JSON")]
    json: bool,
}

/// Tells the story.
pub(crate) fn run(settings: Settings) -> ExitCode {
    reading::answer(settings.question, |search, trace| {
        let (story, runs) = with_links(search, trace, !settings.no_links)?;
        Ok(match settings.json {
            true => journey::json::render_all(&story, &runs) + "\n",
            false => journey::text::render_all(&story, &runs, reading::look()),
        })
    })
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
    let (begun, wanted) = (Instant::now(), id.parse()?);
    loop {
        // It waits for what may be on its way; whoever acts on a request later is not missed by then.
        let left = wait.saturating_sub(begun.elapsed());
        let Outcome::Found(search, trace) = reading::search(&wanted, from.to_vec(), left)? else {
            return Ok(None);
        };
        let (story, runs) = with_links(*search, trace, true)?;
        let told = story.services();
        if services.iter().all(|service| told.contains(service)) || begun.elapsed() >= wait {
            return Ok(Some(journey::text::render_all(&story, &runs, reading::look())));
        }
    }
}

/// The story, and those that it goes on in or goes on from.
fn with_links(mut search: Search, trace: TraceId, wanted: bool) -> anyhow::Result<(Story, Runs)> {
    let mut stories = vec![search.story(trace)];
    let mut runs = if wanted { search.runs(trace)? } else { Runs::default() };
    stories.append(&mut runs.stories);
    search.follow_links(&mut stories)?;
    let story = stories.remove(0);
    Ok((story, Runs { stories, ..runs }))
}
