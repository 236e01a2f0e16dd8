//! A table whose rows are exchanged between runs of one plan, so that a model is planned once and then run
//! for each range of keys, or for each handful of events.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::session::BATCH_ROWS;

/// Holds the rows that a slot's table shows to plans started from now on.
#[derive(Clone)]
pub struct Slot {
    schema: SchemaRef,
    batches: Arc<RwLock<Vec<RecordBatch>>>,
}

impl Slot {
    /// An empty slot.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, batches: Arc::default() }
    }

    /// Columns of the rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Replaces the rows. Columns that no plan reads may be missing from them.
    pub fn set(&self, batches: Vec<RecordBatch>) {
        *self.batches.write().unwrap_or_else(PoisonError::into_inner) = batches;
    }

    /// The rows in place, reduced to the columns of `schema`, in batches as a file would give them: an expression over
    /// tens of thousands of rows at once works on memory that the system clears first.
    fn rows(&self, schema: &SchemaRef) -> Vec<Result<RecordBatch>> {
        let batches = self.batches.read().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Vec::new();
        for batch in batches.iter() {
            match shaped(batch, schema) {
                Ok(batch) if batch.num_rows() > BATCH_ROWS => {
                    let starts = (0..batch.num_rows()).step_by(BATCH_ROWS);
                    let cut = |start| batch.slice(start, BATCH_ROWS.min(batch.num_rows() - start));
                    rows.extend(starts.map(|start| Ok(cut(start))));
                }
                whole => rows.push(whole),
            }
        }
        rows
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Slot").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// When a plan looks at the rows of a slot, or at the parts of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// When it is made: row counts help to choose the smaller side of a join, and parts run side by side.
    WhenPlanned,
    /// Each time it runs, so that the physical plan can be kept.
    WhenRun,
}

/// A [`Slot`] as a table of SQL.
#[derive(Debug)]
pub(crate) struct SlotTable(pub(crate) Slot, pub(crate) Look);

#[async_trait::async_trait]
impl TableProvider for SlotTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.0.schema.project(columns)?),
            None => self.0.schema(),
        };
        match self.1 {
            Look::WhenPlanned => {
                let batches = self.0.rows(&schema).into_iter().collect::<Result<Vec<_>>>()?;
                let exec = MemorySourceConfig::try_new_exec(&[batches], schema, None)?;
                Ok(exec)
            }
            Look::WhenRun => {
                let rows = SlotRows { slot: self.0.clone(), schema: Arc::clone(&schema) };
                let exec = StreamingTableExec::try_new(
                    schema,
                    vec![Arc::new(rows)],
                    None,
                    [],
                    false,
                    None,
                )?;
                Ok(Arc::new(exec))
            }
        }
    }
}

/// Some columns of a slot, read anew by each run.
#[derive(Debug)]
struct SlotRows {
    slot: Slot,
    schema: SchemaRef,
}

impl PartitionStream for SlotRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = futures::stream::iter(self.slot.rows(&self.schema));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// The columns of `schema` out of a batch, by name.
fn shaped(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => Ok(Arc::clone(column)),
            None => exec_err!("column `{}` was not loaded", field.name()),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
