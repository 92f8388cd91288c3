//! A command as it is typed: in a directory of its own, and what it prints, where, and with which exit code.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use expect_test::Expect;

/// 2026-11-21T22:26:40Z, in nanoseconds since 1970.
pub(crate) const THEN: u64 = 1_795_300_000_000_000_000;

/// A directory of this test's own with these `files`, names and texts, in `telemetry/`.
pub(crate) fn directory(test: &str, files: &[(&str, String)]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(directory.join("telemetry")).unwrap();
    for (name, text) in files {
        fs::write(directory.join("telemetry").join(name), text).unwrap();
    }
    directory
}

/// `throughline`, about to be run in `directory` with `arguments`, whatever the environment of the tests says.
pub(crate) fn throughline(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.current_dir(directory).args(arguments).stdin(Stdio::null());
    let changes = |name: &str| {
        name.starts_with("THROUGHLINE_")
            || name.starts_with("OTEL_")
            || matches!(name, "NO_COLOR" | "CLICOLOR_FORCE")
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(changes)) {
        command.env_remove(name);
    }
    command
}

/// Checks exit code, standard output and standard error together.
pub(crate) fn check(command: &mut Command, expected: Expect) {
    let output = command.output().unwrap();
    let mut told = format!("exit code {}\n", output.status.code().unwrap());
    told.push_str(&String::from_utf8(output.stdout).unwrap());
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        told.push_str(&format!("stderr: {line}\n"));
    }
    expected.assert_eq(&told);
}
