//! Port: results on their way to people's eyes, as soon as they exist.
//!
//! # Contract
//! * Best effort: the table is the truth. A subscriber that is too slow loses the oldest results and is told
//!   how many ([`Update::Missed`]); it never slows the publisher or another subscriber.
//! * A subscriber sees what was published after it subscribed.

mod broadcast;
#[cfg(any(test, feature = "contract"))]
pub mod contract;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::PortError;
use crate::message::DetectionRow;

pub use broadcast::BroadcastFeed;

/// All rows of one frame and model.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameResult {
    /// The rows, at least one; all of the same `frame_id` and `model`.
    pub rows: Vec<DetectionRow>,
}

/// What a subscriber receives.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A frame's result.
    Result(Arc<FrameResult>),
    /// So many results were lost because the subscriber was too slow.
    Missed(u64),
}

/// A feed of results. The module tells its contract.
#[async_trait]
pub trait ResultFeed: fmt::Debug + Send + Sync {
    /// Publishes a frame's result.
    async fn publish(&self, result: Arc<FrameResult>) -> Result<(), PortError>;

    /// Subscribes to what is published from now on.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, PortError>;
}

/// One subscriber's end of a feed.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next update; `None` when the feed has ended.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    async fn next(&mut self) -> Option<Update>;
}
