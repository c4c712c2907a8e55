//! Kinds of H.264 streams that cameras and recorders send, against what ffmpeg makes of them.

use media::h264::{Chroma, DecodeError, Decoder, OpenH264Decoder};
use media::mp4::Mp4Video;
use media::{AccessUnit, Picture};

use crate::ffmpeg::{assert_same, ffmpeg, luma, units, x264, x264_into};

const SIZE: (u32, u32) = (320, 192);
const OPEN_GOP: [&str; 2] =
    ["-x264-params", "open-gop=1:keyint=25:min-keyint=25:scenecut=0:bframes=3:repeat-headers=1"];
const INTRA_REFRESH: [&str; 2] =
    ["-x264-params", "intra-refresh=1:keyint=25:bframes=0:repeat-headers=1"];

/// Decodes all units, or says which was refused and why.
fn decoded(units: &[AccessUnit]) -> Vec<Picture> {
    let mut decoder = OpenH264Decoder::new(1 << 24).unwrap();
    let mut pictures = Vec::new();
    for (index, unit) in units.iter().enumerate() {
        let due = decoder.decode(unit).unwrap_or_else(|error| panic!("unit {index}: {error}"));
        pictures.extend(due);
    }
    pictures.extend(decoder.flush().unwrap());
    pictures
}

/// A stream in a file, with its pictures as ffmpeg decodes them.
fn reference(stream: &[u8]) -> Option<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.h264");
    std::fs::write(&file, stream).unwrap();
    luma(&file, SIZE)
}

/// Asserts that all pictures come out, in order, as ffmpeg decodes them.
fn assert_all_same(pictures: &[Picture], luma: &[Vec<u8>]) {
    assert_eq!(pictures.len(), luma.len());
    assert!(pictures.windows(2).all(|two| two[0].pts < two[1].pts));
    pictures.iter().zip(luma).for_each(|(picture, luma)| assert_same(picture, luma));
}

#[test]
fn all_pictures_of_open_groups_with_repeated_headers_are_decoded() {
    let Some(stream) = x264(SIZE, 200, &OPEN_GOP) else { return };
    let units = units(&stream);
    assert_eq!((units.len(), units.iter().filter(|unit| unit.key).count()), (200, 8));
    assert_eq!(units.iter().filter(|unit| unit.is_idr()).count(), 1);
    assert_all_same(&decoded(&units), &reference(&stream).unwrap());
}

#[test]
fn open_groups_copied_into_mp4_are_decoded_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (recorded, mp4) = (path("recorded.mkv"), path("copied.mp4"));
    let Some(_) = x264_into(&recorded, SIZE, 200, &OPEN_GOP) else { return };
    ffmpeg(&["-i", &recorded, "-c", "copy", &mp4]).unwrap();
    let mut video = Mp4Video::open(mp4.as_ref()).unwrap();
    let units: Vec<AccessUnit> = video.units().map(Result::unwrap).collect();
    assert_eq!(units.iter().filter(|unit| unit.key).count(), 8);
    assert!(units.iter().filter(|unit| unit.key).all(|unit| unit.sps().is_some()));
    assert_all_same(&decoded(&units), &luma(mp4.as_ref(), SIZE).unwrap());
}

#[test]
fn decoding_begins_at_any_key_frame_of_open_groups() {
    let Some(stream) = x264(SIZE, 200, &OPEN_GOP) else { return };
    let Some(reference) = reference(&stream) else { return };
    let units = units(&stream);
    let keys: Vec<usize> = (0..units.len()).filter(|&at| units[at].key).collect();
    for &at in &keys {
        let pictures = decoded(&units[at..]);
        let first = units[at].pts;
        assert_eq!(pictures[0].pts, first);
        let earlier = reference.len() - pictures.len();
        let shown_later = units[at..].iter().filter(|unit| unit.pts >= first).count();
        assert_eq!(pictures.len(), shown_later, "from unit {at}");
        assert_all_same(&pictures, &reference[earlier..]);
    }
    for cabac in ["cabac=1", "cabac=0"] {
        let params = format!("{}:{cabac}", OPEN_GOP[1]);
        let Some(stream) = x264(SIZE, 60, &["-x264-params", &params]) else { return };
        let alone = self::units(&stream).into_iter().filter(|unit| unit.key && !unit.is_idr());
        for key in alone {
            assert_eq!(decoded(&[key]).len(), 1, "{cabac}");
        }
    }
}

