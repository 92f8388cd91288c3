//! `up`: starts the whole system as child processes of this binary, shows the first request's story, and keeps the
//! system running until it is asked to stop.
//!
//! Promises: no child outlives `up`, however it ends (each drains when its pipe from `up` closes); a child that dies is
//! said and started again on the same addresses; everything a child says is kept in the data directory.
//! Refuses: being a service of its own. It configures nothing that the services' own flags do not.
//!
//! Exit codes: 0 when asked to stop, 1 when the system cannot be started, 64 when a setting is why, 130 or 143 when
//! asked a second time.

use std::{future::pending, path::PathBuf, process::ExitCode};

use anyhow::Context;
use service::{Requests, parse_number};

/// One child process: started, heard, ended.
mod child;
/// The directory that all of this is kept in, for one `up` at a time.
mod directory;
/// The first request, and its story.
mod first;
/// A child kept running, with back-off.
mod keep;
/// Which processes there are, and what each is told.
mod plan;
/// All children together: started in order, stopped in order.
mod system;
/// What `up` tells: a person, or with `--json` a program.
mod tell;

use directory::Directory;
use keep::GivenUp;
use system::System;
use tell::Tell;

/// What can be told to `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Port of the load balancer on 127.0.0.1; 0 lets the system choose
    #[arg(long, env = "THROUGHLINE_PORT", value_name = "PORT", default_value_t = 8080, value_parser = parse_number(0_u16..=65_535))]
    port: u16,
    /// How many http_servers
    #[arg(long, env = "THROUGHLINE_SERVERS", value_name = "NUMBER", default_value_t = 2, value_parser = parse_number(1_u16..=32))]
    servers: u16,
    /// How many caches; with several and no --redis-url, what one has stored may outlive a write through another, by its
    /// max-age at most
    #[arg(long, env = "THROUGHLINE_CACHES", value_name = "NUMBER", default_value_t = 1, value_parser = parse_number(1_u16..=32))]
    caches: u16,
    /// How many workers; 0 leaves tasks waiting. They deliver webhooks to addresses of this machine and its network, too
    #[arg(long, env = "THROUGHLINE_WORKERS", value_name = "NUMBER", default_value_t = 1, value_parser = parse_number(0_u16..=32))]
    workers: u16,
    /// Where the database, the Collector's files and the output of the processes are kept; nothing in it is ever
    /// removed
    #[arg(long, env = "THROUGHLINE_DATA_DIR", value_name = "PATH", default_value = "./throughline-data")]
    data_dir: PathBuf,
    /// A database of your own, `postgres://…` [default: SQLite in the data directory]
    #[arg(long, env = "THROUGHLINE_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// A Redis of your own that the caches share, `redis://…` [default: each keeps what it has in its memory]
    #[arg(long, env = "THROUGHLINE_REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis_url: Option<String>,
    /// A Collector of your own [default: the embedded one, which writes files into the data directory]
    #[arg(long, env = "THROUGHLINE_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    otlp_endpoint: Option<String>,
    /// Tell events as JSON, one object a line: ready, story, exited, restarted, stopped
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let tell = Tell::new(settings.json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.context("cannot start a runtime").and_then(|runtime| {
        let outcome = runtime.block_on(up(&settings, &tell));
        // A story still being waited for must not hold up the exit.
        runtime.shutdown_background();
        outcome
    });
    outcome.unwrap_or_else(|error| {
        tell.failed(&error);
        match error.downcast_ref::<GivenUp>() {
            Some(given_up) if given_up.usage => ExitCode::from(crate::USAGE),
            _ => ExitCode::FAILURE,
        }
    })
}

async fn up(settings: &Settings, tell: &Tell) -> anyhow::Result<ExitCode> {
    let mut requests = Requests::new(false).context("cannot listen for signals")?;
    let directory = Directory::open(&settings.data_dir)?;
    plan::port_is_free(settings.port)?;
    let mut system = System::new(&directory, tell);
    let outcome = tokio::select! {
        outcome = start(settings, &directory, &mut system, tell) => outcome,
        _asked = requests.next() => Ok(()),
    };
    tokio::select! {
        () = system.stop() => {}
        asked = requests.next() => {
            system.kill().await;
            return Ok(ExitCode::from(asked.exit_code()));
        }
    }
    outcome?;
    tell.stopped();
    Ok(ExitCode::SUCCESS)
}

/// Returns only when the system cannot be started.
async fn start(
    settings: &Settings,
    directory: &Directory,
    system: &mut System<'_>,
    tell: &Tell,
) -> anyhow::Result<()> {
    let otlp_endpoint = match &settings.otlp_endpoint {
        Some(endpoint) => endpoint.clone(),
        None => {
            let addresses = system.start(vec![plan::collector(&directory.telemetry())]).await?;
            format!("http://{}", addresses[0])
        }
    };
    let database_url = settings.database_url.clone().unwrap_or_else(|| directory.database_url());
    // The workers beside them, in starting and in stopping: a task that is left waits in the database for the next start.
    let mut behind = plan::http_servers(settings.servers, &database_url, &otlp_endpoint);
    behind.extend(plan::workers(settings.workers, &database_url, &otlp_endpoint));
    let servers = system.start(behind).await?;
    let caches = system
        .start(plan::caches(settings.caches, &servers, &otlp_endpoint, settings.redis_url.as_deref()))
        .await?;
    let shared = settings.redis_url.is_some();
    let edge = plan::load_balancer(settings.port, &caches, &otlp_endpoint, shared);
    let edge = system.start(vec![edge]).await?[0];
    tell.ready(edge, directory, &system.ready().await?);

    let files = settings.otlp_endpoint.is_none().then(|| directory.telemetry());
    // In a database that is somebody's own nothing is written that nobody has asked for.
    let books = settings.database_url.is_none();
    match first::request(edge, books, settings.workers > 0, files.clone()).await {
        Ok(first) => {
            // Before it is told: who reads the story finds everything as it was.
            let removed = first.remove(edge).await;
            tell.first(&first);
            removed.unwrap_or_else(|error| tell.failed(&error));
        }
        // The system runs: what keeps this one request from its answer is for whoever asks next to see.
        Err(error) => tell.failed(&error),
    }
    tell.what_next(edge, directory, files.as_deref());
    pending().await
}
