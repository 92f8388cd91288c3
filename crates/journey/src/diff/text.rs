//! A comparison as text: one tree, what differs in it row by row, and at its foot how much and where most.

use crate::diff::{Change, Diff, Row, outcome, place, root_duration};
use crate::escape::visible;
use crate::story::Story;
use crate::table::{milliseconds, moment, shortened};
use crate::text::paint::{Piece, Style, paint, wrap};
use crate::text::{Look, asked};

/// Rows that are printed; the rest is counted.
const MOST_ROWS: usize = 400;
/// So many siblings that are new or gone alike become one row.
const FOLDED: usize = 3;
/// Nothing can be laid out in less.
const NARROWEST: usize = 48;
/// From this width on there is room for how much is a span's own.
const WITH_OWN: usize = 80;
/// Columns before the tree: a mark and three numbers, or five.
const NUMBERS: [usize; 2] = [34, 52];

pub(super) fn render(diff: &Diff<'_>, look: Look, all: bool) -> String {
    let look = Look { width: look.width.max(NARROWEST), ..look };
    let mut page = Page { diff, look, text: String::new() };
    page.side("A", diff.a);
    page.side("B", diff.b);
    page.text.push('\n');
    page.titles();
    let (mut at, mut told) = (0, 0);
    while at < diff.rows.len() && told < MOST_ROWS {
        at = match page.folded(at, all) {
            Some(next) => next,
            None => {
                page.row(at, 1);
                at + 1
            }
        };
        told += 1;
    }
    let differ = diff.rows[at..].iter().filter(|row| row.change != Change::Same).count();
    if at < diff.rows.len() {
        let said =
            format!("{} more rows, {differ} of them differ: all of them with --json", diff.rows.len() - at);
        page.wrapped("", vec![Piece::new(Style::Warn, said)]);
    }
    page.text.push('\n');
    page.foot();
    page.text
}

struct Page<'d, 's> {
    diff: &'d Diff<'s>,
    look: Look,
    text: String,
}

impl Page<'_, '_> {
    fn side(&mut self, label: &str, story: &Story) {
        let mut pieces = vec![Piece::new(Style::Dim, story.trace.to_string())];
        match story.root() {
            Some(root) => {
                pieces.extend(asked(root));
                pieces.push(Piece::new(Style::Bold, format!("in {} ms", milliseconds(root.duration()))));
            }
            None => pieces.push(Piece::new(Style::Warn, "no span of it was written")),
        }
        pieces.push(Piece::new(Style::Dim, format!("at {}", moment(story.extent().0))));
        self.wrapped(label, pieces);
    }

    fn titles(&mut self) {
        let mut line = format!("  {:>9} {:>9} {:>10}", "A ms", "B ms", "±ms");
        if self.with_own() {
            line.push_str(&format!(" {:>6} {:>10}", "×", "own ±ms"));
        }
        self.line(&[Piece::new(Style::Dim, line)]);
    }

    fn with_own(&self) -> bool {
        self.look.width >= WITH_OWN
    }

    /// Several rows in one, if those at `at` can be told so: where the next one is.
    fn folded(&mut self, at: usize, all: bool) -> Option<usize> {
        let rows = &self.diff.rows;
        let row = &rows[at];
        let siblings = |is_alike: &dyn Fn(&Row) -> bool| {
            let (mut next, mut count) = (at, 0);
            while rows.get(next).is_some_and(|one| one.depth == row.depth && is_alike(one)) {
                next += 1 + rows[next].beneath;
                count += 1;
            }
            (next, count)
        };
        if !row.differs() {
            let (next, _) = siblings(&|one| !one.differs());
            // A trace's first row is told in any case, and a single one by itself.
            if all || row.parent.is_none() || next - at == 1 {
                return None;
            }
            let text = format!("{}({} spans alike)", self.indent(row.depth), next - at);
            let gap = " ".repeat(NUMBERS[usize::from(self.with_own())]);
            self.line(&[Piece::new(Style::Dim, format!("{gap}{text}"))]);
            return Some(next);
        }
        if !matches!(row.change, Change::New | Change::Gone) || all {
            return None;
        }
        let (next, count) = siblings(&|one| one.change == row.change && one.shape == row.shape);
        if count < FOLDED {
            return None;
        }
        self.row(at, count);
        Some(next)
    }

