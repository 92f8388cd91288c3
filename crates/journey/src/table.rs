//! Rows and columns as text: aligned, as wide as a terminal, harmless for it.

use time::OffsetDateTime;
use time::macros::format_description;
use unicode_width::UnicodeWidthChar;

use crate::escape::visible;
use crate::text::paint::width_of;

/// Letters that are left of a column that is cut.
const NARROWEST: usize = 8;
/// From this width on there is room for whole ids.
pub(crate) const WIDE: usize = 150;
/// In less width some of what could be told is left out.
pub(crate) const NARROW: usize = 100;
/// Digits of an id where there is not: hardly ever do two of a million traces share twelve, or two of a thousand eight.
const SHORT_ID: usize = 12;
const SHORTEST_ID: usize = 8;

/// The last row of a table that has no room for all: what all others come to.
pub(crate) const OTHERS: &str = "(others)";

/// A column's title and how it is laid out.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    title: String,
    layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Left,
    Right,
    /// To the left; cut where the row would not fit.
    Cut,
}

impl Column {
    pub(crate) fn text(title: impl Into<String>) -> Self {
        Self { title: title.into(), layout: Layout::Left }
    }

    pub(crate) fn number(title: impl Into<String>) -> Self {
        Self { title: title.into(), layout: Layout::Right }
    }

    pub(crate) fn cut(title: impl Into<String>) -> Self {
        Self { title: title.into(), layout: Layout::Cut }
    }
}

/// The rows below their titles, each line with its end, at most `width` columns wide if cutting can make them so.
pub(crate) fn render(columns: &[Column], rows: &[Vec<String>], width: usize) -> String {
    let titles = columns.iter().map(|column| column.title.clone()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(&titles)
        .chain(rows)
        .map(|row| row.iter().map(|cell| visible(cell)).collect())
        .collect();
    let widest = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| width_of(cell)).max();
    let mut widths: Vec<usize> = (0..columns.len()).map(|at| widest(at).unwrap_or(0)).collect();
    let mut excess =
        (widths.iter().sum::<usize>() + 2 * columns.len().saturating_sub(1)).saturating_sub(width);
    // The last one that can be cut gives way first.
    for (width, column) in
        widths.iter_mut().zip(columns).rev().filter(|(_, column)| column.layout == Layout::Cut)
    {
        let less = excess.min(width.saturating_sub(NARROWEST.max(width_of(&column.title))));
        *width -= less;
        excess -= less;
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, column), width) in row.iter().zip(columns).zip(&widths) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let cell = shortened(cell, *width);
            let padding = " ".repeat(width - width_of(&cell));
            match column.layout {
                Layout::Right => line.extend([padding, cell]),
                Layout::Left | Layout::Cut => line.extend([cell, padding]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `text`, cut to `width` columns.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = text.chars().take_while(|letter| {
        used += letter.width().unwrap_or(0);
        used <= width
    });
    fits.chain(['…']).collect()
}

/// Milliseconds with two digits behind the point, as everywhere in a table.
pub(crate) fn milliseconds(nanoseconds: u64) -> String {
    format!("{:.2}", nanoseconds as f64 / 1e6)
}

/// A moment as RFC 3339 in UTC with milliseconds.
pub(crate) fn moment(nanoseconds: u64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanoseconds)).ok();
    // 64 bits end in the year 2554.
    time.and_then(|time| time.format(format).ok()).unwrap_or_default()
}

/// The same to the second.
pub(crate) fn second(nanoseconds: u64) -> String {
    moment(nanoseconds).chars().take("2026-11-21T22:26:40".len()).chain(['Z']).collect()
}

/// `object` on a line of its own.
pub(crate) fn json(object: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(object);
    text.expect("texts, numbers and nulls can all be written as JSON") + "\n"
}

/// How a trace's id is shown in a table `width` columns wide: whole where there is room, else its first digits.
pub(crate) fn id(trace: crate::id::TraceId, width: usize) -> String {
    let digits = trace.to_string();
    match width {
        ..NARROW => digits[..SHORTEST_ID].to_owned(),
        NARROW..WIDE => digits[..SHORT_ID].to_owned(),
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn columns_are_aligned_and_cut_to_the_width() {
        let columns = [Column::text("name"), Column::cut("a long text"), Column::number("count")];
        let rows: Vec<Vec<String>> = [
            ["a", "short", "7"],
            ["three", "quite long enough to be cut somewhere", "12345"],
            ["\u{1b}[2J", "x\ny", ""],
        ]
        .map(|row| row.map(str::to_owned).to_vec())
        .to_vec();
        expect![[r#"
            name       a long text                            count
            a          short                                      7
            three      quite long enough to be cut somewhere  12345
            \u{1b}[2J  x\ny
        "#]]
        .assert_eq(&render(&columns, &rows, 60));
        expect![[r#"
            name       a long text           count
            a          short                     7
            three      quite long enough t…  12345
            \u{1b}[2J  x\ny
        "#]]
        .assert_eq(&render(&columns, &rows, 38));
        let narrow = render(&columns, &rows, 5);
        assert!(narrow.contains("quite long…  12345"), "{narrow}");
    }

    #[test]
    fn a_moment_is_told_in_utc() {
        assert_eq!(moment(1_795_300_000_123_456_789), "2026-11-21T22:26:40.123Z");
        assert_eq!(second(1_795_300_000_999_456_789), "2026-11-21T22:26:40Z");
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(u64::MAX), "2554-07-21T23:34:33.709Z");
    }
}
