//! Streams whose groups begin at other pictures than IDR ones, open groups and pictures refreshed little by little; and
//! pictures of several slices.

use fake_camera::{Fault, Feed, Marked};
use media::AccessUnit;
use media::h264::{Decoder as _, OpenH264Decoder};
use receive_video::sample::reason;
use services::Account;

use crate::cameras::{serve, site};
use crate::encoded::{PICTURES, x264, x264_in_halves};
use crate::site::{Got, Site};

/// A key frame a second, of which the first alone is an IDR picture.
const OPEN_GOP: [&str; 2] =
    ["-x264-params", "open-gop=1:keyint=25:min-keyint=25:scenecut=0:bframes=3:repeat-headers=1"];
const INTRA_REFRESH: [&str; 2] =
    ["-x264-params", "intra-refresh=1:keyint=25:bframes=0:repeat-headers=1"];

/// Checks that pictures are those that their media times say; the clip goes round.
fn check_numbers(frames: &[Got]) {
    for two in frames.windows(2).filter(|two| two[0].epoch == two[1].epoch) {
        let ticks = two[1].entry.stamp.media_time.0 - two[0].entry.stamp.media_time.0;
        assert!(ticks > 0, "{two:?}");
        let (apart, told) = (two[1].number() - two[0].number(), (ticks + 1_800) / 3_600);
        assert_eq!(apart.rem_euclid(PICTURES), told.rem_euclid(PICTURES), "{two:?}");
    }
}

/// Checks that every picture was taken but for what a machine without the time for it leaves out.
fn check_whole(account: &Account) {
    let left_out = |reason| account.skipped.get(reason).copied().unwrap_or_default();
    let busy = left_out(reason::OVERLOAD) + left_out(reason::STOPPED);
    assert_eq!(account.taken + busy, account.received, "{account:?}");
}

#[tokio::test]
async fn every_picture_and_every_key_frame_of_open_groups_in_a_file_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = x264(folder.path(), &OPEN_GOP) else { return };
    let site = Site::new(&format!(
        "[streams.clip]\nurl = \"file:{}\"\n\
         [models.all]\nalgorithm = \"circles\"\nsample = {{ every = \"40ms\", pick = \"exact\" }}\n\
         [models.keys]\nalgorithm = \"circles\"\nsample = {{ every = \"1s\" }}\n\
         [models.raw]\nalgorithm = \"circles\"\nsample = {{ every = \"1s\", encode = \"h264\" }}",
        clip.display()
    ));
    site.run().await.unwrap();
    let numbers = |frames: &[Got]| frames.iter().map(Got::number).collect::<Vec<_>>();
    assert_eq!(numbers(&site.frames("all").await), (0..PICTURES).collect::<Vec<_>>());
    let seconds: Vec<i64> = (0..8).map(|second| second * 25).collect();
    assert_eq!(numbers(&site.frames("keys").await), seconds);
    let raw = site.frames("raw").await;
    assert_eq!(raw.len(), 8);
    for frame in raw {
        let mut decoder = OpenH264Decoder::new(1 << 24).unwrap();
        let unit = AccessUnit::from_annex_b(frame.bytes, 1, 1);
        let mut pictures = decoder.decode(&unit).unwrap();
        pictures.extend(decoder.flush().unwrap());
        assert_eq!((pictures.len(), pictures[0].width()), (1, 320));
    }
    assert!(site.audit("clip").accounts.iter().all(|account| account.account.closes()));
}

#[tokio::test]
async fn key_frames_of_open_groups_are_taken_without_the_pictures_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = x264(folder.path(), &OPEN_GOP) else { return };
    let site = Site::new(&format!(
        "[streams.clip]\nurl = \"file:{}\"\n\
         [models.keys]\nalgorithm = \"circles\"\nsample = {{ every = \"1s\" }}",
        clip.display()
    ));
    site.run().await.unwrap();
    let numbers: Vec<i64> = site.frames("keys").await.iter().map(Got::number).collect();
    assert_eq!(numbers, (0..8).map(|second| second * 25).collect::<Vec<_>>());
    assert_eq!(site.account("clip").account.skipped["not-key"], 192);
}

