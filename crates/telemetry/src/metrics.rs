//! Metrics: collected by the SDK's reader, on its thread, and left where the exporting thread finds them.
//!
//! Promises: collecting never waits for the receiver. Temporality is cumulative, so a later collection says all
//! that an earlier one did: when the receiver is away, the newest collection replaces the one that still waits,
//! whose points count as dropped.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality, data::ResourceMetrics, exporter::PushMetricExporter,
    },
};
use tokio::sync::Notify;

use crate::{
    export::Source,
    loss::Counter,
    otlp::{self, Batch},
};

/// The one collection that waits.
#[derive(Debug)]
pub(crate) struct Collection {
    state: Mutex<State>,
    arrived: Notify,
    counter: Arc<Counter>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<Batch>,
    closed: bool,
}

impl Collection {
    pub(crate) fn new(counter: Arc<Counter>) -> Arc<Self> {
        Arc::new(Collection { state: Mutex::default(), arrived: Notify::new(), counter })
    }

    fn put(&self, batch: Batch) {
        self.counter.record(batch.items);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = if state.closed { Some(batch) } else { state.waiting.replace(batch) };
        drop(state);
        self.counter.lose(lost.map_or(0, |lost| lost.items));
        self.arrived.notify_one();
    }
}

/// A provider that collects every `interval`, and what it collects.
pub(crate) fn provider(
    resource: Resource,
    interval: Duration,
    collection: Arc<Collection>,
) -> SdkMeterProvider {
    let reader = PeriodicReader::builder(Collected(collection)).with_interval(interval).build();
    SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build()
}

impl Source for Arc<Collection> {
    async fn due(&self) {
        loop {
            if self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_some() {
                return;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<Batch> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.take()
    }

    fn abandon(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        self.counter.lose(state.waiting.take().map_or(0, |batch| batch.items));
    }

    fn counter(&self) -> &Arc<Counter> {
        &self.counter
    }
}

/// The SDK's end of it.
struct Collected(Arc<Collection>);

impl PushMetricExporter for Collected {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        if let Some(batch) = otlp::metrics(&ExportMetricsServiceRequest::from(metrics)) {
            self.0.put(batch);
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}
