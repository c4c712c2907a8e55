//! Dead letters in SQS: a queue like any other, which nobody can list without receiving.
//!
//! So a look at the dead letters receives them all, unseen by others for that time, and gives them back. It costs
//! one call per ten letters and one to give these back, a second of waiting to be sure that there are no more, and
//! memory for [`MAX_LOOK_BYTES`] of bodies: beyond that, and beyond [`MAX_LOOK`] letters, others are not seen until
//! some of these are gone. What another look has in its hands at the moment is not seen either, nor, of a FIFO
//! queue's letters that SQS itself gave up, more than ten per stream. A look that is dropped half-way leaves the
//! letters unseen for [`LOOK_SECONDS`].

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_sqs::types::Message;

use super::leases::Lease;
use super::letter::{letter, letter_attributes};
use super::translate::{deduplication_id, group, of_lease};
use super::{Parcel, Poll, SqsQueue};
use crate::error::{ErrorKind, PortError};
use crate::queue::{DeadLetter, DeadLetters, LetterId, MAX_BATCH_ENTRIES, Outcome, Receipt};

/// How long letters are invisible to others unless they are given back before.
const LOOK_SECONDS: i32 = 30;
/// How long to wait for one more letter: a poll that waits asks all servers of SQS, one that does not only some.
const MORE_SECONDS: i32 = 1;
/// Most letters of one look.
const MAX_LOOK: usize = 10_000;
/// Most bytes of the bodies of one look.
const MAX_LOOK_BYTES: usize = 64 << 20;

/// What a look has found, by message id.
type Seen = HashMap<String, Message>;

impl SqsQueue {
    /// Sends a leased message to the dead letters and deletes it.
    pub(super) async fn give_up(&self, receipt: &Receipt, lease: &Lease, reason: &str) -> Outcome {
        let now = self.clock.now();
        let attributes = letter_attributes(&lease.body, reason, lease.receives, now);
        if attributes.is_empty() {
            tracing::warn!(%reason, "the message is too large for its dead letter to carry a reason");
        }
        let parcel = Parcel {
            body: &lease.body,
            // A group of its own: letters have no order, and a look at one must not hide others.
            group: lease.message.clone(),
            deduplication: lease.message.clone(),
            attributes,
        };
        self.dead.send_one(parcel).await?;
        let deleted = of_lease(self.source.delete_one(receipt).await);
        if deleted.is_ok() {
            self.leases().end(receipt);
        }
        deleted
    }

    /// Receives letters into `seen` until there are no more, or the one that is sought is among them.
    async fn look(&self, seen: &mut Seen, sought: Option<&LetterId>) -> Result<(), PortError> {
        let poll = Poll {
            max: MAX_BATCH_ENTRIES,
            lease_seconds: LOOK_SECONDS,
            wait_seconds: MORE_SECONDS,
            attempt: None,
        };
        let mut bytes = 0;
        while seen.len() < MAX_LOOK && bytes < MAX_LOOK_BYTES {
            let mut is_news = false;
            for message in self.dead.poll(poll).await? {
                let Some(id) = message.message_id().map(str::to_owned) else { continue };
                bytes += message.body().map_or(0, str::len);
                // One that comes again has a new receipt, and its turn has come: all others were seen.
                is_news |= seen.insert(id, message).is_none();
            }
            if !is_news || sought.is_some_and(|letter| seen.contains_key(&letter.0)) {
                return Ok(());
            }
        }
        tracing::warn!(letters = seen.len(), "there are more dead letters than one look takes");
        Ok(())
    }

    /// Lets others see letters again; what fails here comes back by itself.
    async fn give_back(&self, letters: impl Iterator<Item = &Message>) {
        let receipts = letters.filter_map(|message| message.receipt_handle());
        let receipts: Vec<Receipt> = receipts.map(|receipt| Receipt(receipt.to_owned())).collect();
        for receipts in receipts.chunks(MAX_BATCH_ENTRIES) {
            if let Err(error) = self.dead.set_visibility(receipts, 0).await {
                tracing::debug!(%error, "dead letters stay unseen for a while");
            }
        }
    }

    fn no_letter(&self, letter: &LetterId) -> PortError {
        let attempt = self.dead.attempt(&format!("find dead letter {:?} in", letter.0));
        PortError::because(ErrorKind::NotFound, attempt, "there is none of this id")
    }

    /// Sends a letter to the queue again, then deletes it.
    async fn send_again(&self, letter: &LetterId, message: &Message) -> Outcome {
        let body = message.body().unwrap_or_default();
        let parcel = Parcel {
            body,
            group: group(body),
            // Another than the message's first, so that it is taken; the same for the same letter.
            deduplication: deduplication_id(&[body, &letter.0]),
            attributes: HashMap::new(),
        };
        self.source.send_one(parcel).await?;
        let receipt = Receipt(message.receipt_handle().unwrap_or_default().to_owned());
        self.dead.delete_one(&receipt).await
    }
}

#[async_trait]
impl DeadLetters for SqsQueue {
    async fn bury(&self, receipt: &Receipt, reason: &str) -> Result<(), PortError> {
        let lease = self.find(std::slice::from_ref(receipt)).remove(0);
        let lease = lease.ok_or_else(|| self.stale("bury"))?;
        self.give_up(receipt, &lease, reason).await
    }

    async fn list(
        &self,
        after: Option<&LetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError> {
        let mut seen = Seen::new();
        let looked = self.look(&mut seen, None).await;
        self.give_back(seen.values()).await;
        looked?;
        let letters = seen.values().filter_map(|message| letter(message, self.max_receives));
        let mut letters: Vec<DeadLetter> = letters.collect();
        letters.sort_by(|a, b| (a.died_at, &a.id.0).cmp(&(b.died_at, &b.id.0)));
        let begin = match after {
            Some(after) => {
                let place = letters.iter().position(|letter| letter.id == *after);
                place.ok_or_else(|| self.no_letter(after))? + 1
            }
            None => 0,
        };
        Ok(letters.into_iter().skip(begin).take(limit).collect())
    }

    async fn replay(&self, letter: &LetterId) -> Result<(), PortError> {
        let mut seen = Seen::new();
        let looked = self.look(&mut seen, Some(letter)).await;
        let found = seen.remove(&letter.0);
        self.give_back(seen.values()).await;
        looked?;
        let message = found.ok_or_else(|| self.no_letter(letter))?;
        let sent = self.send_again(letter, &message).await;
        if sent.is_err() {
            self.give_back(std::iter::once(&message)).await;
        }
        sent
    }
}
