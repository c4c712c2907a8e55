//! The loss equation, per stream, epoch and model: what was received, taken and delivered, and whether it adds up.
//!
//! ```text
//! received = taken + skipped(by reason) + undecodable + pending
//! taken    = delivered + in flight + shed(by reason) + dead
//! ```
//!
//! The first line is the receiver's account; the second compares it with where the taken frames are, as sets of
//! frame ids: a frame seen in two places counts once, where it got furthest. [`gather`](gather::gather) reads
//! both from durable state; [`Books`] is the arithmetic.

mod gather;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use services::{Account, Epoch, FrameId, MediaTime, ModelName, StreamId};

pub use gather::{gather, gather_aws, letters};
pub use text::{Grouping, write_text};

/// What one equation is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The stream.
    pub stream: StreamId,
    /// The connection.
    pub epoch: Epoch,
    /// The model.
    pub model: ModelName,
}

/// A frame that was taken for a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// The model that is asked about it.
    pub model: ModelName,
    /// The frame.
    pub frame: FrameId,
}

impl Taken {
    fn key(&self) -> Key {
        Key {
            stream: self.frame.stream.clone(),
            epoch: self.frame.epoch,
            model: self.model.clone(),
        }
    }
}

/// What the table says about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The model answered, be it that there is nothing.
    Given,
    /// It could not be answered.
    Error,
}

/// Frames that have rows, of one stream, epoch and model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Frames that the model answered.
    pub given: u64,
    /// Frames whose only row says why there is no answer.
    pub errors: u64,
}

/// A receiver's account, and up to which frame it counts as taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The account.
    pub account: Account,
    /// Media time of the last frame taken; frames past it were taken after the account was read.
    pub last_taken: Option<MediaTime>,
    /// Whether the epoch is over.
    pub is_closed: bool,
}

/// Everything the audit compares. All of it was read in the direction in which frames move: accounts, spool,
/// queue, dead letters, table.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// The receivers' accounts.
    pub entries: BTreeMap<Key, Entry>,
    /// The last epoch of each stream that has a spool.
    pub newest: BTreeMap<StreamId, Epoch>,
    /// The epoch whose account stands for its own and all earlier ones, of each stream that has such an account.
    pub folded: BTreeMap<StreamId, Epoch>,
    /// Frames in a spool or a queue.
    pub in_flight: BTreeSet<Taken>,
    /// Frames of dead letters.
    pub dead: BTreeSet<Taken>,
    /// Frames in the table, counted.
    pub answered: BTreeMap<Key, Answered>,
    /// What the table says about the frames in flight and dead.
    pub answers: BTreeMap<Taken, Answer>,
    /// Messages that are no frame batches, so that nobody knows whose frames they hold.
    pub unreadable: u64,
    /// Most frames that the messages of a queue may hold which cannot be listed, by model.
    pub unlisted: BTreeMap<ModelName, u64>,
}

/// One equation, with its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Equation {
    /// The stream.
    pub stream: StreamId,
    /// The connection.
    pub epoch: Epoch,
    /// The model.
    pub model: ModelName,
    /// The receiver's account: received, taken, skipped, undecodable, pending, shed.
    #[serde(flatten)]
    pub account: Account,
    /// Frames with an answer in the table.
    pub delivered: u64,
    /// Frames on their way: in the spool or in the queue, and not answered yet.
    pub in_flight: u64,
    /// Frames given up: in a dead letter, or with an `error` row, and neither answered nor on their way.
    pub dead: u64,
    /// Whether both lines add up.
    pub closes: bool,
}

impl Books {
    /// The key under which there is an account of this epoch, if there is one.
    fn accounted(&self, key: Key) -> Key {
        let folded = self.folded.get(&key.stream).copied();
        Key { epoch: folded.map_or(key.epoch, |folded| key.epoch.max(folded)), ..key }
    }

    /// Enters frames that have rows.
    fn answer(&mut self, key: Key, Answered { given, errors }: Answered) {
        let key = self.accounted(key);
        let answered = self.answered.entry(key).or_default();
        answered.given += given;
        answered.errors += errors;
    }

