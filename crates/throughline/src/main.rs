//! One binary: what was typed → what is run.
//!
//! `throughline <role>` is one service of the path, `up` the whole system as child processes of itself, the rest read
//! the Collector's files or ask a running service. Exit codes: 64 for what was typed wrongly, else as each command says.

use std::process::ExitCode;

use clap::{Parser, Subcommand, error::ErrorKind};

/// One request, as a tool asks it.
mod ask;
/// `audit`: which hops lost the trace, from files.
mod audit;
/// `diff`: two requests compared, from files.
mod diff;
/// `errors`: what failed, from files.
mod errors;
/// `follow`: requests as they complete, from files that grow.
mod follow;
/// `index`: indexes beside files.
mod index;
/// `logs`: log lines as they are, from files.
mod logs;
/// `map`: who calls whom, from files.
mod map;
/// What the commands that read files share: where the files are, which trace is meant.
mod reading;
/// `ready`: asks a process whether it can serve.
mod ready;
/// `stats`: requests and how long they took, from files.
mod stats;
/// `tasks`: what a worker has to do, from the database.
mod tasks;
/// `trace`: one request's story, from files.
mod trace;
/// `traces`: requests, found and listed, from files.
mod traces;
/// `up`: the whole system as child processes.
mod up;

/// A request makes and drops some hundred small values, on several threads, and a cache keeps millions of them for hours
/// among those: quicker and less scattered than by the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What was typed cannot be run (`EX_USAGE` of sysexits).
const USAGE: u8 = 64;

/// Follow one request end to end: a traced edge, a reference system behind it, and the tools that tell a request's story.
#[derive(Debug, Parser)]
#[command(name = "throughline", version, propagate_version = true, after_help = EXAMPLES)]
#[command(help_template = "{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  throughline up                          the whole system, here and now
  throughline trace 4bf92f35              one request's story; a unique prefix of its id is enough
  throughline trace 4bf92f35 --verdict --fail-on slower-than=200ms
                                          where its time went; exit code 3 if it took longer
  throughline logs 4bf92f35 | jq .        its log lines, as they are
  throughline logs --level warn --since 1h
                                          what was not normal, of everybody
  throughline traces --errors --since 10m requests in which something failed
  throughline follow --slower-than 1s     requests as they complete, here the slow ones
  throughline index                       find one request at once in files of any size
  throughline stats                       how many requests, how many failed, how long they took
  throughline audit --since 1h            whether every hop carried the trace on, and where not
  throughline diff 4bf92f35 5cf8a1b0      what is new, gone, slower or faster in the second request
  throughline map --format mermaid        who calls whom
  throughline tasks                       what waits for a worker, what is dead
  throughline ready 127.0.0.1:9901 --wait 30s
                                          wait until a service can serve
  throughline load-balancer --upstream http://127.0.0.1:9000
                                          the traced edge in front of any HTTP service

`throughline <COMMAND> --help` says more. Every flag of a service is also a variable of the environment, named there.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the whole system here: nothing to install
    Up(up::Settings),
    /// Tell the story of one request, from the Collector's files
    Trace(trace::Settings),
    /// Print log lines as they are: one request's, or all that match
    Logs(logs::Settings),
    /// Find requests and list them, newest first, from the Collector's files
    Traces(traces::Settings),
    /// Count requests and failures and tell how long they took, by service and route, from the Collector's files
    Stats(stats::Settings),
    /// Tell what failed, by kind and place, from the Collector's files
    Errors(errors::Settings),
    /// Tell whether every hop carried the trace on, and where not, which hop and why
    Audit(audit::Settings),
    /// Tell requests as they complete, as the Collector's files grow
    Follow(follow::Settings),
    /// Make the indexes by which `trace` and `logs` find one request at once in files of any size
    Index(index::Settings),
    /// Tell who calls whom, how often, how well and how fast, from the Collector's files
    Map(map::Settings),
    /// Compare two requests: what is new, gone, slower or faster in the second, from the Collector's files
    Diff(diff::Settings),
    /// Tell what a worker has to do, has done and could not do
    Tasks(tasks::Settings),
    /// Ask a service's admin address whether it can serve
    Ready(ready::Settings),
    /// Service: the edge gives a request its trace, picks a replica, forwards
    LoadBalancer(load_balancer::Settings),
    /// Service: the shared HTTP cache (RFC 9111)
    Cache(cache::Settings),
    /// Service: the bookings API
    HttpServer(http_server::Settings),
    /// Service: runs the tasks that requests have left in the database
    Worker(worker::Settings),
    /// Service: the embedded OTLP receiver that writes files
    Collector(collector::Settings),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return refuse(&refusal),
    };
    match arguments.command {
        Command::Up(settings) => up::run(settings),
        Command::Trace(settings) => trace::run(settings),
        Command::Logs(settings) => logs::run(settings),
        Command::Traces(settings) => traces::run(settings),
        Command::Stats(settings) => stats::run(settings),
        Command::Errors(settings) => errors::run(settings),
        Command::Audit(settings) => audit::run(settings),
        Command::Follow(settings) => follow::run(settings),
        Command::Index(settings) => index::run(settings),
        Command::Map(settings) => map::run(settings),
        Command::Diff(settings) => diff::run(settings),
        Command::Tasks(settings) => tasks::run(settings),
        Command::Ready(settings) => ready::run(&settings),
        Command::LoadBalancer(settings) => load_balancer::run(settings),
        Command::Cache(settings) => cache::run(settings),
        Command::HttpServer(settings) => http_server::run(settings),
        Command::Worker(settings) => worker::run(settings),
        Command::Collector(settings) => collector::run(settings),
    }
}

/// clap's own text names the setting and the accepted form; help and version come this way as well.
fn refuse(refusal: &clap::Error) -> ExitCode {
    // A closed standard output or error leaves the exit code.
    let _ = refusal.print();
    match refusal.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_and_flags_of_all_programs_fit_together() {
        Arguments::command().debug_assert();
    }
}
