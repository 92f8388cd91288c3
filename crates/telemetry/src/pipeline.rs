//! Everything between what is recorded and where it goes: queues, the thread that exports, the thread that writes
//! standard output; opened and stopped as one value, of which a process has one (tests have many).
//!
//! Promises: opening needs no Tokio runtime and no receiver; the thread has a runtime of its own, so that stopping
//! works from any. The stop ends by its deadline whatever receivers and readers do.

use std::{io::Write, sync::Arc, time::Duration};

use opentelemetry::{metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::SdkMeterProvider,
    trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tracing::Level;

use crate::{
    endpoint::Destination,
    environment::Environment,
    export::{self, Exporter, LogLines, Receiver, Source, Spans, Stop},
    json::Process,
    line::{Line, Lines, Outlets},
    loss::{Loss, Losses},
    metrics::{self, Collection},
    panic,
    queue::{Consumer, Queue, Weigh},
    record::Record,
    resource,
    start::Settings,
    stdout::Stdout,
    transport::Transport,
};

/// Drops are looked at, and said, this often; while they go on, less and less often, down to the second of these.
const WATCH_EVERY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// What is kept of the time to stop for standard output; what the exporters leave is its own as well.
const FOR_STDOUT: Duration = Duration::from_millis(500);

/// The recording end.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) lines: Arc<Lines>,
    pub(crate) tracer: SdkTracer,
    pub(crate) meters: SdkMeterProvider,
    stop: oneshot::Sender<Request>,
}

/// Asks the thread to stop.
#[derive(Debug)]
struct Request {
    within: Duration,
    reply: oneshot::Sender<Losses>,
}

impl Pipeline {
    /// `stdout` is written without buffering.
    pub(crate) fn open(
        settings: &Settings,
        environment: Environment,
        stdout: impl Write + Send + 'static,
    ) -> Self {
        let instance = settings.instance.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let id = format!("{:016x}", uuid::Uuid::new_v4().as_u64_pair().1);
        let resource = resource::resource(settings, &instance, &environment.resource);
        let loss = Loss::default();
        let stdout = Stdout::start(
            stdout,
            Process::new(settings.service, &instance, &id),
            environment.stdout,
            Arc::clone(&loss.stdout_lines),
        );
        let queue = |counter| Queue::new(environment.lines, Consumer::task(), counter);
        let log_lines = environment.logs.as_ref().map(|_| Arc::new(queue(Arc::clone(&loss.log_lines))));
        let outlets = Outlets::new(Arc::clone(&stdout.queue), log_lines.clone());
        let lines = Lines::new(environment.filter.clone(), environment.line_limits, outlets);
        let collection = Collection::new(Arc::clone(&loss.metric_points));
        let meters = meters(&environment, resource.clone(), &collection);
        loss.observe(&meters.meter("telemetry"));
        let spans = Queue::new(environment.spans, Consumer::task(), Arc::clone(&loss.spans));
        let spans = Arc::new(spans);
        let tracers = tracers(&environment, resource.clone(), &spans);
        let (stop, requested) = oneshot::channel();
        let thread = Thread {
            resource: Arc::new((&resource).into()),
            environment,
            spans,
            log_lines,
            collection,
            id,
            lines: Arc::clone(&lines),
            meters: meters.clone(),
            loss,
            stdout,
        };
        thread.start(requested);
        Pipeline { lines, tracer: tracers.tracer("throughline"), meters, stop }
    }

    /// Writes and sends everything out, by the deadline at the latest.
    pub(crate) async fn stop(self, within: Duration) -> Losses {
        let (reply, losses) = oneshot::channel();
        // The thread ends only here, or by a panic of its own; then there is nothing left to count.
        if self.stop.send(Request { within, reply }).is_err() {
            return Losses::default();
        }
        losses.await.unwrap_or_default()
    }
}

fn meters(
    environment: &Environment,
    resource: opentelemetry_sdk::Resource,
    collection: &Arc<Collection>,
) -> SdkMeterProvider {
    match environment.metrics {
        Some(_) => metrics::provider(resource, environment.metric_interval, Arc::clone(collection)),
        None => SdkMeterProvider::default(),
    }
}

fn tracers(
    environment: &Environment,
    resource: opentelemetry_sdk::Resource,
    spans: &Arc<Queue<SpanData>>,
) -> SdkTracerProvider {
    let builder = SdkTracerProvider::builder()
        .with_sampler(environment.sampler.clone())
        .with_span_limits(environment.span_limits)
        .with_resource(resource);
    match environment.traces {
        Some(_) => builder.with_span_processor(EndedSpans(Arc::clone(spans))).build(),
        None => builder.build(),
    }
}

/// Puts sampled spans into their queue when they end.
#[derive(Debug)]
struct EndedSpans(Arc<Queue<SpanData>>);

impl SpanProcessor for EndedSpans {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Weigh for SpanData {
    fn bytes(&self) -> usize {
        let texts = self.attributes.iter().map(|attribute| match &attribute.value {
            opentelemetry::Value::String(text) => text.as_str().len(),
            _ => 0,
        });
        size_of::<SpanData>()
            + self.attributes.len() * size_of::<opentelemetry::KeyValue>()
            + texts.sum::<usize>()
    }
}

/// The exporting end.
struct Thread {
    environment: Environment,
    resource: Arc<ResourceAttributesWithSchema>,
    spans: Arc<Queue<SpanData>>,
    log_lines: Option<Arc<Queue<Arc<Record>>>>,
    collection: Arc<Collection>,
    id: String,
    lines: Arc<Lines>,
    meters: SdkMeterProvider,
    loss: Loss,
    stdout: Stdout,
}

impl Thread {
    fn start(self, requested: oneshot::Receiver<Request>) {
        std::thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || self.run(requested))
            .expect("a process that can start no thread cannot serve either");
    }

