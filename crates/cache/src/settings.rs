//! What can be told to this program.

use std::{net::SocketAddr, time::Duration};

use telemetry::TrustedPeers;

use crate::{SecondSettings, policy::Policy, store::Memory};

/// Flags, each with its variable.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = crate::purge::HELP)]
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
    /// Keep answers that say nothing of their lifetime for a tenth of the time since they were last modified, a day at most
    #[arg(long, env = "THROUGHLINE_HEURISTIC_FRESHNESS")]
    pub heuristic_freshness: bool,
    /// Keep answers with Set-Cookie like others: only where no cookie is one user's
    #[arg(long, env = "THROUGHLINE_STORE_SET_COOKIE")]
    pub store_set_cookie: bool,
    /// Read Accept-Language as a list of preferences: order and case make no variants of an answer, the next hop gets it in
    /// one form, and an answer in the language that a request prefers (Content-Language) answers it
    #[arg(long, env = "THROUGHLINE_LANGUAGE_AWARE")]
    pub language_aware: bool,
    /// Keep what a POST answers with its own target as Content-Location and a lifetime, for GETs that follow
    #[arg(long, env = "THROUGHLINE_STORE_POST")]
    pub store_post: bool,
    /// How long after its lifetime an answer is given while the next hop cannot be reached, unless it forbids that; what it
    /// permits by itself (stale-if-error) counts in any case
    #[arg(long, env = "THROUGHLINE_STALE_ON_DISCONNECT", value_name = "DURATION", default_value = "0s", value_parser = service::parse_duration)]
    pub stale_on_disconnect: Duration,
    /// Redis (7.0 or later, no cluster) to share answers and invalidations with other caches, and to keep them over
    /// restarts: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS. While it is away nothing waits for it.
    /// What another cache has dropped is dropped here within milliseconds; while Redis is away it is given for as long as
    /// its lifetime (`max-age`) allows
    #[arg(long, env = "THROUGHLINE_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// What keys in Redis begin with: caches of one namespace share what they store, and must be in front of the same service
    #[arg(long, env = "THROUGHLINE_REDIS_NAMESPACE", value_name = "NAME", default_value = "throughline",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub redis_namespace: String,
    /// How late a request may be because of Redis
    #[arg(long, env = "THROUGHLINE_REDIS_BUDGET", value_name = "DURATION", default_value = "50ms", value_parser = service::parse_duration)]
    pub redis_budget: Duration,
    /// Largest body that is stored in Redis; larger ones stay in this cache's memory
    #[arg(long, env = "THROUGHLINE_REDIS_MAX_OBJECT_BYTES", value_name = "BYTES", default_value_t = 1 << 20,
          value_parser = service::parse_number(1_u64..=64 << 20))]
    pub redis_max_object_bytes: u64,
    /// How long Redis keeps anything at most
    #[arg(long, env = "THROUGHLINE_REDIS_MAX_AGE", value_name = "DURATION", default_value = "24h", value_parser = service::parse_duration)]
    pub redis_max_age: Duration,
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

    pub(crate) fn second(&self) -> Option<SecondSettings> {
        Some(SecondSettings {
            url: self.redis_url.clone()?,
            namespace: self.redis_namespace.clone(),
            budget: self.redis_budget,
            object: self.redis_max_object_bytes,
            longest: self.redis_max_age,
        })
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy {
            heuristic_freshness: self.heuristic_freshness,
            store_set_cookie: self.store_set_cookie,
            language_aware: self.language_aware,
            store_post: self.store_post,
            stale_on_disconnect: self.stale_on_disconnect,
        }
    }
}
