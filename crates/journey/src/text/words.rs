//! One span in words: whose it is, what it did, where it went, what came of it.

use crate::escape::visible;
use crate::names;
use crate::span::{Kind, Span};
use crate::story::Node;
use crate::text::paint::{Piece, Style};

/// The words for `node`'s span; `service` is what to paint the service's name with, `None` if its parent has the same.
pub(crate) fn of(node: &Node, span: &Span, service: Option<Style>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    if let Some(style) = service.filter(|_| !span.service.is_empty()) {
        pieces.push(Piece::new(style, visible(&span.service)));
    }
    pieces.push(Piece::plain(visible(&span.name)));
    if let Some(peer) = peer(span) {
        pieces.push(Piece::new(Style::Dim, format!("→ {}", visible(&peer))));
    }
    if let Some(database) = span.text(names::DATABASE) {
        pieces.push(Piece::new(Style::Dim, visible(&database)));
    }
    pieces.extend(status(span));
    if let Some(result) = span.text(&[names::CACHE_RESULT]) {
        pieces.push(Piece::new(Style::Bold, visible(&result)));
        let reason = span.text(&[names::CACHE_REASON]).filter(|reason| *reason != result);
        pieces.extend(reason.map(|reason| Piece::new(Style::Dim, format!("({})", visible(&reason)))));
    }
    if let Some((number, of)) = node.attempt {
        let reason = span.text(&[names::RETRY_REASON]).map(|reason| format!(" after {}", visible(&reason)));
        pieces.push(Piece::new(Style::Warn, format!("attempt {number}/{of}{}", reason.unwrap_or_default())));
    }
    if let Some(run) = span.number(&[names::RUN]).filter(|run| *run > 1) {
        pieces.push(Piece::new(Style::Warn, format!("run {run}")));
    }
    pieces.extend(failure(span));
    pieces.extend(pool(span));
    if span.end < span.start {
        pieces.push(Piece::new(Style::Warn, "ends before it starts"));
    }
    pieces
}

/// Status and failure, as far as the span tells of them.
pub(crate) fn outcome(span: &Span) -> Vec<Piece> {
    status(span).into_iter().chain(failure(span)).collect()
}

/// The same in a word or two.
pub(crate) fn outcome_in_short(span: &Span) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = status(span).into_iter().collect();
    match error_type(span) {
        Some(kind) => pieces.push(Piece::new(Style::Bad, format!("({})", visible(&kind)))),
        None if pieces.is_empty() => pieces.push(Piece::new(Style::Warn, "no answer")),
        None => {}
    }
    pieces
}

fn status(span: &Span) -> Option<Piece> {
    let status = span.text(names::STATUS)?;
    let style = match status.as_bytes().first() {
        Some(b'5') => Style::Bad,
        Some(b'4') => Style::Warn,
        _ => Style::Good,
    };
    Some(Piece::new(style, visible(&status)))
}

/// What went wrong: its kind, and what is said of it.
fn failure(span: &Span) -> Option<Piece> {
    let message = Some(span.status_message.as_str()).filter(|message| !message.is_empty());
    let text = match (error_type(span), message) {
        (Some(kind), Some(message)) if kind != message => {
            format!("failed: {}", visible(&format!("{kind}: {message}")))
        }
        (Some(kind), _) => format!("failed: {}", visible(&kind)),
        (None, Some(message)) => format!("failed: {}", visible(message)),
        (None, None) if span.failed && span.text(names::STATUS).is_none() => "failed".to_owned(),
        (None, None) => return None,
    };
    Some(Piece::new(Style::Bad, text))
}

/// `error.type`, where it says more than the status.
fn error_type(span: &Span) -> Option<String> {
    span.text(&[names::ERROR_TYPE]).filter(|kind| Some(kind) != span.text(names::STATUS).as_ref())
}

/// Who was asked: the replica, or the other end's address.
pub(crate) fn peer(span: &Span) -> Option<String> {
    let address = || {
        if !matches!(span.kind, Kind::Client | Kind::Producer) {
            return None;
        }
        let (host, port) = names::PEER.iter().find(|(host, _)| span.attributes.contains_key(*host))?;
        let port = span.text(&[port]).map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}{port}", span.text(&[host])?))
    };
    span.text(&[names::REPLICA]).or_else(address)
}

/// How busy a pool was, if one had to be shared.
pub(crate) fn pool(span: &Span) -> Option<Piece> {
    let number = |name| span.number(&[name]);
    let (in_use, waiting) = (number(names::POOL_IN_USE)?, number(names::POOL_WAITING).unwrap_or(0));
    let size = number(names::POOL_SIZE).map(|size| format!(" of {size}")).unwrap_or_default();
    let text = match waiting {
        0 if in_use == 0 => return None,
        0 => format!("{in_use}{size} in use"),
        _ => format!("{in_use}{size} in use, {waiting} waiting"),
    };
    Some(Piece::new(Style::Dim, text))
}
