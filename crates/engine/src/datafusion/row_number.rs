//! `row_number()` over rows that are sorted already: counts on until a partition ends.
//!
//! DataFusion's window operator keeps a state and copies its rows for each partition. With a few rows in each, as the touches of a
//! person are, that costs microseconds a row; counting costs nothing to speak of.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::partition;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::window::StandardWindowExpr;
use datafusion::physical_expr_common::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties,
    SendableRecordBatchStream,
};
use futures::StreamExt;

/// See the module's text.
#[derive(Debug)]
pub(super) struct RowNumber {
    input: Arc<dyn ExecutionPlan>,
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
    /// Columns of the same numbers, after those of the input.
    columns: usize,
    properties: Arc<PlanProperties>,
    schema: SchemaRef,
    metrics: ExecutionPlanMetricsSet,
}

impl RowNumber {
    /// The same as a window operator of nothing but `row_number()` over sorted rows; `None` for any other.
    pub(super) fn of(window: &BoundedWindowAggExec) -> Option<Arc<dyn ExecutionPlan>> {
        let numbers_rows = window.window_expr().iter().all(|expression| {
            let standard = expression.as_any().downcast_ref::<StandardWindowExpr>();
            let function = standard.map(|standard| standard.get_standard_func_expr());
            function
                .and_then(|function| function.as_any().downcast_ref::<WindowUDFExpr>())
                .is_some_and(|function| function.fun().name() == "row_number")
        });
        if !numbers_rows || window.input_order_mode != InputOrderMode::Sorted {
            return None;
        }
        Some(Arc::new(Self {
            input: Arc::clone(window.input()),
            partition_by: window.window_expr().first()?.partition_by().to_vec(),
            columns: window.window_expr().len(),
            properties: Arc::clone(window.properties()),
            schema: window.schema(),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

impl DisplayAs for RowNumber {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowNumber: partition_by={:?}", self.partition_by)
    }
}

impl ExecutionPlan for RowNumber {
    fn name(&self) -> &str {
        "RowNumber"
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
        for expression in &self.partition_by {
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
            partition_by: self.partition_by.clone(),
            columns: self.columns,
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
        let (partition_by, columns) = (self.partition_by.clone(), self.columns);
        let (schema, mut counter) = (Arc::clone(&self.schema), Counter::default());
        let rows = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            let _timer = metrics.elapsed_compute().timer();
            let keys = partition_by
                .iter()
                .map(|key| key.evaluate(&batch)?.into_array(batch.num_rows()))
                .collect::<Result<Vec<_>>>()?;
            let numbers: ArrayRef = Arc::new(counter.numbers(&keys, batch.num_rows())?);
            let mut all = batch.columns().to_vec();
            all.extend(std::iter::repeat_n(numbers, columns));
            Ok(RecordBatch::try_new(Arc::clone(&schema), all)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// How far the partition is that the rows before ended in.
#[derive(Default)]
struct Counter {
    /// Its key, one row of each column; `None` before any row.
    key: Option<Vec<ArrayRef>>,
    rows: u64,
}

impl Counter {
    /// The numbers of the next rows, whose partitions' keys are given.
    fn numbers(&mut self, keys: &[ArrayRef], rows: usize) -> Result<UInt64Array> {
        if rows == 0 {
            return Ok(UInt64Array::from(Vec::<u64>::new()));
        }
        let row =
            |row: usize| -> Vec<ArrayRef> { keys.iter().map(|key| key.slice(row, 1)).collect() };
        if self.key.as_ref() != Some(&row(0)) {
            self.rows = 0;
        }
        let mut numbers = Vec::with_capacity(rows);
        let whole = 0..rows;
        let ranges = if keys.is_empty() { vec![whole] } else { partition(keys)?.ranges() };
        for (index, range) in ranges.into_iter().enumerate() {
            let before = if index == 0 { self.rows } else { 0 };
            self.rows = before + range.len() as u64;
            numbers.extend(before + 1..=self.rows);
        }
        self.key = Some(row(rows - 1));
        Ok(numbers.into())
    }
}
