//! The result feed between processes: an SQS queue that belongs to one receiver, named in its messages.
//!
//! A worker publishes a frame's result to the queue that the frame's message names. The process whose queue that is
//! receives them all and hands them to its subscribers; what is published in the same process takes no detour.
//! Without a queue of its own a process shows its subscribers what it publishes itself.
//!
//! The queue is read from the first subscription on. What was sent before that is deleted unseen; so is what cannot
//! be read. Until there is a subscriber the queue fills: give it the shortest retention, 60 s
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>). Two
//! processes with one reply queue would each see some of its results.
//!
//! A standard queue: results of different frames may change places, and a result may come twice. Memory holds one
//! page of messages, and what the broadcast holds for its slowest subscriber.

mod outbox;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::Message;
use services::feed::{BroadcastFeed, ResultFeed, Subscription};
use services::message::MAX_REPLY_TO_BYTES;
use services::queue::{MAX_BATCH_ENTRIES, Receipt};
use services::retry::Backoff;
use services::{Clock, ErrorKind, FrameResult, PortError};
use tokio_util::task::AbortOnDropHandle;

use self::outbox::Outbox;
use crate::sqs::{Calls, Poll, sent_at};

/// Results held for the slowest subscriber.
const CAPACITY: usize = 1_024;
/// Longest wait of one poll: the longest that SQS grants, as each costs the same.
const POLL_SECONDS: i32 = 20;
/// How long a message is invisible while it is read and deleted.
const LEASE_SECONDS: i32 = 30;
/// Waits after a poll that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The feed of a process that has a reply queue, or publishes to those of others.
#[derive(Debug)]
pub struct ReplyQueueFeed {
    outbox: Outbox,
    own: Option<Calls>,
    local: BroadcastFeed,
    clock: Clock,
    /// Runs from the first subscription on.
    reader: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl ReplyQueueFeed {
    /// Opens the feed, with a reply queue of its own if one is named.
    ///
    /// # Errors
    /// When the queue does not exist, may not be asked for, or is a FIFO queue; it is named.
    pub async fn open(client: Client, reply_queue: Option<&str>) -> Result<Self, PortError> {
        let own = match reply_queue {
            Some(name) if name.ends_with(".fifo") => {
                let attempt = format!("open reply queue {name:?}");
                let cause = "it is a FIFO queue, a standard queue is needed";
                return Err(PortError::because(ErrorKind::Invalid, attempt, cause));
            }
            Some(name) => Some(Calls::open(client.clone(), name, None).await?),
            None => None,
        };
        if let Some(url) = own.as_ref().map(Calls::url).filter(|url| url.len() > MAX_REPLY_TO_BYTES)
        {
            let attempt = format!("open reply queue {url:?}");
            let cause =
                format!("its URL has {} bytes, {MAX_REPLY_TO_BYTES} fit a message", url.len());
            return Err(PortError::because(ErrorKind::Invalid, attempt, cause));
        }
        let local = BroadcastFeed::new(CAPACITY);
        let outbox = Outbox::open(client);
        Ok(Self { outbox, own, local, clock: Clock::system(), reader: Mutex::default() })
    }
}

#[async_trait]
impl ResultFeed for ReplyQueueFeed {
    fn reply_to(&self) -> Option<String> {
        self.own.as_ref().map(|own| own.url().to_owned())
    }

    fn publish(&self, result: Arc<FrameResult>, reply_to: Option<&str>) -> Result<(), PortError> {
        let own = self.own.as_ref().map(Calls::url);
        let elsewhere = reply_to.filter(|url| Some(*url) != own);
        if own.is_none() || elsewhere.is_none() {
            self.local.publish(Arc::clone(&result), None)?;
        }
        match elsewhere {
            Some(url) => self.outbox.put(url, result.to_json()?),
            None => Ok(()),
        }
    }

