//! The backend of a process: its adapters behind the ports, and the embedded ones put together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::data_folder::DataFolder;
use crate::delivery::{BufferedDelivery, DeliveryOptions, DeliveryStream, Filer};
use crate::error::PortError;
use crate::feed::{BroadcastFeed, ResultFeed};
use crate::id::ModelName;
use crate::object_store::{Bucket, FolderStore};
use crate::queue::{DeadLetters, Queue, QueueOptions, SqliteQueue};

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
}

/// How the embedded backend behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// How each queue behaves.
    pub queue: QueueOptions,
    /// How the delivery stream behaves.
    pub delivery: DeliveryOptions,
    /// Results that the feed holds for its slowest subscriber.
    pub feed_capacity: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            queue: QueueOptions::default(),
            delivery: DeliveryOptions::default(),
            feed_capacity: 1_024,
        }
    }
}

/// The embedded backend of one process, in one data folder that other processes may use too.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// Its ports.
    pub ports: Ports,
    /// What moves accepted rows to files; somebody has to run it.
    pub filer: Filer,
    /// The queues once more, for what only the embedded ones tell: their counts.
    pub queues: BTreeMap<ModelName, SqliteQueue>,
    /// Where everything lies.
    pub folder: DataFolder,
}

/// Opens the embedded backend in the folder `data`, with a queue for each model, and repairs what a crash left.
/// Blocks.
///
/// # Errors
/// When a folder cannot be made or written to, or a file is damaged or something else; it is named.
pub fn open_embedded<'a>(
    data: &Path,
    models: impl IntoIterator<Item = &'a ModelName>,
    options: &EmbeddedOptions,
) -> Result<Embedded, PortError> {
    let clock = Clock::system();
    let folder = DataFolder::new(data);
    let bucket = FolderStore::open(folder.objects())?.into_bucket(EMBEDDED_BUCKET);
    let (delivery, filer) =
        BufferedDelivery::open_with_filer(&folder.table(), &options.delivery, &clock)?;
    let queues = models
        .into_iter()
        .map(|model| {
            let path = folder.queue(model);
            let queue = SqliteQueue::open(path, options.queue.clone(), clock.clone())?;
            Ok((model.clone(), queue))
        })
        .collect::<Result<BTreeMap<_, _>, PortError>>()?;
    let ports = Ports {
        bucket,
        queues: queues.iter().map(|(model, queue)| (model.clone(), queue.into())).collect(),
        delivery: Arc::new(delivery),
        feed: Arc::new(BroadcastFeed::new(options.feed_capacity)),
    };
    Ok(Embedded { ports, filer, queues, folder })
}

impl From<&SqliteQueue> for WorkQueue {
    fn from(queue: &SqliteQueue) -> Self {
        Self { queue: Arc::new(queue.clone()), dead: Arc::new(queue.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::contract::row;
    use crate::delivery::snapshot;
    use crate::error::ErrorKind;

    fn open(data: &Path) -> Result<Embedded, PortError> {
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
        assert_eq!(second.queues[&shapes].counts().await.unwrap().ready, 1);
        assert_eq!(second.filer.file_all().await.unwrap().rows, 1);
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

    #[test]
    fn a_file_that_is_no_queue_is_refused_by_name() {
        let data = tempfile::tempdir().unwrap();
        let path = DataFolder::new(data.path()).queue(&ModelName::new("shapes").unwrap());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "a text of more than a hundred bytes, ".repeat(99)).unwrap();
        let error = open(data.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let expected = format!("open queue {path:?}: file is not a database");
        assert_eq!(error.to_string(), expected);
    }
}
