//! Health, metrics and logs of a running process, and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::{Running, eventually, get};
use crate::site::Site;

/// A camera that plays, one that nobody answers for, and a model that needs no file.
const SITE: &str = "\
[telemetry]
listen = \"127.0.0.1:0\"
[streams.gate]
url = \"scene:?seed=3&width=320&height=192&fps=25\"
paced = true
[streams.yard]
url = \"rtsp://127.0.0.1:9/yard\"
[models.round]
algorithm = \"circles\"
sample = { every = \"200ms\", pick = \"exact\", max_frames = 3 }
";

fn up(config: &str) -> (Site, Running, String) {
    let site = Site::new(config);
    let running = Running::start(site.command(&["up", "--log-format", "json"]));
    let address = running.address();
    (site, running, address)
}

/// The page of metrics, once frames were taken and answered.
fn page_with_rows(address: &str) -> String {
    eventually(|| {
        let (status, page) = get(address, "/metrics");
        assert_eq!(status, 200);
        let has = |family: &str| {
            samples(&page).into_iter().any(|(name, n)| name.starts_with(family) && n > 0.0)
        };
        let is_full = has("millrace_taken_total") && has("millrace_rows_total");
        if is_full { Ok(page) } else { Err(page) }
    })
}

/// Name and labels → value.
fn samples(page: &str) -> BTreeMap<&str, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, n)| (name, n.parse().unwrap()))
        .collect()
}

/// The names of the families, as they are asked for.
fn families(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let name = |line: &str| match line.split_once(' ').unwrap() {
        (name, "counter") => format!("{name}_total"),
        (name, _) => name.to_owned(),
    };
    types.map(name).collect()
}

/// The names that `docs/metrics.md` has a line for.
fn documented() -> BTreeSet<String> {
    documented_labels().into_keys().collect()
}

/// The labels of each, as `docs/metrics.md` lists them.
fn documented_labels() -> BTreeMap<String, BTreeSet<String>> {
    let docs = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let lines = docs.lines().filter(|line| line.starts_with("| `millrace_"));
    let one = |line: &str| {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let labels = columns[3].split(", ").filter(|label| !label.is_empty());
        (columns[1].trim_matches('`').to_owned(), labels.map(str::to_owned).collect())
    };
    lines.map(one).collect()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let (_site, _running, address) = up(SITE);
    let (_, page) = get(&address, "/metrics");
    assert_eq!(families(&page), documented());
}

/// A stream's series cost a receiver what it has streams; a worker serves thousands.
#[test]
fn every_series_has_the_labels_that_are_documented_and_workers_none_by_stream() {
    let (_site, _running, address) = up(SITE);
    let page = page_with_rows(&address);
    let documented = documented_labels();
    for sample in samples(&page).into_keys() {
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let expected = documented.get(name).or_else(|| documented.get(family?));
        let found: BTreeSet<&str> = labels
            .trim_end_matches('}')
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        assert_eq!(
            Some(&found),
            expected.map(|labels| labels.iter().map(String::as_str).collect()).as_ref(),
            "{sample}"
        );
    }
    for name in ["delivered_total", "errors_total", "rows_total"] {
        let labels = &documented[&format!("millrace_{name}")];
        assert!(labels.iter().eq(["model"]), "{name}: {labels:?}");
    }
}

#[test]
fn the_loss_equation_can_be_read_from_the_metrics() {
    let (_site, _running, address) = up(SITE);
    let page = page_with_rows(&address);
    let sum = |name: &str| -> f64 {
        let of_gate = |sample: &str| sample.starts_with(name) && sample.contains("stream=\"gate\"");
        samples(&page).into_iter().filter(|(sample, _)| of_gate(sample)).map(|(_, n)| n).sum()
    };
    let received = sum("millrace_received_total");
    let settled = sum("millrace_taken_total")
        + sum("millrace_skipped_total")
        + sum("millrace_undecodable_total")
        + sum("millrace_pending");
    assert!(received > 0.0, "{page}");
    assert!((received - settled).abs() < 0.5, "received {received}, settled {settled}:\n{page}");
    let answers = samples(&page)["millrace_latency_seconds_count{model=\"round\"}"];
    assert!(answers > 0.0, "{page}");
}

