//! Which part of a span's time its children cover: the rest is its own.

use crate::story::Node;

/// A span's time, divided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cover {
    /// Stretches in which at least one child ran, in order, apart from each other, within the span; nanoseconds since 1970.
    pub stretches: Vec<(u64, u64)>,
    /// Nanoseconds in which none did.
    pub own: u64,
}

/// Divides the time of `nodes[index]`. Children that ran before or after it do not count for that part: they are not
/// what it waited for.
pub(super) fn of(nodes: &[Node], index: usize) -> Cover {
    let Some(span) = &nodes[index].span else { return Cover::default() };
    let mut cover = Cover { stretches: Vec::new(), own: span.duration() };
    // Children come in the order of their starts.
    for child in nodes[index].children.iter().filter_map(|child| nodes[*child].span.as_ref()) {
        let covered_until = cover.stretches.last().map_or(span.start, |(_, end)| *end);
        let (start, end) = (child.start.max(span.start), child.end.min(span.end));
        if end <= start || end <= covered_until {
            continue;
        }
        cover.own -= end - start.max(covered_until);
        match cover.stretches.last_mut() {
            Some((_, last)) if start <= *last => *last = end,
            _ => cover.stretches.push((start, end)),
        }
    }
    cover
}
