//! The heads of RTP and RTCP packets (RFC 3550 §5.1, §6.4).

/// Bytes of the fixed head.
const HEAD: usize = 12;
/// A payload type that some cameras send their own things as, beside the video.
const PRIVATE: u8 = 50;

/// An RTP packet, as far as the relay looks into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rtp<'a> {
    pub(super) seq: u16,
    pub(super) timestamp: u32,
    pub(super) ssrc: u32,
    pub(super) marker: bool,
    pub(super) payload: &'a [u8],
}

impl<'a> Rtp<'a> {
    /// Reads a packet; nothing for what is none, or is no video.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&[first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3], rest) =
            bytes.split_first_chunk::<HEAD>()?;
        let version = first >> 6;
        if version != 2 || second & 0x7f == PRIVATE {
            return None;
        }
        let mut payload = rest.get(4 * usize::from(first & 0x0f)..)?;
        if first & 0x10 != 0 {
            let &[_, _, high, low, ..] = payload else { return None };
            payload = payload.get(4 + 4 * usize::from(u16::from_be_bytes([high, low]))..)?;
        }
        if first & 0x20 != 0 {
            let padding = usize::from(*payload.last()?);
            payload = payload.get(..payload.len().checked_sub(padding).filter(|_| padding > 0)?)?;
        }
        Some(Self {
            seq: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            marker: second & 0x80 != 0,
            payload,
        })
    }
}

/// Tells whether a packet is one of a camera's own, which the RTSP library passes over, whatever its source and number.
pub(super) fn is_private(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..] if first >> 6 == 2 && second & 0x7f == PRIVATE)
}

/// The source that a compound RTCP packet is of; nothing for what is none.
pub(super) fn rtcp_source(bytes: &[u8]) -> Option<u32> {
    let (mut rest, mut source) = (bytes, None);
    while !rest.is_empty() {
        let &[first, _, high, low, i0, i1, i2, i3, ..] = rest else { return None };
        let len = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
        let is_last = len == rest.len();
        if first >> 6 != 2 || (first & 0x20 != 0 && !is_last) {
            return None;
        }
        rest = rest.get(len..)?;
        source = source.or(Some(u32::from_be_bytes([i0, i1, i2, i3])));
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_past_its_extension_and_without_its_padding() {
        let head = [0xb1, 0xe0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5];
        let (source, extension) = ([0, 0, 0, 1], [0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        let packet = [&head[..], &source, &extension, &[0x65, 0x88, 0, 2]].concat();
        let rtp = Rtp::parse(&packet).unwrap();
        assert_eq!((rtp.seq, rtp.timestamp, rtp.ssrc, rtp.marker), (7, 9, 5, true));
        assert_eq!(rtp.payload, [0x65, 0x88]);
    }

    #[test]
    fn what_is_no_packet_is_none_wherever_it_is_cut() {
        let packet = [0xb0, 96, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 0xbe, 0xde, 0, 1, 1, 2, 3, 4, 1];
        assert_eq!(Rtp::parse(&packet).map(|rtp| rtp.payload.len()), Some(0));
        for len in 0..packet.len() {
            assert_eq!(Rtp::parse(&packet[..len]), None, "{len} bytes");
        }
        let mut other = [0_u8; 12];
        assert_eq!(Rtp::parse(&other), None, "version 0");
        other[..2].copy_from_slice(&[0x80, 50]);
        assert_eq!(Rtp::parse(&other), None, "private");
    }

    #[test]
    fn a_report_is_of_the_source_that_it_names_first() {
        let report = [0x80, 201, 0, 1, 0, 0, 0, 5];
        let bye = [0x81, 203, 0, 1, 0, 0, 0, 6];
        assert_eq!(rtcp_source(&[report, bye].concat()), Some(5));
        assert_eq!(rtcp_source(&report[..7]), None);
        assert_eq!(rtcp_source(&[0x80, 201, 0, 2, 0, 0, 0, 5]), None);
        assert_eq!(rtcp_source(&[]), None);
    }
}
