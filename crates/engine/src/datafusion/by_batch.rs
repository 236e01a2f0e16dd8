//! An operator that makes one batch of each batch of its input, on the same rows in the same order.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::physical_expr_common::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;

/// What such an operator does.
pub(super) trait Work: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Name of the operator in plans.
    const NAME: &'static str;

    /// What is remembered from one batch of a partition to the next.
    type State: Default + Send;

    /// What is computed of the input.
    fn expressions(&self) -> &[Arc<dyn PhysicalExpr>];

    /// The columns made of a batch.
    ///
    /// # Errors
    /// Rows that an expression can't compute.
    fn columns(&self, batch: &RecordBatch, state: &mut Self::State) -> Result<RecordBatch>;
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct ByBatch<W> {
    input: Arc<dyn ExecutionPlan>,
    work: Arc<W>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl<W: Work> ByBatch<W> {
    /// The operator in the place of `other`, which it is as good as.
    pub(super) fn instead_of(
        other: &dyn ExecutionPlan,
        input: &Arc<dyn ExecutionPlan>,
        work: W,
    ) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self {
            input: Arc::clone(input),
            work: Arc::new(work),
            properties: Arc::clone(other.properties()),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl<W: Work> DisplayAs for ByBatch<W> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", W::NAME, self.work)
    }
}

impl<W: Work> ExecutionPlan for ByBatch<W> {
    fn name(&self) -> &str {
        W::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expression in self.work.expressions() {
            if apply(expression)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            input: children.swap_remove(0),
            work: Arc::clone(&self.work),
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let (work, mut state) = (Arc::clone(&self.work), W::State::default());
        let rows = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            let _timer = metrics.elapsed_compute().timer();
            work.columns(&batch, &mut state)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Some expressions of a batch.
///
/// # Errors
/// Rows that one of them can't compute.
pub(super) fn evaluated(
    expressions: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
) -> Result<Vec<ArrayRef>> {
    let rows = batch.num_rows();
    expressions.iter().map(|expression| expression.evaluate(batch)?.into_array(rows)).collect()
}
