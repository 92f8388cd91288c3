//! The lengths of ids: 16 bytes for a trace, 8 for a span, or none at all. The Collector refuses others as well.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    metrics::v1::{Exemplar, Metric, metric::Data},
};

use crate::malformed::Malformed;

/// Spans, their parents and their links.
pub(crate) fn of_traces(request: &ExportTraceServiceRequest) -> Result<(), Malformed> {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    for span in scopes.flat_map(|scope| &scope.spans) {
        trace(&span.trace_id)?;
        self::span("spanId", &span.span_id)?;
        self::span("parentSpanId", &span.parent_span_id)?;
        for link in &span.links {
            trace(&link.trace_id)?;
            self::span("spanId", &link.span_id)?;
        }
    }
    Ok(())
}

/// Log records.
pub(crate) fn of_logs(request: &ExportLogsServiceRequest) -> Result<(), Malformed> {
    let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    for record in scopes.flat_map(|scope| &scope.log_records) {
        trace(&record.trace_id)?;
        span("spanId", &record.span_id)?;
    }
    Ok(())
}

/// Exemplars.
pub(crate) fn of_metrics(request: &ExportMetricsServiceRequest) -> Result<(), Malformed> {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).try_for_each(of_metric)
}

fn of_metric(metric: &Metric) -> Result<(), Malformed> {
    match &metric.data {
        Some(Data::Gauge(gauge)) => {
            gauge.data_points.iter().try_for_each(|point| exemplars(&point.exemplars))
        }
        Some(Data::Sum(sum)) => sum.data_points.iter().try_for_each(|point| exemplars(&point.exemplars)),
        Some(Data::Histogram(histogram)) => {
            histogram.data_points.iter().try_for_each(|point| exemplars(&point.exemplars))
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            histogram.data_points.iter().try_for_each(|point| exemplars(&point.exemplars))
        }
        Some(Data::Summary(_)) | None => Ok(()),
    }
}

fn exemplars(exemplars: &[Exemplar]) -> Result<(), Malformed> {
    for exemplar in exemplars {
        trace(&exemplar.trace_id)?;
        span("spanId", &exemplar.span_id)?;
    }
    Ok(())
}

fn trace(id: &[u8]) -> Result<(), Malformed> {
    check("traceId", id, 16)
}

fn span(name: &'static str, id: &[u8]) -> Result<(), Malformed> {
    check(name, id, 8)
}

fn check(name: &'static str, id: &[u8], expected: usize) -> Result<(), Malformed> {
    if id.is_empty() || id.len() == expected {
        Ok(())
    } else {
        Err(Malformed::Id { id: name, found: id.len(), expected })
    }
}
