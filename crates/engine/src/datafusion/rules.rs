//! Rules by which the engine makes a plan better, but for one that would make it wrong, and with some of our own.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::windows::BoundedWindowAggExec;

use super::columns::Columns;
use super::in_turn::InTurn;
use super::row_number::RowNumber;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// DataFusion's rules, with filters of physical plans pushed into files and no further.
///
/// Its own rule follows columns by their bare names: of `a right join b on a.k = b.k where a.k is null` the filter may
/// reach the `k` of `b`, and all rows are lost. Filters stand above the files when the physical plan is made, as the
/// logical rules know whose column is meant. The other rule left out does the same with bounds that joins and limits
/// find while they run; a plan that is kept would filter by those of an earlier run, too.
///
/// Those of our own: [`RowNumber`], [`Columns`], and [`InTurn`] where there is one thread.
pub(super) fn physical_rules(threads: usize) -> Vec<Rule> {
    let (whole, found) = (FilterPushdown::new(), FilterPushdown::new_post_optimization());
    let requirements = EnsureRequirements::new();
    let mut rules: Vec<Rule> = Vec::new();
    for rule in PhysicalOptimizer::new().rules {
        // Before aggregates are split by what they read.
        if threads == 1 && rule.name() == requirements.name() {
            rules.push(Arc::new(UNIONS_IN_TURN));
        }
        if rule.name() == whole.name() {
            rules.push(Arc::new(FILTERS_OF_FILES));
        } else if rule.name() != found.name() {
            rules.push(rule);
        }
    }
    rules.push(Arc::new(COUNTED_ROW_NUMBERS));
    rules.push(Arc::new(PLAIN_COLUMNS));
    rules
}

/// A rule that changes nodes of a plan by themselves, from the leaves up.
#[derive(Debug)]
struct EachNode {
    name: &'static str,
    /// What stands in a node's place, if anything else does.
    change: fn(&Arc<dyn ExecutionPlan>, &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>>,
}

impl PhysicalOptimizerRule for EachNode {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let changed = (self.change)(&node, config)?;
            Ok(changed.map_or_else(|| Transformed::no(node), Transformed::yes))
        })
        .data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Lets a file's reader pass over rows that the filter above it drops.
const FILTERS_OF_FILES: EachNode = EachNode {
    name: "FiltersOfFiles",
    change: |node, config| {
        let is_above_file = node
            .downcast_ref::<FilterExec>()
            .is_some_and(|filter| filter.input().is::<DataSourceExec>());
        let pushed = || FilterPushdown::new().optimize(Arc::clone(node), config);
        is_above_file.then(pushed).transpose()
    },
};

/// On one thread, inputs of a union are read one after the other.
const UNIONS_IN_TURN: EachNode = EachNode {
    name: "UnionsInTurn",
    change: |node, _| Ok(node.downcast_ref::<UnionExec>().map(InTurn::of)),
};

/// `row_number()` counts where rows are sorted.
const COUNTED_ROW_NUMBERS: EachNode = EachNode {
    name: "CountedRowNumbers",
    change: |node, _| Ok(node.downcast_ref::<BoundedWindowAggExec>().and_then(RowNumber::of)),
};

/// Columns of a SELECT are computed without metrics for each.
const PLAIN_COLUMNS: EachNode = EachNode {
    name: "PlainColumns",
    change: |node, _| node.downcast_ref::<ProjectionExec>().map(Columns::of).transpose(),
};
