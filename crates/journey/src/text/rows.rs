//! The tree, row by row, without recursion. A tree that is deeper than the page is wide keeps its innermost branches; of a story of
//! very many rows the first [`MOST_ROWS`] are written.

use std::collections::HashMap;

use crate::escape::visible;
use crate::story::{Story, Wait, Waited};
use crate::text::columns::Columns;
use crate::text::items::{Alike, Item, Items, Level};
use crate::text::paint::{Piece, Style, paint, width_of, wrap};
use crate::text::{Look, counted, notes, notes::Around, tell, words};

/// Rows of the tree, notes beneath them apart.
const MOST_ROWS: usize = 1000;

/// Writes the table's head and the rows of `story` to `text`.
pub(super) fn render(story: &Story, columns: &Columns, look: Look, text: &mut String) {
    let services =
        story.services().into_iter().enumerate().map(|(number, service)| (service, number)).collect();
    let items = Items::new(story, look.tells_all);
    let mut page = Page { story, columns, is_coloured: look.is_coloured, text, services };
    let root = story.root();
    let (mut rows, mut spans_told) = (0, 0);
    page.head();
    let mut levels = vec![items.top()];
    while let Some(level) = levels.last_mut() {
        let Some(item) = level.items.next() else {
            levels.pop();
            continue;
        };
        if item.is_row() {
            if rows == MOST_ROWS && !look.tells_all {
                page.rest(story.spans().count() - spans_told);
                break;
            }
            rows += 1;
            level.nodes_left -= 1;
        }
        let within = level.node.and_then(|node| story.nodes[node].span.as_ref());
        match item {
            Item::Node(index) => {
                spans_told += usize::from(story.nodes[index].span.is_some());
                page.node(index, &levels);
                levels.push(items.beneath(index));
            }
            Item::Wait(wait) => page.wait(&wait, &levels),
            Item::Alike(alike) => {
                spans_told += alike.spans;
                page.alike(&alike, &levels);
            }
            Item::Line(line) => {
                let pieces = notes::line(line, Around { span: within, asked: &level.asked, root });
                page.note(line.time, pieces, &levels);
            }
            Item::Event(event) => page.note(Some(event.time), notes::event(event), &levels),
            Item::Clock(clock) => page.note(None, notes::clock(clock), &levels),
            Item::Link(link) => {
                if let Some(span) = within {
                    page.note(None, notes::link(story, span, link), &levels);
                }
            }
        }
    }
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
            let gap = self.story.gap(index).map(|gap| tell(&gap)).unwrap_or_default();
            let continued = self.continued(levels, !node.children.is_empty());
            return self.text_row("", Piece::new(Style::Warn, format!("({gap})")), [&branch, &continued]);
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
        let bar = self.columns.bar(&self.story.cover(index).stretches, (span.start, span.end));
        let numbers = [unit.write(span.duration()), unit.write(node.own), bar];
        let style = if span.failed { Style::Bad } else { self.service(&span.service) };
        self.row(&self.columns.offset(span.start), first, numbers, style);
        for line in lines {
            let mut pieces = vec![Piece::new(Style::Dim, continued.clone())];
            pieces.extend(line);
            self.wide("", pieces);
        }
    }

    /// A time of which no span tells.
    fn wait(&mut self, wait: &Wait, levels: &[Level<'_>]) {
        let service = self.story.nodes[wait.other].span.as_ref().map(|span| visible(&span.service));
        let service = service.unwrap_or_default();
        let words = match wait.waited {
            Waited::Request => format!("network → {service}"),
            Waited::Answer => format!("network ← {service}"),
            Waited::Message => "task queue".to_owned(),
        };
        let branch = self.branch(levels).replace('─', "┄");
        let room = self.columns.tree.saturating_sub(width_of(&branch)).max(8);
        let words = wrap(vec![Piece::new(Style::Dim, words)], room, room, " ").into_iter().next();
        let mut first = vec![Piece::new(Style::Dim, branch)];
        first.extend(words.unwrap_or_default());
        let bar = self.columns.bar(&[(0, u64::MAX)], (wait.start, wait.end));
        let numbers = [self.columns.unit.write(wait.duration()), String::new(), bar];
        self.row(&self.columns.offset(wait.start), first, numbers, Style::Dim);
    }

    /// Siblings that are told as one.
    fn alike(&mut self, alike: &Alike, levels: &[Level<'_>]) {
        let unit = self.columns.unit;
        let mut words = format!("… {} more like it", alike.count);
        if alike.sum > 0 {
            let (sum, longest) = (unit.with_name(alike.sum), unit.with_name(alike.longest));
            words.push_str(&format!(": {sum} in all, {longest} the longest"));
        }
        if alike.beneath > 0 {
            words.push_str(&format!(", with {} beneath", counted(alike.beneath, "span")));
        }
        let style = if alike.have_failed { Style::Bad } else { Style::Dim };
        let start = alike.start.map(|start| self.columns.offset(start)).unwrap_or_default();
        let before = [self.branch(levels), self.continued(levels, false)];
        self.text_row(&start, Piece::new(style, words), before.each_ref());
    }

    /// What is told no more.
    fn rest(&mut self, spans: usize) {
        let words = format!("… {} more: `--all` tells them, `--json` has them", counted(spans, "span"));
        let nothing = String::new();
        self.text_row("", Piece::new(Style::Warn, words), [&nothing, &nothing]);
    }

    /// A row of the tree without numbers, `before` its first line and its others.
    fn text_row(&mut self, start: &str, text: Piece, before: [&String; 2]) {
        let rooms = before.map(|before| self.columns.notes().saturating_sub(width_of(before)).max(8));
        for (number, line) in wrap(vec![text], rooms[0], rooms[1], " ").into_iter().enumerate() {
            let mut row = vec![Piece::new(Style::Dim, before[number.min(1)].clone())];
            row.extend(line);
            self.wide(if number == 0 { start } else { "" }, row);
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
        tree.push(Piece::plain(format!("  {took:>took_width$}")));
        if own_width > 0 {
            tree.push(Piece::plain(format!("  {own:>own_width$}")));
        }
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
