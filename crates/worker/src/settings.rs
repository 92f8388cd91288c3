//! What this program can be told, as flags or environment.

use std::time::Duration;

use service::{parse_duration, parse_number};
use store::{Backoff, Kind, Places};

/// Settings of `throughline worker`.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
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
    #[arg(long, env = "THROUGHLINE_DATABASE_CONNECTIONS", value_name = "NUMBER", default_value_t = 8,
          value_parser = parse_number(1_u16..=1000))]
    pub database_connections: u16,
    /// How long a run waits for a connection to the database before it tries again
    #[arg(long, env = "THROUGHLINE_DATABASE_WAIT", value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub database_wait: Duration,
    /// How long a statement may run
    #[arg(long, env = "THROUGHLINE_STATEMENT_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub statement_timeout: Duration,
    /// Tasks of each other kind that run at the same time
    #[arg(long, env = "THROUGHLINE_CONCURRENCY", value_name = "NUMBER", default_value_t = 16, value_parser = parse_number(1_u16..=1000))]
    pub concurrency: u16,
    /// Webhooks that are delivered at the same time, a quarter of them at most to one receiver
    #[arg(long, env = "THROUGHLINE_WEBHOOK_CONCURRENCY", value_name = "NUMBER", default_value_t = 64, value_parser = parse_number(1_u16..=1000))]
    pub webhook_concurrency: u16,
    /// How long a task is ours without a sign of life; then another worker takes it
    #[arg(long, env = "THROUGHLINE_LEASE", value_name = "DURATION", default_value = "30s", value_parser = parse_lease)]
    pub lease: Duration,
    /// How long a task waits at most after its first failed run; the bound doubles with every further one
    #[arg(long, env = "THROUGHLINE_RETRY_FIRST", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub retry_first: Duration,
    /// How long a task waits at most after any failed run
    #[arg(long, env = "THROUGHLINE_RETRY_LONGEST", value_name = "DURATION", default_value = "6h", value_parser = parse_duration)]
    pub retry_longest: Duration,
    /// For how long tasks that are done are kept
    #[arg(long, env = "THROUGHLINE_KEEP_FINISHED", value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub keep_finished: Duration,
    /// For how long tasks that have failed for good are kept
    #[arg(long, env = "THROUGHLINE_KEEP_DEAD", value_name = "DURATION", default_value = "720h", value_parser = parse_duration)]
    pub keep_dead: Duration,
    /// How long a webhook's receiver may take to answer, from looking its name up to the last byte
    #[arg(long, env = "THROUGHLINE_WEBHOOK_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub webhook_timeout: Duration,
    /// Deliver webhooks to loopback, private and other addresses that are not public as well
    #[arg(long, env = "THROUGHLINE_ALLOW_PRIVATE_ADDRESSES")]
    pub allow_private_addresses: bool,
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

    /// No kind waits for the places of another: what waits for a receiver is not in the way of what needs the database alone.
    pub(crate) fn places(&self) -> Vec<Places> {
        let count = |kind| match kind {
            Kind::ConfirmBooking => self.concurrency,
            Kind::DeliverWebhook => self.webhook_concurrency,
        };
        Kind::ALL.map(|kind| Places { kind: kind.as_str().to_owned(), count: count(kind) }).into()
    }

    pub(crate) fn retries(&self) -> Backoff {
        Backoff { first: self.retry_first, longest: self.retry_longest }
    }
}

/// A shorter lease than a second would be lost by every pause of the machine, a longer one than a day never.
fn parse_lease(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(86_400);
    let lease = parse_duration(text)?;
    let refused = || "must be a duration from `1s` to `24h`".to_owned();
    bounds.contains(&lease).then_some(lease).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_neither_momentary_nor_endless() {
        for (text, good) in [("1s", true), ("30s", true), ("24h", true), ("999ms", false), ("25h", false)] {
            assert_eq!(parse_lease(text).is_ok(), good, "{text}");
        }
    }
}
