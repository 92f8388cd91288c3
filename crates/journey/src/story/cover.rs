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
    let children = nodes[index].children.iter().filter_map(|child| nodes[*child].span.as_ref());
    divide((span.start, span.end), children.map(|child| (child.start, child.end)))
}

/// Divides a time, from a start to an end, among `children`, which come in the order of their starts.
pub(crate) fn divide((from, until): (u64, u64), children: impl Iterator<Item = (u64, u64)>) -> Cover {
    let mut cover = Cover { stretches: Vec::new(), own: until.saturating_sub(from) };
    for (start, end) in children {
        let covered_until = cover.stretches.last().map_or(from, |(_, end)| *end);
        let (start, end) = (start.max(from), end.min(until));
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

#[cfg(test)]
mod tests {
    use crate::id::{SpanId, TraceId};
    use crate::span::{Kind, Span};
    use crate::story::Story;

    fn span(id: usize, parent: Option<usize>, (start, end): (u64, u64)) -> Span {
        let id_of = |id: usize| SpanId::read(&format!("{:016x}", id + 1)).unwrap();
        Span {
            trace: TraceId::read("4bf92f3577b34da6a3ce929d0e0e4736").unwrap(),
            id: id_of(id),
            parent: parent.map(id_of),
            service: String::new(),
            instance: None,
            name: String::new(),
            kind: Kind::Internal,
            start,
            end,
            failed: false,
            status_message: String::new(),
            attributes: Default::default(),
            events: Vec::new(),
            links: Vec::new(),
        }
    }

    #[test]
    fn own_time_is_what_no_child_covers() {
        let check = |children: &[(u64, u64)], own: u64, stretches: &[(u64, u64)]| {
            let mut spans = vec![span(0, None, (100, 200))];
            spans.extend(children.iter().enumerate().map(|(id, times)| span(id + 1, Some(0), *times)));
            let story = Story::new(spans[0].trace, spans, Vec::new());
            assert_eq!((story.nodes[0].own, &*story.cover(0).stretches), (own, stretches), "{children:?}");
        };
        check(&[], 100, &[]);
        check(&[(120, 150)], 70, &[(120, 150)]);
        check(&[(150, 160), (120, 130)], 80, &[(120, 130), (150, 160)]);
        check(&[(120, 150), (140, 160)], 60, &[(120, 160)]);
        check(&[(120, 160), (130, 140)], 60, &[(120, 160)]);
        check(&[(120, 130), (130, 140)], 80, &[(120, 140)]);
        check(&[(100, 200)], 0, &[(100, 200)]);
        check(&[(50, 120), (190, 250)], 70, &[(100, 120), (190, 200)]);
        check(&[(0, 90), (210, 300)], 100, &[]);
        check(&[(150, 120)], 100, &[]);
        check(&[(0, u64::MAX)], 0, &[(100, 200)]);
    }
}
