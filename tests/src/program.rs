//! A real program beside the system under test: found where `tests/programs/install` puts it, listening on a loopback
//! address of its own, ended when dropped.
//!
//! Promises: two programs never meet on a port: each has an address in 127.0.0.0/8 that this process has given to no
//! other, and its usual ports there. None outlives the thread that started it, killed included.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Client, eventually_within};

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts `command`, whose output goes to the end of `output`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(program: &Path, output: &Path, command: impl FnOnce(&mut Command)) -> Program {
        let said = File::options().create(true).append(true).open(output);
        let said = said.unwrap_or_else(|error| panic!("{}: {error}", output.display()));
        let mut setpriv = Command::new("setpriv");
        // Ended by the kernel should this process be killed.
        setpriv.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command(&mut setpriv);
        setpriv.stdin(Stdio::null()).stderr(said.try_clone().expect("a file can be shared")).stdout(said);
        let child = setpriv.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Program { child }
    }

    /// Kills it, as a crash or an operator's `kill -9` would.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id is positive");
        kill_process(pid, signal).expect("it runs");
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// When it has not ended within half a minute.
    pub(crate) async fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id is positive");
        // It may have ended by itself: then the wait below tells.
        let _ = kill_process(pid, Signal::TERM);
        self.ended_within(Duration::from_secs(30)).await;
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it has not within `bound`.
    pub async fn ended_within(&mut self, bound: Duration) -> ExitStatus {
        eventually_within(bound, "the program ends", async || {
            self.child.try_wait().expect("a child can be waited for").ok_or("still running")
        })
        .await
    }

    /// Waits until `path` at `address` answers 200.
    ///
    /// # Panics
    /// When it does not within half a minute, or the program ends, with what it said.
    pub(crate) async fn answers(&mut self, address: SocketAddr, path: &str, output: &Path) {
        let client = Client::new(address);
        let what = format!("http://{address}{path} answers");
        eventually_within(Duration::from_secs(30), &what, async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = std::fs::read_to_string(output).unwrap_or_default();
                panic!("{what}: it ended with {status} and said: {said}");
            }
            match client.try_send(client.request(Method::GET, path, &[], "")).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{answer:?}")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A loopback address that this process gives away once.
pub(crate) fn own_address() -> Ipv4Addr {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(61) + COUNTER.fetch_add(1, Ordering::Relaxed);
    // Neither 127.0.x.y, where everybody else is, nor an address that ends in 0 or 255.
    let part = |number: u32| u8::try_from(1 + number % 254).expect("below 255");
    Ipv4Addr::new(127, part(number / (254 * 254)), part(number / 254), part(number))
}

/// A program that `tests/programs/install` has built: `otelcol-0.145.0/otelcol`.
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn built(program: &str) -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).unwrap_or_default();
    let path = cache.join("throughline").join(program);
    let name = program.split('-').next().unwrap_or_default();
    assert!(path.is_file(), "`{}` is not there: tests/programs/install {name}", path.display());
    path
}

/// A program of a Debian package.
///
/// # Panics
/// When it is not there, with the command that installs it.
pub fn packaged(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(program))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("`{program}` is not on PATH: tests/programs/install packages"))
}
