//! Cameras and networks that break rules without ill will: what is wrong costs what it is wrong with, and no session.

use fake_camera::{CameraConfig, FakeCamera, Fault, Feed};
use receive_video::StreamStatus;

use crate::cameras::{check_numbers, probe, serve, site, small_scene};
use crate::site::{Site, eventually};

const SAMPLE: &str = "every = \"80ms\", pick = \"exact\", max_delay = \"100ms\"";

/// Whether pictures were lost with packets.
fn lost(status: &StreamStatus) -> bool {
    status.accounts.values().any(|account| account.skipped.contains_key("after-loss"))
}

/// Takes pictures of a camera with a fault; nothing but `told` may have happened, and none be wrong.
async fn plays_on_with(fault: Fault, transport: &str, told: Option<&str>) -> Site {
    let camera = serve(Feed::scene(small_scene()).fault(fault.clone())).await;
    let stream = format!("transport = \"{transport}\"");
    let site = site(&camera.url("gate"), &stream, SAMPLE);
    let running = site.start();
    let happened = u64::from(told.is_some());
    // Word of what comes may be there before the picture that it costs.
    let costs = matches!(fault, Fault::BadHeader { .. } | Fault::Unescaped { .. });
    let enough = move |status: &StreamStatus| {
        status.taken >= 60 && status.events >= happened && (!costs || lost(status))
    };
    running.until("gate", "pictures", enough).await;
    running.stop().await.unwrap();
    let kinds: Vec<String> = site.events("gate").into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, told.map(str::to_owned).into_iter().collect::<Vec<_>>());
    assert_eq!(site.audit("gate").accounts.len(), 1, "one session");
    check_numbers(&site.frames("eye").await);
    site
}

#[tokio::test]
async fn packets_that_overtake_others_cost_few_pictures() {
    for transport in ["tcp", "udp"] {
        let site = plays_on_with(Fault::Reorder { rate: 0.2 }, transport, None).await;
        let account = site.account("gate").account;
        let lost = account.skipped.get("after-loss").copied().unwrap_or_default();
        // A loop that stands still for longer than the window waits loses a group.
        assert!(lost * 4 <= account.received, "{transport}: {account:?}");
    }
}

#[tokio::test]
async fn packets_of_a_foreign_source_are_left_out() {
    for transport in ["tcp", "udp"] {
        let told = Some("foreign-source");
        let site = plays_on_with(Fault::Foreign { rate: 0.2 }, transport, told).await;
        let account = site.account("gate").account;
        assert_eq!(account.undecodable, 0, "{account:?}");
    }
}

#[tokio::test]
async fn a_bad_nal_header_costs_its_group_and_no_session() {
    let fault = Fault::BadHeader { rate: 0.03 };
    let site = plays_on_with(fault, "tcp", Some("damaged-packets")).await;
    let account = site.account("gate").account;
    assert!(account.skipped.contains_key("after-loss"), "{account:?}");
}

#[tokio::test]
async fn bytes_that_no_nal_unit_may_hold_cost_their_group_and_no_session() {
    for transport in ["tcp", "udp"] {
        let fault = Fault::Unescaped { rate: 0.03 };
        let site = plays_on_with(fault, transport, Some("forbidden-bytes")).await;
        let account = site.account("gate").account;
        assert!(account.skipped.contains_key("after-loss"), "{account:?}");
    }
}

#[tokio::test]
async fn fragments_that_the_camera_itself_leaves_out_cost_their_group_and_no_session() {
    let camera = serve(Feed::scene(small_scene()).fault(Fault::Omit { rate: 0.02 })).await;
    let site = site(&camera.url("gate"), "", SAMPLE);
    let running = site.start();
    running.until("gate", "pictures", |status| status.taken >= 30 && lost(status)).await;
    running.until("gate", "word of it", |status| status.events >= 1).await;
    running.stop().await.unwrap();
    let events = site.events("gate");
    // What is left out from within a picture is known by the decoder alone.
    let kinds = ["broken-units", "undecodable"];
    assert!(events.iter().all(|event| kinds.contains(&&*event.kind)), "{events:?}");
    let account = site.account("gate").account;
    assert!(account.skipped.contains_key("after-loss"), "{account:?}");
}

#[tokio::test]
async fn a_redirect_is_followed_and_its_camera_plays() {
    let redirect = Fault::Redirect { to: "yard".into() };
    let config = CameraConfig::loopback()
        .with("gate", Feed::scene(small_scene()).fault(redirect))
        .with("yard", Feed::scene(small_scene()));
    let camera = FakeCamera::start(config).await.unwrap();
    let site = site(&camera.url("gate"), "", SAMPLE);
    let running = site.start();
    running.until("gate", "pictures", |status| status.taken >= 10).await;
    running.stop().await.unwrap();
    assert!(site.events("gate").is_empty());
    check_numbers(&site.frames("eye").await);
}

/// Checks that a camera whose packets are all left out was told of so, and not as one that sends nothing.
async fn check_told(site: &Site) {
    let told = |kind: &str| site.events("gate").iter().any(|event| event.kind == kind);
    eventually("word of it", || told("forbidden-bytes").then_some(())).await;
    eventually("the end of it", || told("no-picture").then_some(())).await;
    let events = site.events("gate");
    assert!(events.iter().all(|event| !event.words.contains("sent nothing")), "{events:?}");
}

#[tokio::test]
async fn a_camera_whose_packets_are_all_left_out_is_not_called_silent() {
    let fault = Fault::Unescaped { rate: 1.0 };
    let camera = serve(Feed::scene(small_scene()).fault(fault)).await;
    let site = site(&camera.url("gate"), "silence = \"5s\"", SAMPLE);
    let running = site.start();
    check_told(&site).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_camera_whose_packets_come_to_be_left_out_is_not_called_silent() {
    let camera = serve(Feed::scene(small_scene())).await;
    let site = site(&camera.url("gate"), "silence = \"5s\"", SAMPLE);
    let running = site.start();
    running.until("gate", "pictures", |status| status.taken >= 5).await;
    camera.set_fault("gate", &Fault::Unescaped { rate: 1.0 }).unwrap();
    check_told(&site).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_probe_of_a_camera_whose_packets_are_all_left_out_says_why() {
    let fault = Fault::Unescaped { rate: 1.0 };
    let camera = serve(Feed::scene(small_scene()).fault(fault)).await;
    let error = probe(&camera.url("gate")).await.unwrap_err();
    assert!(error.starts_with("it sends packets that have made no picture for "), "{error}");
    assert!(error.contains("; it sends bytes that no NAL unit may hold"), "{error}");
}
