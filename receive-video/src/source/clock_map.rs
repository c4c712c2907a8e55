//! Media time → capture time: by the camera's sender reports while they can be believed, else by arrival.

use services::{CaptureClock, CaptureTime, MediaTime};

/// A camera whose clock is off by more than this has no clock set.
const PLAUSIBLE_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// Sender reports are stamped when they are sent, not when the picture was taken: they scatter by some milliseconds.
const SCATTER_MICROS: i64 = 50_000;
/// Crystals are within 100 ppm of each other; a camera disciplined by NTP may run off by 500 (RFC 5905 §11.3).
const DRIFT_PPM: i64 = 500;
/// So many jumps in one epoch, and the camera's clock is not believed any more.
const MAX_JUMPS: u32 = 3;
/// The least delayed arrival is looked for in this much media time, and as much again before it.
const SPELL: MediaTime = MediaTime(30 * MediaTime::HZ);

/// What a sender report did to the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It agrees with what is known; from now on capture times are the camera's.
    Believed,
    /// The camera's clock was set anew, by so many microseconds; capture times follow.
    Jumped(i64),
    /// The camera's clock is so many microseconds away from ours: capture times go by arrival.
    Implausible(i64),
    /// The camera's clock has jumped too often: for the rest of the epoch capture times go by arrival.
    Distrusted,
}

/// Maps the media time of one epoch.
#[derive(Debug, Default)]
pub(crate) struct ClockMap {
    camera: Option<Report>,
    jumps: u32,
    arrivals: Arrivals,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    media_time: MediaTime,
    ntp: CaptureTime,
}

impl ClockMap {
    /// Takes note of a sender report: at `media_time` the camera's clock showed `ntp`, seen at `arrival`.
    pub(crate) fn report(
        &mut self,
        media_time: MediaTime,
        ntp: CaptureTime,
        arrival: CaptureTime,
    ) -> Verdict {
        if self.jumps >= MAX_JUMPS {
            return Verdict::Distrusted;
        }
        let off = ntp.0.saturating_sub(arrival.0);
        if off.saturating_abs() > PLAUSIBLE_MICROS {
            self.camera = None;
            return Verdict::Implausible(off);
        }
        let jump = self.camera.and_then(|last| last.jump_to(media_time, ntp));
        self.camera = Some(Report { media_time, ntp });
        let Some(by) = jump else { return Verdict::Believed };
        self.jumps += 1;
        if self.jumps < MAX_JUMPS {
            return Verdict::Jumped(by);
        }
        self.camera = None;
        Verdict::Distrusted
    }

    /// The capture time of a unit that arrived at `arrival`, and the clock it was read from.
    pub(crate) fn unit(
        &mut self,
        media_time: MediaTime,
        arrival: CaptureTime,
    ) -> (CaptureTime, CaptureClock) {
        let by_arrival = self.arrivals.unit(media_time, arrival);
        match self.camera {
            Some(report) => (report.ntp.after(media_time - report.media_time), CaptureClock::Rtcp),
            None => (by_arrival, CaptureClock::Arrival),
        }
    }

    /// How many microseconds the camera's clock, at its last report, is ahead of the least delayed arrival.
    pub(crate) fn camera_ahead(&self) -> Option<i64> {
        let report = self.camera?;
        let arrival = self.arrivals.map(report.media_time)?;
        Some(report.ntp.0.saturating_sub(arrival.0))
    }
}

impl Report {
    /// By how much the camera's clock jumped between this report and the next, if it did.
    fn jump_to(&self, media_time: MediaTime, ntp: CaptureTime) -> Option<i64> {
        let elapsed = media_time - self.media_time;
        let off = ntp.0.saturating_sub(self.ntp.after(elapsed).0);
        let drift = elapsed.as_micros().saturating_abs() / 1_000_000 * DRIFT_PPM;
        (off.saturating_abs() > SCATTER_MICROS + drift).then_some(off)
    }
}

/// The least delay between capture and arrival, lately: it differs from the true delay by a constant, while each
/// single arrival also shows the network's moods and, with B-frames, another order.
#[derive(Debug, Default)]
struct Arrivals {
    spell_began: Option<MediaTime>,
    least: Option<i64>,
    least_before: Option<i64>,
}