#[tokio::test]
async fn a_camera_of_open_groups_comes_back_at_the_next_one_after_a_loss() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = x264(folder.path(), &OPEN_GOP) else { return };
    let camera = serve(Feed::file(clip)).await;
    let site =
        site(&camera.url("gate"), "", "every = \"40ms\", pick = \"exact\", max_delay = \"100ms\"");
    let running = site.start();
    running.until("gate", "frames", |status| status.taken > 10).await;
    camera.set_fault("gate", &Fault::Lose { rate: 0.03 }).unwrap();
    running.until("gate", "frames", |status| status.taken > 150).await;
    running.stop().await.unwrap();
    // 200 pictures have one IDR picture, and no key frame for three seconds would have ended the epoch.
    let account = site.account("gate").account;
    assert!(account.skipped["after-loss"] > 0 && account.undecodable == 0, "{account:?}");
    assert!(site.events("gate").is_empty(), "{:?}", site.events("gate"));
    check_numbers(&site.frames("eye").await);
}

#[tokio::test]
async fn all_pictures_of_an_intra_refresh_are_taken_and_what_it_lacks_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = x264(folder.path(), &INTRA_REFRESH) else { return };
    let site = Site::new(&format!(
        "[streams.gate]\nurl = \"file:{}\"\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = {{ every = \"40ms\", pick = \"exact\" }}",
        clip.display()
    ));
    site.run().await.unwrap();
    let numbers: Vec<i64> = site.frames("eye").await.iter().map(Got::number).collect();
    assert_eq!(numbers, (0..PICTURES).collect::<Vec<_>>());
    let kinds: Vec<String> = site.events("gate").into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["intra-refresh"]);
}

#[tokio::test]
async fn slices_that_are_each_marked_as_the_end_of_a_picture_are_one_picture() {
    let folder = tempfile::tempdir().unwrap();
    let slices = ["-x264-params", "slices=4:keyint=25:scenecut=0:bframes=0"];
    let Some(clip) = x264(folder.path(), &slices) else { return };
    for every in [Marked::Slice, Marked::Packet] {
        for transport in ["tcp", "udp"] {
            let camera = serve(Feed::file(&clip).fault(Fault::Mark { every })).await;
            let stream = format!("transport = \"{transport}\"");
            let site = site(&camera.url("gate"), &stream, "every = \"40ms\", pick = \"exact\"");
            let running = site.start();
            running.until("gate", "frames", |status| status.taken >= 60).await;
            running.stop().await.unwrap();
            let account = site.account("gate").account;
            check_whole(&account);
            let kinds: Vec<String> =
                site.events("gate").into_iter().map(|event| event.kind).collect();
            assert_eq!(kinds, ["marker-bits"], "{every:?}, {transport}");
            check_numbers(&site.frames("eye").await);
        }
    }
}

#[tokio::test]
async fn slices_of_pictures_that_are_marked_once_cost_no_delay_and_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let slices = ["-x264-params", "slices=4:keyint=25:scenecut=0:bframes=0"];
    let Some(clip) = x264(folder.path(), &slices) else { return };
    let camera = serve(Feed::file(&clip)).await;
    let site = site(&camera.url("gate"), "", "every = \"40ms\", pick = \"exact\"");
    let running = site.start();
    running.until("gate", "frames", |status| status.taken >= 60).await;
    running.stop().await.unwrap();
    let account = site.account("gate").account;
    check_whole(&account);
    assert!(site.events("gate").is_empty());
    check_numbers(&site.frames("eye").await);
}

#[tokio::test]
async fn a_camera_whose_groups_name_other_parameter_sets_loses_no_picture_by_it() {
    let folder = tempfile::tempdir().unwrap();
    // Numbers 0 and 1, one with CABAC and one without: neither's slices can be read with the other's sets.
    let zero = ["-x264-params", "sps-id=0:cabac=1:keyint=25:scenecut=0:bframes=0:repeat-headers=1"];
    let one = ["-x264-params", "sps-id=1:cabac=0:keyint=25:scenecut=0:bframes=0:repeat-headers=1"];
    let Some(clip) = x264_in_halves(folder.path(), [&zero, &one]) else { return };
    let camera = serve(Feed::file(&clip)).await;
    let sample = "every = \"40ms\", pick = \"exact\", max_delay = \"100ms\"";
    let site = site(&camera.url("gate"), "", sample);
    let running = site.start();
    running.until("gate", "a round and a half", |status| status.taken >= 300).await;
    running.stop().await.unwrap();
    let account = site.account("gate").account;
    check_whole(&account);
    check_numbers(&site.frames("eye").await);
}
