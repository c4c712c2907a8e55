//! What keeps a connection from giving pictures before its first key frame, without which nothing can be decoded.

use std::time::{Duration, Instant};

use media::h264::support::Unsupported;
use services::MediaTime;

use super::Incident;
use super::error::I_FRAME_ADVICE;

/// A connection whose first key frame takes longer is told of.
const PATIENCE: Duration = Duration::from_secs(4);

/// What stands in the way at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) incident: Incident,
    /// It has stood there for a while: whoever looks later is to know of it, too.
    pub(crate) lasts: bool,
}

/// Follows one connection up to its first key frame.
#[derive(Debug)]
pub(crate) struct Prospect {
    /// A camera, which can be set otherwise.
    is_camera: bool,
    /// Why what its description announces cannot be decoded.
    announced: Option<String>,
    /// When the first access unit came, and its media time.
    first: Option<(Instant, MediaTime)>,
    newest: MediaTime,
    has_key_frame: bool,
}

impl Prospect {
    /// A connection that has given nothing yet, of a camera or a file.
    pub(crate) fn new(is_camera: bool, announced: Option<&Unsupported>) -> Self {
        let announced = announced.map(|reason| format!("its description announces this: {reason}"));
        Self { is_camera, announced, first: None, newest: MediaTime(0), has_key_frame: false }
    }

    /// Takes note of a unit.
    pub(crate) fn unit(&mut self, time: MediaTime, key: bool, now: Instant) {
        self.first.get_or_insert((now, time));
        self.newest = self.newest.max(time);
        self.has_key_frame |= key;
    }

    /// When [`obstacle`](Self::obstacle) has to be asked if no unit comes before.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let (first, _) = self.first.filter(|_| !self.has_key_frame)?;
        let waited = now.saturating_duration_since(first);
        Some(first + Duration::from_secs(waited.as_secs() + 1).max(PATIENCE))
    }

    /// What stands in the way by now.
    pub(crate) fn obstacle(&self, now: Instant) -> Option<Obstacle> {
        if self.has_key_frame {
            return None;
        }
        let waited = self.waited(now);
        let keyless = (waited >= PATIENCE).then(|| self.keyless(waited));
        let lasts = keyless.is_some();
        let kind = if self.announced.is_some() { "unsupported" } else { "no-key-frame" };
        let words: Vec<String> = self.announced.clone().into_iter().chain(keyless).collect();
        let incident = Incident { kind, words: words.join("; ") };
        (!words.is_empty()).then_some(Obstacle { incident, lasts })
    }

    /// How long key frames have been waited for: a file may be read faster than its time line.
    fn waited(&self, now: Instant) -> Duration {
        let Some((first, time)) = self.first else { return Duration::ZERO };
        let micros = (self.newest - time).as_micros();
        let read = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        now.saturating_duration_since(first).max(read)
    }

    fn keyless(&self, waited: Duration) -> String {
        let seconds = waited.as_secs();
        let advice = if self.is_camera { I_FRAME_ADVICE } else { "" };
        format!("no key frame yet for {seconds} s: nothing can be decoded before one comes{advice}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_BIT: Unsupported = Unsupported::BitDepth(10);

    fn seconds(seconds: i64) -> (MediaTime, Duration) {
        (MediaTime(seconds * 90_000), Duration::from_secs(seconds.unsigned_abs()))
    }

    fn words(prospect: &Prospect, now: Instant) -> Option<String> {
        prospect.obstacle(now).map(|obstacle| obstacle.incident.words)
    }

    #[test]
    fn a_camera_without_a_key_frame_is_told_of_after_four_seconds_until_one_comes() {
        let start = Instant::now();
        let mut prospect = Prospect::new(true, None);
        let unit = |prospect: &mut Prospect, at: i64, key: bool| {
            let (time, after) = seconds(at);
            prospect.unit(time, key, start + after);
            words(prospect, start + after)
        };
        assert!((0..4).all(|at| unit(&mut prospect, at, false).is_none()));
        for at in 4..10 {
            let expected = format!(
                "no key frame yet for {at} s: nothing can be decoded before one comes; set the camera's I-frame interval \
                 to 1 to 2 s"
            );
            assert_eq!(unit(&mut prospect, at, false), Some(expected));
        }
        assert_eq!(unit(&mut prospect, 10, true), None);
        assert_eq!(unit(&mut prospect, 60, false), None);
        assert_eq!(prospect.deadline(start), None);
    }

    #[test]
    fn a_camera_of_one_picture_in_ten_seconds_is_told_of_before_its_second_one() {
        let start = Instant::now();
        let mut prospect = Prospect::new(true, None);
        assert_eq!(
            prospect.deadline(start),
            None,
            "nothing is wrong with one that sends nothing yet"
        );
        prospect.unit(MediaTime(0), false, start);
        let deadline = prospect.deadline(start).unwrap();
        assert_eq!(deadline, start + PATIENCE);
        assert!(prospect.obstacle(deadline).unwrap().lasts);
        assert_eq!(prospect.deadline(deadline), Some(start + Duration::from_secs(5)));
    }

    #[test]
    fn a_file_that_is_read_at_once_is_told_of_by_its_own_time() {
        let start = Instant::now();
        let mut prospect = Prospect::new(false, None);
        prospect.unit(MediaTime(0), false, start);
        prospect.unit(seconds(9).0, false, start);
        let told = words(&prospect, start).unwrap();
        assert_eq!(told, "no key frame yet for 9 s: nothing can be decoded before one comes");
    }

    #[test]
    fn what_a_description_announces_is_told_before_any_picture_and_forgotten_with_the_first_key_frame()
     {
        let start = Instant::now();
        let mut prospect = Prospect::new(true, Some(&TEN_BIT));
        let told = prospect.obstacle(start).unwrap();
        let reason =
            "its description announces this: 10 bit video is not supported: expected 8 bit";
        assert_eq!(
            (told.incident.kind, &*told.incident.words, told.lasts),
            ("unsupported", reason, false)
        );
        prospect.unit(MediaTime(0), false, start);
        let told = prospect.obstacle(start + PATIENCE).unwrap();
        assert!(
            told.lasts && told.incident.words.starts_with(&format!("{reason}; no key frame yet"))
        );
        prospect.unit(MediaTime(3_600), true, start + PATIENCE);
        assert_eq!(prospect.obstacle(start + PATIENCE), None);
    }
}
