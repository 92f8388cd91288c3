//! `ready ADDRESS`: asks a service's admin address whether it can serve; the health check of images without a shell.
//!
//! Exit 0 ready, 1 not ready (with what is missing on standard error).

use std::{io::Write, process::ExitCode, time::Duration};

use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::ask::get;

/// A service that takes longer to say so is not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after one answer the next is asked for, with `--wait`.
const PAUSE: Duration = Duration::from_millis(20);

/// What can be told to `ready`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// The service's admin address: `127.0.0.1:9901` or `http://127.0.0.1:9901`
    #[arg(value_name = "ADDRESS", value_parser = host_and_port)]
    address: String,
    /// Ask again until it is ready, for so long
    #[arg(long, value_name = "DURATION", value_parser = service::parse_duration)]
    wait: Option<Duration>,
}

/// Runs it.
pub(crate) fn run(settings: &Settings) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(until_ready(&settings.address, settings.wait.unwrap_or_default()))
    });
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(missing) => {
            // Where nobody reads standard error, the exit code tells.
            let _ = writeln!(std::io::stderr(), "not ready: {missing:#}");
            ExitCode::FAILURE
        }
    }
}

/// Asks `/readyz` until the answer is yes or the time is over; the last reason is the error.
pub(crate) async fn until_ready(address: &str, wait: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + wait;
    loop {
        let missing = match get(address, "/readyz", PATIENCE).await {
            Ok(answer) if answer.status == StatusCode::OK => return Ok(()),
            Ok(answer) => anyhow::anyhow!("{}", printable(&answer.body)),
            Err(error) => error,
        };
        if Instant::now() + PAUSE > deadline {
            return Err(missing);
        }
        sleep(PAUSE).await;
    }
}

/// On one line, and without what could steer a terminal: anything may answer at that address.
fn printable(text: &str) -> String {
    let lines =
        text.lines().map(|line| line.chars().filter(|c| !c.is_control()).take(500).collect::<String>());
    lines.take(20).collect::<Vec<_>>().join(", ")
}

fn host_and_port(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").unwrap_or(text);
    let address = rest.split('/').next().unwrap_or_default();
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(1..)) if !address.contains(['@', '?', '#', ' ']) => Ok(address.to_owned()),
        _ => Err("must be a host and a port: `127.0.0.1:9901` or `http://127.0.0.1:9901`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_their_url() {
        let table = [
            ("127.0.0.1:9901", Some("127.0.0.1:9901")),
            ("[::1]:9901", Some("[::1]:9901")),
            ("cache:9901", Some("cache:9901")),
            ("http://cache:9901", Some("cache:9901")),
            ("http://cache:9901/readyz", Some("cache:9901")),
            ("https://cache:9901", None),
            ("cache", None),
            (":9901", None),
            ("cache:0", None),
            ("cache:65536", None),
            ("user@cache:9901", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(host_and_port(text).ok().as_deref(), expected, "{text:?}");
        }
    }
}
