//! The verdict in words, beneath the tree: a line each for where the time went, what failed, what was left for later, and doubts.

use std::collections::HashSet;

use crate::baseline::{Deviation, Usual};
use crate::escape::visible;
use crate::span::Span;
use crate::story::Story;
use crate::text::columns::Unit;
use crate::text::paint::{Piece, Style, paint, wrap};
use crate::text::{Look, words};
use crate::verdict::{Failure, Later, Share, Spent, Sure, Verdict};

/// Shares are told one by one up to here, what is left as one.
const MOST_SHARES: usize = 3;
/// What was left for later is told up to here; doubts as well.
const MOST_LATER: usize = 3;
/// What stands before a line: its label and room behind it.
const LABEL: usize = 9;

/// The lines of `verdict`; empty if there is no span to judge.
pub(super) fn render(story: &Story, verdict: &Verdict, unit: Unit, look: Look) -> String {
    if verdict.took.is_none() {
        return String::new();
    }
    let mut first = match verdict.shares.as_slice() {
        [] => vec![Piece::plain("it took no time;")],
        all => shares(story, all, ";"),
    };
    let (style, sure) = match verdict.sure {
        Sure::High => (Style::Good, "high"),
        Sure::Medium => (Style::Warn, "medium"),
        Sure::Low => (Style::Bad, "low"),
    };
    first.push(Piece::plain("how sure:"));
    first.push(Piece::new(style, sure));
    let mut lines = vec![("verdict", first)];
    lines.extend(verdict.failure.as_ref().map(|failure| ("failed", failed(story, failure))));
    lines.extend(verdict.later.iter().take(MOST_LATER).map(|one| ("later", later(story, one, unit))));
    if let Some(more) = verdict.later.len().checked_sub(MOST_LATER).filter(|more| *more > 0) {
        lines.push(("later", vec![Piece::plain(format!("and {more} more"))]));
    }
    lines.extend(verdict.usual.as_ref().map(|one| ("usual", usual(one, unit))));
    let told = verdict.doubts.iter().take(MOST_LATER);
    lines.extend(told.map(|doubt| ("doubt", vec![Piece::new(Style::Warn, visible(&doubt.words()))])));
    let mut text = String::new();
    for (label, pieces) in lines {
        let room = look.width.saturating_sub(LABEL);
        for (number, part) in wrap(pieces, room, room, " ").into_iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            let mut row = vec![Piece::new(Style::Dim, format!("{label:<LABEL$}"))];
            row.extend(part);
            text.push_str(paint(&row, look.is_coloured).trim_end());
            text.push('\n');
        }
    }
    text
}

/// The largest shares, and all others as one: they add up to 100. `end` stands behind the last.
fn shares(story: &Story, shares: &[Share], end: &str) -> Vec<Piece> {
    let shown = shares.iter().take(MOST_SHARES).filter(|share| share.percent > 0);
    let mut told: Vec<String> =
        shown.clone().map(|share| format!("{} % {}", share.percent, words_of(story, share))).collect();
    let rest = 100_u64.saturating_sub(shown.map(|share| share.percent).sum());
    told.extend(Some(format!("{rest} % other")).filter(|_| rest > 0));
    let last = told.len() - 1;
    let comma = |(number, text)| Piece::plain(format!("{text}{}", if number == last { end } else { "," }));
    told.into_iter().enumerate().map(comma).collect()
}

/// What a share is, whose, and what of it.
fn words_of(story: &Story, share: &Share) -> String {
    let span = story.span(share.span);
    let mut whose = visible(if share.service.is_empty() { "service not named" } else { &share.service });
    let peer = || span.and_then(words::peer).map(|peer| visible(&peer));
    match share.spent {
        Spent::Own | Spent::TaskQueue | Spent::CacheWait | Spent::SharedFetch => {}
        Spent::Network | Spent::Unaccounted => {
            let to = share.to.as_deref().map(visible).filter(|to| !to.is_empty());
            whose.extend(to.or_else(peer).map(|to| format!(" → {to}")));
        }
        Spent::WaitQueue | Spent::Call => whose.extend(peer().map(|peer| format!(" → {peer}"))),
        Spent::Retry => {
            whose.extend(peer().map(|peer| format!(" → {peer}")));
            whose.extend(
                span.map(words::outcome_in_short)
                    .into_iter()
                    .flatten()
                    .map(|piece| format!(" {}", piece.text)),
            );
        }
        Spent::Pool => whose.extend(span.and_then(words::pool).map(|pool| format!(": {}", pool.text))),
        Spent::Database | Spent::KeyValue => {
            let mostly = if share.is_mixed { "mostly " } else { "" };
            whose.push_str(&format!(": {mostly}{}", visible(&share.name)));
            if share.spans > 1 {
                whose.push_str(&format!(" ×{}", share.spans));
            }
        }
    }
    format!("{} ({whose})", share.spent.words())
}

