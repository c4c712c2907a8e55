//! A rule of the planner: what is filtered comes in batches of the session's size.
//!
//! The engine moves a filter on a union to below it, and makes it anew there with batches of a size of its own: four
//! times as much memory for each run that a sort merges.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;

/// Sets the size of every filter's batches.
#[derive(Debug)]
pub(crate) struct FilteredBatches;

impl PhysicalOptimizerRule for FilteredBatches {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = config.execution.batch_size.into();
        plan.transform_up(|node| match node.downcast_ref::<FilterExec>() {
            Some(filter) if filter.batch_size() != rows => {
                Ok(Transformed::yes(Arc::new(filter.with_batch_size(rows)?)))
            }
            _ => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "filtered_batches"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
