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
use datafusion::physical_expr::window::StandardWindowExpr;
use datafusion::physical_expr_common::physical_expr::PhysicalExpr;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use super::by_batch::{ByBatch, Work, evaluated};

/// See the module's text.
#[derive(Debug)]
pub(super) struct RowNumber {
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
    /// Columns of the same numbers, after those of the input.
    columns: usize,
    schema: SchemaRef,
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
        let work = Self {
            partition_by: window.window_expr().first()?.partition_by().to_vec(),
            columns: window.window_expr().len(),
            schema: window.schema(),
        };
        Some(ByBatch::instead_of(window, window.input(), work))
    }
}

impl fmt::Display for RowNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition_by={:?}", self.partition_by)
    }
}

impl Work for RowNumber {
    const NAME: &'static str = "RowNumber";

    type State = Counter;

    fn expressions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.partition_by
    }

    fn columns(&self, batch: &RecordBatch, counter: &mut Counter) -> Result<RecordBatch> {
        let keys = evaluated(&self.partition_by, batch)?;
        let numbers: ArrayRef = Arc::new(counter.numbers(&keys, batch.num_rows())?);
        let mut columns = batch.columns().to_vec();
        columns.extend(std::iter::repeat_n(numbers, self.columns));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// How far the partition is that the rows before ended in.
#[derive(Default)]
pub(super) struct Counter {
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
