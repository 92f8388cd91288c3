//! The life of a process.
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use std::{convert::Infallible, net::SocketAddr, process::ExitCode, time::Duration};

/// What every service can be told, flattened into each program's own settings.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address of /healthz, /readyz and what an operator asks; keep it off the public network
    #[arg(long, env = "THROUGHLINE_ADMIN_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub admin_listen: SocketAddr,
    /// Name of this instance [default: a random UUID]
    #[arg(long, env = "THROUGHLINE_INSTANCE", value_name = "NAME")]
    pub instance: Option<String>,
    // … the owner of this crate adds the rest: --otlp-endpoint, --threads, --drain-timeout, the hidden --supervised
}

/// Who the process is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// `load_balancer`, as in `service.name`.
    pub service: &'static str,
    /// False for the embedded collector: its telemetry goes to standard output only.
    pub exports: bool,
}

/// Why a process could not start; printed once, as a chain, by [`run`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for cannot be: exit code 64.
    #[error("`{setting}` is `{value}`, but must be {expected}")]
    Usage {
        #[doc = "The flag."]
        setting: &'static str,
        #[doc = "What it was."]
        value: String,
        #[doc = "The accepted form."]
        expected: String,
    },
    /// What is needed cannot be had: exit code 1. `doing` reads `open the database`.
    #[error("cannot {doing}")]
    Start {
        #[doc = "What was being done."]
        doing: String,
        #[source]
        #[doc = "Why it failed."]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Handed to a program's `open`: where it says what it serves.
pub struct Life(());

impl Life {
    /// Binds `listen` exclusively and, once `open` has returned, serves HTTP on it with one service a thread.
    /// Returns the address chosen (port 0). `h2`: also HTTP/2 without TLS (gRPC).
    pub fn serve<M, S, R>(
        &mut self,
        _listen: SocketAddr,
        _limits: Limits,
        _h2: bool,
        _make: M,
    ) -> Result<SocketAddr, Error>
    where
        M: Fn(usize) -> S + Send + Sync + 'static,
        S: tower_service::Service<Request<Incoming>, Response = Response<R>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        todo!()
    }
    /// A condition of `/readyz`: an error's text is what it says is missing. Asked at each call; must be quick.
    pub fn ready_when(
        &mut self,
        _what: &'static str,
        _check: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) {
        todo!()
    }
    /// Runs in the background on the control runtime, until the exit.
    pub fn spawn(&self, _task: impl Future<Output = ()> + Send + 'static) {
        todo!()
    }
    /// Tells when the process has been asked to stop.
    pub fn draining(&self) -> Draining {
        todo!()
    }
    /// Runs after the last request has ended and before telemetry is flushed (close files and pools).
    pub fn after_drain(&mut self, _end: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static) {
        todo!()
    }
}

/// Whether the process is draining; cheap to clone.
#[derive(Clone, Debug)]
pub struct Draining(());
impl Draining {
    /// Returns once draining has begun.
    pub async fn begun(&self) {
        todo!()
    }
    /// Whether it has.
    pub fn is_draining(&self) -> bool {
        todo!()
    }
}

/// Runs a process: `open` binds listeners and starts background work; the rest happens here.
pub fn run(
    _identity: Identity,
    _settings: Settings,
    _open: impl AsyncFnOnce(&mut Life) -> Result<(), Error>,
) -> ExitCode {
    let _ = Duration::ZERO;
    todo!()
}
use crate::Limits;
