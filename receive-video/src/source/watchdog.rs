//! Tells when a live stream has stopped being one, by its media time and the wall's.

use std::fmt;
use std::time::{Duration, Instant};

use services::MediaTime;

/// B-frames go back by a few pictures; anything beyond is a jump.
const BACKWARD: MediaTime = MediaTime(2 * MediaTime::HZ);
/// A server may send what it has buffered in one go, and a picture as old as its stream may be silent; anything beyond is
/// a jump.
const FORWARD: Duration = Duration::from_secs(10);
/// So many pictures without a key frame are needed, too: cameras count their groups in pictures, and one of a picture in
/// ten seconds needs minutes for them.
const KEYLESS: u32 = 30;

/// What is wrong with a connection that is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// Nothing came for so long.
    Silent(Duration),
    /// Packets come, and have made no access unit for so long.
    NoPicture(Duration),
    /// Access units come, but their timestamps have not moved for so long.
    Frozen(Duration),
    /// Access units come, but no key frame for so long, in so many of them.
    NoKeyFrame(Duration, u32),
    /// The timestamps jumped by so much.
    Jumped(MediaTime),
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(long) => write!(
                f,
                "it has sent nothing for {long:.0?}: raise the stream's key \"silence\" if its pictures come less often"
            ),
            Self::NoPicture(long) => {
                write!(f, "it sends packets that have made no picture for {long:.0?}")
            }
            Self::Frozen(long) => write!(f, "its timestamps have stood still for {long:.0?}"),
            Self::NoKeyFrame(long, units) => write!(
                f,
                "it has sent no key frame for {long:.0?}, in {units} pictures: set its I-frame interval to 1 to 2 s, or \
                 \"key_frame_timeout\" above it"
            ),
            Self::Jumped(by) => write!(f, "its timestamps jumped by {by}"),
        }
    }
}

impl Alarm {
    /// The same, where packets that make no access unit come or not: whoever sends them is not silent.
    pub(crate) fn where_packets_come(self, they_come: bool) -> Self {
        match self {
            Self::Silent(long) if they_come => Self::NoPicture(long),
            other => other,
        }
    }
}

/// Watches one connection.
#[derive(Debug)]
pub(crate) struct Watchdog {
    silence: Duration,
    key_frame_timeout: Duration,
    newest: Option<MediaTime>,
    last_unit: Instant,
    last_progress: Instant,
    last_key: Instant,
    /// Units since then.
    keyless: u32,
}

impl Watchdog {
    /// Watches a connection that began to play at `now`.
    pub(crate) fn new(silence: Duration, key_frame_timeout: Duration, now: Instant) -> Self {
        let (last_unit, last_progress, last_key) = (now, now, now);
        let (newest, keyless) = (None, 0);
        Self { silence, key_frame_timeout, newest, last_unit, last_progress, last_key, keyless }
    }

    /// Takes note of a unit.
    pub(crate) fn unit(&mut self, time: MediaTime, key: bool, now: Instant) -> Result<(), Alarm> {
        let waited = now - self.last_unit;
        self.last_unit = now;
        self.keyless += 1;
        if key {
            (self.last_key, self.keyless) = (now, 0);
        }
        if let Some(newest) = self.newest {
            let step = time - newest;
            let forward = MediaTime::from_duration(waited + FORWARD.max(self.silence));
            if step < MediaTime(-BACKWARD.0) || step > forward {
                return Err(Alarm::Jumped(step));
            }
        }
        if self.newest.is_none_or(|newest| time > newest) {
            self.newest = Some(time);
            self.last_progress = now;
        }
        self.alarm(now).map_or(Ok(()), Err)
    }

    /// When [`alarm`](Self::alarm) has to be asked if no unit comes before.
    pub(crate) fn deadline(&self) -> Instant {
        self.last_progress + self.silence
    }

