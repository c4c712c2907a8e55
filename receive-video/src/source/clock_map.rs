//! Media time → capture time: by the camera's sender reports while they can be believed, else by arrival.

use std::collections::VecDeque;

use services::{CaptureClock, CaptureTime, MediaTime};

/// Seconds from 1900, which NTP counts from, to 1970 (RFC 868).
const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;
/// Microseconds of an NTP era: its seconds have 32 bits (RFC 5905 §6).
const ERA_MICROS: i64 = (1 << 32) * 1_000_000;
/// Sender reports are stamped when they are sent, not when the picture was taken: they scatter by some milliseconds, and
/// where they carry the last picture's timestamp by its period as well.
const SCATTER_MICROS: i64 = 50_000;
/// Crystals are within 100 ppm of each other; a camera disciplined by NTP may run off by 500 (RFC 5905 §11.3).
const DRIFT_PPM: i64 = 500;
/// So many jumps within an hour, and the camera's clock is not believed until they are an hour old.
const MAX_JUMPS: usize = 3;
const JUMPS_COUNT: MediaTime = MediaTime(3_600 * MediaTime::HZ);
/// A server may send what it has buffered in one go; a report further from the pictures than this dates others.
const DETACHED_MICROS: i64 = 10_000_000;
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
    /// Its RTP timestamp is so many microseconds from that of the pictures: capture times go by arrival.
    Detached(i64),
    /// The camera's clock has jumped too often lately: capture times go by arrival.
    Distrusted,
}

/// Maps the media time of one epoch.
#[derive(Debug)]
pub(crate) struct ClockMap {
    /// A camera's clock that is further from ours is not believed, in microseconds.
    bound: i64,
    /// The last plausible report.
    last: Option<Report>,
    /// The report that capture times go by.
    camera: Option<Report>,
    /// When the last jumps were.
    jumps: VecDeque<MediaTime>,
    newest: Option<Newest>,
    arrivals: Arrivals,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    media_time: MediaTime,
    ntp: CaptureTime,
}

/// The latest picture that came, in presentation order, and the time from the one before it.
#[derive(Clone, Copy, Debug)]
struct Newest {
    media_time: MediaTime,
    arrival: CaptureTime,
    period: MediaTime,
}

impl ClockMap {
    /// A map that believes a clock within `bound` microseconds of ours.
    pub(crate) fn new(bound: i64) -> Self {
        Self {
            bound,
            last: None,
            camera: None,
            jumps: VecDeque::new(),
            newest: None,
            arrivals: Arrivals::default(),
        }
    }

    /// Takes note of a sender report: at `media_time` the camera's clock showed `ntp`, seen at `arrival`.
    pub(crate) fn report(
        &mut self,
        media_time: MediaTime,
        ntp: CaptureTime,
        arrival: CaptureTime,
    ) -> Verdict {
        let report = Report { media_time, ntp };
        let verdict = self.judge(report, arrival);
        let is_sane = !matches!(verdict, Verdict::Implausible(_) | Verdict::Detached(_));
        self.last = is_sane.then_some(report);
        self.camera = self.last.filter(|_| verdict != Verdict::Distrusted);
        verdict
    }

    fn judge(&mut self, report: Report, arrival: CaptureTime) -> Verdict {
        let off = report.ntp.0.saturating_sub(arrival.0);
        if off.saturating_abs() > self.bound {
            return Verdict::Implausible(off);
        }
        let detached = self.newest.map_or(0, |newest| newest.before(report.media_time, arrival));
        if detached.saturating_abs() > DETACHED_MICROS {
            return Verdict::Detached(detached);
        }
        let period = self.newest.map_or(MediaTime(0), |newest| newest.period);
        let jump = self.last.and_then(|last| last.jump_to(report, period));
        self.jumps.retain(|&jumped| report.media_time - jumped < JUMPS_COUNT);
        if jump.is_some() {
            self.jumps.truncate(MAX_JUMPS - 1);
            self.jumps.push_front(report.media_time);
        }
        match jump {
            _ if self.jumps.len() >= MAX_JUMPS => Verdict::Distrusted,
            Some(by) => Verdict::Jumped(by),
            None => Verdict::Believed,
        }
    }

