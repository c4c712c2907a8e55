//! What the spool does not do: each failure is news once, until the attempt succeeds again.

use std::collections::HashSet;

use services::ErrorKind;

/// What the spool is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Attempt {
    /// Store a bundle.
    Store,
    /// Save accounts.
    Save,
}

/// The attempts that fail at present, and how.
#[derive(Debug, Default)]
pub(super) struct Failing(HashSet<(Attempt, ErrorKind)>);

impl Failing {
    /// Takes note of a failure; tells whether it is news.
    pub(super) fn fails(&mut self, attempt: Attempt, kind: ErrorKind) -> bool {
        self.0.insert((attempt, kind))
    }

    /// Takes note of a success.
    pub(super) fn succeeds(&mut self, attempt: Attempt) {
        self.0.retain(|(failing, _)| *failing != attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_fail_in_turn_are_news_once_each_until_they_succeed() {
        let mut failing = Failing::default();
        let said = (0..30).flat_map(|_| [Attempt::Store, Attempt::Save]);
        let said: Vec<_> =
            said.filter(|attempt| failing.fails(*attempt, ErrorKind::Full)).collect();
        assert_eq!(said, [Attempt::Store, Attempt::Save]);
        assert!(failing.fails(Attempt::Save, ErrorKind::Unavailable));
        failing.succeeds(Attempt::Store);
        assert!(failing.fails(Attempt::Store, ErrorKind::Full));
        assert!(!failing.fails(Attempt::Save, ErrorKind::Full));
    }
}
