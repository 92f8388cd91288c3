//! What stands beneath a node, or at the top, in time order; many that are alike are told as one.

use std::collections::{BTreeMap, HashMap};

use crate::line::Line;
use crate::names;
use crate::span::{Event, Kind, Link, Span};
use crate::story::{Clock, Node, Story, Wait, has_failed};

/// More requests to next hops than this are not looked through for what a line repeats.
const MOST_ASKED: usize = 8;
/// So many siblings that are alike are told one by one; of more, the first [`SHOWN_ALIKE`], and what the others are together.
const MOST_ALIKE: usize = 20;
const SHOWN_ALIKE: usize = 10;

/// What stands beneath a node, or at the top.
pub(super) enum Item<'s> {
    Node(usize),
    Wait(Wait),
    Alike(Alike),
    Line(&'s Line),
    Event(&'s Event),
    Link(&'s Link),
    Clock(&'s Clock),
}

/// Siblings of one name, each no failure, or each with a failure in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Alike {
    /// When the first of them began.
    pub(super) start: Option<u64>,
    /// How many.
    pub(super) count: usize,
    /// How many spans they are.
    pub(super) spans: usize,
    /// How many of them lie beneath others.
    pub(super) beneath: usize,
    /// Nanoseconds in all of them.
    pub(super) sum: u64,
    /// Nanoseconds of the longest.
    pub(super) longest: u64,
    /// Whether they are failures, or have some beneath them.
    pub(super) have_failed: bool,
}

/// A node whose items are being written.
pub(super) struct Level<'s> {
    pub(super) node: Option<usize>,
    pub(super) items: std::vec::IntoIter<Item<'s>>,
    /// How many of them are rows of the tree.
    pub(super) nodes_left: usize,
    /// What the node's span asked of next hops, the first few.
    pub(super) asked: Vec<&'s Span>,
}

/// A story, and what is asked of all of it while its rows are written.
pub(super) struct Items<'s> {
    story: &'s Story,
    /// How many spans each node and all beneath it are.
    sizes: Vec<usize>,
    /// Whether there is a failure among them.
    have_failed: Vec<bool>,
    clocks: HashMap<usize, &'s Clock>,
    /// Nothing is told together.
    tells_all: bool,
}

impl<'s> Items<'s> {
    pub(super) fn new(story: &'s Story, tells_all: bool) -> Self {
        let nodes = &story.nodes;
        let mut sizes: Vec<usize> = nodes.iter().map(|node| usize::from(node.span.is_some())).collect();
        let mut have_failed: Vec<bool> =
            nodes.iter().map(|node| node.span.as_ref().is_some_and(has_failed)).collect();
        // Each node comes after its parent.
        for (index, node) in nodes.iter().enumerate().rev() {
            if let Some(parent) = node.parent {
                sizes[parent] += sizes[index];
                have_failed[parent] |= have_failed[index];
            }
        }
        let clocks =
            story.clocks.iter().filter_map(|clock| Some((story.place(clock.span)?, clock))).collect();
        Self { story, sizes, have_failed, clocks, tells_all }
    }

