//! What the page's script shows, as JSON with short names: a row for each span and each line, in the order of the story, and
//! what is known of each as long as there is room.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::html::shown;
use crate::line::Line;
use crate::span::{Attributes, Span, plain};
use crate::story::{Node, Runs, Story, Wait, Waited};
use crate::text::paint::{Piece, Style};
use crate::text::{self, Look, notes, words};
use crate::verdict::Verdict;

/// Spans and places of spans that were never written that have a row, in each trace.
pub const MOST_NODES: usize = 100_000;
/// Log lines that have one; what is alarming comes first.
const MOST_LINES: usize = 20_000;
/// Bytes of rows and of what is known of them, about, each half of it.
pub const MOST_BYTES: usize = 40 << 20;
/// Gaps and clocks that are told above the rows.
const MOST_GAPS: usize = 20;
/// Letters of a value, and of what stands in a row.
const LONGEST_VALUE: usize = 4096;
const LONGEST_IN_ROW: usize = 200;

/// Room that is left in the file.
struct Room {
    rows: usize,
    details: usize,
}

#[derive(Serialize)]
struct Page {
    stories: Vec<Told>,
    /// Traces that belong to it and are not here.
    left_out: Vec<String>,
}

/// A story.
#[derive(Serialize)]
struct Told {
    trace: String,
    title: Vec<Words>,
    facts: Vec<Words>,
    took: Option<u64>,
    begins: String,
    /// Nanoseconds from its first beginning to its last end.
    extent: u64,
    /// From the beginning of the first story here, in nanoseconds.
    later: u64,
    gaps: Vec<String>,
    services: Vec<String>,
    sure: crate::verdict::Sure,
    shares: Vec<Share>,
    notes: Vec<[String; 2]>,
    rows: Vec<Box<RawValue>>,
    rows_left_out: usize,
    details_left_out: usize,
}

/// Letters of a style, and words.
type Words = (&'static str, String);

#[derive(Serialize)]
struct Share {
    percent: u64,
    words: String,
    service: Option<usize>,
    row: Option<usize>,
    waits: bool,
}

/// A row: `p` parent's row, `s` service, `w` words, `b` begins, `t` took, `o` own (nanoseconds), `f` failed, `g` a gap, `h` a
/// wait, `l` a line's level, `d` what else is known.
#[derive(Serialize, Default)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<usize>,
    w: Vec<Words>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    o: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    f: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    g: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    h: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    l: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<Box<RawValue>>,
}

/// What is known of a span: everything that was read of it.
#[derive(Serialize)]
struct OfSpan {
    id: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    /// Nanoseconds that were added to its times, because its clock was wrong.
    moved: i64,
    attributes: Vec<[String; 2]>,
    events: Vec<(i64, String, Vec<[String; 2]>)>,
    /// Trace, span, words, attributes.
    links: Vec<(String, String, String, Vec<[String; 2]>)>,
}

/// What is known of a line.
#[derive(Serialize)]
struct OfLine {
    logger: String,
    attributes: Vec<[String; 2]>,
}

pub(super) fn render(story: &Story, runs: &Runs) -> String {
    let mut stories: Vec<&Story> = std::iter::once(story).chain(&runs.stories).collect();
    stories.sort_by_key(|story| (story.extent().0, story.trace));
    let zero = stories[0].extent().0;
    let mut room = Room { rows: MOST_BYTES / 2, details: MOST_BYTES / 2 };
    let page = Page {
        stories: stories.into_iter().map(|story| told(story, zero, &mut room)).collect(),
        left_out: runs.left_out.iter().map(|trace| trace.to_string()).collect(),
    };
    json(&page).get().to_owned()
}

