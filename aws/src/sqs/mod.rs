//! The queue on AWS: an SQS queue and the dead-letter queue that its redrive policy names.
//!
//! * A lease is the visibility timeout, in whole seconds. Which leases are whose is kept here as well, because SQS
//!   does not tell (see [`leases`]): a receipt is good until the end of its lease, and only with the
//!   [`SqsQueue`] that gave it out.
//! * SQS moves a message that was received too often by itself, and takes no reason for it. So a release that gives
//!   the reason of the last receive allowed does what [`bury`](services::queue::DeadLetters::bury) does: it sends body
//!   and reason to the dead letters, then deletes the message. A crash in between leaves both, and the message ends
//!   a second time as a letter; no query's answer changes by it. A message whose workers all died comes to the dead
//!   letters without a reason.
//! * In a FIFO queue (`….fifo`) the group is the stream: its messages are received in order, and none while one of
//!   them is leased. So a call sends one message, and receives one, for SQS gives many of a group at once
//!   (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html>).
//!   A send that is repeated within five minutes, after an answer that was lost, is one message
//!   (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html>).
//! * The depth is what SQS knows of it, which may be [a minute](COUNTS_LAG) old: one empty answer is no proof of an
//!   empty queue.

mod calls;
#[cfg(test)]
mod contract_tests;
mod dead;
mod leases;
mod letter;
#[cfg(test)]
mod scripted_tests;
mod translate;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use services::queue::{
    Backlog, Depth, MAX_MESSAGE_BYTES, Outcome, Queue, Receipt, Received, check_batch, check_send,
};
use services::{Clock, ErrorKind, PortError};

use self::leases::{Lease, Leases, MAX_LEASES};
use self::translate::{
    Redrive, deduplication_id, group, lease_seconds, of_lease, poll_seconds, received,
};

pub(crate) use calls::{Calls, Parcel, Poll};
pub(crate) use translate::sent_at;

/// What tells how many messages a queue holds: ready, delayed, leased.
const COUNTS: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
];

/// "at least 1 minute after the producers stop sending messages": when the counts are right
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html>).
const COUNTS_LAG: Duration = Duration::from_secs(60);

/// A queue in SQS, with its dead letters.
pub struct SqsQueue {
    source: Calls,
    dead: Calls,
    max_receives: u32,
    clock: Clock,
    leases: Mutex<Leases>,
    /// The id of a receive of a FIFO queue whose answer was lost.
    lost_attempt: Mutex<Option<String>>,
}

impl SqsQueue {
    /// Finds a queue and its dead letters by the queue's name.
    ///
    /// # Errors
    /// When one of both does not exist or may not be asked for, the queue has no redrive policy, or one of both
    /// takes only messages smaller than [`MAX_MESSAGE_BYTES`]; it is named.
    pub async fn open(client: Client, name: &str) -> Result<Self, PortError> {
        let source = Calls::open(client.clone(), name, None).await?;
        let policy = QueueAttributeName::RedrivePolicy;
        let found =
            source.attributes(&[policy.clone(), QueueAttributeName::MaximumMessageSize]).await?;
        check_size(&source, &found)?;
        let refuse =
            |cause: String| PortError::because(ErrorKind::Invalid, source.attempt("open"), cause);
        let policy = found.get(&policy).ok_or_else(|| {
            refuse("it has no redrive policy, which names its dead-letter queue".to_owned())
        })?;
        let redrive = Redrive::parse(policy)
            .ok_or_else(|| refuse(format!("its redrive policy cannot be read: {policy}")))?;
        let dead = Calls::open(client, &redrive.name, Some(redrive.account)).await?;
        check_size(&dead, &dead.attributes(&[QueueAttributeName::MaximumMessageSize]).await?)?;
        Ok(Self {
            source,
            dead,
            max_receives: redrive.max_receives,
            clock: Clock::system(),
            leases: Mutex::default(),
            lost_attempt: Mutex::default(),
        })
    }

