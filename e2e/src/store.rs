//! A site's object store and queues, as another program would use them.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use services::config::{Overrides, load};
use services::queue::Depth;
use services::{ModelName, OpenBackend};
use tokio::runtime::{Builder, Runtime};

/// Keys in one page of a listing.
const PAGE: usize = 1_000;

/// A site's object store and queues.
///
/// # Panics
/// Every call, when store or queue refuse it.
#[derive(Debug)]
pub struct Store {
    backend: OpenBackend,
    runtime: Runtime,
}

impl Store {
    pub(crate) fn open(config: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let config = load(Some(config), &Overrides::default()).expect("the site's configuration");
        let backend = runtime.block_on(backend::open(&config));
        Self { backend: backend.expect("the site's backend opens"), runtime }
    }

    /// The name that messages know the object store by.
    pub fn bucket(&self) -> &str {
        &self.backend.ports.bucket.name
    }

    /// Stores an object.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let put = self.backend.ports.bucket.store.put(key, Bytes::copy_from_slice(bytes));
        self.runtime.block_on(put).expect("the store takes it");
    }

    /// Reads the object of a row.
    pub fn get(&self, uri: &str) -> Bytes {
        let bucket = &self.backend.ports.bucket;
        let key =
            uri.strip_prefix(&bucket.uri).expect("it is in the bucket").trim_start_matches('/');
        self.runtime.block_on(bucket.store.get(key, None)).expect("it is there")
    }

    /// The URI and size of every object of a frame.
    pub fn objects(&self) -> BTreeMap<String, u64> {
        let bucket = &self.backend.ports.bucket;
        let mut objects = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = bucket.store.list("frames/", after.as_deref(), PAGE);
            let page = self.runtime.block_on(page).expect("the store can be listed");
            let Some(last) = page.last() else { return objects };
            after = Some(last.key.clone());
            objects.extend(page.iter().map(|meta| (bucket.object_uri(&meta.key), meta.size)));
        }
    }

    /// Sends messages to a model's queue.
    pub fn send(&self, model: &str, bodies: &[String]) {
        let model = ModelName::new(model).expect("the name is well formed");
        let send = self.backend.ports.queues[&model].queue.send(bodies);
        let outcomes = self.runtime.block_on(send).expect("the queue takes them");
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    /// How many messages a model's queue holds.
    pub fn depth(&self, model: &str) -> Depth {
        let model = ModelName::new(model).expect("the name is well formed");
        let depth = self.backend.ports.queues[&model].backlog.depth();
        self.runtime.block_on(depth).expect("the queue can be asked")
    }
}
