//! A map as a table, and as JSON.

use serde::Serialize;

use crate::map::{Drawn, Node};
use crate::table::{self, Column, milliseconds};

impl Node {
    /// Its name; what stands in brackets is none.
    pub fn name(&self) -> &str {
        match self {
            Self::Outside => "(outside)",
            Self::Others => "(others)",
            Self::Service(name) if name.is_empty() => "(service not named)",
            Self::Service(name) => name,
            Self::Queue(name) | Self::Database(name) | Self::Silent(name) => name,
        }
    }

    /// What it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Others => "others",
            Self::Service(_) => "service",
            Self::Queue(_) => "queue",
            Self::Database(_) => "database",
            Self::Silent(_) => "silent",
        }
    }

    /// Name, and kind where it is not a service.
    fn words(&self, is_async: bool) -> String {
        let kind = match self {
            Self::Outside | Self::Others | Self::Service(_) => None,
            Self::Silent(_) => Some("tells nothing"),
            Self::Queue(_) | Self::Database(_) => Some(self.kind()),
        };
        let told: Vec<&str> = kind.into_iter().chain(is_async.then_some("async")).collect();
        match told.is_empty() {
            true => self.name().to_owned(),
            false => format!("{} ({})", self.name(), told.join(", ")),
        }
    }
}

impl Drawn {
    /// The map as a table, `width` columns wide; nothing of an empty one.
    pub fn text(&self, width: usize) -> String {
        if self.edges.is_empty() {
            return String::new();
        }
        let mut columns = vec![Column::cut("from"), Column::cut("to")];
        columns.extend(["calls", "per s", "errors %", "p50 ms", "p95 ms", "p99 ms"].map(Column::number));
        let row = |(edge, calls): &(crate::map::Edge, crate::map::Calls)| {
            let rate = calls.per_second(self.seconds).map(|rate| format!("{rate:.2}"));
            let mut row = vec![
                edge.from.words(false),
                edge.to.words(edge.is_async),
                calls.durations.count().to_string(),
                rate.unwrap_or_default(),
                format!("{:.1}", calls.error_percent()),
            ];
            let quantile = |part| milliseconds(calls.durations.quantile(part).unwrap_or(0));
            row.extend([0.5, 0.95, 0.99].map(quantile));
            row
        };
        table::render(&columns, &self.edges.iter().map(row).collect::<Vec<_>>(), width)
    }

    /// The map as JSON, one edge a line; durations are milliseconds.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            from: &'a str,
            from_kind: &'a str,
            to: &'a str,
            to_kind: &'a str,
            #[serde(rename = "async")]
            is_async: bool,
            calls: u64,
            per_second: Option<f64>,
            errors: u64,
            error_percent: f64,
            p50_ms: f64,
            p95_ms: f64,
            p99_ms: f64,
            max_ms: f64,
        }
        let ms = |nanoseconds: Option<u64>| nanoseconds.unwrap_or(0) as f64 / 1e6;
        let lines = self.edges.iter().map(|(edge, calls)| {
            let [p50_ms, p95_ms, p99_ms] = [0.5, 0.95, 0.99].map(|part| ms(calls.durations.quantile(part)));
            table::json(&Object {
                from: edge.from.name(),
                from_kind: edge.from.kind(),
                to: edge.to.name(),
                to_kind: edge.to.kind(),
                is_async: edge.is_async,
                calls: calls.durations.count(),
                per_second: calls.per_second(self.seconds),
                errors: calls.errors,
                error_percent: calls.error_percent(),
                p50_ms,
                p95_ms,
                p99_ms,
                max_ms: ms(calls.durations.max()),
            })
        });
        lines.collect()
    }
}
