//! `trace`.

use std::path::PathBuf;
use std::time::Duration;

/// What can be told to `trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {}
/// Runs it.
pub(crate) fn run(_settings: Settings) -> std::process::ExitCode {
    todo!()
}

/// The story of trace `id` (32 hex digits) in the files and directories `from`, rendered for this process's standard output; `None` if no
/// line of it has been written within `wait`. Blocks: call it off the asynchronous threads.
#[allow(dead_code, reason = "`up` is about to call it")]
pub(crate) fn story_of(_from: &[PathBuf], _id: &str, _wait: Duration) -> anyhow::Result<Option<String>> {
    todo!()
}
