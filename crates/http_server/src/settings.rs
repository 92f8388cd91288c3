//! What this program can be told, as flags or environment.

use std::{net::SocketAddr, time::Duration};

use service::parse_duration;
use telemetry::TrustedPeers;

/// Settings of `throughline http-server`.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address to serve on; port 0 lets the system choose
    #[arg(long, env = "THROUGHLINE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8082", value_parser = service::parse_address)]
    pub listen: SocketAddr,
    /// Whose traceparent and forwarded headers are believed: none, loopback, private, all or CIDR blocks
    #[arg(long, env = "THROUGHLINE_TRUSTED_PEERS", value_name = "PEERS", default_value = "private")]
    pub trusted_peers: TrustedPeers,
    /// Database: postgres://USER:PASSWORD@HOST:PORT/DATABASE, or sqlite:PATH
    #[arg(
        long,
        env = "THROUGHLINE_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        default_value = "sqlite:./throughline-data/bookings.db"
    )]
    pub database_url: String,
    /// Connections to the database at most
    #[arg(long, env = "THROUGHLINE_DATABASE_CONNECTIONS", value_name = "NUMBER", default_value_t = 16,
          value_parser = service::parse_number(1_u16..=1000))]
    pub database_connections: u16,
    /// How long a request waits for a connection to the database (503 beyond it)
    #[arg(long, env = "THROUGHLINE_DATABASE_WAIT", value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub database_wait: Duration,
    /// How long a statement may run (503 beyond it)
    #[arg(long, env = "THROUGHLINE_STATEMENT_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub statement_timeout: Duration,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment would become the help of every flattened flag")]
    pub limits: service::Limits,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment would become the help of every flattened flag")]
    pub service: service::Settings,
}

impl Settings {
    pub(crate) fn store(&self) -> store::Settings {
        store::Settings {
            connections: self.database_connections.into(),
            wait: self.database_wait,
            statement_timeout: self.statement_timeout,
        }
    }
}