    /// The capture time of a unit that arrived at `arrival`, and the clock it was read from. No picture was taken later
    /// than it came: where the camera's clock says so, it is ahead of ours.
    pub(crate) fn unit(
        &mut self,
        media_time: MediaTime,
        arrival: CaptureTime,
    ) -> (CaptureTime, CaptureClock) {
        self.newest = Newest::after(self.newest, media_time, arrival);
        let by_arrival = self.arrivals.unit(media_time, arrival);
        let by_camera = self.camera.map(|report| report.ntp.after(media_time - report.media_time));
        let ahead = |camera: &CaptureTime| camera.0.saturating_sub(by_arrival.0);
        match by_camera.filter(|camera| ahead(camera) <= SCATTER_MICROS) {
            Some(camera) => (camera.min(by_arrival), CaptureClock::Rtcp),
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

impl Newest {
    fn after(before: Option<Self>, media_time: MediaTime, arrival: CaptureTime) -> Option<Self> {
        match before {
            Some(newest) if media_time <= newest.media_time => Some(newest),
            Some(newest) => {
                Some(Self { media_time, arrival, period: media_time - newest.media_time })
            }
            None => Some(Self { media_time, arrival, period: MediaTime(0) }),
        }
    }

    /// How many microseconds of media time it is before another that came at `arrival`, the time in between left out.
    fn before(&self, media_time: MediaTime, arrival: CaptureTime) -> i64 {
        let waited = arrival.0.saturating_sub(self.arrival.0);
        (media_time - self.media_time).as_micros().saturating_sub(waited)
    }
}

impl Report {
    /// By how much the camera's clock jumped between this report and the next, if it did.
    fn jump_to(&self, next: Self, period: MediaTime) -> Option<i64> {
        let elapsed = next.media_time - self.media_time;
        let off = next.ntp.0.saturating_sub(self.ntp.after(elapsed).0);
        let drift = elapsed.as_micros().saturating_abs() / 1_000_000 * DRIFT_PPM;
        let tolerance = SCATTER_MICROS + drift + period.as_micros();
        (off.saturating_abs() > tolerance).then_some(off)
    }
}

/// Reads an NTP timestamp: 32 bits of seconds since 1900, 32 of fraction (RFC 5905 §6), in the era that brings it closest
/// to `near`: the first one ends in February 2036.
pub(crate) fn utc(ntp: u64, near: CaptureTime) -> CaptureTime {
    let seconds = i64::try_from(ntp >> 32).unwrap_or(0) - NTP_TO_UNIX_SECONDS;
    let micros = i64::try_from(((ntp & 0xffff_ffff) * 1_000_000) >> 32).unwrap_or(0);
    let first = seconds * 1_000_000 + micros;
    let eras = (near.0.saturating_sub(first).saturating_add(ERA_MICROS / 2)).div_euclid(ERA_MICROS);
    CaptureTime(first.saturating_add(eras.saturating_mul(ERA_MICROS)))
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

    fn map() -> ClockMap {
        ClockMap::new(300_000_000)
    }

    fn seconds(n: i64) -> MediaTime {
        MediaTime(n * MediaTime::HZ)
    }

    fn utc(micros: i64) -> CaptureTime {
        CaptureTime(NOON + micros)
    }

    #[test]
    fn arrival_stands_in_until_a_report_comes() {
        let mut map = map();
        assert_eq!(map.unit(seconds(0), utc(0)), (utc(0), CaptureClock::Arrival));
        assert_eq!(map.report(seconds(0), utc(-80_000), utc(30_000)), Verdict::Believed);
        assert_eq!(map.unit(seconds(1), utc(1_000_500)), (utc(920_000), CaptureClock::Rtcp));
        assert_eq!(map.camera_ahead(), Some(-80_000));
    }

    #[test]
    fn b_frames_get_times_in_presentation_order() {
        let mut map = map();
        let unit = |map: &mut ClockMap, pts, at| map.unit(MediaTime(pts), utc(at)).0;
        unit(&mut map, 0, 0);
        let p = unit(&mut map, 10_800, 40_000);
        let b = unit(&mut map, 3_600, 80_000);
        assert!(b < p, "{b} is not before {p}");
    }

    #[test]
    fn a_mood_of_the_network_does_not_show() {
        let mut map = map();
        map.unit(seconds(0), utc(0));
        assert_eq!(map.unit(seconds(1), utc(1_700_000)).0, utc(1_000_000));
    }

    #[test]
    fn a_slow_camera_is_followed_within_a_minute() {
        let mut map = map();
        for n in 0..120 {
            map.unit(seconds(n), utc(n * 1_010_000));
        }
        let (captured, _) = map.unit(seconds(120), utc(120 * 1_010_000));
        assert!((120 * 1_010_000 - (captured.0 - NOON)).abs() <= 600_000);
    }

    #[test]
    fn a_camera_without_a_set_clock_is_not_believed() {
        let mut map = map();
        let verdict = map.report(seconds(0), CaptureTime(0), utc(0));
        assert_eq!(verdict, Verdict::Implausible(-NOON));
        assert_eq!(map.unit(seconds(0), utc(0)).1, CaptureClock::Arrival);
    }

    #[test]
    fn drift_is_followed_without_a_word() {
        let mut map = map();
        for n in 0..1_000 {
            let ntp = utc(n * 5_000_000 + n * 5 * 400);
            let verdict = map.report(seconds(n * 5), ntp, utc(n * 5_000_000));
            assert_eq!(verdict, Verdict::Believed, "report {n}");
        }
    }

    #[test]
    fn a_clock_set_anew_is_followed_and_told() {
        let mut map = map();
        map.report(seconds(0), utc(0), utc(0));
        map.unit(seconds(5), utc(5_000_000));
        let verdict = map.report(seconds(5), utc(2_000_000), utc(5_000_000));
        assert_eq!(verdict, Verdict::Jumped(-3_000_000));
        assert_eq!(map.unit(seconds(6), utc(6_000_000)), (utc(3_000_000), CaptureClock::Rtcp));
    }

    #[test]
    fn no_picture_is_taken_after_it_came() {
        let mut map = map();
        map.unit(seconds(0), utc(0));
        assert_eq!(map.report(seconds(0), utc(2_000_000), utc(0)), Verdict::Believed);
        assert_eq!(map.unit(seconds(1), utc(1_300_000)), (utc(1_000_000), CaptureClock::Arrival));
        assert_eq!(map.camera_ahead(), Some(2_000_000));
    }

    #[test]
    fn a_camera_in_local_time_is_not_believed() {
        let mut map = map();
        let zone = 2 * 3_600 * 1_000_000;
        assert_eq!(map.report(seconds(0), utc(zone), utc(0)), Verdict::Implausible(zone));
        assert_eq!(map.unit(seconds(0), utc(0)), (utc(0), CaptureClock::Arrival));
        let mut wide = ClockMap::new(24 * 3_600 * 1_000_000);
        assert_eq!(wide.report(seconds(0), utc(-zone), utc(0)), Verdict::Believed);
    }

    #[test]
    fn a_report_about_other_pictures_dates_none() {
        let mut map = map();
        map.unit(seconds(100), utc(0));
        for away in [-95, 11, 40_000] {
            let verdict = map.report(seconds(100 + away), utc(0), utc(0));
            assert_eq!(verdict, Verdict::Detached(away * 1_000_000));
            assert_eq!(map.unit(seconds(100), utc(0)).1, CaptureClock::Arrival);
        }
        // A camera of one picture in a minute: the report's picture would be half a minute later.
        assert_eq!(map.report(seconds(130), utc(30_000_000), utc(30_000_000)), Verdict::Believed);
    }

    #[test]
    fn reports_that_carry_the_last_pictures_timestamp_do_not_jump() {
        let mut map = map();
        for n in 0..40 {
            map.unit(seconds(n), utc(n * 1_000_000));
            let sent = n * 1_000_000 + (n * 370_000) % 1_000_000;
            assert_eq!(map.report(seconds(n), utc(sent), utc(sent)), Verdict::Believed, "{n}");
        }
    }

    #[test]
    fn a_clock_that_keeps_jumping_is_given_up_until_the_jumps_are_old() {
        let mut map = map();
        let report = |map: &mut ClockMap, at: i64, off: i64| {
            let now = utc(at * 1_000_000);
            map.unit(seconds(at) - MediaTime(3_600), utc(at * 1_000_000 - 40_000));
            map.unit(seconds(at), now);
            map.report(seconds(at), CaptureTime(now.0 - off * 1_000_000), now)
        };
        assert_eq!(report(&mut map, 0, 1), Verdict::Believed);
        assert_eq!(report(&mut map, 10, 8), Verdict::Jumped(-7_000_000));
        assert_eq!(report(&mut map, 20, 1), Verdict::Jumped(7_000_000));
        assert_eq!(report(&mut map, 30, 8), Verdict::Distrusted);
        assert_eq!(map.unit(seconds(31), utc(31_000_000)).1, CaptureClock::Arrival);
        assert_eq!(report(&mut map, 3_000, 1), Verdict::Distrusted);
        // The first two are forgotten by then, and no others came.
        assert_eq!(report(&mut map, 3_700, 1), Verdict::Believed);
        assert_eq!(map.unit(seconds(3_701), utc(3_701_000_000)).1, CaptureClock::Rtcp);
    }

    #[test]
    fn an_ntp_timestamp_reads_as_utc_in_its_era() {
        let half_past = (NTP_TO_UNIX_SECONDS.unsigned_abs() + 1_732_164_000) << 32 | 0x8000_0000;
        assert_eq!(super::utc(half_past, utc(0)), CaptureTime(1_732_164_000_500_000));
        // Seven days into the second era: 2036-02-14T06:28:16Z.
        let second_era = CaptureTime(2_086_583_296_000_000);
        assert_eq!(super::utc((7 * 86_400) << 32, second_era), second_era);
        assert_eq!(super::utc(u64::MAX >> 32 << 32, second_era).0, 2_085_978_495_000_000);
        assert_eq!(super::utc(half_past, second_era), CaptureTime(1_732_164_000_500_000));
    }
}
