//! Whether the process has been asked to stop, and who may ask: SIGTERM, SIGINT, and for a supervised process the
//! closing of its standard input.
//!
//! The first request begins the draining, a second one ends the process at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

/// Whether the process is draining; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<State>);

#[derive(Debug, Default)]
struct State {
    begun: AtomicBool,
    changed: Notify,
}

impl Draining {
    /// Returns once draining has begun.
    pub async fn begun(&self) {
        let mut changed = std::pin::pin!(self.0.changed.notified());
        // Registered before the flag is read: a beginning between the two is not missed.
        changed.as_mut().enable();
        if !self.is_draining() {
            changed.await;
        }
    }

    /// Whether it has.
    pub fn is_draining(&self) -> bool {
        self.0.begun.load(Ordering::Acquire)
    }

    pub(crate) fn begin(&self) {
        self.0.begun.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

/// Who asked the process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// The standard input of a supervised process has ended.
    SupervisorGone,
}

impl Asked {
    /// For a sentence.
    pub fn by(self) -> &'static str {
        match self {
            Asked::Terminate => "SIGTERM",
            Asked::Interrupt => "SIGINT",
            Asked::SupervisorGone => "the end of standard input",
        }
    }

    /// As a shell reports a process that this signal has ended.
    pub fn exit_code(self) -> u8 {
        match self {
            Asked::Interrupt => 128 + 2,
            Asked::Terminate | Asked::SupervisorGone => 128 + 15,
        }
    }
}

/// Listens for requests to stop; from its making on, signals no longer end the process by themselves.
#[derive(Debug)]
pub struct Requests {
    terminate: Signal,
    interrupt: Signal,
    /// Ready once, when standard input has ended; pending for ever where nobody supervises.
    supervisor: Option<tokio::sync::oneshot::Receiver<()>>,
}

impl Requests {
    /// Must be called on a Tokio runtime.
    pub fn new(supervised: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            supervisor: supervised.then(watch_standard_input).transpose()?,
        })
    }

    /// Waits for the next request.
    pub async fn next(&mut self) -> Asked {
        let supervisor = async {
            match self.supervisor.as_mut() {
                // An error means that the watching thread is gone, and with it the standard input.
                Some(end) => _ = end.await,
                None => std::future::pending().await,
            }
        };
        let asked = tokio::select! {
            Some(()) = self.terminate.recv() => Asked::Terminate,
            Some(()) = self.interrupt.recv() => Asked::Interrupt,
            () = supervisor => Asked::SupervisorGone,
        };
        if asked == Asked::SupervisorGone {
            self.supervisor = None;
        }
        asked
    }
}

/// A thread of its own, because reading a pipe or terminal by Tokio's blocking pool would hold up the exit.
fn watch_standard_input() -> io::Result<tokio::sync::oneshot::Receiver<()>> {
    let (tell, end) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("supervisor".into()).spawn(move || {
        // An unreadable standard input is as good as a closed one: nobody supervises by it.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        // The receiver goes away only when the process ends.
        let _ = tell.send(());
    })?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_and_whoever_comes_late_as_well() {
        let draining = Draining::default();
        let waits = tokio::spawn({
            let draining = draining.clone();
            async move { draining.begun().await }
        });
        tokio::task::yield_now().await;
        assert!(!draining.is_draining());
        draining.begin();
        waits.await.unwrap();
        draining.begun().await;
        assert!(draining.is_draining());
    }
}
