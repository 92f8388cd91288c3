//! Which node of one story is which of the other: from the tops down, siblings by what they are.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use crate::diff::{Change, Row, place};
use crate::span::Span;
use crate::story::{Gap, Node, Story};

/// What a node is, and with what stands beneath it, as numbers that are equal where those are.
struct Named<'s> {
    nodes: &'s [Node],
    keys: Vec<u64>,
    shapes: Vec<u64>,
}

/// The rows of both stories; how they differ is not judged yet.
pub(super) fn rows(a: &Story, b: &Story) -> Vec<Row> {
    let (a_named, b_named) = (Named::of(a), Named::of(b));
    let mut rows: Vec<Row> = Vec::with_capacity(a.nodes.len().max(b.nodes.len()));
    let mut to_visit = pairs(&a_named, &tops(a), &b_named, &tops(b), true);
    to_visit.reverse();
    let mut to_visit: Vec<_> = to_visit.into_iter().map(|pair| (pair, None)).collect();
    while let Some(((at, bt), parent)) = to_visit.pop() {
        let depth = parent.map_or(0, |parent: usize| rows[parent].depth + 1);
        let shape = bt.map(|bt| b_named.shapes[bt]).or_else(|| at.map(|at| a_named.shapes[at]));
        rows.push(Row {
            depth,
            parent,
            a: at,
            b: bt,
            change: Change::Same,
            beneath: 0,
            differs_beneath: false,
            shape: shape.unwrap_or_default(),
        });
        let children = |named: &Named<'_>, at: Option<usize>| -> Vec<usize> {
            at.map(|at| named.nodes[at].children.clone()).unwrap_or_default()
        };
        let beneath = pairs(&a_named, &children(&a_named, at), &b_named, &children(&b_named, bt), false);
        let this = rows.len() - 1;
        to_visit.extend(beneath.into_iter().rev().map(|pair| (pair, Some(this))));
    }
    rows
}

/// The nodes that nothing stands above. Somebody else's span above our first one is none: whether a caller had a trace of its
/// own is no difference in what was done.
fn tops(story: &Story) -> Vec<usize> {
    let tops = (0..story.nodes.len()).filter(|at| story.nodes[*at].parent.is_none());
    tops.flat_map(|at| match story.gap(at) {
        Some(Gap::Caller(_)) => story.nodes[at].children.clone(),
        _ => vec![at],
    })
    .collect()
}

type Pair = (Option<usize>, Option<usize>);

/// Pairs `xs` of one story with `ys` of the other; in the order of `ys`, what only the first has before what came after it.
fn pairs(a: &Named<'_>, xs: &[usize], b: &Named<'_>, ys: &[usize], are_tops: bool) -> Vec<Pair> {
    let mut of_y: Vec<Option<usize>> = vec![None; ys.len()];
    let mut is_free = vec![true; xs.len()];
    // First those beneath which the same happened, then those that are the same by themselves.
    pair_by(&mut of_y, &mut is_free, |x| a.shapes[xs[x]], |y| b.shapes[ys[y]]);
    pair_by(&mut of_y, &mut is_free, |x| a.keys[xs[x]], |y| b.keys[ys[y]]);
    if are_tops {
        // Whatever two requests were: somebody wants to see them side by side.
        pair_by(&mut of_y, &mut is_free, |_| 0, |_| 0);
    }
    let mut pairs = Vec::with_capacity(xs.len().max(ys.len()));
    let mut next = 0;
    for (y, x) in of_y.into_iter().enumerate() {
        let before = x.map_or(next, |x| (x + 1).max(next));
        pairs.extend((next..before).filter(|x| is_free[*x]).map(|x| (Some(xs[x]), None)));
        next = before;
        pairs.push((x.map(|x| xs[x]), Some(ys[y])));
    }
    pairs.extend((next..xs.len()).filter(|x| is_free[*x]).map(|x| (Some(xs[x]), None)));
    pairs
}

/// Pairs what is still free and has the same number, in order.
fn pair_by(
    of_y: &mut [Option<usize>],
    is_free: &mut [bool],
    number_of_x: impl Fn(usize) -> u64,
    number_of_y: impl Fn(usize) -> u64,
) {
    let mut free: HashMap<u64, VecDeque<usize>> = HashMap::new();
    for x in (0..is_free.len()).filter(|x| is_free[*x]) {
        free.entry(number_of_x(x)).or_default().push_back(x);
    }
    for (y, taken) in of_y.iter_mut().enumerate().filter(|(_, taken)| taken.is_none()) {
        *taken = free.get_mut(&number_of_y(y)).and_then(VecDeque::pop_front);
        if let Some(x) = *taken {
            is_free[x] = false;
        }
    }
}

impl<'s> Named<'s> {
    fn of(story: &'s Story) -> Self {
        let nodes = &*story.nodes;
        let keys: Vec<u64> = nodes.iter().map(|node| number(&key(node.span.as_ref()))).collect();
        let mut shapes: Vec<u64> = vec![0; nodes.len()];
        // What stands beneath a node comes after it.
        for at in (0..nodes.len()).rev() {
            // A sum: siblings that ran at once may have begun in any order.
            let beneath =
                nodes[at].children.iter().fold(0_u64, |sum, child| sum.wrapping_add(shapes[*child]));
            shapes[at] = number(&(keys[at], beneath, nodes[at].children.len()));
        }
        Self { nodes, keys, shapes }
    }
}

fn key(span: Option<&Span>) -> Option<(&str, crate::span::Kind, String)> {
    span.map(|span| (&*span.service, span.kind, place(span)))
}

/// The same number in every run of one build.
fn number(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
