//! `follow`: tells requests as they complete, from the Collector's files as they grow and rotate.
//!
//! Exit codes: 0 when asked to stop, or when nobody reads any more; 2 trouble, 64 usage.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use journey::Input;
use journey::follow::{self, Follow, Reader, Told};
use journey::input::Block;
use service::Requests;
use tokio::sync::oneshot;

use crate::reading::{self, Which};

/// How often the files are looked at: each is asked for its length then.
const PAUSE: Duration = Duration::from_millis(200);
/// So much is told at once.
const LARGEST_TEXT: usize = 64 << 10;

/// What can be told to `follow`.
#[derive(Debug, clap::Args)]
#[command(after_help = BOUNDS)]
pub(crate) struct Settings {
    #[command(flatten)]
    which: Which,
    /// Each request's log lines beneath it
    #[arg(long)]
    logs: bool,
    /// Begin with what is in the files already
    #[arg(long)]
    from_start: bool,
    /// A directory or a file; may be repeated [default: ./throughline-data/telemetry, else ./telemetry]
    #[arg(long, env = "THROUGHLINE_FROM", value_name = "PATH")]
    from: Vec<PathBuf>,
    /// For programs: one JSON object a request, `correction` being true where it was told before, `logs` its log lines
    #[arg(long, env = "THROUGHLINE_JSON")]
    json: bool,
}

const BOUNDS: &str = "\
A request is told 2 s after the last of its spans was written, if it has a beginning and no parent is missing; else after \
10 s, and at the latest 60 s after its first span. If what comes later changes its status, its duration, whether it \
failed or what was asked, it is told once more with `again:` before it; if it only adds a service, it is not. Log lines \
that come later are told with their request once more. About 40 MB of spans and lines are held: beyond that requests are told \
early, as they are. The files are looked at every 200 ms. They may grow, be renamed, removed or cut, and new ones may \
appear; packed files are passed over. Ctrl-C ends it.

Exit codes: 0 when asked to stop, or when standard output is closed; 2 trouble; 64 usage.";

/// Follows until it is asked to stop.
pub(crate) fn run(settings: Settings) -> ExitCode {
    if settings.from.iter().any(|place| place == Path::new("-")) {
        reading::complain(
            "`--from -` cannot be followed: name a directory or a file, or ask `traces` for what is there",
        );
        return ExitCode::from(crate::USAGE);
    }
    let (json, from_start) = (settings.json, settings.from_start);
    let (filter, picks) = match settings.which.filter() {
        Ok(filter) => filter,
        Err(refusal) => {
            reading::complain(&refusal);
            return ExitCode::from(crate::USAGE);
        }
    };
    let (follow, reader) = (Follow::new(filter), Reader { picks, with_lines: settings.logs });
    let followed = reading::places(settings.from)
        .and_then(|from| until_asked(move || read(follow, &reader, from, from_start, json)));
    match followed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reading::complain(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Has everything `read` until this process is asked to stop. Reading may take long: a thread of its own does it, and ends
/// with the process.
fn until_asked(read: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start a runtime")?.block_on(async {
        let mut requests = Requests::new(false).context("cannot listen for signals")?;
        let (tell, ended) = oneshot::channel();
        // Nobody hears it who has been asked to stop.
        let reading = move || drop(tell.send(read()));
        std::thread::Builder::new()
            .name("follow".to_owned())
            .spawn(reading)
            .context("cannot start a thread")?;
        tokio::select! {
            _asked = requests.next() => Ok(()),
            ended = ended => ended.context("the thread that reads has panicked").flatten(),
        }
    })
}

/// Returns when nobody reads any more.
fn read(
    mut follow: Follow,
    reader: &Reader,
    from: Vec<PathBuf>,
    from_start: bool,
    json: bool,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut input = Input::growing(from);
    if !from_start {
        input.skip()?;
    }
    let mut out = Out { text: String::new(), json, width: 0, outcome: Ok(true) };
    let mut is_first = true;
    while out.outcome? {
        out = Out { outcome: Ok(true), width: reading::look().width, ..out };
        let work = |block: Block<'_>| reader.read(block.text, block.is_ended);
        let read = input.read(&work, &mut |part, _| {
            follow.take(part, begun.elapsed(), &mut |told| out.tell(&told));
        });
        match read {
            // A file that was renamed comes again, and so may a directory.
            Err(gone) if gone.source.kind() == io::ErrorKind::NotFound && !is_first => {}
            read => read?,
        }
        is_first = false;
        follow.look(begun.elapsed(), &mut |told| out.tell(&told));
        out.print();
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// What is being told.
struct Out {
    text: String,
    json: bool,
    /// Columns of the terminal.
    width: usize,
    /// Whether somebody still reads.
    outcome: anyhow::Result<bool>,
}

impl Out {
    fn tell(&mut self, told: &Told) {
        self.text.push_str(&match self.json {
            true => follow::json(told),
            false => follow::text(told, self.width),
        });
        if self.text.len() >= LARGEST_TEXT {
            self.print();
        }
    }

    fn print(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() || !matches!(self.outcome, Ok(true)) {
            return;
        }
        let mut out = io::stdout().lock();
        self.outcome = match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            written => written.map(|()| true).context("cannot write to standard output"),
        };
    }
}
