//! A worker's ordinary day, and what it owes when its surroundings stumble.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use media::h264::{Encoder, EncoderConfig};
use media::scene::{Scene, SceneConfig};
use model_inference::status::ModelState;
use services::feed::Update;
use services::queue::{Outcome, Queue, Receipt, Received};
use services::{ErrorKind, FrameFormat, Payload, PortError, Status};

use super::support::{
    LEASE, PATIENCE, Site, eventually, jpeg_of, model_name, model_of, one_thing, stuck,
    stuck_after, thing,
};

fn away() -> PortError {
    PortError::because(ErrorKind::Unavailable, "deliver rows", "throttled")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_becomes_rows_and_is_acknowledged() {
    let site = Site::new();
    let mut feed = site.ports.feed.subscribe().await.unwrap();
    let frames = vec![jpeg_of(64, 32), jpeg_of(64, 32), jpeg_of(64, 32)];
    site.submit(&frames).await;
    let worker = site.start(one_thing());
    site.done().await;
    assert_eq!(site.told(), ["0 ok", "1 ok", "2 ok"]);
    let row = &site.rows()[1];
    assert_eq!(row.frame_id, "gate/0000000000001/0000000001");
    assert_eq!(row.object_uri, Some(site.ports.bucket.object_uri("a/b")));
    assert_eq!(row.object_offset, Some(frames[0].len() as u64));
    assert_eq!((row.worker.as_str(), row.model_version.as_str()), ("w", "1"));
    let Some(Update::Result(result)) = feed.next().await else { panic!("nothing was published") };
    assert_eq!((result.detections.as_slice(), result.status), ([thing()].as_slice(), Status::Ok));
    worker.stop().await;
    let counts = &site.status().streams[&row.stream];
    assert_eq!((counts.inferred, counts.rows, counts.errors), (3, 3, 0));
    assert_eq!((site.status().in_flight, site.status().state), (0, ModelState::Stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_fields_that_this_worker_does_not_know_is_answered() {
    let site = Site::new();
    let frames = vec![jpeg_of(64, 32), jpeg_of(64, 32)];
    site.store(frames.concat()).await;
    let mut message = serde_json::to_value(site.batch(&frames)).unwrap();
    for place in ["", "/frames/0", "/frames/1", "/payload/object"] {
        message.pointer_mut(place).unwrap()["of_tomorrow"] = serde_json::json!({ "any": [1] });
    }
    site.send(message.to_string()).await;
    let worker = site.start(one_thing());
    site.done().await;
    assert_eq!(site.told(), ["0 ok", "1 ok"]);
    assert!(site.dead().await.is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_published_while_its_rows_wait_for_the_delivery_stream() {
    let site = Site::new();
    let mut feed = site.ports.feed.subscribe().await.unwrap();
    let is_away = Arc::new(AtomicBool::new(true));
    let gate = Arc::clone(&is_away);
    site.script(move |_, _| if gate.load(Ordering::SeqCst) { Err(away()) } else { Ok(()) });
    site.submit(&[jpeg_of(64, 32), jpeg_of(64, 32)]).await;
    let worker = site.start(one_thing());
    for _ in 0..2 {
        let published = tokio::time::timeout(PATIENCE, feed.next()).await;
        let Some(Update::Result(result)) = published.expect("it waits for no row") else {
            panic!("nothing was published")
        };
        assert_eq!(result.detections, [thing()]);
    }
    assert!(site.rows().is_empty());
    is_away.store(false, Ordering::SeqCst);
    site.done().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_tried_again_has_no_result_before_its_last_try() {
    let site = Site::new();
    let mut feed = site.ports.feed.subscribe().await.unwrap();
    site.submit(&[b"this is no jpeg".to_vec()]).await;
    let worker = site.start(one_thing());
    site.done().await;
    worker.stop().await;
    let Some(Update::Result(result)) = feed.next().await else { panic!("nothing was published") };
    assert_eq!(result.status, Status::Error);
    assert!(result.reason.as_ref().is_some_and(|reason| reason.contains("jpeg")), "{result:?}");
    let more = tokio::time::timeout(Duration::ZERO, feed.next()).await;
    assert!(more.is_err(), "one was published of three tries: {more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_may_travel_in_the_message() {
    let site = Site::new();
    let frames = vec![jpeg_of(64, 32)];
    let mut batch = site.batch(&frames);
    batch.payload = Payload::inline(&frames.concat());
    site.send(batch.to_json()).await;
    let worker = site.start(model_of(|_| Ok(vec![])));
    site.done().await;
    let [row] = site.rows().try_into().unwrap();
    assert_eq!((row.status, row.object_uri, row.object_offset), (Status::None, None, None));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_frames_are_decoded_here() {
    let config = SceneConfig::default();
    let (width, height, fps) = (config.width, config.height, config.fps);
    let picture = Scene::new(config).unwrap().render(7).picture;
    let settings = EncoderConfig { width, height, fps, bitrate: 1_000_000, key_interval: 0 };
    let unit = Encoder::new(settings).unwrap().encode(&picture, true).unwrap();
    let site = Site::new();
    let frames = vec![unit.data.to_vec()];
    let mut batch = site.batch(&frames);
    batch.frames[0].format = FrameFormat::H264;
    site.store(frames.concat()).await;
    site.send(batch.to_json()).await;
    let worker = site.start(model_of(move |image| {
        assert_eq!((image.width, image.height), (width, height));
        Ok(vec![thing()])
    }));
    site.done().await;
    assert_eq!(site.told(), ["0 ok"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_failed_are_sent_again_and_those_alone() {
    let site = Site::new();
    site.script(
        |times, row| if row.stamp.seq.0 % 2 == 0 && times <= 2 { Err(away()) } else { Ok(()) },
    );
    site.submit(&vec![jpeg_of(64, 32); 4]).await;
    let worker = site.start(one_thing());
    site.done().await;
    assert_eq!(site.told(), ["0 ok", "1 ok", "2 ok", "3 ok"]);
    assert!(site.dead().await.is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_while_delivery_is_away_and_the_lease_is_kept() {
    let (site, fickle, clock) = Site::fickle();
    let is_away = Arc::new(AtomicBool::new(true));
    let runs = Arc::new(AtomicU32::new(0));
    let gate = Arc::clone(&is_away);
    site.script(move |_, _| if gate.load(Ordering::SeqCst) { Err(away()) } else { Ok(()) });
    site.submit(&[jpeg_of(64, 32)]).await;
    let counter = Arc::clone(&runs);
    let worker = site.start(model_of(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(vec![])
    }));
    eventually("the wait is shown", async || site.status().trouble.is_some()).await;
    // Three leases long nobody else may get it.
    for _ in 0..4 {
        // One that began before the clock was moved may be answered after it: the next one counts.
        let before = fickle.extended();
        eventually("the lease is extended", async || fickle.extended() > before + 1).await;
        clock.advance(LEASE * 3 / 4);
        assert_eq!(fickle.receive(1, LEASE, Duration::ZERO).await.unwrap(), []);
    }
    assert!(site.rows().is_empty());
    is_away.store(false, Ordering::SeqCst);
    site.done().await;
    assert_eq!((site.told(), runs.load(Ordering::SeqCst)), (vec!["0 none".to_owned()], 1));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_answer_holds_a_stop_up_no_longer_than_the_drain() {
    let (site, fickle, _) = Site::fickle();
    let worker = site.start(one_thing());
    eventually("the worker is ready", async || site.status().state == ModelState::Ready).await;
    let _hung = fickle.hang().await;
    tokio::time::timeout(PATIENCE, worker.stop()).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_work_at_shutdown_is_given_back_when_it_takes_too_long() {
    let site = Site::new();
    site.submit(&[jpeg_of(64, 32)]).await;
    site.script(|_, _| Err(away()));
    let worker = site.start(one_thing());
    eventually("the message is leased", async || site.status().in_flight == 1).await;
    worker.stop().await;
    let counts = site.ports.queues[&model_name()].backlog.depth().await.unwrap();
    assert_eq!((counts.ready, counts.leased, counts.dead), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_make_no_dead_letters_however_many() {
    let (site, _queue, _clock) = Site::fickle();
    site.submit_each(0..2).await;
    for _ in 0..=site.config.queue.max_receives {
        let (model, runs, _release) = stuck();
        let worker = site.start(model);
        eventually("one message is run", async || runs.load(Ordering::SeqCst) == 1).await;
        worker.stop().await;
    }
    let counts = site.ports.queues[&model_name()].backlog.depth().await.unwrap();
    assert_eq!((counts.ready, counts.leased, counts.dead), (2, 0, 0));
    let worker = site.start(one_thing());
    site.done().await;
    assert_eq!(site.told(), ["0 ok", "1 ok"]);
    assert!(site.dead().await.is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_got_to_the_model_at_shutdown_is_given_back_at_once() {
    let (site, _queue, _clock) = Site::fickle();
    site.submit_each(0..3).await;
    let (model, runs, release) = stuck_after(1);
    let worker = site.start_with_drain(model, PATIENCE * 2);
    eventually("one message is answered, one is run, one waits", async || {
        (runs.load(Ordering::SeqCst), site.status().in_flight) == (2, 2)
    })
    .await;
    worker.begin_stop();
    let backlog = &site.ports.queues[&model_name()].backlog;
    eventually("one message is back", async || backlog.depth().await.unwrap().ready == 1).await;
    drop(release);
    worker.stop().await;
    assert_eq!((site.rows().len(), backlog.depth().await.unwrap().ready), (2, 1));
}

/// Each wait for the next try ended with a model that was ready, for as long as the try hung.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_away_and_hangs_is_trouble_until_it_answers() {
    let (site, queue, _clock) = Site::fickle();
    queue.leave().await;
    let worker = site.start(one_thing());
    eventually("the queue is away", async || site.status().trouble.is_some()).await;
    let mut hung = queue.hang().await;
    let asked = queue.asked();
    eventually("it is asked again", async || queue.asked() > asked).await;
    assert!(site.status().trouble.is_some());
    *hung = false;
    drop(hung);
    eventually("the trouble is over", async || site.status().trouble.is_none()).await;
    worker.stop().await;
}

/// A queue whose first receive panics.
#[derive(Debug)]
struct Panicking {
    inner: Arc<dyn Queue>,
    has_panicked: AtomicBool,
}

#[async_trait]
impl Queue for Panicking {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Outcome>, PortError> {
        self.inner.send(bodies).await
    }

    async fn receive(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, PortError> {
        assert!(self.has_panicked.swap(true, Ordering::Relaxed), "made up");
        self.inner.receive(max, lease, wait).await
    }

    async fn extend(
        &self,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Result<Vec<Outcome>, PortError> {
        self.inner.extend(receipts, lease).await
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<Vec<Outcome>, PortError> {
        self.inner.acknowledge(receipts).await
    }

    async fn release(
        &self,
        releases: &[(Receipt, Option<String>)],
    ) -> Result<Vec<Outcome>, PortError> {
        self.inner.release(releases).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_panics_is_named_and_run_again() {
    let site = Site::new();
    let inner = Arc::clone(&site.ports.queues[&model_name()].queue);
    let queue = Arc::new(Panicking { inner, has_panicked: AtomicBool::new(false) });
    let worker = site.start_again_on(queue, one_thing());
    eventually("the panic is named", async || {
        matches!(site.status().state, ModelState::Failed(why) if why.contains("it panicked: made up"))
    })
    .await;
    site.submit(&[jpeg_of(64, 32)]).await;
    site.done().await;
    assert_eq!(site.told(), ["0 ok"]);
    worker.stop().await;
    assert_eq!(site.status().state, ModelState::Stopped);
}
