//! One binary: what was typed → what is run.
//!
//! `throughline <role>` is one service of the path, `up` the whole system as child processes of itself, the rest read
//! the Collector's files.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// `logs`: one request's log lines, from files.
mod logs;
/// What `trace` and `logs` share: where the files are, which trace is meant.
mod reading;
/// `ready`: asks a process whether it can serve.
mod ready;
/// `trace`: one request's story, from files.
mod trace;
/// `up`: the whole system as child processes.
mod up;

/// Follow one request end to end.
#[derive(Debug, Parser)]
#[command(name = "throughline", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the whole system here: nothing to install
    Up(up::Settings),
    /// Tell the story of one request, from the Collector's files
    Trace(trace::Settings),
    /// Print one request's log lines as they are
    Logs(logs::Settings),
    /// Ask a service's admin address whether it can serve
    Ready(ready::Settings),
    /// The edge: gives a request its trace, picks a replica, forwards
    LoadBalancer(load_balancer::Settings),
    /// The shared HTTP cache (RFC 9111)
    Cache(cache::Settings),
    /// The bookings API
    HttpServer(http_server::Settings),
    /// The embedded OTLP receiver that writes files
    Collector(collector::Settings),
}

fn main() -> ExitCode {
    // The owner of this file maps usage errors to exit code 64.
    match Arguments::parse().command {
        Command::Up(settings) => up::run(settings),
        Command::Trace(settings) => trace::run(settings),
        Command::Logs(settings) => logs::run(settings),
        Command::Ready(settings) => ready::run(settings),
        Command::LoadBalancer(settings) => load_balancer::run(settings),
        Command::Cache(settings) => cache::run(settings),
        Command::HttpServer(settings) => http_server::run(settings),
        Command::Collector(settings) => collector::run(settings),
    }
}
