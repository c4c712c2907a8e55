//! The loss equation, per stream, epoch and model: what was received, taken and delivered, and whether it adds up.
//!
//! ```text
//! received = taken + skipped(by reason) + undecodable + pending
//! taken    = delivered + in flight + shed(by reason) + dead + retired
//! ```
//!
//! The first line is the receiver's account; the second compares it with where the taken frames are, as sets of
//! frame ids: a frame seen in two places counts once, where it got furthest. [`gather`](gather::gather) reads
//! both from durable state; [`Books`] is the arithmetic.
//!
//! Frames whose rows left the table with their time are known by their number alone: so many, and no more, are taken to be
//! answered that are in no other place.

mod folded;
mod gather;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use services::delivery::Hour;
use services::{Account, CaptureTime, Epoch, MediaTime, ModelName, Seq, StreamId};
use table::TimeRange;

pub use folded::FoldedEpochs;
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

/// Frames, by what they are of: a million take some 20 MB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames(BTreeMap<Key, BTreeSet<Seq>>);

impl Frames {
    /// Enters frames.
    pub fn extend(&mut self, key: &Key, frames: impl IntoIterator<Item = Seq>) {
        let mut frames = frames.into_iter().peekable();
        if frames.peek().is_some() {
            self.0.entry(key.clone()).or_default().extend(frames);
        }
    }

    /// Where a key's frames lie, of each key that has some.
    fn bounds(&self) -> impl Iterator<Item = (&Key, Placed)> {
        self.0.iter().filter_map(|(key, frames)| {
            let (first, last) = (frames.first()?.0, frames.last()?.0);
            Some((key, Placed { epochs: [key.epoch.0; 2], seqs: [first, last] }))
        })
    }

    fn contains(&self, key: &Key, frame: Seq) -> bool {
        self.0.get(key).is_some_and(|frames| frames.contains(&frame))
    }

    fn remove(&mut self, key: &Key, frame: Seq) {
        if let Some(frames) = self.0.get_mut(key) {
            frames.remove(&frame);
        }
    }

    /// How many of a key's are not among `others`.
    fn count_beside(&self, key: &Key, others: &Self) -> u64 {
        let frames = self.0.get(key).into_iter().flatten();
        frames.filter(|frame| !others.contains(key, **frame)).count() as u64
    }
}

/// The epochs and numbers that frames lie between.
#[derive(Clone, Copy, Debug)]
struct Placed {
    epochs: [u64; 2],
    seqs: [u64; 2],
}

impl Placed {
    /// Where these frames and others lie.
    fn and(self, other: Self) -> Self {
        let both = |[a, b]: [u64; 2], [c, d]: [u64; 2]| [a.min(c), b.max(d)];
        Self { epochs: both(self.epochs, other.epochs), seqs: both(self.seqs, other.seqs) }
    }
}

/// In SQL.
impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epochs: [begin, end], seqs: [first, last] } = self;
        write!(f, "epoch BETWEEN {begin} AND {end} AND seq BETWEEN {first} AND {last}")
    }
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
    /// Frames in a spool or a queue that the model has not answered.
    pub in_flight: Frames,
    /// Frames of dead letters that it has not answered.
    pub dead: Frames,
    /// Frames in the table, counted.
    pub answered: BTreeMap<Key, Answered>,
    /// Those frames with `error` rows that are in flight or dead, and count there.
    pub known_errors: BTreeMap<Key, u64>,
    /// How many frames had rows that left the table with their time, at most.
    pub retired: BTreeMap<Key, u64>,
    /// The hour of delivery before which rows left the table, where some did.
    pub retired_before: Option<Hour>,
    /// Messages that are no frame batches, so that nobody knows whose frames they hold.
    pub unreadable: u64,
    /// Most frames that the messages of a queue may hold which cannot be listed, by model.
    pub unlisted: BTreeMap<ModelName, u64>,
    /// What could not be read, so that nobody knows what it holds.
    pub gaps: Vec<Gap>,
    /// The epochs that the audit is about.
    pub range: TimeRange,
    /// What was removed because it was old, or too much.
    pub removed: Vec<Removed>,
}

