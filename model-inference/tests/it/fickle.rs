//! A queue that may be away, and counts how often leases were extended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use services::queue::{Outcome, Queue, Receipt, Received};
use services::{ErrorKind, PortError};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

#[derive(Debug)]
pub(crate) struct Fickle {
    queue: Arc<dyn Queue>,
    /// Locked by each call for as long as it lasts.
    is_away: RwLock<bool>,
    asked: AtomicU32,
    extended: AtomicU32,
    refused: AtomicU32,
}

impl Fickle {
    pub(crate) fn new(queue: Arc<dyn Queue>) -> Self {
        let (asked, extended, refused) = Default::default();
        Self { queue, is_away: RwLock::new(false), asked, extended, refused }
    }

    /// Is away once calls that were begun are answered.
    pub(crate) async fn leave(&self) {
        *self.is_away.write().await = true;
    }

    pub(crate) async fn come_back(&self) {
        *self.is_away.write().await = false;
    }

    /// Answers no call before the guard is dropped.
    pub(crate) async fn hang(&self) -> RwLockWriteGuard<'_, bool> {
        self.is_away.write().await
    }

    /// Calls for messages, answered or not.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Calls that extended leases.
    pub(crate) fn extended(&self) -> u32 {
        self.extended.load(Ordering::SeqCst)
    }

    /// Calls that were to extend leases while it was away.
    pub(crate) fn refused(&self) -> u32 {
        self.refused.load(Ordering::SeqCst)
    }

    /// The queue, which does not leave before the guard is dropped.
    async fn reach(&self) -> Result<(RwLockReadGuard<'_, bool>, &dyn Queue), PortError> {
        let is_away = self.is_away.read().await;
        match *is_away {
            true => Err(PortError::because(ErrorKind::Unavailable, "reach queue", "it is locked")),
            false => Ok((is_away, self.queue.as_ref())),
        }
    }
}

#[async_trait]
impl Queue for Fickle {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Outcome>, PortError> {
        let (_here, queue) = self.reach().await?;
        queue.send(bodies).await
    }

    async fn receive(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, PortError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (_here, queue) = self.reach().await?;
        queue.receive(max, lease, wait).await
    }

    async fn extend(
        &self,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Result<Vec<Outcome>, PortError> {
        let outcomes = match self.reach().await {
            Ok((_here, queue)) => queue.extend(receipts, lease).await,
            Err(error) => Err(error),
        };
        let count = if outcomes.is_ok() { &self.extended } else { &self.refused };
        count.fetch_add(1, Ordering::SeqCst);
        outcomes
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<Vec<Outcome>, PortError> {
        let (_here, queue) = self.reach().await?;
        queue.acknowledge(receipts).await
    }

    async fn release(
        &self,
        releases: &[(Receipt, Option<String>)],
    ) -> Result<Vec<Outcome>, PortError> {
        let (_here, queue) = self.reach().await?;
        queue.release(releases).await
    }
}
