//! Which lines are written: `RUST_LOG`, per logger, and what is never sent whatever it says.

use std::str::FromStr;

use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{filter::Targets, layer};

/// The code that carries telemetry out of the process: its own lines would feed on themselves, so only its
/// warnings are written, and to standard output only.
const TRANSPORTS: &[&str] = &["h2", "hyper", "hyper_util", "tonic", "tower", "reqwest", "opentelemetry"];

/// Levels per logger, in the syntax of `RUST_LOG`: `info,load_balancer::proxy=debug`.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Targets);

impl Filter {
    pub(crate) fn allows(&self, level: Level, logger: &str) -> bool {
        (level <= Level::WARN || !is_transport(logger)) && self.0.would_enable(logger, &level)
    }
}

impl Default for Filter {
    fn default() -> Self {
        Filter(Targets::new().with_default(LevelFilter::INFO))
    }
}

impl FromStr for Filter {
    type Err = <Targets as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Filter)
    }
}

/// For `tracing`'s events: the answer is asked once a call site and kept.
impl<S: Subscriber> layer::Filter<S> for Filter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &layer::Context<'_, S>) -> bool {
        metadata.is_event() && self.allows(*metadata.level(), metadata.target())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() && self.allows(*metadata.level(), metadata.target()) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        layer::Filter::<S>::max_level_hint(&self.0)
    }
}

/// `hyper::client`, `opentelemetry_sdk`, `opentelemetry-otlp`, …: the first word of the target decides.
pub(crate) fn is_transport(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    TRANSPORTS.contains(&name) || name.starts_with("opentelemetry")
}

/// Whether a `tracing` span becomes an OpenTelemetry span: what our code says at INFO and above.
pub(crate) fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::INFO && !is_transport(metadata.target())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_per_logger_and_transports_only_warn() {
        let filter: Filter = "info,cache=debug,cache::store=error,h2=trace".parse().expect("a filter");
        let check = |logger: &str, level: Level, expected: bool| {
            assert_eq!(filter.allows(level, logger), expected, "{logger} {level}");
        };
        check("load_balancer::proxy", Level::INFO, true);
        check("load_balancer::proxy", Level::DEBUG, false);
        check("cache", Level::DEBUG, true);
        check("cache::key", Level::DEBUG, true);
        check("cache::key", Level::TRACE, false);
        check("cache::store", Level::WARN, false);
        check("h2::proto", Level::WARN, true);
        check("h2::proto", Level::INFO, false);
        check("opentelemetry-otlp", Level::INFO, false);
        check("opentelemetry_sdk", Level::ERROR, true);
        check("hyperbolic", Level::INFO, true);
    }

    #[test]
    fn what_is_not_a_filter_is_refused() {
        assert!("info,cache=loud".parse::<Filter>().is_err());
    }
}
