//! The tree, row by row, without recursion. A tree that is deeper than the page is wide keeps its innermost branches.

use std::collections::HashMap;

use crate::line::Line;
use crate::names;
use crate::span::{Event, Kind, Link, Span};
use crate::story::{Node, Story};
use crate::text::columns::Columns;
use crate::text::paint::{Piece, Style, paint, width_of, wrap};
use crate::text::{notes, notes::Around, tell, words};

/// More requests to next hops than this are not looked through for what a line repeats.
const MOST_ASKED: usize = 8;

/// What stands beneath a node, or at the top.
enum Item<'s> {
    Node(usize),
    Line(&'s Line),
    Event(&'s Event),
    Link(&'s Link),
}

/// A node whose items are being written.
struct Level<'s> {
    node: Option<usize>,
    items: std::vec::IntoIter<Item<'s>>,
    nodes_left: usize,
    /// What the node's span asked of next hops, the first few.
    asked: Vec<&'s Span>,
}

/// Writes the table's head and every row of `story` to `text`.
pub(super) fn render(story: &Story, columns: &Columns, is_coloured: bool, text: &mut String) {
    let services =
        story.services().into_iter().enumerate().map(|(number, service)| (service, number)).collect();
    let mut page = Page { story, columns, is_coloured, text, services };
    let root = story.root();
    page.head();
    let mut levels = vec![top(story)];
    while let Some(level) = levels.last_mut() {
        let Some(item) = level.items.next() else {
            levels.pop();
            continue;
        };
        let within = level.node.and_then(|node| story.nodes[node].span.as_ref());
        match item {
            Item::Node(index) => {
                level.nodes_left -= 1;
                page.node(index, &levels);
                levels.push(beneath(story, index));
            }
            Item::Line(line) => {
                let pieces = notes::line(line, Around { span: within, asked: &level.asked, root });
                page.note(line.time, pieces, &levels);
            }
            Item::Event(event) => page.note(Some(event.time), notes::event(event), &levels),
            Item::Link(link) => {
                if let Some(span) = within {
                    page.note(None, notes::link(story, span, link), &levels);
                }
            }
        }
    }
}

fn top(story: &Story) -> Level<'_> {
    let tops = story.nodes.iter().enumerate().filter(|(_, node)| node.parent.is_none());
    let mut items: Vec<(Option<u64>, Item<'_>)> =
        tops.map(|(index, _)| (begins(story, index), Item::Node(index))).collect();
    items.extend(story.loose.iter().map(|line| (line.time, Item::Line(line))));
    level(None, items, Vec::new())
}

fn beneath(story: &Story, index: usize) -> Level<'_> {
    let node: &Node = &story.nodes[index];
    let span = node.span.as_ref();
    let mut items: Vec<(Option<u64>, Item<'_>)> = Vec::new();
    items.extend(span.into_iter().flat_map(|span| &span.links).map(|link| (Some(0), Item::Link(link))));
    items.extend(node.children.iter().map(|child| (begins(story, *child), Item::Node(*child))));
    items.extend(node.lines.iter().map(|line| (line.time, Item::Line(line))));
    items.extend(
        span.into_iter().flat_map(|span| &span.events).map(|event| (Some(event.time), Item::Event(event))),
    );
    let children = node.children.iter().filter_map(|child| story.nodes[*child].span.as_ref());
    let asked = children.filter(|child| child.kind == Kind::Client && child.text(names::METHOD).is_some());
    level(Some(index), items, asked.take(MOST_ASKED).collect())
}

fn level<'s>(
    node: Option<usize>,
    mut items: Vec<(Option<u64>, Item<'s>)>,
    asked: Vec<&'s Span>,
) -> Level<'s> {
    items.sort_by_key(|(time, _)| time.unwrap_or(u64::MAX));
    let nodes_left = items.iter().filter(|(_, item)| matches!(item, Item::Node(_))).count();
    Level {
        node,
        items: items.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into_iter(),
        nodes_left,
        asked,
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

struct Page<'s, 't> {
    story: &'s Story,
    columns: &'s Columns,
    is_coloured: bool,
    text: &'t mut String,
    services: HashMap<&'s str, usize>,
}

impl Page<'_, '_> {
    fn head(&mut self) {
        let name = self.columns.unit.name;
        let bar = match self.columns.bar {
            0 => "",
            1..16 => "█ own ░ wait",
            _ => "█ own  ░ waiting",
        };
        let numbers = [format!("took {name}"), format!("own {name}"), bar.to_owned()];
        self.row(&format!("start {name}"), Vec::new(), numbers, Style::Dim);
    }

    fn node(&mut self, index: usize, levels: &[Level<'_>]) {
        let node = &self.story.nodes[index];
        let branch = self.branch(levels);
        let Some(span) = &node.span else {
            let mut pieces = vec![Piece::new(Style::Dim, branch)];
            let gap = self.story.gap(index).map(|gap| tell(&gap)).unwrap_or_default();
            pieces.push(Piece::new(Style::Warn, format!("({gap})")));
            return self.wide("", pieces);
        };
        let parent = node.parent.and_then(|parent| self.story.nodes[parent].span.as_ref());
        let is_new = parent.is_none_or(|parent| parent.service != span.service);
        let style = Some(self.service(&span.service)).filter(|_| is_new);
        let room = self.columns.tree.saturating_sub(width_of(&branch)).max(8);
        let continued = self.continued(levels, !node.children.is_empty());
        let further = self.columns.notes().saturating_sub(width_of(&continued)).max(8);
        let mut lines = wrap(words::of(node, span, style), room, further, " ").into_iter();
        let mut first = vec![Piece::new(Style::Dim, branch)];
        first.extend(lines.next().unwrap_or_default());
        let unit = self.columns.unit;
        let numbers =
            [unit.write(span.duration()), unit.write(node.own), self.columns.bar(self.story, index)];
        let bar = if span.failed { Style::Bad } else { self.service(&span.service) };
        self.row(&self.columns.offset(span.start), first, numbers, bar);
        for line in lines {
            let mut pieces = vec![Piece::new(Style::Dim, continued.clone())];
            pieces.extend(line);
            self.wide("", pieces);
        }
    }

    fn note(&mut self, time: Option<u64>, pieces: Vec<Piece>, levels: &[Level<'_>]) {
        let before = self.stem(levels);
        let more = levels.last().is_some_and(|level| level.nodes_left > 0 && level.node.is_some());
        let mark = if more {
            "│  · "
        } else if levels.len() > 1 {
            "   · "
        } else {
            "· "
        };
        let room = self.columns.notes().saturating_sub(width_of(&before) + width_of(mark)).max(8);
        let start = time.map(|time| self.columns.offset(time)).unwrap_or_default();
        for (number, line) in wrap(pieces, room, room, " ").into_iter().enumerate() {
            let mark = if number == 0 { mark.to_owned() } else { mark.replace('·', " ") };
            let mut row = vec![Piece::new(Style::Dim, format!("{before}{mark}"))];
            row.extend(line);
            self.wide(if number == 0 { &start } else { "" }, row);
        }
    }

    /// The lines that lead down past the row of an item of the last level, from the levels above it.
    fn stem(&self, levels: &[Level<'_>]) -> String {
        let above = levels.len().saturating_sub(2);
        // The top has no branches, so its level is not drawn.
        let most = self.columns.tree / 2 / 3;
        let first = above.saturating_sub(most).max(1);
        let cut = if first > 1 { "⋯  " } else { "" };
        let drawn = levels.get(first..=above).unwrap_or_default();
        cut.to_owned()
            + &drawn.iter().map(|level| if level.nodes_left > 0 { "│  " } else { "   " }).collect::<String>()
    }

    /// What leads to the row of a node that has just been taken from the last level.
    fn branch(&self, levels: &[Level<'_>]) -> String {
        if levels.len() < 2 {
            return String::new();
        }
        let is_last = levels.last().is_none_or(|level| level.nodes_left == 0);
        self.stem(levels) + if is_last { "└─ " } else { "├─ " }
    }

    /// What stands before the further rows of such a node.
    fn continued(&self, levels: &[Level<'_>], has_children: bool) -> String {
        let below = if has_children { "│  " } else { "   " };
        if levels.len() < 2 {
            return below.to_owned();
        }
        let is_last = levels.last().is_none_or(|level| level.nodes_left == 0);
        self.stem(levels) + if is_last { "   " } else { "│  " } + below
    }

    fn service(&self, service: &str) -> Style {
        Style::Service(self.services.get(service).copied().unwrap_or(0))
    }

    /// A row with numbers.
    fn row(&mut self, start: &str, mut tree: Vec<Piece>, [took, own, bar]: [String; 3], style: Style) {
        let used: usize = tree.iter().map(|piece| width_of(&piece.text)).sum();
        let Columns { tree: width, took: took_width, own: own_width, .. } = *self.columns;
        tree.push(Piece::plain(" ".repeat(width.saturating_sub(used))));
        tree.push(Piece::plain(format!("  {took:>took_width$}  {own:>own_width$}")));
        if !bar.is_empty() {
            tree.push(Piece::plain("  "));
            tree.push(Piece::new(style, bar));
        }
        self.wide(start, tree);
    }

    /// A row whose text goes to the page's right edge.
    fn wide(&mut self, start: &str, pieces: Vec<Piece>) {
        let width = self.columns.start;
        let mut row = vec![Piece::new(Style::Dim, format!("{start:>width$}  "))];
        row.extend(pieces);
        self.text.push_str(paint(&row, self.is_coloured).trim_end());
        self.text.push('\n');
    }
}
