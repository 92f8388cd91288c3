//! `up`.
/// What can be told to `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {}
/// Runs it.
pub(crate) fn run(_settings: Settings) -> std::process::ExitCode {
    todo!()
}
