//! The worker: runs the tasks that requests have left in the database.
//!
//! Promises: every task that is due is run, at least once, by one worker at a time, as long as the workers' clocks agree to
//! within a lease; one that fails runs again later, and one
//! that fails for good is dead and says why; no task stops another. Refuses: deciding who may have a task (the database
//! does), and any telemetry in the function that runs one: it is around it.

/// What this program can be told.
mod settings;

/// `deliver_webhook`.
mod deliver;
/// One run of one task, whatever its kind.
mod run;
/// One request to a receiver.
mod send;

/// Which addresses are public.
mod address;
/// What a receiver's answer means.
mod judge;
/// What becomes of a task whose run failed.
mod outcome;
/// How long a receiver wants to be left alone.
mod retry_after;
/// The signature of a delivery.
mod signature;

/// Places shared among receivers.
mod fair;
/// The leases of the runs in progress.
mod held;
/// The runs in progress.
mod running;
/// Removing tasks that ended long ago.
mod sweep;
/// Spans, lines and metrics of a run.
mod telling;
/// The loop: claim, run, end.
mod work;

/// The whole worker, in memory, on real databases and with real receivers.
#[cfg(test)]
mod tests;

use std::{process::ExitCode, time::Duration};

use futures_util::FutureExt as _;
use service::Life;
use store::{OpenError, Store};
use tokio::sync::oneshot;

pub use settings::Settings;

use crate::{deliver::Deliver, work::Worker};

const NAME: &str = "worker";

/// How long `/readyz` waits for the database.
const PING: Duration = Duration::from_millis(500);

/// Runs the process to its end.
pub fn run(mut settings: Settings) -> ExitCode {
    let identity = service::Identity { service: NAME, exports: true };
    // Its leases carry the name of the instance, whoever chose it.
    let instance = settings.service.instance.take().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    settings.service.instance = Some(instance.clone());
    let common = settings.service.clone();
    service::run(identity, common, async |life| open(settings, instance, life).await)
}

async fn open(settings: Settings, holder: String, life: &mut Life) -> Result<(), service::Error> {
    let store = Store::open(&settings.database_url, &settings.store()).await.map_err(refused)?;

    let asked = store.clone();
    life.ready_when("database", move || {
        let store = asked.clone();
        async move { store.ping(PING).await.map_err(|error| error.to_string()) }.boxed()
    });
    life.spawn(sweep::finished_tasks(
        store.clone(),
        settings.keep_finished,
        settings.keep_dead,
        life.draining(),
    ));

    let (worker, draining) = (worker(store.clone(), holder, &settings)?, life.draining());
    let (tell_ended, ended) = oneshot::channel::<()>();
    life.spawn(async move {
        let _ended = tell_ended;
        worker.work(draining.begun(), settings.service.drain_timeout).await;
    });
    life.after_drain(move || {
        async move {
            // Nothing is ever sent: the sender is dropped when the loop has ended.
            let _ = ended.await;
            store.close();
        }
        .boxed()
    });
    Ok(())
}

fn worker(store: Store, holder: String, settings: &Settings) -> Result<Worker, service::Error> {
    let deliver = Deliver::new(store.clone(), settings.webhook_timeout, settings.allow_private_addresses);
    let deliver = deliver.map_err(|error| service::Error::Start {
        doing: "make a client for webhooks".into(),
        source: error.into(),
    })?;
    Ok(Worker {
        store,
        holder,
        places: settings.places(),
        lease: settings.lease,
        retries: settings.retries(),
        work: Box::new(move |task| {
            let deliver = deliver.clone();
            async move { run::run(&task, &deliver).await }.boxed()
        }),
    })
}

fn refused(error: OpenError) -> service::Error {
    match error {
        OpenError::Url { given, expected, .. } => {
            service::Error::Usage { setting: "--database-url", value: given, expected: expected.into() }
        }
        error => service::Error::Start { doing: "open the database".into(), source: Box::new(error) },
    }
}
