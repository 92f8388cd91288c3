//! What `up` tells: sentences for a person, or with `--json` one object a line for a program. Failures go to standard
//! error as a sentence in both cases.

use std::{fmt::Display, io::Write, net::SocketAddr, path::Path, process::ExitStatus};

use serde_json::{Value, json};

use super::{directory::Directory, first::First, keep::Running};

#[derive(Clone, Debug)]
pub(super) struct Tell {
    json: bool,
}

impl Tell {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Every child can serve.
    pub(super) fn ready(&self, edge: SocketAddr, directory: &Directory, children: &[Running]) {
        let services: Vec<_> = children.iter().map(|child| described(child, directory)).collect();
        self.event(|| {
            json!({
                "event": "ready",
                "address": edge.to_string(),
                "telemetry": directory.telemetry(),
                "services": services,
            })
        });
    }

    /// The first request has been answered.
    pub(super) fn first(&self, first: &First) {
        self.event(|| {
            json!({
                "event": "story", "status": first.status, "trace_id": first.trace_id, "story": first.story
            })
        });
        self.sentence(|| match &first.story {
            Some(story) => story.trim_end().to_owned() + "\n",
            None => {
                format!("The first request was answered {}; its trace is {}.\n", first.status, first.trace_id)
            }
        });
    }

    /// What a person could do now.
    pub(super) fn what_next(&self, edge: SocketAddr, directory: &Directory, files: Option<&Path>) {
        self.sentence(|| what_next(edge, directory, files));
    }

    pub(super) fn exited(&self, name: &str, pid: u32, status: ExitStatus, log: &str) {
        self.event(
            || json!({"event": "exited", "name": name, "pid": pid, "status": status.to_string(), "log": log}),
        );
        self.sentence(|| {
            format!("{name} ended ({status}) and is started again; its last words are in {log}")
        });
    }

    pub(super) fn restarted(&self, child: &Running) {
        self.event(|| json!({"event": "restarted", "name": child.name, "pid": child.pid}));
        self.sentence(|| format!("{} serves again", child.name));
    }

    pub(super) fn killed(&self, name: &str, pid: u32) {
        self.event(|| json!({"event": "killed", "name": name, "pid": pid}));
        self.sentence(|| format!("{name} did not drain in time and was killed"));
    }

    pub(super) fn stopped(&self) {
        self.event(|| json!({"event": "stopped"}));
        self.sentence(|| "Stopped.".to_owned());
    }

    pub(super) fn failed(&self, error: &anyhow::Error) {
        // Where nobody reads standard error, the exit code tells.
        let _ = writeln!(std::io::stderr(), "throughline up: {error:#}");
    }

    fn event(&self, event: impl FnOnce() -> Value) {
        if self.json {
            say(event());
        }
    }

    fn sentence(&self, text: impl FnOnce() -> String) {
        if !self.json {
            say(text());
        }
    }
}

/// A system whose reader has gone runs on.
fn say(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn described(child: &Running, directory: &Directory) -> Value {
    let listens: Vec<_> = child.addresses.listens.iter().map(SocketAddr::to_string).collect();
    json!({
        "service": child.service,
        "name": child.name,
        "pid": child.pid,
        "address": listens.first(),
        "addresses": listens,
        "admin": child.addresses.admin.to_string(),
        "log": directory.log(&child.name),
    })
}

/// A path as a shell takes it for one word.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if path.chars().all(plain) && !path.is_empty() {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

fn what_next(edge: SocketAddr, directory: &Directory, files: Option<&Path>) -> String {
    let this = quoted(&std::env::args().next().unwrap_or_else(|| "throughline".to_owned()));
    let bookings = format!("http://{edge}/api/bookings");
    let mut text = format!(
        "Serving on http://{edge} until Ctrl-C. Try:

  curl -i {bookings}
  curl -i {bookings} --json '{{\"resource\":\"room-1\",\"guest\":\"Ada\",\"starts_at\":\"2030-01-01T10:00:00Z\",\"ends_at\":\"2030-01-01T11:00:00Z\"}}'
"
    );
    if let Some(files) = files {
        let from = if files == Path::new("./throughline-data/telemetry") {
            String::new()
        } else {
            format!(" --from {}", quoted(&files.display().to_string()))
        };
        text += &format!(
            "  {this} trace ID{from}    (the x-trace-id of any answer)

The Collector's files are in {}, ",
            files.display()
        );
    } else {
        text += "\n";
    }
    text + &format!("what the processes say in {}.", directory.logs().display())
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        let table = [
            ("./data/telemetry", "./data/telemetry"),
            ("my data/telemetry", "'my data/telemetry'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
            ("~/x", "'~/x'"),
            ("", "''"),
        ];
        for (path, expected) in table {
            assert_eq!(quoted(path), expected, "{path:?}");
        }
    }
}
