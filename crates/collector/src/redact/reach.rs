//! Where secrets may be: every attribute, body and free text of the three requests.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::InstrumentationScope,
    metrics::v1::{Exemplar, Metric, NumberDataPoint, metric::Data},
    resource::v1::Resource,
    trace::v1::Span,
};

use super::{any_value, attributes, text};

/// Blanks the secrets of every span.
pub(crate) fn traces(request: &mut ExportTraceServiceRequest) {
    for of_resource in &mut request.resource_spans {
        resource(&mut of_resource.resource);
        for of_scope in &mut of_resource.scope_spans {
            scope(&mut of_scope.scope);
            of_scope.spans.iter_mut().for_each(span);
        }
    }
}

/// Blanks the secrets of every log record.
pub(crate) fn logs(request: &mut ExportLogsServiceRequest) {
    for of_resource in &mut request.resource_logs {
        resource(&mut of_resource.resource);
        for of_scope in &mut of_resource.scope_logs {
            scope(&mut of_scope.scope);
            for record in &mut of_scope.log_records {
                attributes(&mut record.attributes);
                record.body.iter_mut().for_each(any_value);
            }
        }
    }
}

/// Blanks the secrets of every point.
pub(crate) fn metrics(request: &mut ExportMetricsServiceRequest) {
    for of_resource in &mut request.resource_metrics {
        resource(&mut of_resource.resource);
        for of_scope in &mut of_resource.scope_metrics {
            scope(&mut of_scope.scope);
            of_scope.metrics.iter_mut().for_each(metric);
        }
    }
}

fn resource(resource: &mut Option<Resource>) {
    if let Some(resource) = resource {
        attributes(&mut resource.attributes);
    }
}

fn scope(scope: &mut Option<InstrumentationScope>) {
    if let Some(scope) = scope {
        attributes(&mut scope.attributes);
    }
}

fn span(span: &mut Span) {
    text(&mut span.name);
    attributes(&mut span.attributes);
    for event in &mut span.events {
        text(&mut event.name);
        attributes(&mut event.attributes);
    }
    for link in &mut span.links {
        attributes(&mut link.attributes);
    }
    if let Some(status) = &mut span.status {
        text(&mut status.message);
    }
}

fn metric(metric: &mut Metric) {
    attributes(&mut metric.metadata);
    match &mut metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.iter_mut().for_each(number_point),
        Some(Data::Sum(sum)) => sum.data_points.iter_mut().for_each(number_point),
        Some(Data::Histogram(histogram)) => {
            for point in &mut histogram.data_points {
                attributes(&mut point.attributes);
                point.exemplars.iter_mut().for_each(exemplar);
            }
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            for point in &mut histogram.data_points {
                attributes(&mut point.attributes);
                point.exemplars.iter_mut().for_each(exemplar);
            }
        }
        Some(Data::Summary(summary)) => {
            for point in &mut summary.data_points {
                attributes(&mut point.attributes);
            }
        }
        None => {}
    }
}

fn number_point(point: &mut NumberDataPoint) {
    attributes(&mut point.attributes);
    point.exemplars.iter_mut().for_each(exemplar);
}

fn exemplar(exemplar: &mut Exemplar) {
    attributes(&mut exemplar.filtered_attributes);
}