/// What failed first, and who failed because of it.
fn failed(story: &Story, failure: &Failure) -> Vec<Piece> {
    let mut pieces = vec![Piece::plain("first")];
    if let Some(span) = story.span(failure.first) {
        pieces.push(Piece::new(Style::Bold, named(span)));
        pieces.extend(words::peer(span).map(|peer| Piece::new(Style::Dim, format!("→ {}", visible(&peer)))));
        pieces.extend(words::outcome(span));
    }
    let mut seen = HashSet::new();
    let services: Vec<String> = failure
        .because
        .iter()
        .filter_map(|id| story.span(*id))
        .filter(|span| seen.insert(&*span.service))
        .map(|span| visible(&span.service))
        .collect();
    if !services.is_empty() {
        let spans = failure.because.len();
        let spans = if spans == 1 { "1 span".to_owned() } else { format!("{spans} spans") };
        pieces.push(Piece::plain(format!("(because of it {spans} of {})", services.join(", "))));
    }
    if failure.is_coped_with {
        pieces.push(Piece::new(Style::Good, "(the answer did not fail)"));
    }
    pieces
}

/// One piece of work that was left for later.
fn later(story: &Story, later: &Later, unit: Unit) -> Vec<Piece> {
    let name = format!("{} {}", visible(&later.service), visible(&later.name));
    let mut pieces = vec![Piece::new(Style::Bold, name)];
    if later.has_failed {
        pieces.push(Piece::new(Style::Bad, "failed"));
    }
    pieces.push(Piece::plain(format!("in {}:", unit.with_name(later.took))));
    if !later.shares.is_empty() {
        pieces.extend(shares(story, &later.shares, ""));
    }
    pieces
}

/// The request beside the others of its route.
fn usual(usual: &Usual, unit: Unit) -> Vec<Piece> {
    let Usual { route, requests, took, p50, p95, most } = usual;
    let further = route.route.iter().map(|route| format!(" ({})", visible(route)));
    let like =
        format!("{}{} of {}", visible(&route.place), further.collect::<String>(), visible(&route.service));
    let quantiles = format!("p50 {}, p95 {}", unit.with_name(*p50), unit.with_name(*p95));
    let others = format!("{requests} like it, {like}");
    let (style, beside) = match requests {
        0 => {
            return vec![Piece::new(
                Style::Warn,
                format!("no other request like it is in the files: {like}"),
            )];
        }
        _ if usual.are_few() => (Style::Warn, format!("only {others}: too few to tell;")),
        _ if took > p95 && *p95 > 0 => {
            (Style::Bad, format!("{:.1} times the p95 of {others}:", *took as f64 / *p95 as f64))
        }
        _ if took > p95 => (Style::Bad, format!("above the p95 of {others}:")),
        _ if took > p50 => (Style::Plain, format!("between p50 and p95 of {others}:")),
        _ => (Style::Good, format!("no slower than half of {others}:")),
    };
    let mut pieces = vec![Piece::new(style, beside), Piece::plain(quantiles)];
    if let Some(Deviation { service, spent, took, p50, p95 }) = most {
        let [took, p50, p95] = [took, p50, p95].map(|time| unit.with_name(*time));
        let (spent, service) = (spent.words(), visible(service));
        pieces.push(Piece::plain(format!(
            "(most above it: {spent} of {service} {took}, p50 {p50}, p95 {p95})"
        )));
    }
    pieces
}

fn named(span: &Span) -> String {
    format!("{} {}", visible(&span.service), visible(&span.name))
}
