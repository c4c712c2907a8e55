//! Chance that can be repeated.

/// Draws that come out true at a given share, the same for the same seed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Luck {
    share: f64,
    state: u64,
}

impl Luck {
    pub(super) fn new(share: f64, seed: u64) -> Self {
        Self { share, state: seed }
    }

    /// The next draw.
    pub(super) fn draw(&mut self) -> bool {
        self.next_fraction() < self.share
    }

    /// The next number in 0..1, by `SplitMix64` (Steele, Lea, Flood 2014).
    fn next_fraction(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let upper = u32::try_from(bits >> 32).expect("32 bits are left");
        f64::from(upper) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_holds_and_the_seed_repeats() {
        let draws = |seed| {
            let mut luck = Luck::new(0.3, seed);
            (0..10_000).map(|_| luck.draw()).collect::<Vec<_>>()
        };
        let lucky = draws(7).into_iter().filter(|lucky| *lucky).count();
        assert!((2_800..3_200).contains(&lucky), "{lucky}");
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }

    #[test]
    fn without_a_share_nothing_happens() {
        let mut never = Luck::default();
        assert!((0..1_000).all(|_| !never.draw()));
    }
}
