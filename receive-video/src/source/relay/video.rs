//! The camera's RTP and RTCP packets: which are passed on, and when they are too many.
//!
//! Passed on are packets of one source. Left out, as if they had been lost, are those of another, and those that the
//! RTSP library would end the session for.

use std::time::{Duration, Instant};

use super::breach::{Breach, LEAST_NAL, LEAST_PACKET, LEAST_UNIT, MAX_NALS, MAX_UNIT};
use super::payload::{Fragment, is_message, units_begun};
use super::rtp::{Rtp, is_private, rtcp_source};
use super::scan::Scan;

/// A source that was not heard for so long has given way to another.
const MAX_QUIET: Duration = Duration::from_secs(2);

/// Why a packet is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is of another source.
    Foreign,
    /// It is damaged.
    Damaged,
    /// It is one of the camera's own, beside the video.
    Private,
    /// It holds bytes that no NAL unit may hold.
    Forbidden,
    /// It is supplemental information that holds such bytes: no picture needs it.
    Message,
}

/// Watches one stream of packets.
#[derive(Debug)]
pub(super) struct Video {
    source: Option<u32>,
    heard: Instant,
    /// The access unit that packets belong to now: its timestamp, bytes and NAL units.
    unit: Option<u32>,
    bytes: usize,
    nals: usize,
    /// The timestamp of a NAL unit of which more fragments are to come.
    open: Option<u32>,
    fragmented: Scan,
    /// The number of the packet that was passed last.
    last: Option<u16>,
    /// By how much numbers of packets are raised: by one for each NAL unit that breaks off without a gap in them, and by
    /// one less for each packet that is left out without being missed.
    shift: u16,
    /// Whether units broke off so.
    broken: bool,
    /// Supplemental information that came in fragments held bytes that no NAL unit may hold.
    odd_messages: bool,
}

