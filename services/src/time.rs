//! Media time, capture time and the clock that a capture time was read from.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Presentation time since the epoch's start.
///
/// # Units
/// Ticks of 1/90,000 second, unwrapped (RTP's 32 bits wrap after 13 hours; these do not).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct MediaTime(pub i64);

impl MediaTime {
    /// Ticks in a second.
    pub const HZ: i64 = 90_000;

    /// The media time `duration` after the epoch's start, to the nearest tick at or before it.
    pub fn from_duration(duration: Duration) -> Self {
        let ticks = duration.as_nanos() * 9 / 100_000;
        Self(i64::try_from(ticks).unwrap_or(i64::MAX))
    }

    /// Seconds since the epoch's start.
    #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are 3,000 years")]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / Self::HZ as f64
    }

    /// Microseconds since the epoch's start.
    pub fn as_micros(self) -> i64 {
        let micros = i128::from(self.0) * 100 / 9;
        i64::try_from(micros).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }
}

impl Add for MediaTime {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for MediaTime {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_seconds())
    }
}

/// UTC time at which a picture was captured, as well as it is known.
///
/// # Units
/// Microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct CaptureTime(pub i64);

impl CaptureTime {
    /// The earliest time that the table holds: the year 1.
    pub const EARLIEST: Self = Self(-62_135_596_800_000_000);
    /// The latest time that the table holds: in the last days of the year 9999.
    pub const LATEST: Self = Self(253_402_207_199_999_999);

    /// The capture time that a reading of the system's clock stands for.
    pub fn from_system(time: SystemTime) -> Self {
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
            }
        };
        Self(micros)
    }

    /// The capture time `elapsed` of media time later.
    pub fn after(self, elapsed: MediaTime) -> Self {
        Self(self.0.saturating_add(elapsed.as_micros()))
    }

    /// Milliseconds from this time to `later`; negative when `later` is earlier.
    pub fn millis_until(self, later: Self) -> i64 {
        later.0.saturating_sub(self.0) / 1_000
    }
}

impl fmt::Display for CaptureTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.6}"),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

/// The clock that a capture time was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaptureClock {
    /// The camera's own clock, by RTCP sender reports (RFC 3550 §6.4.1).
    Rtcp,
    /// This machine's clock when the access unit arrived.
    Arrival,
    /// The file's timeline, from the moment its reading began.
    File,
}

impl CaptureClock {
    /// The word that stands in messages, rows and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rtcp => "rtcp",
            Self::Arrival => "arrival",
            Self::File => "file",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_time_converts_without_drift() {
        let year = Duration::from_secs(365 * 24 * 3_600);
        assert_eq!(MediaTime::from_duration(year).as_micros(), 365 * 24 * 3_600 * 1_000_000);
        assert_eq!(MediaTime(-90_000).as_micros(), -1_000_000);
    }

    #[test]
    fn the_table_holds_years_of_four_digits() {
        assert_eq!(CaptureTime::EARLIEST.to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(CaptureTime::LATEST.to_string(), "9999-12-30T21:59:59.999999Z");
    }

    #[test]
    fn a_capture_time_prints_as_utc() {
        assert_eq!(CaptureTime(1_500_000).to_string(), "1970-01-01T00:00:01.500000Z");
    }
}
