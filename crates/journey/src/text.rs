//! A story as text: what a stranger understands at once, in the width of their terminal.
//!
//! First what was asked and what came of it; then the tree, a row for each span: when it began, whose and what it is,
//! how long it took, how much of that was its own, and where in the whole its time lies. Log lines, links and events
//! stand beneath the span that they belong to, at their time; the verdict stands at the foot. Pure; nothing from the data reaches the terminal unescaped.

use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::escape::visible;
use crate::line::Line;
use crate::names;
use crate::span::{Span, plain};
use crate::story::{Gap, Runs, Story};
use crate::text::columns::{Columns, Unit};
use crate::text::paint::{Piece, Style, paint};
use crate::verdict::Verdict;

/// Numbers, bars and widths.
mod columns;
/// The verdict, beneath the tree.
mod foot;
/// What stands beneath a node.
mod items;
/// One log line, event or link in words.
mod notes;
/// Pieces of text with their style, wrapped to a width.
pub(crate) mod paint;
/// The tree, row by row.
mod rows;
/// One span in words.
pub(crate) mod words;

/// The width where there is no terminal to ask.
pub const WIDTH: usize = 100;
/// Nothing can be laid out in less: what is narrower breaks the lines by itself.
const NARROWEST: usize = 40;
/// Gaps are told one by one up to here.
const MOST_GAPS: usize = 5;

/// What the output may look like.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether it shows colours.
    pub is_coloured: bool,
    /// Whether every span has a row of its own; else many that are alike share one, and the story ends after a thousand rows.
    pub tells_all: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: WIDTH, is_coloured: false, tells_all: false }
    }
}

/// `story` and its runs in the order of their beginnings, a request first whichever of its traces was asked for, each later
/// one after a line that says how much later it begins; and how many were left out.
pub fn render_all(story: &Story, runs: &Runs, look: Look) -> String {
    let mut stories: Vec<_> = std::iter::once(story).chain(&runs.stories).collect();
    stories.sort_by_key(|story| story.extent().0);
    let first = stories[0];
    let mut text = render(first, look);
    for story in &stories[1..] {
        let later = Unit::apart(story.extent().0.saturating_sub(first.extent().0));
        let line = [Piece::new(Style::Dim, format!("goes on {later} later, in a trace of its own"))];
        text.push('\n');
        text.push_str(&paint(&line, look.is_coloured));
        text.push_str("\n\n");
        text.push_str(&render(story, look));
    }
    if let Some(next) = runs.left_out.first() {
        let (count, width) = (runs.left_out.len(), look.width.max(NARROWEST));
        let said = match count {
            1 => format!("1 more trace of it is left out: throughline trace {next}"),
            _ => format!("{count} more traces of it are left out; one of them: throughline trace {next}"),
        };
        text.push('\n');
        for part in paint::wrap(vec![Piece::new(Style::Warn, said)], width, width, " ") {
            text.push_str(&paint(&part, look.is_coloured));
            text.push('\n');
        }
    }
    text
}

/// `story` as text, each line with its end.
pub fn render(story: &Story, look: Look) -> String {
    let width = look.width.max(NARROWEST);
    let (start, end) = story.extent();
    let unit = Unit::for_total(end - start);
    let mut lines = head(story, unit);
    lines.push(Vec::new());
    let columns = Columns::new(story, unit, width);
    let mut text = String::new();
    lines.into_iter().for_each(|line| write(line, look, &mut text));
    rows::render(story, &columns, look, &mut text);
    let foot = foot::render(story, &Verdict::of(story), unit, Look { width, ..look });
    if !foot.is_empty() {
        text.push('\n');
        text.push_str(&foot);
    }
    text
}

/// `verdict` on `story` alone, below what was asked.
pub fn render_verdict(story: &Story, verdict: &Verdict, look: Look) -> String {
    let (start, end) = story.extent();
    let unit = Unit::for_total(end - start);
    let mut text = String::new();
    let title = head(story, unit).into_iter().next().unwrap_or_default();
    write(title, look, &mut text);
    text + &foot::render(story, verdict, unit, Look { width: look.width.max(NARROWEST), ..look })
}

/// One line of the head, wrapped.
fn write(line: Vec<Piece>, look: Look, text: &mut String) {
    let width = look.width.max(NARROWEST);
    for part in paint::wrap(line, width, width, " ") {
        text.push_str(paint(&part, look.is_coloured).trim_end());
        text.push('\n');
    }
}

