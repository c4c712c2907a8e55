//! AWS away, slow or half deaf: nothing is lost, nothing doubles, and work goes on soon after.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use e2e::{Backend, Program, Proxy, Site, aws, eventually};
use serde_json::Value;

use crate::ending::{assert_goes_on, settle};

/// How soon work goes on when a fault has ended.
const RECOVERY: Duration = Duration::from_secs(30);
/// Resident memory of a receiver or a worker, at most: it works on small pictures, and spools on disk.
const MEMORY_MIB: u64 = 200;

const CONFIG: &str = r#"
    data = "data"

    [streams.gate]
    url = "scene:?seed=5&width=320&height=192&fps=25"
    paced = true

    [models.sleeper]
    algorithm = "sleep:20ms"
    sample = { every = "80ms", pick = "exact", max_frames = 5, max_delay = "400ms" }

    [queue]
    max_receives = 1000

    [infer]
    instances = 2
    lease = "5s"
"#;

/// A receiver and its workers on AWS.
struct Run {
    site: Site,
    receiver: Program,
    workers: Vec<Program>,
}

impl Run {
    fn start(environment: BTreeMap<String, String>, workers: usize) -> Self {
        let site = Site::with(Backend::Aws, environment, CONFIG);
        let receiver = site.start("receive-video", &[]);
        let workers = (1..=workers).map(|n| Self::worker(&site, n)).collect();
        let run = Self { site, receiver, workers };
        run.goes_on(Duration::from_secs(60));
        run
    }

    fn worker(site: &Site, n: usize) -> Program {
        let name = format!("worker-{n}");
        site.start_as(&name, "model-inference", &["--worker", &name])
    }

    /// Waits until further frames are answered.
    fn goes_on(&self, deadline: Duration) {
        assert_goes_on(&self.site, &self.receiver, deadline);
    }

    /// Ends it, and compares objects with rows.
    fn settle(self) {
        let Self { site, mut receiver, mut workers } = self;
        let finite = CONFIG.replace("fps=25", "fps=25&seconds=1");
        let objects = settle(&site, &finite, &mut receiver, &mut workers);
        assert!(objects > 10, "only {objects} objects: the fault left no time to work");
    }

    fn assert_memory_is_bounded(&self) {
        for process in self.workers.iter().chain([&self.receiver]) {
            let mib = process.resident_mib();
            assert!(mib < MEMORY_MIB, "{mib} MiB resident");
        }
    }
}

/// A proxy before the endpoint, and what leads programs to it.
fn proxy() -> (Proxy, BTreeMap<String, String>) {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").expect("the test runs where there is one");
    let proxy = Proxy::start(&endpoint).expect("the endpoint is of this machine");
    let environment = BTreeMap::from([("AWS_ENDPOINT_URL".to_owned(), proxy.url())]);
    (proxy, environment)
}

#[test]
fn a_third_of_the_calls_throttled_and_some_answers_lost() {
    if !aws::is_wanted() {
        return;
    }
    let (proxy, environment) = proxy();
    let run = Run::start(environment, 2);
    proxy.throttle(0.3, 1);
    proxy.lose_answers(0.05, 2);
    let wanted = 300;
    eventually("enough calls were made", Duration::from_secs(300), || {
        let seen = proxy.seen();
        let made = seen.calls.values().sum::<u64>();
        if made > wanted && seen.throttled > 100 && seen.unanswered > 10 {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    });
    run.assert_memory_is_bounded();
    proxy.throttle(0.0, 1);
    proxy.lose_answers(0.0, 2);
    run.goes_on(RECOVERY);
    run.settle();
}

#[test]
fn connections_cut_for_ten_seconds() {
    if !aws::is_wanted() {
        return;
    }
    let (proxy, environment) = proxy();
    let run = Run::start(environment, 1);
    proxy.cut(true);
    run.receiver.wait_for_log("store or queue are away", Duration::from_secs(30));
    // How long the fault lasts is the test's input, not a wait for something.
    thread::sleep(Duration::from_secs(10));
    run.assert_memory_is_bounded();
    proxy.cut(false);
    run.goes_on(RECOVERY);
    run.settle();
}

#[test]
fn a_worker_killed_while_it_holds_leases_beside_another() {
    if !aws::is_wanted() {
        return;
    }
    let mut run = Run::start(BTreeMap::new(), 2);
    let mut answered = [0, 0];
    for n in 0..12 {
        let at = n % 2;
        let sql = format!("SELECT count(*) FROM frames WHERE worker = 'worker-{}'", at + 1);
        answered[at] = eventually("the worker answers", Duration::from_secs(60), || {
            match run.site.number(&sql)? {
                frames if frames > answered[at] => Ok(frames),
                _ => Err(run.workers[at].stderr()),
            }
        });
        // Bundles come faster than it looks for them: it holds leases at nearly any moment.
        run.workers[at].kill();
        run.workers[at] = Run::worker(&run.site, at + 1);
    }
    run.goes_on(RECOVERY);
    run.settle();
}

#[test]
fn emulator_frozen_for_twenty_seconds() {
    if !aws::is_wanted() {
        return;
    }
    let run = Run::start(BTreeMap::new(), 1);
    let frozen = aws::Frozen::emulator();
    run.receiver.wait_for_log("store or queue are away", Duration::from_secs(30));
    // How long the fault lasts is the test's input, not a wait for something.
    thread::sleep(Duration::from_secs(20));
    run.assert_memory_is_bounded();
    drop(frozen);
    run.goes_on(RECOVERY);
    run.settle();
}

#[test]
fn a_model_that_needs_order_has_it_with_many_workers() {
    if !aws::is_wanted() {
        return;
    }
    let config = r#"
        data = "data"

        [streams.gate]
        url = "scene:?seed=5&width=320&height=192&fps=25&seconds=4"

        [streams.yard]
        url = "scene:?seed=6&width=320&height=192&fps=25&seconds=4"

        [models.sleeper]
        algorithm = "sleep:5ms"
        sample = { every = "80ms", pick = "exact", max_frames = 1 }

        [infer]
        instances = 2

        [aws]
        fifo = ["sleeper"]
    "#;
    let site = Site::on(Backend::Aws, config);
    let mut receiver = site.start("receive-video", &[]);
    assert!(receiver.wait(Duration::from_secs(60)).success(), "{}", receiver.stderr());
    let _workers = [1, 2].map(|n| Run::worker(&site, n));
    site.settled(Duration::from_secs(60));
    let answers = site
        .query("SELECT stream, worker, inferred_at FROM frames ORDER BY stream, epoch, media_time");
    let answers = answers.expect("the table can be read");
    let field = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
    let workers: BTreeSet<String> = answers.iter().map(|row| field(row, "worker")).collect();
    assert_eq!((answers.len(), workers.len()), (100, 2), "both worked on two times fifty frames");
    for pair in answers.windows(2) {
        let [(stream, then), (next, later)] =
            [0, 1].map(|at| (field(&pair[at], "stream"), field(&pair[at], "inferred_at")));
        assert!(stream != next || then < later, "{stream}: {then} before {later}");
    }
}

/// Starts `millrace up` with something wrong, and gives what its last line says; it ends within ten seconds.
fn refusal(site: &Site, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(e2e::program("millrace"));
    command.args(["up", "-c"]).arg(site.config()).envs(environment.iter().copied());
    let begun = Instant::now();
    let mut up = Program::start("refused", site.path(), &mut command);
    let status = up.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(1), "{}", up.stderr());
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    up.stderr().trim_end().lines().last().unwrap_or_default().to_owned()
}

