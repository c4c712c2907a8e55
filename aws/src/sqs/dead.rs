//! Dead letters in SQS: a queue like any other, which nobody can list without receiving.
//!
//! So a look at the dead letters receives them all, unseen by others for that time, and gives them back. It costs
//! one call per ten letters and one to give these back, a second of waiting to be sure that there are no more, and
//! memory for [`MAX_LOOK_BYTES`] of bodies: beyond that, and beyond [`MAX_LOOK`] letters, others are not seen until
//! some of these are gone. A replay sends as it receives, ten letters by three calls. What another look has in its hands at the moment is not seen either, nor, of a FIFO
//! queue's letters that SQS itself gave up, more than ten per stream. A look that is dropped half-way leaves the
//! letters unseen for [`LOOK_SECONDS`].

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use aws_sdk_sqs::types::Message;
use services::queue::{
    DeadLetter, DeadLetters, LetterId, MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES, Outcome, Receipt,
};
use services::{ErrorKind, PortError};

use super::leases::Lease;
use super::letter::{letter, letter_attributes};
use super::translate::{deduplication_id, group, of_lease};
use super::{Parcel, Poll, SqsQueue};

/// How long letters are invisible to others unless they are given back before.
const LOOK_SECONDS: i32 = 30;
/// How long to wait for one more letter: a poll that waits asks all servers of SQS, one that does not only some.
const MORE_SECONDS: i32 = 1;
/// One call of a look.
const LOOK: Poll<'static> = Poll {
    max: MAX_BATCH_ENTRIES,
    lease_seconds: LOOK_SECONDS,
    wait_seconds: MORE_SECONDS,
    attempt: None,
};
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

    /// Receives letters until there are no more.
    async fn look(&self, seen: &mut Seen) -> Result<(), PortError> {
        let mut bytes = 0;
        while seen.len() < MAX_LOOK && bytes < MAX_LOOK_BYTES {
            let mut is_news = false;
            for message in self.dead.poll(LOOK).await? {
                let Some(id) = message.message_id().map(str::to_owned) else { continue };
                bytes += message.body().map_or(0, str::len);
                // One that comes again has a new receipt, and its turn has come: all others were seen.
                is_news |= seen.insert(id, message).is_none();
            }
            if !is_news {
                return Ok(());
            }
        }
        tracing::warn!(letters = seen.len(), "there are more dead letters than one look takes");
        Ok(())
    }

    /// Lets others see letters again; what fails here comes back by itself.
    async fn give_back(&self, letters: impl Iterator<Item = &Message>) {
        let receipts: Vec<Receipt> = letters.filter_map(receipt).collect();
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

    /// Receives letters until all that are wanted were found, or there are no more, and sends them again.
    async fn replay_pages(&self, replay: &mut Replay) -> Result<(), PortError> {
        let mut bytes = 0;
        while !replay.wanted.is_empty() && replay.others.len() < MAX_LOOK && bytes < MAX_LOOK_BYTES
        {
            let page = self.dead.poll(LOOK).await?;
            let (found, others): (Vec<_>, Vec<_>) =
                page.into_iter().partition(|message| replay.wants(message));
            let is_news = replay.keep(others, &mut bytes) || !found.is_empty();
            for found in in_batches(found) {
                match self.send_again(&found).await {
                    Ok(outcomes) => replay.settle(found, outcomes),
                    Err(error) => {
                        replay.keep(found, &mut bytes);
                        return Err(error);
                    }
                }
            }
            if !is_news {
                break;
            }
        }
        Ok(())
    }

    /// Sends letters to the queue again, then deletes those that were sent.
    async fn send_again(&self, letters: &[Message]) -> Result<Vec<Outcome>, PortError> {
        let parcel = |message| {
            let body = Message::body(message).unwrap_or_default();
            let id = message.message_id().unwrap_or_default();
            // Another than the message's first, so that it is taken; the same for the same letter.
            let deduplication = deduplication_id(&[body, id]);
            Parcel { body, group: group(body), deduplication, attributes: HashMap::new() }
        };
        let mut outcomes = if self.source.is_fifo() {
            let mut outcomes = Vec::new();
            for letter in letters {
                outcomes.push(self.source.send_one(parcel(letter)).await);
            }
            outcomes
        } else {
            self.source.send(letters.iter().map(parcel).collect()).await?
        };
        let sent = letters.iter().zip(&mut outcomes).filter(|(_, outcome)| outcome.is_ok());
        let (sent, places): (Vec<Receipt>, Vec<&mut Outcome>) =
            sent.filter_map(|(letter, outcome)| Some((receipt(letter)?, outcome))).unzip();
        match self.dead.delete(&sent).await {
            Ok(deleted) => places.into_iter().zip(deleted).for_each(|(place, one)| *place = one),
            Err(error) => places.into_iter().for_each(|place| *place = Err(error.repeated())),
        }
        Ok(outcomes)
    }
}

