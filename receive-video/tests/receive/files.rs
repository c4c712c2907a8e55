//! Files and the scene: as fast as it goes, nothing lost, the right pictures.

use media::AccessUnit;
use media::h264::{Decoder as _, OpenH264Decoder};
use receive_video::StreamState;
use services::{CaptureClock, FrameFormat, StreamId};

use crate::encoded::x264;
use crate::site::{Got, Site, clip, eventually};

fn file_site(clip: &std::path::Path, sample: &str) -> Site {
    let url = clip.to_str().unwrap();
    Site::new(&format!(
        "[streams.clip]\nurl = \"file:{url}\"\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = {{ {sample} }}"
    ))
}

fn scene_site(query: &str, sample: &str) -> Site {
    Site::new(&format!(
        "[streams.clip]\nurl = \"scene:?width=320&height=180&{query}\"\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = {{ {sample} }}"
    ))
}

#[tokio::test]
async fn a_frame_a_second_of_a_clip_arrives_and_the_account_closes() {
    let Some(clip) = clip("media/car-detection.mp4") else { return };
    let site = file_site(&clip, "every = \"1s\", pick = \"exact\"");
    site.run().await.unwrap();
    let frames = site.frames("eye").await;
    assert!((30..=31).contains(&frames.len()), "{}", frames.len());
    for (second, frame) in (0..).zip(&frames) {
        let late = frame.entry.stamp.media_time.0 - second * 90_000;
        assert!((0..7_200).contains(&late), "frame {second} is {late} ticks late");
        assert_eq!(frame.entry.stamp.clock, CaptureClock::File);
        assert_eq!(&frame.bytes[..2], [0xff, 0xd8]);
    }
    let account = site.account("clip");
    assert!(account.closed);
    assert_eq!(account.account.taken, frames.len() as u64);
    assert_eq!(account.last_taken, frames.last().map(|frame| frame.entry.stamp.media_time));
    assert!(site.audit("clip").pending.is_empty());
}

#[tokio::test]
async fn every_picture_of_a_clip_with_b_frames_arrives_in_presentation_order() {
    let Some(clip) = clip("media/bottle-detection.mp4") else { return };
    let site =
        file_site(&clip, "every = \"30ms\", pick = \"exact\", max_width = 320, max_frames = 100");
    site.run().await.unwrap();
    let frames = site.frames("eye").await;
    assert_eq!(frames.len(), 1_189);
    assert!(
        frames.windows(2).all(|two| two[0].entry.stamp.media_time < two[1].entry.stamp.media_time)
    );
    assert!(
        !frames.windows(2).all(|two| two[0].entry.stamp.seq < two[1].entry.stamp.seq),
        "no B-frames"
    );
    assert_eq!((frames[0].entry.width, frames[0].entry.height), (320, 180));
    assert_eq!(site.account("clip").account.taken, 1_189);
}

#[tokio::test]
async fn key_frames_travel_as_they_came() {
    let Some(clip) = clip("media/bottle-detection.mp4") else { return };
    let site = file_site(&clip, "every = \"1s\", encode = \"h264\"");
    site.run().await.unwrap();
    let frames = site.frames("eye").await;
    assert_eq!(frames.len(), 5);
    let mut decoder = OpenH264Decoder::new(1 << 24).unwrap();
    for frame in frames {
        assert_eq!(frame.entry.format, FrameFormat::H264);
        let unit = AccessUnit::from_annex_b(frame.bytes, 1, 1);
        let mut pictures = decoder.decode(&unit).unwrap();
        pictures.extend(decoder.flush().unwrap());
        assert_eq!((pictures[0].width(), pictures[0].height()), (640, 360));
    }
    let account = site.account("clip").account;
    assert_eq!((account.taken, account.skipped["not-key"]), (5, 1_184));
}

