//! What `traces`, `stats`, `errors` and others share: everything is read once, and an answer is told.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use journey::brief::{Brief, Picks};
use journey::input::Tally;
use journey::{Input, Pass};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::progress::Progress;
use super::{complain, look, places, print, tell_counts};

/// Where to read, and in which form to answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// A directory, a file or `-` for standard input; may be repeated [default: ./throughline-data/telemetry, else
    /// ./telemetry]
    #[arg(long, env = "THROUGHLINE_FROM", value_name = "PATH")]
    from: Vec<PathBuf>,
    /// For programs: one JSON object a line
    #[arg(long, env = "THROUGHLINE_JSON")]
    json: bool,
}

impl Source {
    /// In which form to answer.
    pub(crate) fn form(&self) -> Form {
        Form { json: self.json, width: look().width }
    }

    /// Where to read.
    pub(crate) fn places(self) -> anyhow::Result<Vec<PathBuf>> {
        places(self.from)
    }
}

/// What an answer looks like.
pub(crate) struct Form {
    pub(crate) json: bool,
    /// Columns of the terminal.
    pub(crate) width: usize,
}

/// An answer, and what is said beside it.
#[derive(Default)]
pub(crate) struct Told {
    /// Nothing where nothing was found.
    pub(crate) text: String,
    pub(crate) remark: Option<String>,
}

/// Gives every trace to `take` and prints what `finish` makes of it: exit code 0, or 1 with a sentence that says that there
/// is none of `what` where it makes nothing; 2 trouble.
pub(crate) fn answer<T>(
    source: Source,
    picks: Picks,
    what: &str,
    mut answer: T,
    take: impl Fn(&mut T, &[Brief]),
    finish: impl FnOnce(T, &Form) -> Told,
) -> ExitCode {
    let form = source.form();
    let told = source.places().and_then(|from| {
        let pass = read(from.clone(), picks, &mut |spans| take(&mut answer, spans))?;
        let told = finish(answer, &form);
        if told.text.is_empty() {
            nothing(what, &from, &pass)?;
            return Ok(ExitCode::from(1));
        }
        let remarks: Vec<String> = told.remark.into_iter().chain(remark(&pass)).collect();
        if !remarks.is_empty() {
            complain(&remarks.join("; "));
        }
        print(&told.text)?;
        Ok(ExitCode::SUCCESS)
    });
    told.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::from(2)
    })
}

/// Gives every trace in `from` to `take`, and tells how far it has read on a terminal.
///
/// # Errors
/// A place cannot be read.
pub(crate) fn read(from: Vec<PathBuf>, picks: Picks, take: &mut dyn FnMut(&[Brief])) -> anyhow::Result<Pass> {
    let mut pass = Pass::new(Input::new(from), picks);
    with_progress(|tell| pass.run(take, tell))?;
    Ok(pass)
}

/// Has everything read, and says how much on a terminal if it takes long.
pub(crate) fn with_progress<R>(read: impl FnOnce(&mut dyn FnMut(u64)) -> R) -> R {
    let mut progress = Progress::new();
    read(&mut |bytes| progress.tell(format_args!("read {} MB", bytes >> 20)))
}

/// That there is something to read in `from`: an error that says what to try where there is not.
pub(crate) fn some_files(from: &[PathBuf], tally: &Tally) -> anyhow::Result<()> {
    if tally.files == 0 && tally.unreadable.is_empty() {
        bail!("{}", super::no_files(&super::in_words(from)));
    }
    Ok(())
}

/// Nothing was found; an error where that may be because something could not be read.
fn nothing(what: &str, from: &[PathBuf], pass: &Pass) -> anyhow::Result<()> {
    let (places, tally) = (super::in_words(from), pass.tally());
    some_files(from, tally)?;
    let mut text = format!(
        "{what} in {places} (files: {}, lines: {}, spans: {})",
        tally.files,
        tally.lines,
        pass.counts().spans
    );
    if let Some(remark) = remark(pass) {
        text.push_str(&format!("; {remark}"));
    }
    match tally.unreadable.is_empty() {
        true => complain(&text),
        false => bail!("{text}"),
    }
    Ok(())
}

/// What could not be read, in one line; `None` if all could be.
fn remark(pass: &Pass) -> Option<String> {
    let counts = pass.counts();
    tell_counts(
        &[
            (counts.damaged, "damaged or foreign lines skipped"),
            (counts.half, "last lines are not whole yet"),
            (counts.repeats, "repeats of spans left out"),
        ],
        pass.tally(),
    )
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads a moment: RFC 3339, or how long ago it was; nanoseconds since 1970.
pub(crate) fn parse_moment(text: &str) -> Result<u64, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    moment(text, now).ok_or_else(|| {
        "must be a time, `2026-11-21T22:26:40Z`, or how long ago it was: `90s`, `10m`, `2h`".to_owned()
    })
}

fn moment(text: &str, now: Duration) -> Option<u64> {
    // What is no duration may be a time.
    if let Ok(ago) = service::parse_duration(text) {
        return u64::try_from(now.saturating_sub(ago).as_nanos()).ok();
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        let now = Duration::from_secs(1_795_300_000);
        let check = |text: &str, expected: Option<u64>| assert_eq!(moment(text, now), expected, "{text}");
        check("2026-11-21T22:26:40Z", Some(1_795_300_000_000_000_000));
        check("2026-11-21T23:26:40.5+01:00", Some(1_795_300_000_500_000_000));
        check("10s", Some(1_795_299_990_000_000_000));
        check("1000000h", Some(0));
        check("yesterday", None);
        check("2026-11-21", None);
        check("1901-01-01T00:00:00Z", None);
        check("", None);
    }
}
