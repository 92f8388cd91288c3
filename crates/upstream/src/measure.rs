//! The metrics `throughline.upstream.*`: read from the replicas when they are exported, so that they cost a request
//! nothing. Instances that share a next hop each tell their own view of it.

use std::{
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::Instant,
};

use telemetry::{KeyValue, names};

use crate::{pick::Standing, replica::Replica, upstream::Upstream};

/// Registers the instruments; they tell nothing more once the upstream is gone.
pub(crate) fn observe(upstream: &Arc<Upstream>) {
    let meter = telemetry::meter("upstream");
    let gauge = |name: &'static str, unit: &'static str, read: fn(&Replica) -> u64| {
        let upstream = Arc::downgrade(upstream);
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_callback(move |observer| {
                each(&upstream, |replica, labels| observer.observe(read(replica), labels));
            })
            .build();
    };
    let counter = |name: &'static str, unit: &'static str, read: fn(&Replica) -> u64| {
        let upstream = Arc::downgrade(upstream);
        meter
            .u64_observable_counter(name)
            .with_unit(unit)
            .with_callback(move |observer| {
                each(&upstream, |replica, labels| observer.observe(read(replica), labels));
            })
            .build();
    };
    gauge(names::METRIC_UPSTREAM_IN_FLIGHT, "{request}", |replica| replica.in_flight().into());
    gauge(names::METRIC_UPSTREAM_WAITING, "{request}", |replica| replica.waiting.load(Relaxed).into());
    gauge(names::METRIC_UPSTREAM_EJECTED, "{replica}", |replica| {
        (replica.standing(Instant::now()) != Standing::In).into()
    });
    counter(names::METRIC_UPSTREAM_ATTEMPTS, "{attempt}", |replica| replica.attempts.load(Relaxed));
    counter(names::METRIC_UPSTREAM_RETRIES, "{attempt}", |replica| replica.retries.load(Relaxed));
}

fn each(upstream: &Weak<Upstream>, mut tell: impl FnMut(&Replica, &[KeyValue])) {
    if let Some(upstream) = upstream.upgrade() {
        for replica in upstream.replicas().iter() {
            tell(replica, &[KeyValue::new(names::REPLICA, replica.name.clone())]);
        }
    }
}
