//! What every service can be told besides what it serves. Every setting is a flag and a variable of the environment;
//! clap checks it before anything opens.

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

/// Flattened into each program's own settings.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Process")]
// A program that flattens this in calls its own settings the same, and two groups of one name panic in clap.
#[group(skip)]
pub struct Settings {
    /// Address of /healthz, /readyz and what an operator asks; keep it off the public network
    #[arg(long, env = "THROUGHLINE_ADMIN_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = parse_address)]
    pub admin_listen: SocketAddr,
    /// Name of this instance [default: a random UUID]
    #[arg(long, env = "THROUGHLINE_INSTANCE", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub instance: Option<String>,
    /// Collector that traces, logs and metrics are sent to [default: what OTEL_EXPORTER_OTLP_ENDPOINT says, else
    /// http://127.0.0.1:4317]
    #[arg(long, env = "THROUGHLINE_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub otlp_endpoint: Option<String>,
    /// Threads that serve HTTP [default: the cores there are]
    #[arg(long, env = "THROUGHLINE_THREADS", value_name = "NUMBER", value_parser = parse_number(1_u16..=256))]
    pub threads: Option<u16>,
    /// How long requests in flight may take to end once the process has been asked to stop
    #[arg(long, env = "THROUGHLINE_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub drain_timeout: Duration,
    /// Drain when standard input closes: how `throughline up` ends its children, whatever becomes of itself
    #[arg(long, env = "THROUGHLINE_SUPERVISED", hide = true)]
    pub supervised: bool,
}

impl Settings {
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => usize::from(threads),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Reads a duration as every flag takes it: a whole number and its unit, `500ms`, `10s`, `2m` or `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || "must be a whole number with its unit: `500ms`, `10s`, `2m` or `1h`".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(unit_at);
    // The number is digits only: what fails here is an empty one or one beyond 64 bits.
    let number: u64 = number.parse().map_err(|_| expected())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    milliseconds.map(Duration::from_millis).ok_or_else(expected)
}

/// Reads a whole number within these bounds. Unlike clap's own parser it tells the accepted form in every case.
pub fn parse_number<N>(range: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        // Whether it is no number or one out of bounds, the same form is accepted.
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// Reads an address to listen on: an IP address and a port, where port 0 lets the system choose.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    // What is wrong with it helps less than what is right.
    text.parse().map_err(|_| "must be an IP address and a port: `127.0.0.1:8080` or `[::1]:8080`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_is_an_ip_address_and_a_port() {
        let table = [
            ("127.0.0.1:0", true),
            ("[::1]:80", true),
            ("localhost:80", false),
            ("127.0.0.1", false),
            (":80", false),
            ("", false),
        ];
        for (text, good) in table {
            assert_eq!(parse_address(text).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn a_number_is_whole_and_within_its_bounds() {
        let table = [
            ("1", Some(1)),
            ("256", Some(256)),
            ("0", None),
            ("257", None),
            ("10M", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in table {
            let parsed = parse_number(1_u16..=256)(text);
            assert_eq!(parsed.clone().ok(), expected, "{text:?}");
            let said = "must be a whole number from 1 to 256";
            assert_eq!(parsed.err().as_deref(), expected.is_none().then_some(said), "{text:?}");
        }
    }

    #[test]
    fn a_duration_is_a_number_and_its_unit() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let table = [
            ("500ms", ms(500)),
            ("0s", ms(0)),
            ("10s", ms(10_000)),
            ("2m", ms(120_000)),
            ("1h", ms(3_600_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("+1s", None),
            ("1.5s", None),
            ("1 s", None),
            (" 1s", None),
            ("1s ", None),
            ("1S", None),
            ("1d", None),
            ("1µs", None),
            ("18446744073709551615h", None),
            ("18446744073709551616ms", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_duration(text).ok(), expected, "{text:?}");
        }
    }
}
