//! The table `detections` for one query: the rows in files and the rows that still wait for theirs.
//!
//! Filters on `dt` and `hour` decide which files are opened; other filters reach the files' statistics. Every
//! filter is applied again above the scan: leaving a file out only saves work.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::object_store::local::LocalFileSystem;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use services::delivery::{Hour, Reading, arrow_schema, table_schema};

use crate::files::{FiledRows, PARTITION_COLUMNS};
use crate::gaps::Gaps;
use crate::guarded::GuardedSource;

/// All rows of one moment.
#[derive(Debug)]
pub(crate) struct Detections {
    schema: SchemaRef,
    partition_columns: Vec<FieldRef>,
    files: Vec<FiledRows>,
    store: Option<Arc<LocalFileSystem>>,
    buffered: RecordBatch,
    /// What of the rows cannot be read.
    gaps: Arc<Gaps>,
    /// Keeps the files where they are until the query has ended.
    _reading: Option<Arc<Reading>>,
}

impl Detections {
    /// The rows of `files`, which are in `store` and stay there by `reading`, and `buffered`; the latter has the columns of
    /// [`table_schema`]. What cannot be read is told to `gaps`.
    pub(crate) fn new(
        files: Vec<FiledRows>,
        store: Option<LocalFileSystem>,
        buffered: RecordBatch,
        gaps: Arc<Gaps>,
        reading: Option<Arc<Reading>>,
    ) -> Self {
        let schema = table_schema();
        let partition_columns = PARTITION_COLUMNS
            .iter()
            .filter_map(|name| schema.column_with_name(name))
            .map(|(index, _)| Arc::clone(&schema.fields()[index]))
            .collect();
        Self {
            schema,
            partition_columns,
            files,
            store: store.map(Arc::new),
            buffered,
            gaps,
            _reading: reading,
        }
    }

    /// Where the files are, if there are any.
    pub(crate) fn store(&self) -> Option<Arc<LocalFileSystem>> {
        self.store.clone()
    }

    /// The files that may have rows for which all `filters` hold.
    fn files_for(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&FiledRows>> {
        let partitions = self.files.iter().map(|file| Some(&file.partition)).collect::<Vec<_>>();
        let wanted = self.may_hold(state, filters, &partitions)?;
        Ok(self
            .files
            .iter()
            .zip(wanted)
            .filter_map(|(file, wanted)| wanted.then_some(file))
            .collect())
    }

    /// Notes the gaps in which there may be rows for which all `filters` hold.
    fn need_gaps(&self, state: &dyn Session, filters: &[Expr]) -> Result<()> {
        let partition = |hour: Hour| [hour.dt(), hour.hour()];
        let known = self.gaps.known().iter();
        let partitions = known.map(|gap| gap.hour.map(partition)).collect::<Vec<_>>();
        let partitions = partitions.iter().map(Option::as_ref).collect::<Vec<_>>();
        let wanted = self.may_hold(state, filters, &partitions)?;
        let wanted = wanted.into_iter().enumerate();
        self.gaps.need(wanted.filter_map(|(place, wanted)| wanted.then_some(place)));
        Ok(())
    }

    /// Tells of each partition whether all `filters` may hold for rows of it; of one that is not known, they may.
    fn may_hold(
        &self,
        state: &dyn Session,
        filters: &[Expr],
        partitions: &[Option<&[String; 2]>],
    ) -> Result<Vec<bool>> {
        let mut wanted = vec![true; partitions.len()];
        let column = |place: usize| -> ArrayRef {
            let values =
                partitions.iter().map(|values| values.map(|values| values[place].as_str()));
            Arc::new(values.collect::<StringArray>())
        };
        let fields =
            self.partition_columns.iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let values = RecordBatch::try_new(schema, vec![column(0), column(1)])?;
        for filter in filters.iter().filter(|filter| decided_by_partition(filter)) {
            let schema = DFSchema::try_from(values.schema())?;
            let holds = state
                .create_physical_expr(filter.clone(), &schema)?
                .evaluate(&values)?
                .into_array(partitions.len())?;
            for (wanted, holds) in wanted.iter_mut().zip(holds.as_boolean()) {
                *wanted &= holds == Some(true);
            }
        }
        let unknown = partitions.iter().map(Option::is_none);
        Ok(wanted.into_iter().zip(unknown).map(|(wanted, unknown)| wanted || unknown).collect())
    }

    fn scan_files(
        &self,
        files: Vec<&FiledRows>,
        groups: usize,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = TableSchema::builder(arrow_schema())
            .with_table_partition_cols(self.partition_columns.clone())
            .build();
        let files = files.into_iter().map(partitioned).collect();
        let source =
            GuardedSource::new(Arc::new(ParquetSource::new(schema)), Arc::clone(&self.gaps));
        let scan = FileScanConfigBuilder::new(filed(), Arc::new(source))
            .with_file_groups(FileGroup::new(files).split_files(groups))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// The name by which the engine finds the [`store`](crate::files::store) of a query.
pub(crate) fn filed() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("table://filed").expect("the name is a scheme and a host")
}

fn decided_by_partition(filter: &Expr) -> bool {
    !filter.is_volatile()
        && filter.column_refs().iter().all(|column| PARTITION_COLUMNS.contains(&column.name()))
}

fn partitioned(rows: &FiledRows) -> PartitionedFile {
    let values = rows.partition.iter().map(|value| ScalarValue::from(value.as_str()));
    rows.file.clone().with_partition_values(values.collect())
}

#[async_trait]
impl TableProvider for Detections {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let buffered: Arc<dyn ExecutionPlan> = MemorySourceConfig::try_new_exec(
            &[vec![self.buffered.clone()]],
            self.schema(),
            projection.cloned(),
        )?;
        self.need_gaps(state, filters)?;
        let files = self.files_for(state, filters)?;
        if files.is_empty() {
            return Ok(buffered);
        }
        let groups = state.config().target_partitions();
        let filed = self.scan_files(files, groups, projection, limit)?;
        UnionExec::try_new(vec![filed, buffered])
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
