//! All children together: each layer is started when the one behind it listens, and stopped before it.

use std::{net::SocketAddr, time::Duration};

use anyhow::bail;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    directory::Directory,
    keep::{Keeper, Running, State},
    plan::Plan,
    tell::Tell,
};
use crate::ready::until_ready;

/// How long a child may take until it listens, and then all of them until they can serve.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct System<'a> {
    directory: &'a Directory,
    tell: &'a Tell,
    /// From the collector to the edge.
    layers: Vec<Layer>,
}

#[derive(Default)]
struct Layer {
    states: Vec<watch::Receiver<State>>,
    stops: Vec<oneshot::Sender<()>>,
    keepers: JoinSet<()>,
}

impl<'a> System<'a> {
    pub(super) fn new(directory: &'a Directory, tell: &'a Tell) -> Self {
        Self { directory, tell, layers: Vec::new() }
    }

    /// Starts a layer, all of it at the same time, and returns the first address of each process that serves.
    pub(super) async fn start(&mut self, plans: Vec<Plan>) -> anyhow::Result<Vec<SocketAddr>> {
        let mut layer = Layer::default();
        for plan in plans {
            let (state, states) = watch::channel(State::Starting);
            let (stop, stopped) = oneshot::channel();
            let keeper = Keeper { plan, directory: self.directory.clone(), tell: self.tell.clone(), state };
            layer.keepers.spawn(keeper.run(stopped));
            layer.states.push(states);
            layer.stops.push(stop);
        }
        let states = layer.states.clone();
        // Kept before anything can fail: whatever was started is stopped.
        self.layers.push(layer);
        let mut addresses = Vec::new();
        for state in states {
            addresses.extend(reached(state, false).await?.addresses.listens.first());
        }
        Ok(addresses)
    }

    /// Waits until every child can serve.
    pub(super) async fn ready(&self) -> anyhow::Result<Vec<Running>> {
        let mut running = Vec::new();
        for state in self.layers.iter().rev().flat_map(|layer| &layer.states) {
            running.push(reached(state.clone(), true).await?);
        }
        Ok(running)
    }

    /// Lets every child drain: the edge first, the collector last, so that it gets what the others still have to tell.
    pub(super) async fn stop(&mut self) {
        while let Some(layer) = self.layers.last_mut() {
            layer.stops.clear();
            while layer.keepers.join_next().await.is_some() {}
            self.layers.pop();
        }
    }

    /// Ends every child at once.
    pub(super) async fn kill(&mut self) {
        for mut layer in self.layers.drain(..) {
            layer.keepers.shutdown().await;
        }
    }
}

/// Waits until a child listens, or can serve.
async fn reached(mut state: watch::Receiver<State>, ready: bool) -> anyhow::Result<Running> {
    let far_enough = |state: &State| match state {
        State::Starting => false,
        State::Listening(_) => !ready,
        State::Ready(_) | State::Failed(_) => true,
    };
    let waited = timeout(PATIENCE, state.wait_for(far_enough)).await;
    // A keeper that is gone has said why in its last state; a time that is over leaves the state as it is.
    drop(waited);
    let last = state.borrow().clone();
    match last {
        State::Failed(given_up) => Err(given_up.into()),
        State::Ready(running) => Ok(running),
        State::Listening(running) if !ready => Ok(running),
        State::Listening(running) => {
            let missing = until_ready(&running.addresses.admin.to_string(), Duration::ZERO).await;
            let why =
                missing.map_or_else(|error| format!("{error:#}"), |()| "it became so just now".to_owned());
            bail!("{} cannot serve after {} s: {why}", running.name, PATIENCE.as_secs())
        }
        State::Starting => bail!("a process does not listen after {} s", PATIENCE.as_secs()),
    }
}
