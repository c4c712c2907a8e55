//! The view `detections_unique` as the embedded table runs it: few frames are delivered twice, and it ranks no others.
//!
//! In order: find the frames that may have been delivered more than once ([`repeats`]); ask the view's own text for
//! these, and the rows as they are for all others. The two are told apart by `captured_at`, which is a part of what
//! the view groups by: no group is ever split.
//!
//! The first happens while the query is planned, for what is found decides the plan; so an `EXPLAIN` reads, too.
//!
//! Invariant: the answer is that of the view's text over the same rows, whatever they are.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_schema::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{HashSet, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TableProviderFilterPushDown, TableType, Volatility, col, ident, not,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use services::delivery::table_schema;

use crate::repeats;
use crate::sql::View;

/// The view, over the table `detections` of one query.
#[derive(Debug)]
pub(crate) struct Unique {
    view: View,
    schema: SchemaRef,
    /// The view's text.
    ranked: LogicalPlan,
    /// The rows as they are, with the view's columns.
    rows: LogicalPlan,
    /// What tells deliveries apart, of each row.
    deliveries: LogicalPlan,
}

impl Unique {
    /// Takes the place of `view`, which `context` knows, with the table that it reads.
    pub(crate) async fn replace(view: View, context: &SessionContext) -> Result<()> {
        let plan = async |sql: &str| -> Result<LogicalPlan> {
            Ok(context.sql(sql).await?.into_unoptimized_plan())
        };
        let ranked = plan(&format!("SELECT * FROM {}", view.name)).await?;
        let deliveries = format!("SELECT {} FROM detections", repeats::COLUMNS.join(", "));
        let unique = Self {
            view,
            schema: Arc::clone(ranked.schema().inner()),
            ranked,
            rows: plan(&rows_sql()).await?,
            deliveries: plan(&deliveries).await?,
        };
        context.deregister_table(view.name)?;
        context.register_table(view.name, Arc::new(unique))?;
        Ok(())
    }

    /// The view's rows.
    async fn plan(&self, state: &dyn Session, filters: &[Expr]) -> Result<LogicalPlanBuilder> {
        let named =
            |plan: &LogicalPlan| LogicalPlanBuilder::from(plan.clone()).alias(self.view.name);
        let of_frames = filters.iter().filter(|filter| is_of_frames(filter)).cloned();
        let deliveries = filtered(LogicalPlanBuilder::from(self.deliveries.clone()), of_frames)?;
        let Some(repeated) = repeats::find(state, &deliveries.build()?).await? else {
            return named(&self.ranked);
        };
        if repeated.is_empty() {
            return named(&self.rows);
        }
        // Leaves out files, which the exact condition does not.
        let about = between(&repeated);
        let repeated = is_repeated(repeated);
        let ranked = named(&self.ranked)?.filter(about.and(repeated.clone()))?;
        named(&self.rows)?.filter(not(repeated))?.union(ranked.build()?)
    }
}

/// The rows as they are, with the view's columns: `dt` and `hour` as its text has them.
fn rows_sql() -> String {
    let schema = table_schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "dt" => Cow::Borrowed("SUBSTR(dt || hour, 1, 10) AS dt"),
        "hour" => Cow::Borrowed("SUBSTR(dt || hour, 11, 2) AS hour"),
        name => Cow::Owned(name.to_owned()),
    });
    format!("SELECT {} FROM detections", columns.collect::<Vec<_>>().join(", "))
}

/// Whether a filter leaves out all rows of a frame and model or none.
fn is_of_frames(filter: &Expr) -> bool {
    filter.column_refs().iter().all(|column| repeats::keys().contains(&column.name()))
}

fn filtered(
    plan: LogicalPlanBuilder,
    filters: impl Iterator<Item = Expr>,
) -> Result<LogicalPlanBuilder> {
    match filters.reduce(Expr::and) {
        Some(filter) => plan.filter(filter),
        None => Ok(plan),
    }
}

#[async_trait]
impl TableProvider for Unique {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(self.view.sql)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = filtered(self.plan(state, filters).await?, filters.iter().cloned())?;
        if let Some(projection) = projection {
            plan = plan
                .project(projection.iter().map(|index| ident(self.schema.field(*index).name())))?;
        }
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        state.create_physical_plan(&plan.build()?).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }
}

/// Whether a row is of the time that some times reach over.
fn between(times: &HashSet<i64>) -> Expr {
    let [first, last] = [times.iter().min(), times.iter().max()].map(|time| *time.unwrap_or(&0));
    col("captured_at").between(repeats::time(first), repeats::time(last))
}

/// Whether a row's frame may be repeated.
fn is_repeated(times: HashSet<i64>) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::from(IsRepeated { signature, times: Arc::new(times) }).call(vec![col("captured_at")])
}

/// `is_repeated(captured_at)`: whether it is one of some times.
#[derive(Debug)]
struct IsRepeated {
    signature: Signature,
    /// UTC microseconds.
    times: Arc<HashSet<i64>>,
}

impl PartialEq for IsRepeated {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.times, &other.times)
    }
}

impl Eq for IsRepeated {}

impl Hash for IsRepeated {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.times).hash(state);
    }
}

impl ScalarUDFImpl for IsRepeated {
    fn name(&self) -> &'static str {
        "is_repeated"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = ColumnarValue::values_to_arrays(&args.args)?;
        let times = times[0].as_primitive::<TimestampMicrosecondType>();
        let found: BooleanArray =
            times.iter().map(|time| time.map(|time| self.times.contains(&time))).collect();
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}
