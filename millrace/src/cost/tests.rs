use std::collections::BTreeMap;
use std::path::Path;

use services::config::{Config, Overrides, parse};

use super::*;

/// A site of so many cameras; each model's key `sample` as given.
fn site(cameras: usize, sample: &str, more: &str) -> Config {
    let streams: String = (0..cameras)
        .map(|n| format!("[streams.gate-{n}]\nurl = \"rtsp://10.0.0.{n}/\"\n"))
        .collect();
    let model = format!("[models.shapes]\nalgorithm = \"circles\"\nsample = {{ {sample} }}\n");
    let text = format!("{streams}{model}{more}");
    parse(Some((&text, Path::new("millrace.toml"))), &BTreeMap::new(), &Overrides::default())
        .unwrap()
}

fn month(config: &Config) -> Estimate {
    let assumptions = Assumptions::of(config);
    let loads = plan(config, &assumptions);
    estimate(config.streams.len() as f64, loads, assumptions)
}

fn line<'a>(estimate: &'a Estimate, item: &str) -> &'a Line {
    estimate.lines.iter().find(|line| line.item == item).unwrap()
}

/// What [docs/aws.md] sets for cameras that nobody waits for.
const BUNDLED: &str = "max_delay = \"10s\"";
const PATIENT: &str = "[infer]\nwait = \"5s\"\n";

#[test]
fn one_put_one_message_one_get_and_one_record_per_frame_are_seventeen_dollars() {
    let comparison = month(&site(1, "", "")).comparison;
    assert!((17.0..17.6).contains(&comparison.dollars_one_by_one), "{comparison:?}");
    assert_eq!((comparison.puts_one_by_one * 100.0).round(), 74.0);
    let many = month(&site(50, "", "")).comparison;
    assert!((many.dollars_one_by_one - comparison.dollars_one_by_one).abs() < 1e-9);
}

#[test]
fn bundled_a_camera_costs_at_most_two_dollars_and_an_eighth_of_the_calls() {
    let one = month(&site(1, BUNDLED, PATIENT)).comparison;
    assert!(one.dollars <= 2.0, "{one:?}");
    for cameras in [2, 10, 1_000] {
        let comparison = month(&site(cameras, BUNDLED, PATIENT)).comparison;
        assert!(comparison.dollars <= 2.0, "{cameras} cameras: {comparison:?}");
        assert!(comparison.calls <= comparison.calls_one_by_one / 8.0, "{comparison:?}");
    }
}

#[test]
fn a_bundle_is_as_large_as_its_delay_lets_it_grow() {
    let frames = |sample: &str| month(&site(1, sample, "")).loads[0].frames_per_bundle;
    assert_eq!(frames("max_delay = \"1s\""), 1.0);
    assert_eq!(frames("max_delay = \"10s\""), 10.0);
    assert_eq!(frames("max_delay = \"1h\""), 10.0);
    assert_eq!(frames("max_delay = \"4s\", every = \"500ms\""), 8.0);
    assert_eq!(frames("max_delay = 0"), 1.0);
    // 60 kB are 80 kB as Base64: 13 of them make a megabyte.
    assert_eq!(frames("max_delay = \"1h\", max_frames = 100, payload = \"inline\""), 13.0);
}

#[test]
fn what_travels_in_messages_costs_messages_and_no_objects() {
    let inline = month(&site(1, "max_delay = \"10s\", payload = \"inline\"", PATIENT));
    for item in ["S3 PUT of frames", "S3 GET of frames", "S3 storage of frames"] {
        assert_eq!(line(&inline, item).dollars, 0.0);
    }
    // 600 kB are 13 steps of 64 KiB.
    assert_eq!(line(&inline, "SQS send").amount, line(&inline, "SQS delete").amount * 13.0);
    let objects = month(&site(1, BUNDLED, PATIENT));
    assert_eq!(line(&objects, "SQS send").amount, line(&objects, "SQS delete").amount);
}

#[test]
fn auto_takes_the_cheaper_way_at_the_assumed_size() {
    let config = site(1, "max_delay = \"10s\", payload = \"auto\"", "");
    let inline = |frame_bytes| {
        let assumptions = Assumptions { frame_bytes, ..Assumptions::of(&config) };
        plan(&config, &assumptions)[0].inline
    };
    assert_eq!([5_000.0, 30_000.0, 70_000.0].map(inline), [true, true, false]);
}

#[test]
fn an_idle_worker_pays_for_waiting() {
    let config = site(1, "every = \"24h\"", PATIENT);
    let empty = line(&month(&config), "SQS receive, in vain").amount;
    // Every five seconds for a month.
    assert!((518_300.0..518_500.0).contains(&empty), "{empty}");
    let busy = site(100, "", PATIENT);
    assert!(line(&month(&busy), "SQS receive, in vain").amount < 1.0);
}

#[test]
fn a_model_is_asked_about_its_own_streams_alone() {
    let text = "[streams.a]\nurl = \"scene:\"\nmodels = [\"m\"]\n[streams.b]\nurl = \"scene:\"\n\
                [models.m]\nalgorithm = \"circles\"\n[models.n]\nalgorithm = \"circles\"\n\
                [aws]\nfifo = [\"n\"]\n";
    let path = Path::new("millrace.toml");
    let config = parse(Some((text, path)), &BTreeMap::new(), &Overrides::default()).unwrap();
    let estimate = month(&config);
    let streams: Vec<f64> = estimate.loads.iter().map(|load| load.streams).collect();
    assert_eq!(streams, [2.0, 1.0]);
    assert_eq!((estimate.loads[0].fifo, estimate.loads[1].fifo), (false, true));
}

#[test]
fn hints_say_what_patience_would_save() {
    let told = |config: Config| hints(&config, &Assumptions::of(&config));
    let unbundled = told(site(1, "", PATIENT));
    assert_eq!(unbundled.len(), 1, "{unbundled:?}");
    assert!(unbundled[0].starts_with("model shapes: max_delay = \"1s\""), "{unbundled:?}");
    assert!(unbundled[0].contains("\"10s\" would save $1"), "{unbundled:?}");
    let impatient = told(site(1, BUNDLED, ""));
    assert_eq!(impatient.len(), 1, "{impatient:?}");
    assert!(impatient[0].starts_with("infer.wait = \"5s\" would save $0."), "{impatient:?}");
    assert!(told(site(4, BUNDLED, PATIENT)).is_empty());
}
