//! Where one signal goes: protocol, address, headers, compression and time limit, by `--otlp-endpoint` and the
//! `OTEL_EXPORTER_OTLP_*` variables (the one of the signal before the one of all).
//!
//! Refuses: `https` (plain text to a Collector nearby is what is supported) and credentials inside an address.
//! Secrets in headers are never part of an error.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri, uri::Scheme};

use crate::{
    environment::{Variables, milliseconds, pairs},
    start::StartError,
};

/// One of the three streams of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
    Metrics,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    HttpProtobuf,
}

/// Everything that is needed to send one signal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Destination {
    pub(crate) signal: Signal,
    pub(crate) protocol: Protocol,
    /// Over HTTP with the signal's path.
    pub(crate) endpoint: Uri,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) gzip: bool,
    /// Of one attempt.
    pub(crate) timeout: Duration,
}

impl Signal {
    /// As it is spelt in the names of variables.
    fn variable(self) -> &'static str {
        match self {
            Signal::Traces => "TRACES",
            Signal::Logs => "LOGS",
            Signal::Metrics => "METRICS",
        }
    }

    /// The path under a base address (OTLP/HTTP).
    fn http_path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Logs => "/v1/logs",
            Signal::Metrics => "/v1/metrics",
        }
    }

    /// The method of OTLP/gRPC.
    pub(crate) fn grpc_path(self) -> &'static str {
        match self {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

impl Destination {
    /// None where the signal is switched off (`OTEL_TRACES_EXPORTER=none`).
    pub(crate) fn read(
        signal: Signal,
        given: Option<&str>,
        variables: &Variables<'_>,
    ) -> Result<Option<Self>, StartError> {
        let exporter = format!("OTEL_{}_EXPORTER", signal.variable());
        let exported = variables.read(&exporter, "`otlp` or `none`", |name| match name {
            "otlp" => Some(true),
            "none" => Some(false),
            _ => None,
        })?;
        if exported == Some(false) {
            return Ok(None);
        }
        let own = |what: &str| format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.variable());
        let protocol = variables
            .first([&own("PROTOCOL"), "OTEL_EXPORTER_OTLP_PROTOCOL"], "`grpc` or `http/protobuf`", protocol)?
            .unwrap_or(Protocol::Grpc);
        let compression = [&own("COMPRESSION"), "OTEL_EXPORTER_OTLP_COMPRESSION"];
        let gzip = variables.first(compression, "`gzip` or `none`", |name| match name {
            "gzip" => Some(true),
            "none" => Some(false),
            _ => None,
        })?;
        let timeout = [&own("TIMEOUT"), "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let timeout = variables.first(timeout, "a whole number of milliseconds above 0", milliseconds)?;
        Ok(Some(Destination {
            signal,
            protocol,
            endpoint: endpoint(signal, protocol, given, variables, &own("ENDPOINT"))?,
            headers: headers([&own("HEADERS"), "OTEL_EXPORTER_OTLP_HEADERS"], variables)?,
            gzip: gzip == Some(true),
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
        }))
    }

    /// The address as people are told about it.
    pub(crate) fn address(&self) -> String {
        self.endpoint.authority().map(ToString::to_string).unwrap_or_default()
    }
}

fn protocol(name: &str) -> Option<Protocol> {
    match name {
        "grpc" => Some(Protocol::Grpc),
        "http/protobuf" => Some(Protocol::HttpProtobuf),
        _ => None,
    }
}

/// A signal's own variable is the whole address; the others are a base below which OTLP/HTTP has its paths.
fn endpoint(
    signal: Signal,
    protocol: Protocol,
    given: Option<&str>,
    variables: &Variables<'_>,
    own: &str,
) -> Result<Uri, StartError> {
    const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let default = match protocol {
        Protocol::Grpc => "http://127.0.0.1:4317",
        Protocol::HttpProtobuf => "http://127.0.0.1:4318",
    };
    let (setting, text, is_base) = match (given, variables.get(own), variables.get(ALL)) {
        (Some(text), ..) => ("--otlp-endpoint", text.to_owned(), true),
        (None, Some(text), _) => (own, text, false),
        (None, None, Some(text)) => (ALL, text, true),
        (None, None, None) => (ALL, default.to_owned(), true),
    };
    let refused = || StartError {
        setting: setting.to_owned(),
        value: if text.contains('@') { "****".to_owned() } else { text.clone() },
        expected: "the address of a Collector in plain text, like `http://127.0.0.1:4317`; \
            `https` and credentials in the address are not supported"
            .to_owned(),
    };
    let base: Uri = text.parse().map_err(|_: http::uri::InvalidUri| refused())?;
    let plain = base.scheme() == Some(&Scheme::HTTP);
    let authority = base.authority().filter(|authority| plain && !authority.as_str().contains('@'));
    let authority = authority.ok_or_else(refused)?;
    let path = match (protocol, is_base) {
        (Protocol::Grpc, _) => "/".to_owned(),
        (Protocol::HttpProtobuf, true) => {
            format!("{}{}", base.path().trim_end_matches('/'), signal.http_path())
        }
        (Protocol::HttpProtobuf, false) => base.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
    };
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority.clone())
        .path_and_query(path)
        .build()
        .map_err(|_| refused())
}

fn headers(
    names: [&str; 2],
    variables: &Variables<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>, StartError> {
    let parse = |text: &str| {
        pairs(text)?
            .into_iter()
            .map(|(name, value)| {
                let mut value = HeaderValue::try_from(value).ok()?;
                value.set_sensitive(true);
                Some((HeaderName::try_from(name).ok()?, value))
            })
            .collect::<Option<Vec<_>>>()
    };
    let headers = variables.first(names, "`name=value,name=value`, values percent-encoded", parse);
    // What is inside is most likely a credential.
    let headers = headers.map_err(|error| StartError { value: "****".to_owned(), ..error })?;
    Ok(headers.unwrap_or_default())
}
