//! A place to try workers in: the embedded adapters in a temporary folder, with rows recorded as they are
//! accepted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use media::RgbImage;
use model_inference::StatusBoard;
use model_inference::model::{Algorithm, Detection, Model, ModelError};
use model_inference::status::ModelStatus;
use model_inference::worker::Worker;
use services::config::{Config, Overrides, Span, parse};
use services::delivery::DeliveryStream;
use services::message::ObjectRef;
use services::queue::{DeadLetter, Queue, SqliteQueue};
use services::{
    CaptureClock, CaptureTime, Clock, DataFolder, DetectionRow, Epoch, FrameBatch, FrameEntry,
    FrameFormat, MadeUpClock, MediaTime, ModelName, Payload, PortError, Ports, Seq, Stamp,
    StreamId, WorkQueue, open_embedded,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fickle::Fickle;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long leases by a made-up clock last; by the real one a worker extends them after a third of it.
pub(crate) const LEASE: Duration = Duration::from_millis(150);

/// Polls until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn shared_media(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/media").join(file);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: ../shared/media is missing");
    None
}

pub(crate) fn model_name() -> ModelName {
    ModelName::new("m").unwrap()
}

/// A model that answers by a function.
pub(crate) fn model_of(
    answer: impl Fn(&RgbImage) -> Result<Vec<Detection>, ModelError> + Clone + Send + Sync + 'static,
) -> Model {
    struct Closure<F>(F);
    impl<F: Fn(&RgbImage) -> Result<Vec<Detection>, ModelError> + Send> Algorithm for Closure<F> {
        fn run(&mut self, pictures: &[RgbImage]) -> Result<Vec<Detection>, ModelError> {
            (self.0)(&pictures[0])
        }
    }
    Model::new(model_name(), "1", move || Ok(Box::new(Closure(answer.clone())))).unwrap()
}

/// A model that counts its runs, each of which lasts until the sender is dropped.
pub(crate) fn stuck() -> (Model, Arc<AtomicU32>, mpsc::Sender<()>) {
    stuck_after(0)
}

/// As [`stuck`], but for its first runs, which take no time.
pub(crate) fn stuck_after(quick: u32) -> (Model, Arc<AtomicU32>, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel::<()>();
    let (held, runs) = (Arc::new(Mutex::new(held)), Arc::new(AtomicU32::new(0)));
    let counter = Arc::clone(&runs);
    let model = model_of(move |_| {
        if counter.fetch_add(1, Ordering::SeqCst) >= quick {
            // Blocks until the other end is gone, and never again.
            let _ = held.lock().unwrap().recv();
        }
        Ok(vec![])
    });
    (model, runs, release)
}

/// A model that finds one thing in every picture.
pub(crate) fn one_thing() -> Model {
    model_of(|_| Ok(vec![thing()]))
}

pub(crate) fn thing() -> Detection {
    Detection { class_id: 0, label: "thing".into(), score: 0.5, region: None, extra: None }
}

pub(crate) fn jpeg_of(width: u32, height: u32) -> Vec<u8> {
    let (y, c) = ((width * height) as usize, (width.div_ceil(2) * height.div_ceil(2)) as usize);
    let planes =
        media::Planes { y: vec![90; y].into(), u: vec![120; c].into(), v: vec![140; c].into() };
    let picture = media::Picture::new(width, height, planes, media::Colour::JPEG, 0).unwrap();
    media::jpeg::encode(&picture, 80).unwrap()
}

/// What the delivery stream says about a row when asked for the n-th time.
type Script = dyn FnMut(u32, &DetectionRow) -> Result<(), PortError> + Send;

