//! The backend of a process: its adapters behind the ports; and the embedded one, opened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::data_folder::DataFolder;
use crate::delivery::{BufferedDelivery, DeliveryOptions, DeliveryStream, Filer};
use crate::error::PortError;
use crate::feed::{ResultFeed, SocketFeed};
use crate::id::ModelName;
use crate::keep::Keep;
use crate::object_store::retention::ObjectKeeper;
use crate::object_store::{Bucket, FolderStore};
use crate::queue::{Backlog, DeadLetters, Queue, QueueOptions, ReopenedQueue, SqliteQueue};

/// The name by which messages know the embedded object store.
pub const EMBEDDED_BUCKET: &str = "objects";

/// What a receiver or a worker needs of the world.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Where frames' bytes lie.
    pub bucket: Bucket,
    /// The queue of each model.
    pub queues: BTreeMap<ModelName, WorkQueue>,
    /// The way of rows into the table.
    pub delivery: Arc<dyn DeliveryStream>,
    /// The way of results to people's eyes.
    pub feed: Arc<dyn ResultFeed>,
}

/// One model's queue.
#[derive(Clone, Debug)]
pub struct WorkQueue {
    /// The messages.
    pub queue: Arc<dyn Queue>,
    /// The messages that were given up.
    pub dead: Arc<dyn DeadLetters>,
    /// How many messages there are.
    pub backlog: Arc<dyn Backlog>,
}

/// How the embedded backend behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// How each queue behaves.
    pub queue: QueueOptions,
    /// How the delivery stream behaves.
    pub delivery: DeliveryOptions,
    /// How much of the objects of frames is kept.
    pub keep_objects: Keep,
    /// Results that the feed holds for its slowest subscriber.
    pub feed_capacity: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            queue: QueueOptions::default(),
            delivery: DeliveryOptions::default(),
            keep_objects: Keep::default(),
            feed_capacity: 1_024,
        }
    }
}

/// The backend of one process, open.
#[derive(Clone, Debug)]
pub struct OpenBackend {
    /// Its ports.
    pub ports: Ports,
    /// What moves accepted rows to files, where this process has to do that: somebody has to run it.
    pub filer: Option<Filer>,
    /// What removes old objects, where a receiver has to do that: somebody has to run it.
    pub keeper: Option<ObjectKeeper>,
    /// What has to outlive the process on this machine: spools always, the embedded backend wholly.
    pub folder: DataFolder,
}

/// Opens the embedded backend in the folder `data`, with a queue for each model, and repairs what a crash left.
/// Blocks.
///
/// # Errors
/// When a folder cannot be made or written to, or a file is damaged or something else, unless it is the queue of one
/// model among others: that is said by each of its calls. What is wrong is named.
pub fn open_embedded<'a>(
    data: &Path,
    models: impl IntoIterator<Item = &'a ModelName>,
    options: &EmbeddedOptions,
) -> Result<OpenBackend, PortError> {
    let clock = Clock::system();
    let folder = DataFolder::new(data);
    let bucket = FolderStore::open(folder.objects())?.into_bucket(EMBEDDED_BUCKET);
    let keeper = ObjectKeeper::new(&folder.objects(), options.keep_objects, clock.clone())?;
    let DeliveryOptions { max_buffered_bytes, filing } = options.delivery.clone();
    let delivery = BufferedDelivery::open(&folder.table(), max_buffered_bytes, clock.clone())?;
    let filer = Filer::open_in(&folder, filing, clock.clone())?;
    let queues = open_queues(&folder, models, &options.queue, &clock)?;
    let ports = Ports {
        bucket,
        queues,
        delivery: Arc::new(delivery),
        feed: Arc::new(SocketFeed::new(&folder.feed(), options.feed_capacity)),
    };
    let keeper = (!options.keep_objects.is_all()).then_some(keeper);
    Ok(OpenBackend { ports, filer: Some(filer), keeper, folder })
}

