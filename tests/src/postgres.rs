//! A PostgreSQL of our own for tests: a private cluster in a temporary directory, reached by a Unix socket only.
//!
//! One cluster a test process, one database a test. A supervising shell holds the cluster and waits on a pipe from this
//! process: however the process ends, killed included, the pipe closes, and the cluster is stopped and removed.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::geteuid;
use tokio_postgres::NoTls;

/// Answers each line of its input with one of its own. `trap`: a Ctrl-C at the terminal is for the tests, not for it.
const SUPERVISOR: &str = r#"
trap '' INT HUP TERM
directory=$(mktemp -d /tmp/throughline-postgres.XXXXXX) || exit 1
cd "$directory"
start() {
    "$1/pg_ctl" -D data -l log -s -w -o "-k $directory -c listen_addresses='' -c fsync=off \
        -c full_page_writes=off -c max_connections=300 -c shared_buffers=32MB" start >>log 2>&1
}
stop() { "$1/pg_ctl" -D data -s -w -m "$2" stop >>log 2>&1; }
"$1/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >log 2>&1 && start "$1" \
    && echo "$directory" || { echo "failed: $(tail -5 log | tr '\n' ' ')"; rm -rf "$directory"; exit 1; }
while read -r command; do
    case $command in
        start) start "$1" ;;
        *) stop "$1" "$command" ;;
    esac
    echo "$?"
done
stop "$1" immediate
cd /
rm -rf "$directory"
"#;

/// A running cluster; stopped and removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Mutex<Supervisor>,
    directory: PathBuf,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Supervisor {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The URL of a new, empty database in the cluster that this test process shares.
///
/// # Panics
/// When PostgreSQL is not installed, or does not start.
pub async fn database() -> String {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    // A static is never dropped: it is the pipe's closing that ends the cluster.
    SHARED.get_or_init(Cluster::start).database().await
}

impl Cluster {
    /// Makes and starts a cluster.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        let programs = programs().unwrap_or_else(|| {
            panic!("PostgreSQL's `initdb` is not in /usr/lib/postgresql/*/bin nor in the PATH: apt-get install postgresql")
        });
        let mut command = if geteuid().is_root() {
            // PostgreSQL refuses to run as root.
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let mut child = command
            .args(["-c", SUPERVISOR, "postgres-supervisor"])
            .arg(programs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let commands = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().expect("its standard output is piped"));
        let mut first = String::new();
        answers.read_line(&mut first).expect("the supervisor says where it is");
        let directory = PathBuf::from(first.trim_end());
        assert!(directory.is_absolute(), "PostgreSQL does not start: {first}");
        let supervisor = Mutex::new(Supervisor { child, commands, answers });
        Self { supervisor, directory, databases: AtomicU32::new(0) }
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// When the cluster does not answer.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let (client, connection) =
            tokio_postgres::connect(&self.url("postgres"), NoTls).await.expect("the cluster answers");
        let connection = tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database can be made");
        drop(client);
        connection.await.expect("the connection's task ends").expect("the connection ends well");
        self.url(&name)
    }

    /// Stops it as an operator would who does not wait for clients.
    pub fn stop(&self) {
        self.command("fast");
    }

    /// Stops it as a crash would.
    pub fn crash(&self) {
        self.command("immediate");
    }

    /// Starts it again, with all it held.
    pub fn start_again(&self) {
        self.command("start");
    }

    fn url(&self, database: &str) -> String {
        let directory = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{directory}/{database}")
    }

    fn command(&self, command: &str) {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = supervisor.commands.as_mut().expect("only `drop` closes the pipe");
        writeln!(commands, "{command}").expect("the supervisor listens");
        let mut answer = String::new();
        supervisor.answers.read_line(&mut answer).expect("the supervisor answers");
        assert_eq!(answer, "0\n", "`{command}` of PostgreSQL in {}", self.directory.display());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(supervisor.commands.take());
        supervisor.child.wait().expect("the supervisor ends");
    }
}

/// Where PostgreSQL's own programs are: Debian keeps them out of the `PATH`, by version.
fn programs() -> Option<PathBuf> {
    let has_initdb = |directory: &Path| directory.join("initdb").is_file();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|version| version.path().join("bin"))
        .filter(|directory| has_initdb(directory))
        .max_by_key(|directory| {
            let version = directory.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            version.and_then(|version| version.parse::<u32>().ok())
        });
    newest.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|directory| has_initdb(directory))
    })
}
