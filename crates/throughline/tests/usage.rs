//! What is typed wrongly is refused with exit code 64 and the accepted form; `ready` tells by its exit code.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
};

fn throughline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_throughline")).args(arguments).output().unwrap()
}

fn check(arguments: &[&str], code: i32, said: &[&str]) {
    let output = throughline(arguments);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    for part in said {
        assert!(text.contains(part), "{arguments:?} must say `{part}`: {text}");
    }
}

#[test]
fn usage_errors_exit_64_and_name_the_setting_and_the_accepted_form() {
    check(&[], 64, &["Usage: throughline <COMMAND>"]);
    check(&["fly"], 64, &["unrecognized subcommand 'fly'"]);
    check(&["up", "--servers", "0"], 64, &["--servers <NUMBER>", "a whole number from 1 to 32"]);
    check(&["load-balancer", "--drain-timeout", "10"], 64, &["--drain-timeout <DURATION>", "`10s`"]);
    check(
        &["worker", "--concurrency", "0"],
        64,
        &["--concurrency <NUMBER>", "a whole number from 1 to 1000"],
    );
    check(&["worker", "--lease", "1ms"], 64, &["--lease <DURATION>", "a duration from `1s` to `24h`"]);
    check(&["worker", "--database-url", "mysql://x"], 64, &["--database-url", "postgres://"]);
    check(&["http-server", "--threads", "many"], 64, &["--threads <NUMBER>", "a whole number from 1 to 256"]);
    check(&["load-balancer", "--max-body-bytes", "10M"], 64, &["--max-body-bytes <BYTES>", "a whole number"]);
    let ratio = "`off`, or a number from 1 to 100";
    check(&["load-balancer", "--hash-load-factor", "0.9"], 64, &["--hash-load-factor <RATIO>", ratio]);
    check(&["cache", "--instance", ""], 64, &["--instance <NAME>"]);
    let load_balancer =
        ["load-balancer", "--upstream", "http://127.0.0.1:1", "--admin-listen", "127.0.0.1:0"];
    check(
        &[&load_balancer[..], &["--hash-load-factor", "1.25"]].concat(),
        64,
        &["`--hash-load-factor` is `1.25`", "`off` unless `--balance` is `hash`"],
    );
    check(&["cache", "--listen", "8081"], 64, &["--listen <ADDRESS>", "`127.0.0.1:8080`"]);
    check(&["ready", "nowhere"], 64, &["<ADDRESS>", "`127.0.0.1:9901`"]);
    check(&["ready", "127.0.0.1:1", "--wait", "1.5s"], 64, &["--wait <DURATION>", "`500ms`"]);
}

#[test]
fn a_setting_in_the_environment_is_checked_like_a_flag() {
    let output = Command::new(env!("CARGO_BIN_EXE_throughline"))
        .args(["load-balancer", "--upstream", "http://127.0.0.1:1"])
        .env("THROUGHLINE_DRAIN_TIMEOUT", "soon")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--drain-timeout <DURATION>"), "{output:?}");
}

#[test]
fn help_and_version_are_no_errors() {
    check(&["--help"], 0, &["throughline up", "Commands:"]);
    check(&["--version"], 0, &["throughline "]);
    for program in ["load-balancer", "cache", "http-server", "collector"] {
        check(
            &[program, "--help"],
            0,
            &["Process:", "--admin-listen", "THROUGHLINE_ADMIN_LISTEN", "Limits:"],
        );
    }
}

#[test]
fn help_says_what_a_hash_load_factor_costs_without_a_shared_second_level() {
    let words = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let help = words(&throughline(&["load-balancer", "--help"]));
    for part in ["--hash-load-factor <RATIO>", "Leave it off unless", "--redis-url", "max-age at most"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    assert!(!words(&throughline(&["cache", "--help"])).contains("--hash-load-factor"));
}

#[test]
fn help_shows_no_value_that_may_hold_a_password() {
    for program in ["up", "http-server", "worker"] {
        let variable = "THROUGHLINE_DATABASE_URL";
        let output = Command::new(env!("CARGO_BIN_EXE_throughline"))
            .args([program, "--help"])
            .env(variable, "postgres://me:swordfish@db/x")
            .env("THROUGHLINE_OTLP_ENDPOINT", "http://me:swordfish@collector")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(variable) && !text.contains("swordfish"), "{text}");
    }
}

/// Answers one request with these bytes.
fn answer(listener: &TcpListener, answer: &str) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"GET /readyz "), "{}", String::from_utf8_lossy(&head));
    stream.write_all(answer.as_bytes()).unwrap();
}

fn answering(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || answer(&listener, text));
    address
}

#[test]
fn ready_tells_by_its_exit_code_and_says_what_is_missing() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n");
    check(&["ready", &address], 0, &[]);
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n");
    check(&["ready", &format!("http://{address}/")], 0, &[]);
    let address =
        answering("HTTP/1.1 503 No\r\ncontent-length: 32\r\n\r\ndraining\ndatabase: \x1b[31mrefused\n");
    check(&["ready", &address], 1, &["not ready: draining, database: [31mrefused"]);
    check(&["ready", "127.0.0.1:1"], 1, &["not ready: cannot connect to `127.0.0.1:1`: Connection refused"]);
}

#[test]
fn ready_can_wait_until_a_service_is_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let waiting = std::thread::spawn(move || throughline(&["ready", &address, "--wait", "20s"]));
    answer(&listener, "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n");
    answer(&listener, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert!(waiting.join().unwrap().status.success());
}