/// Opens a queue for each model. One that cannot be opened is its model's trouble, and said by each of its calls.
fn open_queues<'a>(
    folder: &DataFolder,
    models: impl IntoIterator<Item = &'a ModelName>,
    options: &QueueOptions,
    clock: &Clock,
) -> Result<BTreeMap<ModelName, WorkQueue>, PortError> {
    let mut queues = BTreeMap::new();
    let mut first_refusal = None;
    let mut opened = 0;
    for model in models {
        let path = folder.queue(model);
        let queue = match SqliteQueue::open(&path, options.clone(), clock.clone()) {
            Ok(queue) => {
                opened += 1;
                WorkQueue::of(queue)
            }
            Err(error) => {
                tracing::error!(%model, %error, "the model has to do without its queue");
                first_refusal.get_or_insert(error);
                WorkQueue::of(ReopenedQueue::new(path, options.clone(), clock.clone()))
            }
        };
        queues.insert(model.clone(), queue);
    }
    match first_refusal {
        Some(error) if opened == 0 => Err(error),
        _ => Ok(queues),
    }
}

impl WorkQueue {
    /// One adapter behind all three ports.
    pub fn of(queue: impl Queue + DeadLetters + Backlog + 'static) -> Self {
        let queue = Arc::new(queue);
        Self { queue: queue.clone(), dead: queue.clone(), backlog: queue }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::contract::row;
    use crate::delivery::snapshot;
    use crate::error::ErrorKind;

    fn open(data: &Path) -> Result<OpenBackend, PortError> {
        let models = ["shapes", "circles"].map(|name| ModelName::new(name).unwrap());
        open_embedded(data, &models, &EmbeddedOptions::default())
    }

    #[tokio::test]
    async fn what_one_process_stored_the_next_one_finds() {
        let data = tempfile::tempdir().unwrap();
        let first = open(data.path()).unwrap();
        first.ports.delivery.put(&[row("gate", 1, 0)]).await.unwrap();
        let shapes = ModelName::new("shapes").unwrap();
        first.ports.queues[&shapes].queue.send(&["work".to_owned()]).await.unwrap();
        drop(first);

        let second = open(data.path()).unwrap();
        assert_eq!(second.ports.queues[&shapes].backlog.depth().await.unwrap().ready, 1);
        assert_eq!(second.filer.unwrap().file_all().await.unwrap().rows, 1);
        assert_eq!(snapshot(&second.folder.buffer()).unwrap().files.len(), 1);
        assert_eq!(second.folder.models().unwrap().len(), 2);
    }

    #[test]
    fn a_data_folder_that_cannot_be_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = open(&file.path().join("data")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.starts_with("create folder") && text.contains("data/objects"), "{text}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_queue_is_its_models_trouble_alone_until_it_is_put_right() {
        let data = tempfile::tempdir().unwrap();
        let [shapes, circles] = ["shapes", "circles"].map(|name| ModelName::new(name).unwrap());
        let path = DataFolder::new(data.path()).queue(&shapes);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "a text of more than a hundred bytes, ".repeat(99)).unwrap();
        let queues = open(data.path()).unwrap().ports.queues;
        let work = ["work".to_owned()];
        let refused = queues[&shapes].queue.send(&work).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        let expected = format!("open queue {path:?}: file is not a database");
        assert_eq!(refused.to_string(), expected);
        assert_eq!(queues[&shapes].backlog.depth().await.unwrap_err().to_string(), expected);
        queues[&circles].queue.send(&work).await.unwrap();

        std::fs::remove_file(&path).unwrap();
        queues[&shapes].queue.send(&work).await.unwrap();
        assert_eq!(queues[&shapes].backlog.depth().await.unwrap().ready, 1);
    }

    #[test]
    fn a_backend_without_a_single_queue_is_refused_by_the_first_ones_name() {
        let data = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(data.path());
        std::fs::create_dir(folder.queue(&ModelName::new("x").unwrap()).parent().unwrap()).unwrap();
        for name in ["shapes", "circles"] {
            std::fs::write(folder.queue(&ModelName::new(name).unwrap()), "").unwrap();
        }
        let error = open(data.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("shapes.sqlite"), "{error}");
    }
}
