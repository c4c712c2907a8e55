//! A camera's RTP and RTCP packets in, interleaved packets for the RTSP library out (RFC 2326 §10.12), without I/O.
//!
//! Each costs the camera some of its pace. What is left out is told once in a session.

use std::time::Instant;

use bytes::Bytes;

use super::breach::{Breach, LEAST_PACKET};
use super::marker::{Ends, Told};
use super::pace::Pace;
use super::payload::Part;
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
        self.ends.deadline()
    }

    /// Takes a packet that came interleaved.
    ///
    /// # Errors
    /// The camera breaks a bound with it, as in all that follow.
    pub(super) fn interleaved(
        &mut self,
        channel: u8,
        packet: &Bytes,
        now: Instant,
    ) -> Result<(), Breach> {
        match self.channels {
            Some((rtp, _)) if channel == rtp => match self.hear(packet, now)? {
                Some(_) => self.rtp(packet, now),
                None => Ok(()),
            },
            Some((_, rtcp)) if channel == rtcp => self.rtcp(packet, now),
            _ => self.charge(packet.len().max(LEAST_PACKET), now),
        }
    }

    /// Gives an RTP packet's number; nothing when it is left out.
    pub(super) fn hear(&mut self, packet: &Bytes, now: Instant) -> Result<Option<u16>, Breach> {
        self.unsettled.hear(now);
        match self.video.hear(packet, now)? {
            Ok(seq) => Ok(Some(seq)),
            Err(unfit) => self.leave_out(packet, unfit, now).map(|()| None),
        }
    }

    /// Takes an RTP packet that was heard, and whose turn it is.
    pub(super) fn rtp(&mut self, packet: &Bytes, now: Instant) -> Result<(), Breach> {
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

    /// Gives the packet on that waited for long enough.
    pub(super) fn expire(&mut self, now: Instant) -> Result<(), Breach> {
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
