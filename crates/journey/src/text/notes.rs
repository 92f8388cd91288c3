//! What stands beneath a span, in words: its log lines, the moments within it, the spans that it is linked to.

use serde_json::Value;

use crate::escape::visible;
use crate::line::Line;
use crate::names;
use crate::span::{Attributes, Event, Link, Span, plain};
use crate::story::Story;
use crate::text::columns::Unit;
use crate::text::paint::{Piece, Style};

/// Longer values are shortened: the whole line is one `logs` away.
const LONGEST_VALUE: usize = 400;

/// `line` beneath `span`, without what the span's own row says already.
pub(super) fn line(line: &Line, span: Option<&Span>, root: Option<&Span>) -> Vec<Piece> {
    let level = match line.level.as_str() {
        "ERROR" | "FATAL" => Style::Bad,
        "WARN" => Style::Warn,
        _ => Style::Dim,
    };
    let mut pieces: Vec<Piece> = Vec::new();
    if !line.level.is_empty() {
        pieces.push(Piece::new(level, visible(&line.level)));
    }
    if span.is_none_or(|span| span.service != line.service) && !line.service.is_empty() {
        pieces.push(Piece::plain(visible(&line.service)));
    }
    pieces.push(Piece::plain(shortened(&line.message)));
    let is_new = |(name, value): &(&String, &Value)| !is_told(name, value, span, root);
    pieces.extend(line.fields.iter().filter(is_new).map(|(name, value)| field(name, value)));
    pieces
}

/// Whether a line's field says what the row of its span, or the head of the story, says already.
fn is_told(name: &str, value: &Value, span: Option<&Span>, root: Option<&Span>) -> bool {
    if name == names::EXCEPTION_STACKTRACE {
        return true;
    }
    if name == names::LINE_RESPONSE_TIME {
        let took = span.map(|span| span.duration() as f64 / 1e6);
        return took
            .zip(value.as_f64())
            .is_some_and(|(took, said)| (took - said).abs() <= 0.1 + took / 100.0);
    }
    let spellings = match name {
        "method" => names::METHOD.to_vec(),
        "path" => names::PATH.to_vec(),
        "status" => names::STATUS.to_vec(),
        _ => vec![name],
    };
    let own = format!("{}{name}", names::OWN_PREFIX);
    let says = |span: &Span| span.text(&spellings).or_else(|| span.text(&[&own])) == Some(plain(value));
    let is_of_request = matches!(name, "method" | "path");
    span.is_some_and(says) || is_of_request && root.is_some_and(says)
}

/// A moment within a span. Where the stack was at an exception takes many lines and is left out.
pub(super) fn event(event: &Event) -> Vec<Piece> {
    let style = if event.name == names::EXCEPTION { Style::Bad } else { Style::Plain };
    let mut pieces = vec![Piece::new(style, shortened(&event.name))];
    pieces.extend(fields(&event.attributes));
    pieces
}

/// Where a link leads.
pub(super) fn link(story: &Story, span: &Span, link: &Link, unit: Unit) -> Vec<Piece> {
    let target = story.target(link);
    let words = match span.text(&[names::CACHE_RESULT]).as_deref() {
        Some("hit" | "stale" | "revalidated") => "answered from an entry stored by trace",
        Some("collapsed") => "shares the fetch of trace",
        _ => "linked to trace",
    };
    let mut pieces = vec![Piece::new(Style::Dim, words), Piece::plain(link.trace.to_string())];
    match target {
        Some(target) => {
            let apart =
                Unit::for_total(target.end.abs_diff(span.start)).with_name(target.end.abs_diff(span.start));
            let order = if target.end <= span.start { "earlier" } else { "later" };
            pieces.push(Piece::new(Style::Dim, format!("{apart} {order}")));
            let _ = unit;
            pieces.push(Piece::new(
                Style::Dim,
                format!("({} {})", visible(&target.service), visible(&target.name)),
            ));
        }
        None => {
            pieces.push(Piece::new(Style::Dim, format!("span {}, which is not in these files", link.span)))
        }
    }
    pieces.extend(fields(&link.attributes));
    pieces
}

fn fields(attributes: &Attributes) -> impl Iterator<Item = Piece> {
    attributes
        .iter()
        .filter(|(name, _)| *name != names::EXCEPTION_STACKTRACE)
        .map(|(name, value)| field(name, value))
}

fn field(name: &str, value: &Value) -> Piece {
    let text = shortened(&plain(value));
    let needs_quotes = text.is_empty() || text.contains([' ', '"', '=']);
    let value = if needs_quotes && value.is_string() { format!("{text:?}") } else { text };
    Piece::new(Style::Dim, format!("{}={value}", visible(name)))
}

/// `text` made harmless, with its end cut off where it is very long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", visible(&text[..end])),
        None => visible(text),
    }
}
