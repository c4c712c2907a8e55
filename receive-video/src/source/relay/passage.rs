//! A camera's RTP and RTCP packets in, interleaved packets for the RTSP library out (RFC 2326 §10.12), without I/O.
//!
//! Each costs the camera some of its pace. What is left out is told once in a session.

use std::time::Instant;

use bytes::Bytes;

use super::breach::{Breach, LEAST_PACKET};
use super::marker::{Ends, Told};
use super::pace::Pace;
use super::payload::Part;
use super::reorder::Reorder;
use super::rtp::Rtp;
use super::video::{Unfit, Video};
use super::{Notes, Unsettled};

/// Bytes before an interleaved packet.
const INTERLEAVED: usize = 4;
/// The bit of an RTP packet's second byte that marks the last of its picture (RFC 6184 §5.1).
const MARKER: u8 = 0x80;

/// The way from the camera to the library.
pub(super) struct Passage {
    /// The channels of RTP and RTCP, once they are agreed on.
    pub(super) channels: Option<(u8, u8)>,
    /// What goes to the library.
    pub(super) outbox: Vec<u8>,
    video: Video,
    reorder: Reorder<Bytes>,
    ends: Ends<Bytes>,
    pace: Pace,
    ready_at: Instant,
    notes: Notes,
    unsettled: Unsettled,
    told: Vec<&'static str>,
}

impl Passage {
    /// A way that nothing came yet, for so many bytes a second.
    pub(super) fn new(max_rate: u64, notes: Notes, unsettled: Unsettled, now: Instant) -> Self {
        Self {
            channels: None,
            outbox: Vec::new(),
            video: Video::new(now),
            reorder: Reorder::default(),
            ends: Ends::default(),
            pace: Pace::new(max_rate, now),
            ready_at: now,
            notes,
            unsettled,
            told: Vec::new(),
        }
    }

    /// When the camera may be read again.
    pub(super) fn ready_at(&self) -> Instant {
        self.ready_at
    }

    /// When [`expire`](Self::expire) has to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reorder.deadline().into_iter().chain(self.ends.deadline()).min()
    }

    /// Takes a packet that came interleaved.
    ///
    /// # Errors
    /// The camera breaks a bound with it, as in all that follow.
    pub(super) fn interleaved(
        &mut self,
        channel: u8,
        packet: Bytes,
        now: Instant,
    ) -> Result<(), Breach> {
        match self.channels {
            Some((rtp, _)) if channel == rtp => self.rtp(packet, now),
            Some((_, rtcp)) if channel == rtcp => self.rtcp(&packet, now),
            _ => self.charge(packet.len().max(LEAST_PACKET), now),
        }
    }

    /// Takes an RTP packet.
    pub(super) fn rtp(&mut self, packet: Bytes, now: Instant) -> Result<(), Breach> {
        self.unsettled.hear(now);
        let seq = match self.video.hear(&packet, now)? {
            Ok(seq) => seq,
            Err(unfit) => return self.leave_out(&packet, unfit, now),
        };
        let (len, mut ready) = (packet.len(), Vec::new());
        let give = |number, packet| ready.push(numbered(packet, number));
        if !self.reorder.push(seq, packet, now, give) {
            self.charge(len.max(LEAST_PACKET), now)?;
        }
        ready.iter().try_for_each(|packet| self.in_turn(packet, now))
    }

    /// Takes an RTP packet whose turn it is.
    fn in_turn(&mut self, packet: &Bytes, now: Instant) -> Result<(), Breach> {
        let Some(Rtp { timestamp, marker, payload, .. }) = Rtp::parse(packet) else {
            return self.leave_out(packet, Unfit::Damaged, now);
        };
        let (told, mut ready) = (Told { timestamp, marker, part: Part::of(payload) }, Vec::new());
        self.ends.push(told, packet.clone(), now, |packet, ends| ready.push((packet, ends)));
        if self.ends.are_wrong() {
            self.tell(
                "marker-bits",
                "it marks packets in mid-picture as the last ones of their picture: pictures are taken to end where \
                 timestamps change, and come one picture later",
            );
        }
        ready.iter().try_for_each(|(packet, ends)| self.marked(packet, *ends, now))
    }

    /// Takes an RTCP packet.
    pub(super) fn rtcp(&mut self, packet: &[u8], now: Instant) -> Result<(), Breach> {
        match self.video.report(packet) {
            Ok(cost) => self.pass(|(_, rtcp)| rtcp, packet, cost, now),
            Err(_) => self.charge(packet.len().max(LEAST_PACKET), now),
        }
    }

    /// Gives packets on that waited for long enough.
    pub(super) fn expire(&mut self, now: Instant) -> Result<(), Breach> {
        let mut ready = Vec::new();
        self.reorder.expire(now, |number, packet| ready.push(numbered(packet, number)));
        ready.iter().try_for_each(|packet| self.in_turn(packet, now))?;
        let mut waited = None;
        self.ends.expire(now, |packet, ends| waited = Some((packet, ends)));
        waited.map_or(Ok(()), |(packet, ends)| self.marked(&packet, ends, now))
    }

    /// Takes from what the camera may send.
    pub(super) fn charge(&mut self, cost: usize, now: Instant) -> Result<(), Breach> {
        self.ready_at = self.pace.take(cost, now)?;
        Ok(())
    }

    /// Passes an RTP packet on that is marked as the last of its picture, or is not.
    fn marked(&mut self, packet: &Bytes, ends: bool, now: Instant) -> Result<(), Breach> {
        let cost = match self.video.pass(packet, ends)? {
            Ok(cost) => cost,
            Err(unfit) => return self.leave_out(packet, unfit, now),
        };
        if self.video.has_broken_units() {
            self.tell(
                "broken-units",
                "it leaves out parts of NAL units without a gap in its packets' numbers: their pictures count as lost",
            );
        }
        let begins = self.outbox.len();
        self.pass(|(rtp, _)| rtp, packet, cost, now)?;
        if let Some([_, second, high, low, ..]) = self.outbox.get_mut(begins + INTERLEAVED..) {
            *second = *second & !MARKER | if ends { MARKER } else { 0 };
            let number = u16::from_be_bytes([*high, *low]);
            [*high, *low] = self.video.number(number).to_be_bytes();
        }
        Ok(())
    }

    fn pass(
        &mut self,
        channel: impl Fn((u8, u8)) -> u8,
        packet: &[u8],
        cost: usize,
        now: Instant,
    ) -> Result<(), Breach> {
        let Some(channels) = self.channels else { return Ok(()) };
        // A datagram is no longer than that, and a packet that came interleaved had its length in two bytes.
        if let Ok(len) = u16::try_from(packet.len()) {
            let [high, low] = len.to_be_bytes();
            self.outbox.extend_from_slice(&[b'$', channel(channels), high, low]);
            self.outbox.extend_from_slice(packet);
            self.unsettled.add(INTERLEAVED + packet.len())?;
        }
        self.charge(cost, now)
    }

    fn leave_out(&mut self, packet: &[u8], unfit: Unfit, now: Instant) -> Result<(), Breach> {
        match unfit {
            Unfit::Private => {}
            Unfit::Foreign => self.tell(
                "foreign-source",
                "packets of another RTP source (SSRC) come with its own: they are left out",
            ),
            Unfit::Damaged => self.tell(
                "damaged-packets",
                "it sends damaged RTP packets: they are left out, and count as lost",
            ),
            Unfit::Forbidden => self.tell(
                "forbidden-bytes",
                "it sends bytes that no NAL unit may hold (00 00 00 or 00 00 02, ITU-T H.264 7.4.1): their packets are left \
                 out, and their pictures count as lost",
            ),
            Unfit::Message => self.tell(
                "sei-left-out",
                "its supplemental information (SEI) holds bytes that no NAL unit may hold (ITU-T H.264 7.4.1): it is left \
                 out, and costs no picture",
            ),
        }
        self.charge(packet.len().max(LEAST_PACKET), now)
    }

    /// Takes note of something, the first time that it happens.
    fn tell(&mut self, kind: &'static str, words: &str) {
        if !self.told.contains(&kind) {
            self.told.push(kind);
            self.notes.add(kind, words);
        }
    }
}

