//! The first bytes of a file → what it is, and for what is not read here the command that makes MP4 of it.

mod codec;
mod remedy;

use std::path::Path;

use self::codec::{Codec, of_flv, of_matroska, of_nal, of_start_codes};
pub(super) use self::remedy::Remedy;

/// Bytes of a file's beginning that are looked at: enough to find the codec of a container.
pub(super) const HEAD_BYTES: u64 = 64 * 1_024;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It begins with one of MP4's boxes.
    Mp4,
    /// A bare H.264 stream.
    H264,
    /// Something else that has a name.
    Foreign(Foreign),
    /// Nothing that is known here.
    Unknown,
}

/// A file that is not read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// What it is: `Matroska`.
    name: &'static str,
    /// What makes MP4 of it; none where it holds no video.
    remedy: Option<Remedy>,
}

/// A format by what stands at which place of its files, and what makes MP4 of them.
type Signature = (&'static str, usize, &'static [u8], Option<Remedy>);

/// Formats of which all files have the same remedy.
const SIGNATURES: [Signature; 15] = [
    ("AVI", 8, b"AVI ", Some(Remedy::Encode)),
    ("a WAV sound", 8, b"WAVE", None),
    ("a WebP picture", 8, b"WEBP", None),
    ("Ogg", 0, b"OggS", Some(Remedy::Encode)),
    ("ASF (WMV)", 0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Some(Remedy::Encode)),
    ("MXF", 0, b"\x06\x0e\x2b\x34", Some(Remedy::Encode)),
    ("IVF", 0, b"DKIF", Some(Remedy::Encode)),
    ("YUV4MPEG", 0, b"YUV4MPEG2 ", Some(Remedy::EncodeEven)),
    ("an HLS playlist", 0, b"#EXTM3U", Some(Remedy::CopyVideo)),
    ("a GIF", 0, b"GIF8", Some(Remedy::EncodeEven)),
    ("JPEG", 0, b"\xff\xd8\xff", Some(Remedy::EncodeEven)),
    ("a PNG picture", 0, b"\x89PNG\r\n\x1a\n", Some(Remedy::EncodeEven)),
    ("an MP3 sound", 0, b"ID3", None),
    ("a FLAC sound", 0, b"fLaC", None),
    ("bare MPEG-4 part 2", 0, b"\0\0\x01\xb0", Some(Remedy::Encode)),
];

impl Kind {
    /// Tells by the first [`HEAD_BYTES`] of a file, or all of a shorter one.
    pub(super) fn of(head: &[u8]) -> Self {
        let is_signed = |(_, at, magic, _): &&Signature| {
            head.get(*at..).is_some_and(|rest| rest.starts_with(magic))
        };
        if is_boxes(head) {
            Self::Mp4
        } else if let Some(container) = container(head) {
            Self::Foreign(container)
        } else if let Some(&(name, _, _, remedy)) = SIGNATURES.iter().find(is_signed) {
            Self::Foreign(Foreign { name, remedy })
        } else {
            bare(head)
        }
    }
}

impl Foreign {
    /// What a file of boxes is that has no table of contents, where that is no accident.
    pub(super) fn without_contents(head: &[u8]) -> Option<Self> {
        match (head.get(4..8)?, head.get(8..12)?) {
            (b"styp" | b"moof" | b"sidx" | b"emsg" | b"prft", _) => {
                Some(Self { name: "a part of a fragmented MP4", remedy: Some(Remedy::Join) })
            }
            (b"ftyp", b"heic" | b"heix" | b"heim" | b"heis" | b"mif1") => {
                Some(Self { name: "a HEIF picture", remedy: None })
            }
            (b"ftyp", b"avif") => Some(Self { name: "an AVIF picture", remedy: None }),
            _ => None,
        }
    }

    /// What it is, and the command that makes MP4 of it.
    pub(super) fn advice(self, path: &Path) -> String {
        let Self { name, remedy } = self;
        match remedy {
            Some(remedy) => format!("it is {name}: {}", remedy.command(path)),
            None => format!("it is {name}, and holds no video"),
        }
    }
}

/// The types of the boxes that MP4 and QuickTime files begin with.
fn is_boxes(head: &[u8]) -> bool {
    const FIRST: [&[u8; 4]; 13] = [
        b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"styp", b"moof",
        b"sidx", b"emsg", b"prft",
    ];
    head.get(4..8).is_some_and(|kind| FIRST.iter().any(|first| first[..] == *kind))
}

/// A container that may hold H.264 as well as others.
fn container(head: &[u8]) -> Option<Foreign> {
    const PACKET: usize = 188;
    // Packets of Blu-rays and cameras that write AVCHD have a timestamp of four bytes before them.
    let has_sync = |stride, first| (0..3).all(|n| head.get(first + n * stride) == Some(&0x47));
    let (name, codec) = if head.starts_with(b"\x1a\x45\xdf\xa3") {
        let is_web = head.windows(4).take(64).any(|word| word == b"webm");
        let name = if is_web { "WebM" } else { "Matroska" };
        return Some(Foreign { name, remedy: Some(of_matroska(head)) });
    } else if head.starts_with(b"FLV\x01") {
        ("FLV", of_flv(head))
    } else if head.starts_with(b"\0\0\x01\xba") {
        ("MPEG-PS", of_start_codes(head))
    } else if has_sync(PACKET, 0) || has_sync(PACKET + 4, 4) {
        ("MPEG-TS", of_start_codes(head))
    } else if head.starts_with(b"DHAV") {
        ("DHAV (Dahua)", of_start_codes(head))
    } else {
        return None;
    };
    let remedy = if codec == Some(Codec::H264) { Remedy::CopyVideo } else { Remedy::Encode };
    Some(Foreign { name, remedy: Some(remedy) })
}

/// A stream without a container, which begins with a start code.
fn bare(head: &[u8]) -> Kind {
    let zeros = head.iter().take_while(|&&byte| byte == 0).count();
    if zeros < 2 || head.get(zeros) != Some(&1) {
        return Kind::Unknown;
    }
    let name = match of_nal(&head[zeros + 1..]) {
        Some(Codec::H264) => return Kind::H264,
        Some(Codec::H265) => "bare H.265",
        Some(Codec::Mpeg2) => "bare MPEG-2 video",
        None => return Kind::Unknown,
    };
    Kind::Foreign(Foreign { name, remedy: Some(Remedy::Encode) })
}

#[cfg(test)]
mod tests;
