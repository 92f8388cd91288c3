//! Whatever way it comes, an export is in its file when the answer is here.

use std::{collections::HashSet, io::Write as _, net::SocketAddr};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse, logs_service_client::LogsServiceClient,
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_client::MetricsServiceClient,
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse, trace_service_client::TraceServiceClient,
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use tonic::codec::CompressionEncoding;

use crate::running::{Collector, Place, Start};

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

pub(crate) fn spans(name: &str) -> ExportTraceServiceRequest {
    let attributes = vec![KeyValue {
        key: "password".to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue("hunter2".to_owned())) }),
        ..KeyValue::default()
    }];
    let span = Span {
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        name: name.to_owned(),
        attributes,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

fn records(message: &str) -> ExportLogsServiceRequest {
    let body = Some(AnyValue { value: Some(Value::StringValue(message.to_owned())) });
    let log_records = vec![LogRecord { body, ..LogRecord::default() }];
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }
}

fn points(name: &str) -> ExportMetricsServiceRequest {
    let data = Some(Data::Gauge(Gauge { data_points: vec![NumberDataPoint::default()] }));
    let metrics = vec![Metric { name: name.to_owned(), data, ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) async fn post(request: http::request::Builder, body: impl Into<Bytes>) -> Response<Bytes> {
    send(request.method("POST").body(Full::new(body.into())).unwrap()).await
}

pub(crate) async fn send(request: Request<Full<Bytes>>) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

fn names(place: &Place) -> Vec<String> {
    let name = |line: &serde_json::Value| {
        line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"].as_str().unwrap().to_owned()
    };
    place.lines("traces.jsonl").iter().map(name).collect()
}

pub(crate) async fn export(to: SocketAddr, name: &str) -> Result<(), tonic::Status> {
    let mut client = TraceServiceClient::connect(format!("http://{to}")).await.unwrap();
    client.export(spans(name)).await.map(drop)
}

#[tokio::test]
async fn over_grpc_it_is_in_the_file_when_the_answer_comes() {
    let place = Place::new();
    let collector = Collector::start(&place);
    let at = format!("http://{}", collector.grpc);

    let mut traces = TraceServiceClient::connect(at.clone()).await.unwrap();
    let answer = traces.export(spans("plain")).await.unwrap();
    assert_eq!(answer.into_inner().partial_success, None);
    assert_eq!(names(&place), ["plain"]);
    let mut compressed = traces.send_compressed(CompressionEncoding::Gzip);
    compressed.export(spans("gzip")).await.unwrap();
    assert_eq!(names(&place), ["plain", "gzip"]);

    let mut logs = LogsServiceClient::connect(at.clone()).await.unwrap();
    logs.export(records("hello")).await.unwrap();
    assert_eq!(place.lines("logs.jsonl")[0]["message"], "hello");

    let mut metrics = MetricsServiceClient::connect(at).await.unwrap();
    metrics.export(points("height")).await.unwrap();
    let written = &place.lines("metrics.jsonl")[0];
    assert_eq!(written["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["name"], "height");

    assert!(!place.all("").contains("hunter2"), "secrets are blanked");
}

#[tokio::test]
async fn over_http_it_is_in_the_file_when_the_answer_comes() {
    let place = Place::new();
    let collector = Collector::start(&place);
    let request = |path: &str, kind: &str| {
        Request::builder().uri(format!("http://{}{path}", collector.http)).header(header::CONTENT_TYPE, kind)
    };

    let answer = post(request("/v1/traces", PROTOBUF), spans("protobuf").encode_to_vec()).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &PROTOBUF.parse().unwrap())
    );
    let read = ExportTraceServiceResponse::decode(answer.into_body()).unwrap();
    assert_eq!(read, ExportTraceServiceResponse::default());
    let compressed = request("/v1/traces", PROTOBUF).header(header::CONTENT_ENCODING, "gzip");
    assert_eq!(post(compressed, gzip(&spans("gzip").encode_to_vec())).await.status(), 200);
    assert_eq!(names(&place), ["protobuf", "gzip"]);

    let answer = post(request("/v1/logs", PROTOBUF), records("protobuf").encode_to_vec()).await;
    assert_eq!(
        ExportLogsServiceResponse::decode(answer.into_body()),
        Ok(ExportLogsServiceResponse::default())
    );
    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"json"}}]}]}]}"#;
    let answer = post(request("/v1/logs", "application/json; charset=utf-8"), body).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &JSON.parse().unwrap()));
    assert_eq!(answer.into_body(), "{}");
    let compressed = request("/v1/logs", JSON).header(header::CONTENT_ENCODING, "gzip");
    assert_eq!(post(compressed, gzip(body.as_bytes())).await.status(), 200);
    let messages: Vec<_> = place.lines("logs.jsonl").iter().map(|line| line["message"].clone()).collect();
    assert_eq!(messages, ["protobuf", "json", "json"]);

    let answer = post(request("/v1/metrics", PROTOBUF), points("height").encode_to_vec()).await;
    assert_eq!(
        ExportMetricsServiceResponse::decode(answer.into_body()),
        Ok(ExportMetricsServiceResponse::default())
    );
    assert_eq!(place.lines("metrics.jsonl").len(), 1);
}

#[tokio::test]
async fn both_addresses_take_both_protocols() {
    let place = Place::new();
    let collector = Collector::start(&place);
    export(collector.http, "grpc").await.unwrap();
    let request = Request::builder()
        .uri(format!("http://{}/v1/traces", collector.grpc))
        .header(header::CONTENT_TYPE, PROTOBUF);
    assert_eq!(post(request, spans("http").encode_to_vec()).await.status(), 200);
    assert_eq!(names(&place), ["grpc", "http"]);
}

#[tokio::test]
async fn a_request_with_nothing_in_it_leaves_no_line() {
    let place = Place::new();
    let collector = Collector::start(&place);
    let mut client = TraceServiceClient::connect(format!("http://{}", collector.grpc)).await.unwrap();
    client.export(ExportTraceServiceRequest::default()).await.unwrap();
    assert_eq!(names(&place), [""; 0]);
}

#[tokio::test]
async fn many_senders_at_once_lose_nothing_while_files_are_put_away() {
    const SENDERS: usize = 8;
    const EXPORTS: usize = 50;
    let place = Place::new();
    let collector = Collector::start_with(&place, &["--rotate-bytes", "2000"], Start::Plainly);
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let at = format!("http://{}", collector.grpc);
        senders.spawn(async move {
            let mut client = TraceServiceClient::connect(at).await.unwrap();
            for export in 0..EXPORTS {
                client.export(spans(&format!("{sender}-{export}"))).await.unwrap();
            }
        });
    }
    senders.join_all().await;
    let all = place.all("traces");
    let lines: HashSet<&str> = all.lines().collect();
    assert_eq!((lines.len(), all.lines().count()), (SENDERS * EXPORTS, SENDERS * EXPORTS));
}

#[tokio::test]
async fn the_tools_read_what_is_written() {
    let place = Place::new();
    let collector = Collector::start(&place);
    export(collector.grpc, "to be found").await.unwrap();
    let trace = "07".repeat(16);
    let wanted = trace.parse().unwrap();
    let mut search = journey::Search::new(wanted, journey::Input::new(vec![place.directory()]));
    search.read().unwrap();
    let story = search.story(search.traces()[0]);
    assert!(journey::json::render(&story).contains("to be found"));
}
