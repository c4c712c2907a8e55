//! Port: work handed from receivers to the workers of one model.
//!
//! # Contract
//! * `Ok` for an entry of `send` means the message is durable and will be received at least once.
//! * `receive` leases each message to one caller for `lease`; when the lease runs out unacknowledged, the message
//!   can be received again. Order is oldest first as far as leases allow; nobody may rely on it. A receive that is
//!   not to wait may overlook messages, and one may wait half a second more or less than it is told to.
//! * A message received more than `max_receives` times goes to the dead letters instead, with a reason: the
//!   reason of the `release` that ended the last receive allowed, if it gave one. Where no worker lived to tell,
//!   an earlier reason may stand there.
//! * `extend` sets the lease to end `lease` from now; `release` ends it now, and its receipt with it. Both, and
//!   `acknowledge`, need the receipt of the *latest* receive, unreleased: after the lease ran out and somebody else
//!   received the message, an old receipt is answered with [`ErrorKind::NotFound`] and changes nothing. An adapter
//!   that cannot know whether somebody did answers so as soon as the lease has run out.
//! * Batches give one outcome per entry, in the order of the entries. The outer `Err` means that no entry was
//!   handled.
//! * Limits are SQS's, checked before the call, also where the adapter could take more: [`MAX_BATCH_ENTRIES`],
//!   [`MAX_MESSAGE_BYTES`] for a message and for a batch in all
//!   (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
//! * Nobody retries inside: the caller decides by [`PortError::is_retryable`].
//!
//! [`ErrorKind::NotFound`]: crate::ErrorKind::NotFound

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod reader;
mod reopened;
mod sqlite;
mod store;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{ErrorKind, PortError};
use crate::time::CaptureTime;

pub use reader::{Held, QueueReader};
pub use reopened::ReopenedQueue;
pub use sqlite::{QueueOptions, SqliteQueue};
pub use store::QueueCounts;

/// Most entries of one batch call.
pub const MAX_BATCH_ENTRIES: usize = 10;
/// Most bytes of one message, and of all messages of one `send`.
pub const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// What became of one entry of a batch.
pub type Outcome<T = ()> = Result<T, PortError>;

/// A queue of messages for one model. The module tells its contract.
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync {
    /// Sends messages.
    async fn send(&self, bodies: &[String]) -> Result<Vec<Outcome>, PortError>;

    /// Leases up to `max` messages, waiting up to `wait` for the first one.
    ///
    /// # Cancel safety
    /// A message leased by a call whose future was dropped comes back when its lease runs out.
    async fn receive(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, PortError>;

    /// Sets leases to end `lease` from now.
    async fn extend(
        &self,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Result<Vec<Outcome>, PortError>;

    /// Deletes messages that are done with.
    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<Vec<Outcome>, PortError>;

    /// Gives messages back at once, each with the reason why this receive came to nothing, if there is one.
    async fn release(
        &self,
        releases: &[(Receipt, Option<String>)],
    ) -> Result<Vec<Outcome>, PortError>;
}

/// The messages that a queue gave up, with the reason for each.
#[async_trait]
pub trait DeadLetters: fmt::Debug + Send + Sync {
    /// Moves a leased message to the dead letters, in one step where the adapter can.
    async fn bury(&self, receipt: &Receipt, reason: &str) -> Result<(), PortError>;

    /// Lists up to `limit` dead letters, oldest first as far as their ages are known, after the letter `after`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], where the adapter needs it to be there, when the letter `after` is gone.
    async fn list(
        &self,
        after: Option<&LetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError>;

    /// Sends dead letters to the queue again, their receive counts back at zero. However many they are, the work
    /// grows no faster than the dead letters that there are; one that is gone, which is [`ErrorKind::NotFound`],
    /// holds up no other.
    async fn replay(&self, letters: &[LetterId]) -> Result<Vec<Outcome>, PortError>;
}

/// How many messages a queue holds, for whoever scales workers or waits for their end.
#[async_trait]
pub trait Backlog: fmt::Debug + Send + Sync {
    /// Counts the messages: exactly where the adapter can, else as lately as it knows.
    async fn depth(&self) -> Result<Depth, PortError>;

    /// How old a depth may be: a queue that was empty for so long is empty.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

/// How many messages a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that can be received now.
    pub ready: u64,
    /// Messages that somebody has a lease on.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest message that is not dead was sent, where the adapter can tell.
    pub oldest_sent_at: Option<CaptureTime>,
}

impl Depth {
    /// Tells whether no message waits for an answer.
    pub fn is_empty(&self) -> bool {
        self.ready + self.leased == 0
    }
}

/// The proof of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A leased message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The proof of the lease.
    pub receipt: Receipt,
    /// The message as it was sent.
    pub body: String,
    /// How often it was received, this time included.
    pub receives: u32,
}

/// A dead letter's id within its queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LetterId(pub String);

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id within the queue's dead letters.
    pub id: LetterId,
    /// The message as it was sent.
    pub body: String,
    /// Why it was given up.
    pub reason: String,
    /// How often it had been received.
    pub receives: u32,
    /// When it was given up, in UTC microseconds.
    pub died_at: CaptureTime,
}

/// Checks the number of a batch's entries, or of the messages asked for.
///
/// # Errors
/// [`ErrorKind::Invalid`] when it is none, or over [`MAX_BATCH_ENTRIES`].
pub fn check_batch(entries: usize) -> Result<(), PortError> {
    if (1..=MAX_BATCH_ENTRIES).contains(&entries) {
        return Ok(());
    }
    let cause = format!("{entries} entries, 1 to {MAX_BATCH_ENTRIES} are allowed");
    Err(PortError::because(ErrorKind::Invalid, "check batch", cause))
}

/// Checks messages against the limits of one `send`.
///
/// # Errors
/// [`ErrorKind::Invalid`] when they are none or too many, one is empty, or they are over [`MAX_MESSAGE_BYTES`].
pub fn check_send(bodies: &[String]) -> Result<(), PortError> {
    check_batch(bodies.len())?;
    let refuse = |cause| Err(PortError::because(ErrorKind::Invalid, "check messages", cause));
    if bodies.iter().any(String::is_empty) {
        return refuse("an empty message is not allowed".to_owned());
    }
    let bytes: usize = bodies.iter().map(String::len).sum();
    if bytes > MAX_MESSAGE_BYTES {
        return refuse(format!("{bytes} bytes, at most {MAX_MESSAGE_BYTES} are allowed"));
    }
    Ok(())
}
