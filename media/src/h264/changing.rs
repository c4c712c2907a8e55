//! Streams whose picture parameter sets change in mid-group, or of which two are in use: the same pictures, told otherwise.

use h264_reader::Context;
use h264_reader::nal::pps::PicParameterSet;
use h264_reader::rbsp::{BitRead as _, BitReader, decode_nal};

use super::bits::{Places, Tracked, Written, escaped};
use super::decode::{DEFAULT_MAX_PIXELS, Decoder as _, OpenH264Decoder};
use super::encode::{Encoder, EncoderConfig};
use super::nal::{Nal, NalType, nal_units, push_nal};
use super::slice::SliceReader;
use super::sps;
use crate::scene::{Scene, SceneConfig};
use crate::{AccessUnit, FrameRate, Picture};

const SIZE: (u32, u32) = (320, 192);

/// One group of a scene.
fn group() -> Vec<AccessUnit> {
    let ((width, height), fps) = (SIZE, FrameRate::new(25, 1).unwrap());
    let scene = Scene::new(SceneConfig { seed: 5, width, height, fps, shapes: 6 }).unwrap();
    let config = EncoderConfig { width, height, fps, bitrate: 300_000, key_interval: 20 };
    let mut encoder = Encoder::new(config).unwrap();
    (0..20).map(|n| encoder.encode(&scene.render(n).picture, false).unwrap()).collect()
}

fn of_type(unit: &AccessUnit, kind: NalType) -> Nal<'_> {
    nal_units(&unit.data).find(|nal| nal.unit_type() == kind).unwrap()
}

fn write_ue(written: &mut Written, value: u32) {
    let bits = 32 - (value + 1).leading_zeros();
    (1..bits).for_each(|_| written.bit(false));
    (0..bits).rev().for_each(|bit| written.bit((value + 1) >> bit & 1 == 1));
}

fn write_se(written: &mut Written, value: i32) {
    write_ue(written, value.unsigned_abs() * 2 - u32::from(value > 0));
}

/// A payload with the number of its picture parameter set, and its quantiser moved by so much.
fn retold(nal: Nal<'_>, id_at: usize, qp_at: usize, id: u32, by: i32) -> Vec<u8> {
    let payload = decode_nal(nal.bytes()).unwrap();
    // Where a number ends is found by reading it from where it begins.
    let after = |at: usize| {
        let mut bits = BitReader::new(&payload[..]);
        bits.skip(u32::try_from(at).unwrap(), "what is before").unwrap();
        let value = bits.read_se("number").unwrap();
        let code = value.unsigned_abs() * 2 - u32::from(value > 0);
        (value, at + 2 * usize::try_from((code + 1).ilog2()).unwrap() + 1)
    };
    let mut written = Written::default();
    written.copy(&payload, 0, id_at);
    write_ue(&mut written, id);
    let ((_, after_id), (qp, after_qp)) = (after(id_at), after(qp_at));
    written.copy(&payload, after_id, qp_at);
    write_se(&mut written, qp + by);
    let end =
        payload.len() * 8 - usize::try_from(payload.last().unwrap().trailing_zeros()).unwrap();
    written.copy(&payload, after_qp, end);
    escaped(nal.bytes()[0], &written.into_bytes())
}

/// The picture parameter set of a key frame under another number, its quantiser moved.
fn picture_set(key: &AccessUnit, id: u32, by: i32) -> Vec<u8> {
    let mut context = Context::default();
    context.put_seq_param_set(sps::parse(of_type(key, NalType::Sps).bytes()).unwrap());
    let pps = of_type(key, NalType::Pps);
    let (payload, mut places) = (decode_nal(pps.bytes()).unwrap(), Places::default());
    PicParameterSet::from_bits(&context, Tracked::new(&payload, &mut places)).unwrap();
    let at = |name| places.of(name).unwrap();
    retold(pps, at("pic_parameter_set_id"), at("pic_init_qp_minus26"), id, by)
}

/// An access unit whose slices refer to a picture parameter set whose quantiser was moved, after these sets.
fn referring(
    slices: &SliceReader,
    unit: &AccessUnit,
    sets: &[Vec<u8>],
    id: u32,
    by: i32,
) -> AccessUnit {
    let mut data = Vec::new();
    let sps = nal_units(&unit.data).filter(|nal| nal.unit_type() == NalType::Sps);
    sps.for_each(|nal| push_nal(&mut data, nal.bytes()));
    sets.iter().for_each(|set| push_nal(&mut data, set));
    for slice in nal_units(&unit.data).filter(|nal| nal.is_slice()) {
        let payload = decode_nal(slice.bytes()).unwrap();
        let places = slices.places(slice, &payload).unwrap().places;
        let at = |name| places.of(name).unwrap();
        let (id_at, qp_at) = (at("pic_parameter_set_id"), at("slice_qp_delta"));
        push_nal(&mut data, &retold(slice, id_at, qp_at, id, -by));
    }
    AccessUnit::from_annex_b(data, unit.pts, unit.dts)
}

fn decoded(units: &[AccessUnit]) -> Vec<Picture> {
    let mut decoder = OpenH264Decoder::new(DEFAULT_MAX_PIXELS).unwrap();
    let decode = |unit| decoder.decode(unit).unwrap();
    units.iter().flat_map(decode).collect()
}

fn reader(key: &AccessUnit) -> SliceReader {
    let mut slices = SliceReader::default();
    nal_units(&key.data).for_each(|nal| slices.observe(nal));
    slices
}

fn assert_same(units: &[AccessUnit], retold: &[AccessUnit]) {
    let (pictures, same) = (decoded(units), decoded(retold));
    assert_eq!((pictures.len(), same.len()), (20, 20));
    let planes = |pictures: &[Picture]| -> Vec<_> {
        pictures.iter().map(|picture| (picture.pts, picture.planes().clone())).collect()
    };
    assert!(planes(&pictures) == planes(&same));
}

#[test]
fn a_picture_parameter_set_that_changes_in_mid_group_holds_from_there_on() {
    let units = group();
    let slices = reader(&units[0]);
    let changed = picture_set(&units[0], 0, 5);
    let told = |(n, unit): (usize, &AccessUnit)| match n {
        0..7 => unit.clone(),
        7 => referring(&slices, unit, std::slice::from_ref(&changed), 0, 5),
        _ => referring(&slices, unit, &[], 0, 5),
    };
    let retold: Vec<AccessUnit> = units.iter().enumerate().map(told).collect();
    assert_same(&units, &retold);
}

#[test]
fn two_picture_parameter_sets_in_turn_are_each_taken_for_its_own_pictures() {
    let units = group();
    let slices = reader(&units[0]);
    let sets = [picture_set(&units[0], 0, 0), picture_set(&units[0], 1, -4)];
    let told = |(n, unit): (usize, &AccessUnit)| match n {
        0 => referring(&slices, unit, &sets, 0, 0),
        n if n % 2 == 0 => unit.clone(),
        _ => referring(&slices, unit, &[], 1, -4),
    };
    let retold: Vec<AccessUnit> = units.iter().enumerate().map(told).collect();
    assert_same(&units, &retold);
}
