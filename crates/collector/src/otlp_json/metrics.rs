//! Metrics and their points as OTLP/JSON.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets,
        metric::Data, number_data_point,
    },
};

use super::{attributes, float, id, list, long, long_text, member, number, object, resource, scope, text};
use crate::json;

/// Appends the request as one line.
pub(crate) fn metrics(out: &mut Vec<u8>, request: &ExportMetricsServiceRequest) {
    object(out, |out| list(out, "resourceMetrics", &request.resource_metrics, resource_metrics));
    out.push(b'\n');
}

fn resource_metrics(out: &mut Vec<u8>, metrics: &ResourceMetrics) {
    object(out, |out| {
        resource(out, metrics.resource.as_ref());
        list(out, "scopeMetrics", &metrics.scope_metrics, scope_metrics);
        text(out, "schemaUrl", &metrics.schema_url);
    });
}

fn scope_metrics(out: &mut Vec<u8>, metrics: &ScopeMetrics) {
    object(out, |out| {
        scope(out, metrics.scope.as_ref());
        list(out, "metrics", &metrics.metrics, metric);
        text(out, "schemaUrl", &metrics.schema_url);
    });
}

fn metric(out: &mut Vec<u8>, metric: &Metric) {
    object(out, |out| {
        text(out, "name", &metric.name);
        text(out, "description", &metric.description);
        text(out, "unit", &metric.unit);
        if let Some(data) = &metric.data {
            points(out, data);
        }
        attributes(out, "metadata", &metric.metadata);
    });
}

fn points(out: &mut Vec<u8>, data: &Data) {
    match data {
        Data::Gauge(gauge) => member(out, "gauge", |out| {
            list(out, "dataPoints", &gauge.data_points, number_point);
        }),
        Data::Sum(sum) => member(out, "sum", |out| {
            list(out, "dataPoints", &sum.data_points, number_point);
            number(out, "aggregationTemporality", sum.aggregation_temporality);
            if sum.is_monotonic {
                json::key(out, "isMonotonic");
                out.extend_from_slice(b"true");
            }
        }),
        Data::Histogram(histogram) => member(out, "histogram", |out| {
            list(out, "dataPoints", &histogram.data_points, histogram_point);
            number(out, "aggregationTemporality", histogram.aggregation_temporality);
        }),
        Data::ExponentialHistogram(histogram) => member(out, "exponentialHistogram", |out| {
            list(out, "dataPoints", &histogram.data_points, exponential_point);
            number(out, "aggregationTemporality", histogram.aggregation_temporality);
        }),
        Data::Summary(summary) => member(out, "summary", |out| {
            list(out, "dataPoints", &summary.data_points, summary_point);
        }),
    }
}

fn number_point(out: &mut Vec<u8>, point: &NumberDataPoint) {
    object(out, |out| {
        attributes(out, "attributes", &point.attributes);
        long(out, "startTimeUnixNano", point.start_time_unix_nano);
        long(out, "timeUnixNano", point.time_unix_nano);
        match point.value {
            Some(number_data_point::Value::AsDouble(value)) => float(out, "asDouble", value),
            Some(number_data_point::Value::AsInt(value)) => as_int(out, value),
            None => {}
        }
        list(out, "exemplars", &point.exemplars, exemplar);
        number(out, "flags", point.flags);
    });
}

fn histogram_point(out: &mut Vec<u8>, point: &HistogramDataPoint) {
    object(out, |out| {
        attributes(out, "attributes", &point.attributes);
        long(out, "startTimeUnixNano", point.start_time_unix_nano);
        long(out, "timeUnixNano", point.time_unix_nano);
        long(out, "count", point.count);
        optional(out, "sum", point.sum);
        list(out, "bucketCounts", &point.bucket_counts, |out, count| long_text(out, *count));
        list(out, "explicitBounds", &point.explicit_bounds, |out, bound| json::float(out, *bound));
        list(out, "exemplars", &point.exemplars, exemplar);
        number(out, "flags", point.flags);
        optional(out, "min", point.min);
        optional(out, "max", point.max);
    });
}

fn exponential_point(out: &mut Vec<u8>, point: &ExponentialHistogramDataPoint) {
    object(out, |out| {
        attributes(out, "attributes", &point.attributes);
        long(out, "startTimeUnixNano", point.start_time_unix_nano);
        long(out, "timeUnixNano", point.time_unix_nano);
        long(out, "count", point.count);
        optional(out, "sum", point.sum);
        number(out, "scale", point.scale);
        long(out, "zeroCount", point.zero_count);
        member(out, "positive", |out| buckets(out, point.positive.as_ref()));
        member(out, "negative", |out| buckets(out, point.negative.as_ref()));
        number(out, "flags", point.flags);
        list(out, "exemplars", &point.exemplars, exemplar);
        optional(out, "min", point.min);
        optional(out, "max", point.max);
        if point.zero_threshold != 0.0 {
            float(out, "zeroThreshold", point.zero_threshold);
        }
    });
}

fn buckets(out: &mut Vec<u8>, buckets: Option<&Buckets>) {
    let Some(buckets) = buckets else { return };
    number(out, "offset", buckets.offset);
    list(out, "bucketCounts", &buckets.bucket_counts, |out, count| long_text(out, *count));
}

fn summary_point(out: &mut Vec<u8>, point: &SummaryDataPoint) {
    object(out, |out| {
        attributes(out, "attributes", &point.attributes);
        long(out, "startTimeUnixNano", point.start_time_unix_nano);
        long(out, "timeUnixNano", point.time_unix_nano);
        long(out, "count", point.count);
        if point.sum != 0.0 {
            float(out, "sum", point.sum);
        }
        list(out, "quantileValues", &point.quantile_values, |out, at| {
            object(out, |out| {
                if at.quantile != 0.0 {
                    float(out, "quantile", at.quantile);
                }
                if at.value != 0.0 {
                    float(out, "value", at.value);
                }
            });
        });
        number(out, "flags", point.flags);
    });
}

fn exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    object(out, |out| {
        attributes(out, "filteredAttributes", &exemplar.filtered_attributes);
        long(out, "timeUnixNano", exemplar.time_unix_nano);
        match exemplar.value {
            Some(exemplar::Value::AsDouble(value)) => float(out, "asDouble", value),
            Some(exemplar::Value::AsInt(value)) => as_int(out, value),
            None => {}
        }
        id(out, "traceId", &exemplar.trace_id);
        id(out, "spanId", &exemplar.span_id);
    });
}

fn as_int(out: &mut Vec<u8>, value: i64) {
    json::key(out, "asInt");
    long_text(out, value);
}

/// A number whose absence means something else than zero.
fn optional(out: &mut Vec<u8>, name: &str, value: Option<f64>) {
    if let Some(value) = value {
        float(out, name, value);
    }
}