fn told(story: &Story, zero: u64, room: &mut Room) -> Told {
    let (start, end) = story.extent();
    let verdict = Verdict::of(story);
    let services = story.services();
    let numbers: HashMap<&str, usize> = services.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut rows =
        Rows { story, start, numbers: &numbers, room, rows: Vec::new(), places: HashMap::new(), left_out: 0 };
    let details_left_out = rows.fill();
    let Rows { rows, places, left_out, .. } = rows;
    let place = |id| story.place(id).and_then(|node| places.get(&node).copied());
    let share = |share: &crate::verdict::Share| Share {
        percent: share.percent,
        words: shown(&of_share(share), LONGEST_IN_ROW),
        service: numbers.get(&*share.service).copied(),
        row: place(share.span),
        waits: share.spent.is_wait(),
    };
    Told {
        trace: story.trace.to_string(),
        title: words_of(story.root().map(text::asked).unwrap_or_else(|| text::asked_by_lines(story))),
        facts: words_of(text::sum(story)),
        took: verdict.took,
        begins: crate::table::moment(start),
        extent: end - start,
        later: start - zero,
        gaps: gaps(story),
        sure: verdict.sure,
        shares: verdict.shares.iter().map(share).collect(),
        notes: notes_of(story, &verdict),
        services: services.into_iter().map(|service| shown(service, LONGEST_IN_ROW)).collect(),
        rows,
        rows_left_out: left_out,
        details_left_out,
    }
}

/// What is missing, and whose clock was wrong.
fn gaps(story: &Story) -> Vec<String> {
    let clocks = story.clocks.iter().map(|clock| shown(&clock.words(), LONGEST_VALUE));
    story.gaps().iter().map(text::tell).chain(clocks).take(MOST_GAPS).collect()
}

fn of_share(share: &crate::verdict::Share) -> String {
    let to = share.to.as_deref().filter(|to| !to.is_empty()).map(|to| format!(" → {to}")).unwrap_or_default();
    let name =
        if share.spent == crate::verdict::Spent::Own { String::new() } else { format!(": {}", share.name) };
    let times = if share.spans > 1 { format!(" ×{}", share.spans) } else { String::new() };
    format!("{} · {}{to}{name}{times}", share.spent.words(), share.service)
}

/// The verdict's lines as the text has them, but for the first, which the page draws.
fn notes_of(story: &Story, verdict: &Verdict) -> Vec<[String; 2]> {
    let look = Look { width: 1 << 20, is_coloured: false, ..Look::default() };
    let text = text::render_verdict(story, verdict, look);
    let lines = text.lines().skip(1).filter_map(|line| line.split_once(' '));
    let notes = lines.map(|(label, words)| [label.to_owned(), words.trim_start().to_owned()]);
    notes.filter(|[label, _]| label != "verdict").collect()
}

/// The rows of one story.
struct Rows<'r, 's> {
    story: &'s Story,
    start: u64,
    numbers: &'r HashMap<&'s str, usize>,
    room: &'r mut Room,
    rows: Vec<Box<RawValue>>,
    /// Node → row.
    places: HashMap<usize, usize>,
    left_out: usize,
}

/// What has a row.
enum Item<'s> {
    Node(usize),
    Way(Way),
    Line(&'s Line),
}

/// A time in which a request, an answer or a message was on its way.
struct Way {
    waited: Waited,
    other: usize,
    is_back: bool,
    start: u64,
    end: u64,
}

