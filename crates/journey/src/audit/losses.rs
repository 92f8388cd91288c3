//! What was lost by the count of those who lost it: our services' own counters, and the Collector's.
//!
//! Read from OTLP metrics. Counters that only grow are compared with what they were before the range; a counter of the
//! time since the last report is added up. So many counters as [`MOST_COUNTERS`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use super::Cause;
use crate::names;
use crate::objects;
use crate::span::plain;

const MOST_COUNTERS: usize = 10_000;
/// OTLP's number for counters that tell only what is new.
const DELTA: u64 = 1;

/// The counters.
#[derive(Debug)]
pub(crate) struct Losses {
    since: Option<u64>,
    until: Option<u64>,
    counters: BTreeMap<Key, Counter>,
}

/// Who lost what: service, what, where, process, when the process began.
type Key = (String, Lost, String, String, u64);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lost {
    Spans,
    Lines,
    /// Metric points, and lines of standard output.
    Other,
}

#[derive(Debug, Default)]
struct Counter {
    before: f64,
    within: f64,
    added: f64,
    first: u64,
    last: u64,
}

/// What one service lost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loss {
    pub(crate) service: String,
    pub(crate) lost: Lost,
    pub(crate) count: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

#[derive(Deserialize)]
struct Request {
    #[serde(rename = "resourceMetrics", alias = "resource_metrics")]
    resources: Vec<OfResource>,
}

#[derive(Deserialize)]
struct OfResource {
    resource: Option<Resource>,
    #[serde(rename = "scopeMetrics", alias = "scope_metrics", default)]
    scopes: Vec<OfScope>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    attributes: Vec<Value>,
}

#[derive(Deserialize)]
struct OfScope {
    #[serde(default)]
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
struct Metric {
    #[serde(default)]
    name: String,
    sum: Option<Sum>,
}

#[derive(Deserialize)]
struct Sum {
    #[serde(rename = "dataPoints", alias = "data_points", default)]
    points: Vec<Value>,
    #[serde(rename = "aggregationTemporality", alias = "aggregation_temporality", default)]
    temporality: Value,
}

/// Whether a line may tell of a loss at all.
pub(crate) fn may_tell(line: &[u8]) -> bool {
    names::LOST.iter().any(|(name, _)| memmem::find(line, name.as_bytes()).is_some())
}

impl Losses {
    pub(crate) fn new(since: Option<u64>, until: Option<u64>) -> Self {
        Self { since, until, counters: BTreeMap::new() }
    }

    pub(crate) fn take(&mut self, line: &[u8]) {
        if !may_tell(line) {
            return;
        }
        // What cannot be understood tells of no loss.
        objects::each(line, |text| {
            let mut requests = serde_json::Deserializer::from_str(text).into_iter::<Request>();
            let request = requests.next()?.ok()?;
            for of_resource in request.resources {
                self.take_resource(of_resource);
            }
            Some(requests.byte_offset())
        });
    }

    /// What was lost within the range, by service.
    pub(crate) fn lost(&self) -> Vec<Loss> {
        let mut losses: Vec<Loss> = Vec::new();
        for ((service, lost, ..), counter) in &self.counters {
            let count = (counter.within - counter.before).max(0.0) + counter.added;
            if count < 1.0 {
                continue;
            }
            let (count, first, last) = (count as u64, counter.first, counter.last);
            match losses.last_mut().filter(|loss| loss.service == *service && loss.lost == *lost) {
                Some(loss) => {
                    loss.count = loss.count.saturating_add(count);
                    loss.first = loss.first.min(first);
                    loss.last = loss.last.max(last);
                }
                None => losses.push(Loss { service: service.clone(), lost: *lost, count, first, last }),
            }
        }
        losses
    }

    fn take_resource(&mut self, of_resource: OfResource) {
        let attributes = of_resource.resource.map(|resource| resource.attributes).unwrap_or_default();
        let service = value(&attributes, names::SERVICE).unwrap_or_default();
        let instance = value(&attributes, names::INSTANCE).unwrap_or_default();
        for metric in of_resource.scopes.into_iter().flat_map(|scope| scope.metrics) {
            let name = metric.name.strip_suffix("_total").unwrap_or(&metric.name);
            let known = names::LOST.iter().find(|(known, _)| *known == name);
            let (Some((name, signal)), Some(sum)) = (known, metric.sum) else { continue };
            let is_delta = sum.temporality.as_u64() == Some(DELTA)
                || sum.temporality.as_str() == Some("AGGREGATION_TEMPORALITY_DELTA");
            for point in &sum.points {
                self.point([&service, &instance, name, signal], point, is_delta);
            }
        }
    }

    fn point(&mut self, [service, instance, name, signal]: [&str; 4], point: &Value, is_delta: bool) {
        let attributes = point.get("attributes").and_then(Value::as_array).cloned().unwrap_or_default();
        let signal = match signal.is_empty() {
            true => value(&attributes, names::SIGNAL).unwrap_or_default(),
            false => signal.to_owned(),
        };
        let lost = match &*signal {
            "spans" => Lost::Spans,
            "log_lines" => Lost::Lines,
            _ => Lost::Other,
        };
        let member = |camel: &str, snake: &str| point.get(camel).or_else(|| point.get(snake)).map(plain);
        let number = |camel, snake| member(camel, snake).and_then(|text| text.parse::<u64>().ok());
        let count = member("asInt", "as_int").or_else(|| member("asDouble", "as_double"));
        let count = count.and_then(|text| text.parse::<f64>().ok()).filter(|count| count.is_finite());
        let (Some(count), Some(time)) = (count, number("timeUnixNano", "time_unix_nano")) else { return };
        let start = number("startTimeUnixNano", "start_time_unix_nano").unwrap_or(0);
        let attributes: Vec<String> = attributes.iter().map(Value::to_string).collect();
        let start = if is_delta { 0 } else { start };
        let key = (
            service.to_owned(),
            lost,
            format!("{name} {}", attributes.join(" ")),
            instance.to_owned(),
            start,
        );
        let has_room = self.counters.len() < MOST_COUNTERS;
        let counter = match self.counters.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) if has_room => new.insert(Counter { first: u64::MAX, ..Counter::default() }),
            Entry::Vacant(_) => return,
        };
        let is_before = self.since.is_some_and(|since| time < since);
        let is_after = self.until.is_some_and(|until| time > until);
        match (is_before, is_after) {
            (true, _) if is_delta => {}
            (true, _) => counter.before = counter.before.max(count),
            (_, true) => {}
            _ if count > 0.0 => {
                counter.first = counter.first.min(time);
                counter.last = counter.last.max(time);
                match is_delta {
                    true => counter.added += count,
                    false => counter.within = counter.within.max(count),
                }
            }
            _ => {}
        }
    }
}

impl Lost {
    pub(crate) fn cause(self) -> Option<Cause> {
        match self {
            Self::Spans => Some(Cause::SpansDropped),
            Self::Lines => Some(Cause::LinesDropped),
            Self::Other => None,
        }
    }
}

fn value(attributes: &[Value], name: &str) -> Option<String> {
    let attribute =
        attributes.iter().find(|attribute| attribute.get("key").is_some_and(|key| key == name))?;
    attribute.get("value")?.as_object()?.values().next().map(plain)
}
