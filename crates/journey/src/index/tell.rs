//! What was indexed, as text and as JSON.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::Built;
use crate::table::{self, Column};

/// One file and its index.
#[derive(Debug, Clone)]
pub struct Row {
    /// The file.
    pub path: PathBuf,
    /// Its index.
    pub built: Built,
    /// How long that took.
    pub took: Duration,
}

impl Row {
    /// The index's share in what it covers, in per cent.
    fn percent(&self) -> f64 {
        self.built.index as f64 * 100.0 / self.built.covered.max(1) as f64
    }
}

/// The rows as text, each line with its end, `width` columns wide, with a sum where there are several.
pub fn text(rows: &[Row], width: usize) -> String {
    let columns = [
        Column::cut("file"),
        Column::number("MB"),
        Column::number("index kB"),
        Column::number("per cent"),
        Column::number("read MB"),
        Column::number("took ms"),
    ];
    let cells = |row: &Row| {
        vec![
            row.path.display().to_string(),
            format!("{:.1}", row.built.covered as f64 / 1e6),
            format!("{:.1}", row.built.index as f64 / 1e3),
            format!("{:.2}", row.percent()),
            format!("{:.1}", row.built.read as f64 / 1e6),
            row.took.as_millis().to_string(),
        ]
    };
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum();
    let all = Row {
        path: PathBuf::from("all"),
        built: Built {
            covered: sum(|row| row.built.covered),
            index: sum(|row| row.built.index),
            read: sum(|row| row.built.read),
        },
        took: rows.iter().map(|row| row.took).sum(),
    };
    let several = (rows.len() > 1).then_some(&all);
    table::render(&columns, &rows.iter().chain(several).map(cells).collect::<Vec<_>>(), width)
}

/// The rows as JSON, one object a line.
pub fn json(rows: &[Row]) -> String {
    #[derive(Serialize)]
    struct Object {
        file: String,
        bytes: u64,
        index_bytes: u64,
        percent: f64,
        read_bytes: u64,
        took_ms: f64,
    }
    let object = |row: &Row| {
        table::json(&Object {
            file: row.path.display().to_string(),
            bytes: row.built.covered,
            index_bytes: row.built.index,
            percent: row.percent(),
            read_bytes: row.built.read,
            took_ms: row.took.as_secs_f64() * 1e3,
        })
    };
    rows.iter().map(object).collect()
}
