//! MP4 files made here: plain, fragmented, cut off, damaged.

use std::io::Cursor;

use media::AccessUnit;
use media::h264::nal::{NalType, nal_units};
use media::mp4::{Mp4Error, Mp4Video};
use proptest::prelude::*;

use crate::support::{HEIGHT, WIDTH, encoded};

fn mp4_box(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let size = u32::try_from(8 + body.len()).unwrap();
    [&size.to_be_bytes()[..], kind, &body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A sample as MP4 holds it: slices with their lengths, without parameter sets.
fn sample(unit: &AccessUnit) -> Vec<u8> {
    let slices = nal_units(&unit.data).filter(|nal| nal.is_slice());
    let prefixed =
        |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    slices.flat_map(|nal| prefixed(nal.bytes())).collect()
}

fn avc_config(unit: &AccessUnit) -> Vec<u8> {
    let of = |kind| nal_units(&unit.data).find(|nal| nal.unit_type() == kind).unwrap().bytes();
    let (sps, pps) = (of(NalType::Sps), of(NalType::Pps));
    let length = |nal: &[u8]| u16::try_from(nal.len()).unwrap().to_be_bytes();
    let head = [1, sps[1], sps[2], sps[3], 0xff, 0xe1];
    [&head[..], &length(sps), sps, &[1], &length(pps), pps].concat()
}

/// A `moov` with a video track of 1,000 ticks per second and the given sample tables.
fn moov(config: &[u8], tables: &[u8], edit: &[u8], codec: &[u8; 4]) -> Vec<u8> {
    let avcc = mp4_box(b"avcC", &[config]);
    let entry = mp4_box(codec, &[&[0; 78], &avcc]);
    let stsd = mp4_box(b"stsd", &[&words(&[0, 1]), &entry]);
    let stbl = mp4_box(b"stbl", &[&stsd, tables]);
    let minf = mp4_box(b"minf", &[&stbl]);
    let mdhd = mp4_box(b"mdhd", &[&words(&[0, 0, 0, 1_000, 0, 0])]);
    let hdlr = |kind: &[u8; 4]| mp4_box(b"hdlr", &[&words(&[0, 0]), kind, &[0; 13]]);
    let tkhd = |id| mp4_box(b"tkhd", &[&words(&[0, 0, 0, id])]);
    let audio = mp4_box(b"trak", &[&tkhd(1), &mp4_box(b"mdia", &[&hdlr(b"soun")])]);
    let mdia = mp4_box(b"mdia", &[&mdhd, &hdlr(b"vide"), &minf]);
    let video = mp4_box(b"trak", &[&tkhd(2), edit, &mdia]);
    let trex = mp4_box(b"trex", &[&words(&[0, 2, 1, 40, 0, 0])]);
    mp4_box(b"moov", &[&audio, &video, &mp4_box(b"mvex", &[&trex])])
}

/// A plain file, its samples 40 ticks apart and shown 80 ticks later, with an edit list that takes that back.
fn plain(units: &[AccessUnit], codec: &[u8; 4]) -> Vec<u8> {
    let samples: Vec<Vec<u8>> = units.iter().map(sample).collect();
    let count = u32::try_from(samples.len()).unwrap();
    let sizes: Vec<u32> = samples.iter().map(|s| u32::try_from(s.len()).unwrap()).collect();
    let mdat = mp4_box(b"mdat", &[&samples.concat()]);
    let tables = [
        mp4_box(b"stts", &[&words(&[0, 1, count, 40])]),
        mp4_box(b"ctts", &[&words(&[0, 1, count, 80])]),
        mp4_box(b"stsc", &[&words(&[0, 1, 1, count, 1])]),
        mp4_box(b"stsz", &[&words(&[0, 0, count]), &words(&sizes)]),
        mp4_box(b"stco", &[&words(&[0, 1, 8])]),
    ];
    let edit = mp4_box(b"elst", &[&words(&[0, 2, 500, u32::MAX, 0x1_0000, 9_999, 80, 0x1_0000])]);
    let edits = mp4_box(b"edts", &[&edit]);
    [mdat, moov(&avc_config(&units[0]), &tables.concat(), &edits, codec)].concat()
}

/// A fragmented file: one fragment for every ten samples.
fn fragmented(units: &[AccessUnit]) -> Vec<u8> {
    let mut file = moov(&avc_config(&units[0]), &[], &[], b"avc1");
    for (index, units) in units.chunks(10).enumerate() {
        let samples: Vec<Vec<u8>> = units.iter().map(sample).collect();
        let start = u32::try_from(index).unwrap() * 400;
        let run = |offset: u32| {
            let count = u32::try_from(samples.len()).unwrap();
            let sizes: Vec<u32> = samples.iter().map(|s| u32::try_from(s.len()).unwrap()).collect();
            let tfhd = mp4_box(b"tfhd", &[&words(&[0x2_0000, 2])]);
            let tfdt = mp4_box(b"tfdt", &[&words(&[0, start])]);
            let trun = mp4_box(b"trun", &[&words(&[0x201, count, offset]), &words(&sizes)]);
            mp4_box(b"moof", &[&mp4_box(b"traf", &[&tfhd, &tfdt, &trun])])
        };
        let header = u32::try_from(run(0).len() + 8).unwrap();
        file.extend(run(header));
        file.extend(mp4_box(b"mdat", &[&samples.concat()]));
    }
    file
}

/// The units as the plain file has them: decoded 80 ms before they are shown.
fn decoded_earlier(units: &[AccessUnit]) -> Vec<AccessUnit> {
    units.iter().map(|unit| AccessUnit { dts: unit.dts - 7_200, ..unit.clone() }).collect()
}

fn read(file: &[u8]) -> Result<Vec<AccessUnit>, Mp4Error> {
    Mp4Video::new(Cursor::new(file))?.units().collect()
}

#[test]
fn plain_and_fragmented_files_give_back_what_they_were_made_of() {
    let units = encoded(WIDTH, HEIGHT, 25, 300_000);
    assert_eq!(read(&fragmented(&units)).unwrap(), units);
    assert_eq!(read(&plain(&units, b"avc1")).unwrap(), decoded_earlier(&units));
}

#[test]
fn an_access_unit_is_read_without_those_before_it() {
    let units = encoded(WIDTH, HEIGHT, 25, 300_000);
    let mut video = Mp4Video::new(Cursor::new(plain(&units, b"avc1"))).unwrap();
    assert_eq!((video.len(), video.sps().width), (25, WIDTH));
    let units = decoded_earlier(&units);
    assert_eq!(video.read(17).unwrap(), units[17]);
    assert_eq!(video.read(3).unwrap(), units[3]);
}

#[test]
fn a_cut_off_file_gives_what_it_has_and_says_what_is_missing() {
    let units = encoded(WIDTH, HEIGHT, 25, 300_000);
    let file = fragmented(&units);
    let cut = &file[..file.len() - 10];
    let mut video = Mp4Video::new(Cursor::new(cut)).unwrap();
    let read: Vec<_> = video.units().collect();
    assert_eq!(read.iter().filter(|unit| unit.is_ok()).count(), 24);
    let error = read.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.to_string(), "read mp4: it is cut off: access unit 24 lies beyond its end");
}

#[test]
fn what_is_no_mp4_is_named() {
    let units = encoded(WIDTH, HEIGHT, 5, 300_000);
    let file = plain(&units, b"avc1");
    for broken in [&b""[..], b"not a video at all, only text", &file[..file.len() / 2]] {
        assert!(matches!(read(broken), Err(Mp4Error::NoContents)));
    }
}

#[test]
fn another_codec_is_named() {
    let units = encoded(WIDTH, HEIGHT, 5, 300_000);
    let error = |codec| read(&plain(&units, codec)).unwrap_err().to_string();
    assert_eq!(error(b"hvc1"), "read mp4: its video is hvc1 (H.265), not H.264");
    assert_eq!(error(b"xyz1"), "read mp4: its video is xyz1, not H.264");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_files_are_an_error_or_give_something(
        fragments: bool,
        places in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..12),
    ) {
        let unit = AccessUnit::from_annex_b(&SMALL[..], 0, 0);
        let units = vec![unit; 12];
        let mut file = if fragments { fragmented(&units) } else { plain(&units, b"avc1") };
        for (place, value) in places {
            let place = usize::from(place) % file.len();
            file[place] = value;
        }
        // Reaching the end in time and memory is what is tested.
        let _ = read(&file);
    }
}

/// Parameter sets of a 320 × 180 stream and a slice that says nothing.
const SMALL: [u8; 29] = [
    0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x97, 0x84, 0, 0, 0, 1, 0x68, 0xcb,
    0x83, 0, 0, 0, 1, 0x65, 0x88, 0x84, 0x80,
];