/// How far retention has removed something: what is missing before that is no loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// What: `objects`.
    pub kind: &'static str,
    /// In words.
    pub words: String,
}

/// A part of the durable state that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Whose it is.
    #[serde(flatten)]
    pub place: Place,
    /// Why it could not be read; the file is named.
    pub cause: String,
}

/// Whose state could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A stream's spool, with its accounts.
    Spool(StreamId),
    /// A model's queue, with its dead letters.
    Queue(ModelName),
    /// A file of the table, or a row in its buffer.
    Table(String),
}

impl Place {
    fn concerns(&self, key: &Key) -> bool {
        match self {
            Self::Spool(stream) => key.stream == *stream,
            Self::Queue(model) => key.model == *model,
            Self::Table(_) => true,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spool(stream) => write!(f, "the spool of stream {stream}"),
            Self::Queue(model) => write!(f, "the queue of model {model}"),
            Self::Table(part) => write!(f, "{part} of the table"),
        }
    }
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
    /// Whether it is about all earlier connections, too: their accounts are one sum.
    pub folded: bool,
    /// The receiver's account: received, taken, skipped, undecodable, pending, shed.
    #[serde(flatten)]
    pub account: Account,
    /// Frames with an answer in the table.
    pub delivered: u64,
    /// Frames on their way: in the spool or in the queue, and not answered yet.
    pub in_flight: u64,
    /// Frames given up: in a dead letter, or with an `error` row, and neither answered nor on their way.
    pub dead: u64,
    /// Frames that are in no other place, as far as so many had rows that left the table with their time.
    pub retired: u64,
    /// Whether both lines add up.
    pub closes: bool,
    /// Whether they might, if all of the state could be read that they are made of.
    pub has_gap: bool,
}

impl Books {
    /// The key under which there is an account of this epoch, if there is one.
    fn accounted(&self, key: &Key) -> Key {
        let folded = self.folded.get(&key.stream).copied();
        Key { epoch: folded.map_or(key.epoch, |folded| key.epoch.max(folded)), ..key.clone() }
    }

    /// Tells whether a frame was taken before the accounts were read; later ones are left out.
    pub fn knows(&self, key: &Key, media_time: MediaTime) -> bool {
        match self.entries.get(&self.accounted(key)) {
            Some(entry) => {
                entry.is_closed || entry.last_taken.is_some_and(|last| media_time <= last)
            }
            None => self.newest.get(&key.stream).is_none_or(|newest| key.epoch < *newest),
        }
    }

    /// Tells whether an epoch is one that the audit is about: it was under way in the range.
    pub fn concerns(&self, key: &Key) -> bool {
        let key = &self.accounted(key);
        let begin = self.begin(key);
        let TimeRange { since, until } = self.range;
        until.is_none_or(|until| begin < until)
            && since.is_none_or(|since| self.end(key).is_none_or(|end| since <= end))
    }

    /// Tells whether an account stands for all earlier epochs, too.
    fn is_folded(&self, key: &Key) -> bool {
        self.folded.get(&key.stream) == Some(&key.epoch)
    }

    /// When the first of the epochs began that an account stands for, as far as is known.
    fn begin(&self, key: &Key) -> CaptureTime {
        if self.is_folded(key) { Epoch(0).begin() } else { key.epoch.begin() }
    }

    /// When an epoch ended, as far as the books tell; none while it goes on.
    fn end(&self, key: &Key) -> Option<CaptureTime> {
        let Some(entry) = self.entries.get(key) else { return Some(key.epoch.begin()) };
        let last = entry.last_taken.unwrap_or_default();
        entry.is_closed.then(|| key.epoch.begin().after(last))
    }

