//! Starting and stopping, once a process: settings and environment in, one pipeline out, and what `tracing`, panics
//! and native spans do in this process connected to it.

use std::{
    fs::File,
    io,
    os::fd::AsFd as _,
    sync::{Arc, LazyLock, OnceLock},
    time::Duration,
};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::{environment::Environment, layer, line, loss::Losses, panic, pipeline::Pipeline};

/// The running pipeline's tracer.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Gives ids and goes nowhere: for whoever makes spans before [`start`].
static UNSTARTED: LazyLock<SdkTracer> =
    LazyLock::new(|| SdkTracerProvider::builder().build().tracer("throughline"));

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
    /// What it was; `****` where it may hold a credential.
    pub value: String,
    /// The accepted form.
    pub expected: String,
}

/// The running pipeline; stop it or lose what is queued.
#[derive(Debug)]
pub struct Telemetry(Pipeline);

impl Telemetry {
    /// Flushes and stops everything within `within`, says in one line what was recorded, exported and dropped.
    /// Safe on any runtime, current-thread included. What is recorded later is lost.
    pub async fn stop(self, within: Duration) -> Losses {
        self.0.stop(within).await
    }
}

/// Starts traces, metrics, logs, the line writer on standard output and the panic hook. Once a process: the first
/// start (or [`capture`](crate::testing::capture)) is the one that records.
/// Needs no Tokio runtime around it: the pipeline has a thread and a runtime of its own.
pub fn start(settings: Settings) -> Result<Telemetry, StartError> {
    let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let environment = Environment::read(&settings, &variable)?;
    let pipeline = Pipeline::open(&settings, environment, stdout());
    if install(pipeline.tracer.clone(), Arc::clone(&pipeline.lines)) {
        opentelemetry::global::set_meter_provider(pipeline.meters.clone());
        panic::write_panics(Arc::clone(&pipeline.lines));
    }
    Ok(Telemetry(pipeline))
}

/// The tracer of every native span of this crate, and of what `tracing` spans become.
pub(crate) fn tracer() -> &'static SdkTracer {
    TRACER.get().unwrap_or_else(|| &UNSTARTED)
}

/// Makes these the process's own; false where it has some already.
pub(crate) fn install(tracer: SdkTracer, lines: Arc<line::Lines>) -> bool {
    if !line::install(Arc::clone(&lines)) {
        return false;
    }
    // Both cells are filled here only, one right after the other.
    let _ = TRACER.set(tracer.clone());
    // A program that has set a subscriber of its own keeps it, and its `tracing` events are not ours to write.
    let _ = tracing::subscriber::set_global_default(layer::subscriber(lines, tracer));
    true
}

/// Standard output past the library's buffer, which would split batches at its own size.
fn stdout() -> Box<dyn io::Write + Send> {
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        // It was closed before the start: lines go nowhere.
        Err(_) => Box::new(io::sink()),
    }
}

#[cfg(test)]
mod tests;
