//! A bad line, without I/O: RTP packets in, RTP packets out, some lost, swapped or damaged, by a seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::fault::Faults;
use crate::rtp::HEADER_LEN;

/// The last byte of a packet's source (RFC 3550 §5.1).
const SOURCE: usize = 11;
/// The bit of a NAL unit's first byte that must not be set.
const FORBIDDEN: u8 = 0x80;
/// Bytes that no NAL unit may hold (ITU-T H.264 §7.4.1.1), and where they are put into a packet.
const UNESCAPED: [u8; 3] = [0, 0, 2];
const UNESCAPED_AT: usize = HEADER_LEN + 8;

/// The line to one viewer.
#[derive(Debug)]
pub(crate) struct Line {
    random: StdRng,
    held: Option<Vec<u8>>,
    lost: u64,
}

impl Line {
    /// Makes a line whose faults follow from `seed` alone.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), held: None, lost: 0 }
    }

    /// Takes the packets of one access unit and gives those that arrive, in the order they do.
    pub(crate) fn pass(&mut self, packets: Vec<Vec<u8>>, faults: &Faults) -> Vec<Vec<u8>> {
        let mut arriving = Vec::with_capacity(packets.len() + 1);
        for mut packet in packets {
            if self.happens(faults.lose) {
                self.lost += 1;
                continue;
            }
            if self.happens(faults.corrupt) {
                self.damage(&mut packet);
            }
            if self.happens(faults.bad_header)
                && let Some(header) = packet.get_mut(HEADER_LEN)
            {
                *header |= FORBIDDEN;
            }
            if self.happens(faults.unescaped)
                && let Some(bytes) = packet.get_mut(UNESCAPED_AT..UNESCAPED_AT + UNESCAPED.len())
            {
                bytes.copy_from_slice(&UNESCAPED);
            }
            if self.happens(faults.foreign) {
                let mut foreign = packet.clone();
                foreign[SOURCE] ^= 1;
                arriving.push(foreign);
            }
            if self.held.is_none() && self.happens(faults.reorder) {
                self.held = Some(packet);
                continue;
            }
            arriving.push(packet);
            arriving.extend(self.held.take());
        }
        arriving
    }

    /// Tells whether the next packet is left out before it is numbered.
    pub(crate) fn omits(&mut self, faults: &Faults) -> bool {
        self.happens(faults.omit)
    }

    /// Counts the packets lost on this line.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    fn happens(&mut self, rate: f64) -> bool {
        rate > 0.0 && self.random.random_bool(rate.min(1.0))
    }

    fn damage(&mut self, packet: &mut [u8]) {
        if packet.len() > HEADER_LEN {
            let at = self.random.random_range(HEADER_LEN..packet.len());
            packet[at] ^= self.random.random_range(1..=255u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(n: u8) -> Vec<Vec<u8>> {
        (0..n).map(|i| vec![i; HEADER_LEN + 20]).collect()
    }

    fn firsts(packets: &[Vec<u8>]) -> Vec<u8> {
        packets.iter().map(|packet| packet[0]).collect()
    }

    #[test]
    fn a_good_line_changes_nothing() {
        assert_eq!(Line::new(1).pass(packets(9), &Faults::default()), packets(9));
    }

    #[test]
    fn losses_come_at_their_rate_and_the_same_for_the_same_seed() {
        let faults = Faults { lose: 0.25, ..Faults::default() };
        let (mut line, mut twin) = (Line::new(7), Line::new(7));
        let mut arrived = 0;
        for _ in 0..100 {
            let through = line.pass(packets(100), &faults);
            arrived += through.len();
            assert_eq!(through, twin.pass(packets(100), &faults));
        }
        assert_eq!(u64::try_from(10_000 - arrived).unwrap(), line.lost());
        assert!((7_300..7_700).contains(&arrived), "{arrived} of 10000 arrived");
    }

    #[test]
    fn reordered_packets_swap_with_their_neighbour_and_none_is_missing() {
        let faults = Faults { reorder: 1.0, ..Faults::default() };
        let mut line = Line::new(1);
        assert_eq!(firsts(&line.pass(packets(5), &faults)), [1, 0, 3, 2]);
        assert_eq!(firsts(&line.pass(packets(1), &faults)), [0, 4], "the held one comes next");
    }

    #[test]
    fn damage_spares_the_header_and_changes_one_byte() {
        let faults = Faults { corrupt: 1.0, ..Faults::default() };
        for (before, after) in packets(50).iter().zip(Line::new(3).pass(packets(50), &faults)) {
            assert_eq!(before[..HEADER_LEN], after[..HEADER_LEN]);
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert_eq!(changed, 1);
        }
    }
}