#[test]
fn what_is_missing_or_refused_is_named_at_the_start() {
    if !aws::is_wanted() {
        return;
    }
    let site = Site::on(Backend::Aws, CONFIG);
    let config = fs::read_to_string(site.config()).expect("it was written");
    let write = |text: &str| fs::write(site.config(), text).expect("the site is writable");
    for (key, words) in [
        ("bucket = \"no-such-bucket-here\"", ["no-such-bucket-here", "ListObjectsV2"]),
        ("fifo = [\"sleeper\"]", ["-sleeper.fifo", "GetQueueUrl"]),
        ("delivery_stream = \"no-such-stream\"", ["no-such-stream", "DescribeDeliveryStream"]),
    ] {
        write(&format!("{config}{key}\n"));
        let line = refusal(&site, &[]);
        assert!(words.iter().all(|word| line.contains(word)), "{key}: {line}");
    }
    write(&config);
    let line = refusal(&site, &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]);
    assert!(line.contains("ListObjectsV2") && line.contains("refused"), "{line}");
}

/// Calls for 1,000 frames at one frame a second, bundled by ten, against six for each frame alone: PUT, send,
/// receive, GET, record, delete.
#[test]
fn bundles_need_an_eighth_of_the_calls() {
    if !aws::is_wanted() {
        return;
    }
    let (proxy, environment) = proxy();
    let config = r#"
        data = "data"

        [streams.gate]
        url = "scene:?seed=5&width=320&height=192&fps=1&seconds=1000"

        [models.sleeper]
        algorithm = "sleep:0ms"
        sample = { every = "1s", pick = "exact", max_frames = 10, max_delay = "15s" }

        [infer]
        wait = "5s"
    "#;
    let site = Site::with(Backend::Aws, environment, config);
    proxy.reset();
    let mut up = site.start("millrace", &["up"]);
    assert!(up.wait(Duration::from_secs(240)).success(), "{}", up.stderr());
    let calls = proxy.calls();
    site.settled(Duration::from_secs(60));
    assert_eq!(site.number("SELECT count(*) FROM frames"), Ok(1_000));
    let all: u64 = calls.values().sum();
    println!("calls for 1,000 frames: {all}: {calls:?}");
    assert!(all <= 6 * 1_000 / 8, "{all} calls: {calls:?}");

    // And the dollars, by the rows that are there, of calls from the camera to the delivery stream.
    let cost = site.millrace(&["cost", "--measured", "--json"]);
    assert!(cost.status.success(), "{}", String::from_utf8_lossy(&cost.stderr));
    let cost: Value = serde_json::from_slice(&cost.stdout).expect("--json gives JSON");
    assert_eq!(cost["loads"][0]["frames_per_bundle"], 10.0, "{cost}");
    let dollars = |field: &str| cost["comparison"][field].as_f64().expect("a sum of dollars");
    assert!(dollars("dollars") <= 2.0, "{cost}");
    assert!((16.0..18.0).contains(&dollars("dollars_one_by_one")), "{cost}");
}
