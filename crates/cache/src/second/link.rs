//! The connections to Redis, and what is asked over them.
//!
//! Promises: whatever is asked has an answer or an error within its time; the first failure opens the
//! [`Breaker`](super::breaker::Breaker), and from then on nothing is asked until [`keep`] has found Redis well again
//! over new connections and has dropped there what could not be dropped meanwhile. What fails late, over connections
//! that were given up, is no failure.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, atomic::Ordering},
    time::Duration,
};

use redis::{
    Client, ConnectionAddr, FromRedisValue, RedisError, Script, ScriptInvocation, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::{sleep, timeout};

use super::{Second, Settings, message::Message, observe::Place};

/// How long making a connection may take, and what nobody waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Commands that may wait to be written.
const PIPELINE: usize = 1024;

/// What an address of Redis looks like.
const FORM: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS";

/// What came of asking.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Redis is left alone at present.
    #[error("Redis is left alone since it failed")]
    LeftAlone,
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    /// It is back at a state from before an invalidation that was seen.
    #[error("it is back at an older state, of which everything is dropped")]
    Older,
    /// It answered what our scripts never return.
    #[error("an answer to what was not asked")]
    Strange,
    /// It could not be reached, or refused.
    #[error("it failed")]
    Redis(#[source] RedisError),
}

impl Failed {
    /// `error.type`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Failed::LeftAlone => "left_alone",
            Failed::TooSlow(_) => "timeout",
            Failed::Older => "older_state",
            Failed::Strange => "strange",
            Failed::Redis(error) if error.is_io_error() => "connection",
            Failed::Redis(_) => "refused",
        }
    }

    /// Redis's own word for it, `OOM`.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Failed::Redis(error) => error.code(),
            Failed::LeftAlone | Failed::TooSlow(_) | Failed::Older | Failed::Strange => None,
        }
    }

    /// What an operator may look at.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Failed::Redis(error) if error.is_io_error() => {
                "Redis is not used: is it running there, and can it be reached? It is tried again until it is"
            }
            Failed::Redis(_) | Failed::Strange => {
                "Redis is not used: is it 7.0 or later and no replica, does --redis-url hold the right user and password, \
                 and may that user run scripts and every command of hashes, strings and streams? It is tried again"
            }
            Failed::LeftAlone | Failed::TooSlow(_) | Failed::Older => "Redis is not used; it is tried again",
        }
    }
}

/// Two, so that no request waits behind an answer that is being stored.
pub(super) struct Links {
    client: Client,
    current: RwLock<Current>,
}

#[derive(Default)]
struct Current {
    /// Counts those that were made.
    generation: u64,
    links: Option<[ConnectionManager; 2]>,
}

/// Which of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Look,
    Fill,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client would show the password.
        write!(f, "Links({})", self.place())
    }
}

impl Links {
    pub(super) fn new(settings: &Settings) -> Result<Links, &'static str> {
        let known = ["redis://", "rediss://"].iter().any(|scheme| settings.url.starts_with(scheme));
        // What is wrong with it may show the password.
        let client = Client::open(settings.url.as_str()).ok().filter(|_| known).ok_or(FORM)?;
        Ok(Links { client, current: RwLock::default() })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Where it is, without what it takes to be let in.
    pub(super) fn place(&self) -> Place {
        let info = self.client.get_connection_info();
        let server = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                (host.clone(), Some(*port))
            }
            other => (other.to_string(), None),
        };
        Place { server, database: info.redis_settings().db() }
    }

    pub(super) fn link(&self, way: Way) -> Option<(u64, ConnectionManager)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let links = current.links.as_ref()?;
        Some((current.generation, links[way as usize].clone()))
    }

    fn is_current(&self, generation: u64) -> bool {
        self.current.read().unwrap_or_else(PoisonError::into_inner).generation == generation
    }

    /// New connections, in place of those that may hang.
    async fn connect(&self) -> Result<(), RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            // Each question has a bound of its own, and none as long as this.
            .set_response_timeout(Some(15 * PATIENCE))
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(PIPELINE);
        let new = || ConnectionManager::new_with_config(self.client.clone(), config.clone());
        let links = Some([new().await?, new().await?]);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Current { generation: current.generation + 1, links };
        Ok(())
    }
}