impl<'s> Rows<'_, 's> {
    /// Makes all rows, and says of how many of them nothing more is told.
    fn fill(&mut self) -> usize {
        let story = self.story;
        let nodes = kept_nodes(story);
        let mut lines_left = MOST_LINES;
        let mut alarming_left = story.lines().filter(|line| is_alarming(line)).count();
        let mut details = self.details();
        let (mut told, mut all) = (0, 0);
        let loose = story.loose.iter().map(Item::Line);
        let tops = (0..story.nodes.len()).filter(|at| story.nodes[*at].parent.is_none()).map(Item::Node);
        let mut to_visit: Vec<(Item<'s>, Option<usize>)> =
            loose.rev().chain(tops.rev()).map(|item| (item, None)).collect();
        while let Some((item, parent)) = to_visit.pop() {
            let row = match &item {
                Item::Node(at) if !nodes[*at] => None,
                Item::Node(at) => Some(self.node(*at)),
                Item::Way(way) => Some(self.way(way)),
                Item::Line(line) => {
                    let is_alarming = is_alarming(line);
                    alarming_left -= usize::from(is_alarming);
                    // Room is kept for what is alarming and still to come.
                    let has_room = lines_left > if is_alarming { 0 } else { alarming_left };
                    lines_left -= usize::from(has_room);
                    has_room.then(|| self.line(line))
                }
            };
            let Some(mut row) = row.filter(|_| self.room.rows > 0) else {
                self.left_out += 1;
                if let Item::Node(at) = item {
                    // What stands beneath it is nearer to nothing that is shown.
                    to_visit.extend(story.nodes[at].children.iter().map(|child| (Item::Node(*child), None)));
                }
                continue;
            };
            row.p = parent;
            row.d = match &item {
                Item::Node(at) => details.remove(at),
                Item::Way(_) => None,
                Item::Line(line) => self.of_line(line),
            };
            all += 1;
            told += usize::from(row.d.is_some() || row.g || row.h);
            let of_details = row.d.as_ref().map_or(0, |details| details.get().len());
            let row = json(&row);
            self.room.rows = self.room.rows.saturating_sub(row.get().len() - of_details);
            self.rows.push(row);
            if let Item::Node(at) = item {
                let place = self.rows.len() - 1;
                self.places.insert(at, place);
                to_visit.extend(beneath(story, at).into_iter().rev().map(|item| (item, Some(place))));
            }
        }
        all - told
    }

    fn node(&self, at: usize) -> Row {
        let node: &Node = &self.story.nodes[at];
        let Some(span) = &node.span else {
            let told = self.story.gap(at).map(|gap| text::tell(&gap)).unwrap_or_default();
            return Row {
                g: true,
                w: vec![("w", told)],
                b: self.offset(first(self.story, at)),
                ..Row::default()
            };
        };
        Row {
            s: self.numbers.get(&*span.service).copied(),
            w: words_of(words::of(node, span, None)),
            b: self.offset(Some(span.start)),
            t: Some(span.duration()),
            o: Some(node.own),
            f: span.failed,
            ..Row::default()
        }
    }

    fn way(&self, way: &Way) -> Row {
        let other = self.story.nodes[way.other].span.as_ref().map(|span| &*span.service).unwrap_or_default();
        let words = match (way.waited, way.is_back) {
            (Waited::Network, false) => format!("network → {other}"),
            (Waited::Network, true) => format!("network ← {other}"),
            (Waited::TaskQueue, _) => "task queue".to_owned(),
        };
        Row {
            h: true,
            w: vec![("d", shown(&words, LONGEST_IN_ROW))],
            b: self.offset(Some(way.start)),
            t: Some(way.end.saturating_sub(way.start)),
            ..Row::default()
        }
    }

    fn line(&self, line: &Line) -> Row {
        Row {
            s: self.numbers.get(&*line.service).copied(),
            w: vec![("", shown(&line.message, LONGEST_IN_ROW))],
            b: self.offset(line.time),
            f: line.level == "ERROR" || line.level == "FATAL",
            l: Some(shown(&line.level, 16)),
            ..Row::default()
        }
    }

    fn offset(&self, time: Option<u64>) -> Option<i64> {
        time.map(|time| time.wrapping_sub(self.start).cast_signed())
    }

    /// What is known of each span, of those that failed and those that took long first, as long as there is room.
    fn details(&mut self) -> HashMap<usize, Box<RawValue>> {
        let mut spans: Vec<(usize, &Span)> = self
            .story
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(at, node)| Some((at, node.span.as_ref()?)))
            .collect();
        spans.sort_by_key(|(at, span)| (!span.failed, std::cmp::Reverse(span.duration()), *at));
        let mut details = HashMap::new();
        for (at, span) in spans {
            let Some(told) = self.within_room(&self.of_span(span, self.story.nodes[at].moved)) else { break };
            details.insert(at, told);
        }
        details
    }

    fn of_span(&self, span: &Span, moved: i64) -> OfSpan {
        let offset = |time| self.offset(Some(time)).unwrap_or_default();
        OfSpan {
            id: span.id.to_string(),
            kind: span.kind.to_string(),
            instance: span.instance.as_deref().map(|instance| shown(instance, LONGEST_VALUE)),
            message: shown(&span.status_message, LONGEST_VALUE),
            moved,
            attributes: pairs(&span.attributes),
            events: span
                .events
                .iter()
                .map(|event| {
                    (offset(event.time), shown(&event.name, LONGEST_IN_ROW), pairs(&event.attributes))
                })
                .collect(),
            links: span
                .links
                .iter()
                .map(|link| {
                    let words = notes::link(self.story, span, link).into_iter().map(|piece| piece.text);
                    let words = words.collect::<Vec<_>>().join(" ");
                    (link.trace.to_string(), link.span.to_string(), words, pairs(&link.attributes))
                })
                .collect(),
        }
    }

    fn of_line(&mut self, line: &Line) -> Option<Box<RawValue>> {
        let told = OfLine { logger: shown(&line.logger, LONGEST_VALUE), attributes: pairs(&line.fields) };
        self.within_room(&told)
    }

    fn within_room(&mut self, told: &impl Serialize) -> Option<Box<RawValue>> {
        let told = json(told);
        let left = self.room.details.checked_sub(told.get().len())?;
        self.room.details = left;
        Some(told)
    }
}

