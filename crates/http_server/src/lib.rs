//! The bookings API: HTTP over a [`store`].
//!
//! Promises: a write that was acknowledged is committed; every refusal says why, under a trace id; what may be cached says so,
//! and everything else must be asked for again. Refuses: deciding what may overlap (the database does), and any
//! telemetry in the functions that answer: it is in the layers around them.

/// Answers as clients see them, with what caches need.
mod answer;
/// Request bodies.
mod body;
/// What can be done with bookings.
mod bookings;
/// Conditional requests.
mod conditions;
/// Which answers caches drop with which write.
mod groups;
/// `Idempotency-Key`.
mod idempotency;
/// The id in a path.
mod ids;
/// The members of a booking as clients write them.
mod members;
/// The query of a list.
mod query;
/// The URL of a webhook's receiver.
mod receiver;
/// Every answer that is not what was asked for.
mod refusal;
/// Paths, methods, functions.
mod routes;
/// What this program can be told.
mod settings;
/// Removing what has expired, in the background.
mod sweep;
/// What can be asked of tasks.
mod tasks;
/// The whole service, called in memory.
#[cfg(test)]
mod tests;
/// How many tasks wait, and for how long, as metrics.
mod waiting;
/// What can be done with webhooks.
mod webhooks;

use std::{process::ExitCode, time::Duration};

use axum::Router;
use futures_util::FutureExt as _;
use service::{Life, Limited, Limits, LimitsLayer};
use store::{OpenError, Store};
use telemetry::{Server, ServerLayer, TrustedPeers};
use tower::Layer as _;

pub use settings::Settings;

const NAME: &str = "http_server";

/// How long `/readyz` waits for the database.
const PING: Duration = Duration::from_millis(500);

/// Runs the process to its end.
pub fn run(settings: Settings) -> ExitCode {
    let identity = service::Identity { service: NAME, exports: true };
    let common = settings.service.clone();
    service::run(identity, common, async |life| open(settings, life).await)
}

async fn open(settings: Settings, life: &mut Life) -> Result<(), service::Error> {
    let store = Store::open(&settings.database_url, &settings.store()).await.map_err(refused)?;

    let asked = store.clone();
    life.ready_when("database", move || {
        let store = asked.clone();
        async move { store.ping(PING).await.map_err(|error| error.to_string()) }.boxed()
    });
    life.spawn(sweep::expired_keys(store.clone(), life.draining()));
    life.spawn(waiting::observe(store.clone(), life.draining()));

    let service = layers(store.clone(), settings.trusted_peers, settings.limits.clone());
    life.serve(settings.listen, settings.limits, false, move |_thread| service.clone())?;
    life.after_drain(move || async move { store.close() }.boxed());
    Ok(())
}

/// The layers, outermost first.
fn layers(store: Store, trusted: TrustedPeers, limits: Limits) -> Server<Limited<Router>> {
    // Sees everything, what the others refuse included.
    ServerLayer::new(NAME, trusted).over_database().layer(
        // Before anything reads a body.
        LimitsLayer::new(limits).layer(routes::routes(store)),
    )
}

fn refused(error: OpenError) -> service::Error {
    match error {
        OpenError::Url { given, expected, .. } => {
            service::Error::Usage { setting: "--database-url", value: given, expected: expected.into() }
        }
        error => service::Error::Start { doing: "open the database".into(), source: Box::new(error) },
    }
}
