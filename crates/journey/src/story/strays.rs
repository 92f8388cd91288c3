//! Spans whose parent was never written hang on nothing. Where a call was on its way when they began, and nothing else is known of
//! its other end, they are taken for what it caused: a guess, which lowers how sure a verdict is.

use std::collections::{HashMap, HashSet};

use crate::names;
use crate::span::Kind;
use crate::story::{Node, Story};

/// So many calls that began before a stray are looked at: a bound on the work, not a rule.
const MOST_CALLS: usize = 16;

/// Calls without a known other end → the node that was never written and may stand for it.
pub(super) fn adopt(story: &Story) -> HashMap<usize, usize> {
    let nodes = &story.nodes;
    let mut calls: Vec<(u64, u64, usize)> = (0..nodes.len())
        .filter(|index| is_open_call(&nodes[*index]))
        .filter_map(|index| story.times(index).map(|(start, end)| (start, end, index)))
        .collect();
    calls.sort_unstable();
    let mut strays: Vec<(u64, usize)> = (0..nodes.len())
        .filter(|index| nodes[*index].span.is_none())
        .filter_map(|index| Some((story.begins(index)?, index)))
        .collect();
    strays.sort_unstable();
    let tops = tops(nodes);
    // Only what hangs on the request adopts: otherwise two trees could adopt each other.
    let mut placed: HashSet<usize> = story.root_place().map(|root| tops[root]).into_iter().collect();
    let mut adopted = HashMap::new();
    for (begun, stray) in strays {
        if placed.contains(&stray) {
            continue;
        }
        let before = calls.partition_point(|(start, ..)| *start <= begun);
        let innermost = calls[..before].iter().rev().take(MOST_CALLS).find(|(_, end, call)| {
            begun <= *end && placed.contains(&tops[*call]) && !adopted.contains_key(call)
        });
        if let Some((.., call)) = innermost {
            adopted.insert(*call, stray);
            placed.insert(stray);
        }
    }
    adopted
}

/// Upon which node without a parent each node hangs.
fn tops(nodes: &[Node]) -> Vec<usize> {
    let mut tops: Vec<usize> = Vec::with_capacity(nodes.len());
    // Each node comes after its parent.
    for (index, node) in nodes.iter().enumerate() {
        tops.push(node.parent.map_or(index, |parent| tops[parent]));
    }
    tops
}

/// Whether the node asks somebody of whom no span is known.
fn is_open_call(node: &Node) -> bool {
    let asks = |kind, database: Option<String>| kind == Kind::Client && database.is_none();
    node.span.as_ref().is_some_and(|span| asks(span.kind, span.text(names::DATABASE)))
        && node.children.is_empty()
}
