//! A task: a row that a worker must act on, at least once, whatever crashes; one run of it under a lease at a time.
//!
//! ```text
//!            claim                    Done, Confirm, Unsubscribe
//! queued ───────────► leased ──────────────────────────────────► done
//!   ▲ │                │  ▲ │
//!   │ │ cancel         │  └─┘ claim, when the lease has expired
//!   │ ▼                │
//!   │ cancelled        ├─ Failed, runs are left ──► queued, from a later time on
//!   │                  └─ Failed or expired in the last run; Hopeless ──► dead
//!   └──────────────────────────────────────── retry ────────────────────────┘
//! ```
//!
//! Time is that of whoever claims and of whoever enqueues: their clocks must agree to well within a lease, or a run that still
//! goes on may be taken for one that was given up. It is then told so, and its task runs once more.
//!
//! Whoever claims holds a [`Lease`]. It may write the end of the run only while it holds it: a worker that was thought dead
//! and comes back is told so, and changes nothing.

use std::str::FromStr;

use telemetry::Carried;
use uuid::Uuid;

use crate::Timestamp;

/// One task as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// A UUIDv7: ids are in the order of their making.
    pub id: Uuid,
    /// A [`Kind`], or one that only a newer program knows: nobody claims it then.
    pub kind: String,
    /// JSON: of `deliver_webhook` the body to send, byte for byte.
    pub payload: String,
    /// The booking it is about.
    pub booking: Option<Uuid>,
    /// Whom it tells.
    pub webhook: Option<Uuid>,
    /// No two tasks have the same.
    pub idempotency_key: String,
    /// The span that enqueued it.
    pub trace: Option<Carried>,
    /// `traceparent` of the earliest of its runs whose end was written.
    pub first_run: Option<String>,
    /// Where it stands.
    pub state: State,
    /// From when on the run that is waited for, or is or was the last one, was due.
    pub run_at: Timestamp,
    /// When it can be claimed next: `run_at` of a queued one, or later where it was put off; the end of a leased one's lease.
    /// None once it has ended.
    pub due_at: Option<Timestamp>,
    /// How often it has been claimed.
    pub runs: u32,
    /// How often it may be; 1 or more.
    pub max_runs: u32,
    /// The worker that holds the lease.
    pub holder: Option<String>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When the last run began.
    pub started_at: Option<Timestamp>,
    /// When it was done, dead or cancelled.
    pub finished_at: Option<Timestamp>,
    /// What the last failed run said, at most [`Task::ERROR_CHARACTERS`].
    pub last_error: Option<String>,
}

impl Task {
    /// What is kept of an error's text.
    pub const ERROR_CHARACTERS: usize = 1_000;

    /// The trace that enqueued it: 32 hex digits.
    pub fn trace_id(&self) -> Option<String> {
        self.trace.as_ref().and_then(Carried::trace_id)
    }
}

/// What we know how to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A booking: pending → confirmed.
    ConfirmBooking,
    /// An event, to one who subscribed.
    DeliverWebhook,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Waits, from a time on.
    Queued,
    /// A worker has it.
    Leased,
    /// It was done.
    Done,
    /// It has failed for good.
    Dead,
    /// Somebody took it back while it waited.
    Cancelled,
}

/// A task to enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// A UUIDv7.
    pub id: Uuid,
    /// As [`Kind::as_str`] has it.
    pub kind: String,
    /// JSON.
    pub payload: String,
    /// The booking it is about.
    pub booking: Option<Uuid>,
    /// Whom it tells.
    pub webhook: Option<Uuid>,
    /// Where there is a task with this one already, nothing is enqueued.
    pub idempotency_key: String,
    /// From when on.
    pub run_at: Timestamp,
    /// How often it may be claimed; 1 or more.
    pub max_runs: u32,
}

/// What became of an enqueueing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// There is a new task.
    New(Uuid),
    /// Its idempotency key has this task already.
    Before(Uuid),
}

