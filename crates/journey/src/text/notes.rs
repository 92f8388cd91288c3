//! What stands beneath a span, in words: its log lines, the moments within it, the spans that it is linked to.

use serde_json::Value;

use crate::escape::visible;
use crate::line::Line;
use crate::names;
use crate::span::{Event, Kind, Link, Span, plain};
use crate::story::{Clock, Story};
use crate::text::columns::Unit;
use crate::text::paint::{Piece, Style};

/// Longer values are shortened: the whole line is one `logs` away.
const LONGEST_VALUE: usize = 400;

/// What the rows around a line say already.
#[derive(Clone, Copy)]
pub(super) struct Around<'s> {
    /// The span that the line belongs to.
    pub(super) span: Option<&'s Span>,
    /// What that span asked of others.
    pub(super) asked: &'s [&'s Span],
    /// The span that the request came in by.
    pub(super) root: Option<&'s Span>,
}

/// `line` without what the rows around it say already.
pub(super) fn line(line: &Line, around: Around<'_>) -> Vec<Piece> {
    let (style, is_alarming) = match line.level.as_str() {
        "ERROR" | "FATAL" => (Style::Bad, true),
        "WARN" => (Style::Warn, true),
        _ => (Style::Dim, false),
    };
    let mut pieces: Vec<Piece> = Vec::new();
    if !line.level.is_empty() {
        pieces.push(Piece::new(style, visible(&line.level)));
    }
    // Whose it is, always: a request's last lines stand far below their spans' rows, one under the other.
    if !line.service.is_empty() {
        pieces.push(Piece::plain(visible(&line.service)));
    }
    pieces.push(Piece::plain(shortened(&line.message)));
    let is_new = |(name, value): &(&String, &Value)| !around.tells(name, value, is_alarming);
    pieces.extend(line.fields.iter().filter(is_new).map(|(name, value)| field(name, value)));
    pieces
}

impl Around<'_> {
    /// Whether a field says what a row says. What is alarming stands by itself: it may lean on its span, not on others.
    fn tells(&self, name: &str, value: &Value, is_alarming: bool) -> bool {
        if name == names::EXCEPTION_STACKTRACE {
            return true;
        }
        if name == names::LINE_RUN_TIME && self.span.is_some_and(|span| span.text(&[names::RUN]).is_some()) {
            return true;
        }
        if name == names::LINE_RESPONSE_TIME {
            let took = self.span.map(|span| span.duration() as f64 / 1e6);
            return took
                .zip(value.as_f64())
                .is_some_and(|(took, said)| (took - said).abs() <= 0.1 + took / 100.0);
        }
        if name == names::LINE_ATTEMPTS {
            return value.as_u64() == Some(self.asked.len() as u64);
        }
        if name == names::EXCEPTION_MESSAGE
            && self.span.is_some_and(|span| span.status_message == plain(value))
        {
            return true;
        }
        let own = format!("{}{name}", names::OWN_PREFIX);
        let spellings = match name {
            "method" => names::METHOD,
            "path" => names::PATH,
            "status" => names::STATUS,
            "kind" => names::MESSAGE_KIND,
            "run" => &[names::RUN],
            _ => &[name, &own],
        };
        let says = |span: &&Span| span.text(spellings) == Some(plain(value));
        let by_root =
            || self.root.filter(|_| matches!(name, "method" | "path")).is_some_and(|root| says(&root));
        let by_others = || !is_alarming && self.asked.iter().any(says);
        self.span.is_some_and(|span| says(&span)) || by_root() || by_others()
    }
}

/// A moment within a span. Where the stack was at an exception takes many lines and is left out.
pub(super) fn event(event: &Event) -> Vec<Piece> {
    let style = if event.name == names::EXCEPTION { Style::Bad } else { Style::Plain };
    let mut pieces = vec![Piece::new(style, shortened(&event.name))];
    // An exception's fields begin with its own name, which stands there already.
    let prefix = format!("{}.", event.name);
    let told = event.attributes.iter().filter(|(name, _)| *name != names::EXCEPTION_STACKTRACE);
    pieces.extend(told.map(|(name, value)| field(name.strip_prefix(&prefix).unwrap_or(name), value)));
    pieces
}

/// That its times, and those of all that its process wrote, were moved.
pub(super) fn clock(clock: &Clock) -> Vec<Piece> {
    visible(&clock.words()).split(' ').map(|word| Piece::new(Style::Warn, word)).collect()
}

/// Where a link leads.
pub(super) fn link(story: &Story, span: &Span, link: &Link) -> Vec<Piece> {
    let target = story.target(link);
    // What asks in the background is linked to whom it was asked for.
    let answers = span.kind == Kind::Server;
    let words = match span.text(&[names::CACHE_RESULT]).filter(|_| answers).as_deref() {
        Some("hit" | "stale" | "stale-if-error" | "revalidated") => "answered from an entry stored by trace",
        Some("collapsed") => "shares the fetch of trace",
        _ => "linked to trace",
    };
    let mut pieces = vec![Piece::new(Style::Dim, words), Piece::plain(link.trace.to_string())];
    match target {
        Some(target) => {
            let apart = Unit::apart(target.end.abs_diff(span.start));
            let order = if target.end <= span.start { "earlier" } else { "later" };
            pieces.push(Piece::new(Style::Dim, format!("{apart} {order}")));
            pieces.push(Piece::new(
                Style::Dim,
                format!("({} {})", visible(&target.service), visible(&target.name)),
            ));
        }
        None => {
            pieces.push(Piece::new(Style::Dim, format!("span {}, which is not in these files", link.span)))
        }
    }
    let is_new = |(name, value): &(&String, &Value)| span.attributes.get(*name) != Some(*value);
    pieces.extend(link.attributes.iter().filter(is_new).map(|(name, value)| field(name, value)));
    pieces
}

/// A field as one word, quoted where it would not be one; our own prefix is left out, as in log lines.
fn field(name: &str, value: &Value) -> Piece {
    let mut text = shortened(&plain(value));
    if value.is_string() && (text.is_empty() || text.contains([' ', '"', '='])) {
        text = format!("\"{}\"", text.replace('"', "\\\""));
    }
    let name = name.strip_prefix(names::OWN_PREFIX).unwrap_or(name);
    Piece::new(Style::Dim, format!("{}={text}", visible(name)))
}

/// `text` made harmless, with its end cut off where it is very long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", visible(&text[..end])),
        None => visible(text),
    }
}
