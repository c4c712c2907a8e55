//! RTP packets out of access units (RFC 3550, RFC 6184) and the sender reports beside them.

mod clock;
mod h264;
mod report;

pub(crate) use clock::{RtpClock, TICKS_PER_SECOND};
pub(crate) use h264::{Payload, packetise};
pub(crate) use report::{NtpTime, SenderReport};

/// The payload type of the one video stream, from the dynamic range (RFC 3551 §3).
pub(crate) const PAYLOAD_TYPE: u8 = 96;

/// Length of an RTP header without contributing sources and extensions.
pub(crate) const HEADER_LEN: usize = 12;

/// Numbers the packets of one viewer and counts what a sender report has to tell.
#[derive(Debug)]
pub(crate) struct Numbering {
    ssrc: u32,
    next_seq: u16,
    packets: u32,
    octets: u32,
}

impl Numbering {
    /// Starts with `first_seq`.
    pub(crate) fn new(ssrc: u32, first_seq: u16) -> Self {
        Self { ssrc, next_seq: first_seq, packets: 0, octets: 0 }
    }

    /// Writes `payload` as the next packet, taken at the RTP time `timestamp`.
    pub(crate) fn packet(&mut self, payload: &Payload, timestamp: u32) -> Vec<u8> {
        let marker = if payload.marker { 0x80 } else { 0 };
        let mut packet = Vec::with_capacity(HEADER_LEN + payload.bytes.len());
        packet.extend_from_slice(&[0x80, marker | PAYLOAD_TYPE]);
        packet.extend_from_slice(&self.next_seq.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(&payload.bytes);
        self.next_seq = self.next_seq.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::try_from(payload.bytes.len()).expect("a payload fits one packet");
        self.octets = self.octets.wrapping_add(octets);
        packet
    }

    /// Writes a report: the RTP time `timestamp` was the wall clock's `ntp`.
    pub(crate) fn report(&self, ntp: NtpTime, timestamp: u32) -> Vec<u8> {
        let (ssrc, packets, octets) = (self.ssrc, self.packets, self.octets);
        SenderReport { ssrc, ntp, timestamp, packets, octets }.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_packet_carries_marker_type_sequence_time_and_source() {
        let mut numbering = Numbering::new(0xAABB_CCDD, 0xFFFF);
        let payload = Payload { bytes: Bytes::from_static(&[0x65, 1, 2]), marker: true };
        let first = numbering.packet(&payload, 0x0102_0304);
        assert_eq!(first, [0x80, 0xE0, 0xFF, 0xFF, 1, 2, 3, 4, 0xAA, 0xBB, 0xCC, 0xDD, 0x65, 1, 2]);
        let second = numbering.packet(&payload, 0x0102_0304);
        assert_eq!(second[2..4], [0, 0], "the sequence number wraps");
        let report = numbering.report(NtpTime(0), 0);
        assert_eq!(report[20..28], [0, 0, 0, 2, 0, 0, 0, 6], "two packets, six octets");
    }
}
