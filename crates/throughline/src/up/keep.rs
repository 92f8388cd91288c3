//! A child kept running: said when it dies, started again on the same addresses, the faster it dies the later.
//!
//! A child that never came so far as to serve is given up after a few tries: then something is wrong that trying does
//! not cure, and its own words tell what.

use std::{process::ExitStatus, sync::Arc, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep},
};

use super::{
    child::{Addresses, Child},
    directory::Directory,
    plan::Plan,
    tell::Tell,
};
use crate::ready::until_ready;

/// How often a child that was never ready is started.
const TRIES: u32 = 3;

/// What was typed cannot be: trying again does not help.
const USAGE: i32 = crate::USAGE as i32;

/// A child that was ready for this long has not died quickly.
const STEADY: Duration = Duration::from_secs(10);

/// A child as long as `up` wants it.
pub(super) struct Keeper {
    pub(super) plan: Plan,
    pub(super) directory: Directory,
    pub(super) tell: Tell,
    pub(super) state: watch::Sender<State>,
}

/// How far a child has come.
#[derive(Clone, Debug)]
pub(super) enum State {
    Starting,
    Listening(Running),
    Ready(Running),
    Failed(GivenUp),
}

/// Why a child is not tried any more.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct GivenUp {
    /// A sentence.
    why: Arc<str>,
    /// A setting that was passed on to it is wrong, and so is the one of `up` that it came from.
    pub(super) usage: bool,
}

/// A child that listens.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) service: &'static str,
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) addresses: Addresses,
}

/// One life of a child.
struct Life {
    status: ExitStatus,
    ready_for: Option<Duration>,
}

impl Keeper {
    /// Returns when the child has drained after `stop`, or is given up.
    pub(super) async fn run(self, mut stop: oneshot::Receiver<()>) {
        let (mut addresses, mut ever_ready, mut quick_deaths) = (None, false, 0);
        loop {
            let mut child = match Child::start(&self.plan, &self.directory, addresses.as_ref()) {
                Ok(child) => child,
                Err(error) => return self.give_up(format!("{error:#}"), false),
            };
            let life = tokio::select! {
                life = self.live(&mut child, &mut addresses, ever_ready) => life,
                // The sender going away means the same.
                _ = &mut stop => return self.end(child).await,
            };
            ever_ready |= life.ready_for.is_some();
            quick_deaths = if life.ready_for >= Some(STEADY) { 1 } else { quick_deaths + 1 };
            if ever_ready {
                self.tell.exited(&self.plan.name(), child.pid, life.status, &self.log());
            } else {
                let usage = life.status.code() == Some(USAGE);
                if usage || quick_deaths == TRIES {
                    return self.give_up(self.why_not(&child, life.status), usage);
                }
            }
            tokio::select! {
                () = sleep(pause(quick_deaths)) => {}
                _ = &mut stop => return,
            }
        }
    }

    async fn live(&self, child: &mut Child, addresses: &mut Option<Addresses>, restarted: bool) -> Life {
        let found = match child.listening().await {
            Ok(found) => found,
            Err(status) => return Life { status, ready_for: None },
        };
        let running = Running {
            service: self.plan.service,
            name: self.plan.name(),
            pid: child.pid,
            addresses: found.clone(),
        };
        let admin = found.admin.to_string();
        *addresses = Some(found);
        self.state.send_replace(State::Listening(running.clone()));
        tokio::select! {
            status = child.ended() => return Life { status, ready_for: None },
            () = ready(&admin) => {}
        }
        let since = Instant::now();
        if restarted {
            self.tell.restarted(&running);
        }
        self.state.send_replace(State::Ready(running));
        Life { status: child.ended().await, ready_for: Some(since.elapsed()) }
    }

    async fn end(&self, child: Child) {
        let pid = child.pid;
        if !child.drain().await {
            self.tell.killed(&self.plan.name(), pid);
        }
    }

    fn give_up(&self, why: String, usage: bool) {
        self.state.send_replace(State::Failed(GivenUp { why: why.into(), usage }));
    }

    fn why_not(&self, child: &Child, status: ExitStatus) -> String {
        let said = child
            .last_words()
            .map_or_else(|| "it said nothing".to_owned(), |words| format!("it said “{words}”"));
        format!(
            "{} ended ({status}) before it could serve: {said} (all of it: {})",
            self.plan.name(),
            self.log()
        )
    }

    fn log(&self) -> String {
        self.directory.log(&self.plan.name()).display().to_string()
    }
}

/// However long it takes: the child's end is waited for beside this.
async fn ready(admin: &str) {
    while until_ready(admin, STEADY).await.is_err() {}
}

/// How long to wait after so many quick deaths in a row: from 50 ms, doubling, to 5 s.
fn pause(quick_deaths: u32) -> Duration {
    Duration::from_millis(50).saturating_mul(1 << (quick_deaths.clamp(1, 8) - 1)).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_and_has_an_end() {
        let pauses = [1, 2, 3, 7, 8, 9, u32::MAX].map(|deaths| pause(deaths).as_millis());
        assert_eq!(pauses, [50, 100, 200, 3200, 5000, 5000, 5000]);
    }
}
