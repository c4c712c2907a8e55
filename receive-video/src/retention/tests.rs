//! What is removed beside a receiver, and what stays because somebody may ask for it.

use std::fs;
use std::time::SystemTime;

use bytes::Bytes;
use services::config::SpoolPolicy;
use services::queue::Depth;
use services::{Clock, EmbeddedOptions, Keep, ModelName, StreamId, WorkQueue, open_embedded};
use telemetry::metrics::text_of;

use super::*;
use crate::store::{Books, Spool, SpoolOptions, Stored, tests::bundle};

struct Site {
    backend: OpenBackend,
    _folder: tempfile::TempDir,
}

impl Site {
    /// A store that keeps an hour, and the queues of two models.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keep_objects = Keep { age: Some(Duration::from_secs(3_600)), bytes: None };
        let options = EmbeddedOptions { keep_objects, ..EmbeddedOptions::default() };
        let models = [model("shapes"), model("faces")];
        let backend = open_embedded(folder.path(), &models, &options).unwrap();
        Self { backend, _folder: folder }
    }

    fn queue(&self, name: &str) -> &WorkQueue {
        &self.backend.ports.queues[&model(name)]
    }

    /// Stores an object that is two hours old; gives its key.
    async fn put(&self, stream: &str, seq: u64, model: &str) -> String {
        let key = format!("frames/{stream}/0000000000007/{seq:010}-{model}.jpg");
        self.backend.ports.bucket.store.put(&key, Bytes::from_static(b"frame")).await.unwrap();
        let file = fs::File::open(self.backend.folder.objects().join(&key)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(7_200)).unwrap();
        key
    }

    async fn send(&self, model: &str, key: &str) {
        let object = format!(r#"{{"bucket": "objects", "key": "{key}", "size": 5}}"#);
        let body = format!(r#"{{"v": 1, "payload": {{"object": {object}}}}}"#);
        let sent = self.queue(model).queue.send(&[body]).await.unwrap();
        assert!(sent.iter().all(Result::is_ok));
    }

    async fn sweep(&self) -> Swept {
        self.sweep_with(&[]).await
    }

    /// A pass of a process that receives these streams.
    async fn sweep_with(&self, streams: &[StreamId]) -> Swept {
        let keeper = self.backend.keeper.clone().unwrap();
        let retention = Retention::of(&self.backend, streams);
        let folder = self.backend.folder.clone();
        keeper.sweep(move || held(&folder, &retention.configured)).await.unwrap().unwrap()
    }

    async fn keys(&self) -> Vec<String> {
        let list = self.backend.ports.bucket.store.list("", None, 99).await.unwrap();
        list.into_iter().map(|meta| meta.key).collect()
    }
}

fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

fn model(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

#[tokio::test]
async fn what_a_message_a_lease_a_dead_letter_or_a_spool_names_stays() {
    let site = Site::new();
    let leased = site.put("gate", 1, "shapes").await;
    site.send("shapes", &leased).await;
    let buried = site.put("gate", 2, "faces").await;
    site.send("faces", &buried).await;
    let (long, wait) = (Duration::from_secs(60), Duration::ZERO);
    site.queue("shapes").queue.receive(1, long, wait).await.unwrap();
    let received = site.queue("faces").queue.receive(1, long, wait).await.unwrap();
    site.queue("faces").dead.bury(&received[0].receipt, "damaged").await.unwrap();
    let waiting = site.put("gate", 3, "shapes").await;
    site.send("shapes", &waiting).await;
    let stream = StreamId::new("gate").unwrap();
    let options = SpoolOptions {
        bound: 1 << 20,
        policy: SpoolPolicy::Block,
        accounts: Keep::default(),
        clock: Clock::system(),
    };
    let spool = Spool::open(&site.backend.folder, &stream, options).unwrap();
    assert_eq!(spool.commit(&bundle(4), &Books::default()).unwrap(), Stored::Yes);
    let spooled = site.put("gate", 4, "shapes").await;
    site.put("gate", 5, "shapes").await;

    let depth = |depth: Depth| (depth.ready, depth.leased, depth.dead);
    assert_eq!(depth(site.queue("shapes").backlog.depth().await.unwrap()), (1, 1, 0));
    assert_eq!(depth(site.queue("faces").backlog.depth().await.unwrap()), (0, 0, 1));
    let swept = site.sweep().await;
    assert_eq!((swept.removed, swept.kept), (1, 4));
    assert_eq!(site.keys().await, [leased, buried, waiting, spooled]);
}

#[tokio::test]
async fn a_damaged_spool_or_queue_keeps_the_objects_of_its_stream_or_model_alone() {
    let site = Site::new();
    let of_stream = site.put("yard", 1, "shapes").await;
    let of_model = site.put("gate", 1, "birds").await;
    site.put("gate", 2, "shapes").await;
    let damaged = "no database, but long enough to look like one".repeat(100);
    let folder = &site.backend.folder;
    let yard = folder.spool(&StreamId::new("yard").unwrap());
    for path in [yard, folder.queue(&model("birds"))] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &damaged).unwrap();
    }
    assert_eq!(site.sweep().await.removed, 1);
    assert_eq!(site.keys().await, [of_model, of_stream]);
}

