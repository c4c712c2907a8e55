//! Reads the table's files so that one that is damaged costs its rows and not the answer.
//!
//! It wraps the engine's own reader. Whatever fails while a file is opened or read is looked into: when the file cannot
//! be read to its end by itself, it is noted as a gap and ends there; any other failure is the query's. A file that was
//! noted is not opened again for the same answer.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use arrow_array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::object_store::ObjectStore;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::stream::{BoxStream, try_unfold};
use futures::{FutureExt as _, StreamExt as _};
use services::delivery::ListedFile;

use crate::files::read_through;
use crate::gaps::Gaps;
use crate::translate::is_about_files;

/// A source of files of which some may be damaged. Each file carries its [`ListedFile`].
pub(crate) struct GuardedSource {
    inner: Arc<dyn FileSource>,
    gaps: Arc<Gaps>,
}

impl GuardedSource {
    pub(crate) fn new(inner: Arc<dyn FileSource>, gaps: Arc<Gaps>) -> Self {
        Self { inner, gaps }
    }

    /// What the engine made of the source, guarded as well.
    fn again(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self::new(inner, Arc::clone(&self.gaps)))
    }
}

impl FileSource for GuardedSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self.inner.create_morselizer(store, config, partition)?;
        Ok(Box::new(GuardedFiles { inner, gaps: Arc::clone(&self.gaps) }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, rows: usize) -> Arc<dyn FileSource> {
        self.again(self.inner.with_batch_size(rows))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(format, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        partitions: usize,
        min_bytes: usize,
        ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        self.inner.repartitioned(partitions, min_bytes, ordering, config)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_filters(filters, config)?;
        let updated_node = pushed.updated_node.map(|inner| self.again(inner));
        Ok(FilterPushdownPropagation { filters: pushed.filters, updated_node })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_sort(order, properties)?.map(|inner| self.again(inner)))
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.again(inner)))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(visit)
    }
}

/// Begins to read files.
#[derive(Debug)]
struct GuardedFiles {
    inner: Box<dyn Morselizer>,
    gaps: Arc<Gaps>,
}

impl Morselizer for GuardedFiles {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let listed = file.extension::<Arc<ListedFile>>().map(Arc::clone);
        let listed = listed.ok_or_else(|| exec_datafusion_err!("a file carries no name"))?;
        if self.gaps.is_damaged(&listed.path) {
            return Ok(Box::new(Nothing));
        }
        let guard = Guard { file: listed, gaps: Arc::clone(&self.gaps) };
        Ok(guard.planner(self.inner.plan_file(file)?))
    }
}

/// Reads of a file what is read next.
#[derive(Debug)]
struct GuardedPlanner {
    inner: Box<dyn MorselPlanner>,
    guard: Guard,
}

impl MorselPlanner for GuardedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, guard } = *self;
        let mut plan = match catch_unwind(AssertUnwindSafe(|| inner.plan())) {
            Ok(Ok(Some(plan))) => plan,
            Ok(Ok(None)) => return Ok(None),
            failed => {
                let failed = failed.map(|error| error.map(|_| Box::new(Nothing) as _));
                let judged = async move { guard.next_planner(failed).await };
                return Ok(Some(MorselPlan::new().with_pending_planner(judged)));
            }
        };
        let piece = |inner| Box::new(GuardedPiece { inner, guard: guard.clone() }) as _;
        let pieces = plan.take_morsels().into_iter().map(piece).collect();
        let planners = plan.take_ready_planners().into_iter().map(|inner| guard.planner(inner));
        let mut guarded = MorselPlan::new().with_morsels(pieces).with_planners(planners.collect());
        if let Some(pending) = plan.take_pending_planner() {
            guarded.set_pending_planner(async move {
                guard.next_planner(AssertUnwindSafe(pending).catch_unwind().await).await
            });
        }
        Ok(Some(guarded))
    }
}

/// Rows of a file.
#[derive(Debug)]
struct GuardedPiece {
    inner: Box<dyn Morsel>,
    guard: Guard,
}

impl Morsel for GuardedPiece {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, guard } = *self;
        let batches = AssertUnwindSafe(inner.into_stream()).catch_unwind();
        try_unfold((batches, guard), |(mut batches, guard)| async {
            let Some(batch) = batches.next().await else { return Ok(None) };
            let batch = guard.judge(batch).await?;
            Ok(batch.map(|batch| (batch, (batches, guard))))
        })
        .boxed()
    }
}

/// No more of a file.
#[derive(Debug)]
struct Nothing;

impl MorselPlanner for Nothing {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(None)
    }
}

/// Decides what is to blame when reading a file fails.
#[derive(Clone, Debug)]
struct Guard {
    file: Arc<ListedFile>,
    gaps: Arc<Gaps>,
}

impl Guard {
    fn planner(&self, inner: Box<dyn MorselPlanner>) -> Box<dyn MorselPlanner> {
        Box::new(GuardedPlanner { inner, guard: self.clone() })
    }

    async fn next_planner(
        &self,
        outcome: thread::Result<Result<Box<dyn MorselPlanner>>>,
    ) -> Result<Box<dyn MorselPlanner>> {
        let next = self.judge(outcome).await?;
        Ok(next.map_or_else(|| Box::new(Nothing) as _, |next| self.planner(next)))
    }

    /// What came of reading, as the engine had it or as the panic in which it ended; `None` when the file is to blame.
    async fn judge<T>(&self, outcome: thread::Result<Result<T>>) -> Result<Option<T>> {
        let error = match outcome {
            Ok(Ok(read)) => return Ok(Some(read)),
            Ok(Err(error)) if !is_about_files(&error) => return Err(error),
            Ok(Err(error)) => error,
            Err(panic) => exec_datafusion_err!("reading a file panicked: {}", words(&*panic)),
        };
        let file = Arc::clone(&self.file);
        match tokio::task::spawn_blocking(move || read_through(&file.path)).await {
            // Descriptors that have run out, for one, say nothing of the file.
            Ok(Err(cause)) if cause.is_retryable() => Err(error),
            Ok(Err(cause)) => {
                self.gaps.note(&self.file, &cause);
                Ok(None)
            }
            Ok(Ok(())) | Err(_) => Err(error),
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::symlink;

    use datafusion::error::DataFusionError;

    use super::*;

    /// It was a gap, and the answer went on without rows that are there.
    #[tokio::test]
    async fn what_may_pass_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part-1.parquet");
        // The system opens no such link, and says neither that it is missing nor that it is damaged.
        symlink(&path, &path).unwrap();
        let gaps = Arc::new(Gaps::default());
        let file = Arc::new(ListedFile { path, rows: 7 });
        let guard = Guard { file, gaps: Arc::clone(&gaps) };
        let failed = DataFusionError::IoError(io::Error::other("too many open files"));
        let error = guard.judge::<()>(Ok(Err(failed))).await.unwrap_err();
        assert!(error.to_string().contains("too many open files"), "{error}");
        assert_eq!(gaps.all(), []);
    }
}