    /// Tells whether a frame was taken before the accounts were read; later ones are left out.
    pub fn knows(&self, key: &Key, media_time: MediaTime) -> bool {
        match self.entries.get(&self.accounted(key.clone())) {
            Some(entry) => {
                entry.is_closed || entry.last_taken.is_some_and(|last| media_time <= last)
            }
            None => self.newest.get(&key.stream).is_none_or(|newest| key.epoch < *newest),
        }
    }

    /// Does the arithmetic, in the order stream, epoch, model.
    pub fn equations(&self) -> Vec<Equation> {
        let placed = self.in_flight.iter().chain(&self.dead);
        let placed = placed.map(|taken| self.accounted(taken.key()));
        let keys: BTreeSet<Key> =
            self.entries.keys().chain(self.answered.keys()).cloned().chain(placed).collect();
        let mut waiting = self.count(&self.in_flight, |_| true);
        let buried = |taken: &Taken| !self.in_flight.contains(taken);
        let mut dead = self.count(&self.dead, buried);
        let mut known_errors = self.known_errors();
        let mut unlisted = self.unlisted.clone();
        keys.into_iter()
            .map(|key| {
                let account =
                    self.entries.get(&key).map(|entry| entry.account.clone()).unwrap_or_default();
                let answered = self.answered.get(&key).copied().unwrap_or_default();
                let unplaced_errors =
                    answered.errors.saturating_sub(known_errors.remove(&key).unwrap_or(0));
                let mut in_flight = waiting.remove(&key).unwrap_or(0);
                let dead = dead.remove(&key).unwrap_or(0) + unplaced_errors;
                if let Some(most) = unlisted.get_mut(&key.model) {
                    let seen = answered.given + in_flight + account.shed_total() + dead;
                    let unseen = account.taken.saturating_sub(seen).min(*most);
                    *most -= unseen;
                    in_flight += unseen;
                }
                equation(key, account, answered.given, in_flight, dead)
            })
            .collect()
    }

    /// Counts the frames of a place that the model has not answered.
    fn count(
        &self,
        place: &BTreeSet<Taken>,
        belongs: impl Fn(&Taken) -> bool,
    ) -> BTreeMap<Key, u64> {
        let mut counts = BTreeMap::new();
        for taken in place.iter().filter(|taken| belongs(taken)) {
            if self.answers.get(taken) != Some(&Answer::Given) {
                *counts.entry(self.accounted(taken.key())).or_default() += 1;
            }
        }
        counts
    }

    /// Frames with an `error` row that count already, as waiting or dead.
    fn known_errors(&self) -> BTreeMap<Key, u64> {
        let mut counts = BTreeMap::new();
        for taken in self.in_flight.union(&self.dead) {
            if self.answers.get(taken) == Some(&Answer::Error) {
                *counts.entry(self.accounted(taken.key())).or_default() += 1;
            }
        }
        counts
    }
}

