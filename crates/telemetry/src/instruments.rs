//! The instruments of both edges.
//!
//! Promises: an `http.server.active_requests` that costs a request two additions and cannot leak: whoever counts a
//! request in holds the value that counts it out.

use std::sync::{
    LazyLock,
    atomic::{AtomicI64, Ordering},
};

use opentelemetry::{KeyValue, metrics::Histogram};

use crate::{edge, names};

/// The scheme that a service is asked under: TLS, where there is any, ends before us.
pub(crate) const SCHEME: &str = "http";

/// `http.server.request.duration`. Made with the first request, which comes after [`crate::start`].
pub(crate) static SERVER_DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    seconds(names::METRIC_SERVER_DURATION, "Duration of HTTP server requests, to the response's last byte.")
});

/// `http.client.request.duration`.
pub(crate) static CLIENT_DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    seconds(names::METRIC_CLIENT_DURATION, "Duration of HTTP client requests, to the response's last byte.")
});

/// Requests being served, by the place of their method in [`edge::METHODS`].
static ACTIVE: LazyLock<[AtomicI64; edge::METHODS.len()]> = LazyLock::new(|| {
    crate::meter("telemetry")
        .i64_observable_up_down_counter(names::METRIC_SERVER_ACTIVE)
        .with_unit("{request}")
        .with_description("Number of active HTTP server requests.")
        .with_callback(|observer| {
            for (method, active) in edge::METHODS.into_iter().zip(ACTIVE.iter()) {
                let labels = [
                    KeyValue::new(names::HTTP_REQUEST_METHOD, method),
                    KeyValue::new(names::URL_SCHEME, SCHEME),
                ];
                observer.observe(active.load(Ordering::Relaxed), &labels);
            }
        })
        .build();
    Default::default()
});

/// One request being served; counted out when dropped.
#[derive(Debug)]
pub(crate) struct Active {
    method: usize,
}

impl Active {
    pub(crate) fn begin(method: usize) -> Active {
        ACTIVE[method].fetch_add(1, Ordering::Relaxed);
        Active { method }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        ACTIVE[self.method].fetch_sub(1, Ordering::Relaxed);
    }
}

fn seconds(name: &'static str, description: &'static str) -> Histogram<f64> {
    crate::meter("telemetry")
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(names::SECONDS.to_vec())
        .build()
}
