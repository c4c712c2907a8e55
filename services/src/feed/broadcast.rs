//! A bounded broadcast within the process: what every feed hands its results to its own subscribers with.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};

use super::{ResultFeed, Subscription, Update};
use crate::error::PortError;
use crate::result::FrameResult;

/// A feed to subscribers in the same process. It ends for them when its last clone is dropped.
#[derive(Clone, Debug)]
pub struct BroadcastFeed {
    sender: Sender<Arc<FrameResult>>,
}

impl BroadcastFeed {
    /// A feed that holds up to `capacity` results for its slowest subscriber, and at least one.
    pub fn new(capacity: usize) -> Self {
        Self { sender: Sender::new(capacity.clamp(1, usize::MAX / 4)) }
    }
}

#[async_trait]
impl ResultFeed for BroadcastFeed {
    fn publish(&self, result: Arc<FrameResult>, _: Option<&str>) -> Result<(), PortError> {
        // An error says that nobody listens, which is nobody's fault.
        drop(self.sender.send(result));
        Ok(())
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, PortError> {
        Ok(Box::new(Listener { receiver: self.sender.subscribe() }))
    }
}

struct Listener {
    receiver: Receiver<Arc<FrameResult>>,
}

#[async_trait]
impl Subscription for Listener {
    async fn next(&mut self) -> Option<Update> {
        match self.receiver.recv().await {
            Ok(result) => Some(Update::Result(result)),
            Err(RecvError::Lagged(missed)) => Some(Update::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::contract::{self, result};

    #[tokio::test]
    async fn a_subscriber_sees_what_is_published_after_it_subscribed() {
        contract::a_subscriber_sees_what_comes_after_it(&BroadcastFeed::new(8)).await;
    }

    #[tokio::test]
    async fn subscribers_do_not_wait_for_each_other() {
        contract::subscribers_do_not_wait_for_each_other(&BroadcastFeed::new(8)).await;
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_many_results_it_missed() {
        let feed = BroadcastFeed::new(4);
        let mut slow = feed.subscribe().await.unwrap();
        for seq in 0..10 {
            feed.publish(result(seq), None).unwrap();
        }
        assert_eq!(slow.next().await, Some(Update::Missed(6)));
        for seq in 6..10 {
            assert_eq!(slow.next().await, Some(Update::Result(result(seq))));
        }
    }

    #[tokio::test]
    async fn a_feed_that_ended_says_so_after_its_last_result() {
        let feed = BroadcastFeed::new(4);
        let mut subscriber = feed.subscribe().await.unwrap();
        feed.publish(result(1), None).unwrap();
        drop(feed);
        assert_eq!(subscriber.next().await, Some(Update::Result(result(1))));
        assert_eq!(subscriber.next().await, None);
    }
}
