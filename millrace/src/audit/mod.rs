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

mod books;
mod folded;
mod frames;
mod gap;
mod gather;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use services::delivery::Hour;
use services::{Account, Epoch, MediaTime, ModelName, StreamId};
use table::TimeRange;

pub use folded::FoldedEpochs;
pub use frames::Frames;
pub use gap::{Gap, Place};
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

/// Frames that have rows, of one stream, epoch and model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Frames that the model answered.
    pub given: u64,
    /// Frames whose only row says why there is no answer.
    pub errors: u64,
    /// Frames that were shed by their worker, as nobody wanted the answer any more.
    pub stale: u64,
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
    /// The receiver's account: received, taken, skipped, undecodable, pending, shed; with what workers shed as `stale`.
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
