//! Encoding and decoding H.264.

use media::h264::{DecodeError, Decoder, EncodeError, Encoder, EncoderConfig, OpenH264Decoder};
use media::scene::read_frame_number;
use media::{AccessUnit, Colour, Picture};
use proptest::prelude::*;

use crate::support::{HEIGHT, WIDTH, assert_close, encoded, flat, fps};

fn decoder() -> OpenH264Decoder {
    OpenH264Decoder::new(4_096 * 2_304).unwrap()
}

fn number(picture: &Picture) -> u64 {
    read_frame_number(picture).expect("the bar code is readable").into()
}

/// Tells whether a picture's bar code and time are those of a frame.
fn is_frame(picture: &Picture, frame: u64) -> bool {
    picture.pts == fps().pts(frame) && read_frame_number(picture).map(u64::from) == Some(frame)
}

#[test]
fn every_frame_comes_back_at_once_with_its_number_and_time() {
    let mut decoder = decoder();
    for (unit, frame) in encoded(640, 360, 60, 150_000).iter().zip(0..) {
        assert_eq!(unit.key, frame % 10 == 0);
        let pictures = decoder.decode(unit).unwrap();
        assert_eq!(pictures.len(), 1, "frame {frame}");
        assert!(is_frame(&pictures[0], frame), "frame {frame}: {:?}", pictures[0]);
    }
    assert!(decoder.flush().unwrap().is_empty());
}

#[test]
fn a_scaled_picture_of_a_compressed_one_still_has_its_number() {
    let mut decoder = decoder();
    for (unit, frame) in encoded(1_280, 720, 12, 600_000).iter().zip(0_u64..) {
        let picture = decoder.decode(unit).unwrap().remove(0).scaled(320);
        let jpeg = media::jpeg::encode(&picture, 50).unwrap();
        let image = media::jpeg::decode(&jpeg, None, 1 << 20).unwrap();
        let read = media::scene::read_frame_number_rgb(&image).map(u64::from);
        assert_eq!(read, Some(frame));
    }
}

#[test]
fn colours_survive_in_standard_and_high_definition() {
    for (width, height) in [(320, 180), (1_280, 720)] {
        for rgb in [[220, 40, 40], [30, 180, 60], [40, 70, 230], [250, 250, 250], [5, 5, 5]] {
            let colour = Colour::of_size(width, height);
            let config =
                EncoderConfig { width, height, fps: fps(), bitrate: 4_000_000, key_interval: 0 };
            let mut encoder = Encoder::new(config).unwrap();
            let unit = encoder.encode(&flat(width, height, rgb, colour), false).unwrap();
            let picture = decoder().decode(&unit).unwrap().remove(0);
            assert_eq!(picture.colour(), colour);
            assert_close(picture.to_rgb().pixel(width / 2, height / 2), rgb, 6);
        }
    }
}

#[test]
fn the_parameter_set_tells_size_codec_and_order() {
    let units = encoded(WIDTH, HEIGHT, 2, 500_000);
    let sps = units[0].sps().unwrap().unwrap();
    assert_eq!((sps.width, sps.height), (WIDTH, HEIGHT));
    assert_eq!((sps.profile, sps.interlaced, sps.reorder), (66, false, Some(0)));
    assert!(sps.codec.starts_with("avc1.42"), "{}", sps.codec);
    assert!(units[1].sps().is_none());
}

#[test]
fn a_key_frame_can_be_forced() {
    let config =
        EncoderConfig { width: 64, height: 64, fps: fps(), bitrate: 200_000, key_interval: 0 };
    let mut encoder = Encoder::new(config).unwrap();
    let picture = flat(64, 64, [9, 99, 199], Colour::of_size(64, 64));
    let keys: Vec<bool> = (0..6).map(|n| encoder.encode(&picture, n == 4).unwrap().key).collect();
    assert_eq!(keys, [true, false, false, false, true, false]);
}

#[test]
fn a_picture_of_another_size_is_not_encoded() {
    let config =
        EncoderConfig { width: 64, height: 64, fps: fps(), bitrate: 200_000, key_interval: 0 };
    let mut encoder = Encoder::new(config.clone()).unwrap();
    let picture = flat(66, 64, [9, 99, 199], Colour::of_size(64, 64));
    assert!(matches!(encoder.encode(&picture, false), Err(EncodeError::Size { width: 66, .. })));
    let odd = EncoderConfig { width: 63, ..config };
    assert!(matches!(Encoder::new(odd), Err(EncodeError::Unsupported { width: 63, .. })));
}

