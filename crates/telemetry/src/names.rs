//! Every name that is written down, once: span attributes, metrics, and the fields of a log line with the
//! OpenTelemetry names that they have on the wire.
#![expect(
    missing_docs,
    reason = "a name says what it is by its value; the semantic conventions define most of them"
)]

/// Log line fields whose OpenTelemetry name differs: (OpenTelemetry attribute, field of the flat line).
/// `otel-collector.yaml` holds the same table; attributes `throughline.x` become `x` besides.
pub const LINE_FIELDS: &[(&str, &str)] = &[
    (HTTP_REQUEST_METHOD, "method"),
    (URL_PATH, "path"),
    (HTTP_RESPONSE_STATUS_CODE, "status"),
    (LOG_RECORD_UID, "uid"),
];

/// The prefix of our own attributes; the flat line drops it.
pub const OWN_PREFIX: &str = "throughline.";

pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
pub const HTTP_REQUEST_METHOD_ORIGINAL: &str = "http.request.method_original";
pub const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
pub const HTTP_ROUTE: &str = "http.route";
pub const URL_PATH: &str = "url.path";
pub const URL_QUERY: &str = "url.query";
pub const URL_SCHEME: &str = "url.scheme";
pub const URL_FULL: &str = "url.full";
pub const SERVER_ADDRESS: &str = "server.address";
pub const SERVER_PORT: &str = "server.port";
pub const CLIENT_ADDRESS: &str = "client.address";
pub const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
pub const NETWORK_PEER_PORT: &str = "network.peer.port";
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
pub const USER_AGENT_ORIGINAL: &str = "user_agent.original";
pub const ERROR_TYPE: &str = "error.type";
pub const EXCEPTION_TYPE: &str = "exception.type";
pub const EXCEPTION_MESSAGE: &str = "exception.message";
pub const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";
pub const LOG_RECORD_UID: &str = "log.record.uid";
pub const DB_SYSTEM_NAME: &str = "db.system.name";
pub const DB_QUERY_TEXT: &str = "db.query.text";
pub const DB_OPERATION_NAME: &str = "db.operation.name";
pub const DB_COLLECTION_NAME: &str = "db.collection.name";
pub const DB_NAMESPACE: &str = "db.namespace";
pub const DB_STORED_PROCEDURE_NAME: &str = "db.stored_procedure.name";
pub const DB_RESPONSE_STATUS_CODE: &str = "db.response.status_code";

/// A pool of database connections, by name.
pub const DB_POOL_NAME: &str = "db.client.connection.pool.name";
/// `idle` or `used`.
pub const DB_POOL_STATE: &str = "db.client.connection.state";
/// Connections that were open when a request began to wait for one.
pub const POOL_SIZE: &str = "throughline.pool.size";
/// Connections that were in use then.
pub const POOL_IN_USE: &str = "throughline.pool.in_use";
/// Requests that were waiting already.
pub const POOL_WAITING: &str = "throughline.pool.waiting";
/// Seconds.
pub const METRIC_DB_WAIT: &str = "db.client.connection.wait_time";
/// Waits that were given up.
pub const METRIC_DB_TIMEOUTS: &str = "db.client.connection.timeouts";
/// Connections by state.
pub const METRIC_DB_CONNECTIONS: &str = "db.client.connection.count";
/// Connections at most.
pub const METRIC_DB_CONNECTIONS_MAX: &str = "db.client.connection.max";
/// Requests that wait.
pub const METRIC_DB_PENDING: &str = "db.client.connection.pending_requests";
/// Bounds, in seconds, of the database's histograms (the semantic conventions' advice for databases).
pub const DB_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

pub const MESSAGING_SYSTEM: &str = "messaging.system";
pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
/// `send` or `process`.
pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
/// The task's kind.
pub const MESSAGING_DESTINATION_NAME: &str = "messaging.destination.name";
/// The task's id.
pub const MESSAGING_MESSAGE_ID: &str = "messaging.message.id";
/// The value of `messaging.system`: tasks are rows of our own database.
pub const TASK_SYSTEM: &str = "throughline";
/// The number of a run of a task, 1 for the first.
pub const TASK_RUN: &str = "throughline.task.run";
/// Milliseconds between the moment from which a run was due and its start.
pub const TASK_WAIT_MS: &str = "throughline.task.wait_ms";
/// How a run of a task ended: `done`, `failed`, `dead` or `lost`.
pub const TASK_OUTCOME: &str = "throughline.task.outcome";

/// Tasks that are due and that no worker has yet.
pub const METRIC_TASK_WAITING: &str = "throughline.task.waiting";
/// For how many seconds the oldest of them has been due; 0 where none is.
pub const METRIC_TASK_OLDEST: &str = "throughline.task.oldest";
/// Tasks that have failed for good and that nobody has retried or removed.
pub const METRIC_TASK_DEAD: &str = "throughline.task.dead";
/// Runs that have ended, by kind and by outcome.
pub const METRIC_TASK_RUNS: &str = "throughline.task.runs";
/// Seconds that a run took.
pub const METRIC_TASK_DURATION: &str = "throughline.task.duration";
/// Seconds between the moment from which a run was due and its start.
pub const METRIC_TASK_WAIT: &str = "throughline.task.wait";