/// What was asked, what came of it, when, who took part, and what is missing.
fn head(story: &Story, unit: Unit) -> Vec<Vec<Piece>> {
    let (start, end) = story.extent();
    let root = story.root();
    let mut title = root.map(asked).unwrap_or_else(|| asked_by_lines(story));
    if let Some(root) = root {
        title.push(Piece::new(Style::Bold, format!("in {}", unit.with_name(root.duration()))));
    }
    if root.is_some_and(|root| end > root.end && unit.write(end - root.end) != unit.write(0)) {
        title.push(Piece::new(Style::Dim, format!("(all of it: {})", unit.with_name(end - start))));
    }
    let when = OffsetDateTime::from_unix_timestamp_nanos(i128::from(start)).ok().and_then(|time| {
        time.format(format_description!(
            "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3] UTC"
        ))
        .ok()
    });
    let mut id = vec![Piece::new(Style::Dim, "trace"), Piece::plain(story.trace.to_string())];
    id.extend(when.map(|when| Piece::new(Style::Dim, format!("at {when}"))));
    let mut lines = vec![title, id, sum(story)];
    let gaps = story.gaps();
    lines.extend(gaps.iter().take(MOST_GAPS).map(|gap| vec![Piece::new(Style::Warn, tell(gap))]));
    if gaps.len() > MOST_GAPS {
        lines.push(vec![Piece::new(Style::Warn, format!("and {} more", gaps.len() - MOST_GAPS))]);
    }
    lines
}

/// The request and its answer, or the name of the span where it is no HTTP request.
pub(crate) fn asked(root: &Span) -> Vec<Piece> {
    let Some(method) = root.text(names::METHOD) else {
        let mut pieces = vec![Piece::new(Style::Bold, visible(&root.name))];
        pieces.extend(words::outcome(root));
        return pieces;
    };
    let path = root.text(names::PATH).or_else(|| root.text(names::ROUTE)).unwrap_or_default();
    let mut pieces = vec![
        Piece::new(Style::Bold, visible(&method)),
        Piece::new(Style::Bold, visible(&path)),
        Piece::new(Style::Dim, "→"),
    ];
    pieces.extend(words::outcome_in_short(root));
    pieces
}

/// The same from log lines, which are written whether or not a request is sampled.
fn asked_by_lines(story: &Story) -> Vec<Piece> {
    let field = |line: &Line, name: &str| line.fields.get(name).map(|value| visible(&plain(value)));
    let took = |line: &&Line| line.fields.get(names::LINE_RESPONSE_TIME).and_then(Value::as_f64);
    let told = story.lines().filter(|line| took(line).is_some());
    let Some(line) = told.max_by(|a, b| f64::total_cmp(&took(a).unwrap_or(0.0), &took(b).unwrap_or(0.0)))
    else {
        return vec![Piece::new(Style::Bold, "log lines without a span")];
    };
    let mut pieces: Vec<Piece> = ["method", "path"]
        .iter()
        .filter_map(|name| field(line, name))
        .map(|text| Piece::new(Style::Bold, text))
        .collect();
    pieces.push(Piece::new(Style::Dim, "→"));
    pieces.extend(field(line, "status").map(Piece::plain));
    pieces.extend(
        field(line, names::LINE_RESPONSE_TIME).map(|took| Piece::new(Style::Bold, format!("in {took} ms"))),
    );
    pieces
}

fn sum(story: &Story) -> Vec<Piece> {
    let mut services = story.services().iter().map(|service| visible(service)).collect::<Vec<_>>().join(", ");
    if services.is_empty() {
        services.push_str("service not named");
    }
    let spans = counted(story.spans().count(), "span");
    let lines = counted(story.lines().count(), "log line");
    let mut pieces = vec![Piece::plain(format!("{services}:")), Piece::plain(format!("{spans}, {lines},"))];
    pieces.push(match story.gaps().as_slice() {
        [] => Piece::new(Style::Good, "complete"),
        [Gap::Caller(_)] => Piece::new(Style::Good, "complete but for its caller"),
        _ => Piece::new(Style::Warn, "incomplete"),
    });
    if story.duplicates > 0 {
        let repeats = counted(story.duplicates, "repeat");
        let different = match story.contradictions {
            0 => "all alike".to_owned(),
            count => format!("{count} of them different"),
        };
        pieces.push(Piece::new(Style::Dim, format!("({repeats} of spans left out, {different})")));
    }
    pieces
}

fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// A gap in words: in the head, and at its place in the tree.
fn tell(gap: &Gap) -> String {
    visible(&gap.words())
}
