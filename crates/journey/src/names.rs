//! The names that journey reads, once: attributes of spans and resources, and fields of a log line.
//!
//! They are OpenTelemetry's, with the older spellings that other systems still write; the first spelling found wins.

/// The resource attribute that names the service.
pub const SERVICE: &str = "service.name";
/// The resource attribute that names the process.
pub const INSTANCE: &str = "service.instance.id";

/// The request's method.
pub const METHOD: &[&str] = &["http.request.method", "http.method"];
/// The request's path.
pub const PATH: &[&str] = &["url.path", "http.target", "url.full", "http.url"];
/// The template that the path matched.
pub const ROUTE: &[&str] = &["http.route"];
/// The answer's status.
pub const STATUS: &[&str] = &["http.response.status_code", "http.status_code"];
/// Which try of a request this is, counted from 0.
pub const RESEND_COUNT: &[&str] = &["http.request.resend_count", "http.resend_count"];
/// The kind of failure.
pub const ERROR_TYPE: &str = "error.type";
/// The other end's name, and its port.
pub const PEER: &[(&str, &str)] = &[
    ("server.address", "server.port"),
    ("network.peer.address", "network.peer.port"),
    ("net.peer.name", "net.peer.port"),
];
/// The name that the other end goes by, whatever its address.
pub const PEER_SERVICE: &[&str] = &["service.peer.name", "peer.service"];
/// The kind of database.
pub const DATABASE: &[&str] = &["db.system.name", "db.system"];

/// The replica that an attempt went to.
pub const REPLICA: &str = "throughline.replica";
/// Why the attempt before this one was not enough.
pub const RETRY_REASON: &str = "throughline.retry_reason";
/// What a cache decided.
pub const CACHE_RESULT: &str = "throughline.cache.result";
/// Why it decided so.
pub const CACHE_REASON: &str = "throughline.cache.reason";
/// How many connections of a pool were in use when one more was asked for.
pub const POOL_IN_USE: &str = "throughline.pool.in_use";
/// How many connections the pool may have.
pub const POOL_SIZE: &str = "throughline.pool.size";
/// How many others were waiting for one.
pub const POOL_WAITING: &str = "throughline.pool.waiting";
/// Systems that keep values by key, mostly in memory: what is asked of them is a look-up, not a statement.
pub const KEY_VALUE_SYSTEMS: &[&str] = &["redis", "valkey", "memcached"];
/// Spans in which a connection of a pool is waited for.
pub const POOL_WAIT_SPANS: &[&str] = &["pool.acquire", "pg-pool.connect"];
/// Spans in which a request stands in a proxy's wait queue.
pub const WAIT_QUEUE_SPANS: &[&str] = &["upstream.wait"];
/// Spans in which a cache waits for the fetch of another one.
pub const CACHE_WAIT_SPANS: &[&str] = &["cache.wait"];
/// [`CACHE_RESULT`] of a request that shared the fetch of another one.
pub const COLLAPSED: &str = "collapsed";
/// What kind of message a consumer acts on.
pub const MESSAGE_KIND: &[&str] = &["messaging.destination.name", "messaging.destination"];
/// What carries the message.
pub const MESSAGE_SYSTEM: &[&str] = &["messaging.system"];
/// How often somebody has acted on it, this time included.
pub const RUN: &str = "throughline.task.run";
/// The name of the event that tells of an exception.
pub const EXCEPTION: &str = "exception";
/// An exception's kind.
pub const EXCEPTION_TYPE: &str = "exception.type";
/// What an exception says, with the causes that it names.
pub const EXCEPTION_MESSAGE: &str = "exception.message";
/// Where an exception was raised: many lines of text.
pub const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";

/// OpenTelemetry's attributes that have a name of their own in the flat line: (attribute, field).
pub const LINE_FIELDS: &[(&str, &str)] = &[
    ("http.request.method", "method"),
    ("url.path", "path"),
    ("http.response.status_code", "status"),
    ("log.record.uid", "uid"),
];
/// The prefix that the flat line drops from attributes.
pub const OWN_PREFIX: &str = "throughline.";

/// When it was written, and the spellings of other loggers.
pub const LINE_TIMESTAMP: &[&str] = &["timestamp", "time", "ts", "@timestamp"];
/// How grave it is.
pub const LINE_LEVEL: &[&str] = &["level", "severity"];
/// Whose line it is.
pub const LINE_SERVICE: &[&str] = &["service", SERVICE];
/// The process that wrote it.
pub const LINE_INSTANCE: &[&str] = &["instance", INSTANCE];
/// Says that two lines are one.
pub const LINE_UID: &[&str] = &["uid", "log.record.uid"];
/// The code that speaks.
pub const LINE_LOGGER: &[&str] = &["logger"];
/// What happened.
pub const LINE_MESSAGE: &[&str] = &["message", "msg"];
/// The trace that it belongs to.
pub const LINE_TRACE: &[&str] = &["trace_id", "traceId", "traceid"];
/// The span within which it was written.
pub const LINE_SPAN: &[&str] = &["span_id", "spanId", "spanid"];
/// How long the request took, in milliseconds, on the line that sums it up.
pub const LINE_RESPONSE_TIME: &str = "response_time_ms";
/// How long the run of a task took, in milliseconds, on the line that sums it up.
pub const LINE_RUN_TIME: &str = "run_ms";
/// How many times a next hop was asked, on the same line.
pub const LINE_ATTEMPTS: &str = "attempts";
