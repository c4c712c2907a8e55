//! The clauses of the result feed's contract, run against every adapter.

use std::sync::Arc;

use super::{ResultFeed, Subscription, Update};
use crate::id::{Epoch, ModelName, Seq, StreamId};
use crate::message::Status;
use crate::result::{Detection, FrameResult, Region};
use crate::stamp::Stamp;
use crate::time::{CaptureClock, CaptureTime, MediaTime};

/// A result with one detection, of the frame `seq`.
pub fn result(seq: u64) -> Arc<FrameResult> {
    let region = Some(Region { x: 0.25, y: 0.5, w: 0.125, h: 0.0625 });
    let label = "circle".to_owned();
    Arc::new(FrameResult {
        v: FrameResult::VERSION,
        stream: StreamId::new("gate").expect("a good id"),
        epoch: Epoch(1_795_261_900_000),
        stamp: Stamp {
            seq: Seq(seq),
            media_time: MediaTime(9_000_000),
            captured_at: CaptureTime(1_795_262_000_123_456),
            clock: CaptureClock::Rtcp,
        },
        model: ModelName::new("shapes").expect("a good name"),
        status: Status::Ok,
        reason: None,
        detections: vec![Detection { class_id: 1, label, score: 0.875, region, extra: None }],
        inferred_at: CaptureTime(1_795_262_000_203_456),
        latency_ms: 80,
    })
}

/// A subscriber sees what was published after it subscribed, in any order; from before, only what was on its way then.
pub async fn a_subscriber_sees_what_comes_after_it(feed: &dyn ResultFeed) {
    publish(feed, 0);
    let mut subscriber = subscribe(feed).await;
    publish(feed, 1);
    publish(feed, 2);
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
        publish(feed, seq);
        assert_eq!(reader.next().await, Some(Update::Result(result(seq))));
    }
}

fn publish(feed: &dyn ResultFeed, seq: u64) {
    feed.publish(result(seq), None).expect("the feed takes results");
}

async fn subscribe(feed: &dyn ResultFeed) -> Box<dyn Subscription> {
    feed.subscribe().await.expect("the feed takes subscribers")
}
