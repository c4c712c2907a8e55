//! A queue whose file is opened by the first call that can: until then each call is answered with what is wrong, and
//! whoever puts the file right restarts nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Backlog, DeadLetter, DeadLetters, Depth, LetterId, Outcome, Queue, QueueOptions, Receipt,
    Received, SqliteQueue,
};
use crate::clock::Clock;
use crate::error::PortError;
use crate::sqlite::blocking;

/// A queue in a SQLite file that could not be opened, or need not be yet.
#[derive(Clone, Debug)]
pub struct ReopenedQueue {
    path: PathBuf,
    options: QueueOptions,
    clock: Clock,
    opened: Arc<Mutex<Option<SqliteQueue>>>,
}

impl ReopenedQueue {
    /// The queue in the file `path`, which is not looked at yet.
    pub fn new(path: PathBuf, options: QueueOptions, clock: Clock) -> Self {
        Self { path, options, clock, opened: Arc::default() }
    }

    async fn queue(&self) -> Result<SqliteQueue, PortError> {
        let this = self.clone();
        blocking(|| format!("open queue {:?}", self.path), move || this.open()).await
    }

    fn open(&self) -> Result<SqliteQueue, PortError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = opened.as_ref() {
            return Ok(queue.clone());
        }
        let queue = SqliteQueue::open(&self.path, self.options.clone(), self.clock.clone())?;
        Ok(opened.insert(queue).clone())
    }
}

#[async_trait]
impl Queue for ReopenedQueue {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Outcome>, PortError> {
        self.queue().await?.send(bodies).await
    }

    async fn receive(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, PortError> {
        self.queue().await?.receive(max, lease, wait).await
    }

    async fn extend(
        &self,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Result<Vec<Outcome>, PortError> {
        self.queue().await?.extend(receipts, lease).await
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<Vec<Outcome>, PortError> {
        self.queue().await?.acknowledge(receipts).await
    }

    async fn release(
        &self,
        releases: &[(Receipt, Option<String>)],
    ) -> Result<Vec<Outcome>, PortError> {
        self.queue().await?.release(releases).await
    }
}

#[async_trait]
impl DeadLetters for ReopenedQueue {
    async fn bury(&self, receipt: &Receipt, reason: &str) -> Result<(), PortError> {
        self.queue().await?.bury(receipt, reason).await
    }

    async fn list(
        &self,
        after: Option<&LetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError> {
        self.queue().await?.list(after, limit).await
    }

    async fn replay(&self, letters: &[LetterId]) -> Result<Vec<Outcome>, PortError> {
        self.queue().await?.replay(letters).await
    }
}

#[async_trait]
impl Backlog for ReopenedQueue {
    async fn depth(&self) -> Result<Depth, PortError> {
        self.queue().await?.depth().await
    }
}
