//! JPEG and colour.

use media::jpeg::{self, JpegError};
use media::scene::{Scene, SceneConfig, read_frame_number_rgb};
use media::{Colour, Matrix, Picture, PictureError, Planes};

use crate::support::{assert_close, flat};

const BOUND: u64 = 16_000_000;

const COLOURS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [0, 0, 0],
    [128, 128, 128],
    [220, 40, 40],
    [30, 180, 60],
    [40, 70, 230],
    [245, 215, 30],
    [210, 50, 200],
];

#[test]
fn jpeg_keeps_colours_of_every_range_and_matrix() {
    for full_range in [false, true] {
        for matrix in [Matrix::Bt601, Matrix::Bt709] {
            for rgb in COLOURS {
                let picture = flat(63, 41, rgb, Colour { full_range, matrix });
                let bytes = jpeg::encode(&picture, 95).unwrap();
                let image = jpeg::decode(&bytes, None, BOUND).unwrap();
                assert_eq!((image.width, image.height), (63, 41));
                assert_close(image.pixel(30, 20), rgb, 4);
                assert_close(picture.to_rgb().pixel(30, 20), rgb, 4);
            }
        }
    }
}

fn scene_jpeg(width: u32, height: u32, quality: u8) -> Vec<u8> {
    let config = SceneConfig { width, height, ..SceneConfig::default() };
    let picture = Scene::new(config).unwrap().render(77).picture;
    jpeg::encode(&picture, quality).unwrap()
}

#[test]
fn the_smallest_size_that_covers_is_decoded() {
    let bytes = scene_jpeg(1_920, 1_080, 80);
    let size = |at_least| {
        let image = jpeg::decode(&bytes, at_least, BOUND).unwrap();
        assert_eq!(image.data.len(), (image.width * image.height * 3) as usize);
        assert_eq!(read_frame_number_rgb(&image), Some(77));
        (image.width, image.height)
    };
    assert_eq!(size(None), (1_920, 1_080));
    assert_eq!(size(Some((640, 352))), (720, 405));
    assert_eq!(size(Some((320, 192))), (480, 270));
    assert_eq!(size(Some((240, 135))), (240, 135));
    assert_eq!(size(Some((4_000, 100))), (1_920, 1_080));
}

#[test]
fn the_number_survives_low_quality_and_small_size() {
    for (width, height) in [(320, 180), (640, 360)] {
        let image = jpeg::decode(&scene_jpeg(width, height, 50), None, BOUND).unwrap();
        assert_eq!(read_frame_number_rgb(&image), Some(77));
    }
}

/// Writes another size into the frame header (SOF0) of a JPEG.
fn claiming(mut bytes: Vec<u8>, width: u16, height: u16) -> Vec<u8> {
    let header = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[header + 5..header + 7].copy_from_slice(&height.to_be_bytes());
    bytes[header + 7..header + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

#[test]
fn a_claim_of_too_many_pixels_is_refused_before_memory_is_taken() {
    let small = jpeg::encode(&flat(16, 16, [9, 9, 9], Colour::JPEG), 50).unwrap();
    assert!(small.len() < 1_024);
    let error = jpeg::decode(&claiming(small, 65_535, 65_535), Some((64, 64)), BOUND).unwrap_err();
    assert_eq!(
        error.to_string(),
        "decode jpeg: it claims 65535 × 65535 = 4294836225 pixels, more than the 16000000 allowed"
    );
}

#[test]
fn what_is_no_whole_jpeg_is_an_error() {
    let bytes = scene_jpeg(320, 180, 80);
    for broken in [&b""[..], b"GIF89a", &bytes[..100], &bytes[..bytes.len() / 2]] {
        let error = jpeg::decode(broken, None, BOUND).unwrap_err();
        assert!(matches!(error, JpegError::Decode(_)), "{error}");
        assert!(error.to_string().starts_with("decode jpeg: "), "{error}");
    }
}

#[test]
fn planes_must_fit_the_size() {
    let planes = || Planes { y: vec![0; 15].into(), u: vec![0; 6].into(), v: vec![0; 5].into() };
    let made = Picture::new(5, 3, planes(), Colour::JPEG, 0);
    let expected = PictureError::Plane { width: 5, height: 3, plane: "v", found: 5, expected: 6 };
    assert_eq!(made.unwrap_err(), expected);
    let made = Picture::new(0, 3, planes(), Colour::JPEG, 0);
    assert_eq!(made.unwrap_err(), PictureError::Size { width: 0, height: 3 });
}

#[test]
fn scaling_keeps_aspect_ratio_colour_and_time() {
    let mut picture = flat(1_280, 720, [200, 50, 60], Colour::of_size(1_280, 720));
    picture.pts = 4_711;
    let scaled = picture.scaled(416);
    assert_eq!((scaled.width(), scaled.height(), scaled.pts), (416, 234, 4_711));
    assert_close(scaled.to_rgb().pixel(200, 100), [200, 50, 60], 4);
    assert!(picture.scaled(2_000) == picture);
}
