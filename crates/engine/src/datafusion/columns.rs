//! The columns of a SELECT, computed batch by batch.
//!
//! DataFusion's operator writes each expression as SQL whenever it begins to run, as labels for metrics by expression. A plan that is
//! kept and run for a few rows at a time, as live ones are, spends a fifth of its time on that.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_expr_common::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use super::by_batch::{ByBatch, Work, evaluated};
use super::eager::eager;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Columns {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Columns {
    /// The same as DataFusion's operator; what is safe to compute for all rows at once is.
    pub(super) fn of(projection: &ProjectionExec) -> Result<Arc<dyn ExecutionPlan>> {
        let (input, schema) = (projection.input(), projection.schema());
        let expressions = projection
            .expr()
            .iter()
            .map(|column| eager(Arc::clone(&column.expr), &input.schema()))
            .collect::<Result<_>>()?;
        Ok(ByBatch::instead_of(projection, input, Self { expressions, schema }))
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.schema.fields().iter();
        for (index, (expression, field)) in self.expressions.iter().zip(names).enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{expression} as {}", field.name())?;
        }
        Ok(())
    }
}

impl Work for Columns {
    const NAME: &'static str = "Columns";

    type State = ();

    fn expressions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.expressions
    }

    fn columns(&self, batch: &RecordBatch, (): &mut ()) -> Result<RecordBatch> {
        let columns = evaluated(&self.expressions, batch)?;
        // Without columns, as under `count(*)`, the number of rows is all there is.
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}
