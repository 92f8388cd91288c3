//! The shared HTTP cache: answers from what it has where HTTP allows it (RFC 9111), asks the next hop once for many
//! askers, and says in `Cache-Status` what it did (RFC 9211).
//!
//! Promises: never a wrong hit. What it is not sure of is passed through untouched; memory is bounded in bytes. Caches
//! that share a Redis share what they have stored, and what writes have made wrong.
//! Stale answers are given only where the answer itself or a setting permits it. Interim responses (1xx) go to the
//! request that asked the origin, to nobody who waits with it, and into no store. Refuses: storing parts; guessing
//! lifetimes, unless told to.
//!
//! A request's way: [`asked`] reads it, [`plan`] decides with what is in the [`store`], [`serve`] carries that out by
//! a [`fetch`], which others may share as a [`flight`] and which looks into the [`second`] level first. The rules are pure and stand apart.

use std::{process::ExitCode, sync::Arc};

use http::{HeaderMap, HeaderValue, Request, header};
use service::{Interim, LimitsLayer};
use telemetry::ServerLayer;
use tower::Layer;

/// What an operator may ask of it.
mod purge;
/// What can be told to this program.
mod settings;

/// Requests that are passed through untouched.
mod pass;
/// Answers to POST that GETs may have.
mod posted;
/// Asking in the background.
mod revalidate;
/// From a request to what is done about it.
mod serve;

/// What a request asks of a cache.
mod asked;
/// The key that answers are stored under.
mod key;
/// What to do about a request, given what is stored.
mod plan;

/// `Cache-Control`, read strictly.
mod cache_control;
/// Lifetime and age.
mod freshness;
/// Which answers belong together.
mod groups;
/// What a write makes wrong.
mod invalidate;
/// Languages that are preferred.
mod language;
/// What a site may decide.
mod policy;
/// Parts of a stored answer.
mod range;
/// What may be stored, and which of its fields.
mod storing;
/// Structured fields.
mod structured;
/// Conditions: clients' and our own.
mod validate;
/// Which variant a request selects.
mod vary;

/// Stored answers.
mod entry;
/// Asking the origin, and storing on the side.
mod fetch;
/// One fetch that several requests share.
mod flight;
/// The entries that all caches share, in Redis.
mod second;
/// The entries of this process, and the flights under way.
mod store;

/// Responses made of what is stored or has come.
mod answer;
/// Their bodies.
mod body;
/// Their `Cache-Status`.
mod cache_status;

/// Where `now` comes from.
mod clock;
/// What is told about each request.
mod record;
#[cfg(test)]
mod tests;

pub use body::{AnswerBody, BodyError};
pub use clock::Clock;
pub use policy::Policy;
pub use second::{Second, Settings as SecondSettings};
pub use serve::{Answering, Cache};
pub use settings::Settings;
pub use store::{Memory, Store};

/// Runs the process to its end.
pub fn run(settings: Settings) -> ExitCode {
    let identity = service::Identity { service: "cache", exports: true };
    let common = settings.service.clone();
    service::run(identity, common, async |life| open(settings, life).await)
}

async fn open(settings: Settings, life: &mut service::Life) -> Result<(), service::Error> {
    let (store, policy) = (Store::new(settings.memory()), settings.policy());
    record::observe(&store);
    let second = match settings.second() {
        Some(second) => Some(Second::start(second, &store, Clock::system()).map_err(not_redis)?),
        None => None,
    };
    let upstream = upstream::Upstream::start(settings.upstream.behind_a_proxy()).await.map_err(usage)?;
    let usable = Arc::clone(&upstream);
    life.ready_when("upstream", move || {
        let usable = usable.is_usable();
        Box::pin(async move { if usable { Ok(()) } else { Err("no replica is usable".into()) } })
    });
    let (purged, there) = (Arc::clone(&store), second.clone());
    life.operate(purge::PATH, move |body| purge::answer(&purged, there.clone(), &body));
    let (limits, trusted) = (settings.limits.clone(), settings.trusted_peers);
    life.serve(settings.listen, settings.limits, false, move |_thread| {
        // Outermost: every request has its span, its line and its headers, also one that is refused.
        let traced = ServerLayer::new("cache", trusted.clone()).of_proxy();
        // What is too large is refused before anything is looked up.
        let limited = LimitsLayer::new(limits.clone());
        traced.layer(limited.layer(
            Cache::new(&store, upstream.client(), Clock::system(), policy).with_second(second.as_ref()),
        ))
    })?;
    Ok(())
}

fn usage(error: upstream::StartError) -> service::Error {
    service::Error::Usage { setting: error.setting, value: error.value, expected: error.expected }
}

/// The address may hold a password and is not said.
fn not_redis(expected: &'static str) -> service::Error {
    let (setting, value) = ("--redis-url", "…".to_owned());
    service::Error::Usage { setting, value, expected: expected.to_owned() }
}

/// Says that a message came through here (RFC 9110 §7.6.3).
fn via(fields: &mut HeaderMap) {
    fields.append(header::VIA, HeaderValue::from_static("1.1 cache"));
}

/// Has interim responses to `request` passed on to the client for which it is made.
fn pass_interim<B>(request: &mut Request<B>, interim: Option<Interim>) {
    if let Some(interim) = interim {
        upstream::on_interim(request, move |status, fields| interim.send(status, fields));
    }
}