/// The right to end one run of one task, from its claim until somebody else claims it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The task.
    pub task: Uuid,
    /// Of this claim alone.
    pub token: Uuid,
}

/// What a claim asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whoever claims knows these kinds, and has places for them. Tasks of other kinds are left for a program that knows them.
    pub places: Vec<Places>,
    /// Who claims: an instance, for people to read.
    pub holder: String,
    /// The clock's reading.
    pub now: Timestamp,
    /// When the leases expire, unless they are renewed.
    pub expires_at: Timestamp,
}

/// Room for tasks of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// As [`Kind::as_str`] has it.
    pub kind: String,
    /// So many at most.
    pub count: u16,
}

/// What a claim gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// To be run now, in the order in which they were due, whatever their kind.
    pub runs: Vec<Run>,
    /// Tasks whose last run's lease had expired: they are dead now, and somebody must hear of it.
    pub dead: Vec<Task>,
}

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// With [`Task::runs`] being this run's number, 1 for the first.
    pub task: Task,
    /// What its end is written with.
    pub lease: Lease,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; nothing else is to be written.
    Done,
    /// Done, and the task's booking, where it is still there and pending, is confirmed with it.
    Confirm,
    /// Done, and the task's webhook is told nothing any more.
    Unsubscribe {
        /// Why: for people to read.
        reason: String,
    },
    /// It may run again; if that was the last run, it is dead.
    Failed {
        /// What went wrong, its causes included. No secrets.
        error: String,
        /// From when on.
        retry_at: Timestamp,
    },
    /// Its worker stops before it is done: it is due again at once, also if this was its last run.
    GivenBack {
        /// Why: for people to read. No secrets.
        error: String,
    },
    /// It is dead: another run would end no better.
    Hopeless {
        /// What went wrong, its causes included. No secrets.
        error: String,
    },
}

/// What became of a task at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is in this state now.
    Now(State),
    /// The lease was lost: somebody else has claimed, or had the last word. Nothing was written.
    Lost,
}

/// Which tasks to list: newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskListing {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// So many at most.
    pub limit: u16,
}

/// How many tasks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Waiting for their time, or for a worker.
    pub queued: u64,
    /// With a worker.
    pub leased: u64,
    /// Done, and not removed yet.
    pub done: u64,
    /// Dead, and neither retried nor removed yet.
    pub dead: u64,
    /// Cancelled, and not removed yet.
    pub cancelled: u64,
}

/// The tasks that no worker has although they are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub tasks: u64,
    /// The one that has been due for longest, and since when.
    pub oldest: Option<(Uuid, Timestamp)>,
}

/// For how long tasks are kept after their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Done and cancelled ones that ended before this are removed.
    pub done_since: Timestamp,
    /// Dead ones that ended before this are removed.
    pub dead_since: Timestamp,
}

impl Places {
    /// So many of each kind that we know.
    pub fn of_every_kind(count: u16) -> Vec<Places> {
        Kind::ALL.map(|kind| Places { kind: kind.as_str().to_owned(), count }).into()
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 2] = [Kind::ConfirmBooking, Kind::DeliverWebhook];

    /// As it is written, in the database and in spans.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::ConfirmBooking => "confirm_booking",
            Kind::DeliverWebhook => "deliver_webhook",
        }
    }

    /// How often a task of this kind may run.
    pub fn max_runs(self) -> u32 {
        match self {
            Kind::ConfirmBooking => 20,
            // With the worker's back-off a receiver may be away for a day.
            Kind::DeliverWebhook => 15,
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// A word that is no [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `confirm_booking` or `deliver_webhook`")]
pub struct UnknownKind;

impl State {
    /// All of them.
    pub const ALL: [State; 5] = [State::Queued, State::Leased, State::Done, State::Dead, State::Cancelled];

    /// As it is written, in the database and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Leased => "leased",
            State::Done => "done",
            State::Dead => "dead",
            State::Cancelled => "cancelled",
        }
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        State::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

/// A word that is no [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `queued`, `leased`, `done`, `dead` or `cancelled`")]
pub struct UnknownState;
