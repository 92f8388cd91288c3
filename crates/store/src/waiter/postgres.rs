//! Notices of PostgreSQL: one connection that listens for as long as its waiter lives.

use std::{
    future::{pending, poll_fn},
    time::Duration,
};

use futures_util::future::{self, Either};
use tokio::{runtime::Handle, sync::watch, task::AbortHandle, time::timeout};
use tokio_postgres::{AsyncMessage, Config, NoTls};

use crate::Backoff;

/// What is told after a commit that leaves work.
pub(crate) const NOTIFY: &str = "NOTIFY throughline_tasks";
const LISTEN: &str = "LISTEN throughline_tasks";
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(5) };

/// Counts notices; its connection is made again, and that is a notice too, as some may have been lost.
#[derive(Debug)]
pub(crate) struct Listener {
    notices: watch::Receiver<u64>,
    driver: AbortHandle,
}

impl Listener {
    /// Begins to connect, on `home`. `patience` bounds each step of that.
    pub(crate) fn start(config: Config, home: &Handle, patience: Duration) -> Self {
        let (notice, notices) = watch::channel(0);
        let driver = home.spawn(listen(config, patience, notice)).abort_handle();
        Self { notices, driver }
    }

    /// Returns when there was a notice since the last time.
    pub(crate) async fn told(&mut self) {
        if self.notices.changed().await.is_err() {
            // Its runtime is ending, and so is whoever waits.
            pending::<()>().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn listen(config: Config, patience: Duration, notice: watch::Sender<u64>) {
    let mut failures = 0_u32;
    loop {
        let before = *notice.borrow();
        let Err(error) = listen_once(&config, patience, &notice).await else { continue };
        let listened = *notice.borrow() != before;
        failures = if listened { 1 } else { failures.saturating_add(1) };
        tell(failures, error.as_ref());
        tokio::time::sleep(BACKOFF.wait(failures, fastrand::f64())).await;
    }
}

fn tell(failures: u32, error: &(dyn std::error::Error + 'static)) {
    if failures == 1 {
        tracing::warn!(error, "not told of tasks for now: looking for them every few seconds");
    } else {
        tracing::debug!(error, failures, "still not told of tasks");
    }
}

/// Never ends well: a connection that the server closed in order is lost as well.
async fn listen_once(
    config: &Config,
    patience: Duration,
    notice: &watch::Sender<u64>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (client, mut connection) = timeout(patience, config.connect(NoTls)).await??;
    let receive = async {
        loop {
            match poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(_))) => notice.send_modify(|notices| *notices += 1),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the database closed the connection".into()),
            }
        }
    };
    let ask = async {
        timeout(patience, client.batch_execute(LISTEN)).await??;
        notice.send_modify(|notices| *notices += 1);
        pending().await
    };
    match future::select(std::pin::pin!(receive), std::pin::pin!(ask)).await {
        Either::Left((ended, _)) | Either::Right((ended, _)) => ended,
    }
}