/// An RTP packet under that number.
fn numbered(packet: Bytes, number: u16) -> Bytes {
    let number = number.to_be_bytes();
    if packet.get(2..4) == Some(&number) {
        return packet;
    }
    let mut copy = packet.to_vec();
    if let Some(place) = copy.get_mut(2..4) {
        place.copy_from_slice(&number);
    }
    copy.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A picture in one packet.
    fn picture(seq: u16, payload_type: u8) -> Bytes {
        let [high, low] = seq.to_be_bytes();
        let head = [0x80, MARKER | payload_type, high, low, 0, 0, high, low, 0, 0, 0, 1];
        [&head[..], &[0x41, 0x9a]].concat().into()
    }

    /// What comes out of packets that came interleaved, and what is told.
    fn passed(packets: impl IntoIterator<Item = Bytes>) -> (Vec<u8>, Vec<&'static str>) {
        let (now, notes) = (Instant::now(), Notes::default());
        let mut passage = Passage::new(1 << 30, notes.clone(), Unsettled::default(), now);
        passage.channels = Some((0, 1));
        for packet in packets {
            passage.interleaved(0, packet, now).unwrap();
        }
        for seconds in 1..=3 {
            passage.expire(now + Duration::from_secs(seconds)).unwrap();
        }
        (passage.outbox, passage.told)
    }

    fn numbers(outbox: &[u8]) -> Vec<u16> {
        outbox.chunks(18).map(|packet| u16::from_be_bytes([packet[6], packet[7]])).collect()
    }

    #[test]
    fn packets_out_of_place_or_sent_twice_come_in_order_and_once() {
        let (outbox, told) = passed([1, 3, 2, 2, 4, 5, 5, 1, 6].map(|seq| picture(seq, 96)));
        assert_eq!((numbers(&outbox), told), (vec![1, 2, 3, 4, 5, 6], Vec::new()));
    }

    #[test]
    fn a_sender_that_counts_anew_is_one_whose_packet_was_lost() {
        let seqs = (50_000..50_010).chain(30_000..30_100).chain(10_000..10_100);
        let (outbox, told) = passed(seqs.map(|seq| picture(seq, 96)));
        let numbers = numbers(&outbox);
        let steps: Vec<u16> = numbers.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
        assert_eq!(numbers.len(), 10 + 37 + 37);
        assert_eq!(steps.iter().filter(|step| **step == 2).count(), 2, "{numbers:?}");
        assert!(steps.iter().all(|step| (1..=2).contains(step)), "{numbers:?}");
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn a_cameras_own_packets_between_those_of_video_are_passed_over() {
        let video = (0..20).map(|seq| picture(seq, 96));
        let both = (0..20).flat_map(|seq| [picture(seq, 96), picture(40_000 - seq, 50)]);
        assert_eq!(passed(both), passed(video));
    }
}
