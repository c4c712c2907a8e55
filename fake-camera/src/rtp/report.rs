//! RTCP sender reports (RFC 3550 §6.4.1), each with the source description that a compound packet needs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from NTP's epoch (1900) to Unix's (1970).
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

const SENDER_REPORT: u8 = 200;
const SOURCE_DESCRIPTION: u8 = 202;
const CNAME: u8 = 1;
const CNAME_TEXT: &[u8] = b"fake-camera";

/// A wall clock's reading as RTCP writes it.
///
/// # Units
/// 32 bits of seconds since 1900, 32 bits of fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NtpTime(pub(crate) u64);

impl NtpTime {
    /// Converts `time` (after 1970), moved by `jump_seconds`, which a broken camera clock is off by.
    pub(crate) fn new(time: SystemTime, jump_seconds: f64) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let jump = Duration::from_secs_f64(jump_seconds.abs());
        let moved = if jump_seconds < 0.0 {
            since.saturating_sub(jump)
        } else {
            since.saturating_add(jump)
        };
        let fraction = (u64::from(moved.subsec_nanos()) << 32) / 1_000_000_000;
        let seconds = moved.as_secs().wrapping_add(NTP_TO_UNIX_SECONDS) & 0xFFFF_FFFF;
        Self((seconds << 32) | fraction)
    }
}

/// What a sender tells about its clock and about what it sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    pub(crate) ntp: NtpTime,
    /// The RTP time at the same moment as `ntp`.
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    /// Payload bytes, without headers.
    pub(crate) octets: u32,
}

impl SenderReport {
    /// Writes the compound packet: the report, then the source's canonical name.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut packet = vec![0x80, SENDER_REPORT, 0, 6];
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(&self.ntp.0.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.packets.to_be_bytes());
        packet.extend_from_slice(&self.octets.to_be_bytes());
        packet.extend_from_slice(&self.source_description());
        packet
    }

    fn source_description(self) -> Vec<u8> {
        let text_len = u8::try_from(CNAME_TEXT.len()).expect("a short name");
        let mut chunk = self.ssrc.to_be_bytes().to_vec();
        chunk.extend_from_slice(&[CNAME, text_len]);
        chunk.extend_from_slice(CNAME_TEXT);
        // At least one zero byte ends the items, and the chunk fills whole 32-bit words.
        chunk.resize((chunk.len() / 4 + 1) * 4, 0);
        let words = u8::try_from(chunk.len() / 4).expect("a short chunk");
        let mut packet = vec![0x81, SOURCE_DESCRIPTION, 0, words];
        packet.append(&mut chunk);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_time_counts_from_1900_in_binary_fractions() {
        let half_past_epoch = UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(NtpTime::new(half_past_epoch, 0.0).0, ((2_208_988_801 << 32) | 0x8000_0000));
        assert_eq!(NtpTime::new(half_past_epoch, 60.0).0 >> 32, 2_208_988_861);
        assert_eq!(NtpTime::new(half_past_epoch, -1.0).0 >> 32, 2_208_988_800);
    }

    #[test]
    fn both_parts_of_the_compound_state_their_length_in_words() {
        let report = SenderReport { ssrc: 7, ntp: NtpTime(9), timestamp: 5, packets: 3, octets: 4 };
        let bytes = report.to_bytes();
        assert_eq!(bytes[..4], [0x80, 200, 0, 6]);
        let description = &bytes[28..];
        assert_eq!(description[..2], [0x81, 202]);
        let words = usize::from(u16::from_be_bytes([description[2], description[3]]));
        assert_eq!(description.len(), (words + 1) * 4);
        assert_eq!(description[10..21], *CNAME_TEXT);
        assert_eq!(description.last(), Some(&0));
    }
}
