//! The columns of a SELECT, computed batch by batch.
//!
//! DataFusion's operator writes each expression as SQL whenever it begins to run, as labels for metrics by expression. A plan that is
//! kept and run for a few rows at a time, as live ones are, spends a fifth of its time on that.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::physical_expr_common::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;

use super::eager::eager;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Columns {
    input: Arc<dyn ExecutionPlan>,
    expressions: Arc<[Arc<dyn PhysicalExpr>]>,
    properties: Arc<PlanProperties>,
    schema: SchemaRef,
    metrics: ExecutionPlanMetricsSet,
}

impl Columns {
    /// The same as DataFusion's operator; what is safe to compute for all rows at once is.
    pub(super) fn of(projection: &ProjectionExec) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = projection.input().schema();
        let expressions = projection
            .expr()
            .iter()
            .map(|column| eager(Arc::clone(&column.expr), &schema))
            .collect::<Result<_>>()?;
        Ok(Arc::new(Self {
            input: Arc::clone(projection.input()),
            expressions,
            properties: Arc::clone(projection.properties()),
            schema: projection.schema(),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

impl DisplayAs for Columns {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Columns: ")?;
        let names = self.schema.fields().iter();
        for (index, (expression, field)) in self.expressions.iter().zip(names).enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{expression} as {}", field.name())?;
        }
        Ok(())
    }
}

impl ExecutionPlan for Columns {
    fn name(&self) -> &str {
        "Columns"
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
        for expression in self.expressions.iter() {
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
            expressions: Arc::clone(&self.expressions),
            properties: Arc::clone(&self.properties),
            schema: Arc::clone(&self.schema),
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
        let (expressions, schema) = (Arc::clone(&self.expressions), Arc::clone(&self.schema));
        let rows = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            let _timer = metrics.elapsed_compute().timer();
            let columns = expressions
                .iter()
                .map(|expression| expression.evaluate(&batch)?.into_array(batch.num_rows()))
                .collect::<Result<Vec<_>>>()?;
            // Without columns, as under `count(*)`, the number of rows is all there is.
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