impl Video {
    /// Watches from `now` on.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            source: None,
            heard: now,
            unit: None,
            bytes: 0,
            nals: 0,
            open: None,
            fragmented: Scan::default(),
            last: None,
            shift: 0,
            broken: false,
            odd_messages: false,
        }
    }

    /// Tells whose an RTP packet is, before packets are put in order; gives its number.
    ///
    /// # Errors
    /// It is of another source that took the place of the first.
    pub(super) fn hear(
        &mut self,
        packet: &[u8],
        now: Instant,
    ) -> Result<Result<u16, Unfit>, Breach> {
        if is_private(packet) {
            return Ok(Err(Unfit::Private));
        }
        let Some(rtp) = Rtp::parse(packet) else { return Ok(Err(Unfit::Damaged)) };
        if *self.source.get_or_insert(rtp.ssrc) == rtp.ssrc {
            self.heard = now;
            return Ok(Ok(rtp.seq));
        }
        let is_gone = now.saturating_duration_since(self.heard) > MAX_QUIET;
        if is_gone { Err(Breach::OtherVoice) } else { Ok(Err(Unfit::Foreign)) }
    }

    /// Looks into an RTP packet whose turn it is, and which ends its picture or does not; gives what it costs its reader,
    /// in bytes.
    ///
    /// # Errors
    /// Its access unit is too large.
    pub(super) fn pass(
        &mut self,
        packet: &[u8],
        ends: bool,
    ) -> Result<Result<usize, Unfit>, Breach> {
        let Some(rtp) = Rtp::parse(packet) else { return Ok(Err(Unfit::Damaged)) };
        let nals = match self.units_begun(&rtp) {
            Ok(nals) => nals,
            Err(unfit) => return Ok(Err(unfit)),
        };
        let fragment = Fragment::of(rtp.payload);
        let fits = match fragment {
            Some(fragment) if !fragment.first => self.open == Some(rtp.timestamp),
            _ => self.open.is_none(),
        };
        // The library ends the session for what does not fit, unless it sees that packets are missing.
        match self.last {
            None if !fits => return Ok(Err(Unfit::Damaged)),
            Some(last) if !fits && rtp.seq == last.wrapping_add(1) => {
                self.shift = self.shift.wrapping_add(1);
                self.broken = true;
            }
            _ => {}
        }
        self.last = Some(rtp.seq);
        self.open = fragment.filter(|fragment| !fragment.last).map(|_| rtp.timestamp);
        self.count(&rtp, nals, ends).map(Ok)
    }

    /// The NAL units that a packet begins.
    ///
    /// Supplemental information is the one kind of unit that real cameras put such bytes into by design: ONVIF's media
    /// signing makes emulation prevention optional there.
    fn units_begun(&mut self, rtp: &Rtp<'_>) -> Result<usize, Unfit> {
        let fragment = Fragment::of(rtp.payload);
        let is_message = is_message(rtp.payload);
        let begun = match fragment {
            Some(_) if is_message && self.odd_messages => Err(Unfit::Message),
            _ => units_begun(rtp.payload, &mut self.fragmented),
        };
        match (begun, fragment) {
            (Err(Unfit::Forbidden), None) if is_message => self.leave_out(),
            (Err(Unfit::Message), _) => self.leave_out(),
            (Err(Unfit::Forbidden), Some(_)) if is_message => {
                // Its first fragments were passed on already: this once, it costs its picture.
                self.odd_messages = true;
                Err(Unfit::Forbidden)
            }
            (begun, _) => begun,
        }
    }

    /// Leaves out a packet without a gap of its own in the numbers; one before it stays.
    fn leave_out(&mut self) -> Result<usize, Unfit> {
        self.last = self.last.map(|last| last.wrapping_add(1));
        self.shift = self.shift.wrapping_sub(1);
        Err(Unfit::Message)
    }

    /// Whether NAL units broke off without a gap in the packets' numbers.
    pub(super) fn has_broken_units(&self) -> bool {
        self.broken
    }

    /// The number under which the packet that was passed last goes to the library.
    pub(super) fn number(&self, seq: u16) -> u16 {
        seq.wrapping_add(self.shift)
    }

    /// Looks at an RTCP packet; gives what it costs its reader, in bytes.
    pub(super) fn report(&self, packet: &[u8]) -> Result<usize, Unfit> {
        match rtcp_source(packet) {
            None => Err(Unfit::Damaged),
            // Before the first packet of video, a report would say which source is meant.
            Some(source) if self.source != Some(source) => Err(Unfit::Foreign),
            Some(_) => Ok(packet.len().max(LEAST_PACKET)),
        }
    }

    /// Counts a packet; gives what it costs.
    fn count(&mut self, rtp: &Rtp<'_>, nals: usize, ends: bool) -> Result<usize, Breach> {
        let begins = self.unit.replace(rtp.timestamp) != Some(rtp.timestamp);
        if begins {
            (self.bytes, self.nals) = (0, 0);
        }
        let bytes = rtp.payload.len().max(LEAST_PACKET);
        self.bytes += bytes;
        self.nals += nals;
        if self.bytes > MAX_UNIT {
            return Err(Breach::LargeUnit);
        }
        if self.nals > MAX_NALS {
            return Err(Breach::ManyNals);
        }
        if ends {
            self.unit = None;
        }
        let unit = if begins { LEAST_UNIT } else { 0 };
        Ok(bytes.max(nals * LEAST_NAL).max(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ssrc: u8, timestamp: u8, payload: &[u8]) -> Vec<u8> {
        [&[0x80, 96, 0, 0, 0, 0, 0, timestamp, 0, 0, 0, ssrc], payload].concat()
    }

    #[test]
    fn a_foreign_source_ends_nothing_while_ours_is_heard() {
        let start = Instant::now();
        let mut video = Video::new(start);
        assert_eq!(video.hear(&packet(1, 0, &[0x65]), start), Ok(Ok(0)));
        let later = start + MAX_QUIET;
        assert_eq!(video.hear(&packet(2, 0, &[0x65]), later), Ok(Err(Unfit::Foreign)));
        assert_eq!(video.report(&[0x80, 201, 0, 1, 0, 0, 0, 2]), Err(Unfit::Foreign));
        assert!(video.report(&[0x80, 201, 0, 1, 0, 0, 0, 1]).is_ok());
        let much_later = later + Duration::from_millis(1);
        assert_eq!(video.hear(&packet(2, 0, &[0x65]), much_later), Err(Breach::OtherVoice));
    }

    #[test]
    fn a_report_before_the_first_packet_chooses_no_source() {
        let video = Video::new(Instant::now());
        assert_eq!(video.report(&[0x80, 201, 0, 1, 0, 0, 0, 2]), Err(Unfit::Foreign));
    }

    #[test]
    fn tiny_nal_units_without_end_are_refused_at_their_bound() {
        let mut video = Video::new(Instant::now());
        let many = [&[0x78][..], &[0, 1, 6].repeat(300)].concat();
        let passed = (0..).take_while(|_| video.pass(&packet(1, 0, &many), false).is_ok()).count();
        assert_eq!(passed, MAX_NALS / 300);
        assert_eq!(video.pass(&packet(1, 0, &many), false), Err(Breach::ManyNals));
    }

    #[test]
    fn an_access_unit_without_end_is_refused_at_its_bound_also_in_packets_of_a_byte() {
        for len in [1, 1_400] {
            let mut video = Video::new(Instant::now());
            let part = [&[0x7c, 0x05][..], &vec![7; len]].concat();
            let first = packet(1, 0, &[0x7c, 0x85, 1]);
            video.pass(&first, false).unwrap().unwrap();
            let refused = (0..).find_map(|_| video.pass(&packet(1, 0, &part), false).err());
            assert_eq!(refused, Some(Breach::LargeUnit));
        }
    }

    #[test]
    fn small_units_cost_more_than_their_bytes() {
        let mut video = Video::new(Instant::now());
        let mut cost = || video.pass(&packet(1, 0, &[0x41; 9]), false).unwrap().unwrap();
        assert_eq!((cost(), cost()), (LEAST_UNIT, LEAST_NAL));
    }

    #[test]
    fn fragments_that_do_not_fit_count_as_a_loss_and_whole_units_do_not() {
        let mut video = Video::new(Instant::now());
        let mut seq = 0;
        let mut gap = |timestamp, payload: &[u8]| {
            let before = video.shift;
            let mut packet = packet(1, timestamp, payload);
            packet[3] = seq;
            seq += 1;
            video.pass(&packet, false).unwrap().map(|_| video.number(0) - before)
        };
        let (first, middle, last) = ([0x7c, 0x85, 1], [0x7c, 0x05, 1], [0x7c, 0x45, 1]);
        let whole = [0x41, 0x9a];
        assert_eq!(gap(0, &middle), Err(Unfit::Damaged), "before the first unit");
        for payload in [&first[..], &middle, &last, &whole, &first, &last] {
            assert_eq!(gap(1, payload), Ok(0));
        }
        assert_eq!(gap(2, &last), Ok(1), "it never began");
        assert_eq!((gap(3, &first), gap(3, &first)), (Ok(0), Ok(1)), "it begins twice");
        assert_eq!(gap(3, &whole), Ok(1), "another within it");
        assert_eq!((gap(4, &first), gap(5, &first)), (Ok(0), Ok(1)), "its rest never comes");
        assert_eq!(gap(6, &middle), Ok(1), "its rest is another picture's");
    }

    #[test]
    fn fragments_around_one_that_is_left_out_pass_with_the_gap_that_it_leaves() {
        let mut video = Video::new(Instant::now());
        let mut seq = 0;
        let mut pass = |payload: &[u8]| {
            let mut packet = packet(1, 1, payload);
            packet[3] = seq;
            seq += 1;
            let passed = video.pass(&packet, false).unwrap();
            (passed.map(drop), video.has_broken_units())
        };
        let (first, middle, last) = ([0x7c, 0x85, 1], [0x7c, 0x05, 1], [0x7c, 0x45, 1]);
        let forbidden = [&middle[..], &[0, 0, 2]].concat();
        for payload in [&first[..], &middle] {
            assert_eq!(pass(payload), (Ok(()), false));
        }
        assert_eq!(pass(&forbidden), (Err(Unfit::Forbidden), false));
        for payload in [&middle[..], &last, &first, &last] {
            assert_eq!(pass(payload), (Ok(()), false));
        }
    }

    #[test]
    fn supplemental_information_with_forbidden_bytes_is_left_out_and_not_missed() {
        let mut video = Video::new(Instant::now());
        let mut seq = 0;
        let mut pass = |payload: &[u8]| {
            let mut packet = packet(1, 1, payload);
            packet[3] = seq;
            seq += 1;
            video.pass(&packet, false).unwrap().map(|_| video.number(u16::from(seq - 1)))
        };
        let (slice, odd) = ([0x41, 0x9a], [0x06, 5, 0, 0, 2]);
        assert_eq!([pass(&slice), pass(&odd), pass(&slice)], [Ok(0), Err(Unfit::Message), Ok(1)]);
        let (first, odd, last) = ([0x1c, 0x86, 5], [0x1c, 0x06, 0, 0, 2], [0x1c, 0x46, 1]);
        let once = [pass(&first), pass(&odd), pass(&last), pass(&slice)];
        let message = Err(Unfit::Message);
        assert_eq!(once, [Ok(2), Err(Unfit::Forbidden), message, Ok(4)], "a gap, once");
        let again = [pass(&first), pass(&odd), pass(&last), pass(&slice)];
        assert_eq!(again, [message, message, message, Ok(5)]);
        assert!(!video.has_broken_units());
    }

    #[test]
    fn a_unit_that_broke_off_where_packets_are_missing_is_no_second_loss() {
        let mut video = Video::new(Instant::now());
        video.pass(&packet(1, 0, &[0x7c, 0x85, 1]), false).unwrap().unwrap();
        let mut later = packet(1, 1, &[0x41, 0x9a]);
        later[3] = 2;
        video.pass(&later, true).unwrap().unwrap();
        assert!(!video.has_broken_units());
    }
}