/// A file that was moved away for a moment was taken for one that names nothing.
#[tokio::test]
async fn a_queue_or_spool_that_is_missing_keeps_the_objects_of_its_model_or_stream() {
    let site = Site::new();
    let of_model = site.put("yard", 1, "faces").await;
    let of_stream = site.put("gate", 1, "shapes").await;
    site.put("yard", 2, "shapes").await;
    let streams = [stream("gate"), stream("none")];
    let queue = site.backend.folder.queue(&model("faces"));
    let aside = queue.with_extension("aside");
    fs::rename(&queue, &aside).unwrap();
    assert_eq!(site.sweep_with(&streams).await.removed, 1);
    assert_eq!(site.keys().await, [of_stream.clone(), of_model]);
    fs::rename(&aside, &queue).unwrap();
    assert_eq!(site.sweep_with(&streams).await.removed, 1);
    assert_eq!(site.keys().await, [of_stream]);
}

#[tokio::test]
async fn what_was_removed_and_what_is_left_is_told() {
    let site = Site::new();
    let retention = Retention::of(&site.backend, &[]);
    assert_eq!(retention.states(), []);
    site.put("gate", 1, "shapes").await;
    let held = site.put("gate", 2, "shapes").await;
    site.send("shapes", &held).await;
    let swept = site.sweep().await;
    let oldest = swept.oldest.unwrap();
    retention.tell(Ok(Some(swept)));
    let state = retention.states().remove(0);
    assert_eq!(state.verdict, Verdict::Good);
    assert_eq!(state.words, format!("1 kept, 5 bytes, the oldest stored at {oldest}"));
    let page = text_of(Arc::new(retention.clone()));
    for line in ["millrace_objects_removed_total{} 1", "millrace_objects_bytes{} 5.0"] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }

    let denied = PortError::because(ErrorKind::Denied, "list folder \"spool\"", "not allowed");
    retention.tell(Err(denied));
    let state = retention.states().remove(0);
    assert_eq!(state.verdict, Verdict::Troubled);
    assert_eq!(state.words, "nothing is removed: list folder \"spool\": not allowed");
}

#[tokio::test]
async fn a_pass_is_made_beside_the_work_and_the_work_s_end_ends_it() {
    let site = Site::new();
    site.put("gate", 1, "shapes").await;
    let retention = Retention::of(&site.backend, &[]);
    let until_removed = async {
        while retention.told().removed == 0 {
            tokio::task::yield_now().await;
        }
        "done"
    };
    assert_eq!(retention.beside(until_removed).await, "done");
    assert_eq!(site.keys().await.len(), 0);
}