    /// Enters what the table says about frames of one key: how many it has, or about which one of them.
    pub fn settle(&mut self, key: &Key, frame: Option<Seq>, answered: Answered) {
        let accounted = self.accounted(key);
        let all = self.answered.entry(accounted.clone()).or_default();
        all.given += answered.given;
        all.errors += answered.errors;
        let Some(frame) = frame else { return };
        if answered.given > 0 {
            self.in_flight.remove(key, frame);
            self.dead.remove(key, frame);
        } else if self.in_flight.contains(key, frame) || self.dead.contains(key, frame) {
            *self.known_errors.entry(accounted).or_default() += 1;
        }
    }

    /// Enters frames whose rows left the table with their time.
    pub fn retire(&mut self, key: &Key, frames: u64) {
        *self.retired.entry(self.accounted(key)).or_default() += frames;
    }

    /// Does the arithmetic, in the order stream, epoch, model.
    pub fn equations(&self) -> Vec<Equation> {
        let placed =
            self.in_flight.0.keys().chain(self.dead.0.keys()).map(|key| self.accounted(key));
        let keys = self.entries.keys().chain(self.answered.keys()).cloned().chain(placed);
        let keys: BTreeSet<Key> = keys.filter(|key| self.concerns(key)).collect();
        let waiting = self.count(&self.in_flight, &Frames::default());
        let buried = self.count(&self.dead, &self.in_flight);
        let mut unlisted = self.unlisted.clone();
        let equation = |key| self.equation(key, &waiting, &buried, &mut unlisted);
        keys.iter().map(equation).collect()
    }

    /// Counts the frames of a place that are not among `others`.
    fn count(&self, place: &Frames, others: &Frames) -> BTreeMap<Key, u64> {
        let mut counts = BTreeMap::new();
        for key in place.0.keys() {
            *counts.entry(self.accounted(key)).or_default() += place.count_beside(key, others);
        }
        counts
    }