    /// How often a message may be received, by the queue's redrive policy.
    pub fn max_receives(&self) -> u32 {
        self.max_receives
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leases that receipts prove now, in the order of the receipts.
    fn find(&self, receipts: &[Receipt]) -> Vec<Option<Lease>> {
        let (leases, now) = (self.leases(), Instant::now());
        receipts.iter().map(|receipt| leases.find(receipt, now).cloned()).collect()
    }

    fn stale(&self, verb: &str) -> PortError {
        PortError::because(
            ErrorKind::NotFound,
            self.source.attempt(&format!("{verb} message of")),
            "its lease has ended: answered already, run out, or received again since",
        )
    }

    /// Puts the answers about `asked` in the places of their `receipts`; the others' leases have ended. Forgets the
    /// leases that have ended by what the answers say.
    fn settle(
        &self,
        verb: &str,
        receipts: &[Receipt],
        asked: &[Receipt],
        answers: Vec<Outcome>,
        on_success: impl Fn(&mut Leases, &Receipt),
    ) -> Vec<Outcome> {
        let mut answers = asked.iter().zip(answers.into_iter().map(of_lease)).peekable();
        let mut leases = self.leases();
        let mut outcome = |receipt: &Receipt| {
            let Some((_, answer)) = answers.next_if(|(asked, _)| *asked == receipt) else {
                return Err(self.stale(verb));
            };
            match &answer {
                Ok(()) => on_success(&mut leases, receipt),
                Err(error) if error.kind() == ErrorKind::NotFound => leases.end(receipt),
                Err(_) => {}
            }
            answer
        };
        receipts.iter().map(&mut outcome).collect()
    }

    /// Those of `receipts` whose leases have not ended.
    fn live(&self, receipts: &[Receipt]) -> Vec<Receipt> {
        let leases = self.find(receipts);
        let live = receipts.iter().zip(leases).filter(|(_, lease)| lease.is_some());
        live.map(|(receipt, _)| receipt.clone()).collect()
    }

    /// Leases what is there, waiting `wait` seconds for the first message.
    async fn poll(&self, max: usize, lease: i32, wait: i32) -> Result<Vec<Received>, PortError> {
        let asked_at = Instant::now();
        let room = self.leases().room(asked_at);
        if room == 0 {
            let cause = format!("{MAX_LEASES} messages are leased, no more are taken");
            let attempt = self.source.attempt("receive from");
            return Err(PortError::because(ErrorKind::Full, attempt, cause));
        }
        let attempt = self.take_attempt();
        let poll = Poll {
            max: max.min(room),
            lease_seconds: lease,
            wait_seconds: wait,
            attempt: Some(&attempt),
        };
        let answer = self.source.poll(poll).await;
        let messages = answer.inspect_err(|_| {
            *self.lost_attempt.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempt);
        })?;
        // A poll that waits is answered when there is a message: its lease begins then.
        let since = if wait == 0 { asked_at } else { Instant::now() };
        Ok(self.begin(messages, since + Duration::from_secs(u64::try_from(lease).unwrap_or(0))))
    }

    /// Takes the leases of received messages.
    fn begin(&self, messages: Vec<Message>, until: Instant) -> Vec<Received> {
        let mut leases = self.leases();
        let mut begin = |(message, got): (String, Received)| {
            let (body, receives) = (got.body.as_str().into(), got.receives);
            leases.begin(got.receipt.clone(), Lease { message, body, receives, until });
            got
        };
        messages.into_iter().filter_map(received).map(&mut begin).collect()
    }

    /// The id of the receive whose answer was lost, or a new one.
    fn take_attempt(&self) -> String {
        let lost = self.lost_attempt.lock().unwrap_or_else(PoisonError::into_inner).take();
        lost.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()))
    }

    /// Sends each message by a call of its own, none after one that may yet be sent: of a batch, SQS may take a later
    /// message and not the earlier one.
    async fn send_in_order(&self, bodies: &[String]) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::new();
        let waits = |outcome: &Outcome| {
            outcome.as_ref().is_err_and(|error| error.kind() != ErrorKind::Invalid)
        };
        for body in bodies {
            let outcome = if outcomes.iter().any(waits) {
                let cause = "a message before it was not sent";
                Err(PortError::because(
                    ErrorKind::Unavailable,
                    self.source.attempt("send to"),
                    cause,
                ))
            } else {
                self.source.send_one(parcel(body)).await
            };
            outcomes.push(outcome);
        }
        outcomes
    }
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsQueue").field("source", &self.source).finish_non_exhaustive()
    }
}

