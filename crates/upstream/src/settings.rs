//! What can be told about a next hop: its addresses, how a replica is picked, and every bound of the way to it.
//!
//! Promises: a value that cannot be used is refused while flags are read, with the form that is accepted.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use crate::{pick::Balance, rendezvous::LoadFactor};

/// What is behind, and the bounds of the way there; flattened into each proxy's own settings.
///
/// The time-outs of an inner proxy are shorter than those of the outer one, so
/// that it is the inner one, which knows more, that says what went wrong: see [`Settings::behind_a_proxy`].
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Next hop")]
// Its name is that of the settings it is flattened into, and two groups of one name panic in clap.
#[group(skip)]
pub struct Settings {
    /// Address of the next hop, `http://host:port`; repeatable, a DNS name stands for all its addresses
    #[arg(
        long = "upstream",
        env = "THROUGHLINE_UPSTREAM",
        value_name = "URL",
        value_delimiter = ',',
        required = true
    )]
    pub upstream: Vec<Address>,
    /// How a replica is picked
    #[arg(long, env = "THROUGHLINE_BALANCE", value_name = "POLICY", default_value = "least-loaded")]
    pub balance: Balance,
    /// How uneven the load may be that keys make: no flag here, since only who knows what its replicas share can offer it.
    #[arg(skip)]
    pub hash_load_factor: LoadFactor,
    /// Time between two lookups of the DNS names
    #[arg(long, env = "THROUGHLINE_RESOLVE_INTERVAL", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub resolve_interval: Duration,
    /// Most requests in flight at one replica; further ones wait
    #[arg(long, env = "THROUGHLINE_MAX_IN_FLIGHT", value_name = "COUNT", default_value_t = 256, value_parser = count(1..=1_000_000))]
    pub max_in_flight: u32,
    /// Most requests that wait for a place at one replica; further ones are refused with 503
    #[arg(long, env = "THROUGHLINE_QUEUE_LENGTH", value_name = "COUNT", default_value_t = 1024, value_parser = count(0..=1_000_000))]
    pub queue_length: u32,
    /// Longest wait for a place; after it the request is refused with 503
    #[arg(long, env = "THROUGHLINE_QUEUE_TIMEOUT", value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub queue_timeout: Duration,
    /// Longest wait for a connection
    #[arg(long, env = "THROUGHLINE_CONNECT_TIMEOUT", value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// Longest wait of one attempt for the head of the answer [default: 10s; 5s at the cache]
    #[arg(long, env = "THROUGHLINE_TRY_TIMEOUT", value_name = "DURATION", value_parser = duration)]
    pub try_timeout: Option<Duration>,
    /// Longest wait of all attempts together for the head of the answer [default: 30s; 9s at the cache]
    #[arg(long, env = "THROUGHLINE_REQUEST_TIMEOUT", value_name = "DURATION", value_parser = duration)]
    pub request_timeout: Option<Duration>,
    /// Longest standstill within the body of an answer
    #[arg(long, env = "THROUGHLINE_ANSWER_IDLE_TIMEOUT", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub answer_idle_timeout: Duration,
    /// Most attempts for one request; a further one is made only where that is safe
    #[arg(long, env = "THROUGHLINE_ATTEMPTS", value_name = "COUNT", default_value_t = 3, value_parser = count(1..=10))]
    pub attempts: u32,
    /// Most idle connections that each thread keeps to one replica
    #[arg(long, env = "THROUGHLINE_MAX_IDLE_CONNECTIONS", value_name = "COUNT", default_value_t = 128, value_parser = count(0..=1_000_000))]
    pub max_idle_connections: u32,
    /// How long an idle connection is kept
    #[arg(long, env = "THROUGHLINE_IDLE_CONNECTION_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub idle_connection_timeout: Duration,
}

impl Settings {
    /// These settings with the defaults of a proxy that has another proxy of ours in front of it: whatever was not
    /// given is shorter than the outer one's.
    pub fn behind_a_proxy(mut self) -> Settings {
        self.try_timeout.get_or_insert(Duration::from_secs(5));
        self.request_timeout.get_or_insert(Duration::from_secs(9));
        self
    }

    pub(crate) fn try_timeout(&self) -> Duration {
        self.try_timeout.unwrap_or(Duration::from_secs(10))
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout.unwrap_or(Duration::from_secs(30))
    }
}

/// Where a next hop is: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or a literal IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A text that is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `http://host:port`{0}")]
pub struct AddressError(&'static str);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: http::Uri = text.trim().parse().map_err(|_: http::uri::InvalidUri| AddressError(""))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(AddressError(": TLS to a next hop is not spoken")),
            _ => return Err(AddressError("")),
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(AddressError(", without a path"));
        }
        let authority = uri.authority().ok_or(AddressError(""))?;
        if authority.as_str().contains('@') {
            return Err(AddressError(", without a user"));
        }
        let (host, rest) = authority.as_str().split_at(authority.host().len());
        let port = match rest.strip_prefix(':').map(str::parse) {
            None => 80,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return Err(AddressError(" with a port from 1 to 65535")),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(AddressError(""));
        }
        Ok(Address { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "http://[{}]:{}", self.host, self.port),
            false => write!(f, "http://{}:{}", self.host, self.port),
        }
    }
}

/// A duration as the flags of every service take it; a standstill of nothing is none.
fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "must be a whole number with its unit, more than 0: `500ms`, `10s`, `2m` or `1h`";
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(FORM)?;
    let (number, unit) = text.split_at(unit_at);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(FORM),
    };
    let number = number.parse().ok().filter(|number: &u32| *number > 0).ok_or(FORM)?;
    Ok(Duration::from_millis(u64::from(number) * milliseconds))
}

/// A whole number within these bounds; what is none and what is out of bounds are told the same accepted form.
fn count(range: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_host_port_and_nothing_else() {
        let check = |text: &str, expected: &str| {
            let got = match text.parse::<Address>() {
                Ok(address) => address.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected, "{text}");
        };
        check("http://127.0.0.1:9000", "http://127.0.0.1:9000");
        check(" http://api:9000/ ", "http://api:9000");
        check("http://[::1]:9000", "http://[::1]:9000");
        check("http://api", "http://api:80");
        check("https://api:1", "must be `http://host:port`: TLS to a next hop is not spoken");
        check("http://api:1/v1", "must be `http://host:port`, without a path");
        check("http://me:secret@api:1", "must be `http://host:port`, without a user");
        check("http://api:0", "must be `http://host:port` with a port from 1 to 65535");
        check("http://api:99999", "must be `http://host:port` with a port from 1 to 65535");
        check("http://api:", "must be `http://host:port` with a port from 1 to 65535");
        check("api:9000", "must be `http://host:port`");
        check("", "must be `http://host:port`");
    }

    #[test]
    fn a_duration_is_a_number_with_its_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["0s", "-1s", "1.5s", "10", "s", "", "99999999999s", "1d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_count_is_refused_with_its_accepted_form() {
        let attempts = count(1..=10);
        assert_eq!((attempts("1"), attempts("10")), (Ok(1), Ok(10)));
        for text in ["0", "11", "-1", "x", "", "1.0"] {
            assert_eq!(attempts(text), Err("must be a whole number from 1 to 10".to_owned()), "{text}");
        }
    }
}
