//! The arithmetic: what the books hold, entered as it is read, and the equations that come of it.

use std::collections::{BTreeMap, BTreeSet};

use services::message::STALE;
use services::{CaptureTime, Epoch, MediaTime, ModelName, Seq};
use table::TimeRange;

use super::{Answered, Books, Equation, Frames, Key};

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
            None => self.is_known(key),
        }
    }

    /// Tells whether there is an account of this epoch, or would have to be one: it began before the accounts were read.
    fn is_known(&self, key: &Key) -> bool {
        self.entries.contains_key(&self.accounted(key))
            || self.newest.get(&key.stream).is_none_or(|newest| key.epoch < *newest)
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
    pub(super) fn begin(&self, key: &Key) -> CaptureTime {
        if self.is_folded(key) { Epoch(0).begin() } else { key.epoch.begin() }
    }

    /// When an epoch ended, as far as the books tell; none while it goes on.
    pub(super) fn end(&self, key: &Key) -> Option<CaptureTime> {
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
        all.stale += answered.stale;
        let Some(frame) = frame else { return };
        if answered.given + answered.stale > 0 {
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
        // What was retired after the accounts were read is left out.
        let retired = self.retired.keys().filter(|key| self.is_known(key));
        let keys = self.entries.keys().chain(self.answered.keys()).chain(retired);
        let keys = keys.cloned().chain(placed);
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
        let mut account =
            self.entries.get(key).map(|entry| entry.account.clone()).unwrap_or_default();
        let answered = self.answered.get(key).copied().unwrap_or_default();
        account.shed(STALE, answered.stale);
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
        let is_accounted = self.entries.contains_key(key);
        let retired =
            if is_accounted { account.taken.saturating_sub(seen).min(most) } else { most };
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
