//! The three signals, each with its request, its paths, its file and what is done to it on the way there.

use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};

use crate::{
    counts::{Count, Counts},
    directory::Directory,
    file::LineFile,
    from_json, ids, line,
    malformed::Malformed,
    otlp_json, redact,
};

/// What distinguishes traces, logs and metrics here; everything else is written once for the three.
pub(crate) trait Signal: Send + Sync + 'static {
    type Request: prost::Message + Default + 'static;
    /// Empty: nothing of a request is ever rejected in part.
    type Response: prost::Message + Default + 'static;
    /// Of OTLP/HTTP.
    const HTTP_PATH: &'static str;
    /// Of OTLP/gRPC.
    const GRPC_PATH: &'static str;

    fn from_json(text: &[u8]) -> Result<Self::Request, Malformed>;
    /// Refuses ids that are none: neither empty nor of their length.
    fn check(request: &Self::Request) -> Result<(), Malformed>;
    /// How many spans, records or points.
    fn count(request: &Self::Request) -> u64;
    fn redact(request: &mut Self::Request);
    /// Appends the request as lines of its file.
    fn write(out: &mut Vec<u8>, request: &Self::Request);
    fn file(directory: &Directory) -> &LineFile;
    fn counted(counts: &Counts) -> &Count;
}

/// Spans, to `traces.jsonl`.
pub(crate) struct Traces;

/// Log records, to `logs.jsonl`.
pub(crate) struct Logs;

/// Points of metrics, to `metrics.jsonl`.
pub(crate) struct Metrics;

impl Signal for Traces {
    type Request = ExportTraceServiceRequest;
    type Response = ExportTraceServiceResponse;
    const HTTP_PATH: &'static str = "/v1/traces";
    const GRPC_PATH: &'static str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

    fn from_json(text: &[u8]) -> Result<Self::Request, Malformed> {
        from_json::traces(text)
    }
    fn check(request: &Self::Request) -> Result<(), Malformed> {
        ids::of_traces(request)
    }
    fn count(request: &Self::Request) -> u64 {
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len() as u64).sum()
    }
    fn redact(request: &mut Self::Request) {
        redact::traces(request);
    }
    fn write(out: &mut Vec<u8>, request: &Self::Request) {
        otlp_json::traces(out, request);
    }
    fn file(directory: &Directory) -> &LineFile {
        &directory.traces
    }
    fn counted(counts: &Counts) -> &Count {
        &counts.spans
    }
}

impl Signal for Logs {
    type Request = ExportLogsServiceRequest;
    type Response = ExportLogsServiceResponse;
    const HTTP_PATH: &'static str = "/v1/logs";
    const GRPC_PATH: &'static str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

    fn from_json(text: &[u8]) -> Result<Self::Request, Malformed> {
        from_json::logs(text)
    }
    fn check(request: &Self::Request) -> Result<(), Malformed> {
        ids::of_logs(request)
    }
    fn count(request: &Self::Request) -> u64 {
        let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
        scopes.map(|scope| scope.log_records.len() as u64).sum()
    }
    fn redact(request: &mut Self::Request) {
        redact::logs(request);
    }
    fn write(out: &mut Vec<u8>, request: &Self::Request) {
        line::lines(out, request);
    }
    fn file(directory: &Directory) -> &LineFile {
        &directory.logs
    }
    fn counted(counts: &Counts) -> &Count {
        &counts.records
    }
}

impl Signal for Metrics {
    type Request = ExportMetricsServiceRequest;
    type Response = ExportMetricsServiceResponse;
    const HTTP_PATH: &'static str = "/v1/metrics";
    const GRPC_PATH: &'static str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

    fn from_json(text: &[u8]) -> Result<Self::Request, Malformed> {
        from_json::metrics(text)
    }
    fn check(request: &Self::Request) -> Result<(), Malformed> {
        ids::of_metrics(request)
    }
    fn count(request: &Self::Request) -> u64 {
        let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        scopes.flat_map(|scope| &scope.metrics).map(points).sum()
    }
    fn redact(request: &mut Self::Request) {
        redact::metrics(request);
    }
    fn write(out: &mut Vec<u8>, request: &Self::Request) {
        otlp_json::metrics(out, request);
    }
    fn file(directory: &Directory) -> &LineFile {
        &directory.metrics
    }
    fn counted(counts: &Counts) -> &Count {
        &counts.points
    }
}

fn points(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    };
    points as u64
}
