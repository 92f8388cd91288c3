//! Where the binary under test is. It is built here when it is not up to date, so that a test never runs yesterday's.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The path of `throughline`, built from this checkout with the tests' own profile.
///
/// # Panics
/// When cargo cannot build it; its output is in the message.
pub fn throughline() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("package `tests` lies in the workspace");
        let output = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "throughline", "--message-format", "json"])
            // A bench is built with optimisations, and measures a binary that is too.
            .args((!cfg!(debug_assertions)).then_some("--release"))
            .current_dir(root)
            .output()
            .expect("cargo can be started");
        assert!(
            output.status.success(),
            "cargo build --package throughline: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["target"]["name"] == "throughline")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the executable it built")
    })
}