#[tokio::test]
async fn the_pictures_taken_are_the_ones_asked_for() {
    let site = scene_site("seconds=8&fps=25", "every = \"200ms\", pick = \"exact\"");
    site.run().await.unwrap();
    let numbers: Vec<i64> = site.frames("eye").await.iter().map(|got| got.number()).collect();
    assert_eq!(numbers, (0..40).map(|n| n * 5).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_window_holds_pictures_a_step_apart_and_answers_for_its_last() {
    let site = scene_site(
        "seconds=4&fps=25",
        "every = \"1s\", pick = \"exact\", frames = 3, step = 2, max_frames = 2",
    );
    site.run().await.unwrap();
    let mut windows = Vec::new();
    for batch in site.batches("eye").await {
        let numbers: Vec<i64> =
            site.frames_of(&batch).await.iter().map(|got| got.number()).collect();
        windows.extend(numbers.chunks(3).map(<[i64]>::to_vec));
    }
    assert_eq!(windows, [[0, 2, 4], [25, 27, 29], [50, 52, 54], [75, 77, 79]]);
    let account = site.account("clip").account;
    assert_eq!((account.taken, account.skipped["context"]), (4, 8));
}

#[tokio::test]
async fn no_window_of_a_clip_with_b_frames_is_lost() {
    let Some(clip) = clip("media/bottle-detection.mp4") else { return };
    let site = file_site(
        &clip,
        "every = \"200ms\", pick = \"exact\", frames = 3, step = 2, max_width = 160",
    );
    site.run().await.unwrap();
    let frames = site.frames("eye").await;
    let account = site.account("clip").account;
    assert!((199..=200).contains(&account.taken), "{account:?}");
    assert_eq!(frames.len() as u64, account.taken * 3);
    let in_order = |window: &[Got]| window.is_sorted_by_key(|got| got.entry.stamp.media_time);
    assert!(frames.chunks(3).all(in_order));
    assert!(!account.skipped.contains_key("context-lost"), "{account:?}");
}

#[tokio::test]
async fn models_on_one_stream_see_what_each_asked_for() {
    let site = Site::new(
        "[streams.clip]\nurl = \"scene:?width=320&height=180&seconds=4\"\n\
         [models.a]\nalgorithm = \"circles\"\nsample = { every = \"1s\", pick = \"exact\" }\n\
         [models.b]\nalgorithm = \"circles\"\nsample = { every = \"500ms\", max_width = 160 }",
    );
    site.run().await.unwrap();
    let a = site.frames("a").await;
    assert_eq!(a.iter().map(|got| got.number()).collect::<Vec<_>>(), [0, 25, 50, 75]);
    let b = site.frames("b").await;
    assert_eq!(b.iter().map(|got| got.entry.width).collect::<Vec<_>>(), [160, 160]);
    assert_eq!(site.audit("clip").accounts.len(), 2);
    assert!(site.audit("clip").accounts.iter().all(|account| account.account.closes()));
}

#[tokio::test]
async fn a_file_that_repeats_begins_a_new_epoch_each_time() {
    let site = Site::new(
        "[streams.clip]\nurl = \"scene:?width=320&height=180&seconds=0.4\"\nrepeat = true\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = { every = \"100ms\", pick = \"exact\" }",
    );
    let running = site.start();
    running.until("clip", "received", |status| status.received > 0).await;
    eventually("three epochs", || {
        let closed = site.audit("clip").accounts.iter().filter(|account| account.closed).count();
        (closed >= 3).then_some(())
    })
    .await;
    running.stop().await.unwrap();
    let epochs = site.audit("clip").accounts;
    assert!(epochs.iter().all(|account| account.closed && account.account.closes()));
    assert!(epochs.windows(2).all(|two| two[0].epoch < two[1].epoch));
}

#[tokio::test]
async fn a_missing_file_is_named_and_harms_no_other_stream() {
    let site = Site::new(
        "[streams.lost]\nurl = \"file:/no/such/clip.mp4\"\n\
         [streams.clip]\nurl = \"scene:?width=320&height=180&seconds=1\"\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = { every = \"200ms\", pick = \"exact\" }",
    );
    let error = format!("{:#}", site.run().await.unwrap_err());
    assert!(error.contains("stream \"lost\"") && error.contains("/no/such/clip.mp4"), "{error}");
    assert!(!error.contains("\"clip\""), "{error}");
    assert_eq!(site.frames("eye").await.len(), 5);
}

#[tokio::test]
async fn two_receivers_of_one_stream_are_one_too_many() {
    let site = scene_site("fps=25", "every = \"1s\"");
    let running = site.start();
    running.until("clip", "received", |status| status.received > 0).await;
    let error = format!("{:#}", site.run().await.unwrap_err());
    assert!(error.contains("already received by process"), "{error}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_probe_tells_what_a_clip_is() {
    let Some(clip) = clip("media/bottle-detection.mp4") else { return };
    let url = format!("file:{}", clip.display());
    let stream = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
    let report = receive_video::probe(&stream).await.unwrap();
    assert_eq!((report.size, report.profile, report.b_frames), ((640, 360), "High", true));
    assert!((report.fps - 29.83).abs() < 0.2, "{report}");
}

#[tokio::test]
async fn a_stream_that_is_locked_is_tried_again_while_others_are_received() {
    let site = Site::new(
        "[streams.gate]\nurl = \"scene:?width=320&height=180\"\npaced = true\n\
         [streams.yard]\nurl = \"scene:?width=320&height=180\"\npaced = true\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = { every = \"1s\" }",
    );
    let lock_file = site.embedded.folder.spool_lock(&StreamId::new("gate").unwrap());
    std::fs::create_dir_all(lock_file.parent().unwrap()).unwrap();
    let lock = std::fs::File::create(&lock_file).unwrap();
    lock.lock().unwrap();
    let running = site.start();
    let told = running.until("gate", "word of it", |status| !status.words.is_empty()).await;
    let words = "lock stream \"gate\": already received by process unknown; next try in ";
    assert!(told.state == StreamState::Waiting && told.words.starts_with(words), "{told:?}");
    running.until("yard", "frames", |status| status.taken > 0).await;
    drop(lock);
    running.until("gate", "frames", |status| status.taken > 0).await;
    running.stop().await.unwrap();
    assert!(site.account("gate").account.taken > 0);
}

#[tokio::test]
async fn a_probe_measures_by_media_time() {
    let url = "scene:?width=320&height=180&seconds=12";
    let stream = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
    let report = receive_video::probe(&stream).await.unwrap();
    assert!((report.fps - 25.0).abs() < 0.01, "{report}");
    assert_eq!(report.key_frame_seconds, Some(2.0), "{report}");
}

#[tokio::test]
async fn a_clip_cut_without_coding_anew_is_taken_from_where_its_edit_list_begins() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = x264(folder.path(), &["-g", "50", "-bf", "0"]) else { return };
    // The last key frame before 3 s is picture 50; the edit list leaves out a second of what follows it.
    let cut = folder.path().join("cut.mp4");
    let copied = std::process::Command::new("ffmpeg")
        .args(["-loglevel", "error", "-nostdin", "-ss", "3", "-i"])
        .arg(&clip)
        .args(["-c", "copy"])
        .arg(&cut)
        .status();
    assert!(copied.unwrap().success());
    let site = file_site(&cut, "every = \"40ms\", pick = \"exact\"");
    site.run().await.unwrap();
    let numbers: Vec<i64> = site.frames("eye").await.iter().map(Got::number).collect();
    assert_eq!(numbers, (75..200).collect::<Vec<_>>());
    let account = site.account("clip").account;
    assert_eq!((account.skipped["not-shown"], account.undecodable), (25, 0), "{account:?}");
}

#[tokio::test]
async fn a_clip_that_is_to_be_shown_turned_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = x264(folder.path(), &["-g", "50"]) else { return };
    let mut bytes = std::fs::read(&clip).unwrap();
    let at = bytes.windows(4).position(|four| four == b"tkhd").unwrap() + 4 + 40;
    for (entry, value) in [(0, 0), (1, 0x1_0000), (3, -0x1_0000), (4, 0_i32)] {
        bytes[at + 4 * entry..][..4].copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(&clip, bytes).unwrap();
    let words =
        "its pictures are to be shown turned clockwise by 90°: models see them as they are coded";
    let url = format!("file:{}", clip.display());
    let stream = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
    let report = receive_video::probe(&stream).await.unwrap();
    assert_eq!(report.warnings, [words]);
    assert!(report.to_string().ends_with(&format!("\nwarning          {words}")), "{report}");
    let site = file_site(&clip, "every = \"1s\"");
    site.run().await.unwrap();
    let events = site.events("clip");
    assert_eq!(
        (events.len(), events[0].kind.as_str(), events[0].words.as_str()),
        (1, "rotation", words)
    );
}