    /// The row at `at`, for `count` of its kind.
    fn row(&mut self, at: usize, count: usize) {
        let diff = self.diff;
        let row = &diff.rows[at];
        let (mark, style) = match row.change {
            Change::New => ('+', Style::Good),
            Change::Gone => ('-', Style::Bad),
            Change::Outcome => ('!', Style::Warn),
            Change::Slower => ('>', Style::Bad),
            Change::Faster => ('<', Style::Good),
            Change::Same => (' ', Style::Dim),
        };
        let spans = diff.spans(row);
        let mut times = [0; 2];
        let mut own = [0; 2];
        let step = row.beneath + 1;
        for one in (0..count).map(|number| &diff.rows[at + number * step]) {
            let spans = diff.spans(one);
            for side in 0..2 {
                times[side] += spans[side].map_or(0, |span| span.duration());
                own[side] += diff.own(one)[side];
            }
        }
        let time = |side: usize| spans[side].map(|_| milliseconds(times[side])).unwrap_or_default();
        let is_pair = row.a.is_some() && row.b.is_some();
        let change = if spans == [None, None] { String::new() } else { signed(times) };
        let mut numbers = format!("{mark} {:>9} {:>9} {change:>10}", time(0), time(1));
        if self.with_own() {
            let ratio = Some(times).filter(|times| is_pair && times[0] > 0);
            let ratio = ratio.map(|[a, b]| format!("{:.2}", b as f64 / a as f64)).unwrap_or_default();
            let own = if spans == [None, None] { String::new() } else { signed(own) };
            numbers.push_str(&format!(" {ratio:>6} {own:>10}"));
        }
        let room = self.look.width - NUMBERS[usize::from(self.with_own())];
        let mut words = self.indent(row.depth) + &self.words(row);
        if count > 1 {
            words.push_str(&format!(" ×{count}"));
            if row.beneath > 0 {
                words.push_str(&format!(" ({} beneath each)", row.beneath));
            }
        }
        self.line(&[Piece::new(style, format!("{numbers}  {}", shortened(&words, room)))]);
    }

    fn words(&self, row: &Row) -> String {
        let [a, b] = self.diff.spans(row);
        let Some(span) = b.or(a) else { return "(a span that was never written)".to_owned() };
        let above = row.parent.map(|parent| self.diff.spans(&self.diff.rows[parent]));
        let above = above.and_then(|[a, b]| b.or(a)).map(|span| &*span.service);
        let mut words = Vec::new();
        words.extend(Some(&*span.service).filter(|service| above != Some(*service)).map(str::to_owned));
        let both = |told: &dyn Fn(&crate::span::Span) -> String| match (a.map(told), b.map(told)) {
            (Some(a), Some(b)) if a != b => {
                let shown = |text: String| if text.is_empty() { "nothing told".to_owned() } else { text };
                format!("{} → {}", shown(a), shown(b))
            }
            (a, b) => b.or(a).unwrap_or_default(),
        };
        words.extend([both(&place), both(&outcome)]);
        words.retain(|word| !word.is_empty());
        visible(&words.join(" "))
    }

    /// Two columns for each level, up to a third of the page.
    fn indent(&self, depth: usize) -> String {
        let most = self.look.width / 6;
        if depth > most { format!("{}⋯ ", "  ".repeat(most - 1)) } else { "  ".repeat(depth) }
    }

    fn foot(&mut self) {
        let diff = self.diff;
        let (a, b) = (root_duration(diff.a), root_duration(diff.b));
        let times = if a > 0 { format!(" (×{:.2})", b as f64 / a as f64) } else { String::new() };
        let total = format!("{} ms → {} ms: {} ms{times};", milliseconds(a), milliseconds(b), signed([a, b]));
        let spans = format!("{} → {} spans;", diff.a.spans().count(), diff.b.spans().count());
        let counts: Vec<String> = [
            (Change::New, "new"),
            (Change::Gone, "gone"),
            (Change::Outcome, "with another outcome"),
            (Change::Slower, "slower"),
            (Change::Faster, "faster"),
            (Change::Same, "alike"),
        ]
        .into_iter()
        .map(|(change, words)| (diff.count(change), words))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
        self.wrapped("total", [total, spans, counts.join(", ")].map(Piece::plain).to_vec());
        for (number, one) in diff.biggest().into_iter().enumerate() {
            let name = visible(format!("{} {}", one.service, one.name).trim());
            let count = match one.spans {
                [a, 0] => format!("gone: {a}×"),
                [0, b] => format!("new: {b}×"),
                [a, b] if a != b => format!("{a}× → {b}×"),
                [1, 1] => String::new(),
                [a, _] => format!("{a}×"),
            };
            let own = format!("{} → {} ms of its own", milliseconds(one.own[0]), milliseconds(one.own[1]));
            let pieces = vec![
                Piece::new(Style::Bold, format!("{:>9} ms", signed(one.own))),
                Piece::plain(name),
                Piece::new(
                    Style::Dim,
                    [count, own].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", "),
                ),
            ];
            self.wrapped(if number == 0 { "biggest" } else { "" }, pieces);
        }
    }

    fn wrapped(&mut self, label: &str, pieces: Vec<Piece>) {
        let label_width = if label.len() == 1 { 3 } else { 9 };
        let room = self.look.width - label_width;
        for (number, part) in wrap(pieces, room, room, " ").into_iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            let mut row = vec![Piece::new(Style::Dim, format!("{label:<label_width$}"))];
            row.extend(part);
            self.line(&row);
        }
    }

    fn line(&mut self, pieces: &[Piece]) {
        self.text.push_str(paint(pieces, self.look.is_coloured).trim_end());
        self.text.push('\n');
    }
}

/// From the first to the second, in milliseconds, with its sign.
fn signed([a, b]: [u64; 2]) -> String {
    let apart = milliseconds(a.abs_diff(b));
    match apart.bytes().all(|digit| matches!(digit, b'0' | b'.')) {
        true => apart,
        false => format!("{}{apart}", if b > a { '+' } else { '-' }),
    }
}