fn equation(key: Key, account: Account, delivered: u64, in_flight: u64, dead: u64) -> Equation {
    let whereabouts = delivered + in_flight + account.shed_total() + dead;
    let closes = account.closes() && account.taken == whereabouts;
    let Key { stream, epoch, model } = key;
    Equation { stream, epoch, model, account, delivered, in_flight, dead, closes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::Seq;

    fn key() -> Key {
        let (stream, model) = ("gate".parse().unwrap(), "shapes".parse().unwrap());
        Key { stream, epoch: Epoch(1), model }
    }

    fn taken(seq: u64) -> Taken {
        let Key { stream, epoch, model } = key();
        Taken { model, frame: FrameId { stream, epoch, seq: Seq(seq) } }
    }

    fn books(taken: u64) -> Books {
        let mut account = Account { received: taken + 90, taken, ..Account::default() };
        account.skip("not-due", 90);
        let entry = Entry { account, ..Entry::default() };
        Books { entries: BTreeMap::from([(key(), entry)]), ..Books::default() }
    }

    fn only(books: &Books) -> Equation {
        let equations = books.equations();
        assert_eq!(equations.len(), 1);
        equations[0].clone()
    }

    #[test]
    fn every_place_of_a_frame_counts() {
        let mut books = books(10);
        books.answered.insert(key(), Answered { given: 6, errors: 0 });
        books.in_flight.extend([taken(7), taken(8)]);
        books.dead.insert(taken(9));
        books.entries.get_mut(&key()).unwrap().account.shed("spool-full", 1);
        let found = only(&books);
        assert_eq!((found.delivered, found.in_flight, found.dead), (6, 2, 1));
        assert!(found.closes);
    }

    #[test]
    fn a_lost_frame_leaves_the_equation_open() {
        let mut books = books(10);
        books.answered.insert(key(), Answered { given: 9, errors: 0 });
        assert!(!only(&books).closes);
    }

    #[test]
    fn a_frame_seen_in_two_places_counts_where_it_got_furthest() {
        let mut books = books(3);
        books.answered.insert(key(), Answered { given: 1, errors: 2 });
        // Delivered, and its message not acknowledged yet.
        books.in_flight.insert(taken(1));
        books.answers.insert(taken(1), Answer::Given);
        // Given up once, and replayed.
        books.in_flight.insert(taken(2));
        books.answers.insert(taken(2), Answer::Error);
        // Given up: an error row and a dead letter.
        books.dead.insert(taken(3));
        books.answers.insert(taken(3), Answer::Error);
        let found = only(&books);
        assert_eq!((found.delivered, found.in_flight, found.dead), (1, 1, 1));
        assert!(found.closes);
    }

    #[test]
    fn a_queue_that_cannot_be_listed_excuses_as_many_frames_as_it_may_hold() {
        let mut books = books(10);
        books.answered.insert(key(), Answered { given: 6, errors: 0 });
        books.in_flight.insert(taken(7));
        for (most, in_flight, closes) in [(0, 1, false), (2, 3, false), (3, 4, true), (9, 4, true)]
        {
            books.unlisted.insert(key().model, most);
            let found = only(&books);
            assert_eq!((found.in_flight, found.closes), (in_flight, closes), "{most} unlisted");
        }
    }

    #[test]
    fn an_error_row_without_a_dead_letter_is_a_dead_frame() {
        let mut books = books(2);
        books.answered.insert(key(), Answered { given: 1, errors: 1 });
        assert_eq!(only(&books).dead, 1);
        assert!(only(&books).closes);
    }

    #[test]
    fn frames_taken_after_the_accounts_were_read_are_left_out() {
        let mut books = books(1);
        books.newest.insert(key().stream, Epoch(1));
        assert!(!books.knows(&key(), MediaTime(0)));
        books.entries.get_mut(&key()).unwrap().last_taken = Some(MediaTime(90));
        assert!(books.knows(&key(), MediaTime(90)) && !books.knows(&key(), MediaTime(91)));
        books.entries.get_mut(&key()).unwrap().is_closed = true;
        assert!(books.knows(&key(), MediaTime(91)));
        let of_epoch = |epoch| Key { epoch: Epoch(epoch), ..key() };
        assert!(
            books.knows(&of_epoch(0), MediaTime(0)) && !books.knows(&of_epoch(2), MediaTime(0))
        );
    }

    #[test]
    fn frames_of_epochs_whose_accounts_are_folded_belong_to_the_folded_one() {
        let mut books = books(3);
        books.folded.insert(key().stream, key().epoch);
        books.entries.get_mut(&key()).unwrap().is_closed = true;
        let early = |seq| {
            let mut taken = taken(seq);
            taken.frame.epoch = Epoch(0);
            taken
        };
        books.answer(Key { epoch: Epoch(0), ..key() }, Answered { given: 1, errors: 0 });
        books.answer(key(), Answered { given: 1, errors: 0 });
        assert!(books.knows(&Key { epoch: Epoch(0), ..key() }, MediaTime(91)));
        books.in_flight.insert(early(2));
        let found = only(&books);
        assert_eq!((found.delivered, found.in_flight), (2, 1));
        assert!(found.closes);
    }

    #[test]
    fn rows_without_an_account_do_not_close() {
        let mut books = Books::default();
        books.answered.insert(key(), Answered { given: 1, errors: 0 });
        assert!(!only(&books).closes);
    }
}
