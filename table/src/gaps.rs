//! The rows that an answer is without: those that were known to be gone, and those of files that turn out to be damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use services::PortError;
use services::delivery::{Gap, Hour, ListedFile};

/// What one answer is without, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    /// What was known before the query.
    known: Vec<Gap>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The known ones that the query needs, by their place in the list.
    needed: BTreeSet<usize>,
    /// The files that turned out to be damaged.
    damaged: BTreeMap<PathBuf, Gap>,
    /// How many of these no row is taken of.
    left_out: usize,
    /// Whether the answer has begun, so that its rows stay.
    has_begun: bool,
}

impl Gaps {
    pub(crate) fn new(known: Vec<Gap>) -> Self {
        Self { known, state: Mutex::default() }
    }

    /// What was known before the query, whether it needs it or not.
    pub(crate) fn known(&self) -> &[Gap] {
        &self.known
    }

    /// Counts known ones, by their places in the list, as needed.
    pub(crate) fn need(&self, places: impl Iterator<Item = usize>) {
        self.state().needed.extend(places);
    }

    /// Notes a file that cannot be read to its end.
    pub(crate) fn note(&self, file: &ListedFile, cause: &PortError) {
        let mut state = self.state();
        let mut reason = cause.cause_in_words();
        if state.has_begun {
            reason.push_str("; rows before the damage may be in the answer");
        }
        let ListedFile { path, rows } = file.clone();
        let gap = Gap { hour: Hour::of_path(&path), rows, reason, file: path.clone() };
        state.damaged.entry(path).or_insert(gap);
    }

    /// Tells whether a file has turned out to be damaged.
    pub(crate) fn is_damaged(&self, file: &Path) -> bool {
        self.state().damaged.contains_key(file)
    }

    /// Tells whether the answer may begin or go on. Not so while a file has turned out to be damaged since this was last
    /// asked: what was worked out so far may hold some of its rows.
    pub(crate) fn may_begin(&self) -> bool {
        let mut state = self.state();
        state.has_begun |= state.left_out == state.damaged.len();
        state.left_out = state.damaged.len();
        state.has_begun
    }

    /// Those that the query needs, as far as it has come.
    pub(crate) fn all(&self) -> Vec<Gap> {
        let state = self.state();
        let needed = state.needed.iter().filter_map(|place| self.known.get(*place));
        needed.chain(state.damaged.values()).cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::ErrorKind;

    fn file(name: &str) -> ListedFile {
        ListedFile { path: name.into(), rows: 7 }
    }

    #[test]
    fn an_answer_begins_when_no_more_files_turn_out_to_be_damaged() {
        let damaged = PortError::because(ErrorKind::Corrupt, "read rows", "torn");
        let gaps = Gaps::default();
        gaps.note(&file("a"), &damaged);
        gaps.note(&file("a"), &damaged);
        assert!(gaps.is_damaged(Path::new("a")) && !gaps.is_damaged(Path::new("b")));
        assert!(!gaps.may_begin(), "rows of a were taken");
        gaps.note(&file("b"), &damaged);
        assert!(!gaps.may_begin(), "rows of b were taken");
        assert!(gaps.may_begin());
        gaps.note(&file("c"), &damaged);
        assert!(gaps.may_begin(), "what was given cannot be taken back");
        let reasons: Vec<_> = gaps.all().into_iter().map(|gap| gap.reason).collect();
        assert_eq!(reasons, ["torn", "torn", "torn; rows before the damage may be in the answer"]);
    }
}
