//! Parents and children → one order: each node before what it caused, siblings in time order. No recursion: a trace may
//! be a hundred thousand spans deep.

use std::collections::HashMap;

use crate::id::SpanId;
use crate::line::Line;
use crate::span::Span;
use crate::story::Node;

/// Builds the tree of `spans`, of which no two have the same id, and hangs `lines`, which all name a span, into it.
pub(super) fn build(spans: Vec<Span>, lines: Vec<Line>) -> Vec<Node> {
    let mut nodes: Vec<Node> = spans.into_iter().map(|span| node(span.id, Some(span))).collect();
    let mut places: HashMap<SpanId, usize> =
        nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
    let mut place_of = |id: SpanId, nodes: &mut Vec<Node>| {
        *places.entry(id).or_insert_with(|| {
            nodes.push(node(id, None));
            nodes.len() - 1
        })
    };
    for index in 0..nodes.len() {
        if let Some(parent) = nodes[index].span.as_ref().and_then(|span| span.parent) {
            nodes[index].parent = Some(place_of(parent, &mut nodes));
        }
    }
    for line in lines {
        if let Some(id) = line.span {
            let place = place_of(id, &mut nodes);
            nodes[place].lines.push(line);
        }
    }
    cut_circles(&mut nodes);
    in_order(nodes)
}

fn node(id: SpanId, span: Option<Span>) -> Node {
    Node {
        id,
        span,
        parent: None,
        children: Vec::new(),
        moved: 0,
        as_written: None,
        depth: 0,
        is_cut: false,
        own: 0,
        attempt: None,
        lines: Vec::new(),
    }
}

/// Takes the parent away from the earliest node of each circle.
fn cut_circles(nodes: &mut [Node]) {
    const UNSEEN: usize = usize::MAX;
    // By which walk a node was first met: to meet one's own trail again is a circle.
    let mut walk_of = vec![UNSEEN; nodes.len()];
    for start in 0..nodes.len() {
        let mut next = Some(start);
        while let Some(index) = next.filter(|index| walk_of[*index] == UNSEEN) {
            walk_of[index] = start;
            next = nodes[index].parent;
        }
        if let Some(met) = next.filter(|index| walk_of[*index] == start) {
            let circle =
                std::iter::successors(Some(met), |index| nodes[*index].parent.filter(|next| *next != met));
            if let Some(earliest) = circle.min_by_key(|index| (begins(nodes, *index), nodes[*index].id)) {
                nodes[earliest].parent = None;
                nodes[earliest].is_cut = true;
            }
        }
    }
}

/// When a node begins; one that was never written begins with the first that names it.
fn begins(nodes: &[Node], index: usize) -> u64 {
    let node = &nodes[index];
    let of_children =
        || node.children.iter().filter_map(|child| nodes[*child].span.as_ref()).map(|span| span.start);
    let of_lines = || node.lines.iter().filter_map(|line| line.time);
    match &node.span {
        Some(span) => span.start,
        None => of_children().chain(of_lines()).min().unwrap_or(0),
    }
}

/// Sorts the nodes into the story's order and makes all indices follow.
pub(super) fn in_order(mut nodes: Vec<Node>) -> Vec<Node> {
    nodes.iter_mut().for_each(|node| node.children.clear());
    for index in 0..nodes.len() {
        if let Some(parent) = nodes[index].parent {
            nodes[parent].children.push(index);
        }
    }
    let keys: Vec<(u64, SpanId)> =
        (0..nodes.len()).map(|index| (begins(&nodes, index), nodes[index].id)).collect();
    for node in &mut nodes {
        node.children.sort_by_key(|child| keys[*child]);
    }
    let mut to_visit: Vec<usize> = (0..nodes.len()).filter(|index| nodes[*index].parent.is_none()).collect();
    to_visit.sort_by_key(|index| std::cmp::Reverse(keys[*index]));
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(index) = to_visit.pop() {
        order.push(index);
        to_visit.extend(nodes[index].children.iter().rev());
    }
    let mut place = vec![0; nodes.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old] = new;
    }
    let mut taken: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut sorted: Vec<Node> = Vec::with_capacity(taken.len());
    for old in order {
        let Some(mut node) = taken[old].take() else { continue };
        node.parent = node.parent.map(|parent| place[parent]);
        node.children.iter_mut().for_each(|child| *child = place[*child]);
        node.depth = node.parent.map_or(0, |parent| sorted[parent].depth + 1);
        sorted.push(node);
    }
    sorted
}