    pub(super) fn top(&self) -> Level<'s> {
        let tops = self.story.nodes.iter().enumerate().filter(|(_, node)| node.parent.is_none());
        let mut items = self.nodes(&tops.map(|(index, _)| index).collect::<Vec<_>>());
        items.extend(self.story.loose.iter().map(|line| (line.time, Item::Line(line))));
        level(None, items, Vec::new())
    }

    pub(super) fn beneath(&self, index: usize) -> Level<'s> {
        let story = self.story;
        let node: &Node = &story.nodes[index];
        let span = node.span.as_ref();
        let mut items: Vec<(Option<u64>, Item<'_>)> = Vec::new();
        items.extend(self.clocks.get(&index).map(|clock| (Some(0), Item::Clock(clock))));
        items.extend(span.into_iter().flat_map(|span| &span.links).map(|link| (Some(0), Item::Link(link))));
        items.extend(story.waits(index).into_iter().map(|wait| (Some(wait.start), Item::Wait(wait))));
        items.extend(self.nodes(&node.children));
        items.extend(node.lines.iter().map(|line| (line.time, Item::Line(line))));
        items.extend(
            span.into_iter()
                .flat_map(|span| &span.events)
                .map(|event| (Some(event.time), Item::Event(event))),
        );
        let children = node.children.iter().filter_map(|child| story.nodes[*child].span.as_ref());
        let asked =
            children.filter(|child| child.kind == Kind::Client && child.text(names::METHOD).is_some());
        level(Some(index), items, asked.take(MOST_ASKED).collect())
    }

    /// These siblings, in time order: the first of many that are alike, and one item for the others.
    fn nodes(&self, siblings: &[usize]) -> Vec<(Option<u64>, Item<'s>)> {
        let one = |index: &usize| (begins(self.story, *index), Item::Node(*index));
        if self.tells_all || siblings.len() <= MOST_ALIKE {
            return siblings.iter().map(one).collect();
        }
        let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        siblings.iter().for_each(|index| alike.entry(self.look(*index)).or_default().push(*index));
        let mut items: Vec<(Option<u64>, usize, Item<'s>)> = Vec::new();
        for group in alike.into_values() {
            let shown = if group.len() > MOST_ALIKE { SHOWN_ALIKE } else { group.len() };
            let (shown, others) = group.split_at(shown);
            items.extend(shown.iter().map(|index| (begins(self.story, *index), *index, Item::Node(*index))));
            if let Some(first) = others.first() {
                let together = self.together(others);
                items.push((together.start, *first, Item::Alike(together)));
            }
        }
        // Of those that begin at one time the story's order stays.
        items.sort_by_key(|(time, index, _)| (*time, *index));
        items.into_iter().map(|(time, _, item)| (time, item)).collect()
    }

    /// What makes nodes alike: of one that was never written, what hangs on it.
    fn look(&self, index: usize) -> (bool, Option<(&'s str, &'s str, Kind)>, bool) {
        let nodes = &self.story.nodes;
        let of_children = || nodes[index].children.first().and_then(|child| nodes[*child].span.as_ref());
        let span = nodes[index].span.as_ref();
        let told = span.or_else(of_children).map(|span| (&*span.service, &*span.name, span.kind));
        (span.is_some(), told, self.have_failed[index])
    }

    fn together(&self, nodes: &[usize]) -> Alike {
        let mut together = Alike { start: begins(self.story, nodes[0]), ..Alike::default() };
        for index in nodes {
            let duration = self.story.nodes[*index].span.as_ref().map_or(0, Span::duration);
            together.count += 1;
            together.spans += self.sizes[*index];
            together.sum = together.sum.saturating_add(duration);
            together.longest = together.longest.max(duration);
            together.have_failed |= self.have_failed[*index];
        }
        let own = nodes.iter().filter(|index| self.story.nodes[**index].span.is_some()).count();
        Alike { beneath: together.spans - own, ..together }
    }
}

fn level<'s>(
    node: Option<usize>,
    mut items: Vec<(Option<u64>, Item<'s>)>,
    asked: Vec<&'s Span>,
) -> Level<'s> {
    items.sort_by_key(|(time, _)| time.unwrap_or(u64::MAX));
    let items: Vec<Item<'s>> = items.into_iter().map(|(_, item)| item).collect();
    let nodes_left = items.iter().filter(|item| item.is_row()).count();
    Level { node, items: items.into_iter(), nodes_left, asked }
}

impl Item<'_> {
    /// Whether it is a row of the tree, not a note beneath one.
    pub(super) fn is_row(&self) -> bool {
        matches!(self, Self::Node(_) | Self::Wait(_) | Self::Alike(_))
    }
}

/// When a node's row comes: a missing one before the first that names it.
fn begins(story: &Story, index: usize) -> Option<u64> {
    let node = &story.nodes[index];
    let of_lines = || node.lines.first().and_then(|line| line.time);
    let of_children = || {
        let first =
            node.children.first().and_then(|child| story.nodes[*child].span.as_ref()).map(|span| span.start);
        first.into_iter().chain(of_lines()).min()
    };
    node.span.as_ref().map(|span| span.start).or_else(of_children)
}