#[test]
fn one_bad_camera_is_named_and_the_process_is_ready() {
    let (_site, _running, address) = up(SITE);
    let report: Value = eventually(|| {
        let (status, body) = get(&address, "/readyz");
        let report: Value = serde_json::from_str(&body).unwrap();
        let plays =
            report["streams"]["gate"].as_str().is_some_and(|words| words.contains("playing"));
        if status == 200 && plays { Ok(report) } else { Err(body) }
    });
    assert!(report["wrong"].to_string().contains("stream \\\"yard\\\": "), "{report}");
    assert_eq!(report["models"]["round"], "ready");
    assert!(report["queues"]["round"].as_str().unwrap().contains("leased"), "{report}");
    assert_eq!(get(&address, "/healthz").0, 200);
}

#[test]
fn a_model_that_cannot_be_loaded_makes_the_process_unready_in_words() {
    let config = format!("{SITE}[models.gone]\npath = \"gone.onnx\"\n");
    let (_site, _running, address) = up(&config);
    let body = eventually(|| match get(&address, "/readyz") {
        (503, body) if body.contains("gone.onnx") => Ok(body),
        (status, body) => Err(format!("{status} {body}")),
    });
    assert!(body.contains("model \\\"gone\\\": "), "{body}");
}

#[test]
fn an_address_that_is_taken_is_named_at_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::new(&SITE.replace("127.0.0.1:0", &address));
    let error = site.run(&["up"]).error();
    let expected = format!("listen on \"{address}\" for health and metrics (telemetry.listen): ");
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn sigterm_drains_and_every_event_is_a_json_object() {
    let (site, running, address) = up(SITE);
    page_with_rows(&address);
    let told = Instant::now();
    let (status, said) = running.terminate();
    assert!(status.success(), "{status:?} {said:?}");
    assert!(told.elapsed() < Duration::from_secs(25), "it took {:?}", told.elapsed());
    for line in &said {
        let event: Value = serde_json::from_str(line).unwrap();
        for key in ["timestamp", "level", "target", "message"] {
            assert!(event[key].is_string(), "{key} in {line}");
        }
    }
    assert!(said.iter().any(|line| line.contains("draining")), "{said:?}");
    assert!(site.run(&["audit"]).ok().contains("the loss equation closes"));
}

#[test]
fn a_model_that_is_being_loaded_does_not_hold_up_the_end() {
    let site = Site::new(&SITE.replace("algorithm = \"circles\"", "path = \"slow.onnx\""));
    // Nobody writes into it, so opening it never ends.
    assert!(Command::new("mkfifo").arg(site.path("slow.onnx")).status().unwrap().success());
    let running = Running::start(site.command(&["infer", "--log-format", "json"]));
    let address = running.address();
    eventually(|| match get(&address, "/readyz") {
        (503, body) if body.contains("is being loaded") => Ok(()),
        (status, body) => Err(format!("{status} {body}")),
    });
    let told = Instant::now();
    let (status, said) = running.terminate();
    assert!(status.success(), "{status:?} {said:?}");
    assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
}

#[test]
fn sigterm_drains_although_nobody_reads_the_logs() {
    let site = Site::new(SITE);
    let mut child = site.command(&["up", "--log-format", "json"]).spawn().unwrap();
    let mut logs = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = logs.find_map(|line| {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        Some(event["address"].as_str()?.to_owned())
    });
    drop(logs);
    page_with_rows(&address.expect("it says where its pages are"));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ended = eventually(|| child.try_wait().unwrap().ok_or_else(|| "it goes on".to_owned()));
    assert!(ended.success(), "{ended:?}");
}

/// The labels that a dashboard's selectors of a metric name, which stand in braces behind it.
fn selected(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    text.split("millrace_").skip(1).flat_map(move |rest| {
        let (name, rest) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        let selector = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let labels = selector.map_or("", |(labels, _)| labels).split(',');
        let label = move |label: &str| label.find(|c| !is_name(c)).map(|end| (name, end));
        labels.filter_map(move |text| label(text).map(|(name, end)| (name, &text[..end])))
    })
}

#[test]
fn the_dashboard_asks_for_documented_metrics_only() {
    let text = std::fs::read_to_string(root().join("deploy/grafana/millrace.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap();
    let documented = documented();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let asked: BTreeSet<&str> =
        text.split(|c| !is_name(c)).filter(|word| word.starts_with("millrace_")).collect();
    for name in &asked {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known =
            documented.contains(*name) || family.is_some_and(|name| documented.contains(name));
        assert!(known, "{name} is not in docs/metrics.md");
    }
    let labels = documented_labels();
    for (name, label) in selected(&text) {
        let family = name.trim_end_matches("_bucket");
        let known = &labels[&format!("millrace_{family}")];
        assert!(known.contains(label), "millrace_{name} has no label {label:?}: {known:?}");
    }
    assert!(asked.len() >= 15, "{asked:?}");
}
