//! What is refused: each protocol says so in its own words, and nothing of it is written.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use http::{Request, header};
use prost::Message as _;

use crate::{
    running::{BOUND, Collector, Place, Start},
    taken::{JSON, PROTOBUF, gzip, post, send, spans},
};

/// The body of an error over HTTP.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

const SMALL: &[&str] = &["--max-body-bytes", "1000"];

#[tokio::test]
async fn over_http_it_is_refused_with_a_status() {
    let place = Place::new();
    let collector = Collector::start_with(&place, SMALL, Start::Plainly);
    let check = async |kind: &str, encoding: &str, body: Vec<u8>, status: u16, code: i32, message: &str| {
        let request = Request::builder()
            .uri(format!("http://{}/v1/traces", collector.http))
            .header(header::CONTENT_TYPE, kind)
            .header(header::CONTENT_ENCODING, encoding);
        let answer = post(request, body).await;
        assert_eq!(answer.status(), status, "{message}");
        let told = if answer.headers()[header::CONTENT_TYPE] == PROTOBUF {
            assert_eq!(kind, PROTOBUF);
            Status::decode(answer.into_body()).unwrap()
        } else {
            let told: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
            let code = i32::try_from(told["code"].as_i64().unwrap()).unwrap();
            Status { code, message: told["message"].as_str().unwrap().to_owned() }
        };
        assert!(told.message.starts_with(message), "{told:?} is not {message}");
        assert_eq!(told.code, code, "{message}");
    };
    let well = || spans("x").encode_to_vec();
    check(PROTOBUF, "", b"no protobuf".to_vec(), 400, 3, "the request is not a protobuf message of OTLP: ")
        .await;
    check(JSON, "", b"{".to_vec(), 400, 3, "the request is not JSON: EOF").await;
    check(JSON, "", b"{\"resourceSpans\":7}".to_vec(), 400, 3, "`resourceSpans` must be a list").await;
    check(PROTOBUF, "GZip", well(), 400, 3, "the request's body cannot be decompressed: ").await;
    check(PROTOBUF, "gzip", well(), 400, 3, "the request's body cannot be decompressed: ").await;
    let mut half = gzip(&well());
    half.truncate(20);
    check(PROTOBUF, "gzip", half, 400, 3, "the request's body cannot be decompressed: ").await;
    check(PROTOBUF, "zstd", well(), 415, 3, "`Content-Encoding` must be").await;
    check("text/plain", "", well(), 415, 3, "`Content-Type` must be").await;
    check(PROTOBUF, "", vec![0; 1001], 413, 8, "the request is larger than 1000 bytes").await;
    check(PROTOBUF, "gzip", gzip(&[0; 1001]), 413, 8, "the request is larger than 1000 bytes").await;
    let mut odd = spans("x");
    odd.resource_spans[0].scope_spans[0].spans[0].trace_id.push(7);
    check(PROTOBUF, "", odd.encode_to_vec(), 400, 3, "`traceId` is 17 bytes long, but must be 16").await;
    assert_eq!(place.all("traces"), "");
}

#[test]
fn a_body_that_stands_still_is_given_up() {
    let place = Place::new();
    let collector = Collector::start_with(&place, &["--body-idle-timeout", "50ms"], Start::Plainly);
    let mut stream = TcpStream::connect(collector.http).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let head =
        "POST /v1/traces HTTP/1.1\r\nHost: c\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(str::from_utf8(&answer), Ok("HTTP/1.1 408"));
}

#[tokio::test]
async fn over_http_only_posts_to_the_three_paths_are_served() {
    let place = Place::new();
    let collector = Collector::start(&place);
    let check = async |method: &str, path: &str, status: u16| {
        let uri = format!("http://{}{path}", collector.http);
        let request = Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, JSON);
        let answer = send(request.body("{}".into()).unwrap()).await;
        assert_eq!(answer.status(), status, "{method} {path}");
    };
    check("POST", "/v1/traces", 200).await;
    check("POST", "/v1/profiles", 404).await;
    check("POST", "/", 404).await;
    check("GET", "/v1/logs", 405).await;
}

#[tokio::test]
async fn over_grpc_it_is_refused_with_a_code() {
    const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let place = Place::new();
    let collector = Collector::start_with(&place, SMALL, Start::Plainly);
    let check = async |path: &str, gzipped: bool, message: &[u8], code: &str, told: &str| {
        let mut body = vec![u8::from(gzipped)];
        body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend_from_slice(message);
        let uri = format!("http://{}{path}", collector.grpc);
        let mut request = Request::builder()
            .uri(uri)
            .version(http::Version::HTTP_2)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers");
        if gzipped {
            request = request.header("grpc-encoding", "gzip");
        }
        let answer = post_h2(request, body).await;
        assert_eq!(answer.status(), 200, "{told}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert!(header("grpc-message").contains(told), "{} is not {told}", header("grpc-message"));
        assert_eq!(header("grpc-status"), code, "{told}");
    };
    check(TRACES, false, b"no protobuf", "3", "not%20a%20protobuf%20message").await;
    check(TRACES, false, &[0; 1001], "8", "too%20large").await;
    check(TRACES, true, &gzip(&[0; 1001]), "8", "size%20limit").await;
    check(TRACES, true, b"no gzip", "13", "decompressing").await;
    let mut odd = spans("x");
    odd.resource_spans[0].scope_spans[0].spans[0].span_id.clear();
    odd.resource_spans[0].scope_spans[0].spans[0].parent_span_id = vec![1; 7];
    check(TRACES, false, &odd.encode_to_vec(), "3", "parentSpanId%60%20is%207%20bytes").await;
    check("/opentelemetry.proto.collector.trace.v1.TraceService/Import", false, b"", "12", "export%20calls")
        .await;
    assert_eq!(place.all("traces"), "");
}

async fn post_h2(request: http::request::Builder, body: Vec<u8>) -> http::Response<()> {
    let executor = hyper_util::rt::TokioExecutor::new();
    let client = hyper_util::client::legacy::Client::builder(executor).http2_only(true).build_http();
    let request = request.method("POST").body(http_body_util::Full::<bytes::Bytes>::from(body)).unwrap();
    client.request(request).await.unwrap().map(drop)
}
