//! What becomes of a task whose run has ended: purely, from how it ended, the number of the run, the time and a random number.

use std::{borrow::Cow, time::Duration};

use store::{Backoff, Outcome, State, Task, Timestamp};

/// Why a run was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `error.type`: a word of few.
    pub(crate) kind: Cow<'static, str>,
    /// What went wrong, its causes included; no secrets, no bodies.
    pub(crate) error: String,
    /// Whether another run may end better.
    pub(crate) again: Again,
}

/// When to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// After a while that grows with every failed run.
    Later,
    /// After no less than this.
    After(Duration),
    /// Never: the next run would end no better.
    Never,
}

impl Failure {
    /// Another run may end better.
    pub(crate) fn passing(kind: &'static str, error: impl Into<String>) -> Self {
        Self { kind: kind.into(), error: error.into(), again: Again::Later }
    }

    /// No other run would end better.
    pub(crate) fn lasting(kind: &'static str, error: impl Into<String>) -> Self {
        Self { again: Again::Never, ..Self::passing(kind, error) }
    }
}

/// The outcome of run number `run`, which failed at `now`; `random` is drawn from `[0, 1)`.
pub(crate) fn of_failure(
    failure: &Failure,
    run: u32,
    backoff: Backoff,
    now: Timestamp,
    random: f64,
) -> Outcome {
    let error = failure.error.clone();
    let wait = match failure.again {
        Again::Never => return Outcome::Hopeless { error },
        Again::Later => backoff.wait(run, random),
        // Whoever asked many of us to wait is not to be asked by all of them at the same moment.
        Again::After(least) => least + backoff.wait(1, random),
    };
    Outcome::Failed { error, retry_at: now.plus(wait) }
}

/// The state in which a run's end leaves its task.
pub(crate) fn state_after(outcome: &Outcome, task: &Task) -> State {
    match outcome {
        Outcome::Done | Outcome::Confirm | Outcome::Unsubscribe { .. } => State::Done,
        Outcome::Failed { .. } if task.runs >= task.max_runs => State::Dead,
        Outcome::Failed { .. } | Outcome::GivenBack { .. } => State::Queued,
        Outcome::Hopeless { .. } => State::Dead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(8), longest: Duration::from_secs(100) };

    #[track_caller]
    fn check(again: Again, run: u32, random: f64, seconds: Option<u64>) {
        let now = Timestamp::now();
        let failure = Failure { kind: "timeout".into(), error: "no answer".into(), again };
        let error = failure.error.clone();
        let expected = match seconds {
            Some(seconds) => Outcome::Failed { error, retry_at: now.plus(Duration::from_secs(seconds)) },
            None => Outcome::Hopeless { error },
        };
        assert_eq!(of_failure(&failure, run, BACKOFF, now, random), expected, "{again:?} {run} {random}");
    }

    #[test]
    fn a_failed_run_is_followed_by_another_one_the_later_the_more_have_failed() {
        check(Again::Later, 1, 1.0, Some(8));
        check(Again::Later, 1, 0.0, Some(2));
        check(Again::Later, 3, 0.5, Some(16));
        check(Again::Later, 9, 1.0, Some(100));
    }

    #[test]
    fn whoever_wants_to_be_left_alone_is_and_not_asked_by_all_at_once() {
        check(Again::After(Duration::from_secs(60)), 1, 0.0, Some(62));
        check(Again::After(Duration::from_secs(60)), 9, 1.0, Some(68));
        check(Again::After(Duration::ZERO), 9, 0.5, Some(4));
    }

    #[test]
    fn what_cannot_end_better_is_not_run_again() {
        check(Again::Never, 1, 0.5, None);
    }
}