impl Second {
    /// Runs a script, unless Redis is not used; a failure of what a request waits for leaves it alone from now on.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        name: &'static str,
        (way, within): (Way, Duration),
        script: &Script,
        fill_in: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T, Failed> {
        if !self.is_used() {
            return Err(Failed::LeftAlone);
        }
        let (generation, asked) = self.run(name, (way, within), script, fill_in).await;
        if let Err(failed) = &asked
            && self.links.is_current(generation)
        {
            match (failed, way) {
                // It is full, which says nothing of what it holds.
                (failed, _) if failed.code() == Some("OOM") => self.observer.full(),
                // Large answers over a thin line: nobody waits for them.
                (Failed::TooSlow(_), Way::Fill) => {}
                _ => self.leave_alone(failed),
            }
        }
        asked
    }

    /// Runs a script whether Redis is left alone or not; also says over which generation of connections.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        name: &'static str,
        (way, within): (Way, Duration),
        script: &Script,
        fill_in: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> (u64, Result<T, Failed>) {
        let Some((generation, mut link)) = self.links.link(way) else { return (0, Err(Failed::LeftAlone)) };
        let mut invocation = script.prepare_invoke();
        fill_in(&mut invocation);
        let mut command = self.observer.command(name);
        let outcome = match timeout(within, invocation.invoke_async(&mut link)).await {
            Ok(outcome) => outcome.map_err(Failed::Redis),
            Err(_elapsed) => Err(Failed::TooSlow(within)),
        };
        match &outcome {
            Ok(_) => command.succeeded(),
            Err(failed) => command.failed(failed.kind().into(), failed.code().map(str::to_owned), failed),
        }
        (generation, outcome)
    }

    /// From now on nobody waits for Redis, until it is found well again.
    pub(super) fn leave_alone(&self, failed: &Failed) {
        if self.state().failed() {
            self.observer.not_used(failed);
            self.failed.notify_one();
        }
    }

    /// New connections that answer, and nothing wrong behind them.
    async fn probe(&self) -> Result<(), Failed> {
        self.links.connect().await.map_err(Failed::Redis)?;
        let patience = (Way::Look, self.settings.budget);
        let (key, seen) = (format!("{}:1:e:", self.settings.namespace), self.seen.load(Ordering::SeqCst));
        let (_, looked) = self
            .run::<Value>("look", patience, &self.scripts.look, |script| {
                script.key(key).key(self.number_key()).arg("").arg("").arg(self.group_keys()).arg("").arg("");
                script.arg(0).arg(seen);
            })
            .await;
        looked?;
        let (_, since) = self
            .run::<(u64, Value, Value)>("since", patience, &self.scripts.since, |script| {
                script.key(self.number_key()).key(self.stream_key()).arg("").arg(seen);
            })
            .await;
        let (number, ..) = since?;
        if number < seen {
            self.observer.not_used(&Failed::Older);
            self.state().remember(Message::ALL);
        }
        loop {
            let undelivered = self.state().probe_succeeded();
            let Some(undelivered) = undelivered else { return Ok(()) };
            if let Err(failed) = self.drop_there(&undelivered).await {
                // A prefix that takes for ever would keep it from being used for ever.
                let endless = matches!(failed, Failed::TooSlow(_)) && !undelivered.prefixes.is_empty();
                self.state().remember(if endless { Message::ALL } else { undelivered });
                return Err(failed);
            }
        }
    }
}

/// Probes Redis whenever it is left alone, for as long as the process lives.
pub(super) async fn keep(second: Arc<Second>) {
    loop {
        let pause = second.state().pause(fastrand::f64());
        let Some(pause) = pause else {
            second.failed.notified().await;
            continue;
        };
        sleep(pause).await;
        match second.probe().await {
            Ok(()) => second.observer.used(second.is_used()),
            Err(failed) => {
                second.state().probe_failed();
                second.observer.not_used(&failed);
            }
        }
    }
}
