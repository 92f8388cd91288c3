//! Numbers, bars and widths: one unit for the whole story, so that a column can be compared at a glance.

use crate::story::Story;

/// What every time of one story is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    nanoseconds: u64,
    pub(super) name: &'static str,
    decimals: usize,
}

impl Unit {
    /// The unit in which `total` nanoseconds and a hundredth of it can both be read: milliseconds, as in log lines,
    /// wherever they will do.
    pub(super) fn for_total(total: u64) -> Self {
        let (nanoseconds, name, decimals) = match total {
            0..100_000 => (1_000, "µs", 2),
            100_000..1_000_000 => (1_000_000, "ms", 3),
            1_000_000..100_000_000 => (1_000_000, "ms", 2),
            100_000_000..10_000_000_000 => (1_000_000, "ms", 1),
            10_000_000_000..1_000_000_000_000 => (1_000_000_000, "s", 2),
            _ => (1_000_000_000, "s", 0),
        };
        Self { nanoseconds, name, decimals }
    }

    /// How far two moments of different stories lie apart: roughly is enough.
    pub(super) fn apart(nanoseconds: u64) -> String {
        let seconds = nanoseconds as f64 / 1e9;
        match seconds {
            ..1.0 => format!("{:.1} ms", seconds * 1e3),
            ..120.0 => format!("{seconds:.1} s"),
            ..7200.0 => format!("{:.0} min", seconds / 60.0),
            ..172_800.0 => format!("{:.0} h", seconds / 3600.0),
            _ => format!("{:.0} days", seconds / 86400.0),
        }
    }

    pub(super) fn write(self, nanoseconds: u64) -> String {
        format!("{:.*}", self.decimals, nanoseconds as f64 / self.nanoseconds as f64)
    }

    pub(super) fn with_name(self, nanoseconds: u64) -> String {
        format!("{} {}", self.write(nanoseconds), self.name)
    }

    /// `time` as an offset from `zero`, with its sign if it lies before.
    fn offset(self, time: u64, zero: u64) -> String {
        let text = self.write(time.abs_diff(zero));
        let is_zero = text.bytes().all(|digit| matches!(digit, b'0' | b'.'));
        if time < zero && !is_zero { format!("-{text}") } else { text }
    }
}

/// On a very wide terminal the numbers stay where the eye still finds the row that they belong to.
const WIDEST_TREE: usize = 80;

/// In less, there is no room for own times.
const OWN_FROM: usize = 56;
/// A tree is not squeezed into less.
const NARROWEST_TREE: usize = 16;

/// Where each column lies, and what stands in it.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) unit: Unit,
    zero: u64,
    end: u64,
    pub(super) start: usize,
    pub(super) tree: usize,
    pub(super) took: usize,
    pub(super) own: usize,
    pub(super) bar: usize,
    width: usize,
}

impl Columns {
    pub(super) fn new(story: &Story, unit: Unit, width: usize) -> Self {
        let (zero, end) = story.extent();
        let label = |label: &str| label.chars().count() + 1 + unit.name.chars().count();
        let widest =
            |texts: &mut dyn Iterator<Item = String>| texts.map(|text| text.len()).max().unwrap_or(0);
        let times = story.spans().map(|span| span.start).chain(story.lines().filter_map(|line| line.time));
        let start = widest(&mut times.map(|time| unit.offset(time, zero))).max(label("start"));
        let took = widest(&mut story.spans().map(|span| unit.write(span.duration()))).max(label("took"));
        let own = match width {
            ..OWN_FROM => 0,
            _ => widest(&mut story.nodes.iter().map(|node| unit.write(node.own))).max(label("own")),
        };
        let bar = match width {
            0..70 => 0,
            70..95 => 12,
            95..130 => 16,
            _ => 32,
        };
        let gaps = 2 * (2 + usize::from(bar > 0) + usize::from(own > 0));
        let tree = width.saturating_sub(start + took + own + bar + gaps).clamp(NARROWEST_TREE, WIDEST_TREE);
        Self { unit, zero, end, start, tree, took, own, bar, width }
    }

    /// The width of what stands right of the start: for rows without numbers of their own.
    pub(super) fn notes(&self) -> usize {
        self.width.saturating_sub(self.start + 2).max(16)
    }

    pub(super) fn offset(&self, time: u64) -> String {
        self.unit.offset(time, self.zero)
    }

    /// Where in the whole the time from `start` to `end` lies: `░` in `stretches`, which are in order, where something was waited for,
    /// `█` elsewhere.
    pub(super) fn bar(&self, stretches: &[(u64, u64)], (start, end): (u64, u64)) -> String {
        if self.bar == 0 {
            return String::new();
        }
        let total = u128::from(self.end - self.zero).max(1);
        let cells = self.bar as u128;
        let cell = |time: u64| u128::from(time.saturating_sub(self.zero)) * cells / total;
        let first = cell(start).min(cells - 1);
        let last =
            (u128::from(end.saturating_sub(self.zero)) * cells).div_ceil(total).clamp(first + 1, cells);
        let mut bar = " ".repeat(first as usize);
        // Stretches and cells are both in order: one walk over them.
        let mut next = 0;
        for at in first..last {
            let middle = self.zero.saturating_add(((2 * at + 1) * total / (2 * cells)) as u64);
            while stretches.get(next).is_some_and(|(_, end)| *end <= middle) {
                next += 1;
            }
            let is_covered =
                stretches.get(next).is_some_and(|(start, end)| *start <= middle && middle < *end);
            bar.push(if is_covered { '░' } else { '█' });
        }
        bar
    }
}