/// Which nodes have a row: those that the fewest others stand above, so that each stands beneath its parent.
fn kept_nodes(story: &Story) -> Vec<bool> {
    let mut kept = vec![story.nodes.len() <= MOST_NODES; story.nodes.len()];
    if story.nodes.len() > MOST_NODES {
        let mut order: Vec<usize> = (0..story.nodes.len()).collect();
        order.sort_by_key(|at| (story.nodes[*at].depth, *at));
        order.into_iter().take(MOST_NODES).for_each(|at| kept[at] = true);
    }
    kept
}

/// Children and lines in the order of their times.
fn beneath(story: &Story, at: usize) -> Vec<Item<'_>> {
    let node = &story.nodes[at];
    let children = node.children.iter().map(|child| (first(story, *child), Item::Node(*child)));
    let mut items: Vec<(Option<u64>, Item<'_>)> = children.collect();
    items.extend(story.waits(at).iter().flat_map(ways).map(|way| (Some(way.start), Item::Way(way))));
    items.extend(node.lines.iter().map(|line| (line.time, Item::Line(line))));
    items.sort_by_key(|(time, _)| time.unwrap_or(u64::MAX));
    items.into_iter().map(|(_, item)| item).collect()
}

/// The ways of a wait, a row each: its bar has one beginning and one end.
fn ways(wait: &Wait) -> impl Iterator<Item = Way> {
    let Wait { waited, other, .. } = *wait;
    wait.ways().zip([false, true]).map(move |((start, end), is_back)| Way {
        waited,
        other,
        is_back,
        start,
        end,
    })
}

/// When a node begins; a missing one with the first that names it.
fn first(story: &Story, at: usize) -> Option<u64> {
    let node = &story.nodes[at];
    let of_child = || story.nodes[*node.children.first()?].span.as_ref().map(|span| span.start);
    let of_line = || node.lines.first().and_then(|line| line.time);
    node.span.as_ref().map(|span| span.start).or_else(|| of_child().into_iter().chain(of_line()).min())
}

fn is_alarming(line: &Line) -> bool {
    matches!(&*line.level, "WARN" | "ERROR" | "FATAL")
}

fn pairs(attributes: &Attributes) -> Vec<[String; 2]> {
    attributes
        .iter()
        .map(|(name, value)| [shown(name, LONGEST_IN_ROW), shown(&plain(value), LONGEST_VALUE)])
        .collect()
}

/// Pieces of text are harmless already.
fn words_of(pieces: Vec<Piece>) -> Vec<Words> {
    let cut = |text: String| match text.char_indices().nth(LONGEST_IN_ROW) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    };
    pieces.into_iter().map(|piece| (letters(piece.style), cut(piece.text))).collect()
}

fn letters(style: Style) -> &'static str {
    match style {
        Style::Plain | Style::Service(_) => "",
        Style::Bold => "s",
        Style::Dim => "d",
        Style::Good => "g",
        Style::Warn => "w",
        Style::Bad => "b",
    }
}

fn json(value: &impl Serialize) -> Box<RawValue> {
    let text = serde_json::to_string(value).expect("texts, numbers and lists have a JSON form");
    RawValue::from_string(text).expect("it was written as JSON")
}
