//! What a month on AWS costs, as a user asks for it.

use crate::site::Site;

/// Two cameras, asked once a second, in bundles of ten.
const CAMERAS: &str = "\
[streams.gate]
url = \"rtsp://10.0.0.5/main\"
[streams.yard]
url = \"rtsp://10.0.0.6/main\"
[models.round]
algorithm = \"circles\"
sample = { max_delay = \"10s\", payload = \"auto\" }
[infer]
wait = \"5s\"
";

fn json(site: &Site, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&site.run(&[&["cost", "--json"], args].concat()).ok()).unwrap()
}

#[test]
fn the_bill_is_printed_item_by_item() {
    insta::assert_snapshot!(Site::new(CAMERAS).run(&["cost"]).ok());
}

#[test]
fn assumptions_can_be_replaced() {
    let site = Site::new(CAMERAS);
    let dollars = |args: &[&str]| json(&site, args)["dollars_per_camera"].as_f64().unwrap();
    let usual = dollars(&[]);
    assert!(dollars(&["--retention-days", "30"]) > usual);
    assert!(dollars(&["--queries-per-day", "0"]) < usual);
    assert!(dollars(&["--rows-per-frame", "20.5"]) > usual);
    assert_eq!(json(&site, &["--frame-bytes", "30000"])["loads"][0]["inline"], true);
    assert_eq!(site.run(&["cost", "--rows-per-frame", "0.5"]).code, Some(2));
}

#[test]
fn a_configuration_that_asks_nothing_costs_nothing_that_can_be_told() {
    let error = Site::new("[streams.gate]\nurl = \"scene:\"\n").run(&["cost"]).error();
    assert!(error.contains("the configuration has no model with a stream"), "{error}");
}

#[test]
fn a_running_system_is_measured_by_its_rows() {
    let site = Site::new(
        "[streams.gate]\nurl = \"scene:?seed=3&width=320&height=192&fps=25&seconds=4\"\n\
         [models.round]\nalgorithm = \"circles\"\n\
         sample = { every = \"200ms\", pick = \"exact\", max_frames = 5, max_delay = \"1min\" }\n",
    );
    site.run(&["up"]).ok();
    let measured = json(&site, &["--measured"]);
    assert_eq!(
        (&measured["cameras"], &measured["measured"]["frames"]),
        (&1.0.into(), &20.0.into())
    );
    let load = &measured["loads"][0];
    assert_eq!((&load["period"], &load["frames_per_bundle"]), (&0.2.into(), &5.0.into()));
    assert_eq!(load["inline"], false);
    let bytes = load["bundle_bytes"].as_f64().unwrap();
    assert!((5_000.0..500_000.0).contains(&bytes), "{bytes}");
    let text = site.run(&["cost", "--measured"]).ok();
    assert!(
        text.starts_with("Measured over 20 frames in 0.00 hours of video, once for each model;"),
        "{text}"
    );
}

#[test]
fn rows_that_tell_no_rate_are_not_enough() {
    let site = Site::new(
        "[streams.gate]\nurl = \"scene:?width=320&height=192&seconds=1\"\n\
         [models.round]\nalgorithm = \"circles\"\nsample = { every = \"1min\" }\n",
    );
    site.run(&["up"]).ok();
    let error = site.run(&["cost", "--measured"]).error();
    assert!(error.contains("no two frames of one epoch and model"), "{error}");
}
