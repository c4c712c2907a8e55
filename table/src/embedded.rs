//! The embedded table: DataFusion over the data folder's Parquet files and buffered rows.
//!
//! One query, in order: take a snapshot of the table, register it with its views, plan, check that it only asks,
//! send the columns, then send batches until the end. Each query has a catalog of its own; all share the threads of
//! one runtime and one bound of memory, of which each sort and each grouping has an equal share, so that a large query
//! leaves room for a small one. What does not fit goes through temporary files, which are bounded too.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use services::{DataFolder, ErrorKind, PortError};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::Table;
use crate::answer::Answer;
use crate::batches::FilteredBatches;
use crate::error::QueryError;
use crate::query::{Moment, Planned, Query};

/// Batches that wait for a reader before the query pauses.
const BATCHES_AHEAD: usize = 2;
/// Rows of a batch: whoever merges what was sorted holds one of each run.
const BATCH_ROWS: usize = 2_048;
/// Stack of a thread: plans are trees, and an unoptimised build recurses deeply through them.
const STACK_BYTES: usize = 16 * 1_024 * 1_024;
/// Threads that wait for the disk.
const DISK_THREADS: usize = 8;
/// Memory of each part that a query is worked on in, at least: with less, sorts spill before they have sorted much.
const PART_BYTES: usize = 128 * 1_024 * 1_024;
/// A sort sets one of so many bytes of its part aside, for merging what it spilled.
const MERGE_SHARE: usize = 4;

/// What queries may use, all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory for sorting, grouping and joining.
    pub memory_bytes: usize,
    /// Bytes in the system's folder for temporary files, for what does not fit into memory; 0 forbids it.
    pub spill_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 512 * 1_024 * 1_024, spill_bytes: 8 * 1_024 * 1_024 * 1_024 }
    }
}

impl Limits {
    /// Parts that a query is worked on in.
    fn parts(&self) -> usize {
        threads().min(self.memory_bytes / PART_BYTES).max(1)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB of memory", self.memory_bytes >> 20)?;
        match self.spill_bytes {
            0 => Ok(()),
            bytes => write!(f, " and {} MiB of temporary files", bytes >> 20),
        }
    }
}

/// The table of a data folder, for reading; whoever writes may go on.
#[derive(Debug)]
pub struct EmbeddedTable {
    moment: Moment,
    limits: Limits,
    environment: Arc<RuntimeEnv>,
    /// Present until dropped.
    runtime: Option<Runtime>,
    closed: CancellationToken,
}

impl EmbeddedTable {
    /// Opens the table of a data folder with the default limits.
    ///
    /// # Errors
    /// When there is no such folder. One in which nothing was delivered yet has a table without rows.
    pub fn open(data: &DataFolder) -> Result<Self, PortError> {
        Self::open_with(data, Limits::default())
    }

    /// Opens the table of a data folder.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(data: &DataFolder, limits: Limits) -> Result<Self, PortError> {
        let attempt = || format!("open table in {:?}", data.root());
        std::fs::read_dir(data.root()).map_err(|error| PortError::io(attempt(), error))?;
        let environment = environment(&limits)
            .map_err(|error| PortError::new(ErrorKind::Unavailable, attempt(), error))?;
        let runtime = runtime().map_err(|error| PortError::io(attempt(), error))?;
        Ok(Self {
            moment: Moment::now(data.buffer()),
            limits,
            environment,
            runtime: Some(runtime),
            closed: CancellationToken::new(),
        })
    }

    /// Holds the table as it is now: every later query sees this moment, whatever is delivered meanwhile. Blocks.
    ///
    /// # Errors
    /// When the buffer cannot be read.
    pub fn hold(mut self) -> Result<Self, PortError> {
        self.moment = self.moment.clone().hold()?;
        Ok(self)
    }

    fn context(&self) -> SessionContext {
        let config = SessionConfig::new()
            .with_default_catalog_and_schema("millrace", "public")
            .with_information_schema(true)
            .with_target_partitions(self.limits.parts())
            .with_batch_size(BATCH_ROWS)
            .with_sort_spill_reservation_bytes(
                self.limits.memory_bytes / self.limits.parts() / MERGE_SHARE,
            )
            .set_bool("datafusion.sql_parser.collect_spans", true);
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.environment))
            .with_physical_optimizer_rule(Arc::new(FilteredBatches))
            .build();
        SessionContext::new_with_state(state)
    }
}

#[async_trait]
impl Table for EmbeddedTable {
    async fn query(&self, sql: &str) -> Result<Answer, QueryError> {
        let query = Query {
            sql: sql.to_owned(),
            moment: self.moment.clone(),
            context: self.context(),
            limits: self.limits,
            closed: self.closed.clone(),
        };
        let (planned, plan) = oneshot::channel();
        let (batches, receiver) = mpsc::channel(BATCHES_AHEAD);
        let runtime =
            self.runtime.as_ref().expect("the runtime is there until the table is dropped");
        runtime.spawn(query.run(planned, batches));
        let Planned { columns, gaps } = plan.await.map_err(|_| QueryError::Stopped)??;
        Ok(Answer::new(columns, receiver).without(gaps))
    }
}

impl Drop for EmbeddedTable {
    fn drop(&mut self) {
        self.closed.cancel();
        if let Some(runtime) = self.runtime.take() {
            // Waiting for the threads is forbidden where the table may be dropped: inside a runtime.
            runtime.shutdown_background();
        }
    }
}

fn environment(limits: &Limits) -> datafusion::error::Result<Arc<RuntimeEnv>> {
    let (pool, mode): (Arc<dyn MemoryPool>, _) = match limits.spill_bytes {
        0 => (Arc::new(GreedyMemoryPool::new(limits.memory_bytes)), DiskManagerMode::Disabled),
        _ => (Arc::new(FairSpillPool::new(limits.memory_bytes)), DiskManagerMode::OsTmpDirectory),
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(limits.spill_bytes);
    RuntimeEnvBuilder::new().with_memory_pool(pool).with_disk_manager_builder(disk).build_arc()
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads())
        .max_blocking_threads(DISK_THREADS)
        .thread_stack_size(STACK_BYTES)
        .thread_name("table")
        .enable_all()
        .build()
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
