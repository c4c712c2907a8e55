//! Which codec the beginning of a container tells of.

use super::remedy::Remedy;

/// A codec whose units begin with start codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    H265,
    Mpeg2,
}

/// The codec by what follows a start code: a delimiter or parameter set of H.264 (ITU-T H.264 §7.4.1) or H.265 (ITU-T
/// H.265 §7.4.2.2, layer 0), or a sequence header of MPEG-2 (ITU-T H.262 §6.2.1).
pub(super) fn of_nal(nal: &[u8]) -> Option<Codec> {
    match nal {
        [0x40 | 0x42 | 0x44 | 0x46 | 0x4e, 1, ..] => Some(Codec::H265),
        [0x06 | 0x09 | 0x27 | 0x47 | 0x67, ..] => Some(Codec::H264),
        [0xb3, ..] => Some(Codec::Mpeg2),
        _ => None,
    }
}

/// The codec by the first start code among a multiplex that tells.
pub(super) fn of_start_codes(head: &[u8]) -> Option<Codec> {
    let after = |at: usize| head.get(at + 3..).unwrap_or_default();
    let starts = head.windows(3).enumerate().filter(|(_, bytes)| *bytes == [0, 0, 1]);
    starts.map(|(at, _)| after(at)).find_map(of_nal)
}

/// The codec of the first video tag (Adobe Flash Video File Format 10.1, annex E.4; with four letters, Enhanced RTMP).
pub(super) fn of_flv(head: &[u8]) -> Option<Codec> {
    const VIDEO: u8 = 9;
    let mut rest = head.get(9..)?;
    loop {
        // The length of the tag before, then the tag's type, length, time and stream.
        let (tag, body) = rest.get(4..)?.split_at_checked(11)?;
        let length = tag[1..4].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        if tag[0] & 0x1f == VIDEO {
            return match body {
                [first, b'a', b'v', b'c', b'1', ..] if first & 0x80 != 0 => Some(Codec::H264),
                [first, ..] if first & 0x8f == 7 => Some(Codec::H264),
                _ => None,
            };
        }
        rest = body.get(length..)?;
    }
}

/// What makes MP4 of Matroska, by the codecs that its tracks name (RFC 9559; the Matroska codec mappings).
pub(super) fn of_matroska(head: &[u8]) -> Remedy {
    const NOT_IN_MP4: [&[u8]; 7] =
        [b"S_TEXT", b"S_VOBSUB", b"S_HDMV", b"A_PCM", b"A_VORBIS", b"A_DTS", b"A_MS/ACM"];
    let names = |word: &[u8]| head.windows(word.len()).any(|bytes| bytes == word);
    if !names(b"V_MPEG4/ISO/AVC") {
        Remedy::Encode
    } else if NOT_IN_MP4.iter().any(|word| names(word)) {
        Remedy::CopyVideo
    } else {
        Remedy::Copy
    }
}
