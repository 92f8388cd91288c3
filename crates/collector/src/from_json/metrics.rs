//! Metrics and their points out of OTLP/JSON.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
        Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
        SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets, metric::Data,
        number_data_point, summary_data_point::ValueAtQuantile,
    },
};

use super::{Object, Result, document, float, resource, scope, signed, unsigned};

/// Reads `{"resourceMetrics": […]}`.
pub(crate) fn metrics(text: &[u8]) -> Result<ExportMetricsServiceRequest> {
    let resource_metrics = document(text)?.list("resourceMetrics", |mut of| {
        Ok(ResourceMetrics {
            resource: of.object("resource")?.map(resource).transpose()?,
            scope_metrics: of.list("scopeMetrics", scope_metrics)?,
            schema_url: of.text("schemaUrl")?,
        })
    })?;
    Ok(ExportMetricsServiceRequest { resource_metrics })
}

fn scope_metrics(mut of: Object) -> Result<ScopeMetrics> {
    Ok(ScopeMetrics {
        scope: of.object("scope")?.map(scope).transpose()?,
        metrics: of.list("metrics", metric)?,
        schema_url: of.text("schemaUrl")?,
    })
}

fn metric(mut metric: Object) -> Result<Metric> {
    Ok(Metric {
        name: metric.text("name")?,
        description: metric.text("description")?,
        unit: metric.text("unit")?,
        metadata: metric.attributes("metadata")?,
        data: data(&mut metric)?,
    })
}

fn data(metric: &mut Object) -> Result<Option<Data>> {
    Ok(if let Some(mut gauge) = metric.object("gauge")? {
        Some(Data::Gauge(Gauge { data_points: gauge.list("dataPoints", number_point)? }))
    } else if let Some(mut sum) = metric.object("sum")? {
        Some(Data::Sum(Sum {
            data_points: sum.list("dataPoints", number_point)?,
            aggregation_temporality: temporality(&mut sum)?,
            is_monotonic: sum.boolean("isMonotonic")?,
        }))
    } else if let Some(mut histogram) = metric.object("histogram")? {
        Some(Data::Histogram(Histogram {
            data_points: histogram.list("dataPoints", histogram_point)?,
            aggregation_temporality: temporality(&mut histogram)?,
        }))
    } else if let Some(mut histogram) = metric.object("exponentialHistogram")? {
        Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: histogram.list("dataPoints", exponential_point)?,
            aggregation_temporality: temporality(&mut histogram)?,
        }))
    } else if let Some(mut summary) = metric.object("summary")? {
        Some(Data::Summary(Summary { data_points: summary.list("dataPoints", summary_point)? }))
    } else {
        None
    })
}

fn temporality(of: &mut Object) -> Result<i32> {
    let named =
        |name: &str| AggregationTemporality::from_str_name(name).map(|temporality| temporality as i32);
    of.enumeration("aggregationTemporality", named)
}

fn number_point(mut point: Object) -> Result<NumberDataPoint> {
    let value = match (point.float("asDouble")?, point.take("asInt")) {
        (Some(value), _) => Some(number_data_point::Value::AsDouble(value)),
        (None, Some(value)) => Some(number_data_point::Value::AsInt(signed("asInt", &value)?)),
        (None, None) => None,
    };
    Ok(NumberDataPoint {
        attributes: point.attributes("attributes")?,
        start_time_unix_nano: point.unsigned("startTimeUnixNano")?,
        time_unix_nano: point.unsigned("timeUnixNano")?,
        exemplars: point.list("exemplars", exemplar)?,
        flags: point.count("flags")?,
        value,
    })
}

fn histogram_point(mut point: Object) -> Result<HistogramDataPoint> {
    Ok(HistogramDataPoint {
        attributes: point.attributes("attributes")?,
        start_time_unix_nano: point.unsigned("startTimeUnixNano")?,
        time_unix_nano: point.unsigned("timeUnixNano")?,
        count: point.unsigned("count")?,
        sum: point.float("sum")?,
        bucket_counts: point.values("bucketCounts", |count| unsigned("bucketCounts", &count))?,
        explicit_bounds: point.values("explicitBounds", |bound| float("explicitBounds", &bound))?,
        exemplars: point.list("exemplars", exemplar)?,
        flags: point.count("flags")?,
        min: point.float("min")?,
        max: point.float("max")?,
    })
}

fn exponential_point(mut point: Object) -> Result<ExponentialHistogramDataPoint> {
    Ok(ExponentialHistogramDataPoint {
        attributes: point.attributes("attributes")?,
        start_time_unix_nano: point.unsigned("startTimeUnixNano")?,
        time_unix_nano: point.unsigned("timeUnixNano")?,
        count: point.unsigned("count")?,
        sum: point.float("sum")?,
        scale: point.small("scale")?,
        zero_count: point.unsigned("zeroCount")?,
        positive: point.object("positive")?.map(buckets).transpose()?,
        negative: point.object("negative")?.map(buckets).transpose()?,
        flags: point.count("flags")?,
        exemplars: point.list("exemplars", exemplar)?,
        min: point.float("min")?,
        max: point.float("max")?,
        zero_threshold: point.float("zeroThreshold")?.unwrap_or_default(),
    })
}

fn buckets(mut buckets: Object) -> Result<Buckets> {
    Ok(Buckets {
        offset: buckets.small("offset")?,
        bucket_counts: buckets.values("bucketCounts", |count| unsigned("bucketCounts", &count))?,
    })
}

fn summary_point(mut point: Object) -> Result<SummaryDataPoint> {
    Ok(SummaryDataPoint {
        attributes: point.attributes("attributes")?,
        start_time_unix_nano: point.unsigned("startTimeUnixNano")?,
        time_unix_nano: point.unsigned("timeUnixNano")?,
        count: point.unsigned("count")?,
        sum: point.float("sum")?.unwrap_or_default(),
        quantile_values: point.list("quantileValues", |mut at| {
            Ok(ValueAtQuantile {
                quantile: at.float("quantile")?.unwrap_or_default(),
                value: at.float("value")?.unwrap_or_default(),
            })
        })?,
        flags: point.count("flags")?,
    })
}

fn exemplar(mut exemplar: Object) -> Result<Exemplar> {
    let value = match (exemplar.float("asDouble")?, exemplar.take("asInt")) {
        (Some(value), _) => Some(exemplar::Value::AsDouble(value)),
        (None, Some(value)) => Some(exemplar::Value::AsInt(signed("asInt", &value)?)),
        (None, None) => None,
    };
    Ok(Exemplar {
        filtered_attributes: exemplar.attributes("filteredAttributes")?,
        time_unix_nano: exemplar.unsigned("timeUnixNano")?,
        span_id: exemplar.id("spanId")?,
        trace_id: exemplar.id("traceId")?,
        value,
    })
}
