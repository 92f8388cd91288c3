//! Pieces of text with their style, wrapped to a width, painted or plain.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a piece of text is, as far as its look tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
    /// A service's name; services differ by number.
    Service(usize),
}

/// Text that is not broken, as long as it fits a line by itself. Already escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) style: Style,
    pub(crate) text: String,
}

impl Piece {
    pub(crate) fn new(style: Style, text: impl Into<String>) -> Self {
        Self { style, text: text.into() }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(Style::Plain, text)
    }
}

/// Cyan, magenta, blue, green, yellow: what is left when red is kept for failures.
const SERVICES: [&str; 5] = ["36", "35", "34", "32", "33"];

/// The pieces in a row, with what a terminal needs for their colours if `is_coloured`.
pub(crate) fn paint(pieces: &[Piece], is_coloured: bool) -> String {
    let mut text = String::new();
    for piece in pieces {
        let code = match piece.style {
            _ if !is_coloured || piece.text.is_empty() => "",
            Style::Plain => "",
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "1;31",
            Style::Service(number) => SERVICES[number % SERVICES.len()],
        };
        if code.is_empty() {
            text.push_str(&piece.text);
        } else {
            text.push_str(&format!("\x1b[{code}m{}\x1b[0m", piece.text));
        }
    }
    text
}

/// Columns that `text` takes on a terminal: a wide letter takes two, a combining one none.
pub(crate) fn width_of(text: &str) -> usize {
    text.width()
}

/// Puts `pieces` into lines, `between` them where they stand on one line: the first of `first` columns, the others of
/// `others`. A piece that is longer than a whole line is broken where the line ends.
pub(crate) fn wrap(pieces: Vec<Piece>, first: usize, others: usize, between: &str) -> Vec<Vec<Piece>> {
    let mut lines = vec![Vec::new()];
    let mut left = first;
    for piece in pieces {
        let gap =
            if lines.last().is_some_and(|line: &Vec<Piece>| line.is_empty()) { 0 } else { width_of(between) };
        let needed = width_of(&piece.text);
        if gap + needed <= left {
            let line = lines.last_mut().expect("there is always a line to write on");
            if gap > 0 {
                line.push(Piece::plain(between));
            }
            line.push(piece);
            left -= gap + needed;
            continue;
        }
        if gap > 0 {
            lines.push(Vec::new());
            left = others;
        }
        let letters: Vec<char> = piece.text.chars().collect();
        let mut rest = &letters[..];
        while !rest.is_empty() {
            let at = break_at(rest, left);
            if at == 0 && left < others.max(1) {
                lines.push(Vec::new());
                left = others.max(1);
                continue;
            }
            let (part, after) = rest.split_at(at.max(1));
            let part: String = part.iter().collect();
            rest = after;
            left = if rest.is_empty() { left.saturating_sub(width_of(&part)) } else { 0 };
            lines.last_mut().expect("there is always a line to write on").push(Piece::new(piece.style, part));
        }
    }
    lines
}

/// How many of `letters` to put on a line of `width`: up to its last space, if one is in its second half.
fn break_at(letters: &[char], width: usize) -> usize {
    let mut used = 0;
    let fits = letters.iter().take_while(|letter| {
        used += letter.width().unwrap_or(0);
        used <= width
    });
    let fits = fits.count();
    if fits == letters.len() {
        return fits;
    }
    let last_space = letters[..fits].iter().rposition(|letter| *letter == ' ').filter(|at| *at >= fits / 2);
    last_space.map_or(fits, |at| at + 1)
}
