//! What can be told to this program.

use std::net::SocketAddr;

use telemetry::TrustedPeers;

use crate::store::Memory;

/// Flags, each with its variable.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address to serve on; port 0 lets the system choose
    #[arg(long, env = "THROUGHLINE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = service::parse_address)]
    pub listen: SocketAddr,
    /// Whose trace context is believed: none, loopback, private (loopback included), all, or CIDR blocks
    #[arg(long, env = "THROUGHLINE_TRUSTED_PEERS", value_name = "PEERS", default_value = "private")]
    pub trusted_peers: TrustedPeers,
    /// Memory for everything that is kept: entries with headers and overhead, and bodies still arriving
    #[arg(long, env = "THROUGHLINE_MEMORY_BYTES", value_name = "BYTES", default_value_t = 64 << 20,
          value_parser = service::parse_number(1_u64 << 20..=1 << 40))]
    pub memory_bytes: u64,
    /// Largest body that is stored, at most a quarter of the memory; larger ones pass by
    #[arg(long, env = "THROUGHLINE_MAX_OBJECT_BYTES", value_name = "BYTES", default_value_t = 8 << 20,
          value_parser = service::parse_number(1_u64..=1 << 40))]
    pub max_object_bytes: u64,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text instead of the flattened settings' own")]
    pub upstream: upstream::Settings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "as above")]
    pub limits: service::Limits,
    #[command(flatten)]
    #[allow(missing_docs, reason = "as above")]
    pub service: service::Settings,
}

impl Settings {
    pub(crate) fn memory(&self) -> Memory {
        Memory { total: self.memory_bytes, object: self.max_object_bytes }
    }
}