/// A delivery stream that keeps what it accepted, and refuses what its script says.
pub(crate) struct Recorder {
    accepted: Mutex<Vec<DetectionRow>>,
    asked: Mutex<BTreeMap<(String, u32), u32>>,
    script: Mutex<Box<Script>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

#[async_trait]
impl DeliveryStream for Recorder {
    async fn put(&self, rows: &[DetectionRow]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let outcome = |row: &DetectionRow| {
            let mut asked = self.asked.lock().unwrap();
            let times = asked.entry((row.frame_id.clone(), row.detection)).or_default();
            *times += 1;
            (self.script.lock().unwrap())(*times, row)?;
            self.accepted.lock().unwrap().push(row.clone());
            Ok(())
        };
        Ok(rows.iter().map(outcome).collect())
    }
}

pub(crate) struct Site {
    _folder: TempDir,
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) board: StatusBoard,
    recorder: Arc<Recorder>,
}

/// A worker that is running.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Asks it to stop, and does not wait.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::configured("[models.m]\nalgorithm = \"circles\"\n")
    }

    /// A site with these sections besides the ones that make tests quick.
    pub(crate) fn configured(models: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "data = \"data\"\n{models}\n[infer]\ninstances = 1\nprefetch = 1\nlease = \"1s\"\n\
             wait = \"50ms\"\nworker = \"w\"\n[queue]\nmax_receives = 3\n"
        );
        let file = folder.path().join("millrace.toml");
        let config = parse(Some((&text, &file)), &BTreeMap::new(), &Overrides::default()).unwrap();
        let embedded =
            open_embedded(&config.data, config.models.keys(), &config.embedded_options()).unwrap();
        let recorder = Arc::new(Recorder {
            accepted: Mutex::default(),
            asked: Mutex::default(),
            script: Mutex::new(Box::new(|_, _| Ok(()))),
        });
        let mut ports = embedded.ports;
        ports.delivery = Arc::clone(&recorder) as Arc<dyn DeliveryStream>;
        Self { _folder: folder, config, ports, board: StatusBoard::new(), recorder }
    }

    /// A site with a queue that may be away, and whose leases last by a clock that stands still until it is moved.
    pub(crate) fn fickle() -> (Self, Arc<Fickle>, MadeUpClock) {
        let mut site = Self::new();
        let clock = MadeUpClock::at(CaptureTime(1_000_000));
        let path = DataFolder::new(&site.config.data).queue(&model_name());
        let options = site.config.embedded_options().queue;
        let made_up = WorkQueue::of(SqliteQueue::open(path, options, clock.clock()).unwrap());
        let fickle = Arc::new(Fickle::new(Arc::clone(&made_up.queue)));
        let work = WorkQueue { queue: Arc::clone(&fickle) as Arc<dyn Queue>, ..made_up };
        site.ports.queues.insert(model_name(), work);
        site.config.infer.lease = Span::from_millis(u64::try_from(LEASE.as_millis()).unwrap());
        (site, fickle, clock)
    }

    /// Decides what the delivery stream says about rows from now on.
    pub(crate) fn script(
        &self,
        script: impl FnMut(u32, &DetectionRow) -> Result<(), PortError> + Send + 'static,
    ) {
        *self.recorder.script.lock().unwrap() = Box::new(script);
    }

    pub(crate) fn start(&self, model: Model) -> Running {
        self.start_with_drain(model, Duration::from_millis(300))
    }

    /// A worker by a clock.
    pub(crate) fn start_by(&self, clock: Clock, model: Model) -> Running {
        let queue = self.ports.queues[&model_name()].clone();
        let worker =
            Worker::start_by(clock, model, queue, &self.config, &self.ports, &self.board).unwrap();
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let task = tokio::spawn(async move { worker.run(shutdown, PATIENCE).await });
        Running { stop, task }
    }

    pub(crate) fn start_with_drain(&self, model: Model, drain: Duration) -> Running {
        let queue = self.ports.queues[&model_name()].clone();
        let worker = Worker::start(model, queue, &self.config, &self.ports, &self.board).unwrap();
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let task = tokio::spawn(async move { worker.run(shutdown, drain).await });
        Running { stop, task }
    }

    /// A worker that is run again when it panics, on another queue.
    pub(crate) fn start_again_on(&self, queue: Arc<dyn Queue>, model: Model) -> Running {
        let queue = WorkQueue { queue, ..self.ports.queues[&model_name()].clone() };
        let worker = Worker::start(model, queue, &self.config, &self.ports, &self.board).unwrap();
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let drain = Duration::from_millis(300);
        let task = tokio::spawn(async move { worker.run_again(shutdown, drain).await });
        Running { stop, task }
    }

    /// The message for a bundle of these frames under the key `a/b`, which is not stored yet.
    pub(crate) fn batch(&self, frames: &[Vec<u8>]) -> FrameBatch {
        let mut offset = 0;
        let entry = |(seq, bytes): (u64, &Vec<u8>)| {
            offset += bytes.len() as u64;
            FrameEntry {
                stamp: Stamp {
                    seq: Seq(seq),
                    media_time: MediaTime(i64::try_from(seq).unwrap() * 90_000),
                    captured_at: CaptureTime::from_system(std::time::SystemTime::now()),
                    clock: CaptureClock::Arrival,
                },
                width: 64,
                height: 32,
                format: FrameFormat::Jpeg,
                offset: offset - bytes.len() as u64,
                len: bytes.len() as u64,
            }
        };
        let entries: Vec<FrameEntry> = (0..).zip(frames).map(entry).collect();
        let object =
            ObjectRef { bucket: self.ports.bucket.name.clone(), key: "a/b".into(), size: offset };
        FrameBatch {
            v: FrameBatch::VERSION,
            stream: StreamId::new("gate").unwrap(),
            epoch: Epoch(1),
            model: model_name(),
            window: 1,
            frames: entries,
            payload: Payload::Object(object),
            deadline: None,
            reply_to: None,
            traceparent: String::new(),
        }
    }

    pub(crate) async fn store(&self, bytes: Vec<u8>) {
        self.ports.bucket.store.put("a/b", Bytes::from(bytes)).await.unwrap();
    }

    pub(crate) async fn send(&self, body: String) {
        let queue = &self.ports.queues[&model_name()].queue;
        queue.send(&[body]).await.unwrap().remove(0).unwrap();
    }

    /// Stores a frame, and sends a message about it for each of these numbers.
    pub(crate) async fn submit_each(&self, seqs: Range<u64>) {
        let jpeg = jpeg_of(64, 32);
        self.store(jpeg.clone()).await;
        let mut batch = self.batch(&[jpeg]);
        for seq in seqs {
            batch.frames[0].stamp.seq = Seq(seq);
            self.send(batch.to_json()).await;
        }
    }

    /// Stores a bundle of these frames and sends its message.
    pub(crate) async fn submit(&self, frames: &[Vec<u8>]) {
        self.store(frames.concat()).await;
        self.send(self.batch(frames).to_json()).await;
    }

    pub(crate) fn rows(&self) -> Vec<DetectionRow> {
        self.recorder.accepted.lock().unwrap().clone()
    }

    /// `seq status` of each accepted row, in order of the frames.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = |row: &DetectionRow| format!("{} {}", row.stamp.seq.0, row.status.as_str());
        let mut all: Vec<String> = self.rows().iter().map(told).collect();
        all.sort();
        all
    }

    /// Waits until the queue holds neither work nor leases.
    pub(crate) async fn done(&self) {
        eventually("all messages are done with", async || {
            let counts = self.ports.queues[&model_name()].backlog.depth().await.unwrap();
            counts.ready + counts.leased == 0
        })
        .await;
    }

    pub(crate) async fn dead(&self) -> Vec<DeadLetter> {
        self.ports.queues[&model_name()].dead.list(None, 100).await.unwrap()
    }

    pub(crate) fn status(&self) -> ModelStatus {
        self.board.snapshot().remove(&model_name()).unwrap_or_default()
    }
}
