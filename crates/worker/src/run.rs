//! One run of one task: the function that does the work, whatever the kind.
//!
//! Every kind may run twice, because a worker can die between the work and the writing of its end. `confirm_booking` is
//! idempotent because its work *is* the writing of its end: one transaction of the store. `deliver_webhook` says why it is.

use store::{Kind, Outcome, Task};

use crate::{deliver::Deliver, outcome::Failure};

/// Runs `task`. What the outcome asks for is written by whoever called, under the task's lease.
pub(crate) async fn run(task: &Task, deliver: &Deliver) -> Result<Outcome, Failure> {
    match task.kind.parse() {
        Ok(Kind::ConfirmBooking) => Ok(Outcome::Confirm),
        Ok(Kind::DeliverWebhook) => deliver.run(task).await,
        Err(unknown) => {
            Err(Failure::lasting("kind", format!("`{}` is no kind of task: {unknown}", task.kind)))
        }
    }
}
