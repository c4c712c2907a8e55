//! Port: results on their way to people's eyes, as soon as they exist.
//!
//! # Contract
//! * Best effort: the table is the truth. A publisher never waits for the way: what finds no room on it is dropped
//!   and counted ([`ResultFeed::lost`]). A subscriber that is too slow loses the oldest results and is told
//!   how many ([`Update::Missed`]); it never slows the publisher or another subscriber.
//! * A subscriber sees what was published after it subscribed, and perhaps what was on its way then. Results of
//!   different frames may change places on their way, and where the way leads through a queue a result may come twice.
//! * A result is published when it exists, before its rows are in the table: a frame that is worked on again, because they
//!   did not get there, has its result again.

mod broadcast;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod socket;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::PortError;
use crate::result::FrameResult;

pub use broadcast::BroadcastFeed;
pub use socket::SocketFeed;

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
    /// The name by which messages tell workers in other processes where to publish; none where all are in one.
    fn reply_to(&self) -> Option<String> {
        None
    }

    /// Publishes a frame's result, to the feed that its message asked for by the name that [`reply_to`](Self::reply_to)
    /// gave there. Called within an async runtime; waits for nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Full`](crate::ErrorKind::Full) when too many results are on their way: this one is dropped.
    fn publish(&self, result: Arc<FrameResult>, reply_to: Option<&str>) -> Result<(), PortError>;

    /// How many results were dropped, or failed on their way, since the feed was opened.
    fn lost(&self) -> u64 {
        0
    }

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
