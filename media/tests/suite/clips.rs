//! Real clips: B-frames, an edit list, an audio track.

use media::h264::{AnnexBReader, Decoder, OpenH264Decoder};
use media::mp4::Mp4Video;
use media::{AccessUnit, FrameRate, Picture};

use crate::ffmpeg::ffprobe;
use crate::support::clip;

fn units(name: &str) -> Option<Vec<AccessUnit>> {
    let mut video = Mp4Video::open(&clip(name)?).unwrap();
    Some(video.units().map(Result::unwrap).collect())
}

fn pictures(units: &[AccessUnit]) -> Vec<Picture> {
    let mut decoder = OpenH264Decoder::new(1_000_000).unwrap();
    let mut pictures = Vec::new();
    for unit in units {
        pictures.extend(decoder.decode(unit).unwrap());
    }
    pictures.extend(decoder.flush().unwrap());
    pictures
}

fn presented(units: &[AccessUnit]) -> Vec<i64> {
    let mut times: Vec<i64> = units.iter().map(|unit| unit.pts).collect();
    times.sort_unstable();
    times
}

#[test]
fn b_frames_come_out_in_presentation_order_with_their_own_times() {
    let Some(units) = units("bottle-detection.mp4") else { return };
    assert_eq!(units.len(), 1_189);
    assert_eq!(units.iter().filter(|unit| !unit.referenced).count(), 586);
    assert!(units.windows(2).any(|pair| pair[0].pts > pair[1].pts));
    assert!(units.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    let shown: Vec<i64> = pictures(&units).iter().map(|picture| picture.pts).collect();
    assert_eq!(shown, presented(&units));
    assert_eq!((shown[0], shown.len()), (0, 1_189));
}

#[test]
fn a_clip_with_audio_gives_its_video() {
    let Some(units) = units("car-detection.mp4") else { return };
    let shown = pictures(&units);
    assert_eq!(shown.len(), units.len());
    assert!(shown.iter().all(|picture| (picture.width(), picture.height()) == (768, 432)));
    let times: Vec<i64> = shown.iter().map(|picture| picture.pts).collect();
    assert_eq!(times, presented(&units));
    assert_eq!(times[0], 0);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 7_200));
}

#[test]
fn leaving_out_what_nothing_refers_to_harms_no_other_picture() {
    let Some(units) = units("bottle-detection.mp4") else { return };
    let kept: Vec<AccessUnit> = units[..300].iter().filter(|u| u.referenced).cloned().collect();
    let all = pictures(&units[..300]);
    let some = pictures(&kept);
    assert_eq!(some.len(), kept.len());
    for picture in some {
        let same = all.iter().find(|other| other.pts == picture.pts).unwrap();
        assert!(same.planes() == picture.planes(), "{picture:?}");
    }
}

#[test]
fn decoding_goes_on_after_a_flush_wherever_it_is() {
    let Some(units) = units("bottle-detection.mp4") else { return };
    let mut decoder = OpenH264Decoder::new(1_000_000).unwrap();
    let mut flushed = Vec::new();
    for unit in &units[..300] {
        let mut pictures = decoder.decode(unit).unwrap();
        pictures.extend(decoder.flush().unwrap());
        assert_eq!(pictures.iter().map(|picture| picture.pts).collect::<Vec<_>>(), [unit.pts]);
        flushed.append(&mut pictures);
    }
    flushed.sort_by_key(|picture| picture.pts);
    assert!(flushed == pictures(&units[..300]));
}

#[test]
fn damage_among_b_frames_ends_with_the_next_key_frame() {
    let Some(mut units) = units("bottle-detection.mp4") else { return };
    units.truncate(520);
    let key = units.iter().rposition(|unit| unit.key).unwrap();
    let whole = pictures(&units[key..]);
    for (index, unit) in units[5..key].iter_mut().enumerate().filter(|(index, _)| index % 9 == 0) {
        let mut data = unit.data.to_vec();
        let place = index * 37 % data.len();
        data[place..].iter_mut().step_by(11).for_each(|byte| *byte ^= 0x55);
        unit.data = data.into();
    }
    let mut decoder = OpenH264Decoder::new(1_000_000).unwrap();
    let refused = units[..key].iter().filter(|unit| decoder.decode(unit).is_err()).count();
    assert!(refused > 0);
    decoder.flush().unwrap();
    let mut after = Vec::new();
    for unit in &units[key..] {
        after.extend(decoder.decode(unit).unwrap());
    }
    after.extend(decoder.flush().unwrap());
    assert!(after == whole);
}

#[test]
fn every_key_frame_can_be_decoded_alone() {
    let Some(units) = units("bottle-detection.mp4") else { return };
    let mut decoder = OpenH264Decoder::new(1_000_000).unwrap();
    let keys: Vec<&AccessUnit> = units.iter().filter(|unit| unit.key).collect();
    assert_eq!(keys.len(), 5);
    for key in keys {
        let mut pictures = decoder.decode(key).unwrap();
        pictures.extend(decoder.flush().unwrap());
        assert_eq!(pictures.iter().map(|picture| picture.pts).collect::<Vec<_>>(), [key.pts]);
    }
}

#[test]
fn a_raw_stream_of_b_frames_is_put_in_the_same_order() {
    let Some(units) = units("bottle-detection.mp4") else { return };
    let mut reader = AnnexBReader::new(FrameRate::new(30, 1));
    let mut read = Vec::new();
    for unit in &units {
        read.extend(reader.push(&unit.data).unwrap());
    }
    read.extend(reader.finish());
    assert_eq!(read.len(), units.len());
    let places = presented(&units);
    for (raw, unit) in read.iter().zip(&units) {
        let place = places.binary_search(&unit.pts).unwrap();
        assert_eq!(raw.pts, 3_000 * i64::try_from(place).unwrap());
        assert_eq!((raw.key, raw.referenced), (unit.key, unit.referenced));
        assert!(raw.dts <= raw.pts);
    }
}

#[test]
fn the_sample_tables_are_read_as_another_reader_does() {
    for name in ["bottle-detection.mp4", "car-detection.mp4"] {
        let Some(path) = clip(name) else { return };
        let asked = ["-select_streams", "v:0", "-of", "csv=p=0"];
        let shown = ["-show_entries", "packet=pts_time,flags", path.to_str().unwrap()];
        let Some(packets) = ffprobe(&[&asked[..], &shown].concat()) else { return };
        let packets = String::from_utf8(packets).unwrap();
        let units = units(name).unwrap();
        assert_eq!(units.len(), packets.lines().count());
        for (unit, packet) in units.iter().zip(packets.lines()) {
            let mut fields = packet.split(',');
            let seconds: f64 = fields.next().unwrap().parse().unwrap();
            assert!((unit.pts as f64 - seconds * 90_000.0).abs() < 2.0, "{} of {packet}", unit.pts);
            assert!(unit.key || !fields.next().unwrap().starts_with('K'), "{packet}");
        }
    }
}