impl Arrivals {
    fn unit(&mut self, media_time: MediaTime, arrival: CaptureTime) -> CaptureTime {
        let began = *self.spell_began.get_or_insert(media_time);
        if media_time - began >= SPELL {
            self.spell_began = Some(media_time);
            self.least_before = self.least.take();
        }
        let origin = arrival.0.saturating_sub(media_time.as_micros());
        self.least = Some(self.least.map_or(origin, |least| least.min(origin)));
        self.map(media_time).unwrap_or(arrival)
    }

    fn map(&self, media_time: MediaTime) -> Option<CaptureTime> {
        let origin = self.least.into_iter().chain(self.least_before).min()?;
        Some(CaptureTime(origin).after(media_time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_732_190_400_000_000;

    fn seconds(n: i64) -> MediaTime {
        MediaTime(n * MediaTime::HZ)
    }

    fn utc(micros: i64) -> CaptureTime {
        CaptureTime(NOON + micros)
    }

    #[test]
    fn arrival_stands_in_until_a_report_comes() {
        let mut map = ClockMap::default();
        assert_eq!(map.unit(seconds(0), utc(0)), (utc(0), CaptureClock::Arrival));
        assert_eq!(map.report(seconds(0), utc(-80_000), utc(30_000)), Verdict::Believed);
        assert_eq!(map.unit(seconds(1), utc(1_000_500)), (utc(920_000), CaptureClock::Rtcp));
        assert_eq!(map.camera_ahead(), Some(-80_000));
    }

    #[test]
    fn b_frames_get_times_in_presentation_order() {
        let mut map = ClockMap::default();
        let unit = |map: &mut ClockMap, pts, at| map.unit(MediaTime(pts), utc(at)).0;
        unit(&mut map, 0, 0);
        let p = unit(&mut map, 10_800, 40_000);
        let b = unit(&mut map, 3_600, 80_000);
        assert!(b < p, "{b} is not before {p}");
    }

    #[test]
    fn a_mood_of_the_network_does_not_show() {
        let mut map = ClockMap::default();
        map.unit(seconds(0), utc(0));
        assert_eq!(map.unit(seconds(1), utc(1_700_000)).0, utc(1_000_000));
    }

    #[test]
    fn a_slow_camera_is_followed_within_a_minute() {
        let mut map = ClockMap::default();
        for n in 0..120 {
            map.unit(seconds(n), utc(n * 1_010_000));
        }
        let (captured, _) = map.unit(seconds(120), utc(120 * 1_010_000));
        assert!((120 * 1_010_000 - (captured.0 - NOON)).abs() <= 600_000);
    }

    #[test]
    fn a_camera_without_a_set_clock_is_not_believed() {
        let mut map = ClockMap::default();
        let verdict = map.report(seconds(0), CaptureTime(0), utc(0));
        assert_eq!(verdict, Verdict::Implausible(-NOON));
        assert_eq!(map.unit(seconds(0), utc(0)).1, CaptureClock::Arrival);
    }

    #[test]
    fn drift_is_followed_without_a_word() {
        let mut map = ClockMap::default();
        for n in 0..1_000 {
            let ntp = utc(n * 5_000_000 + n * 5 * 400);
            let verdict = map.report(seconds(n * 5), ntp, utc(n * 5_000_000));
            assert_eq!(verdict, Verdict::Believed, "report {n}");
        }
    }

    #[test]
    fn a_clock_set_anew_is_followed_and_told() {
        let mut map = ClockMap::default();
        map.report(seconds(0), utc(0), utc(0));
        let verdict = map.report(seconds(5), utc(8_000_000), utc(5_000_000));
        assert_eq!(verdict, Verdict::Jumped(3_000_000));
        assert_eq!(map.unit(seconds(6), utc(6_000_000)), (utc(9_000_000), CaptureClock::Rtcp));
    }

    #[test]
    fn a_clock_that_keeps_jumping_is_given_up() {
        let mut map = ClockMap::default();
        map.report(seconds(0), utc(0), utc(0));
        for n in 1..3 {
            let ntp = utc(n * n * 7_000_000);
            assert!(matches!(map.report(seconds(n), ntp, utc(0)), Verdict::Jumped(_)));
        }
        assert_eq!(map.report(seconds(3), utc(0), utc(0)), Verdict::Distrusted);
        assert_eq!(map.report(seconds(4), utc(1_000_000), utc(0)), Verdict::Distrusted);
        assert_eq!(map.unit(seconds(4), utc(4_000_000)).1, CaptureClock::Arrival);
    }
}
