//! A receiver of OTLP for the tests: gRPC (tonic's server) and HTTP/protobuf (hyper's), on a thread of its own, which
//! keeps what it took and answers as it is told.

use std::{
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    logs::v1::LogRecord,
    metrics::v1::Metric,
    trace::v1::Span,
};
use prost::Message;
use tokio::sync::oneshot;
use tonic::{Status, codec::CompressionEncoding, transport::server::TcpIncoming};

/// Whatever port the system chooses.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(20);

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answer {
    #[default]
    Take,
    /// Keeps the request waiting.
    Stall,
    /// Refuses for good.
    Refuse,
    /// Not now.
    Busy,
    /// Takes all but one span of each request.
    RejectOne,
}

/// What it took.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) answer: Answer,
    /// Requests that have come in, taken or not.
    pub(crate) requests: usize,
    pub(crate) spans: Vec<Span>,
    /// Each with its logger.
    pub(crate) lines: Vec<(String, LogRecord)>,
    pub(crate) metrics: Vec<Metric>,
    /// The headers of the last request.
    pub(crate) headers: http::HeaderMap,
    pub(crate) paths: Vec<String>,
}

/// The tests' end of it; the receiver stops when this is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shelf: Shelf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Clone, Default)]
struct Shelf(Arc<(Mutex<Taken>, Condvar)>);

impl Shelf {
    fn change<T>(&self, change: impl FnOnce(&mut Taken) -> T) -> T {
        let changed = change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
        changed
    }

    /// Says how this request is to be answered, once it is to be answered at all.
    async fn answer(&self) -> Result<Answer, Status> {
        self.change(|taken| taken.requests += 1);
        loop {
            match self.change(|taken| taken.answer) {
                // A test that waits on the clock of another: a millisecond of a receiver's thread harms nobody.
                Answer::Stall => tokio::time::sleep(Duration::from_millis(1)).await,
                Answer::Refuse => return Err(Status::invalid_argument("refused")),
                Answer::Busy => return Err(Status::unavailable("busy")),
                answer => return Ok(answer),
            }
        }
    }
}

impl Receiver {
    pub(crate) fn grpc(at: SocketAddr) -> Self {
        Self::serve(at, |listener, shelf, stopped| async move {
            let incoming = TcpIncoming::from(listener);
            let gzip = CompressionEncoding::Gzip;
            tonic::transport::Server::builder()
                .add_service(TraceServiceServer::new(shelf.clone()).accept_compressed(gzip))
                .add_service(LogsServiceServer::new(shelf.clone()).accept_compressed(gzip))
                .add_service(MetricsServiceServer::new(shelf).accept_compressed(gzip))
                .serve_with_incoming_shutdown(incoming, async { drop(stopped.await) })
                .await
                .expect("serves");
        })
    }

    pub(crate) fn http(at: SocketAddr) -> Self {
        Self::serve(at, |listener, shelf, mut stopped| async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = &mut stopped => return,
                };
                let io = hyper_util::rt::TokioIo::new(accepted.expect("accepts").0);
                let shelf = shelf.clone();
                let service = hyper::service::service_fn(move |request| take_http(shelf.clone(), request));
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        })
    }

    fn serve<F: Future<Output = ()>>(
        at: SocketAddr,
        serve: impl FnOnce(tokio::net::TcpListener, Shelf, oneshot::Receiver<()>) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).expect("binds");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let shelf = Shelf::default();
        let held = shelf.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            let (kill, killed) = oneshot::channel();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("listens");
                // Dropping the server, instead of letting it finish, is what a crash looks like to others.
                let (never, quietly) = oneshot::channel();
                tokio::spawn(async move { kill.send(stopped.await) });
                tokio::select! {
                    () = serve(listener, held, quietly) => {}
                    _ = killed => {}
                }
                drop(never);
            });
            runtime.shutdown_background();
        });
        Receiver { address, shelf, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.shelf.change(|taken| taken.answer = answer);
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Taken) -> T) -> T {
        look(&self.shelf.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until `reached`.
    pub(crate) fn wait(&self, what: &str, reached: impl Fn(&Taken) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut taken = self.shelf.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !reached(&taken) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "no {what}: {} requests, {} spans, {} lines",
                taken.requests,
                taken.spans.len(),
                taken.lines.len()
            );
            (taken, _) = self.shelf.0.1.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end();
    }
}

#[tonic::async_trait]
impl TraceService for Shelf {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let answer = self.answer().await?;
        let headers = request.metadata().clone().into_headers();
        let rejected = u8::from(answer == Answer::RejectOne);
        self.change(|taken| {
            taken.headers = headers;
            taken.take_spans(request.into_inner(), rejected.into());
        });
        let partial = ExportTracePartialSuccess {
            rejected_spans: rejected.into(),
            error_message: "one too many".to_owned(),
        };
        let partial_success = (rejected > 0).then_some(partial);
        Ok(tonic::Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Shelf {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        self.answer().await?;
        self.change(|taken| taken.take_lines(request.into_inner()));
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Shelf {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        self.answer().await?;
        self.change(|taken| taken.take_metrics(request.into_inner()));
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn take_http(
    shelf: Shelf,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    if let Err(status) = shelf.answer().await {
        let refused = match status.code() {
            tonic::Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut response = Response::new(Full::default());
        *response.status_mut() = refused;
        return Ok(response);
    }
    let (head, body) = request.into_parts();
    let mut body = body.collect().await?.to_bytes();
    if head.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).expect("gzip");
        body = plain.into();
    }
    let path = head.uri.path().to_owned();
    shelf.change(|taken| {
        match path.as_str() {
            "/v1/traces" => taken.take_spans(Message::decode(body).expect("spans"), 0),
            "/v1/logs" => taken.take_lines(Message::decode(body).expect("lines")),
            "/v1/metrics" => taken.take_metrics(Message::decode(body).expect("metrics")),
            other => panic!("a path of OTLP, not `{other}`"),
        }
        taken.headers = head.headers;
        taken.paths.push(path);
    });
    Ok(Response::new(Full::default()))
}

impl Taken {
    fn take_spans(&mut self, request: ExportTraceServiceRequest, rejected: usize) {
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.extend(scopes.flat_map(|scope| scope.spans).skip(rejected));
    }

    fn take_lines(&mut self, request: ExportLogsServiceRequest) {
        for scope in request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs) {
            let logger = scope.scope.unwrap_or_default().name;
            self.lines.extend(scope.log_records.into_iter().map(|line| (logger.clone(), line)));
        }
    }

    fn take_metrics(&mut self, request: ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        self.metrics.extend(scopes.flat_map(|scope| scope.metrics));
    }
}
