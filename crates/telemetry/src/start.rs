//! Starting and stopping.
use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// The running pipeline's tracer.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Gives ids and goes nowhere: for whoever makes spans before [`start`].
static UNSTARTED: LazyLock<SdkTracer> =
    LazyLock::new(|| SdkTracerProvider::builder().build().tracer("throughline"));

/// The tracer of every native span of this crate, and of what `tracing` spans become.
#[allow(dead_code, reason = "the layers that make spans are built beside this module")]
pub(crate) fn tracer() -> &'static SdkTracer {
    TRACER.get().unwrap_or_else(|| &UNSTARTED)
}
/// What a process tells about itself and where to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `service.name`: `load_balancer`, `cache`, …
    pub service: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`; a random UUID when not given.
    pub instance: Option<String>,
    /// `--otlp-endpoint`: before the standard `OTEL_EXPORTER_OTLP_*` variables, which count when it is not given.
    pub otlp_endpoint: Option<String>,
    /// False: nothing leaves over OTLP (the embedded collector: a collector never exports to itself); standard output only.
    pub export: bool,
}
/// Why telemetry could not start: a setting that cannot be read. Never because a Collector is away.
#[derive(Debug, thiserror::Error)]
#[error("`{setting}` is `{value}`, but must be {expected}")]
pub struct StartError {
    /// The flag's or variable's name.
    pub setting: String,
    /// What it was.
    pub value: String,
    /// The accepted form.
    pub expected: String,
}
/// What was recorded, exported and dropped since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {/* spans, log lines, metric points, stdout lines: recorded, exported, dropped */}
/// The running pipeline; stop it or lose what is queued.
#[derive(Debug)]
pub struct Telemetry(());
impl Telemetry {
    /// Flushes and stops everything within `within`, says in one line what was recorded, exported and dropped.
    /// Safe on any runtime, current-thread included.
    pub async fn stop(self, _within: Duration) -> Losses {
        todo!()
    }
}
/// Starts traces, metrics, logs, the line writer on standard output and the panic hook. Once a process.
/// Needs no Tokio runtime around it: the pipeline has a thread and a runtime of its own.
pub fn start(_settings: Settings) -> Result<Telemetry, StartError> {
    todo!()
}