fn check_size(
    queue: &Calls,
    attributes: &HashMap<QueueAttributeName, String>,
) -> Result<(), PortError> {
    let size = attributes.get(&QueueAttributeName::MaximumMessageSize);
    match size.and_then(|size| size.parse::<usize>().ok()) {
        Some(size) if size < MAX_MESSAGE_BYTES => {
            let cause = format!(
                "it takes messages of at most {size} bytes (MaximumMessageSize), {MAX_MESSAGE_BYTES} are needed"
            );
            Err(PortError::because(ErrorKind::Invalid, queue.attempt("open"), cause))
        }
        _ => Ok(()),
    }
}

fn parcel(body: &str) -> Parcel<'_> {
    let deduplication = deduplication_id(&[body]);
    Parcel { body, group: group(body), deduplication, attributes: HashMap::new() }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Outcome>, PortError> {
        check_send(bodies)?;
        if self.source.is_fifo() {
            return Ok(self.send_in_order(bodies).await);
        }
        self.source.send(bodies.iter().map(|body| parcel(body)).collect()).await
    }

    async fn receive(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, PortError> {
        check_batch(max)?;
        let max = if self.source.is_fifo() { max.min(1) } else { max };
        let (lease, begun) = (lease_seconds(lease)?, Instant::now());
        let next_poll = || poll_seconds(wait.saturating_sub(begun.elapsed()));
        let mut poll = next_poll();
        loop {
            let received = self.poll(max, lease, poll).await?;
            poll = next_poll();
            if !received.is_empty() || poll == 0 {
                return Ok(received);
            }
        }
    }

    async fn extend(
        &self,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Result<Vec<Outcome>, PortError> {
        check_batch(receipts.len())?;
        let (seconds, asked_at) = (lease_seconds(lease)?, Instant::now());
        let live = self.live(receipts);
        let answers = self.source.set_visibility(&live, seconds).await?;
        let until = asked_at + lease;
        let extend = |leases: &mut Leases, receipt: &Receipt| leases.extend(receipt, until);
        Ok(self.settle("extend lease of", receipts, &live, answers, extend))
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<Vec<Outcome>, PortError> {
        check_batch(receipts.len())?;
        let live = self.live(receipts);
        let answers = self.source.delete(&live).await?;
        Ok(self.settle("acknowledge", receipts, &live, answers, Leases::end))
    }

    async fn release(
        &self,
        releases: &[(Receipt, Option<String>)],
    ) -> Result<Vec<Outcome>, PortError> {
        check_batch(releases.len())?;
        let receipts: Vec<Receipt> = releases.iter().map(|(receipt, _)| receipt.clone()).collect();
        let (mut back, mut given_up) = (Vec::new(), Vec::new());
        for ((place, (receipt, reason)), lease) in
            releases.iter().enumerate().zip(self.find(&receipts))
        {
            match (lease, reason) {
                (Some(lease), Some(reason)) if lease.receives >= self.max_receives => {
                    given_up.push((place, lease, reason));
                }
                (Some(_), _) => back.push(receipt.clone()),
                (None, _) => {}
            }
        }
        let answers = self.source.set_visibility(&back, 0).await?;
        let mut outcomes = self.settle("release", &receipts, &back, answers, Leases::end);
        for (place, lease, reason) in given_up {
            outcomes[place] = self.give_up(&receipts[place], &lease, reason).await;
        }
        Ok(outcomes)
    }
}

#[async_trait]
impl Backlog for SqsQueue {
    async fn depth(&self) -> Result<Depth, PortError> {
        let (source, dead) =
            tokio::try_join!(self.source.attributes(&COUNTS), self.dead.attributes(&COUNTS))?;
        let count = |counts: &HashMap<_, String>, place: usize| -> u64 {
            counts.get(&COUNTS[place]).and_then(|count| count.parse().ok()).unwrap_or(0)
        };
        Ok(Depth {
            ready: count(&source, 0) + count(&source, 1),
            leased: count(&source, 2),
            dead: (0..COUNTS.len()).map(|place| count(&dead, place)).sum(),
            // ApproximateAgeOfOldestMessage is a metric of CloudWatch's and no attribute of a queue.
            oldest_sent_at: None,
        })
    }

    fn lag(&self) -> Duration {
        COUNTS_LAG
    }
}
