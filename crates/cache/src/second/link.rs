//! The connections to Redis, and what is asked over them.
//!
//! Promises: whatever is asked has an answer or an error within its time; the first error opens the
//! [`Breaker`](super::breaker::Breaker), and from then on nothing is asked until [`keep`] has found Redis well again
//! over new connections and has dropped there what could not be dropped meanwhile.

use std::{
    error::Error as _,
    sync::{Arc, PoisonError, RwLock},
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

/// What came of asking.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Redis is left alone at present.
    #[error("Redis is left alone since it failed")]
    LeftAlone,
    /// No answer in time.
    #[error("Redis has not answered within {0:?}")]
    TooSlow(Duration),
    /// It is back at a state from before an invalidation that was seen.
    #[error("Redis is back at an older state")]
    Older,
    /// It answered what our scripts never return.
    #[error("Redis has answered what was not asked")]
    Strange,
    /// It could not be reached, or refused.
    #[error("Redis failed")]
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
}

/// Two, so that no request waits behind an answer that is being stored.
#[derive(Debug)]
pub(super) struct Links {
    client: Client,
    current: RwLock<Option<[ConnectionManager; 2]>>,
}

/// Which of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Look,
    Fill,
}

impl Links {
    pub(super) fn new(settings: &Settings) -> Result<Links, &'static str> {
        let client = Client::open(settings.url.as_str())
            .map_err(|_it_may_show_the_password| "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS")?;
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

    pub(super) fn link(&self, way: Way) -> Option<ConnectionManager> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|links| links[way as usize].clone())
    }

    /// New connections, in place of those that may hang.
    async fn connect(&self) -> Result<(), RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(PIPELINE);
        let new = || ConnectionManager::new_with_config(self.client.clone(), config.clone());
        let links = [new().await?, new().await?];
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(links);
        Ok(())
    }
}

impl Second {
    /// Runs a script, unless Redis is left alone; an error leaves it alone from now on.
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
        let asked = self.run(name, (way, within), script, fill_in).await;
        if let Err(failed) = &asked {
            // It is full, which says nothing of what it holds.
            if failed.code() == Some("OOM") {
                self.observer.full();
            } else {
                self.leave_alone(failed, Message::default());
            }
        }
        asked
    }

    /// Runs a script whether Redis is left alone or not.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        name: &'static str,
        (way, within): (Way, Duration),
        script: &Script,
        fill_in: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T, Failed> {
        let Some(mut link) = self.links.link(way) else { return Err(Failed::LeftAlone) };
        let mut invocation = script.prepare_invoke();
        fill_in(&mut invocation);
        let command = self.observer.command(name);
        let outcome = match timeout(within, invocation.invoke_async(&mut link)).await {
            Ok(outcome) => outcome.map_err(Failed::Redis),
            Err(_elapsed) => Err(Failed::TooSlow(within)),
        };
        command.ended(&outcome);
        outcome
    }

    /// From now on nobody waits for Redis, until it is found well again and `undelivered` is dropped there.
    pub(super) fn leave_alone(&self, failed: &Failed, undelivered: Message) {
        let opened = {
            let mut state = self.state();
            state.undelivered = std::mem::take(&mut state.undelivered).and(undelivered);
            state.breaker.failed()
        };
        if opened {
            let cause = failed.source().map(ToString::to_string);
            tracing::warn!(error.type = failed.kind(), exception.message = cause.as_deref().unwrap_or_default(),
                "Redis is left alone: {failed}");
            self.failed.notify_one();
        }
    }

    /// New connections that answer, and nothing wrong behind them.
    async fn probe(&self) -> Result<(), Failed> {
        self.links.connect().await.map_err(Failed::Redis)?;
        let patience = (Way::Look, self.settings.budget);
        let key = format!("{}:1:e:", self.settings.namespace);
        let look = self.run::<Value>("look", patience, &self.scripts.look, |script| {
            script
                .key(key)
                .key(self.number_key())
                .arg("")
                .arg("")
                .arg(self.group_keys())
                .arg("")
                .arg("")
                .arg(0);
        });
        look.await?;
        loop {
            let undelivered = {
                let mut state = self.state();
                let undelivered = std::mem::take(&mut state.undelivered);
                if undelivered.is_empty() {
                    state.breaker.probe_succeeded();
                    return Ok(());
                }
                undelivered
            };
            if let Err(failed) = self.drop_there(&undelivered, PATIENCE).await {
                let mut state = self.state();
                state.undelivered = std::mem::take(&mut state.undelivered).and(undelivered);
                return Err(failed);
            }
        }
    }
}

/// Probes Redis whenever it is left alone, for as long as the process lives.
pub(super) async fn keep(second: Arc<Second>) {
    let mut known = false;
    loop {
        let pause = second.state().breaker.pause(fastrand::f64());
        let Some(pause) = pause else {
            second.failed.notified().await;
            continue;
        };
        sleep(pause).await;
        match second.probe().await {
            Ok(()) => tracing::info!("Redis is used"),
            Err(failed) => {
                second.state().breaker.probe_failed();
                // Later ones are no news.
                if !known {
                    let cause = failed.source().map(ToString::to_string);
                    tracing::warn!(error.type = failed.kind(), exception.message = cause.as_deref().unwrap_or_default(),
                        "Redis cannot be used: {failed}");
                }
            }
        }
        known = true;
    }
}
