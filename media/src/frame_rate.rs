//! Frames per second as an exact fraction.

use std::fmt;

/// Frames per second as a fraction, so that 29.97 (30,000/1,001) does not drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRate {
    frames: u32,
    seconds: u32,
}

impl FrameRate {
    /// The rate of `frames` in `seconds`; `None` when either is zero.
    pub const fn new(frames: u32, seconds: u32) -> Option<Self> {
        if frames == 0 || seconds == 0 { None } else { Some(Self { frames, seconds }) }
    }

    /// The nearest rate to a decimal: 29.97 becomes 30,000/1,001. `None` outside 0.001 to 1,000.
    pub fn from_decimal(fps: f64) -> Option<Self> {
        if !(0.001..=1_000.0).contains(&fps) {
            return None;
        }
        let ntsc = (fps * 1.001).round();
        if (ntsc / 1.001 - fps).abs() < 0.005 && (fps.round() - fps).abs() > 0.005 {
            return Self::new(crate::number::round(ntsc).unsigned_abs() * 1_000, 1_001);
        }
        Self::new(crate::number::round(fps * 1_000.0).unsigned_abs(), 1_000)
    }

    /// Presentation time of a frame, counted from 0.
    ///
    /// # Units
    /// Ticks of 1/90,000 second.
    pub fn pts(self, frame_no: u64) -> i64 {
        let ticks =
            u128::from(frame_no) * 90_000 * u128::from(self.seconds) / u128::from(self.frames);
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    /// Frames per second.
    pub fn as_f64(self) -> f64 {
        f64::from(self.frames) / f64::from(self.seconds)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.as_f64());
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntsc_rates_are_exact() {
        let rate = FrameRate::from_decimal(29.97).unwrap();
        assert_eq!(rate, FrameRate::new(30_000, 1_001).unwrap());
        assert_eq!(rate.pts(30_000), 1_001 * 90_000);
        assert_eq!(FrameRate::from_decimal(12.5).unwrap().pts(25), 2 * 90_000);
        assert_eq!(FrameRate::from_decimal(25.0).unwrap().pts(1), 3_600);
    }

    #[test]
    fn a_rate_prints_as_people_write_it() {
        assert_eq!(FrameRate::from_decimal(12.5).unwrap().to_string(), "12.5");
        assert_eq!(FrameRate::new(30, 1).unwrap().to_string(), "30");
    }

    #[test]
    fn impossible_rates_are_refused() {
        assert_eq!(FrameRate::new(0, 1), None);
        assert_eq!(FrameRate::from_decimal(f64::NAN), None);
        assert_eq!(FrameRate::from_decimal(-1.0), None);
    }
}