/// Letters on their way back to the queue.
struct Replay {
    wanted: HashSet<String>,
    outcomes: HashMap<String, Outcome>,
    /// What was received besides, or could not be sent, to be given back.
    others: Seen,
}

impl Replay {
    /// Tells, once, whether a letter is to be sent again.
    fn wants(&mut self, letter: &Message) -> bool {
        letter.message_id().is_some_and(|id| self.wanted.remove(id))
    }

    /// Keeps letters to be given back; tells whether one of them is new.
    fn keep(&mut self, letters: Vec<Message>, bytes: &mut usize) -> bool {
        let mut is_news = false;
        for letter in letters {
            let Some(id) = letter.message_id().map(str::to_owned) else { continue };
            *bytes += letter.body().map_or(0, str::len);
            is_news |= self.others.insert(id, letter).is_none();
        }
        is_news
    }

    fn settle(&mut self, letters: Vec<Message>, outcomes: Vec<Outcome>) {
        for (letter, outcome) in letters.into_iter().zip(outcomes) {
            let id = letter.message_id().unwrap_or_default().to_owned();
            if outcome.is_err() {
                self.others.insert(id.clone(), letter);
            }
            self.outcomes.insert(id, outcome);
        }
    }
}

/// Letters in as many batches as one call of `send` takes each.
fn in_batches(letters: Vec<Message>) -> Vec<Vec<Message>> {
    let mut batches: Vec<Vec<Message>> = Vec::new();
    let mut bytes = 0;
    for letter in letters {
        let more = letter.body().map_or(0, str::len);
        bytes += more;
        match batches.last_mut() {
            Some(batch) if bytes <= MAX_MESSAGE_BYTES => batch.push(letter),
            _ => {
                bytes = more;
                batches.push(vec![letter]);
            }
        }
    }
    batches
}

fn receipt(message: &Message) -> Option<Receipt> {
    message.receipt_handle().map(|receipt| Receipt(receipt.to_owned()))
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
        let looked = self.look(&mut seen).await;
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

    async fn replay(&self, letters: &[LetterId]) -> Result<Vec<Outcome>, PortError> {
        let wanted = letters.iter().map(|letter| letter.0.clone()).collect();
        let mut replay = Replay { wanted, outcomes: HashMap::new(), others: Seen::new() };
        let ended = self.replay_pages(&mut replay).await;
        self.give_back(replay.others.values()).await;
        let failure = match ended {
            Err(error) if replay.outcomes.is_empty() => return Err(error),
            ended => ended.err(),
        };
        let untold = |letter: &LetterId| match &failure {
            Some(error) => Err(error.repeated()),
            None => Err(self.no_letter(letter)),
        };
        let outcome =
            |letter: &LetterId| replay.outcomes.remove(&letter.0).unwrap_or_else(|| untold(letter));
        Ok(letters.iter().map(outcome).collect())
    }
}
