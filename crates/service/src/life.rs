//! The life of a process: [`run`] tells it from the first line to the exit code.

use std::{convert::Infallible, io::Write, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::Body;
use hyper::{Request, Response, body::Incoming};
use tokio::{runtime, time::timeout};

use crate::{
    Draining, Limits, Settings, admin,
    admin::{Admin, Condition, Operation, Readiness},
    http::{Listener, Serving},
    open_files,
    stop::{Asked, Requests},
};

/// What was asked for cannot be (`EX_USAGE` of sysexits).
const USAGE: u8 = 64;

/// How long telemetry may take to send what it still holds.
const FLUSH: Duration = Duration::from_secs(5);

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

impl Error {
    fn start(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Start { doing, source: source.into() }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Error::Usage { .. } => USAGE,
            Error::Start { .. } => 1,
        }
    }
}

/// Handed to a program's `open`: where it says what it serves.
pub struct Life {
    runtime: runtime::Handle,
    draining: Draining,
    listeners: Vec<Listener>,
    conditions: Vec<Condition>,
    operations: Vec<Operation>,
    after_drain: Vec<AfterDrain>,
}

type AfterDrain = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

impl Life {
    /// Binds `listen` exclusively and, once `open` has returned, serves HTTP on it with one service a thread.
    /// Returns the address chosen (port 0). `h2`: also HTTP/2 without TLS (gRPC).
    pub fn serve<M, S, R>(
        &mut self,
        listen: SocketAddr,
        limits: Limits,
        h2: bool,
        make: M,
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
        let listener = Listener::bind(listen, limits, h2, self.draining.clone(), make)
            .map_err(Error::start(format!("listen on `{listen}`")))?;
        let address = listener.address();
        self.listeners.push(listener);
        Ok(address)
    }

    /// A condition of `/readyz`: an error's text is what it says is missing. Asked at each call; must be quick.
    pub fn ready_when(
        &mut self,
        what: &'static str,
        check: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) {
        self.conditions.push(Condition { what, check: Box::new(check) });
    }

    /// Something that an operator may have done, by POST to `path` of the admin address and from this machine only.
    /// It is given the request's body, 64 KiB at most; its text is the answer, 200 or 400.
    pub fn operate(
        &mut self,
        path: &'static str,
        run: impl Fn(Bytes) -> BoxFuture<'static, Result<String, String>> + Send + Sync + 'static,
    ) {
        self.operations.push(Operation { path, run: Box::new(run) });
    }

    /// Runs in the background on the control runtime, until the exit.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Tells when the process has been asked to stop.
    pub fn draining(&self) -> Draining {
        self.draining.clone()
    }

    /// Runs after the last request has ended and before telemetry is flushed (close files and pools).
    pub fn after_drain(&mut self, end: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static) {
        self.after_drain.push(Box::new(end));
    }
}

/// Runs a process: `open` binds listeners and starts background work; the rest happens here.
pub fn run(
    identity: Identity,
    settings: Settings,
    open: impl AsyncFnOnce(&mut Life) -> Result<(), Error>,
) -> ExitCode {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(identity, &Error::start("start a runtime")(error)),
    };
    let code = runtime.block_on(async {
        let mut requests = match Requests::new(settings.supervised) {
            Ok(requests) => requests,
            Err(error) => return fail(identity, &Error::start("listen for signals")(error)),
        };
        let draining = Draining::default();
        tokio::select! {
            code = from_start_to_end(identity, settings, open, draining.clone()) => code,
            asked = second_request(&mut requests, &draining) => at_once(identity, asked),
        }
    });
    // Not a plain drop: that waits for blocking calls, however long they take.
    runtime.shutdown_background();
    code
}

async fn from_start_to_end(
    identity: Identity,
    settings: Settings,
    open: impl AsyncFnOnce(&mut Life) -> Result<(), Error>,
    draining: Draining,
) -> ExitCode {
    let telemetry = match telemetry::start(telemetry_settings(identity, &settings)) {
        Ok(telemetry) => telemetry,
        Err(error) => return refuse(identity, &error, USAGE),
    };
    open_files::raise_limit();
    let code = match serve_and_drain(&settings, open, draining).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot start");
            fail(identity, &error)
        }
    };
    telemetry.stop(FLUSH).await;
    code
}

async fn serve_and_drain(
    settings: &Settings,
    open: impl AsyncFnOnce(&mut Life) -> Result<(), Error>,
    draining: Draining,
) -> Result<(), Error> {
    let mut life = Life {
        runtime: runtime::Handle::current(),
        draining: draining.clone(),
        listeners: Vec::new(),
        conditions: Vec::new(),
        operations: Vec::new(),
        after_drain: Vec::new(),
    };
    tokio::select! {
        opened = open(&mut life) => opened?,
        // Nothing is served yet: there is nothing to drain.
        () = draining.begun() => return Ok(()),
    }
    let Life { listeners, conditions, operations, after_drain, .. } = life;
    let admin = admin::bind(settings.admin_listen)
        .map_err(Error::start(format!("listen on `{}` (--admin-listen)", settings.admin_listen)))?;
    let admin_address = admin.local_addr().map_err(Error::start("read the admin address"))?;
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address().to_string()).collect();
    // A worker serves nothing but its admin address.
    let threads = if listeners.is_empty() { 0 } else { settings.threads() };
    let mut serving = Serving::start(listeners, threads, &draining)
        .await
        .map_err(Error::start("start the threads that serve"))?;
    let readiness = Readiness { conditions, draining: draining.clone() };
    tokio::spawn(admin::serve(admin, Arc::new(Admin { readiness, operations })));
    tracing::info!(address = addresses.join(","), admin = %admin_address, "listening");

    draining.begun().await;
    if timeout(settings.drain_timeout, serving.drained()).await.is_err() {
        let connections = serving.open_connections() as i64;
        tracing::warn!(connections, "drain timeout: connections still open are cut");
    }
    serving.stop().await;
    for end in after_drain {
        end().await;
    }
    Ok(())
}

/// The first request begins the draining, the second one is returned.
async fn second_request(requests: &mut Requests, draining: &Draining) -> Asked {
    let first = requests.next().await;
    tracing::info!(asked_by = first.by(), "draining");
    draining.begin();
    requests.next().await
}

fn telemetry_settings(identity: Identity, settings: &Settings) -> telemetry::Settings {
    telemetry::Settings {
        service: identity.service,
        version: env!("CARGO_PKG_VERSION"),
        instance: settings.instance.clone(),
        otlp_endpoint: settings.otlp_endpoint.clone(),
        export: identity.exports,
    }
}

fn fail(identity: Identity, error: &Error) -> ExitCode {
    refuse(identity, error, error.exit_code())
}

/// Prints the error with its causes, once, for whoever started the process.
fn refuse(identity: Identity, error: &dyn std::error::Error, code: u8) -> ExitCode {
    let mut text = format!("{}: {error}", identity.service);
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    print(&text);
    ExitCode::from(code)
}

fn at_once(identity: Identity, asked: Asked) -> ExitCode {
    print(&format!("{}: ended at once, asked a second time by {}", identity.service, asked.by()));
    ExitCode::from(asked.exit_code())
}

fn print(line: &str) {
    // Where nobody reads standard error, the exit code must do.
    let _ = writeln!(std::io::stderr(), "{line}");
}