    fn run(self, requested: oneshot::Receiver<Request>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a process that can open no event queue cannot serve either");
        runtime.block_on(self.export(requested));
        // Whatever is stuck in a callback or a write must not hold the process.
        runtime.shutdown_background();
    }

    async fn export(self, requested: oneshot::Receiver<Request>) {
        let (stop, stopping) = watch::channel(None);
        let mut receivers = Receivers { known: Vec::new(), lines: Arc::clone(&self.lines) };
        let mut exporters = Vec::new();
        if let Some(to) = &self.environment.traces {
            let source = Spans {
                queue: Arc::clone(&self.spans),
                resource: Arc::clone(&self.resource),
                value_length: self.environment.span_value_length,
            };
            exporters.push(receivers.exporter(source, to, &stopping));
        }
        if let (Some(to), Some(queue)) = (&self.environment.logs, &self.log_lines) {
            let (queue, resource) = (Arc::clone(queue), Arc::clone(&self.resource));
            exporters.push(receivers.exporter(
                LogLines { queue, resource, id: self.id.clone() },
                to,
                &stopping,
            ));
        }
        if let Some(to) = &self.environment.metrics {
            exporters.push(receivers.exporter(Arc::clone(&self.collection), to, &stopping));
        }
        let watch = tokio::spawn(say_drops(self.loss.clone(), Arc::clone(&self.lines)));
        // Without a handle nobody can ask for a stop any more: export until the process ends.
        let Ok(request) = requested.await else { return std::future::pending().await };
        watch.abort();
        receivers.known.iter().for_each(|receiver| receiver.last_call());
        let deadline = Instant::now() + request.within;
        let export_deadline = deadline - FOR_STDOUT.min(request.within / 4);
        let losses = self.finish(export_deadline, deadline, stop, exporters).await;
        // Who asked may have given up waiting.
        let _ = request.reply.send(losses);
    }

    /// In the order in which one makes work for the next: panics make lines, collecting makes points, and what
    /// became of all of them is the last line on standard output.
    async fn finish(
        self,
        export_deadline: Instant,
        deadline: Instant,
        stop: watch::Sender<Option<Instant>>,
        exporters: Vec<tokio::task::JoinHandle<()>>,
    ) -> Losses {
        let meters = self.meters.clone();
        let last_records = tokio::task::spawn_blocking(move || {
            panic::flush(export_deadline.into_std());
            // What it says of success says nothing: whether points arrived is counted elsewhere.
            let _ = meters.shutdown();
        });
        // A callback of an instrument that hangs costs the last collection, not the rest.
        let _ = tokio::time::timeout_at(export_deadline, last_records).await;
        stop.send_replace(Some(export_deadline));
        for exporter in exporters {
            // One that panicked has lost its batch; the others go on.
            let _ = exporter.await;
        }
        let (loss, lines) = (self.loss.clone(), self.lines);
        let last_line = Box::new(move || say_stopped(&loss.read(), &lines));
        let stdout_lines = self.stdout.finish(deadline.into_std(), last_line);
        Losses { stdout_lines, ..self.loss.read() }
    }
}

/// The receivers of all signals, most often one.
struct Receivers {
    known: Vec<Arc<Receiver>>,
    lines: Arc<Lines>,
}

impl Receivers {
    fn exporter(
        &mut self,
        source: impl Source + 'static,
        to: &Destination,
        stopping: &watch::Receiver<Option<Instant>>,
    ) -> tokio::task::JoinHandle<()> {
        let address = to.address();
        let known = self.known.iter().find(|receiver| receiver.address() == address).cloned();
        let receiver = known.unwrap_or_else(|| {
            let receiver = Receiver::new(address, Arc::clone(&self.lines));
            self.known.push(Arc::clone(&receiver));
            receiver
        });
        let transport = Transport::new(to);
        let exporter = Exporter { source, transport, receiver, refused: export::Rarely::default() };
        tokio::spawn(exporter.run(Stop(stopping.clone())))
    }
}

/// Says now and then what was dropped since it was last said.
async fn say_drops(loss: Loss, lines: Arc<Lines>) {
    let mut said = loss.read();
    let mut pause = WATCH_EVERY.0;
    loop {
        tokio::time::sleep(pause).await;
        let now = loss.read();
        let dropped = now.dropped_since(&said);
        pause = until_next_look(pause, dropped.is_some());
        if let Some(fields) = dropped {
            lines.emit_to_stdout(&Line {
                level: Level::WARN,
                logger: export::LOGGER,
                message: "telemetry dropped",
                span: None,
                fields: &fields,
            });
        }
        said = now;
    }
}

/// A process that never has a Collector drops at every collection of its metrics; that is no news every time.
fn until_next_look(pause: Duration, dropped: bool) -> Duration {
    if dropped { (pause * 4).min(WATCH_EVERY.1) } else { WATCH_EVERY.0 }
}

/// The last line of a process.
fn say_stopped(losses: &Losses, lines: &Lines) -> Record {
    let lost = losses.by_signal().iter().any(|(_, count)| count.dropped > 0);
    lines.fill(&Line {
        level: if lost { Level::WARN } else { Level::INFO },
        logger: export::LOGGER,
        message: "telemetry stopped",
        span: None,
        fields: &losses.with_the_last_line().fields(),
    })
}

/// A receiver of OTLP for the tests.
#[cfg(test)]
pub(crate) mod receiver;
#[cfg(test)]
mod tests;