#[test]
fn decoding_begins_with_a_key_frame() {
    let units = encoded(WIDTH, HEIGHT, 12, 500_000);
    let mut decoder = decoder();
    for unit in &units[3..10] {
        assert!(matches!(decoder.decode(unit), Err(DecodeError::AwaitingKey)));
    }
    assert_eq!(number(&decoder.decode(&units[10]).unwrap()[0]), 10);
}

#[test]
fn after_a_loss_nothing_is_shown_up_to_the_next_key_frame() {
    let units = encoded(WIDTH, HEIGHT, 30, 500_000);
    let mut decoder = decoder();
    let mut shown = Vec::new();
    for (unit, frame) in units.iter().zip(0..) {
        if frame == 14 {
            decoder.skip_to_key();
            continue;
        }
        shown.extend(decoder.decode(unit).unwrap_or_default().iter().map(number));
    }
    assert_eq!(shown, (0..14).chain(20..30).collect::<Vec<u64>>());
}

#[test]
fn a_change_of_resolution_is_followed() {
    let mut decoder = decoder();
    let mut sizes = Vec::new();
    for (width, height) in [(320, 180), (640, 360), (176, 144)] {
        for unit in encoded(width, height, 3, 500_000) {
            let pictures = decoder.decode(&unit).unwrap();
            sizes.extend(pictures.iter().map(|picture| (picture.width(), picture.height())));
        }
    }
    let expected = [(320, 180), (640, 360), (176, 144)].map(|size| [size; 3]).concat();
    assert_eq!(sizes, expected);
}

#[test]
fn a_picture_larger_than_allowed_is_refused_by_its_header() {
    let units = encoded(WIDTH, HEIGHT, 2, 500_000);
    let mut decoder = OpenH264Decoder::new(50_000).unwrap();
    let error = decoder.decode(&units[0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "decode access unit: 320 × 180 = 57600 pixels are more than the 50000 allowed"
    );
    assert!(matches!(decoder.decode(&units[1]), Err(DecodeError::AwaitingKey)));
}

#[test]
fn the_build_has_its_assembly_code_where_nasm_is_installed() {
    let nasm = std::process::Command::new("nasm").arg("-v").output();
    if nasm.is_ok_and(|output| output.status.success()) {
        assert!(media::h264::built_with_assembly());
    } else {
        println!("skipped: nasm is missing");
    }
}

/// Changes some bytes of an access unit's content.
fn damaged(unit: &AccessUnit, places: &[(u16, u8)]) -> AccessUnit {
    let mut data = unit.data.to_vec();
    for &(place, change) in places {
        let place = usize::from(place) % data.len();
        data[place] ^= change;
    }
    AccessUnit { data: data.into(), ..unit.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn damage_ends_with_the_next_key_frame(
        frame in 0_usize..10,
        places: [(u16, u8); 8],
    ) {
        let mut units = encoded(WIDTH, HEIGHT, 20, 300_000);
        units[frame] = damaged(&units[frame], &places);
        let mut decoder = decoder();
        for unit in &units[..10] {
            let _ = decoder.decode(unit);
        }
        let _ = decoder.flush();
        for (unit, frame) in units[10..].iter().zip(10..) {
            let pictures = decoder.decode(unit).unwrap();
            prop_assert_eq!(pictures.len(), 1);
            prop_assert!(is_frame(&pictures[0], frame));
        }
    }

    #[test]
    fn arbitrary_bytes_are_an_error_or_nothing(data: Vec<u8>, key: bool) {
        let mut decoder = decoder();
        let unit = AccessUnit { key, ..AccessUnit::from_annex_b(data, 0, 0) };
        prop_assert!(decoder.decode(&unit).unwrap_or_default().is_empty());
    }
}

#[test]
fn a_damaged_frame_is_an_error_and_so_are_those_that_refer_to_it() {
    let mut units = encoded(WIDTH, HEIGHT, 20, 300_000);
    units[4] =
        AccessUnit { data: units[4].data.slice(..units[4].data.len() / 2), ..units[4].clone() };
    let mut decoder = decoder();
    let outcome: Vec<bool> = units.iter().map(|unit| decoder.decode(unit).is_ok()).collect();
    let expected: Vec<bool> = (0..20).map(|frame| !(4..10).contains(&frame)).collect();
    assert_eq!(outcome, expected);
}