    /// Tells what is wrong by now.
    pub(crate) fn alarm(&self, now: Instant) -> Option<Alarm> {
        if now >= self.deadline() {
            let frozen = self.last_unit > self.last_progress;
            let alarm = if frozen { Alarm::Frozen } else { Alarm::Silent };
            return Some(alarm(now - self.last_progress));
        }
        let waited = now - self.last_key;
        let is_keyless = waited >= self.key_frame_timeout && self.keyless >= KEYLESS;
        is_keyless.then_some(Alarm::NoKeyFrame(waited, self.keyless))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(10);
    const NO_KEY: Duration = Duration::from_secs(30);

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_stream_that_sends_nothing_is_silent() {
        let start = Instant::now();
        let dog = Watchdog::new(SILENCE, NO_KEY, start);
        assert_eq!(dog.alarm(at(start, 9_999)), None);
        assert_eq!(dog.alarm(dog.deadline()), Some(Alarm::Silent(SILENCE)));
    }

    #[test]
    fn timestamps_that_stand_still_are_a_freeze() {
        let start = Instant::now();
        let mut dog = Watchdog::new(SILENCE, NO_KEY, start);
        for millis in (0..10_000).step_by(40) {
            assert_eq!(dog.unit(MediaTime(7), true, at(start, millis)), Ok(()));
        }
        assert_eq!(dog.unit(MediaTime(7), true, at(start, 10_000)), Err(Alarm::Frozen(SILENCE)));
    }

    #[test]
    fn a_stream_without_key_frames_is_noticed() {
        let start = Instant::now();
        let mut dog = Watchdog::new(SILENCE, NO_KEY, start);
        let unit = |n: i64| (MediaTime(n * 90_000), at(start, n.unsigned_abs() * 1_000));
        for n in 0..30 {
            let (time, now) = unit(n);
            assert_eq!(dog.unit(time, false, now), Ok(()));
        }
        let (time, now) = unit(30);
        assert_eq!(dog.unit(time, false, now), Err(Alarm::NoKeyFrame(NO_KEY, 31)));
    }

    #[test]
    fn a_picture_in_ten_seconds_or_in_a_minute_is_a_stream_once_silence_allows_it() {
        for period in [10_u32, 60] {
            let (start, silence) = (Instant::now(), Duration::from_secs(u64::from(period) + 5));
            let mut dog = Watchdog::new(silence, NO_KEY, start);
            let at = |n: u32| start + Duration::from_secs(u64::from(n * period));
            let time = |n: u32| MediaTime(i64::from(n * period) * 90_000);
            assert_eq!(dog.unit(time(0), true, at(0)), Ok(()));
            // The second picture comes at once: a server sent the last one that it had first.
            assert_eq!(dog.unit(time(1), false, at(0)), Ok(()));
            for n in 2..=29 {
                assert_eq!(dog.unit(time(n), false, at(n)), Ok(()), "picture {n} of a group");
            }
            let alarm = dog.unit(time(30), false, at(30)).unwrap_err().to_string();
            assert!(alarm.contains("in 30 pictures: set its I-frame interval"), "{alarm}");
        }
    }

    #[test]
    fn b_frames_and_a_burst_at_the_start_are_no_jump() {
        let start = Instant::now();
        let mut dog = Watchdog::new(SILENCE, NO_KEY, start);
        for pts in [0, 14_400, 7_200, 3_600, 10_800, 500_000] {
            assert_eq!(dog.unit(MediaTime(pts), true, start), Ok(()));
        }
    }

    #[test]
    fn jumps_either_way_are_noticed() {
        let start = Instant::now();
        for (to, now) in [(-5 * 90_000, 40), (11 * 90_000, 40)] {
            let mut dog = Watchdog::new(SILENCE, NO_KEY, start);
            assert_eq!(dog.unit(MediaTime(0), true, start), Ok(()));
            let jumped = dog.unit(MediaTime(to), true, at(start, now));
            assert_eq!(jumped, Err(Alarm::Jumped(MediaTime(to))));
        }
    }
}
