//! The embedded result feed: a broadcast within the process, and local sockets between the processes of a data folder.
//!
//! A process listens from its first subscription on, at a socket of its own in the folder `feed/`. A process that
//! publishes connects to each socket that it finds there, so that any number of either may come and go; a socket that a
//! killed process left is removed by whoever finds nobody behind it. They are their owner's alone (mode 0600).
//!
//! What goes over a socket is a result's JSON after its length in bytes, in four bytes, the highest first.

mod inlet;
mod outlets;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;

use super::{BroadcastFeed, ResultFeed, Subscription};
use crate::error::PortError;
use crate::result::FrameResult;
use inlet::Inlet;
use outlets::Outlets;

/// How the names of sockets end.
const SUFFIX: &str = ".sock";

/// The feed of one process.
#[derive(Debug)]
pub struct SocketFeed {
    folder: PathBuf,
    /// The name of this process's socket.
    name: String,
    local: BroadcastFeed,
    lost: Arc<AtomicU64>,
    /// Runs from the first result on.
    outlets: OnceLock<Outlets>,
    /// Runs from the first subscription on.
    inlet: Mutex<Option<Inlet>>,
}

impl SocketFeed {
    /// A feed among the processes that name the same `folder`, which holds up to `capacity` results for the slowest
    /// subscriber of each.
    pub fn new(folder: &Path, capacity: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            name: format!("{:08x}{SUFFIX}", rand::random::<u32>()),
            local: BroadcastFeed::new(capacity),
            lost: Arc::default(),
            outlets: OnceLock::new(),
            inlet: Mutex::default(),
        }
    }
}

#[async_trait]
impl ResultFeed for SocketFeed {
    fn publish(&self, result: Arc<FrameResult>, _: Option<&str>) -> Result<(), PortError> {
        self.local.publish(Arc::clone(&result), None)?;
        let start = || Outlets::start(self.folder.clone(), self.name.clone(), &self.lost);
        self.outlets.get_or_init(start).put(result)
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// # Errors
    /// When no socket can be made; its path is named.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, PortError> {
        let subscription = self.local.subscribe().await?;
        let mut inlet = self.inlet.lock().unwrap_or_else(PoisonError::into_inner);
        if inlet.is_none() {
            *inlet = Some(Inlet::start(&self.folder, &self.name, self.local.clone())?);
        }
        Ok(subscription)
    }
}

#[cfg(test)]
mod tests;
