//! The camera's RTP and RTCP packets: which are passed on, and when they are too many.
//!
//! Passed on are packets of one source. Left out, as if they had been lost, are those of another, and those that the
//! RTSP library would end the session for.

use std::time::{Duration, Instant};

use media::h264::annexb::MAX_UNIT_BYTES;

use super::breach::{Breach, LEAST_NAL, LEAST_PACKET, LEAST_UNIT, MAX_NALS};
use super::payload::units_begun;
use super::rtp::{Rtp, rtcp_source};

/// A source that was not heard for so long has given way to another.
const MAX_QUIET: Duration = Duration::from_secs(2);

/// Why a packet is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is of another source.
    Foreign,
    /// It is damaged.
    Damaged,
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
}

impl Video {
    /// Watches from `now` on.
    pub(super) fn new(now: Instant) -> Self {
        Self { source: None, heard: now, unit: None, bytes: 0, nals: 0 }
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
        match units_begun(rtp.payload) {
            Some(nals) => self.count(&rtp, nals, ends).map(Ok),
            None => Ok(Err(Unfit::Damaged)),
        }
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
        if self.bytes > MAX_UNIT_BYTES {
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
}