    fn lost(&self) -> u64 {
        self.outbox.lost()
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, PortError> {
        let subscription = self.local.subscribe().await?;
        if let Some(own) = &self.own {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.get_or_insert_with(|| {
                let since = self.clock.now().0 / 1_000;
                let reading = read(own.clone(), self.local.clone(), since);
                AbortOnDropHandle::new(tokio::spawn(reading))
            });
        }
        Ok(subscription)
    }
}

/// Receives results and hands on those sent at `since` (UTC milliseconds) or later, without end.
async fn read(queue: Calls, local: BroadcastFeed, since: i64) {
    let poll = Poll {
        max: MAX_BATCH_ENTRIES,
        lease_seconds: LEASE_SECONDS,
        wait_seconds: POLL_SECONDS,
        attempt: None,
    };
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        match queue.poll(poll).await {
            Ok(messages) => {
                backoff.reset();
                hand_on(&queue, &local, &messages, since).await;
            }
            Err(error) => {
                tracing::warn!(%error, "no results are seen for the moment, trying again");
                backoff.pause().await;
            }
        }
    }
}

async fn hand_on(queue: &Calls, local: &BroadcastFeed, messages: &[Message], since: i64) {
    for message in messages.iter().filter(|message| is_due(message, since)) {
        match FrameResult::from_json(message.body().unwrap_or_default().as_bytes()) {
            // The broadcast takes everything.
            Ok(result) => drop(local.publish(Arc::new(result), None)),
            Err(error) => tracing::warn!(%error, "a message of the reply queue is no result"),
        }
    }
    let receipts = messages.iter().filter_map(|message| message.receipt_handle());
    let receipts: Vec<Receipt> = receipts.map(|receipt| Receipt(receipt.to_owned())).collect();
    if let Err(error) = queue.delete(&receipts).await {
        tracing::debug!(%error, "results may be shown twice");
    }
}

/// Tells whether a message was sent after the first subscription, by the clock of SQS; its clock and this one may
/// differ by moments, and such a result is seen or not.
fn is_due(message: &Message, since: i64) -> bool {
    sent_at(message).is_none_or(|sent| sent >= since)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use services::feed::Update;
    use services::feed::contract::{self, result};
    use services::queue::MAX_MESSAGE_BYTES;

    use super::*;
    use crate::scripted::{Reply, Request, Scripted};
    use crate::test_site;

    const ELSEWHERE: &str = "https://sqs.test/0/replies";

    /// A worker's feed and a receiver's, as one: what is published in the one is seen in the other.
    #[derive(Debug)]
    struct Between {
        worker: ReplyQueueFeed,
        receiver: ReplyQueueFeed,
    }

    #[async_trait]
    impl ResultFeed for Between {
        fn publish(&self, result: Arc<FrameResult>, _: Option<&str>) -> Result<(), PortError> {
            self.worker.publish(result, self.receiver.reply_to().as_deref())
        }

        async fn subscribe(&self) -> Result<Box<dyn Subscription>, PortError> {
            self.receiver.subscribe().await
        }
    }

    async fn between() -> Option<Between> {
        let config = test_site::client_config().await?;
        let client = Client::new(&config);
        let name = test_site::plain_queue(&config).await;
        let worker = ReplyQueueFeed::open(client.clone(), None).await.unwrap();
        let receiver = ReplyQueueFeed::open(client, Some(&name)).await.unwrap();
        Some(Between { worker, receiver })
    }

    #[tokio::test]
    async fn a_subscriber_sees_what_is_published_after_it_subscribed() {
        if let Some(feed) = between().await {
            contract::a_subscriber_sees_what_comes_after_it(&feed).await;
        }
    }

    #[tokio::test]
    async fn subscribers_do_not_wait_for_each_other() {
        if let Some(feed) = between().await {
            contract::subscribers_do_not_wait_for_each_other(&feed).await;
        }
    }

    #[tokio::test]
    async fn without_a_queue_of_its_own_a_process_sees_what_it_publishes() {
        let endpoint = Scripted::start([]).await;
        let client = Client::new(&endpoint.sdk_config().await);
        let feed = ReplyQueueFeed::open(client, None).await.unwrap();
        assert_eq!(feed.reply_to(), None);
        contract::a_subscriber_sees_what_comes_after_it(&feed).await;
        assert_eq!(endpoint.requests().len(), 0);
    }

    /// Answers as a queue that holds `bodies`, then nothing.
    async fn receiver(bodies: Vec<String>) -> (Scripted, ReplyQueueFeed) {
        let bodies = Mutex::new(Some(bodies));
        let endpoint = Scripted::answering(move |request: &Request| {
            let messages = || {
                let bodies = bodies.lock().unwrap().take().unwrap_or_default();
                let message = |body: &String| json!({ "ReceiptHandle": "r", "Body": body });
                bodies.iter().map(message).collect::<Vec<_>>()
            };
            match request.operation() {
                "GetQueueUrl" => Reply::ok(r#"{"QueueUrl":"https://sqs.test/0/replies"}"#),
                "ReceiveMessage" => match messages() {
                    none if none.is_empty() => Reply::ok("{}").after(Duration::from_secs(20)),
                    some => Reply::ok(json!({ "Messages": some }).to_string()),
                },
                _ => Reply::ok(r#"{"Successful":[],"Failed":[]}"#),
            }
        })
        .await;
        let client = Client::new(&endpoint.sdk_config().await);
        let feed = ReplyQueueFeed::open(client, Some("replies")).await.unwrap();
        (endpoint, feed)
    }

    #[tokio::test]
    async fn what_is_published_in_the_same_process_takes_no_detour() {
        let (endpoint, feed) = receiver(Vec::new()).await;
        let mut subscriber = feed.subscribe().await.unwrap();
        feed.publish(result(1), feed.reply_to().as_deref()).unwrap();
        assert_eq!(subscriber.next().await, Some(Update::Result(result(1))));
        let sent = endpoint.requests().iter().any(|asked| asked.operation() == "SendMessageBatch");
        assert!(!sent);
    }

    #[tokio::test]
    async fn what_is_no_result_is_passed_over() {
        let good = result(3).to_json().unwrap();
        let newer = good.replacen("\"v\":1", "\"v\":2", 1);
        let bodies = vec!["not JSON".to_owned(), "[]".to_owned(), newer, good];
        let (_endpoint, feed) = receiver(bodies).await;
        let mut subscriber = feed.subscribe().await.unwrap();
        assert_eq!(subscriber.next().await, Some(Update::Result(result(3))));
    }

    #[tokio::test]
    async fn a_result_that_is_too_large_is_refused_by_its_frame() {
        let endpoint = Scripted::start([]).await;
        let client = Client::new(&endpoint.sdk_config().await);
        let feed = ReplyQueueFeed::open(client, None).await.unwrap();
        let mut large = (*result(1)).clone();
        large.detections[0].extra = Some("x".repeat(MAX_MESSAGE_BYTES));
        let error = feed.publish(Arc::new(large), Some(ELSEWHERE)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("gate/"), "{error}");
        assert_eq!(endpoint.requests().len(), 0);
    }

    #[tokio::test]
    async fn a_dead_link_delays_no_publisher_and_what_is_dropped_is_counted() {
        let dead = |_: &Request| Reply::ok("{}").after(Duration::from_secs(3_600));
        let endpoint = Scripted::answering(dead).await;
        let client = Client::new(&endpoint.sdk_config().await);
        let feed = ReplyQueueFeed::open(client, None).await.unwrap();
        // The first call takes some, and then never ends.
        let published = (0..3_000).map(|_| feed.publish(result(1), Some(ELSEWHERE)));
        let dropped = published.filter(Result::is_err).count() as u64;
        assert!((1_900..3_000).contains(&dropped), "{dropped}");
        assert_eq!(feed.lost(), dropped);
        let refused = feed.publish(result(1), Some(ELSEWHERE)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
    }

    #[tokio::test]
    async fn a_feed_that_ended_says_so() {
        let (_endpoint, feed) = receiver(Vec::new()).await;
        let mut subscriber = feed.subscribe().await.unwrap();
        drop(feed);
        assert_eq!(subscriber.next().await, None);
    }
}
