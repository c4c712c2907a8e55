//! The clauses of the result feed's contract, run against every adapter.

use std::sync::Arc;

use super::{FrameResult, ResultFeed, Subscription, Update};
use crate::delivery::contract::row;

/// A result with one row, of the frame `seq`.
pub fn result(seq: u64) -> Arc<FrameResult> {
    Arc::new(FrameResult { rows: vec![row("gate", seq, 0)], reply_to: None })
}

/// A subscriber sees what was published after it subscribed, in any order; from before, only what was on its way then.
pub async fn a_subscriber_sees_what_comes_after_it(feed: &dyn ResultFeed) {
    publish(feed, 0).await;
    let mut subscriber = subscribe(feed).await;
    publish(feed, 1).await;
    publish(feed, 2).await;
    let mut awaited = vec![result(1), result(2)];
    while !awaited.is_empty() {
        let Some(Update::Result(seen)) = subscriber.next().await else {
            panic!("a result is seen")
        };
        if seen != result(0) {
            let place = awaited.iter().position(|one| *one == seen).expect("it comes once");
            awaited.remove(place);
        }
    }
}

/// A subscriber that reads nothing slows neither the publisher nor another subscriber.
pub async fn subscribers_do_not_wait_for_each_other(feed: &dyn ResultFeed) {
    let _idle = subscribe(feed).await;
    let mut reader = subscribe(feed).await;
    for seq in 0..100 {
        publish(feed, seq).await;
        assert_eq!(reader.next().await, Some(Update::Result(result(seq))));
    }
}

async fn publish(feed: &dyn ResultFeed, seq: u64) {
    feed.publish(result(seq)).await.expect("the feed takes results");
}

async fn subscribe(feed: &dyn ResultFeed) -> Box<dyn Subscription> {
    feed.subscribe().await.expect("the feed takes subscribers")
}
