//! The answer: what is broken, what is worth knowing beside it, and one line that says whether all is sound.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::findings::Finding;
use super::ledger::Ledger;
use super::losses::{Loss, Losses};
use super::reading::MOST_SERIES;
use super::{Cause, Lines, Settings};
use crate::table::{self, Column};

/// What an audit has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What is broken, most first.
    pub findings: Vec<Finding>,
    /// What is not broken and explains what may look so.
    pub notes: Vec<Note>,
    /// How many requests and runs of tasks were looked at.
    pub requests: u64,
}

/// Something that is worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// So many requests of this service go on a trace of a caller whose spans are not here.
    FromOutside(Arc<str>, u64),
    /// So many requests brought this service a context that it did not take over, from callers that are not known.
    Refused(Arc<str>, u64),
    /// So many calls were left open by a process that was killed, or ended.
    EndedEarly(u64),
    /// So many traces may still go on, and were not looked at.
    InFlight(u64),
    /// This service has lost so many metric points or lines of standard output, by its own count.
    OtherLost(String, u64),
    /// So many series of files were read too late: of what seems to be missing nothing is said.
    ReadLate(usize),
}

impl Report {
    pub(super) fn of(
        settings: &Settings,
        ledger: Ledger,
        losses: &Losses,
        lines: BTreeMap<Arc<str>, Lines>,
        late: usize,
    ) -> Self {
        let lost = losses.lost();
        let mut notes = notes(&ledger, &lost);
        let Ledger { findings, hops, entries, requests, .. } = ledger;
        let mut rows = findings.rows();
        let mut broken: HashMap<_, u64> = HashMap::new();
        for row in rows.iter().filter(|row| row.cause.is_of_request()) {
            *broken.entry((row.from.clone(), row.at.clone())).or_default() += row.count;
        }
        for row in &mut rows {
            let place = (row.from.clone(), row.at.clone());
            let whole = match &row.from {
                Some(from) => hops.get(&(from.clone(), row.at.clone())).map_or(0, |(_, counted)| *counted),
                None => entries.get(&row.at).map_or(0, |entries| entries.requests),
            };
            let more = if row.from.is_some() { broken.get(&place).copied().unwrap_or(0) } else { 0 };
            row.of = Some((whole + more).max(row.count));
        }
        if late > 0 {
            rows.retain(|row| !row.cause.is_of_missing());
            notes.push(Note::ReadLate(late));
        }
        rows.extend(lost.iter().filter_map(of_loss));
        rows.extend(lines.iter().filter_map(of_lines));
        rows.retain(|row| settings.service.as_ref().is_none_or(|service| row.touches(service)));
        notes.retain(|note| settings.service.as_ref().is_none_or(|service| note.touches(service)));
        rows.sort_by(|a, b| {
            b.count.cmp(&a.count).then_with(|| (a.cause, &a.from, &a.at).cmp(&(b.cause, &b.from, &b.at)))
        });
        Self { findings: rows, notes, requests }
    }

    /// Whether all that was asked could be looked at.
    pub fn is_whole(&self) -> bool {
        !self.notes.iter().any(|note| matches!(note, Note::ReadLate(_)))
    }

    /// Whether nothing is broken.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many breaks of requests were found.
    pub fn breaks(&self) -> u64 {
        self.findings.iter().filter(|row| row.cause.is_of_request()).map(|row| row.count).sum()
    }

    /// The table, the notes and the last line, each with its end, `width` columns wide.
    pub fn text(&self, width: usize) -> String {
        let mut text = String::new();
        if !self.findings.is_empty() {
            let mut columns = vec![
                Column::cut("hop"),
                Column::text("cause"),
                Column::number("count"),
                Column::number("share"),
                Column::text("first seen"),
            ];
            if width >= table::NARROW {
                columns.push(Column::text("last seen"));
            }
            columns.push(Column::text("trace"));
            let rows: Vec<Vec<String>> = self.findings.iter().map(|row| row.cells(width)).collect();
            text.push_str(&table::render(&columns, &rows, width));
            text.push('\n');
        }
        for note in &self.notes {
            text.push_str(&format!("note: {}\n", crate::escape::visible(&note.words())));
        }
        text.push_str(&self.last_line());
        text
    }

    fn last_line(&self) -> String {
        if self.is_sound() && !self.is_whole() {
            return format!("undecided: nothing else was found broken in {} requests\n", self.requests);
        }
        if self.is_sound() {
            return format!("sound: every hop of {} requests carried its trace on\n", self.requests);
        }
        let hops: std::collections::BTreeSet<_> =
            self.findings.iter().map(|row| (&row.from, &row.at)).collect();
        let places = if hops.len() == 1 { "1 place".to_owned() } else { format!("{} places", hops.len()) };
        format!("broken: {} breaks in {} requests, at {places}\n", self.breaks(), self.requests)
    }

