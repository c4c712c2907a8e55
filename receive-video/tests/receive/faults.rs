//! What goes wrong with cameras: each an event, a new epoch, and the account closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use fake_camera::{Fault, Feed, JumpingClock};
use receive_video::StreamState;
use services::feed::{ResultFeed, Subscription};
use services::{FrameResult, PortError, StreamId};

use crate::cameras::{check_numbers, serve, site, small_scene};
use crate::site::{Site, eventually};

const SAMPLE: &str = "every = \"80ms\", pick = \"exact\", max_delay = \"100ms\"";

fn check_epochs(site: &Site, at_least: usize) {
    let accounts = site.audit("gate").accounts;
    assert!(accounts.len() >= at_least, "{accounts:?}");
    assert!(accounts.iter().all(|account| account.closed && account.account.closes()));
    assert!(accounts.windows(2).all(|two| two[0].epoch < two[1].epoch));
}

/// Plays, puts a fault on, waits for its event, takes it off, and plays again as a new epoch. Gives the event's words.
async fn recovers_from(fault: Fault, kind: &str) -> String {
    let camera = serve(Feed::scene(small_scene())).await;
    // A machine that stands still for a second must not look like a silent camera where that is not the fault.
    let silence = if fault == Fault::Freeze { "1s" } else { "10s" };
    let site = site(&camera.url("gate"), &format!("silence = \"{silence}\""), SAMPLE);
    let running = site.start();
    running.until("gate", "frames", |status| status.taken >= 5).await;
    camera.set_fault("gate", &fault).unwrap();
    let told = || site.events("gate").into_iter().find(|event| event.kind == kind);
    let words = eventually(kind, told).await.words;
    assert!(words.contains("next try in"), "{words}");
    camera.clear_faults("gate").unwrap();
    eventually("frames of a new epoch", || {
        let accounts = site.audit("gate").accounts;
        (accounts.len() > 1 && accounts.last()?.account.taken > 5).then_some(())
    })
    .await;
    running.stop().await.unwrap();
    check_epochs(&site, 2);
    check_numbers(&site.frames("eye").await);
    words
}

#[tokio::test]
async fn a_frozen_camera_is_connected_to_anew() {
    let words = recovers_from(Fault::Freeze, "silence").await;
    assert!(words.contains("it has sent nothing for"), "{words}");
}

#[tokio::test]
async fn a_closed_connection_is_connected_to_anew() {
    recovers_from(Fault::Close { every_seconds: None }, "end-of-stream").await;
}

#[tokio::test]
async fn a_jump_of_the_timestamps_begins_a_new_epoch() {
    let jump = Fault::Jump { seconds: -30.0, clock: JumpingClock::Rtp };
    recovers_from(jump, "time-jump").await;
}

#[tokio::test]
async fn a_camera_without_key_frames_is_told_of() {
    let words = recovers_from(Fault::NoKeyFrames, "no-key-frame").await;
    assert!(words.contains("it has sent no key frame for"), "{words}");
}

#[tokio::test]
async fn a_camera_that_is_away_is_tried_until_it_is_back() {
    let camera = serve(Feed::scene(small_scene()).fault(Fault::Status { code: 503 })).await;
    let site = site(&camera.url("gate"), "", SAMPLE);
    let running = site.start();
    running.until("gate", "two tries", |status| status.events >= 2).await;
    assert!(site.events("gate")[0].words.contains("it answers with status 503"));
    camera.clear_faults("gate").unwrap();
    running.until("gate", "frames", |status| status.taken > 5).await;
    running.stop().await.unwrap();
    check_epochs(&site, 1);
}

#[tokio::test]
async fn a_camera_that_never_answers_is_tried_less_and_less_often() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = Site::new(&format!(
        "[receive]\nconnect_timeout = \"300ms\"\nbackoff_min = \"100ms\"\nbackoff_max = \"10s\"\n\
         [streams.gate]\nurl = \"rtsp://{}/gate\"\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = {{ {SAMPLE} }}",
        silent.local_addr().unwrap()
    ));
    let running = site.start();
    running.until("gate", "four tries", |status| status.events >= 4).await;
    running.stop().await.unwrap();
    let events = site.events("gate");
    let waits: Vec<f64> = events
        .iter()
        .filter(|event| event.kind == "no-answer")
        .filter_map(|event| event.words.rsplit_once("next try in ")?.1.strip_suffix(" s"))
        .map(|seconds| seconds.parse().unwrap())
        .collect();
    // The fourth step is of 800 ms, of which half at least is waited.
    assert!(waits[3] >= 0.4, "{events:?}");
}

