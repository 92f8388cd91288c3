//! Patience: reads again while what is looked for may still be on its way, and no longer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;
use journey::story::Gap;
use journey::{Input, Search, TraceId, Wanted};

use super::progress::Progress;
use super::{in_words, no_files, remark};

/// How often files that may grow are looked at again.
const PAUSE: Duration = Duration::from_millis(25);
/// A whole story that has not changed for so long is told.
const STABLE: Duration = Duration::from_millis(150);
/// What was recorded is written after so long at the very latest.
const LATEST: Duration = Duration::from_secs(2);
/// How many traces are named when a prefix fits several.
const MOST_CANDIDATES: usize = 10;

/// What came of a search.
pub(crate) enum Outcome {
    /// The search that found all, for whatever is asked of it next, and the traces.
    Found(Box<Search>, Vec<TraceId>),
    /// Where was looked, in words.
    Nothing(String),
}

/// Searches for each of `wanted` until their stories are whole and stable, or `wait` is over; keeps spans as they were
/// written, too, if they are wanted so.
pub(crate) fn search(
    wanted: &[Wanted],
    from: Vec<PathBuf>,
    wait: Duration,
    keeps_written: bool,
) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let places = in_words(&from);
    let may_grow = from.iter().any(|place| place != Path::new("-"));
    let mut search = Search::for_any(wanted.to_vec(), Input::new(from));
    if keeps_written {
        search = search.keeping_written();
    }
    let mut states: Vec<State> = wanted.iter().map(|_| State::default()).collect();
    let mut progress = Progress::new();
    loop {
        search.read_telling(&mut |bytes| progress.tell(format_args!("read {} MB", bytes >> 20)))?;
        let is_over = !may_grow || begun.elapsed() >= wait;
        let (mut found, mut missing) = (Vec::new(), None);
        let traces = search.traces();
        for wanted in wanted {
            let fitting: Vec<TraceId> = traces.iter().copied().filter(|trace| wanted.is(*trace)).collect();
            match fitting.as_slice() {
                [] => missing = missing.or(Some(wanted)),
                [trace] => found.push(*trace),
                several => bail!("{}", ambiguous(wanted, several)),
            }
        }
        let mut are_settled = || {
            let mut of_each = states.iter_mut().zip(&found);
            of_each
                .all(|(state, trace)| state.of(&search, *trace, begun.elapsed()).is_settled(begun.elapsed()))
        };
        match missing {
            Some(missing) if is_over => return nothing(missing, &places, &search),
            None if is_over || are_settled() => return Ok(Outcome::Found(Box::new(search), found)),
            _ => {
                progress.tell(format_args!("waiting for what may still be on its way"));
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// What is known of a story that may still grow.
#[derive(Debug, Default)]
struct State {
    /// How much of it was found.
    count: usize,
    /// How long after the search began it came to be so much.
    since: Duration,
    /// How old it was then: since when its last span has been over.
    age: Duration,
    /// Whether nothing in it tells of something that is not there.
    is_whole: bool,
    /// Whether nothing is missing but what may never come: the span of somebody who called us, and the answer of
    /// somebody who has no spans.
    may_be_whole: bool,
}

impl State {
    fn of(&mut self, search: &Search, trace: TraceId, waited: Duration) -> &Self {
        if self.count != search.count() {
            let story = search.story(trace);
            let (gaps, is_answered) = (story.gaps(), story.is_answered());
            *self = Self {
                count: search.count(),
                since: waited,
                age: since_1970().saturating_sub(Duration::from_nanos(story.extent().1)),
                is_whole: gaps.is_empty() && is_answered,
                may_be_whole: matches!(gaps.as_slice(), [] | [Gap::Caller(_)]),
            };
        }
        self
    }

    /// Whether nothing more is to be expected, `waited` after the search began: it ended longer ago than anything is on
    /// its way, or it is whole and has not changed for a while.
    fn is_settled(&self, waited: Duration) -> bool {
        let unchanged = waited.saturating_sub(self.since);
        let age = self.age + unchanged;
        age >= LATEST || self.may_be_whole && age >= LATEST / 2 || self.is_whole && unchanged >= STABLE
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Nothing was found; an error where that may be because something could not be read.
fn nothing(wanted: &Wanted, places: &str, search: &Search) -> anyhow::Result<Outcome> {
    let tally = search.tally();
    let mut text =
        format!("nothing of trace `{wanted}` in {places} (files: {}, lines: {})", tally.files, tally.lines);
    if let Some(remark) = remark(search) {
        text.push_str(&format!("; {remark}"));
    }
    if tally.files == 0 && tally.unreadable.is_empty() {
        bail!("{}", no_files(places));
    }
    match tally.unreadable.is_empty() {
        true => Ok(Outcome::Nothing(text)),
        false => bail!("{text}"),
    }
}

fn ambiguous(wanted: &Wanted, traces: &[TraceId]) -> String {
    let mut text = format!("`{wanted}` begins the ids of {} traces:", traces.len());
    for trace in traces.iter().take(MOST_CANDIDATES) {
        text.push_str(&format!("\n  {trace}"));
    }
    if traces.len() > MOST_CANDIDATES {
        text.push_str("\n  …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_told_when_nothing_more_is_to_be_expected() {
        let ms = Duration::from_millis;
        let check = |(is_whole, may_be_whole), age: u64, unchanged: u64, expected: bool| {
            let state = State { count: 1, since: ms(10), age: ms(age - unchanged), is_whole, may_be_whole };
            let told = state.is_settled(ms(10 + unchanged));
            assert_eq!(told, expected, "{state:?}, {age} ms old, unchanged for {unchanged} ms");
        };
        let (whole, perhaps, incomplete) = ((true, true), (false, true), (false, false));
        check(whole, 20, 0, false);
        check(whole, 160, 149, false);
        check(whole, 200, 150, true);
        check(whole, 1000, 0, true);
        check(perhaps, 700, 500, false);
        check(perhaps, 999, 900, false);
        check(perhaps, 1000, 0, true);
        check(incomplete, 1999, 1900, false);
        check(incomplete, 2000, 0, true);
    }
}
