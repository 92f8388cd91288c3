//! The metrics of both edges: what is counted, in which unit, under which labels. A process of its own, because its
//! meter provider is the process's.

#![allow(clippy::unwrap_used, reason = "helpers of a test are tests too: a panic fails the test that called")]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{KeyValue, any_value},
    metrics::v1::{Metric, metric::Data, number_data_point},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality, data::ResourceMetrics, exporter::PushMetricExporter,
    },
};
use telemetry::{Attempt, ClientLayer, ErrorType, Scope, ServerLayer};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

#[derive(Debug, thiserror::Error)]
#[error("cannot connect")]
struct CannotConnect;

impl ErrorType for CannotConnect {
    fn error_type(&self) -> &'static str {
        "connect"
    }
}

/// Remembers the last collection.
#[derive(Clone, Default)]
struct Last(Arc<Mutex<Vec<Metric>>>);

impl PushMetricExporter for Last {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let request = ExportMetricsServiceRequest::from(metrics);
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        *self.0.lock().unwrap() = scopes.flat_map(|scope| scope.metrics).collect();
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// The metrics of this process as they are now.
struct Meters {
    provider: SdkMeterProvider,
    last: Last,
}

impl Meters {
    fn start() -> Meters {
        let last = Last::default();
        let reader = PeriodicReader::builder(last.clone()).with_interval(Duration::from_secs(3600)).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        opentelemetry::global::set_meter_provider(provider.clone());
        Meters { provider, last }
    }

    fn now(&self, name: &str) -> Metric {
        self.provider.force_flush().unwrap();
        let metrics = self.last.0.lock().unwrap();
        let found = metrics.iter().find(|metric| metric.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {metrics:#?}")).clone()
    }

    /// Requests being served by method.
    fn active(&self, method: &str) -> i64 {
        let metric = self.now("http.server.active_requests");
        let Some(Data::Sum(sum)) = metric.data else { panic!("a sum: {metric:#?}") };
        assert!(!sum.is_monotonic);
        let point =
            sum.data_points.iter().find(|point| labels(&point.attributes)["http.request.method"] == method);
        let point = point.unwrap_or_else(|| panic!("{method}: {sum:#?}"));
        assert_eq!(labels(&point.attributes)["url.scheme"], "http");
        match point.value {
            Some(number_data_point::Value::AsInt(value)) => value,
            _ => panic!("an integer: {point:#?}"),
        }
    }

    /// Each series of a duration: its labels in one text, and how often.
    fn durations(&self, name: &str) -> BTreeMap<String, u64> {
        let metric = self.now(name);
        assert_eq!(metric.unit, "s");
        let Some(Data::Histogram(histogram)) = metric.data else { panic!("a histogram: {metric:#?}") };
        let series = histogram.data_points.into_iter().map(|point| {
            assert_eq!(point.explicit_bounds, telemetry::names::SECONDS);
            let labels = labels(&point.attributes);
            let text: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            (text.join(" "), point.count)
        });
        series.collect()
    }
}

fn labels(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(path).body(()).unwrap()
}

/// Answers by the path: `/ok`, `/fails`, `/panics`, `/waits`.
fn server()
-> impl Service<Request<()>, Response = Response<telemetry::ServerBody<Full<Bytes>>>, Error = Infallible> + Clone
{
    ServerLayer::new("http_server", "none".parse().unwrap()).layer(service_fn(
        |request: Request<()>| async move {
            let mut response = Response::new(Full::new(Bytes::from_static(b"x")));
            match request.uri().path() {
                "/fails" => *response.status_mut() = StatusCode::BAD_GATEWAY,
                "/panics" => panic!("the handler's own fault"),
                "/waits" => std::future::pending().await,
                _ => Scope::current().unwrap().route("/{any}"),
            }
            Ok(response)
        },
    ))
}

#[tokio::test]
async fn the_edges_are_measured() {
    let meters = Meters::start();
    active_requests_fall_with_every_end(&meters).await;
    durations_have_bounded_labels(&meters).await;
    attempts_are_measured(&meters).await;
}

async fn active_requests_fall_with_every_end(meters: &Meters) {
    let mut waiting = Box::pin(server().oneshot(request("PUT", "/waits")));
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(cx).is_pending());
    let Ok(unread) = server().oneshot(request("PUT", "/ok")).await;
    assert_eq!(meters.active("PUT"), 2);
    let Ok(panicked) = server().oneshot(request("PUT", "/panics")).await;
    panicked.into_body().collect().await.unwrap();
    assert_eq!(meters.active("PUT"), 2);
    drop(waiting);
    assert_eq!(meters.active("PUT"), 1);
    drop(unread);
    assert_eq!(meters.active("PUT"), 0);
}

async fn durations_have_bounded_labels(meters: &Meters) {
    for (method, path) in [("GET", "/ok"), ("GET", "/also_ok"), ("PURGE", "/ok"), ("GET", "/fails")] {
        let Ok(response) = server().oneshot(request(method, path)).await;
        response.into_body().collect().await.unwrap();
    }
    let expected = [
        (
            "http.request.method=GET http.response.status_code=200 http.route=/{any} network.protocol.version=1.1 url.scheme=http",
            2,
        ),
        (
            "http.request.method=_OTHER http.response.status_code=200 http.route=/{any} network.protocol.version=1.1 url.scheme=http",
            1,
        ),
        (
            "error.type=502 http.request.method=GET http.response.status_code=502 network.protocol.version=1.1 url.scheme=http",
            1,
        ),
        ("error.type=client_closed http.request.method=PUT network.protocol.version=1.1 url.scheme=http", 1),
        (
            "error.type=client_closed http.request.method=PUT http.response.status_code=200 http.route=/{any} network.protocol.version=1.1 url.scheme=http",
            1,
        ),
        (
            "error.type=panic http.request.method=PUT http.response.status_code=500 network.protocol.version=1.1 url.scheme=http",
            1,
        ),
    ];
    let expected: BTreeMap<String, u64> = expected.map(|(labels, count)| (labels.to_owned(), count)).into();
    assert_eq!(meters.durations("http.server.request.duration"), expected);
}

async fn attempts_are_measured(meters: &Meters) {
    for connects in [true, false] {
        let client = ClientLayer.layer(service_fn(move |_: Request<()>| async move {
            if connects { Ok(Response::new(Full::<Bytes>::default())) } else { Err(CannotConnect) }
        }));
        let mut request = request("GET", "/");
        request.extensions_mut().insert(Attempt {
            replica: "a".into(),
            host: "127.0.0.1".into(),
            port: 9000,
            resend_count: 0,
            retry_reason: None,
        });
        let answer = client.oneshot(request).await;
        assert_eq!(answer.is_ok(), connects);
    }
    let common = "http.request.method=GET";
    let server = "server.address=127.0.0.1 server.port=9000 url.scheme=http";
    let expected = [
        (format!("{common} http.response.status_code=200 network.protocol.version=1.1 {server}"), 1),
        (format!("error.type=connect {common} {server}"), 1),
    ];
    assert_eq!(meters.durations("http.client.request.duration"), expected.into());
}