    /// The same as JSON, one object a line, the last of them the summary.
    pub fn json(&self) -> String {
        let mut text: String = self.findings.iter().map(Finding::json).collect();
        for note in &self.notes {
            text.push_str(&table::json(&serde_json::json!({"note": note.words()})));
        }
        text.push_str(&table::json(&serde_json::json!({
            "verdict": match (self.is_sound(), self.is_whole()) {
                (true, true) => "sound",
                (true, false) => "undecided",
                (false, _) => "broken",
            },
            "requests": self.requests,
            "breaks": self.breaks(),
        })));
        text
    }
}

impl Finding {
    /// The hop, or the service where it lies within one.
    pub fn hop(&self) -> String {
        let name = |name: &Arc<str>| if name.is_empty() { "(no name)".to_owned() } else { name.to_string() };
        match &self.from {
            Some(from) => format!("{} → {}", name(from), name(&self.at)),
            None => name(&self.at),
        }
    }

    fn touches(&self, service: &str) -> bool {
        *self.at == *service || self.from.as_deref() == Some(service)
    }

    fn cells(&self, width: usize) -> Vec<String> {
        let share = |of: u64| format!("{:.1} %", 100.0 * self.count as f64 / of.max(1) as f64);
        let second = |time: u64| if time == 0 { String::new() } else { table::second(time) };
        // Month, day, hour and minute are enough where there is little room.
        let minute = |time: u64| second(time).get(5..16).map(|text| format!("{text}Z")).unwrap_or_default();
        let mut cells = vec![
            self.hop(),
            self.cause.words().to_owned(),
            self.count.to_string(),
            self.of.map(share).unwrap_or_default(),
        ];
        match width {
            ..table::NARROW => cells.push(minute(self.first)),
            _ => cells.extend([second(self.first), second(self.last)]),
        }
        cells.push(self.examples.first().map(|trace| table::id(*trace, width)).unwrap_or_default());
        cells
    }

    fn json(&self) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            cause: &'a str,
            from: Option<&'a str>,
            at: &'a str,
            count: u64,
            of: Option<u64>,
            first: String,
            last: String,
            trace_ids: Vec<String>,
        }
        table::json(&Object {
            cause: self.cause.words(),
            from: self.from.as_deref(),
            at: &self.at,
            count: self.count,
            of: self.of,
            first: table::moment(self.first),
            last: table::moment(self.last),
            trace_ids: self.examples.iter().map(ToString::to_string).collect(),
        })
    }
}

impl Note {
    /// In one sentence.
    pub fn words(&self) -> String {
        match self {
            Self::FromOutside(service, count) => {
                format!(
                    "{service}: {count} requests go on traces of callers outside, whose spans are not here"
                )
            }
            Self::Refused(service, count) => {
                format!(
                    "{service}: {count} requests brought a context from outside that it did not take over"
                )
            }
            Self::EndedEarly(count) => format!("{count} calls were left open by processes that ended"),
            Self::InFlight(count) => format!("{count} traces may still go on, and are not counted"),
            Self::ReadLate(count) => format!(
                "{count} series of files are more than the {MOST_SERIES} that are read side by side: whether spans are \
                 missing cannot be told; name fewer files at once"
            ),
            Self::OtherLost(service, count) => {
                format!("{service}: {count} metric points or lines of standard output dropped")
            }
        }
    }

    fn touches(&self, service: &str) -> bool {
        match self {
            Self::FromOutside(name, _) | Self::Refused(name, _) => **name == *service,
            Self::OtherLost(name, _) => name == service,
            Self::EndedEarly(_) | Self::InFlight(_) | Self::ReadLate(_) => true,
        }
    }
}

fn notes(ledger: &Ledger, lost: &[Loss]) -> Vec<Note> {
    let outside = ledger.findings.outside_callers().iter();
    let mut notes: Vec<Note> =
        outside.map(|(service, count)| Note::FromOutside(service.clone(), *count)).collect();
    let refused: BTreeMap<_, _> = ledger.entries.iter().filter(|(_, entries)| entries.refused > 0).collect();
    notes.extend(
        refused.into_iter().map(|(service, entries)| Note::Refused(service.clone(), entries.refused)),
    );
    notes.extend(Some(ledger.ended_early).filter(|count| *count > 0).map(Note::EndedEarly));
    notes.extend(Some(ledger.in_flight).filter(|count| *count > 0).map(Note::InFlight));
    let other = lost.iter().filter(|loss| loss.lost.cause().is_none());
    notes.extend(other.map(|loss| Note::OtherLost(loss.service.clone(), loss.count)));
    notes
}

fn of_loss(loss: &Loss) -> Option<Finding> {
    Some(Finding {
        cause: loss.lost.cause()?,
        from: None,
        at: loss.service.as_str().into(),
        count: loss.count,
        of: None,
        first: loss.first,
        last: loss.last,
        examples: Vec::new(),
    })
}

fn of_lines((service, lines): (&Arc<str>, &Lines)) -> Option<Finding> {
    (lines.without_ids > 0).then(|| Finding {
        cause: Cause::NoIds,
        from: None,
        at: service.clone(),
        count: lines.without_ids,
        of: Some(lines.all),
        first: lines.first,
        last: lines.last,
        examples: Vec::new(),
    })
}
