//! Epochs whose accounts are one sum, which no range parts.

use std::fmt;

use serde::Serialize;
use services::{Epoch, StreamId};
use table::TimeRange;

use super::{Books, Key};

/// The epochs of a stream that have one account together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoldedEpochs {
    /// The stream.
    pub stream: StreamId,
    /// The last of them; those after it have accounts of their own.
    pub epoch: Epoch,
    /// Whether some of them may lie outside the range of the audit, which counts all of them.
    pub is_parted: bool,
}

impl fmt::Display for FoldedEpochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, epoch, is_parted } = self;
        let begin = epoch.begin();
        write!(
            f,
            "stream {stream}: the epochs up to {epoch}, which began at {begin}, have one account together"
        )?;
        if *is_parted {
            f.write_str(
                "; it is counted whole, though some of them may lie outside the range asked for",
            )?;
        }
        Ok(())
    }
}

impl Books {
    /// The epochs that the audit is about and cannot tell apart.
    pub fn folded_epochs(&self) -> Vec<FoldedEpochs> {
        let of = |(stream, epoch): (&StreamId, &Epoch)| {
            let is_of = |key: &&Key| (&key.stream, &key.epoch) == (stream, epoch);
            let sums = self.entries.keys().filter(is_of).filter(|key| self.concerns(key));
            let is_parted = sums.map(|sum| self.may_be_parted(sum)).reduce(|a, b| a || b)?;
            Some(FoldedEpochs { stream: stream.clone(), epoch: *epoch, is_parted })
        };
        self.folded.iter().filter_map(of).collect()
    }

    /// Tells whether a sum may hold what is outside the range: nobody knows when the first of its epochs began.
    fn may_be_parted(&self, sum: &Key) -> bool {
        let TimeRange { since, until } = self.range;
        since.is_some() || until.is_some_and(|until| self.end(sum).is_none_or(|end| until <= end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use services::{CaptureTime, MediaTime};

    use super::super::Entry;
    use super::*;

    /// Epochs up to the one from 10 s to 15 s, which are one sum, and one from 20 s to 25 s.
    fn books() -> Books {
        let stream: StreamId = "gate".parse().unwrap();
        let key = |epoch| Key {
            stream: stream.clone(),
            epoch: Epoch(epoch),
            model: "shapes".parse().unwrap(),
        };
        let entry = Entry {
            last_taken: Some(MediaTime(5 * MediaTime::HZ)),
            is_closed: true,
            ..Entry::default()
        };
        Books {
            entries: BTreeMap::from([(key(10_000), entry.clone()), (key(20_000), entry)]),
            folded: BTreeMap::from([(stream.clone(), Epoch(10_000))]),
            newest: BTreeMap::from([(stream, Epoch(20_000))]),
            ..Books::default()
        }
    }

    #[test]
    fn a_range_counts_a_sum_whole_and_says_so() {
        let mut books = books();
        let mut within = |since: Option<i64>, until: Option<i64>| {
            let at = |seconds| CaptureTime(seconds * 1_000_000);
            books.range = TimeRange { since: since.map(at), until: until.map(at) };
            let counted: Vec<_> = books.equations().iter().map(|one| one.epoch.0 / 1_000).collect();
            (counted, books.folded_epochs().first().map(|sum| sum.is_parted))
        };
        assert_eq!(within(None, None), (vec![10, 20], Some(false)));
        assert_eq!(within(None, Some(18)), (vec![10], Some(false)), "all of it lies before");
        assert_eq!(within(None, Some(14)), (vec![10], Some(true)));
        assert_eq!(within(None, Some(3)), (vec![10], Some(true)), "its first epoch is not known");
        assert_eq!(within(Some(14), None), (vec![10, 20], Some(true)), "its last goes on");
        assert_eq!(within(Some(16), None), (vec![20], None), "all of it lies before");
        assert_eq!(within(Some(1), Some(30)), (vec![10, 20], Some(true)));
    }

    #[test]
    fn what_cannot_be_told_apart_is_said_in_words() {
        let mut books = books();
        let said = |books: &Books| books.folded_epochs()[0].to_string();
        let whole = "stream gate: the epochs up to 0000000010000, which began at 1970-01-01T00:00:10.000000Z, have one \
                     account together";
        assert_eq!(said(&books), whole);
        books.range.since = Some(CaptureTime(0));
        let parted = format!(
            "{whole}; it is counted whole, though some of them may lie outside the range asked for"
        );
        assert_eq!(said(&books), parted);
    }
}
