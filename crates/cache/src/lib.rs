//! cache: see DESIGN.md.

use std::{net::SocketAddr, process::ExitCode};

/// What a request asks of a cache.
mod asked;
/// `Cache-Control`.
mod cache_control;
/// `Cache-Status`.
mod cache_status;
/// Lifetime and age.
mod freshness;
/// What a write makes wrong.
mod invalidate;
/// Keys.
mod key;
/// What may be stored.
mod storing;
#[cfg(test)]
mod tests;
/// Conditions.
mod validate;
/// Variants.
mod vary;

/// What can be told to this program, as flags or environment.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address to serve on; port 0 lets the system choose
    #[arg(long, env = "THROUGHLINE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: service::Settings,
}

/// Runs the process to its end.
pub fn run(settings: Settings) -> ExitCode {
    let identity = service::Identity { service: "cache", exports: true };
    let common = settings.service.clone();
    service::run(identity, common, async |life| open(settings, life).await)
}

async fn open(_settings: Settings, _life: &mut service::Life) -> Result<(), service::Error> {
    todo!()
}
