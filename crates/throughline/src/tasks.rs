//! `tasks`: what a worker has to do, has done and could not do, read from the database itself: whatever runs or does not.
//!
//! Promises: makes no database and changes no table; `retry` and `cancel` do what a person decides about one task.
//!
//! Exit codes: 0 told or done, 1 no such task or not in a state for it, 2 trouble with the database, 64 typed wrongly.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use store::{Error, Kind, OpenError, State, Store, Task, TaskListing, Timestamp};
use uuid::Uuid;

use crate::reading::{complain, print};

/// How tasks look: as lines for people, as JSON for programs.
mod tell;

use tell::{Overview, Tell};

/// More runs for a dead task whose kind is not ours.
const MORE_RUNS: u32 = 5;

/// What can be told to `tasks`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    #[command(subcommand)]
    command: Option<Command>,
    /// Database: postgres://USER:PASSWORD@HOST:PORT/DATABASE, or sqlite:PATH [default: the one that `up` keeps in the
    /// data directory]
    #[arg(long, global = true, env = "THROUGHLINE_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where `up` keeps its database
    #[arg(
        long,
        global = true,
        env = "THROUGHLINE_DATA_DIR",
        value_name = "PATH",
        default_value = "./throughline-data"
    )]
    data_dir: PathBuf,
    /// Tell as JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List tasks, newest first
    List(List),
    /// Show one task, with the trace to follow
    Show(One),
    /// Queue a dead task again
    Retry(Retry),
    /// Take a queued task back
    Cancel(One),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those in this state: queued, leased, done, dead or cancelled
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// Only those of this kind: confirm_booking, deliver_webhook, or what a newer program knows
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// So many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = service::parse_number(1_u16..=10_000))]
    limit: u16,
}

#[derive(Debug, clap::Args)]
struct One {
    /// The task's id: 36 characters, with hyphens
    #[arg(value_name = "ID")]
    id: Uuid,
}

#[derive(Debug, clap::Args)]
struct Retry {
    #[command(flatten)]
    one: One,
    /// How often it may run again [default: as often as a new task of its kind]
    #[arg(long, value_name = "NUMBER", value_parser = service::parse_number(1_u32..=1_000))]
    runs: Option<u32>,
}

/// Asks, or does it.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let told = runtime.context("cannot start a runtime").and_then(|runtime| {
        let text = runtime.block_on(answer(settings))?;
        print(&text)
    });
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(code(&error))
        }
    }
}

fn code(error: &anyhow::Error) -> u8 {
    if let Some(OpenError::Url { .. }) = error.downcast_ref() {
        return crate::USAGE;
    }
    match error.downcast_ref() {
        Some(Error::NoSuchTask | Error::TaskState { .. }) => 1,
        _ => 2,
    }
}

async fn answer(settings: Settings) -> anyhow::Result<String> {
    let tell = Tell::new(settings.json);
    let in_directory = || format!("sqlite:{}", settings.data_dir.join("bookings.db").display());
    let url = settings.database_url.unwrap_or_else(in_directory);
    let store = Store::open_existing(&url, &store::Settings { connections: 2, ..Default::default() }).await?;
    let now = Timestamp::now();
    Ok(match settings.command {
        None => tell.overview(&overview(&store, now).await?),
        Some(Command::List(list)) => tell
            .list(&store.tasks(TaskListing { state: list.state, kind: list.kind, limit: list.limit }).await?),
        Some(Command::Show(one)) => tell.one(&store.task(one.id).await?),
        Some(Command::Retry(retry)) => tell.steered(&again(&store, &retry, now).await?),
        Some(Command::Cancel(one)) => tell.steered(&cancelled(&store, one.id, now).await?),
    })
}

async fn overview(store: &Store, now: Timestamp) -> Result<Overview, Error> {
    let waiting = store.waiting_tasks(now).await?;
    let oldest = match waiting.oldest {
        // It may have been done since.
        Some((id, _)) => store.task(id).await.ok(),
        None => None,
    };
    Ok(Overview { counts: store.count_tasks().await?, waiting: waiting.tasks, oldest, now })
}

async fn again(store: &Store, retry: &Retry, now: Timestamp) -> anyhow::Result<Task> {
    let id = retry.one.id;
    let kind: Option<Kind> = store.task(id).await?.kind.parse().ok();
    let runs = retry.runs.unwrap_or_else(|| kind.map_or(MORE_RUNS, Kind::max_runs));
    let retried = store.retry_task(id, runs, now).await;
    retried.with_context(|| format!("cannot retry task `{id}`: only a dead one can be"))
}

async fn cancelled(store: &Store, id: Uuid, now: Timestamp) -> anyhow::Result<Task> {
    let cancelled = store.cancel_task(id, now).await;
    cancelled.with_context(|| format!("cannot cancel task `{id}`: only a queued one can be"))
}
