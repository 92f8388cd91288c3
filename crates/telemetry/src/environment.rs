//! The standard `OTEL_*` variables and `RUST_LOG`, read once, before anything starts.
//!
//! Promises: an unreadable value is an error that names the variable and what it accepts, never a silent default.
//! An empty variable counts as unset (OpenTelemetry's environment variable specification). The names of variables
//! are written only here and in [`endpoint`](crate::endpoint).
//! Not read, for there is nothing they could change here: `OTEL_PROPAGATORS` (W3C trace context always),
//! `OTEL_BSP_EXPORT_TIMEOUT` (a batch is tried again until it is through or the process stops), `OTEL_SERVICE_NAME`.

use std::{str::FromStr, time::Duration};

use opentelemetry_sdk::trace::{Sampler, SpanLimits};

use crate::{
    endpoint::{Destination, Signal},
    filter::Filter,
    queue::Bounds,
    record::Limits,
    start::{Settings, StartError},
};

const MEBIBYTE: usize = 1024 * 1024;
const NUMBER: &str = "a whole number above 0";
const MILLISECONDS: &str = "a whole number of milliseconds above 0";

/// What the environment and the settings say, checked.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// Where each signal goes; none: nowhere.
    pub(crate) traces: Option<Destination>,
    pub(crate) logs: Option<Destination>,
    pub(crate) metrics: Option<Destination>,
    pub(crate) spans: Bounds,
    pub(crate) lines: Bounds,
    pub(crate) stdout: Bounds,
    pub(crate) metric_interval: Duration,
    pub(crate) sampler: Sampler,
    pub(crate) span_limits: SpanLimits,
    /// Bytes of one text attribute of a span; the rest is cut off.
    pub(crate) span_value_length: usize,
    pub(crate) line_limits: Limits,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub(crate) resource: Vec<(String, String)>,
    pub(crate) filter: Filter,
}

impl Environment {
    /// `variable` looks one up: the process's environment, or a test's.
    pub(crate) fn read(
        settings: &Settings,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, StartError> {
        let variables = Variables(variable);
        let disabled = variables.read("OTEL_SDK_DISABLED", "`true` or `false`", boolean)?;
        let export = settings.export && disabled != Some(true);
        let given = settings.otlp_endpoint.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let destination = |signal| match export {
            true => Destination::read(signal, given, &variables),
            false => Ok(None),
        };
        Ok(Environment {
            traces: destination(Signal::Traces)?,
            logs: destination(Signal::Logs)?,
            metrics: destination(Signal::Metrics)?,
            spans: bounds(&variables, "OTEL_BSP", Duration::from_millis(200))?,
            lines: bounds(&variables, "OTEL_BLRP", Duration::from_millis(100))?,
            // The first of several lines waits a little, so that many are one write; a person does not see it.
            stdout: Bounds { delay: Duration::from_millis(10), ..BOUNDS },
            metric_interval: variables
                .read("OTEL_METRIC_EXPORT_INTERVAL", MILLISECONDS, milliseconds)?
                .unwrap_or(Duration::from_secs(10)),
            sampler: sampler(&variables)?,
            span_limits: span_limits(&variables)?,
            span_value_length: variables
                .first(["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", LENGTH], NUMBER, positive)?
                .unwrap_or(usize::MAX),
            line_limits: line_limits(&variables)?,
            resource: variables
                .read("OTEL_RESOURCE_ATTRIBUTES", "`name=value,name=value`", pairs)?
                .unwrap_or_default(),
            filter: variables
                .read("RUST_LOG", "like `info,load_balancer::proxy=debug`", |text| text.parse().ok())?
                .unwrap_or_default(),
        })
    }
}

/// The variables to read from.
#[derive(Clone, Copy)]
pub(crate) struct Variables<'a>(pub(crate) &'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// What is set and not empty, without the space around it.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The variable's value, or why it cannot be one.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StartError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match parse(&value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(StartError { setting: name.to_owned(), value, expected: expected.to_owned() }),
        }
    }

    /// The first of these variables that is set: the special one before the general one.
    pub(crate) fn first<T>(
        &self,
        names: [&str; 2],
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StartError> {
        let name = names.into_iter().find(|name| self.get(name).is_some());
        name.map_or(Ok(None), |name| self.read(name, expected, parse))
    }
}

