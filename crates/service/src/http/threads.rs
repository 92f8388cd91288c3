//! The threads that serve, each with a runtime of its own, and handing connections to them in turn.

use std::{io, sync::Arc};

use tokio::sync::{mpsc, oneshot};

use super::{Accepted, Endpoint};

/// How long the threads may take to end; one that runs wild does not hold up the exit.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

pub(super) struct Threads {
    senders: Vec<mpsc::UnboundedSender<Accepted>>,
    ended: Vec<oneshot::Receiver<()>>,
}

/// Hands connections to the threads in turn.
#[derive(Clone)]
pub(super) struct HandOver {
    senders: Vec<mpsc::UnboundedSender<Accepted>>,
    next: usize,
}

impl HandOver {
    pub(super) fn give(&mut self, accepted: Accepted) {
        // Bounded by the listener's permits. A thread that has panicked drops the connection; the next one serves.
        _ = self.senders[self.next].send(accepted);
        self.next = (self.next + 1) % self.senders.len();
    }
}

impl Threads {
    /// Returns when every thread has made its services.
    pub(super) async fn start(count: usize, endpoints: &Arc<Vec<Endpoint>>) -> io::Result<Self> {
        let mut threads = Self { senders: Vec::new(), ended: Vec::new() };
        let mut started = Vec::new();
        for index in 0..count {
            let (sender, accepted) = mpsc::unbounded_channel();
            let (tell_started, hear_started) = oneshot::channel();
            let (tell_ended, ended) = oneshot::channel::<()>();
            let endpoints = endpoints.clone();
            std::thread::Builder::new().name(format!("http-{index}")).spawn(move || {
                let _ended = tell_ended;
                serve(index, &endpoints, accepted, tell_started)
            })?;
            threads.senders.push(sender);
            threads.ended.push(ended);
            started.push(hear_started);
        }
        for started in started {
            // A thread that panics tells nothing; its panic has been reported.
            started.await.map_err(|_| io::Error::other("a thread ended before it could serve"))??;
        }
        Ok(threads)
    }

    pub(super) fn hand_over(&self) -> HandOver {
        HandOver { senders: self.senders.clone(), next: 0 }
    }

    /// Ends the threads by dropping the senders, and waits for them, but not for ever.
    pub(super) async fn stop(self) {
        drop(self.senders);
        let all = async {
            for ended in self.ended {
                // Nothing is ever sent: the sender is dropped when the thread ends.
                let _ = ended.await;
            }
        };
        // A thread that is stuck ends with the process.
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }
}

fn serve(
    index: usize,
    endpoints: &[Endpoint],
    mut accepted: mpsc::UnboundedReceiver<Accepted>,
    started: oneshot::Sender<io::Result<()>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // The receiver waits for exactly this.
            let _ = started.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        let serve: Vec<_> = endpoints.iter().map(|endpoint| (endpoint.make)(index)).collect();
        // The receiver waits for exactly this.
        let _ = started.send(Ok(()));
        while let Some(accepted) = accepted.recv().await {
            serve[accepted.listener](accepted);
        }
    });
    // Not a plain drop: that waits for blocking calls, however long they take.
    runtime.shutdown_background();
}
