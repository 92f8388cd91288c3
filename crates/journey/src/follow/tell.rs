//! What is told of a request, as one line of text or of JSON, with its log lines beneath it.

use serde::Serialize;

use super::Told;
use crate::escape::visible;
use crate::line::Line;
use crate::table;

/// `told` as text, each line with its end and cut to `width` columns: when it began, how long it took, its status, its id,
/// what was asked, by whom it was answered.
pub fn text(told: &Told, width: usize) -> String {
    let row = &told.row;
    let status = row.status.map(|status| status.to_string()).unwrap_or_default();
    let mut line = format!(
        "{}  {:>9} ms  {status:>3}  {}  {}  {}",
        time(row.start),
        table::milliseconds(row.duration),
        table::id(row.trace, width),
        row.asked,
        row.services.join(", ")
    );
    if row.errors > 0 {
        line.push_str(&format!("  {} failed", row.errors));
    }
    if told.is_correction {
        line.insert_str(0, "again: ");
    }
    let log = |line: &Line| {
        let time = line.time.map(time).unwrap_or_else(|| " ".repeat(TIME.len()));
        format!("{time}    {} {} {}", line.level, line.service, line.message)
    };
    let lines = std::iter::once(line).chain(told.lines.iter().map(log));
    lines.map(|line| table::shortened(&visible(&line), width) + "\n").collect()
}

const TIME: &str = "22:26:40.123";

/// The time of day, in UTC.
fn time(nanoseconds: u64) -> String {
    let moment = table::moment(nanoseconds);
    moment["2026-11-21T".len()..].trim_end_matches('Z').to_owned()
}

/// `told` as JSON, one object on a line, its log lines in it as they were written.
pub fn json(told: &Told) -> String {
    #[derive(Serialize)]
    struct Object<'a> {
        #[serde(flatten)]
        request: crate::traces::Object<'a>,
        correction: bool,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        logs: Vec<&'a str>,
    }
    table::json(&Object {
        request: crate::traces::Object::of(&told.row),
        correction: told.is_correction,
        logs: told.lines.iter().map(|line| line.raw.as_str()).collect(),
    })
}
