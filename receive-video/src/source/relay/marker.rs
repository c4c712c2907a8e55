//! Where pictures end: what a camera's marker bits say (RFC 6184 §5.1), until it sets one in mid-picture.
//!
//! Some mark every slice, or every packet, as the end of a picture (OpenIPC's smolrtsp up to its pull request 43). The RTSP
//! library would take each slice for a picture. Of such a camera no marker is passed on, so that pictures end where
//! timestamps change: one picture later. Until a camera has shown which kind it is, a marked packet waits a moment for
//! what follows it.

use std::time::{Duration, Instant};

use super::payload::Part;

/// How long a marked packet waits at most.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a camera's markers were found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Markers {
    Unknown,
    Right,
    Wrong,
}

/// Follows the packets of one camera, in order.
#[derive(Debug)]
pub(super) struct Ends<P> {
    markers: Markers,
    /// The picture that packets belong to now.
    timestamp: Option<u32>,
    /// Its first slice came.
    begun: bool,
    /// A packet of it, its first slice's or a later one's, was marked.
    marked: bool,
    held: Option<(P, Instant)>,
}

/// What a packet tells of its picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) part: Part,
}

impl<P> Default for Ends<P> {
    fn default() -> Self {
        let markers = Markers::Unknown;
        Self { markers, timestamp: None, begun: false, marked: false, held: None }
    }
}

impl<P> Ends<P> {
    /// Takes the next packet; gives those whose turn it is to `pass`, with whether they end their picture.
    pub(super) fn push(
        &mut self,
        told: Told,
        packet: P,
        now: Instant,
        mut pass: impl FnMut(P, bool),
    ) {
        let is_new = self.timestamp.replace(told.timestamp) != Some(told.timestamp)
            || told.part == Part::Beginning && self.begun;
        if is_new {
            if self.markers == Markers::Unknown && self.marked {
                self.markers = Markers::Right;
            }
            (self.begun, self.marked) = (false, false);
        }
        if self.marked && matches!(told.part, Part::Slice | Part::Fragment) {
            self.markers = Markers::Wrong;
        }
        if let Some((held, _)) = self.held.take() {
            pass(held, self.markers != Markers::Wrong);
        }
        self.begun |= told.part == Part::Beginning;
        self.marked |= told.marker && self.begun;
        match self.markers {
            Markers::Unknown if self.marked && told.marker => {
                self.held = Some((packet, now + PATIENCE));
            }
            Markers::Right => pass(packet, told.marker),
            Markers::Unknown | Markers::Wrong => pass(packet, false),
        }
    }

    /// Whether the camera was found to mark packets in mid-picture.
    pub(super) fn are_wrong(&self) -> bool {
        self.markers == Markers::Wrong
    }

    /// When [`expire`](Self::expire) has to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held.as_ref().map(|(_, until)| *until)
    }

    /// Gives the packet that waited for long enough.
    pub(super) fn expire(&mut self, now: Instant, pass: impl FnOnce(P, bool)) {
        if let Some((packet, _)) = self.held.take_if(|(_, until)| *until <= now) {
            pass(packet, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of one NAL unit each or fragments, by timestamp, part and marker: which are passed on as ends.
    fn ends(packets: &[(u32, Part, bool)]) -> (Vec<bool>, bool) {
        let (mut ends, mut passed, now) = (Ends::default(), Vec::new(), Instant::now());
        for (n, &(timestamp, part, marker)) in packets.iter().enumerate() {
            let told = Told { timestamp, marker, part };
            ends.push(told, n, now, |n, end| passed.push((n, end)));
        }
        ends.expire(now + PATIENCE, |n, end| passed.push((n, end)));
        assert!(passed.iter().map(|(n, _)| *n).eq(0..packets.len()), "{passed:?}");
        (passed.into_iter().map(|(_, end)| end).collect(), ends.are_wrong())
    }

    #[test]
    fn a_picture_ends_with_its_marked_packet() {
        let packets = [
            (0, Part::Other, false),
            (0, Part::Beginning, false),
            (0, Part::Fragment, false),
            (0, Part::Fragment, true),
            (1, Part::Beginning, true),
            (2, Part::Beginning, false),
            (2, Part::Slice, true),
        ];
        let marked = packets.iter().map(|(_, _, marker)| *marker).collect();
        assert_eq!(ends(&packets), (marked, false));
    }

    #[test]
    fn no_slice_that_is_marked_in_mid_picture_ends_it() {
        let picture =
            |n| [(n, Part::Beginning, true), (n, Part::Slice, true), (n, Part::Slice, true)];
        assert_eq!(ends(&[picture(0), picture(1)].concat()), (vec![false; 6], true));
    }

    #[test]
    fn nor_does_a_fragment() {
        let packets = [
            (0, Part::Other, true),
            (0, Part::Beginning, false),
            (0, Part::Fragment, true),
            (0, Part::Fragment, true),
        ];
        assert_eq!(ends(&packets), (vec![false; 4], true));
    }

    #[test]
    fn a_camera_that_begins_to_mark_slices_is_noticed() {
        let packets = [
            (0, Part::Beginning, true),
            (1, Part::Beginning, true),
            (1, Part::Slice, true),
            (2, Part::Beginning, true),
        ];
        assert_eq!(ends(&packets), (vec![true, true, false, false], true));
    }

    #[test]
    fn pictures_of_one_timestamp_are_not_taken_for_one() {
        let packets = [(0, Part::Beginning, true), (0, Part::Beginning, true)];
        assert_eq!(ends(&packets), (vec![true; 2], false));
    }

    #[test]
    fn a_picture_in_whose_middle_a_session_begins_tells_nothing() {
        let packets = [(0, Part::Slice, true), (1, Part::Beginning, true), (1, Part::Slice, true)];
        assert_eq!(ends(&packets), (vec![false; 3], true));
    }

    #[test]
    fn a_marked_packet_waits_for_a_moment_and_no_longer() {
        let (mut ends, now) = (Ends::default(), Instant::now());
        let told = Told { timestamp: 0, marker: true, part: Part::Beginning };
        ends.push(told, 'a', now, |_, _| panic!("it does not wait"));
        assert_eq!(ends.deadline(), Some(now + PATIENCE));
        ends.expire(now, |_, _| panic!("it does not wait"));
        let mut passed = None;
        ends.expire(now + PATIENCE, |packet, end| passed = Some((packet, end)));
        assert_eq!((passed, ends.deadline()), (Some(('a', true)), None));
        // Whatever comes is judged still.
        ends.push(Told { timestamp: 1, ..told }, 'b', now, |packet, end| {
            passed = Some((packet, end))
        });
        assert_eq!(passed, Some(('b', true)));
    }
}
