//! `logs`.
/// What can be told to `logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {}
/// Runs it.
pub(crate) fn run(_settings: Settings) -> std::process::ExitCode {
    todo!()
}
