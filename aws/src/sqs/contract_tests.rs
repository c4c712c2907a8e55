//! The queue's contract against a real endpoint of SQS, where one is named: leases are waited for.

use std::time::Duration;

use async_trait::async_trait;
use services::queue::contract::Queued;
use services::queue::{Backlog as _, DeadLetters, Depth, MAX_MESSAGE_BYTES, Queue};

use super::SqsQueue;
use crate::test_site;

const MAX_RECEIVES: u32 = 3;
const LEASE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(5);

struct OnSqs(SqsQueue);

#[async_trait]
impl Queued for OnSqs {
    fn queue(&self) -> &dyn Queue {
        &self.0
    }

    fn dead(&self) -> &dyn DeadLetters {
        &self.0
    }

    fn max_receives(&self) -> u32 {
        self.0.max_receives()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

async fn open(fifo: bool) -> Option<OnSqs> {
    let config = test_site::client_config().await?;
    let name = test_site::queue(&config, MAX_RECEIVES, fifo).await;
    let queue = SqsQueue::open(aws_sdk_sqs::Client::new(&config), &name).await.unwrap();
    assert_eq!(queue.max_receives(), MAX_RECEIVES);
    Some(OnSqs(queue))
}

mod standard {
    services::queue_contract!(async || super::open(false));
}

mod fifo {
    services::queue_contract!(async || super::open(true));
}

#[tokio::test]
async fn a_stream_of_a_fifo_queue_comes_in_order_and_holds_up_no_other() {
    let Some(OnSqs(queue)) = open(true).await else { return };
    let body = |stream: &str, seq: u32| format!(r#"{{"stream":"{stream}","seq":{seq}}}"#);
    let bodies = [body("gate", 1), body("gate", 2), body("yard", 1)];
    assert!(queue.send(&bodies).await.unwrap().iter().all(Result::is_ok));

    let first = queue.receive(10, LEASE, WAIT).await.unwrap();
    assert_eq!(first.iter().map(|got| &got.body).collect::<Vec<_>>(), [&bodies[0]]);
    let other = queue.receive(10, LEASE, WAIT).await.unwrap();
    assert_eq!(other.iter().map(|got| &got.body).collect::<Vec<_>>(), [&bodies[2]]);
    queue.acknowledge(&[first[0].receipt.clone()]).await.unwrap().remove(0).unwrap();
    let next = queue.receive(10, LEASE, WAIT).await.unwrap();
    assert_eq!(next.iter().map(|got| &got.body).collect::<Vec<_>>(), [&bodies[1]]);
}

#[tokio::test]
async fn a_message_whose_workers_all_died_is_a_letter_that_says_so() {
    let Some(OnSqs(queue)) = open(false).await else { return };
    queue.send(&["{}".to_owned()]).await.unwrap();
    for receives in 1..=MAX_RECEIVES {
        let got = queue.receive(1, Duration::from_secs(1), WAIT).await.unwrap();
        assert_eq!(got[0].receives, receives);
    }
    assert_eq!(queue.receive(1, LEASE, Duration::from_secs(3)).await.unwrap(), []);
    let dead = queue.list(None, 9).await.unwrap();
    // moto does not tell which queue a letter came from (`localstack/README.md`): it may have been sent as one.
    let is_moto = std::env::var("EMULATOR").is_ok_and(|emulator| emulator == "moto");
    let (reason, receives) = if is_moto {
        ("it came with no reason", 0)
    } else {
        ("received 3 times and never answered", MAX_RECEIVES)
    };
    assert_eq!((dead[0].reason.as_str(), dead[0].receives), (reason, receives));
    assert_eq!(dead[0].body, "{}");
}

#[tokio::test]
async fn the_depth_counts_what_waits_what_is_leased_and_what_is_dead() {
    let Some(OnSqs(queue)) = open(false).await else { return };
    let bodies = ["1", "2", "3"].map(str::to_owned);
    queue.send(&bodies).await.unwrap();
    let got = queue.receive(2, LEASE, WAIT).await.unwrap();
    queue.bury(&got[0].receipt, "not JSON").await.unwrap();
    assert_eq!(
        queue.depth().await.unwrap(),
        Depth { ready: 1, leased: 1, dead: 1, oldest_sent_at: None }
    );
}

#[tokio::test]
async fn a_letter_that_fills_a_message_is_buried_and_replayed_like_any_other() {
    let Some(OnSqs(queue)) = open(false).await else { return };
    queue.send(&["x".repeat(MAX_MESSAGE_BYTES)]).await.unwrap().remove(0).unwrap();
    let got = queue.receive(1, LEASE, WAIT).await.unwrap();
    queue.bury(&got[0].receipt, "not JSON").await.unwrap();
    let dead = queue.list(None, 9).await.unwrap();
    assert_eq!((dead.len(), dead[0].reason.as_str()), (1, "it came with no reason"));
    let letter = [dead[0].id.clone()];
    queue.replay(&letter).await.unwrap().remove(0).unwrap();
    assert_eq!(queue.receive(1, LEASE, WAIT).await.unwrap()[0].body, got[0].body);
}

#[tokio::test]
async fn more_letters_than_one_call_takes_are_all_listed_and_found() {
    let Some(OnSqs(queue)) = open(false).await else { return };
    let mut reasons = Vec::new();
    for batch in 0..3 {
        let bodies: Vec<_> = (0..10).map(|n| format!("{batch}-{n}")).collect();
        queue.send(&bodies).await.unwrap();
        while queue.list(None, 99).await.unwrap().len() < (batch + 1) * 10 {
            for got in queue.receive(10, LEASE, WAIT).await.unwrap() {
                queue.bury(&got.receipt, &got.body).await.unwrap();
                reasons.push(got.body);
            }
        }
    }
    let listed = queue.list(None, 99).await.unwrap();
    let found: Vec<_> = listed.iter().map(|letter| letter.reason.clone()).collect();
    assert_eq!(found, reasons, "oldest first");
    let letters: Vec<_> = listed.into_iter().map(|letter| letter.id).collect();
    assert!(queue.replay(&letters).await.unwrap().iter().all(Result::is_ok));
    assert_eq!(queue.list(None, 99).await.unwrap(), []);
}