/// The span in which a request waits for a connection of the database's pool.
pub const SPAN_POOL_ACQUIRE: &str = "pool.acquire";
/// The span in which a request stands in the wait queue of a next hop.
pub const SPAN_UPSTREAM_WAIT: &str = "upstream.wait";

pub const REPLICA: &str = "throughline.replica";
pub const RETRY_REASON: &str = "throughline.retry_reason";
pub const CACHE_RESULT: &str = "throughline.cache.result";
pub const CACHE_REASON: &str = "throughline.cache.reason";
pub const CACHE_HIT: &str = "throughline.cache_hit";
pub const RESPONSE_TIME_MS: &str = "throughline.response_time_ms";
pub const ROUTING_MS: &str = "throughline.routing_ms";
pub const QUEUE_MS: &str = "throughline.queue_ms";
pub const UPSTREAM_MS: &str = "throughline.upstream_ms";
pub const ATTEMPTS: &str = "throughline.attempts";
pub const POOL_WAIT_MS: &str = "throughline.pool_wait_ms";
pub const DB_MS: &str = "throughline.db_ms";

/// Bounds, in seconds, of every duration histogram (the semantic conventions' advice for HTTP).
pub const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

pub const METRIC_SERVER_DURATION: &str = "http.server.request.duration";
pub const METRIC_CLIENT_DURATION: &str = "http.client.request.duration";
pub const METRIC_SERVER_ACTIVE: &str = "http.server.active_requests";
pub const METRIC_DB_DURATION: &str = "db.client.operation.duration";

pub const METRIC_UPSTREAM_IN_FLIGHT: &str = "throughline.upstream.in_flight";
pub const METRIC_UPSTREAM_WAITING: &str = "throughline.upstream.waiting";
pub const METRIC_UPSTREAM_EJECTED: &str = "throughline.upstream.ejected";
pub const METRIC_UPSTREAM_ATTEMPTS: &str = "throughline.upstream.attempts";
pub const METRIC_UPSTREAM_RETRIES: &str = "throughline.upstream.retries";

/// Telemetry about telemetry: how many items of each signal were recorded, exported and dropped.
pub const METRIC_TELEMETRY_RECORDED: &str = "throughline.telemetry.recorded";
/// Confirmed by the receiver, or written.
pub const METRIC_TELEMETRY_EXPORTED: &str = "throughline.telemetry.exported";
/// Given up.
pub const METRIC_TELEMETRY_DROPPED: &str = "throughline.telemetry.dropped";
/// `spans`, `log_lines`, `metric_points`, `stdout_lines`.
pub const SIGNAL: &str = "throughline.signal";
/// Why the trace of a request's caller does not go on: `malformed` or `untrusted`, where it sent a `traceparent`.
pub const TRACEPARENT: &str = "throughline.traceparent";
/// The receiver's address.
pub const COLLECTOR: &str = "throughline.collector";
/// Why something is as it is, in words.
pub const REASON: &str = "throughline.reason";
/// Where in the code, as `file:line:column`.
pub const LOCATION: &str = "throughline.location";

pub const METRIC_CACHE_REQUESTS: &str = "throughline.cache.requests";
pub const METRIC_CACHE_SIZE: &str = "throughline.cache.size";
pub const METRIC_CACHE_ENTRIES: &str = "throughline.cache.entries";
pub const METRIC_CACHE_EVICTIONS: &str = "throughline.cache.evictions";
pub const METRIC_CACHE_AGE: &str = "throughline.cache.age";
pub const METRIC_CACHE_SAVED: &str = "throughline.cache.saved_time";
pub const METRIC_CACHE_SECOND_LOOKS: &str = "throughline.cache.second_level.looks";
pub const METRIC_CACHE_SECOND_FILLS: &str = "throughline.cache.second_level.fills";
pub const METRIC_CACHE_SECOND_USED: &str = "throughline.cache.second_level.used";

/// Made by the Collector of every span (its `spanmetrics` connector): how many there were.
pub const METRIC_SPAN_CALLS: &str = "traces.span.metrics.calls";
/// The same, in seconds; its buckets carry traces as exemplars.
pub const METRIC_SPAN_DURATION: &str = "traces.span.metrics.duration";
pub const SPAN_NAME: &str = "span.name";
/// `SPAN_KIND_SERVER`, `SPAN_KIND_CLIENT`, …
pub const SPAN_KIND: &str = "span.kind";
/// `STATUS_CODE_ERROR`, `STATUS_CODE_UNSET`, `STATUS_CODE_OK`.
pub const SPAN_STATUS: &str = "status.code";

/// Made by the Collector about itself: what Jaeger has not taken yet, in the unit of its queue (ours: bytes).
pub const METRIC_COLLECTOR_QUEUE_SIZE: &str = "otelcol_exporter_queue_size";
/// The most of it, in the same unit.
pub const METRIC_COLLECTOR_QUEUE_CAPACITY: &str = "otelcol_exporter_queue_capacity";
/// What could not be handed on, by exporter.
pub const METRIC_COLLECTOR_FAILED_SPANS: &str = "otelcol_exporter_send_failed_spans";
pub const METRIC_COLLECTOR_FAILED_LOG_LINES: &str = "otelcol_exporter_send_failed_log_records";
pub const METRIC_COLLECTOR_FAILED_METRIC_POINTS: &str = "otelcol_exporter_send_failed_metric_points";
/// The exporter's name in `otel-collector.yaml`.
pub const COLLECTOR_EXPORTER: &str = "exporter";
