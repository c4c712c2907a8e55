//! A data folder with a configuration, and a receiver that runs on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::scene::read_frame_number_rgb;
use receive_video::store::{EpochAccount, EventRow, SpoolAudit, audit, events};
use receive_video::{StatusBoard, StreamStatus};
use services::config::{Config, Overrides, parse};
use services::{
    ErrorKind, FrameBatch, FrameEntry, ModelName, OpenBackend, Payload, Ports, StreamId,
    open_embedded,
};
use telemetry::{Part as _, State};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A clip from beside the workspace; `None`, with a word about it, when it is not there.
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: ../shared/{name} is missing");
    None
}

/// Looks again and again until `look` gives something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A frame as a worker gets it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) epoch: u64,
    pub(crate) entry: FrameEntry,
    pub(crate) bytes: Bytes,
}

impl Got {
    /// The frame number in the scene's bar code.
    pub(crate) fn number(&self) -> i64 {
        let image = media::jpeg::decode(&self.bytes, None, 1 << 24).unwrap();
        i64::from(read_frame_number_rgb(&image).expect("the bar code is readable"))
    }
}

/// A data folder with a configuration.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) config: Config,
    pub(crate) embedded: OpenBackend,
}

impl Site {
    /// Opens the embedded backend for a configuration; `data` is set.
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("millrace.toml");
        let config = parse(Some((text, &file)), &BTreeMap::new(), &Overrides::default());
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let options = config.embedded_options();
        let embedded = open_embedded(&config.data, config.models.keys(), &options).unwrap();
        Self { folder, config, embedded }
    }

    /// Receives until all sources have ended.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        self.start().ended().await
    }

    /// Starts to receive.
    pub(crate) fn start(&self) -> Running {
        self.start_with(self.embedded.ports.clone())
    }

    /// Starts to receive with other ports.
    pub(crate) fn start_with(&self, ports: Ports) -> Running {
        let (board, shutdown) = (StatusBoard::default(), CancellationToken::new());
        let (config, told, stop) = (self.config.clone(), board.clone(), shutdown.clone());
        let task =
            tokio::spawn(async move { receive_video::run(&config, &ports, told, stop).await });
        Running { board, shutdown, task }
    }

    /// What the spool of a stream tells; nothing before there is one.
    pub(crate) fn audit(&self, stream: &str) -> SpoolAudit {
        let stream = StreamId::new(stream).unwrap();
        match audit(&self.embedded.folder.spool(&stream)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                SpoolAudit { accounts: Vec::new(), pending: Vec::new() }
            }
            audited => audited.unwrap(),
        }
    }

    /// The one account of a stream with one model and one epoch.
    pub(crate) fn account(&self, stream: &str) -> EpochAccount {
        let mut accounts = self.audit(stream).accounts;
        assert_eq!(accounts.len(), 1, "{accounts:?}");
        let account = accounts.remove(0);
        assert!(account.account.closes(), "{account:?}");
        account
    }

    /// The kinds of a stream's events so far.
    pub(crate) fn events(&self, stream: &str) -> Vec<EventRow> {
        let stream = StreamId::new(stream).unwrap();
        events(&self.embedded.folder.spool(&stream)).unwrap_or_default()
    }

    /// Takes all batches out of a model's queue.
    pub(crate) async fn batches(&self, model: &str) -> Vec<FrameBatch> {
        let queue = &self.embedded.ports.queues[&ModelName::new(model).unwrap()].queue;
        let mut batches = Vec::new();
        loop {
            let lease = self.config.infer.lease.duration();
            let received = queue.receive(10, lease, Duration::ZERO).await.unwrap();
            if received.is_empty() {
                return batches;
            }
            let receipts: Vec<_> = received.iter().map(|r| r.receipt.clone()).collect();
            queue.acknowledge(&receipts).await.unwrap();
            batches.extend(received.iter().map(|r| FrameBatch::from_json(&r.body).unwrap()));
        }
    }

    /// Takes all frames out of a model's queue, in the order of the queue.
    pub(crate) async fn frames(&self, model: &str) -> Vec<Got> {
        let mut frames = Vec::new();
        for batch in self.batches(model).await {
            frames.extend(self.frames_of(&batch).await);
        }
        frames
    }

    /// The frames of a batch with their bytes.
    pub(crate) async fn frames_of(&self, batch: &FrameBatch) -> Vec<Got> {
        let Payload::Object(object) = &batch.payload else { panic!("{:?}", batch.payload) };
        let store = &self.embedded.ports.bucket.store;
        let bytes = store.get(&object.key, None).await.unwrap();
        let got = |entry: &FrameEntry| {
            let at = |n: u64| usize::try_from(n).unwrap();
            let range = at(entry.offset)..at(entry.offset + entry.len);
            Got { epoch: batch.epoch.0, entry: entry.clone(), bytes: bytes.slice(range) }
        };
        batch.frames.iter().map(got).collect()
    }
}

/// A receiver at work.
pub(crate) struct Running {
    board: StatusBoard,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// What a stream is doing.
    pub(crate) fn status(&self, stream: &str) -> StreamStatus {
        let stream = StreamId::new(stream).unwrap();
        self.board.snapshot().remove(&stream).unwrap_or_default()
    }

    /// What `/readyz` says of a stream.
    pub(crate) fn state(&self, stream: &str) -> State {
        let mut states = self.board.states().into_iter();
        states.find(|state| state.name == stream).expect("the stream is told of")
    }

    /// Waits until a stream's status is as wanted.
    pub(crate) async fn until(
        &self,
        stream: &str,
        what: &str,
        is: impl Fn(&StreamStatus) -> bool,
    ) -> StreamStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(stream);
            if is(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the sources have ended by themselves.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE * 2, self.task).await.expect("it ends").unwrap()
    }

    /// Ends without shipping anything more.
    pub(crate) async fn abort(self) {
        self.task.abort();
        let aborted = self.task.await;
        assert!(aborted.is_err_and(|error| error.is_cancelled()));
    }

    /// Drains and ends.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.ended().await
    }
}
