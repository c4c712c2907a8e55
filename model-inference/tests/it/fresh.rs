//! A model that is too slow for its stream, and answers of which only fresh ones are wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model_inference::model::Model;
use services::queue::Queue;
use services::{CaptureTime, FrameBatch, MadeUpClock, Seq, Status};
use tokio::runtime::Handle;

use super::support::{Site, jpeg_of, model_name, model_of};

const START: CaptureTime = CaptureTime(1_000_000_000);
const EVERY: Duration = Duration::from_millis(100);
const RUN: Duration = Duration::from_secs(1);
const FRESH: Duration = Duration::from_secs(2);
/// Runs while the camera sends frames.
const RUNS: u64 = 30;

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap()
}

/// A camera of ten frames a second, whose own clock is an hour behind.
#[derive(Debug)]
struct Camera {
    queue: Arc<dyn Queue>,
    batch: FrameBatch,
    clock: MadeUpClock,
    sent: AtomicU64,
}

impl Camera {
    /// Sends what came by now.
    async fn send(&self) {
        let until = (self.clock.clock().now().0 - START.0) / micros(EVERY);
        for seq in self.sent.load(Ordering::SeqCst)..=u64::try_from(until).unwrap() {
            let came = START.0 + i64::try_from(seq).unwrap() * micros(EVERY);
            let mut batch = self.batch.clone();
            batch.frames[0].stamp.seq = Seq(seq);
            batch.frames[0].stamp.captured_at = CaptureTime(came - 3_600_000_000);
            batch.deadline = Some(CaptureTime(came + micros(FRESH)));
            self.queue.send(&[batch.to_json()]).await.unwrap().remove(0).unwrap();
            self.sent.store(seq + 1, Ordering::SeqCst);
        }
    }

    /// A model each of whose runs takes a second, in which frames come.
    fn slow_model(self: &Arc<Self>) -> (Model, Arc<AtomicU64>) {
        let (camera, runs, runtime) =
            (Arc::clone(self), Arc::new(AtomicU64::new(0)), Handle::current());
        let counter = Arc::clone(&runs);
        let model = model_of(move |_| {
            camera.clock.advance(RUN);
            if counter.fetch_add(1, Ordering::SeqCst) < RUNS {
                runtime.block_on(camera.send());
            }
            Ok(vec![])
        });
        (model, runs)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_ten_times_too_slow_answers_what_is_fresh_and_sheds_the_rest() {
    let site = Site::new();
    let jpeg = jpeg_of(64, 32);
    site.store(jpeg.clone()).await;
    let (queue, clock) =
        (Arc::clone(&site.ports.queues[&model_name()].queue), MadeUpClock::at(START));
    let batch = site.batch(&[jpeg]);
    let camera = Arc::new(Camera { queue, batch, clock: clock.clone(), sent: AtomicU64::new(0) });
    camera.send().await;
    let (model, runs) = camera.slow_model();
    let worker = site.start_by(clock.clock(), model);
    site.done().await;
    worker.stop().await;

    let (rows, sent) = (site.rows(), camera.sent.load(Ordering::SeqCst));
    assert_eq!(rows.len() as u64, sent, "each frame has one row");
    let (answered, shed): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.status != Status::Error);
    let age = |row: &services::DetectionRow| {
        let came = START.0 + i64::try_from(row.stamp.seq.0).unwrap() * micros(EVERY);
        row.inferred_at.0 - came
    };
    assert_eq!(answered.len() as u64, runs.load(Ordering::SeqCst));
    assert!((RUNS..RUNS + 5).contains(&(answered.len() as u64)), "{}", answered.len());
    let oldest = answered.iter().map(age).max().unwrap();
    assert!(oldest <= micros(FRESH + RUN), "a row is {oldest} µs old when it comes");
    assert!(shed.iter().all(|row| row.reason.as_deref() == Some("stale")));
    assert!(shed.iter().all(|row| age(row) > micros(FRESH)));
    let counts = &site.status().streams[&answered[0].stream];
    let told = (counts.inferred, counts.stale, counts.errors);
    assert_eq!(told, (answered.len() as u64, shed.len() as u64, 0));
    assert!(site.dead().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stale_is_neither_fetched_nor_run() {
    let site = Site::new();
    let mut batch = site.batch(&[jpeg_of(64, 32), jpeg_of(64, 32)]);
    batch.deadline = Some(CaptureTime(1));
    // Its object is not there.
    site.send(batch.to_json()).await;
    let worker = site.start(model_of(|_| panic!("nobody asked")));
    site.done().await;
    let reasons: Vec<_> = site.rows().into_iter().map(|row| (row.status, row.reason)).collect();
    let stale = (Status::Error, Some("stale".to_owned()));
    assert_eq!(reasons, [stale.clone(), stale]);
    assert_eq!((site.status().retried, site.dead().await.len()), (0, 0));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_frame_of_a_bundle_is_stale_before_a_newer_one() {
    let site = Site::new();
    let frames = vec![jpeg_of(64, 32), jpeg_of(64, 32), jpeg_of(64, 32)];
    let mut batch = site.batch(&frames);
    // They are a second apart: the first two were wanted until 0 s and 1 s.
    batch.deadline = Some(CaptureTime(START.0 + 2_000_000));
    site.store(frames.concat()).await;
    site.send(batch.to_json()).await;
    let clock = MadeUpClock::at(CaptureTime(START.0 + 1_500_000));
    let worker = site.start_by(clock.clock(), model_of(|_| Ok(vec![])));
    site.done().await;
    assert_eq!(site.told(), ["0 error", "1 error", "2 none"]);
    worker.stop().await;
}
