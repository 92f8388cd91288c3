//! One child process: this same binary as a service, its output in a file, its life tied to a pipe from us.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context;
use serde_json::Value;
use tokio::{
    process::{Child as Process, ChildStdin, Command},
    time::{sleep, timeout},
};

use super::{directory::Directory, plan::Plan};

/// How often a child's output is looked at until it says where it listens.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How long a child may take to drain; longer than a service's own drain timeout and its flush.
const DRAIN: Duration = Duration::from_secs(20);

/// Where a child serves: chosen at its first start, kept at every further one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// In the order of its flags; a worker has none.
    pub(super) listens: Vec<SocketAddr>,
    pub(super) admin: SocketAddr,
}

/// A running child; killed when dropped.
pub(super) struct Child {
    process: Process,
    /// Apart from its process, because waiting for that would close it.
    pipe: Option<ChildStdin>,
    pub(super) pid: u32,
    output: Output,
}

/// What a child has said since it was started, in a file that it shares with those before it.
struct Output {
    file: PathBuf,
    from: u64,
}

impl Child {
    pub(super) fn start(
        plan: &Plan,
        directory: &Directory,
        addresses: Option<&Addresses>,
    ) -> anyhow::Result<Self> {
        let name = plan.name();
        let log = directory.log(&name);
        let starting = || format!("cannot start {name}");
        let output = File::options().create(true).append(true).open(&log);
        let output =
            output.with_context(|| format!("cannot open `{}`", log.display())).with_context(starting)?;
        let from = output.metadata().with_context(starting)?.len();
        let mut command = Command::new(std::env::current_exe().with_context(starting)?);
        command.arg(plan.subcommand()).args(plan.flags(addresses)).args(&plan.arguments);
        command.args(["--instance", &name, "--supervised"]);
        command.envs(plan.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(output.try_clone().with_context(starting)?).stderr(output);
        // A group of its own: a terminal's Ctrl-C reaches `up` alone, which drains its children in order.
        command.process_group(0).kill_on_drop(true);
        let mut process = command.spawn().with_context(starting)?;
        let (pipe, pid) = (process.stdin.take(), process.id().unwrap_or_default());
        Ok(Self { process, pipe, pid, output: Output { file: log, from } })
    }

    /// Waits until it says where it listens. Its end is the error.
    pub(super) async fn listening(&mut self) -> Result<Addresses, ExitStatus> {
        tokio::select! {
            addresses = self.output.listening() => Ok(addresses),
            status = self.process.wait() => Err(known(status)),
        }
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        known(self.process.wait().await)
    }

    /// Closes its pipe and waits until it has drained; one that does not is killed. Returns whether it drained.
    pub(super) async fn drain(mut self) -> bool {
        drop(self.pipe.take());
        timeout(DRAIN, self.process.wait()).await.is_ok()
    }

    /// What it said when it failed, for a sentence: what is on standard error begins with it, else the log's last line.
    pub(super) fn last_words(&self) -> Option<String> {
        // An unreadable file has no last words; its path is told beside them.
        let lines = self.output.lines().ok()?;
        let words = last_words(&lines)?;
        Some(words.chars().filter(|c| !c.is_control()).take(1000).collect())
    }
}

fn last_words(lines: &[String]) -> Option<String> {
    let mut plain = lines.iter().filter(|line| !line.starts_with('{') && !line.trim().is_empty());
    match plain.next() {
        // A panic says where, and on the next line what.
        Some(place) if place.ends_with(':') => {
            Some(format!("{place} {}", plain.next().map_or("", String::as_str)))
        }
        Some(line) => Some(line.clone()),
        None => lines.last().cloned(),
    }
}

/// Waiting for a child fails only if somebody else has waited for it.
fn known(status: io::Result<ExitStatus>) -> ExitStatus {
    status.unwrap_or_default()
}

impl Output {
    async fn listening(&self) -> Addresses {
        loop {
            // The file is there: it was made before the child was.
            let lines = self.lines().unwrap_or_default();
            if let Some(addresses) = lines.iter().find_map(|line| addresses(line)) {
                return addresses;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn lines(&self) -> io::Result<Vec<String>> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.from))?;
        let lines = BufReader::new(file).split(b'\n');
        lines.map(|line| line.map(|line| String::from_utf8_lossy(&line).into_owned())).collect()
    }
}

/// The addresses of a line `listening`.
fn addresses(line: &str) -> Option<Addresses> {
    // Half a line is no JSON yet: it is read again.
    let line: Value = serde_json::from_str(line).ok()?;
    if line["message"] != "listening" {
        return None;
    }
    let listens = line["address"].as_str()?.split(',').filter(|listen| !listen.is_empty());
    let listens = listens.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Addresses { listens, admin: line["admin"].as_str()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(&[&str], &str)>) {
        let expected = expected.map(|(listens, admin)| Addresses {
            listens: listens.iter().map(|listen| listen.parse().unwrap()).collect(),
            admin: admin.parse().unwrap(),
        });
        assert_eq!(addresses(line), expected, "{line}");
    }

    #[test]
    fn last_words_are_the_error_itself() {
        let table: [(&[&str], Option<&str>); 5] = [
            (
                &["{\"level\":\"INFO\"}", "http_server: cannot open the database: refused"],
                Some("http_server: cannot open the database: refused"),
            ),
            (
                &["error: invalid value", "", "For more information, try '--help'."],
                Some("error: invalid value"),
            ),
            (
                &["", "thread 'main' panicked at x.rs:1:", "oh", "stack backtrace:"],
                Some("thread 'main' panicked at x.rs:1: oh"),
            ),
            (&["{\"a\":1}", "{\"a\":2}"], Some("{\"a\":2}")),
            (&[], None),
        ];
        for (lines, expected) in table {
            let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
            assert_eq!(last_words(&lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn addresses_are_learned_from_the_line_listening() {
        let one: &[&str] = &["127.0.0.1:1"];
        let two: &[&str] = &["127.0.0.1:1", "127.0.0.1:2"];
        check(
            r#"{"message":"listening","address":"127.0.0.1:1","admin":"127.0.0.1:9"}"#,
            Some((one, "127.0.0.1:9")),
        );
        check(
            r#"{"message":"listening","address":"127.0.0.1:1,127.0.0.1:2","admin":"[::1]:9"}"#,
            Some((two, "[::1]:9")),
        );
        check(r#"{"message":"draining","address":"127.0.0.1:1","admin":"127.0.0.1:9"}"#, None);
        check(r#"{"message":"listening","address":"","admin":"127.0.0.1:9"}"#, Some((&[], "127.0.0.1:9")));
        check(r#"{"message":"listening","address":"here","admin":"127.0.0.1:9"}"#, None);
        check(r#"{"message":"listening","address":"127.0.0.1:1""#, None);
        check("listening", None);
    }
}
