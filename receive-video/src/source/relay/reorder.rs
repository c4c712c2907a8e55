//! A small window in which packets that overtook others are put in order.

use std::time::{Duration, Instant};

/// Packets that wait at most.
const WINDOW: usize = 64;
/// How long a packet that is missing is waited for: a packet may be held up until the next picture's.
const PATIENCE: Duration = Duration::from_millis(200);
/// So many late packets in a row are a sender that counts anew.
const ANEW: u32 = 64;

/// Packets with numbers, in order as far as they come within the window.
#[derive(Debug, Default)]
pub(super) struct Reorder<P> {
    next: Option<u16>,
    /// What came too early, in order.
    held: Vec<(u16, P)>,
    since: Option<Instant>,
    late: u32,
    /// What is added to the sender's numbers since it counts anew.
    shift: u16,
}

impl<P> Reorder<P> {
    /// Takes a packet, and gives those whose turn it is to `pass`, with their numbers: where a sender counts anew, they go on
    /// behind a gap of one. False when the packet is left out: it came too late, or twice.
    pub(super) fn push(
        &mut self,
        seq: u16,
        packet: P,
        now: Instant,
        mut pass: impl FnMut(u16, P),
    ) -> bool {
        let mut seq = seq.wrapping_add(self.shift);
        let ahead = seq.wrapping_sub(*self.next.get_or_insert(seq));
        if ahead > u16::MAX / 2 {
            self.late += 1;
            if self.late < ANEW {
                return false;
            }
            self.give_up(&mut pass, usize::MAX);
            let anew = self.next.unwrap_or(seq).wrapping_add(1);
            self.shift = self.shift.wrapping_add(anew.wrapping_sub(seq));
            (seq, self.next) = (anew, Some(anew));
        }
        self.late = 0;
        if self.held.is_empty() && self.next == Some(seq) {
            self.next = Some(seq.wrapping_add(1));
            pass(seq, packet);
            return true;
        }
        let is_new = self.hold(seq, packet);
        self.release(&mut pass);
        while self.held.len() > WINDOW {
            self.give_up(&mut pass, 1);
        }
        self.watch(now);
        is_new
    }

    /// Gives up what was waited for too long, and gives what is behind it.
    pub(super) fn expire(&mut self, now: Instant, mut pass: impl FnMut(u16, P)) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up(&mut pass, 1);
            self.since = None;
            self.watch(now);
        }
    }

    /// When [`expire`](Self::expire) has to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    fn hold(&mut self, seq: u16, packet: P) -> bool {
        let next = self.next.unwrap_or(seq);
        let ahead = |seq: u16| seq.wrapping_sub(next);
        let found = self.held.binary_search_by_key(&ahead(seq), |(held, _)| ahead(*held));
        if let Err(place) = found {
            self.held.insert(place, (seq, packet));
        }
        found.is_err()
    }

    /// Passes on what follows without a gap.
    fn release(&mut self, pass: &mut impl FnMut(u16, P)) {
        let Some(mut next) = self.next else { return };
        let ready = self.held.iter().take_while(|(seq, _)| {
            let follows = *seq == next;
            next = next.wrapping_add(u16::from(follows));
            follows
        });
        let ready = ready.count();
        self.held.drain(..ready).for_each(|(seq, packet)| pass(seq, packet));
        self.next = Some(next);
        if ready > 0 {
            self.since = None;
        }
    }

    /// Goes on behind the first gaps, so many of them.
    fn give_up(&mut self, pass: &mut impl FnMut(u16, P), gaps: usize) {
        for _ in 0..gaps.min(self.held.len()) {
            let Some((first, _)) = self.held.first() else { return };
            self.next = Some(*first);
            self.release(pass);
        }
    }

    fn watch(&mut self, now: Instant) {
        self.since = if self.held.is_empty() { None } else { Some(self.since.unwrap_or(now)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(reorder: &mut Reorder<u16>, seqs: &[u16], now: Instant) -> Vec<u16> {
        let mut passed = Vec::new();
        for &seq in seqs {
            reorder.push(seq, seq, now, |_, packet| passed.push(packet));
        }
        passed
    }

    #[test]
    fn packets_out_of_place_come_in_order_also_where_the_numbers_wrap() {
        let (now, mut reorder) = (Instant::now(), Reorder::default());
        let seqs = [65_533, 65_535, 65_534, 1, 0, 0, 65_535, 2];
        assert_eq!(passed(&mut reorder, &seqs, now), [65_533, 65_534, 65_535, 0, 1, 2]);
        assert_eq!(reorder.deadline(), None);
    }

    #[test]
    fn a_lost_packet_is_waited_for_and_given_up() {
        let (now, mut reorder) = (Instant::now(), Reorder::default());
        assert_eq!(passed(&mut reorder, &[1, 3, 4, 6], now), [1]);
        assert_eq!(reorder.deadline(), Some(now + PATIENCE));
        let mut late = Vec::new();
        reorder.expire(now + PATIENCE / 2, |_, packet| late.push(packet));
        assert!(late.is_empty());
        reorder.expire(now + PATIENCE, |_, packet| late.push(packet));
        assert_eq!(late, [3, 4]);
        assert_eq!(passed(&mut reorder, &[2, 5], now + PATIENCE), [5, 6], "2 came too late");
    }

    #[test]
    fn the_window_has_its_bound() {
        let (now, mut reorder) = (Instant::now(), Reorder::default());
        let seqs: Vec<u16> = (0..200).filter(|seq| *seq != 1).collect();
        let passed = passed(&mut reorder, &seqs, now);
        assert_eq!(passed, seqs);
    }

    #[test]
    fn a_sender_that_counts_anew_is_followed() {
        let (now, mut reorder) = (Instant::now(), Reorder::default());
        let seqs: Vec<u16> = (50_000..50_010).chain(30_000..30_100).collect();
        let passed = passed(&mut reorder, &seqs, now);
        assert_eq!(passed.len(), 10 + 100 + 1 - usize::try_from(ANEW).unwrap());
        assert_eq!(passed.last(), Some(&30_099));
    }
}
