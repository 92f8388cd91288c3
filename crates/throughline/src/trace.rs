//! `trace`.
/// What can be told to `trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {}
/// Runs it.
pub(crate) fn run(_settings: Settings) -> std::process::ExitCode {
    todo!()
}