    fn equation(
        &self,
        key: &Key,
        waiting: &BTreeMap<Key, u64>,
        buried: &BTreeMap<Key, u64>,
        unlisted: &mut BTreeMap<ModelName, u64>,
    ) -> Equation {
        let account = self.entries.get(key).map(|entry| entry.account.clone()).unwrap_or_default();
        let answered = self.answered.get(key).copied().unwrap_or_default();
        let known_errors = self.known_errors.get(key).copied().unwrap_or(0);
        let mut in_flight = waiting.get(key).copied().unwrap_or(0);
        let dead =
            buried.get(key).copied().unwrap_or(0) + answered.errors.saturating_sub(known_errors);
        if let Some(most) = unlisted.get_mut(&key.model) {
            let seen = answered.given + in_flight + account.shed_total() + dead;
            let unseen = account.taken.saturating_sub(seen).min(*most);
            *most -= unseen;
            in_flight += unseen;
        }
        let has_gap = self.gaps.iter().any(|gap| gap.place.concerns(key));
        let seen = answered.given + in_flight + account.shed_total() + dead;
        let most = self.retired.get(key).copied().unwrap_or(0);
        let retired = account.taken.saturating_sub(seen).min(most);
        Equation {
            stream: key.stream.clone(),
            epoch: key.epoch,
            model: key.model.clone(),
            folded: self.is_folded(key),
            closes: account.closes() && account.taken == seen + retired,
            has_gap,
            account,
            delivered: answered.given,
            in_flight,
            dead,
            retired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        let (stream, model) = ("gate".parse().unwrap(), "shapes".parse().unwrap());
        Key { stream, epoch: Epoch(1), model }
    }

    /// What the table says about one frame: answered or failed.
    fn settle(books: &mut Books, seq: u64, is_answered: bool) {
        let given = u64::from(is_answered);
        books.settle(&key(), Some(Seq(seq)), Answered { given, errors: 1 - given });
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
        books.in_flight.extend(&key(), [Seq(7), Seq(8)]);
        books.dead.extend(&key(), [Seq(9)]);
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
        // Delivered, and its message not acknowledged yet.
        books.in_flight.extend(&key(), [Seq(1)]);
        settle(&mut books, 1, true);
        // Given up once, and replayed.
        books.in_flight.extend(&key(), [Seq(2)]);
        settle(&mut books, 2, false);
        // Given up: an error row and a dead letter.
        books.dead.extend(&key(), [Seq(3)]);
        settle(&mut books, 3, false);
        let found = only(&books);
        assert_eq!((found.delivered, found.in_flight, found.dead), (1, 1, 1));
        assert!(found.closes);
    }

    #[test]
    fn a_queue_that_cannot_be_listed_excuses_as_many_frames_as_it_may_hold() {
        let mut books = books(10);
        books.answered.insert(key(), Answered { given: 6, errors: 0 });
        books.in_flight.extend(&key(), [Seq(7)]);
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
    fn rows_that_left_with_their_time_excuse_as_many_frames_and_no_more() {
        let mut books = books(10);
        books.answered.insert(key(), Answered { given: 6, errors: 0 });
        books.in_flight.extend(&key(), [Seq(7)]);
        for (most, retired, closes) in [(2, 2, false), (3, 3, true), (9, 3, true)] {
            books.retired = BTreeMap::from([(key(), most)]);
            let found = only(&books);
            assert_eq!((found.retired, found.closes), (retired, closes), "{most} retired");
        }
        let other = Key { stream: "yard".parse().unwrap(), ..key() };
        books.retired = BTreeMap::from([(other, 9)]);
        assert!(!only(&books).closes, "of another stream, which has no equation by that");
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
        let early = Key { epoch: Epoch(0), ..key() };
        books.settle(&early, None, Answered { given: 1, errors: 0 });
        books.settle(&key(), None, Answered { given: 1, errors: 0 });
        assert!(books.knows(&early, MediaTime(91)));
        books.in_flight.extend(&early, [Seq(2)]);
        let found = only(&books);
        assert_eq!((found.delivered, found.in_flight), (2, 1));
        assert!(found.closes);
        books.answered.clear();
        books.retire(&early, 1);
        books.retire(&key(), 1);
        assert_eq!((only(&books).retired, only(&books).closes), (2, true));
    }

    #[test]
    fn rows_without_an_account_do_not_close() {
        let mut books = Books::default();
        books.answered.insert(key(), Answered { given: 1, errors: 0 });
        assert!(!only(&books).closes);
    }

    #[test]
    fn what_could_not_be_read_is_no_loss_and_no_proof() {
        let mut books = books(10);
        books.answered.insert(key(), Answered { given: 9, errors: 0 });
        for (place, has_gap) in [
            (Place::Queue(key().model), true),
            (Place::Spool(key().stream), true),
            (Place::Queue("other".parse().unwrap()), false),
            (Place::Spool("other".parse().unwrap()), false),
        ] {
            books.gaps = vec![Gap { place, cause: "damaged".to_owned() }];
            assert_eq!((only(&books).closes, only(&books).has_gap), (false, has_gap));
        }
    }

    #[test]
    fn a_range_has_the_epochs_that_were_under_way_in_it() {
        let mut books = Books::default();
        let of_epoch = |epoch| Key { epoch: Epoch(epoch), ..key() };
        let entry = |seconds: i64, is_closed| Entry {
            last_taken: Some(MediaTime(seconds * MediaTime::HZ)),
            is_closed,
            ..Entry::default()
        };
        // From 0 s to 9 s, from 10 s to 15 s, from 20 s on.
        books.entries.insert(of_epoch(0), entry(9, true));
        books.entries.insert(of_epoch(10_000), entry(5, true));
        books.entries.insert(of_epoch(20_000), entry(1, false));
        let mut within = |since: Option<i64>, until: Option<i64>| {
            let at = |seconds| CaptureTime(seconds * 1_000_000);
            books.range = TimeRange { since: since.map(at), until: until.map(at) };
            books.equations().iter().map(|found| found.epoch.0 / 1_000).collect::<Vec<_>>()
        };
        assert_eq!(within(None, None), [0, 10, 20]);
        assert_eq!(within(Some(12), None), [10, 20]);
        assert_eq!(within(Some(60), None), [20]);
        assert_eq!(within(None, Some(10)), [0]);
        assert_eq!(within(Some(5), Some(11)), [0, 10]);
    }
}
