//! collector: see DESIGN.md.

use std::{net::SocketAddr, process::ExitCode};

/// What can be told to this program, as flags or environment.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address to serve on; port 0 lets the system choose
    #[arg(long, env = "THROUGHLINE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:4317")]
    pub listen: SocketAddr,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: service::Settings,
}

/// Runs the process to its end.
pub fn run(settings: Settings) -> ExitCode {
    let identity = service::Identity { service: "collector", exports: true };
    let common = settings.service.clone();
    service::run(identity, common, async |life| open(settings, life).await)
}

async fn open(_settings: Settings, _life: &mut service::Life) -> Result<(), service::Error> {
    todo!()
}
