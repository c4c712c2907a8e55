//! The same access units over and over, with timestamps that go on from round to round.

use media::AccessUnit;

/// Moves the timestamps of each round behind those of the round before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rounds {
    offset: i64,
    /// Where the next round's first unit has to be, by decoding and by presentation time; `None` in round one.
    next: Option<Next>,
    last_dts: i64,
    step: i64,
    begun: bool,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    dts: i64,
    pts: i64,
}

impl Rounds {
    /// Ends a round: the next unit is the first of another.
    pub(crate) fn end(&mut self) {
        self.begun = false;
    }

    /// Moves one unit to its place.
    pub(crate) fn place(&mut self, unit: &mut AccessUnit) {
        if !self.begun {
            self.begun = true;
            if let Some(next) = self.next {
                self.offset = (next.dts - unit.dts).max(next.pts - unit.pts);
            }
        } else {
            let since = unit.dts + self.offset - self.last_dts;
            self.step = if since > 0 { since } else { self.step };
        }
        unit.pts += self.offset;
        unit.dts += self.offset;
        self.last_dts = unit.dts;
        let latest = self.next.map_or(i64::MIN, |next| next.pts);
        let step = self.step.max(1);
        self.next = Some(Next { dts: unit.dts + step, pts: latest.max(unit.pts + step) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rounds: &mut Rounds, times: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let placed = times.iter().map(|&(dts, pts)| {
            let mut unit = AccessUnit::from_annex_b(&[0, 0, 1, 0x41][..], pts, dts);
            rounds.place(&mut unit);
            (unit.dts, unit.pts)
        });
        let placed = placed.collect();
        rounds.end();
        placed
    }

    #[test]
    fn the_first_round_keeps_its_times() {
        let times = [(-2, 0), (-1, 2), (0, 1)];
        assert_eq!(round(&mut Rounds::default(), &times), times);
    }

    #[test]
    fn later_rounds_go_on_one_frame_later() {
        let mut rounds = Rounds::default();
        let times = [(0, 0), (3600, 3600), (7200, 7200)];
        round(&mut rounds, &times);
        assert_eq!(
            round(&mut rounds, &times),
            [(10_800, 10_800), (14_400, 14_400), (18_000, 18_000)]
        );
        assert_eq!(round(&mut rounds, &times)[0], (21_600, 21_600));
    }

    #[test]
    fn no_picture_of_a_round_is_shown_before_the_last_of_the_round_before() {
        let mut rounds = Rounds::default();
        // I P B: the P frame comes second and is shown last.
        let times = [(-10, 0), (0, 20), (10, 10)];
        let first = round(&mut rounds, &times);
        let second = round(&mut rounds, &times);
        let latest = first.iter().map(|&(_, pts)| pts).max().unwrap();
        assert_eq!(second[0].1, latest + 10);
        assert!(second[0].0 > first[2].0);
    }

    #[test]
    fn a_single_picture_goes_on_too() {
        let mut rounds = Rounds::default();
        round(&mut rounds, &[(0, 0)]);
        assert!(round(&mut rounds, &[(0, 0)])[0].0 > 0);
    }
}