#[tokio::test]
async fn lost_packets_cost_pictures_but_never_show_wrong_ones() {
    let camera = serve(Feed::scene(small_scene()).fault(Fault::Lose { rate: 0.05 })).await;
    let site = site(&camera.url("gate"), "", SAMPLE);
    let running = site.start();
    running.until("gate", "frames", |status| status.taken >= 30).await;
    running.stop().await.unwrap();
    let accounts = site.audit("gate").accounts;
    let lost: u64 = accounts.iter().filter_map(|a| a.account.skipped.get("after-loss")).sum();
    assert!(lost > 0, "{accounts:?}");
    check_numbers(&site.frames("eye").await);
}

#[tokio::test]
async fn a_bad_camera_does_not_touch_a_good_one() {
    let good = serve(Feed::scene(small_scene())).await;
    let bad = serve(
        Feed::scene(small_scene())
            .fault(Fault::Close { every_seconds: Some(1.0) })
            .fault(Fault::Corrupt { rate: 0.2 }),
    )
    .await;
    let site = Site::new(&format!(
        "[receive]\nbackoff_min = \"100ms\"\n\
         [streams.good]\nurl = \"{}\"\n[streams.bad]\nurl = \"{}\"\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = {{ {SAMPLE} }}",
        good.url("gate"),
        bad.url("gate")
    ));
    let running = site.start();
    running.until("bad", "events", |status| status.events >= 3).await;
    running.until("good", "frames", |status| status.taken >= 50).await;
    running.stop().await.unwrap();
    let account = site.account("good").account;
    let stopped = account.skipped.get("stopped").unwrap_or(&0);
    let (units, taken) = (account.received - stopped, account.taken);
    assert!(taken >= units / 2 - 1, "{account:?}");
    assert!(account.undecodable == 0 && !account.skipped.contains_key("overload"), "{account:?}");
    for bad in site.audit("bad").accounts {
        assert!(bad.closed && bad.account.closes(), "{bad:?}");
    }
}

#[tokio::test]
async fn cameras_that_fail_together_in_a_way_that_may_pass_all_come_back() {
    let camera = serve(Feed::scene(small_scene())).await;
    let url = camera.url("gate");
    let site = Site::new(&format!(
        "[streams.gate]\nurl = \"{url}\"\n[streams.yard]\nurl = \"{url}\"\n\
         [models.eye]\nalgorithm = \"circles\"\nsample = {{ {SAMPLE} }}"
    ));
    let lock = |stream| {
        let path = site.embedded.folder.spool_lock(&StreamId::new(stream).unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        file.lock().unwrap();
        file
    };
    let locks = ["gate", "yard"].map(lock);
    let running = site.start();
    for stream in ["gate", "yard"] {
        let waits = |status: &receive_video::StreamStatus| status.state == StreamState::Waiting;
        let told = running.until(stream, "word of it", waits).await;
        assert!(told.words.contains("already received by"), "{told:?}");
    }
    drop(locks);
    for stream in ["gate", "yard"] {
        running.until(stream, "frames", |status| status.taken > 0).await;
    }
    running.stop().await.unwrap();
}

/// A feed that panics until it is told otherwise.
#[derive(Debug)]
struct Panics {
    inner: Arc<dyn ResultFeed>,
    panics: Arc<AtomicBool>,
}

#[async_trait]
impl ResultFeed for Panics {
    fn reply_to(&self) -> Option<String> {
        assert!(!self.panics.load(Ordering::SeqCst), "no name for a feed");
        self.inner.reply_to()
    }

    fn publish(&self, result: Arc<FrameResult>, reply_to: Option<&str>) -> Result<(), PortError> {
        self.inner.publish(result, reply_to)
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, PortError> {
        self.inner.subscribe().await
    }
}

#[tokio::test]
async fn a_panic_is_named_and_its_stream_is_tried_again() {
    let camera = serve(Feed::scene(small_scene())).await;
    let site = site(&camera.url("gate"), "", SAMPLE);
    let (mut ports, panics) = (site.embedded.ports.clone(), Arc::new(AtomicBool::new(true)));
    ports.feed = Arc::new(Panics { inner: ports.feed, panics: Arc::clone(&panics) });
    let running = site.start_with(ports);
    let waits = |status: &receive_video::StreamStatus| status.state == StreamState::Waiting;
    let told = running.until("gate", "word of it", waits).await.words;
    assert!(told.contains("panicked: no name for a feed; next try in "), "{told}");
    panics.store(false, Ordering::SeqCst);
    running.until("gate", "frames", |status| status.taken > 0).await;
    running.stop().await.unwrap();
}
