//! Bookings, and the tasks that follow from them, in PostgreSQL or SQLite, with one behaviour.
//!
//! Promises: what was acknowledged is committed, a booking and its tasks together; two bookings of one resource never overlap, because the database itself
//! holds that; nobody waits without a bound; a database that went away and came back needs nobody's help. Every wait for a
//! connection and every statement is a span of the current request, and counts into its line.
//! Refuses: HTTP. What an answer looks like is the program's; here it is bytes to remember.

/// How long to wait before the next try.
mod backoff;
/// A booking and what may become of it.
mod booking;
/// What a caller can be told.
mod error;
/// What became of a booking, as subscribers are told it.
mod event;
/// Bookings in order, page by page.
mod listing;
/// Requests that are carried out one time.
mod once;
/// How a database is used.
mod settings;
/// The database that is open.
mod store;
/// What a worker must act on, and its runs.
mod task;
/// An instant as both databases can hold it.
mod timestamp;
/// Being woken when a task is due.
mod waiter;
/// Who is told of changes.
mod webhook;

/// Spans, durations and how full the pool is.
mod observe;
/// What the store does, written once for both databases.
mod operations;
/// PostgreSQL's connections and errors.
mod postgres;
/// One connection for the time of one operation.
mod session;
/// SQLite's connections and errors.
mod sqlite;
/// Values on their way into a statement and out of a row.
mod value;

pub use backoff::Backoff;
pub use booking::{Booking, Change, Details, Status, UnknownStatus};
pub use error::{Error, OpenError};
pub use event::Event;
pub use listing::{Cursor, CursorError, Listing, Page};
pub use once::{Answer, Once};
pub use settings::Settings;
pub use store::{Created, Store};
pub use task::{
    Claim, Claimed, Ended, Enqueued, Kept, Kind, Lease, NewTask, Outcome, Places, Run, State, Task,
    TaskCounts, TaskListing, UnknownKind, UnknownState, Waiting,
};
pub use timestamp::{Timestamp, TimestampError};
pub use waiter::TaskWaiter;
pub use webhook::{Disabled, Secret, Webhook};
