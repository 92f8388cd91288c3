//! Panics as log lines: one line `panic`, `ERROR`, with the message, the place, the stack, and the trace of the
//! request that it happened in.
//!
//! Promises: the panicking thread pays for capturing the stack (microseconds), not for finding its symbols (tens of
//! milliseconds): that is done by a thread of its own, and waited for at the stop. The line's time is the panic's.

use std::{
    any::Any,
    backtrace::Backtrace,
    panic::PanicHookInfo,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Instant,
};

use tracing::Level;

use crate::{
    layer,
    line::{Lines, Reach},
    names,
    record::Record,
};

const LOGGER: &str = "telemetry::panic";

/// Panics whose stacks wait for their symbols; beyond that they are written without.
const WAITING: usize = 64;

static RESOLVER: OnceLock<SyncSender<Job>> = OnceLock::new();

enum Job {
    Resolve(Box<(Record, Backtrace)>),
    /// Everything before this is written.
    Flush(SyncSender<()>),
}

/// Writes every panic from now on as a line. On the main thread, after which the process may end without a stop, the
/// hook that was there before speaks as well.
pub(crate) fn write_panics(lines: Arc<Lines>) {
    let (jobs, queue) = sync_channel(WAITING);
    if RESOLVER.set(jobs).is_err() {
        return;
    }
    let resolver_lines = Arc::clone(&lines);
    std::thread::Builder::new()
        .name("panics".to_owned())
        .spawn(move || resolve(&queue, &resolver_lines))
        .expect("a process that can start no thread cannot serve either");
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        say(&lines, info);
        if std::thread::current().name() == Some("main") {
            before(info);
        }
    }));
}

/// Waits until the panics so far are written, or the deadline.
pub(crate) fn flush(deadline: Instant) {
    let Some(jobs) = RESOLVER.get() else { return };
    let (tell, written) = sync_channel(1);
    // Full: 64 stacks will not be resolved by any deadline worth having.
    if jobs.try_send(Job::Flush(tell)).is_ok() {
        // Too late is too late.
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

fn say(lines: &Lines, info: &PanicHookInfo<'_>) {
    let mut record = lines.record(Level::ERROR, LOGGER, "panic".into());
    record.text(names::EXCEPTION_TYPE, "panic");
    record.text(names::EXCEPTION_MESSAGE, message(info.payload()));
    if let Some(location) = info.location() {
        record.text(names::LOCATION, &location.to_string());
    }
    layer::tell_request(&mut record);
    let job = Job::Resolve(Box::new((record, Backtrace::force_capture())));
    let Some(jobs) = RESOLVER.get() else { return };
    if let Err(TrySendError::Full(Job::Resolve(job)) | TrySendError::Disconnected(Job::Resolve(job))) =
        jobs.try_send(job)
    {
        lines.write(job.0, Reach::Everywhere);
    }
}

fn resolve(jobs: &Receiver<Job>, lines: &Lines) {
    for job in jobs {
        match job {
            Job::Resolve(job) => {
                let (mut record, backtrace) = *job;
                let stack = backtrace.to_string();
                record.text(names::EXCEPTION_STACKTRACE, from_the_panic_on(&stack));
                lines.write(record, Reach::Everywhere);
            }
            // Who asked may have given up waiting.
            Job::Flush(tell) => drop(tell.try_send(())),
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a value that is not text",
    }
}

/// Leaves out the frames that belong to panicking itself: everything up to the last frame of `core::panicking`
/// and its location line.
fn from_the_panic_on(stack: &str) -> &str {
    let Some(machinery) = stack.rfind("core::panicking::") else { return stack };
    let mut start = machinery;
    for line in stack[machinery..].split_inclusive('\n') {
        let is_frame = line.trim_start().starts_with(|c: char| c.is_ascii_digit());
        if start > machinery && is_frame {
            break;
        }
        start += line.len();
    }
    &stack[start..]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stack_begins_where_the_panic_was() {
        let stack = "   0: std::backtrace::Backtrace::force_capture\n             at lib.rs:1:1\n   \
            1: telemetry::panic::say\n   2: core::panicking::panic_fmt\n             at panicking.rs:75:14\n   \
            3: cache::fetch\n             at fetch.rs:3:9\n   4: main\n";
        assert_eq!(
            from_the_panic_on(stack),
            "   3: cache::fetch\n             at fetch.rs:3:9\n   4: main\n"
        );
        assert_eq!(from_the_panic_on("   0: main\n"), "   0: main\n");
    }

    #[test]
    fn capturing_a_stack_leaves_its_symbols_for_later() {
        let started = Instant::now();
        let backtrace = Backtrace::force_capture();
        let captured = started.elapsed();
        let stack = backtrace.to_string();
        let resolved = started.elapsed() - captured;
        assert!(stack.contains("capturing_a_stack_leaves_its_symbols_for_later"));
        assert!(captured < resolved.max(Duration::from_millis(20)), "{captured:?} {resolved:?}");
    }
}
