//! One span in words: whose it is, what it did, where it went, what came of it.

use crate::escape::visible;
use crate::names;
use crate::span::{Kind, Span};
use crate::story::Node;
use crate::text::paint::{Piece, Style};

/// The words for `node`'s span; `service` is what to paint the service's name with, `None` if its parent has the same.
pub(super) fn of(node: &Node, span: &Span, service: Option<Style>) -> Vec<Piece> {
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
    pieces.extend(outcome(span));
    if let Some(result) = span.text(&[names::CACHE_RESULT]) {
        pieces.push(Piece::new(Style::Bold, visible(&result)));
    }
    if let Some((number, of)) = node.attempt {
        let reason = span.text(&[names::RETRY_REASON]).map(|reason| format!(" after {}", visible(&reason)));
        pieces.push(Piece::new(Style::Warn, format!("attempt {number}/{of}{}", reason.unwrap_or_default())));
    }
    if span.end < span.start {
        pieces.push(Piece::new(Style::Warn, "ends before it starts"));
    }
    pieces
}

/// Status and error, as far as the span tells of them.
pub(super) fn outcome(span: &Span) -> Vec<Piece> {
    let status = span.text(names::STATUS);
    let style = match status.as_deref().and_then(|status| status.bytes().next()) {
        Some(b'5') => Style::Bad,
        Some(b'4') => Style::Warn,
        _ => Style::Good,
    };
    let mut pieces: Vec<Piece> = status.iter().map(|status| Piece::new(style, visible(status))).collect();
    let error = span.text(&[names::ERROR_TYPE]).filter(|error| Some(error) != status.as_ref());
    let told = Some(span.status_message.clone())
        .filter(|message| !message.is_empty() && error.as_ref() != Some(message));
    match [error, told].into_iter().flatten().map(|text| visible(&text)).collect::<Vec<_>>().join(": ") {
        why if !why.is_empty() => pieces.push(Piece::new(Style::Bad, format!("failed: {why}"))),
        _ if span.failed && pieces.is_empty() => pieces.push(Piece::new(Style::Bad, "failed")),
        _ => {}
    }
    pieces
}

/// Who was asked: the replica, or the other end's address.
fn peer(span: &Span) -> Option<String> {
    if !matches!(span.kind, Kind::Client | Kind::Producer) {
        return None;
    }
    let address = || {
        let (host, port) = names::PEER.iter().find(|(host, _)| span.attributes.contains_key(*host))?;
        let port = span.text(&[port]).map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}{port}", span.text(&[host])?))
    };
    span.text(&[names::REPLICA]).or_else(address)
}
