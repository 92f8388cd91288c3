//! The embedded collector: receives OTLP and writes it to the files that the tools read, in the shapes of the
//! OpenTelemetry Collector's own files. It stands in for the Collector where nothing is installed.
//!
//! `traces.jsonl` and `metrics.jsonl` hold OTLP/JSON, one export request a line; `logs.jsonl` one flat line a record.
//!
//! Promises: an export is answered after its lines are written, so that what was acknowledged survives the death of
//! this process; what cannot be written is refused so that the sender comes again; secrets are blanked first.
//! Refuses: queues, batches, other exporters, pipelines to configure; and it never exports its own telemetry, nor
//! makes spans of the requests that bring it.

use std::{
    net::SocketAddr, num::NonZeroU32, path::PathBuf, process::ExitCode, sync::Arc, sync::mpsc, time::Duration,
};

/// The directory, its lock and its files.
mod directory;
/// A file of whole lines.
mod file;
/// The indexes beside the files.
mod index;
/// When a file is put away, and how long it is kept.
mod rotate;

/// What came in and what was written.
mod counts;
/// OTLP/gRPC.
mod otlp_grpc;
/// OTLP/HTTP.
mod otlp_http;
/// From a decoded request to its lines in a file.
mod receiver;
/// Serving both protocols.
mod routes;
/// Traces, logs and metrics: what each does differently.
mod signal;

/// OTLP/JSON in.
mod from_json;
/// The lengths of ids.
mod ids;
/// JSON into bytes.
mod json;

/// Flat log lines.
mod line;
/// Why a request cannot be read.
mod malformed;
/// OTLP/JSON out.
mod otlp_json;
/// What anybody may send.
#[cfg(test)]
mod properties;
/// Blanking secrets.
mod redact;
/// Requests with everything in them.
#[cfg(test)]
mod samples;

pub use redact::{BLOCKED_KEY_PATTERNS, BLOCKED_VALUES};

use clap::ArgAction;
use directory::Directory;
use index::Keeper;
use receiver::Receiver;
use rotate::{Keep, Rotation};
use service::{Limits, LimitsLayer};
use tower::Layer as _;

/// What can be told to this program, as flags or environment.
#[derive(Clone, Debug, clap::Args)]
#[command(mut_arg("max_body_bytes", |argument| argument
    .default_value("16777216")
    .help("Largest message in bytes, also when decompressed")))]
pub struct Settings {
    /// Address of OTLP/gRPC; port 0 lets the system choose. Both addresses take both protocols
    #[arg(long, env = "THROUGHLINE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:4317", value_parser = service::parse_address)]
    pub listen: SocketAddr,
    /// Address of OTLP/HTTP
    #[arg(long, env = "THROUGHLINE_HTTP_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:4318", value_parser = service::parse_address)]
    pub http_listen: SocketAddr,
    /// Directory of traces.jsonl, logs.jsonl and metrics.jsonl; made where it is missing
    #[arg(long, env = "THROUGHLINE_DIRECTORY", value_name = "PATH", default_value = "./telemetry")]
    pub directory: PathBuf,
    /// A file that would grow larger than this is put away under a name with its time
    #[arg(long, env = "THROUGHLINE_ROTATE_BYTES", value_name = "BYTES", default_value_t = 100 << 20,
          value_parser = service::parse_number(1_u64..=1 << 40))]
    pub rotate_bytes: u64,
    /// How many files that were put away to keep, of each kind [default: all]
    #[arg(long, env = "THROUGHLINE_KEEP_FILES", value_name = "NUMBER")]
    pub keep_files: Option<NonZeroU32>,
    /// For how long to keep files that were put away [default: for ever]
    #[arg(long, env = "THROUGHLINE_KEEP_FOR", value_name = "DURATION", value_parser = service::parse_duration)]
    pub keep_for: Option<Duration>,
    /// Whether to keep an index beside each file of traces and logs of 4 MiB or more, about a hundredth of its
    /// size, by which `throughline trace` and `logs` find one request at once
    #[arg(long, env = "THROUGHLINE_INDEX", value_name = "true|false", default_value_t = true, action = ArgAction::Set)]
    pub index: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its text would become the help of the command")]
    pub limits: Limits,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its text would become the help of the command")]
    pub service: service::Settings,
}

impl Settings {
    fn rotation(&self) -> Rotation {
        Rotation { bytes: self.rotate_bytes, keep: Keep { files: self.keep_files, age: self.keep_for } }
    }
}

/// Runs the process to its end.
pub fn run(settings: Settings) -> ExitCode {
    let identity = service::Identity { service: "collector", exports: false };
    let common = settings.service.clone();
    service::run(identity, common, async |life| open(settings, life))
}

fn open(settings: Settings, life: &mut service::Life) -> Result<(), service::Error> {
    let (telling, told) = mpsc::channel();
    let listening = settings.index.then_some(&telling);
    let directory =
        Directory::open(&settings.directory, settings.rotation(), listening).map_err(|error| {
            let doing = format!("open the directory `{}`", settings.directory.display());
            service::Error::Start { doing, source: error.into() }
        })?;
    let keeper = settings.index.then(|| Keeper::start(&settings.directory, telling, told)).transpose();
    let keeper = keeper.map_err(|error| service::Error::Start {
        doing: "start the thread that keeps indexes up".to_owned(),
        source: error.into(),
    })?;
    let largest = usize::try_from(settings.limits.max_body_bytes).unwrap_or(usize::MAX);
    let receiver = Arc::new(Receiver::new(directory, largest));
    // How large a message may be is the protocols' affair, which have their own words for it.
    let limits = LimitsLayer::new(Limits { max_body_bytes: u64::MAX, ..settings.limits.clone() });
    for listen in [settings.listen, settings.http_listen] {
        let service = limits.layer(routes::routes(receiver.clone()));
        life.serve(listen, settings.limits.clone(), true, move |_thread| service.clone())?;
    }
    let readable = receiver.clone();
    life.ready_when("directory", move || {
        let writable = readable.directory.check_writable();
        Box::pin(std::future::ready(writable))
    });
    life.after_drain(move || {
        receiver.counts.tell();
        Box::pin(async move {
            if let Some(keeper) = keeper {
                keeper.end().await;
            }
        })
    });
    Ok(())
}
