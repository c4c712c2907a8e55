//! Access units out of raw byte streams.

use media::AccessUnit;
use media::h264::AnnexBReader;
use media::h264::nal::{NalType, nal_units, push_nal};
use proptest::prelude::*;

use crate::support::{HEIGHT, WIDTH, encoded, fps};

fn read(stream: &[u8], chunk: usize) -> Vec<AccessUnit> {
    let mut reader = AnnexBReader::new(Some(fps()));
    let mut units = Vec::new();
    for bytes in stream.chunks(chunk.max(1)) {
        units.extend(reader.push(bytes).unwrap());
    }
    units.extend(reader.finish());
    units
}

#[test]
fn a_stream_is_cut_into_the_units_it_was_made_of() {
    let units = encoded(WIDTH, HEIGHT, 25, 300_000);
    let stream = units.iter().map(|unit| &unit.data[..]).collect::<Vec<_>>().concat();
    for chunk in [1, 7, 1_000, stream.len()] {
        assert_eq!(read(&stream, chunk), units, "in pieces of {chunk} bytes");
    }
}

#[test]
fn a_key_frame_without_parameter_sets_gets_those_that_hold() {
    let units = encoded(WIDTH, HEIGHT, 25, 300_000);
    let mut stream = Vec::new();
    for (index, unit) in units.iter().enumerate() {
        let parameters = |kind| matches!(kind, NalType::Sps | NalType::Pps);
        for nal in nal_units(&unit.data) {
            if index == 0 || !parameters(nal.unit_type()) {
                push_nal(&mut stream, nal.bytes());
            }
        }
    }
    let kinds =
        |unit: &AccessUnit| nal_units(&unit.data).map(|n| n.unit_type()).collect::<Vec<_>>();
    let read = read(&stream, 4_096);
    assert_eq!(read.len(), 25);
    for key in read.iter().filter(|unit| unit.key) {
        assert_eq!(kinds(key), [NalType::Sps, NalType::Pps, NalType::Idr]);
    }
}

#[test]
fn a_rate_and_an_order_told_late_send_no_picture_back_in_time() {
    // With B-frames and a frame rate of its own; before it the same, cut off from its parameter sets.
    let told = include_bytes!("../../../fuzz/corpus/annex_b/b-frames.h264");
    let mut stream = Vec::new();
    for nal in nal_units(told).filter(|nal| nal.unit_type() != NalType::Sps) {
        push_nal(&mut stream, nal.bytes());
    }
    let times = |stream: &[u8]| {
        let mut reader = AnnexBReader::new(None);
        let mut units = reader.push(stream).unwrap();
        units.extend(reader.finish());
        units.iter().map(|unit| (unit.pts, unit.dts)).collect::<Vec<_>>()
    };
    let (alone, before) = (times(told), times(&stream).len());
    stream.extend_from_slice(told);
    let both = times(&stream);
    assert!(both.is_sorted_by_key(|&(_, dts)| dts), "{both:?}");
    let begin = i64::try_from(before).unwrap() * 90_000 / 25;
    let late: Vec<i64> = both[before..].iter().map(|&(pts, _)| pts - begin).collect();
    assert_eq!(late, alone.iter().map(|&(pts, _)| pts).collect::<Vec<_>>());
}

#[test]
fn delimiters_and_messages_belong_to_the_unit_they_precede() {
    let units = encoded(WIDTH, HEIGHT, 12, 300_000);
    let mut stream = Vec::new();
    for unit in &units {
        push_nal(&mut stream, &[0x09, 0xf0]);
        push_nal(&mut stream, &[0x06, 0x05, 0x01, 0x2a, 0x80]);
        stream.extend_from_slice(&unit.data);
    }
    let read = read(&stream, 999);
    assert_eq!(read.len(), 12);
    for unit in &read {
        let kinds: Vec<NalType> = nal_units(&unit.data).map(|nal| nal.unit_type()).collect();
        assert_eq!(kinds[..2], [NalType::Delimiter, NalType::Sei]);
    }
}

#[test]
fn a_stream_in_which_nothing_ends_is_refused() {
    let mut reader = AnnexBReader::new(None);
    reader.push(&[0, 0, 1, 0x67]).unwrap();
    let filler = vec![0xaa; 1 << 20];
    let refused = (0..32).find_map(|_| reader.push(&filler).err());
    assert_eq!(
        refused.unwrap().to_string(),
        "read h264 stream: no picture ends within 16777216 bytes"
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_cut_alike_in_any_pieces(data: Vec<u8>, chunk in 1_usize..64) {
        let whole = read(&data, data.len());
        prop_assert_eq!(read(&data, chunk), whole);
    }

    #[test]
    fn arbitrary_units_are_cut_alike_in_any_pieces(
        units in proptest::collection::vec(
            (prop_oneof![Just(0x67_u8), Just(0x68), Just(0x65), Just(0x41), Just(0x01), Just(0x09), Just(0x06)],
             proptest::collection::vec(any::<u8>(), 0..24)),
            0..12,
        ),
        chunk in 1_usize..64,
    ) {
        let mut stream = Vec::new();
        for (header, body) in &units {
            push_nal(&mut stream, &[&[*header], &body[..]].concat());
        }
        let whole = read(&stream, stream.len());
        prop_assert_eq!(read(&stream, chunk), whole);
    }
}
