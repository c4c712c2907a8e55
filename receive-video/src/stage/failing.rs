//! What the spool does not do: each failure is news once, until the attempt succeeds again.

use std::collections::{BTreeMap, HashSet};

use services::{ErrorKind, PortError};

/// What the spool is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Attempt {
    /// Store a bundle.
    Store,
    /// Save accounts.
    Save,
}

/// The attempts that fail at present, and how.
#[derive(Debug, Default)]
pub(super) struct Failing {
    told: HashSet<(Attempt, ErrorKind)>,
    words: BTreeMap<Attempt, String>,
    refused: u64,
}

impl Failing {
    /// Takes note of a failure; tells whether it is news.
    pub(super) fn fails(&mut self, attempt: Attempt, error: &PortError) -> bool {
        self.words.insert(attempt, error.to_string());
        self.told.insert((attempt, error.kind()))
    }

    /// Takes note of a bundle of so many bytes that could not be stored; tells whether it is news.
    pub(super) fn refuses(&mut self, bytes: u64, error: &PortError) -> bool {
        self.refused = bytes;
        self.fails(Attempt::Store, error)
    }

    /// How many bytes the bundle had that could not be stored, while none can.
    pub(super) fn refused(&self) -> Option<u64> {
        self.words.contains_key(&Attempt::Store).then_some(self.refused)
    }

    /// Takes note of a success.
    pub(super) fn succeeds(&mut self, attempt: Attempt) {
        self.words.remove(&attempt);
        self.told.retain(|(failing, _)| *failing != attempt);
    }

    /// Why something fails at present, if it does.
    pub(super) fn words(&self) -> Option<&String> {
        self.words.values().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: ErrorKind) -> PortError {
        PortError::because(kind, "save", "no")
    }

    #[test]
    fn attempts_that_fail_in_turn_are_news_once_each_until_they_succeed() {
        let mut failing = Failing::default();
        let full = failure(ErrorKind::Full);
        let said = (0..30).flat_map(|_| [Attempt::Store, Attempt::Save]);
        let said: Vec<_> = said.filter(|attempt| failing.fails(*attempt, &full)).collect();
        assert_eq!(said, [Attempt::Store, Attempt::Save]);
        assert!(failing.fails(Attempt::Save, &failure(ErrorKind::Unavailable)));
        failing.succeeds(Attempt::Store);
        assert!(failing.words().is_some());
        assert!(failing.fails(Attempt::Store, &full));
        assert!(!failing.fails(Attempt::Save, &full));
        failing.succeeds(Attempt::Store);
        failing.succeeds(Attempt::Save);
        assert_eq!(failing.words(), None);
    }
}