pub(crate) fn milliseconds(text: &str) -> Option<Duration> {
    positive(text).map(Duration::from_millis)
}

/// `name=value,name=value`, the values percent-decoded (W3C baggage, as OpenTelemetry asks for in its variables).
pub(crate) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    members
        .map(|member| {
            let (name, value) = member.split_once('=')?;
            let name = percent_decoded(name.trim())?;
            (!name.is_empty()).then_some((name, percent_decoded(value.trim())?))
        })
        .collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                (high << 4 | low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

const LENGTH: &str = "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT";
const COUNT: &str = "OTEL_ATTRIBUTE_COUNT_LIMIT";

const BOUNDS: Bounds = Bounds {
    items: 16_384,
    bytes: 32 * MEBIBYTE,
    batch: 512,
    batch_bytes: 2 * MEBIBYTE,
    delay: Duration::ZERO,
};

/// The bounds of a queue, by the variables that begin with `prefix`. The delay is far below the specification's
/// default, so that a request can be read in the Collector's files within a second.
fn bounds(variables: &Variables<'_>, prefix: &str, delay: Duration) -> Result<Bounds, StartError> {
    let name = |what: &str| format!("{prefix}_{what}");
    let items = variables.read(&name("MAX_QUEUE_SIZE"), NUMBER, positive)?.unwrap_or(BOUNDS.items);
    let batch = variables
        .read(&name("MAX_EXPORT_BATCH_SIZE"), "a whole number above 0, not above the queue's size", |text| {
            positive(text).filter(|batch| *batch <= items)
        })?
        .unwrap_or(BOUNDS.batch.min(items));
    let delay = variables
        .read(&name("SCHEDULE_DELAY"), "a whole number of milliseconds", |text| text.parse().ok())?
        .map_or(delay, Duration::from_millis);
    Ok(Bounds { items, batch, delay, ..BOUNDS })
}

fn sampler(variables: &Variables<'_>) -> Result<Sampler, StartError> {
    let ratio = variables
        .read("OTEL_TRACES_SAMPLER_ARG", "a number between 0 and 1", |text| {
            text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
        })?
        .unwrap_or(1.0);
    let by_name = |name: &str| {
        let root = match name.strip_prefix("parentbased_").unwrap_or(name) {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatioBased(ratio),
            _ => return None,
        };
        let by_parent = name.starts_with("parentbased_");
        Some(if by_parent { Sampler::ParentBased(Box::new(root)) } else { root })
    };
    let expected =
        "one of `always_on`, `always_off`, `traceidratio`, each also with `parentbased_` before it";
    let sampler = variables.read("OTEL_TRACES_SAMPLER", expected, by_name)?;
    Ok(sampler.unwrap_or_else(|| Sampler::ParentBased(Box::new(Sampler::AlwaysOn))))
}

fn span_limits(variables: &Variables<'_>) -> Result<SpanLimits, StartError> {
    let default = SpanLimits::default();
    let count = |name: &str, default: u32| {
        variables.read(name, NUMBER, positive).map(|count| count.unwrap_or(default))
    };
    let attributes = variables.first(["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", COUNT], NUMBER, positive)?;
    Ok(SpanLimits {
        max_events_per_span: count("OTEL_SPAN_EVENT_COUNT_LIMIT", default.max_events_per_span)?,
        max_attributes_per_span: attributes.unwrap_or(default.max_attributes_per_span),
        max_links_per_span: count("OTEL_SPAN_LINK_COUNT_LIMIT", default.max_links_per_span)?,
        max_attributes_per_event: count(
            "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
            default.max_attributes_per_event,
        )?,
        max_attributes_per_link: count("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", default.max_attributes_per_link)?,
    })
}

fn line_limits(variables: &Variables<'_>) -> Result<Limits, StartError> {
    let default = Limits::default();
    let length = ["OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", LENGTH];
    let count = ["OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", COUNT];
    Ok(Limits {
        value_length: variables.first(length, NUMBER, positive)?.unwrap_or(default.value_length),
        fields: variables.first(count, NUMBER, positive)?.unwrap_or(default.fields),
    })
}

/// The specification takes exactly `true`, in any case, for true.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn positive<T: FromStr + PartialOrd + Default>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number| *number > T::default())
}

#[cfg(test)]
mod tests;