#[test]
fn a_picture_that_is_lost_after_beginning_at_a_recovery_point_is_missed() {
    let Some(stream) = x264(SIZE, 100, &OPEN_GOP) else { return };
    let mut units = units(&stream);
    let at = units.iter().rposition(|unit| unit.key).unwrap();
    let first = units[at].pts;
    let mut units = units.split_off(at);
    let lost = units.iter().position(|unit| unit.referenced && unit.pts > first).unwrap();
    units.remove(lost);
    let mut decoder = OpenH264Decoder::new(1 << 24).unwrap();
    let refused = units.iter().find_map(|unit| decoder.decode(unit).err());
    assert!(matches!(refused, Some(DecodeError::Damaged(_))), "{refused:?}");
}

#[test]
fn all_pictures_of_an_intra_refresh_with_repeated_headers_are_decoded() {
    let Some(stream) = x264(SIZE, 200, &INTRA_REFRESH) else { return };
    let units = units(&stream);
    assert_eq!((units.len(), units.iter().filter(|unit| unit.key).count()), (200, 1));
    assert_all_same(&decoded(&units), &reference(&stream).unwrap());
}

/// The same stream with the parameter sets of other numbers.
fn numbered(id: &str, frames: u32, extra: &str) -> Option<Vec<u8>> {
    let params = format!("keyint=10:scenecut=0:repeat-headers=1:sps-id={id}:{extra}");
    x264(SIZE, frames, &["-x264-params", &params])
}

#[test]
fn groups_that_name_different_parameter_sets_in_turn_are_decoded() {
    let Some(zero) = numbered("0", 30, "cabac=1:bframes=0") else { return };
    let Some(one) = numbered("1", 30, "cabac=0:bframes=0") else { return };
    let of = |stream: &[u8]| {
        let groups = units(stream);
        groups
            .chunks(10)
            .map(|group| group.iter().map(|unit| unit.data.to_vec()).collect::<Vec<_>>().concat())
            .collect::<Vec<_>>()
    };
    let stream: Vec<u8> =
        of(&zero).into_iter().zip(of(&one)).flat_map(|(a, b)| [a, b]).collect::<Vec<_>>().concat();
    let units = units(&stream);
    assert_eq!(units.len(), 60);
    assert_all_same(&decoded(&units), &reference(&stream).unwrap());
    // Each key frame can be decoded by itself, though it carries the sets of both kinds from then on.
    let keys: Vec<&AccessUnit> = units.iter().filter(|unit| unit.key).collect();
    assert!(keys.iter().all(|key| decoded(std::slice::from_ref(key)).len() == 1));
}

#[test]
fn monochrome_is_decoded_without_colour_or_refused() {
    let Some(stream) = x264(SIZE, 25, &["-pix_fmt", "gray"]) else { return };
    let units = units(&stream);
    assert_eq!(units[0].sps().unwrap().unwrap().chroma, Chroma::Monochrome);
    let pictures = decoded(&units);
    assert_all_same(&pictures, &reference(&stream).unwrap());
    let grey = |picture: &Picture| {
        let planes = picture.planes();
        planes.u.iter().chain(&planes.v).all(|&sample| sample == 128)
    };
    assert!(pictures.iter().all(grey));
    let cropped = self::units(&x264((320, 180), 2, &["-pix_fmt", "gray"]).unwrap());
    let error = OpenH264Decoder::new(1 << 24).unwrap().decode(&cropped[0]).unwrap_err().to_string();
    assert!(error.contains("monochrome video of 320 × 180 is not supported"), "{error}");
}

#[test]
fn what_cannot_be_decoded_is_named() {
    let kinds: [(&[&str], &str); 4] = [
        (&["-pix_fmt", "yuv420p10le"], "10 bit video is not supported: expected 8 bit"),
        (&["-pix_fmt", "yuv422p"], "4:2:2 video is not supported: expected 4:2:0"),
        (&["-pix_fmt", "yuv444p"], "4:4:4 video is not supported: expected 4:2:0"),
        (&["-flags", "+ildct+ilme"], "interlaced video is not supported: expected progressive"),
    ];
    for (options, words) in kinds {
        let Some(stream) = x264(SIZE, 5, options) else { return };
        let mut decoder = OpenH264Decoder::new(1 << 24).unwrap();
        let error = decoder.decode(&units(&stream)[0]).unwrap_err();
        assert_eq!(error.to_string(), format!("decode access unit: {words}"));
    }
}

#[test]
fn high_10_that_has_the_samples_of_high_is_decoded() {
    let Some(stream) = x264(SIZE, 10, &[]) else { return };
    let units: Vec<AccessUnit> = units(&stream)
        .into_iter()
        .map(|unit| {
            let mut data = unit.data.to_vec();
            let sps = data.windows(2).position(|two| two == [0x67, 100]);
            sps.into_iter().for_each(|at| data[at + 1] = 110);
            AccessUnit { data: data.into(), ..unit }
        })
        .collect();
    assert_eq!(units[0].sps().unwrap().unwrap().profile, 110);
    assert_all_same(&decoded(&units), &reference(&stream).unwrap());
}
