//! Rules by which the engine makes a plan better, but for one that would make it wrong.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// DataFusion's rules, with filters of physical plans pushed into files and no further.
///
/// Its own rule follows columns by their bare names: of `a right join b on a.k = b.k where a.k is null` the filter may
/// reach the `k` of `b`, and all rows are lost. Filters stand above the files when the physical plan is made, as the
/// logical rules know whose column is meant. The other rule left out does the same with bounds that joins and limits
/// find while they run; a plan that is kept would filter by those of an earlier run, too.
pub(super) fn physical_rules() -> Vec<Rule> {
    let (whole, found) = (FilterPushdown::new(), FilterPushdown::new_post_optimization());
    PhysicalOptimizer::new()
        .rules
        .into_iter()
        .filter(|rule| rule.name() != found.name())
        .map(|rule| match rule.name() == whole.name() {
            true => Arc::new(FiltersOfFiles(FilterPushdown::new())),
            false => rule,
        })
        .collect()
}

/// Lets a file's reader pass over rows that the filter above it drops.
#[derive(Debug)]
struct FiltersOfFiles(FilterPushdown);

impl PhysicalOptimizerRule for FiltersOfFiles {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let is_above_file = node
                .downcast_ref::<FilterExec>()
                .is_some_and(|filter| filter.input().is::<DataSourceExec>());
            match is_above_file {
                true => Ok(Transformed::yes(self.0.optimize(node, config)?)),
                false => Ok(Transformed::no(node)),
            }
        })
        .data()
    }

    fn name(&self) -> &str {
        "FiltersOfFiles"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
